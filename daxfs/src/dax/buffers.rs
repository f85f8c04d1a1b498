//! The buffers of one read or write: any number of them, one after the other in the file.
//!
//! Copies them to the device. Takes no locks.

use std::io::IoSlice;

use daxfs_pmem::{Device, InFlight};

use crate::error::{Error, Result};

/// The most buffers that one call takes: Linux's `UIO_MAXIOV`.
const MOST_BUFFERS: usize = 1024;

/// How many bytes buffers of these lengths have together.
///
/// # Errors
/// [`Error::InvalidOption`] for more than 1024 buffers, or more bytes than a file offset can count.
pub(super) fn total_len(
    operation: &'static str,
    lens: impl ExactSizeIterator<Item = usize>,
) -> Result<usize> {
    let count = lens.len();
    if count > MOST_BUFFERS {
        return Err(Error::InvalidOption {
            reason: format!(
                "{operation}: {count} buffers, at most {MOST_BUFFERS}; use fewer and larger ones"
            ),
        });
    }
    let mut lens = lens;
    let total = lens.try_fold(0_usize, usize::checked_add);
    total
        .filter(|total| i64::try_from(*total).is_ok())
        .ok_or_else(|| Error::InvalidOption {
            reason: format!("{operation}: more bytes than a file offset can count; write less"),
        })
}

/// Bytes to be written, out of one buffer or several.
#[derive(Clone, Copy)]
pub(super) struct Source<'b> {
    buffers: &'b [IoSlice<'b>],
    /// Bytes at the front of the first buffer that are not part of it.
    skipped: usize,
    len: usize,
}

impl<'b> Source<'b> {
    /// All bytes of `buffers`, which have [`total_len`] `len`.
    pub(super) fn new(buffers: &'b [IoSlice<'b>], len: usize) -> Self {
        Self {
            buffers,
            skipped: 0,
            len,
        }
    }

    pub(super) fn len(self) -> usize {
        self.len
    }

    /// The first `len` bytes, at most all.
    pub(super) fn first(self, len: usize) -> Self {
        Self {
            len: self.len.min(len),
            ..self
        }
    }

    /// What comes after the first `len` bytes.
    pub(super) fn after(self, len: usize) -> Self {
        let len = self.len.min(len);
        let (mut buffers, mut skipped) = (self.buffers, self.skipped + len);
        while let Some((first, rest)) = buffers.split_first()
            && skipped >= first.len()
        {
            skipped -= first.len();
            buffers = rest;
        }
        Self {
            buffers,
            skipped,
            len: self.len - len,
        }
    }

    /// The bytes, in pieces that lie together in memory; none of them is empty.
    pub(super) fn pieces(self) -> impl Iterator<Item = &'b [u8]> {
        let mut left = self;
        std::iter::from_fn(move || {
            // What is empty at the front goes with it.
            left = left.after(0);
            let buffer: &'b [u8] = left.buffers.first()?;
            let len = (buffer.len() - left.skipped).min(left.len);
            let piece = &buffer[left.skipped..left.skipped + len];
            left = left.after(len);
            (len > 0).then_some(piece)
        })
    }
}

impl Source<'_> {
    /// Copies all bytes to one place of the device.
    ///
    /// # Errors
    /// What the device reports.
    pub(super) fn copy_to(self, device: &Device, offset_bytes: u64) -> Result<InFlight> {
        let mut pieces = self.pieces();
        let first = pieces.next().unwrap_or_default();
        let mut copied = device.copy(offset_bytes, first)?;
        let mut at = offset_bytes + first.len() as u64;
        for piece in pieces {
            copied = copied.and(device.copy(at, piece)?);
            at += piece.len() as u64;
        }
        Ok(copied)
    }

    /// The bytes in a buffer of their own.
    pub(super) fn to_vec(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.pieces()
            .for_each(|piece| bytes.extend_from_slice(piece));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFERS: [&[u8]; 6] = [b"", b"abc", b"", b"d", b"efgh", b""];

    #[test]
    fn any_part_of_a_source_has_the_bytes_of_the_whole() {
        let whole = BUFFERS.concat();
        let buffers = BUFFERS.map(IoSlice::new);
        let source = Source::new(&buffers, whole.len());
        for start in 0..=whole.len() + 1 {
            for len in 0..=whole.len() + 1 {
                let part = source.after(start).first(len);
                let pieces: Vec<&[u8]> = part.pieces().collect();
                assert!(pieces.iter().all(|piece| !piece.is_empty()));
                let expected = &whole[start.min(whole.len())..];
                let expected = &expected[..len.min(expected.len())];
                assert_eq!(pieces.concat(), expected, "{len} bytes from {start} on");
                assert_eq!(part.len(), expected.len());
            }
        }
    }

    #[test]
    fn what_linux_would_not_take_is_refused() {
        let lens = |count, len| vec![len; count];
        let total = |lens: Vec<usize>| total_len("a test", lens.into_iter());
        assert_eq!(total(lens(1024, 3)).unwrap(), 3072);
        assert_eq!(total(Vec::new()).unwrap(), 0);
        assert!(total(lens(1025, 0)).is_err());
        assert_eq!(total(vec![i64::MAX as usize]).unwrap() as i64, i64::MAX);
        assert!(total(vec![i64::MAX as usize, 1]).is_err());
        assert!(total(lens(3, usize::MAX)).is_err());
    }
}
