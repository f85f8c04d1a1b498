//! The log: its records in order, up to the first that is none, and what proves that some are lost.
//!
//! A record belongs to the log when its checksum is right, it names the very position where it
//! lies and the epoch of the superblock, and calls nothing durable that comes after it. The first
//! place without one is the end: a crash leaves it so. It is damage when a record further on says
//! that everything before it was durable, for then this place was. Reads the log's blocks. Takes
//! no locks.

use super::image::Image;
use super::issue::Issue;
use crate::error::Error;
use crate::format::geometry::block_offset_bytes;
use crate::format::record::header::{ALIGNMENT_BYTES, HEADER_LEN, SKIP};
use crate::format::record::{Lsn, Record, RecordHeader};

/// How much is read at once in search of later records.
const SEARCH_BYTES: u64 = 64 << 10;
/// A record takes at most this part of the ring.
const RING_PER_RECORD: u64 = 4;

/// The ring of the log.
#[derive(Debug)]
pub(super) struct Log<'a> {
    image: &'a Image<'a>,
    start_bytes: u64,
    len_bytes: u64,
    first: Lsn,
}

/// A place in the log.
#[derive(Debug)]
pub(super) enum Place {
    /// A record, and the position after it.
    Record { record: Box<Record>, next: Lsn },
    /// A record that holds what none may hold.
    Bad(Issue),
    /// The end, which lies here: skips were passed.
    End(Lsn),
}

impl<'a> Log<'a> {
    /// The log of an image.
    pub(super) fn new(image: &'a Image<'a>) -> Self {
        let geometry = image.geometry();
        Self {
            image,
            start_bytes: block_offset_bytes(geometry.log_start_block),
            len_bytes: geometry.log_len_bytes(),
            first: Lsn::new(image.superblock.log_first_lsn),
        }
    }

    /// Where it begins.
    pub(super) fn first(&self) -> Lsn {
        self.first
    }

    /// The issue that it begins where none can.
    pub(super) fn check_first(&self) -> Option<Issue> {
        let lsn = self.first.get();
        (self.first >= Lsn::END).then_some(Issue::LogPosition { lsn })
    }

    /// What is at `lsn`, which is where the log begins or where a record says that the next is.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn at(&self, lsn: Lsn) -> Result<Place, Error> {
        let mut lsn = lsn;
        let mut bytes = Vec::new();
        // Of two skips in a row the second would be at the start of the ring, and lead round it.
        for _ in 0..2 {
            let Some(header) = self.record_at(lsn, &mut bytes)? else {
                return Ok(Place::End(lsn));
            };
            if header.kind == SKIP {
                lsn = lsn.plus(self.bytes_to_end(lsn));
                continue;
            }
            let decoded = Record::decode(header.kind, header.payload(&bytes));
            return Ok(match decoded {
                Ok(record) => Place::Record {
                    record: Box::new(record),
                    next: lsn.plus(header.padded_bytes()),
                },
                Err(error) => Place::Bad(Issue::BadRecord {
                    lsn: lsn.get(),
                    error,
                }),
            });
        }
        Ok(Place::End(lsn))
    }

    /// Whether the log may end at `end`: the issue that a later record shows otherwise.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn check_end(&self, end: Lsn) -> Result<Option<Issue>, Error> {
        let mut bytes = Vec::new();
        let mut at = end;
        while at < self.most() {
            let len_bytes = self
                .bytes_to_end(at)
                .min(self.most().since(at))
                .min(SEARCH_BYTES);
            let mut chunk = vec![0; len_bytes as usize];
            self.read(at, &mut chunk)?;
            let lines = chunk.chunks_exact(ALIGNMENT_BYTES as usize);
            for (line, bytes_of_line) in (0..).zip(lines) {
                let lsn = at.plus(line * ALIGNMENT_BYTES);
                let header = bytes_of_line.first_chunk().map(RecordHeader::decode);
                let Some(Ok(header)) = header else { continue };
                if let Some(issue) = self.later_mount(&header, lsn, &mut bytes)? {
                    return Ok(Some(issue));
                }
                if !self.knows_better(&header, lsn, end) {
                    continue;
                }
                if let Some(proof) = self.record_at(lsn, &mut bytes)? {
                    return Ok(Some(Issue::LogCut {
                        lsn: end.get(),
                        proof_lsn: lsn.get(),
                        durable_lsn: proof.stamp.durable_lsn.get(),
                    }));
                }
            }
            at = at.plus(len_bytes);
        }
        Ok(None)
    }

    /// The issue that a record lies where the log goes on and is of a mount that the superblock
    /// does not know of: the next mount would take that epoch, and its records for its own.
    fn later_mount(
        &self,
        header: &RecordHeader,
        lsn: Lsn,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<Issue>, Error> {
        let (found, most) = (header.stamp.epoch, self.image.superblock.epoch);
        let len_bytes = header.padded_bytes();
        let fits = len_bytes <= self.bytes_to_end(lsn).min(self.len_bytes / RING_PER_RECORD);
        if header.stamp.lsn != lsn || found <= most || !fits {
            return Ok(None);
        }
        bytes.resize(len_bytes as usize, 0);
        self.read(lsn, bytes)?;
        let lsn = lsn.get();
        let is_whole = header.verify(bytes).is_ok();
        Ok(is_whole.then_some(Issue::RecordOfFuture { lsn, most, found }))
    }

    fn knows_better(&self, header: &RecordHeader, lsn: Lsn, end: Lsn) -> bool {
        let stamp = header.stamp;
        stamp.lsn == lsn && stamp.epoch == self.image.superblock.epoch && stamp.durable_lsn > end
    }

    /// The header of the record at `lsn`, whose bytes are left in `bytes`; nothing when no record
    /// of this log is there.
    fn record_at(&self, lsn: Lsn, bytes: &mut Vec<u8>) -> Result<Option<RecordHeader>, Error> {
        let left = self.bytes_to_end(lsn).min(self.most().since(lsn));
        if left < ALIGNMENT_BYTES {
            return Ok(None);
        }
        let mut head = [0; HEADER_LEN];
        self.read(lsn, &mut head)?;
        let Ok(header) = RecordHeader::decode(&head) else {
            return Ok(None);
        };
        let stamp = header.stamp;
        let is_here = stamp.lsn == lsn && stamp.durable_lsn <= lsn;
        let belongs = is_here && stamp.epoch == self.image.superblock.epoch;
        let most = left.min(self.len_bytes / RING_PER_RECORD);
        if !belongs || header.padded_bytes() > most {
            return Ok(None);
        }
        bytes.resize(header.padded_bytes() as usize, 0);
        self.read(lsn, bytes)?;
        Ok(header.verify(bytes).is_ok().then_some(header))
    }

    /// The log is never longer than the ring, so no record ends after this.
    fn most(&self) -> Lsn {
        self.first.plus(self.len_bytes)
    }

    /// How many bytes there are from `lsn` to the end of the ring: never 0.
    fn bytes_to_end(&self, lsn: Lsn) -> u64 {
        self.len_bytes - lsn.get() % self.len_bytes
    }

    fn read(&self, lsn: Lsn, bytes: &mut [u8]) -> Result<(), Error> {
        let offset_bytes = self.start_bytes + lsn.get() % self.len_bytes;
        Ok(self.image.device.read(offset_bytes, bytes)?)
    }
}
