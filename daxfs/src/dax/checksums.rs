//! Checksums of data: compared by whoever reads a block, forgotten before one changes in place.
//!
//! ```text
//!   read, or copy from a block:  checksum in memory? compare; another one: is it still in memory?
//!   change in place:             compare what stays of the block; make the medium forget, durably;
//!                                forget in memory; change
//! ```
//! [`checksums`](crate::inode::block_map::checksums) has the states and the invariants,
//! [`summing`](super::summing) how blocks come to have them.
//!
//! A read-only mapping is checked when a fault brings its page in, and never again. A mapping that
//! may be written costs the checksums of what it brings in: stores are not seen.
//!
//! # Locking
//! The caller who changes bytes in place holds the I/O lock exclusive over them; who answers a page
//! fault, no lock, but there is a window, which keeps the file from being summed up. Inside that a
//! transaction.

use std::ops::Range;

use daxfs_pmem::{FaultError, Persistence, Protection};

use super::entry::Size;
use super::fault::PageFault;
use super::mapped_file::MappedFile;
use crate::error::{Error, Result};
use crate::format::geometry::{BLOCK_BYTES, blocks_for_bytes};
use crate::format::record::Record;
use crate::inode::block_map::Found;
use crate::inode::block_map::checksums::{Checksums, Standing};
use crate::schedule::{Mistake, Point};

/// What the record that forgets takes of the log, in bytes.
const FORGET_LOG_BYTES: u64 = 128;

// ---- Compare ----------------------------------------------------------------------------------

/// Compares those blocks of a file with their checksums that have one.
///
/// # Errors
/// [`Error::DataCorrupt`] for the first that holds something else, and what the device reports.
pub(super) fn check(mapped: &MappedFile, file_blocks: Range<u64>) -> Result<()> {
    let summed = mapped.blocks.checksums.within(&file_blocks);
    let mut summed = summed.into_iter();
    summed.try_for_each(|(file_block, expected)| compare(mapped, file_block, expected))
}

fn compare(mapped: &MappedFile, file_block: u64, expected: u32) -> Result<()> {
    let checksums = &mapped.blocks.checksums;
    let Found::Mapped(there) = mapped.blocks.look_up(file_block, 1) else {
        return Ok(());
    };
    mapped.volume.reached(Point::ChecksumSeen, file_block);
    let found = mapped.volume.checksum_of(there.run.block)?;
    // A store through a mapping may have come in between; the checksum is forgotten then.
    if found == expected || checksums.of(file_block) != Some(expected) {
        return Ok(());
    }
    Err(Error::DataCorrupt {
        inode: mapped.inode.number(),
        file_block,
        device_block: there.run.block,
        expected,
        found,
    })
}

// ---- Forget -----------------------------------------------------------------------------------

/// To be called before `bytes` of a file change where they are. What stays of their blocks is
/// compared first: it would be summed up again as if it were right.
///
/// # Errors
/// [`Error::DataCorrupt`] when such a block is damaged, and what the log reports.
pub(super) fn before_change(mapped: &MappedFile, bytes: Range<u64>) -> Result<()> {
    if !mapped.blocks.checksums.has_any() || bytes.is_empty() {
        return Ok(());
    }
    for (edge, is_whole) in [
        (bytes.start, bytes.start.is_multiple_of(BLOCK_BYTES)),
        (bytes.end - 1, bytes.end.is_multiple_of(BLOCK_BYTES)),
    ] {
        if !is_whole {
            let block = edge / BLOCK_BYTES;
            check(mapped, block..block + 1)?;
        }
    }
    let blocks = bytes.start / BLOCK_BYTES..blocks_for_bytes(bytes.end);
    forget(mapped, &blocks, std::slice::from_ref(&blocks))
}

/// To be called before a fault maps a page. Around one that may be written all that the fault may
/// map is compared too, since it is forgotten; a block there that is damaged keeps its checksum,
/// and nothing larger than a page is mapped then.
///
/// # Errors
/// [`FaultError::Device`] when the page is damaged, on devices of huge pages any of its 2 MiB, or
/// when what had to be logged cannot be.
pub(super) fn before_mapping(mapped: &MappedFile, fault: &PageFault<'_>) -> Result<(), FaultError> {
    if !mapped.blocks.checksums.has_any() {
        return Ok(());
    }
    let unit = mapped.units_of(fault.page..fault.page + 1);
    check(mapped, unit).map_err(|_| FaultError::Device)?;
    if fault.protection == Protection::ReadOnly {
        return Ok(());
    }
    let pages = Size::Large.around(fault.page);
    let is_damaged = |(page, expected): &(u64, u32)| compare(mapped, *page, *expected).is_err();
    let summed = mapped.blocks.checksums.within(&pages).into_iter();
    let damaged = summed.filter(is_damaged).map(|(page, _)| page);
    let right = without(pages.clone(), damaged);
    forget(mapped, &pages, &right).map_err(|_| FaultError::Device)
}

/// What is left of a range without some of it, which come in order.
fn without(range: Range<u64>, some: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    let mut at = range.start;
    for one in some {
        left.push(at..one);
        at = one + 1;
    }
    left.push(at..range.end);
    left.retain(|range| !range.is_empty());
    left
}

/// Forgets the checksums of blocks among `around`, and makes the medium forget them, before any of
/// them changes.
fn forget(mapped: &MappedFile, around: &Range<u64>, file_blocks: &[Range<u64>]) -> Result<()> {
    let checksums = &mapped.blocks.checksums;
    let volume = &mapped.volume;
    let Some(standing) = checksums.forget_unless_stored(file_blocks) else {
        return Ok(());
    };
    if volume.makes(Mistake::ChecksumsStay) {
        file_blocks
            .iter()
            .for_each(|blocks| checksums.forget(blocks));
        return Ok(());
    }
    let region = Checksums::region_of(around);
    let ticket = match standing {
        Standing::Forgotten => return Ok(()),
        Standing::Forgetting(ticket) => ticket,
        Standing::Stored => {
            let mut transaction = volume.begin(FORGET_LOG_BYTES)?;
            transaction.log(&Record::ForgetChecksums {
                inode: mapped.inode.number(),
                file_blocks: region.clone(),
            })?;
            volume.mark_changed(&transaction, &mapped.inode);
            checksums.begin_forgetting(&region, file_blocks)
        }
    };
    if volume.device.persistence() == Persistence::Msync {
        // The system may bring what is about to be written to the medium at any time.
        volume.log.sync()?;
    }
    checksums.end_forgetting(&region, ticket);
    Ok(())
}
