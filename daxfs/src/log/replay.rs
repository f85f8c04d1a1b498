//! Reading the log back: records in order, up to the first that is none, and what proves damage.
//!
//! Reads the log's blocks and writes nothing. Takes no locks: nobody appends before the replay is
//! over.

use daxfs_pmem::Device;

use super::ring::{LogRegion, Ring};
use crate::error::{Error, Result};
use crate::format::geometry::SUPERBLOCK_BLOCKS;
use crate::format::record::header::{ALIGNMENT_BYTES, HEADER_LEN, SKIP};
use crate::format::record::{Lsn, Record, RecordHeader, Stamp};
use crate::format::{FormatError, Structure};

/// How much is read at once in search of later records.
const SCAN_BYTES: usize = 64 << 10;

/// Hands every record from `first_lsn` on to `visit`, oldest first, and returns where the log ends:
/// what the next mount begins to write at, with the next epoch.
///
/// # Errors
/// [`Error::Corrupt`] when the log ends before a place up to which a later record of the same epoch
/// says that it was durable, when a record of a later epoch lies where it would go on, when a
/// record holds what none may hold, and when `first_lsn` is no position; [`Error::Truncated`] when
/// the device ends before the log; [`Error::Device`]; and the first error of `visit`.
pub(crate) fn replay(
    device: &Device,
    region: LogRegion,
    first_lsn: Lsn,
    epoch: u64,
    visit: &mut dyn FnMut(Lsn, Record) -> Result<()>,
) -> Result<Lsn> {
    let reader = Reader::new(device, region, first_lsn, epoch)?;
    let mut buffer = Vec::new();
    let mut at = first_lsn;
    while let Some(header) = reader.record_at(at, &mut buffer)? {
        if header.kind == SKIP {
            at = at.plus(reader.ring.bytes_to_end(at));
            continue;
        }
        let record = Record::decode(header.kind, header.payload(&buffer));
        visit(at, record.map_err(|error| reader.corrupt(at, &error))?)?;
        at = at.plus(header.padded_bytes());
    }
    reader.check_end(at, &mut buffer)?;
    Ok(at)
}

/// What a record must be to belong to this log.
struct Reader<'device> {
    device: &'device Device,
    ring: Ring,
    epoch: u64,
    /// The log is never longer than the ring, so it ends here or earlier.
    most: Lsn,
}

impl<'device> Reader<'device> {
    fn new(device: &'device Device, region: LogRegion, first_lsn: Lsn, epoch: u64) -> Result<Self> {
        let ring = Ring::new(region);
        let reader = Self {
            device,
            ring,
            epoch,
            most: first_lsn.plus(ring.len_bytes()),
        };
        let usable_bytes = device.usable_bytes();
        if ring.end_bytes() > usable_bytes {
            return Err(Error::Truncated {
                expected_bytes: ring.end_bytes(),
                found_bytes: usable_bytes,
            });
        }
        if !first_lsn.get().is_multiple_of(ALIGNMENT_BYTES) || first_lsn >= Lsn::END {
            return Err(Error::Corrupt {
                structure: Structure::Superblock.name(),
                block: SUPERBLOCK_BLOCKS[0],
                problem: format!("log_first_lsn is {first_lsn}, no position of a log"),
            });
        }
        Ok(reader)
    }

    /// The header of the record at `lsn`, whose bytes are left in `buffer`; `None` when there is
    /// none of this log.
    fn record_at(&self, lsn: Lsn, buffer: &mut Vec<u8>) -> Result<Option<RecordHeader>> {
        let mut bytes = [0; HEADER_LEN];
        self.read(lsn, &mut bytes)?;
        let Ok(header) = RecordHeader::decode(&bytes) else {
            return Ok(None);
        };
        let len_bytes = header.padded_bytes();
        let Stamp {
            lsn: stated_lsn,
            epoch,
            durable_lsn,
        } = header.stamp;
        let belongs = stated_lsn == lsn && epoch == self.epoch && durable_lsn <= lsn;
        let left = self.ring.bytes_to_end(lsn);
        if !belongs || len_bytes > left.min(self.ring.max_record_bytes()) {
            return Ok(None);
        }
        // At most a quarter of the ring.
        buffer.resize(len_bytes as usize, 0);
        self.read(lsn, buffer)?;
        Ok(header.verify(buffer).is_ok().then_some(header))
    }

    /// Whether the log may end at `end`: no record from there on knows better.
    fn check_end(&self, end: Lsn, buffer: &mut Vec<u8>) -> Result<()> {
        let mut chunk = vec![0; SCAN_BYTES];
        let mut at = end;
        while at < self.most {
            let left = self.ring.bytes_to_end(at).min(self.most.since(at));
            let chunk = &mut chunk[..(left as usize).min(SCAN_BYTES)];
            self.read(at, chunk)?;
            for (line, bytes) in (0..).zip(chunk.chunks_exact(ALIGNMENT_BYTES as usize)) {
                let lsn = at.plus(line * ALIGNMENT_BYTES);
                let header = bytes.first_chunk().map(RecordHeader::decode);
                let Some(Ok(header)) = header.filter(|header| is_at(header, lsn)) else {
                    continue;
                };
                self.check_epoch(&header, buffer)?;
                if header.stamp.durable_lsn > end
                    && let Some(later) = self.record_at(lsn, buffer)?
                {
                    return Err(self.damaged(end, &later));
                }
            }
            at = at.plus(chunk.len() as u64);
        }
        Ok(())
    }

    /// Refuses a whole record of a mount after the one that the superblock knows of: the superblock
    /// is out of date, and the next mount would take that epoch, and such records for its own.
    fn check_epoch(&self, header: &RecordHeader, buffer: &mut Vec<u8>) -> Result<()> {
        let Stamp { lsn, epoch, .. } = header.stamp;
        let len_bytes = header.padded_bytes();
        let most = self
            .ring
            .bytes_to_end(lsn)
            .min(self.ring.max_record_bytes());
        if epoch <= self.epoch || len_bytes > most {
            return Ok(());
        }
        // At most a quarter of the ring.
        buffer.resize(len_bytes as usize, 0);
        self.read(lsn, buffer)?;
        if header.verify(buffer).is_err() {
            return Ok(());
        }
        Err(Error::Corrupt {
            structure: Structure::LogRecord.name(),
            block: self.ring.block(lsn),
            problem: format!(
                "the record at log position {lsn} is of mount {epoch}, and the superblock of mount \
                 {}",
                self.epoch
            ),
        })
    }

    fn damaged(&self, end: Lsn, later: &RecordHeader) -> Error {
        let stamp = later.stamp;
        Error::Corrupt {
            structure: Structure::LogRecord.name(),
            block: self.ring.block(end),
            problem: format!(
                "no valid record at log position {end}, but the one at {} was written when \
                 everything before {} was durable",
                stamp.lsn, stamp.durable_lsn
            ),
        }
    }

    fn corrupt(&self, lsn: Lsn, error: &FormatError) -> Error {
        error.at_block(self.ring.block(lsn))
    }

    /// Reads bytes that the ring's end does not cut.
    fn read(&self, lsn: Lsn, buffer: &mut [u8]) -> Result<()> {
        Ok(self.device.read(self.ring.offset_bytes(lsn), buffer)?)
    }
}

/// Whether a header, if it is one, says that it lies at `lsn`.
fn is_at(header: &Result<RecordHeader, FormatError>, lsn: Lsn) -> bool {
    header.as_ref().is_ok_and(|header| header.stamp.lsn == lsn)
}
