//! Values longer than an item: cut into chunks that are items of one kind, and put together again.
//!
//! All chunks but the last have 1024 bytes, and their positions count from 0, so how they are cut
//! follows from the length alone. Plain bytes, no locks.

use super::MAXIMUM_VALUE_BYTES;
use crate::format::error::{Fields, FormatError, Structure};

/// The chunks of `bytes`, with their positions. None when there are no bytes.
pub(crate) fn chunks(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    (0..).zip(bytes.chunks(MAXIMUM_VALUE_BYTES))
}

/// Puts chunks together, in order, and checks that none is missing, short or additional.
#[derive(Debug)]
pub(crate) struct ChunkJoin {
    structure: Structure,
    expected_bytes: usize,
    bytes: Vec<u8>,
}

impl ChunkJoin {
    /// For `expected_bytes` bytes, as the inode says, of `structure`.
    pub(crate) fn new(structure: Structure, expected_bytes: usize) -> Self {
        Self {
            structure,
            expected_bytes,
            bytes: Vec::new(),
        }
    }

    /// Adds the next chunk.
    ///
    /// # Errors
    /// When it is not the next one, or has not the length that it must have.
    pub(crate) fn push(&mut self, position: u64, chunk: &[u8]) -> Result<(), FormatError> {
        let fields = Fields(self.structure);
        let next = self.bytes.len() / MAXIMUM_VALUE_BYTES;
        fields.equal("position of a chunk", next as u64, position)?;
        let left = self.expected_bytes.saturating_sub(self.bytes.len());
        let expected = left.min(MAXIMUM_VALUE_BYTES) as u64;
        if expected == 0 {
            return Err(fields.invalid("chunk", "lies past the length that the inode states"));
        }
        fields.equal("length of a chunk", expected, chunk.len() as u64)?;
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// All bytes.
    ///
    /// # Errors
    /// When chunks are missing.
    pub(crate) fn finish(self) -> Result<Vec<u8>, FormatError> {
        let (expected, found) = (self.expected_bytes as u64, self.bytes.len() as u64);
        Fields(self.structure).equal("length of all chunks", expected, found)?;
        Ok(self.bytes)
    }
}
