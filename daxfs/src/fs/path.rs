//! Paths inside an image, taken apart. Touches nothing, no locks.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::format::geometry::MAXIMUM_NAME_BYTES;

/// The longest path, as on Linux.
const MAXIMUM_PATH_BYTES: usize = 4095;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `.`: to where it is, which must be a directory.
    Here,
    /// `..`: to the directory that holds this one; in the root, to the root.
    Parent,
    /// To what has this name.
    Name(Vec<u8>),
}

/// A path, as steps from a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    /// Whether the first step starts at the root.
    pub(super) is_absolute: bool,
    pub(super) steps: VecDeque<Step>,
    /// It ends in a slash: what it names must be a directory.
    pub(super) ends_in_slash: bool,
}

/// The steps of an absolute path. They are copies: the path's own memory may be a mapping of this
/// very filesystem, and must not be touched with a lock held.
///
/// # Errors
/// [`Error::NotFound`] for no path at all, [`Error::InvalidPath`], [`Error::NameTooLong`] for the
/// path; whether a name is too long is for the directory to say that is asked for it.
pub(super) fn absolute(path: &Path) -> Result<Steps> {
    if path.as_os_str().is_empty() {
        return Err(Error::NotFound {
            path: path.to_path_buf(),
        });
    }
    let steps = parse(path.as_os_str().as_bytes(), path)?;
    match steps.is_absolute {
        true => Ok(steps),
        false => Err(Error::InvalidPath {
            path: path.to_path_buf(),
            reason: "a path inside an image starts with `/`",
        }),
    }
}

/// The steps of any path, as a symbolic link has it. Repeated slashes count as one. Errors name
/// `whole`.
///
/// # Errors
/// [`Error::InvalidPath`], [`Error::NameTooLong`].
pub(super) fn parse(bytes: &[u8], whole: &Path) -> Result<Steps> {
    if bytes.len() > MAXIMUM_PATH_BYTES {
        return Err(Error::NameTooLong {
            path: whole.to_path_buf(),
        });
    }
    if bytes.contains(&0) {
        return Err(Error::InvalidPath {
            path: whole.to_path_buf(),
            reason: "it has a NUL byte",
        });
    }
    let step = |name: &[u8]| match name {
        b"" => None,
        b"." => Some(Step::Here),
        b".." => Some(Step::Parent),
        name => Some(Step::Name(name.to_vec())),
    };
    Ok(Steps {
        is_absolute: bytes.first() == Some(&b'/'),
        steps: bytes.split(|byte| *byte == b'/').filter_map(step).collect(),
        ends_in_slash: bytes.last() == Some(&b'/'),
    })
}

impl Steps {
    /// The steps to what the path leads to, which is a directory if the path ends in a slash.
    pub(super) fn all(mut self) -> VecDeque<Step> {
        if self.ends_in_slash {
            self.steps.push_back(Step::Here);
        }
        self.steps
    }
}

/// # Errors
/// [`Error::NameTooLong`].
pub(super) fn check_name(name: &[u8], whole: &Path) -> Result<()> {
    match name.len() {
        0..=MAXIMUM_NAME_BYTES => Ok(()),
        _ => Err(Error::NameTooLong {
            path: whole.to_path_buf(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Vec<Step> {
        absolute(Path::new(path)).unwrap().steps.into()
    }

    #[test]
    fn paths_are_taken_apart() {
        let name = |name: &str| Step::Name(name.into());
        assert!(names("/").is_empty());
        assert_eq!(names("//a/./b/"), [name("a"), Step::Here, name("b")]);
        assert_eq!(names("/a/../b"), [name("a"), Step::Parent, name("b")]);
        for (path, ends_in_slash) in [("/a", false), ("/a//", true), ("/a/.", false), ("/", true)] {
            let steps = absolute(Path::new(path)).unwrap();
            assert_eq!(steps.ends_in_slash, ends_in_slash, "{path}");
        }
        let steps = absolute(Path::new("/a/")).unwrap().all();
        assert_eq!(steps, [name("a"), Step::Here]);
        let relative = parse(b"a/b", Path::new("link")).unwrap();
        assert!(!relative.is_absolute);
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let nothing = absolute(Path::new(""));
        assert!(matches!(nothing, Err(Error::NotFound { .. })));
        for path in ["a", "a/b", "/a\0b"] {
            assert!(
                matches!(absolute(Path::new(path)), Err(Error::InvalidPath { .. })),
                "{path:?}"
            );
        }
        let long_path = "/x".repeat(2048);
        let refused = absolute(Path::new(&long_path));
        assert!(matches!(refused, Err(Error::NameTooLong { .. })));
        assert!(absolute(Path::new(&long_path[1..])).is_err());
        let refused = check_name(&[b'x'; 256], Path::new("/"));
        assert!(matches!(refused, Err(Error::NameTooLong { .. })));
        assert!(check_name(&[b'x'; 255], Path::new("/")).is_ok());
    }
}
