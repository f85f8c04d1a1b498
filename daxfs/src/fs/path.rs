//! Paths inside an image: absolute, of names separated by slashes. Touches nothing, no locks.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::format::dirent::name_problem;

/// The names of an absolute path, in order; none for the root. They are copies: the path's own
/// memory may be a mapping of this very filesystem, and must not be touched with a lock held.
///
/// Repeated slashes and `.` are skipped, as the kernel does. `..` is refused: it would need the
/// directories on the way, and no caller of a library needs it.
///
/// # Errors
/// [`Error::InvalidPath`].
pub(super) fn components(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = path.as_os_str().as_bytes();
    let invalid = |reason| Error::InvalidPath {
        path: path.to_path_buf(),
        reason,
    };
    if bytes.first() != Some(&b'/') {
        return Err(invalid("a path inside an image starts with `/`"));
    }
    let mut names = Vec::new();
    for name in bytes.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(invalid("`..` is not supported inside an image")),
            name => match name_problem(name) {
                Some(reason) => return Err(invalid(reason)),
                None => names.push(name.to_vec()),
            },
        }
    }
    Ok(names)
}

/// The directory and the name of what a path names.
///
/// # Errors
/// [`Error::InvalidPath`], also for the root, which has no name.
pub(super) fn split(path: &Path) -> Result<(Vec<Vec<u8>>, Vec<u8>)> {
    let mut names = components(path)?;
    match names.pop() {
        Some(name) => Ok((names, name)),
        None => Err(Error::InvalidPath {
            path: path.to_path_buf(),
            reason: "the root directory cannot be made or removed",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        assert!(components(Path::new("/")).unwrap().is_empty());
        assert_eq!(components(Path::new("//a/./b/")).unwrap(), [b"a", b"b"]);
        assert_eq!(
            split(Path::new("/a/b")).unwrap(),
            (vec![b"a".to_vec()], b"b".to_vec())
        );
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let long = format!("/{}", "x".repeat(256));
        for path in ["", "a", "a/b", "/a/../b", "/a\0b", long.as_str()] {
            assert!(
                matches!(components(Path::new(path)), Err(Error::InvalidPath { .. })),
                "{path:?}"
            );
        }
        assert!(split(Path::new("/")).is_err());
        let longest = format!("/{}", "x".repeat(255));
        assert!(components(Path::new(&longest)).is_ok());
    }
}
