//! Targets of symbolic links, stored in chunks. Plain bytes, no locks.

use super::chunk::ChunkJoin;
use crate::format::error::{Fields, FormatError, Structure};

/// The longest target, in bytes: `PATH_MAX` of Linux without its NUL.
pub(crate) const MAXIMUM_TARGET_BYTES: usize = 4095;

/// Says what makes `target` no target of a symbolic link, if anything does.
pub(crate) fn target_problem(target: &[u8]) -> Option<&'static str> {
    if target.is_empty() {
        return Some("is empty");
    }
    if target.len() > MAXIMUM_TARGET_BYTES {
        return Some("is longer than 4095 bytes");
    }
    target.contains(&0).then_some("contains a NUL byte")
}

/// Puts the chunks of a target of `size_bytes` bytes together: see [`ChunkJoin`].
pub(crate) fn target_chunks(size_bytes: u64) -> ChunkJoin {
    // An inode was checked to say at most 4095; a longer one fails as it should, chunks missing.
    let expected = usize::try_from(size_bytes).unwrap_or(usize::MAX);
    ChunkJoin::new(Structure::SymlinkTarget, expected)
}

/// Checks a target that was put together.
pub(crate) fn check_target(target: &[u8]) -> Result<(), FormatError> {
    match target_problem(target) {
        Some(rule) => Err(Fields(Structure::SymlinkTarget).invalid("target", rule)),
        None => Ok(()),
    }
}
