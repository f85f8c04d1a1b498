//! One set of operations over the two places that files are in: the host and an image.
//!
//! Touches host files and, through the library, images; takes no locks of its own.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use daxfs::{Error, FileKind, Filesystem};

use crate::image;
use crate::image_path::ImagePath;

/// Where a path leads: to the host's files or to those of an open image.
#[derive(Clone, Copy)]
pub(super) enum Tree<'a> {
    /// The host's files.
    Host,
    /// The files of an image.
    Image {
        /// The mounted image.
        filesystem: &'a Filesystem,
        /// The image file, as the user named it.
        image: &'a Path,
    },
}

/// A path in a tree.
#[derive(Clone)]
pub(super) struct Place<'a> {
    pub(super) tree: Tree<'a>,
    pub(super) path: PathBuf,
}

/// What is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File {
        /// Its length, in bytes.
        len_bytes: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link that was not followed.
    SymbolicLink,
    /// A device, a socket or a pipe.
    Special,
}

impl<'a> Place<'a> {
    /// What is here, following symbolic links of the host; none where there is nothing.
    pub(super) fn kind(&self) -> Result<Option<Kind>> {
        match self.tree {
            Tree::Host => match fs::metadata(&self.path) {
                Ok(metadata) => Ok(Some(Kind::of_host(&metadata))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error).with_context(|| self.to_string()),
            },
            Tree::Image { filesystem, .. } => match filesystem.metadata(&self.path) {
                Ok(metadata) => Ok(Some(match metadata.kind {
                    FileKind::File => Kind::File {
                        len_bytes: metadata.len_bytes,
                    },
                    FileKind::Directory => Kind::Directory,
                    _ => Kind::Special,
                })),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(self.error(error)),
            },
        }
    }

    /// What a directory holds, without following symbolic links.
    pub(super) fn children(&self) -> Result<Vec<(Place<'a>, Kind)>> {
        match self.tree {
            Tree::Host => self.host_children().with_context(|| self.to_string()),
            Tree::Image { filesystem, .. } => {
                let entries = filesystem.read_directory(&self.path);
                let entries = entries.map_err(|error| self.error(error))?;
                let child = |entry: daxfs::DirectoryEntry| {
                    let place = self.join(entry.name);
                    let kind = place.kind()?;
                    Ok(kind.map(|kind| (place, kind)))
                };
                entries
                    .into_iter()
                    .filter_map(|entry| child(entry).transpose())
                    .collect()
            }
        }
    }

    fn host_children(&self) -> io::Result<Vec<(Place<'a>, Kind)>> {
        let mut children = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let kind = Kind::of_host(&entry.metadata()?);
            children.push((self.join(entry.file_name()), kind));
        }
        children.sort_by(|(left, _), (right, _)| left.path.cmp(&right.path));
        Ok(children)
    }

    /// Makes a directory here, unless one is here already.
    pub(super) fn make_directory(&self) -> Result<()> {
        match self.tree {
            Tree::Host => match fs::create_dir(&self.path) {
                Err(_) if self.path.is_dir() => Ok(()),
                made => made.with_context(|| self.to_string()),
            },
            Tree::Image { filesystem, .. } => match filesystem.create_directory(&self.path) {
                Err(Error::AlreadyExists { .. }) if self.kind()? == Some(Kind::Directory) => Ok(()),
                made => made.map_err(|error| self.error(error)),
            },
        }
    }

    /// The place of an entry of this directory.
    pub(super) fn join(&self, name: impl Into<OsString>) -> Place<'a> {
        Place {
            tree: self.tree,
            path: self.path.join(name.into()),
        }
    }

    /// `error`, with the name of this place.
    pub(super) fn error(&self, error: Error) -> anyhow::Error {
        match self.tree {
            Tree::Host => anyhow::Error::new(error).context(self.to_string()),
            Tree::Image { image, .. } => {
                let path = ImagePath {
                    image: image.to_path_buf(),
                    path: self.path.clone(),
                };
                image::at(&path)(error)
            }
        }
    }

    /// Whether both are in the same image, or both on the host.
    pub(super) fn is_beside(&self, other: &Place<'_>) -> bool {
        match (self.tree, other.tree) {
            (Tree::Host, Tree::Host) => true,
            (
                Tree::Image {
                    filesystem: left, ..
                },
                Tree::Image {
                    filesystem: right, ..
                },
            ) => std::ptr::eq(left, right),
            _ => false,
        }
    }
}

impl Kind {
    fn of_host(metadata: &fs::Metadata) -> Self {
        let kind = metadata.file_type();
        if kind.is_file() {
            Self::File {
                len_bytes: metadata.len(),
            }
        } else if kind.is_dir() {
            Self::Directory
        } else if kind.is_symlink() {
            Self::SymbolicLink
        } else {
            Self::Special
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tree {
            Tree::Host => self.path.display().fmt(formatter),
            Tree::Image { image, .. } => {
                write!(formatter, "{}:{}", image.display(), self.path.display())
            }
        }
    }
}
