//! Which file goes where: walks the sources of a copy before any byte is moved, so that the
//! progress bar knows the whole and mistakes are found early.
//!
//! Reads directories of the host and of images; takes no locks of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};

use super::tree::{Kind, Place, Tree};
use crate::image::{HostFile, Images};

/// Whether directories are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Directories are refused.
    FilesOnly,
    /// Directories are copied with all that they hold.
    Recursive,
}

/// One file to copy.
pub(super) struct Job<'a> {
    pub(super) source: Place<'a>,
    pub(super) target: Place<'a>,
    /// How long the source was when it was found, in bytes.
    len_bytes: u64,
}

/// All that a copy will do.
pub(super) struct Plan<'a> {
    /// Directories that must exist before the files are copied, parents first.
    pub(super) directories: Vec<Place<'a>>,
    pub(super) files: Vec<Job<'a>>,
    /// What cannot or will not be copied, and why.
    pub(super) problems: Vec<anyhow::Error>,
}

impl<'a> Plan<'a> {
    /// Plans to copy `sources` to `target`: into it where it is a directory, else onto it.
    ///
    /// # Errors
    /// If the arguments contradict each other; what is wrong with a single source goes into
    /// [`Plan::problems`].
    pub(super) fn make(
        images: &Images,
        sources: &[Place<'a>],
        target: &Place<'a>,
        depth: Depth,
    ) -> Result<Self> {
        let target_kind = target.kind()?;
        if sources.len() > 1 && target_kind != Some(Kind::Directory) {
            bail!("{target}: not a directory, and several files can only be copied into one");
        }
        let plan = Self {
            directories: Vec::new(),
            files: Vec::new(),
            problems: Vec::new(),
        };
        let mut planner = Planner {
            images,
            depth,
            plan,
            taken: BTreeSet::new(),
        };
        for source in sources {
            // The root directory, `.` and `..` have no name to put below the target.
            let target = match (target_kind, source.path.file_name()) {
                (Some(Kind::Directory), Some(name)) => target.join(name),
                _ => target.clone(),
            };
            if let Err(error) = planner.add(source, target) {
                planner.plan.problems.push(error);
            }
        }
        Ok(planner.plan)
    }

    /// How many bytes will be copied, as far as that is known.
    pub(super) fn len_bytes(&self) -> u64 {
        self.files.iter().map(|job| job.len_bytes).sum()
    }
}

struct Planner<'a, 'p> {
    images: &'p Images,
    depth: Depth,
    plan: Plan<'a>,
    /// Targets that some source will be copied to.
    taken: BTreeSet<PathBuf>,
}

impl<'a> Planner<'a, '_> {
    /// Plans one source of the command line.
    fn add(&mut self, source: &Place<'a>, target: Place<'a>) -> Result<()> {
        match source.kind()? {
            None => bail!("{source}: no such file or directory"),
            Some(Kind::Directory) if self.depth == Depth::FilesOnly => {
                bail!("{source}: is a directory; give -r to copy what it holds")
            }
            Some(Kind::Directory) => self.add_tree(source, target),
            Some(Kind::File { len_bytes }) => {
                self.add_file(source.clone(), target, len_bytes);
                Ok(())
            }
            // A pipe or device that the user names is read to its end.
            Some(Kind::Special | Kind::SymbolicLink) => {
                self.add_file(source.clone(), target, 0);
                Ok(())
            }
        }
    }

    fn add_tree(&mut self, root: &Place<'a>, target: Place<'a>) -> Result<()> {
        if root.is_beside(&target) && target.path.starts_with(&root.path) {
            bail!("{root}: cannot be copied into itself ({target})");
        }
        // A list of what is left to walk, and no recursion: a tree may be deep.
        let mut pending = vec![(root.clone(), target)];
        while let Some((directory, target)) = pending.pop() {
            self.plan.directories.push(target.clone());
            let children = match directory.children() {
                Ok(children) => children,
                Err(error) => {
                    self.plan.problems.push(error);
                    continue;
                }
            };
            for (child, kind) in children {
                let target = target.join(child.path.file_name().unwrap_or_default());
                match kind {
                    Kind::File { len_bytes } => self.add_file(child, target, len_bytes),
                    Kind::Directory => pending.push((child, target)),
                    Kind::SymbolicLink => self.skip(&child, "symbolic links are not stored yet"),
                    Kind::Special => self.skip(&child, "special files are not stored"),
                }
            }
        }
        Ok(())
    }

    fn add_file(&mut self, source: Place<'a>, target: Place<'a>, len_bytes: u64) {
        if source.is_beside(&target) && source.path == target.path {
            self.skip(&source, "source and target are the same file");
        } else if self.is_open_image(&source) {
            self.skip(&source, "this is one of the images of this very command");
        } else if !self.taken.insert(target.path.clone()) {
            self.skip(
                &source,
                format_args!("{target} is the target of another source too"),
            );
        } else {
            self.plan.files.push(Job {
                source,
                target,
                len_bytes,
            });
        }
    }

    fn skip(&mut self, place: &Place<'_>, why: impl std::fmt::Display) {
        self.plan.problems.push(anyhow!("{place}: skipped: {why}"));
    }

    fn is_open_image(&self, place: &Place<'_>) -> bool {
        matches!(place.tree, Tree::Host)
            && fs::metadata(&place.path)
                .is_ok_and(|metadata| self.images.contains(HostFile::of(&metadata)))
    }
}
