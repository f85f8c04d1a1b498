//! Memory for blocks of any size, aligned as pages so that copies cost every thread the same, and
//! the stamps in it.
//!
//! Touches nothing but its own memory, takes no locks.

use super::BLOCK_BYTES;
use super::stamp;

/// Memory that starts at a multiple of the page size.
pub(super) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` bytes of zeroes.
    pub(super) fn zeroed(len: usize) -> Self {
        let align = BLOCK_BYTES as usize;
        let memory = vec![0; len + align];
        let start = memory.as_ptr().addr().wrapping_neg() % align;
        Self { memory, start, len }
    }

    /// The bytes.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    /// The bytes, to be changed.
    #[inline]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }

    /// Writes `stamp` into each of the words.
    pub(super) fn fill(&mut self, stamp: u64) {
        for word in self.bytes_mut().chunks_exact_mut(8) {
            word.copy_from_slice(&stamp.to_le_bytes());
        }
    }

    /// The first and the last word.
    #[inline]
    pub(super) fn ends(&self) -> (u64, u64) {
        let bytes = self.bytes();
        (
            stamp::word(&bytes[..8]),
            stamp::word(&bytes[bytes.len() - 8..]),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_as_long_as_asked_for() {
        for len in [64, 4096, 3 << 20] {
            let mut buffer = Buffer::zeroed(len);
            assert_eq!(buffer.bytes().len(), len);
            assert!(buffer.bytes().as_ptr().addr().is_multiple_of(4096));
            buffer.fill(9);
            assert_eq!(buffer.ends(), (9, 9));
            buffer.bytes_mut()[len - 1] = 1;
            assert_ne!(buffer.ends().1, 9);
        }
    }
}
