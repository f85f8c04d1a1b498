//! From a path to what it names.
//!
//! # Locking
//! Walking takes only each directory's latch, so what was found may have moved or gone a moment
//! later: whoever changes something locks the directory and looks again.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use super::mounted::Mounted;
use super::path::{self, Step, Steps};
use crate::error::{Error, Result};
use crate::format::geometry::ROOT_INODE;
use crate::inode::{Body, Inode};

/// Symbolic links that one path may lead through, as on Linux.
const MOST_LINKS: u32 = 40;

/// What to do when the last step of a path is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastLink {
    /// Go where it leads.
    Follow,
    /// It is what is meant.
    Keep,
}

/// A name in a directory, whatever it stands for.
pub(super) struct Place {
    pub(super) parent: Arc<Inode>,
    pub(super) name: Vec<u8>,
    /// The path ended in a slash.
    pub(super) wants_directory: bool,
}

/// What a path ends in.
pub(super) enum Ending {
    Name(Place),
    /// `.`
    Here,
    /// `..`
    Parent,
    /// The path has no steps.
    Root,
}

impl Mounted {
    /// The inode that `path` names.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::TooManyLinks`],
    /// [`Error::InvalidPath`], [`Error::NameTooLong`].
    pub(super) fn find(&self, path: &Path, last: LastLink) -> Result<Arc<Inode>> {
        self.walk(path, path::absolute(path)?.all(), last)
    }

    /// What `path` ends in, and with a name the directory that holds it. What the name stands for
    /// need not be there.
    ///
    /// # Errors
    /// As [`Mounted::find`], for the directory.
    pub(super) fn ending(&self, path: &Path) -> Result<Ending> {
        let Steps {
            mut steps,
            ends_in_slash,
            ..
        } = path::absolute(path)?;
        let Some(last) = steps.pop_back() else {
            return Ok(Ending::Root);
        };
        steps.push_back(Step::Here);
        let parent = self.walk(path, steps, LastLink::Follow)?;
        Ok(match last {
            Step::Here => Ending::Here,
            Step::Parent => Ending::Parent,
            Step::Name(name) => Ending::Name(Place {
                parent,
                name,
                wants_directory: ends_in_slash,
            }),
        })
    }

    /// The directory and the name of something new.
    ///
    /// # Errors
    /// As [`Mounted::find`], for the directory; [`Error::AlreadyExists`] when the path does not end
    /// in a name.
    pub(super) fn new_place(&self, path: &Path) -> Result<Place> {
        match self.ending(path)? {
            Ending::Name(place) => Ok(place),
            _ => Err(Error::AlreadyExists {
                path: path.to_path_buf(),
            }),
        }
    }

    /// The inode that `name` stands for in `parent`.
    ///
    /// # Errors
    /// [`Error::NotFound`] with `path`; [`Error::NotADirectory`]; [`Error::NameTooLong`].
    pub(super) fn child(&self, parent: &Inode, name: &[u8], path: &Path) -> Result<Arc<Inode>> {
        self.look_up(parent, name, path)?
            .map(|(_, inode)| inode)
            .ok_or_else(|| Error::NotFound {
                path: path.to_path_buf(),
            })
    }

    /// The position of `name` in `parent` and the inode that it stands for, if there is one.
    ///
    /// # Errors
    /// [`Error::NotADirectory`] with `path`; [`Error::NameTooLong`].
    pub(super) fn look_up(
        &self,
        parent: &Inode,
        name: &[u8],
        path: &Path,
    ) -> Result<Option<(u64, Arc<Inode>)>> {
        if parent.directory().is_none() {
            return Err(Error::NotADirectory {
                path: path.to_path_buf(),
            });
        }
        path::check_name(name, path)?;
        let Some((position, target)) = self.volume.directory(parent)?.get(name) else {
            return Ok(None);
        };
        // It may have gone between the two look-ups.
        let found = self.volume.find_inode(target.inode)?;
        Ok(found.map(|inode| (position, inode)))
    }

    fn walk(&self, path: &Path, mut rest: VecDeque<Step>, last: LastLink) -> Result<Arc<Inode>> {
        let mut at = self.volume.inode(ROOT_INODE)?;
        let mut links = 0;
        while let Some(step) = rest.pop_front() {
            let name = match step {
                Step::Here if at.directory().is_some() => continue,
                Step::Here => {
                    return Err(Error::NotADirectory {
                        path: path.to_path_buf(),
                    });
                }
                Step::Parent => {
                    at = self.parent_of(&at, path)?;
                    continue;
                }
                Step::Name(name) => name,
            };
            let next = self.child(&at, &name, path)?;
            match next.body() {
                Body::SymbolicLink(target) if last == LastLink::Follow || !rest.is_empty() => {
                    self.note_looked_at(&next);
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Error::TooManyLinks {
                            path: path.to_path_buf(),
                        });
                    }
                    let through = path::parse(target, path)?;
                    if through.is_absolute {
                        at = self.volume.inode(ROOT_INODE)?;
                    }
                    let mut steps = through.all();
                    steps.append(&mut rest);
                    rest = steps;
                }
                _ => at = next,
            }
        }
        Ok(at)
    }

    fn parent_of(&self, inode: &Inode, path: &Path) -> Result<Arc<Inode>> {
        let directory = inode.directory().ok_or_else(|| Error::NotADirectory {
            path: path.to_path_buf(),
        })?;
        self.volume.inode(directory.parent())
    }
}
