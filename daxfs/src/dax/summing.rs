//! Computing the checksums of a file that nobody writes.
//!
//! When the last handle of a file is closed, what it holds stays as it is: this is the time to
//! compute the checksums that its blocks lack, 16 MiB after the other, for the next checkpoint to
//! store. Blocks that nobody changed since they were summed up are not read again. If somebody
//! opens the file meanwhile, he waits for the part that is being read before he can write it; and
//! once it is mapped there is nothing more to do, for a store is not seen. What was stored through
//! mappings that are gone is made durable first: a checksum that outlives its data would be wrong.
//!
//! # Locking
//! The I/O lock shared over the part, and inside it the sharing lock, shared, so that the file gets
//! no first window meanwhile; inside that a transaction.

use std::ops::Range;

use super::mapped_file::MappedFile;
use super::open_file::OpenFile;
use crate::error::Result;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::item::CHECKSUM_GROUP_BLOCKS;
use crate::inode::block_map::checksums::Checksums;
use crate::schedule::Point;

/// What the item of a group takes of a leaf beside its checksums, and each of these, in bytes.
const ITEM_BYTES: u64 = 40;
const SUM_BYTES: u64 = 4;
/// Half a leaf: no less of it is in use, but for the last.
const LEAF_BYTES: u64 = 2048;

/// Whether summing up would change anything.
pub(crate) fn is_behind(file: &OpenFile) -> bool {
    let blocks = &file.mapped.blocks;
    blocks.checksums.summed_blocks() < blocks.allocated_blocks()
        || !blocks.checksums.are_stored(&(0..u64::MAX))
}

/// Computes the checksums that the file lacks, unless it is mapped: all that was written to it is
/// where a checkpoint makes it durable. The next one stores them.
///
/// # Errors
/// [`Error::NoSpace`](crate::Error::NoSpace) when there is no room for them, and what the device
/// reports. What was computed until then counts.
pub(crate) fn sum_up(file: &OpenFile) -> Result<()> {
    let mut at = 0;
    for extent in file.mapped.blocks.extents() {
        let blocks = extent.file_blocks();
        at = at.max(blocks.start);
        while at < blocks.end {
            let region = Checksums::region_of(&(at..at + 1));
            sum_up_region(file, &region)?;
            at = region.end;
        }
    }
    Ok(())
}

fn sum_up_region(file: &OpenFile, region: &Range<u64>) -> Result<()> {
    let mapped = &file.mapped;
    let volume = &mapped.volume;
    let bytes = region.start * BLOCK_BYTES..region.end * BLOCK_BYTES;
    volume.reached(Point::SummingUp, region.start);
    file.io_lock.shared(bytes, || {
        let _sharers = mapped.sharing.shared();
        if !mapped.windows.is_empty() {
            return Ok(());
        }
        // Nobody is taking entries out: for that one holds either lock alone.
        file.flush_dirty(region.clone())?;
        let sums = missing(mapped, region)?;
        let checksums = &mapped.blocks.checksums;
        if sums.is_empty() && checksums.are_stored(region) {
            return Ok(());
        }
        let transaction = volume.begin(0)?;
        volume
            .allocator
            .grow_reserve(metadata_blocks(mapped, region))?;
        checksums.keep(region, sums);
        volume.mark_changed(&transaction, &mapped.inode);
        Ok(())
    })
}

/// Blocks of metadata for the checksums of a region, and to write them anew to.
fn metadata_blocks(mapped: &MappedFile, region: &Range<u64>) -> u64 {
    let extents = mapped.blocks.extents_within(region.clone());
    let blocks: u64 = extents.iter().map(|extent| extent.run.len_blocks).sum();
    let groups = (region.end - region.start) / CHECKSUM_GROUP_BLOCKS;
    let bytes = blocks.min(groups) * ITEM_BYTES + blocks * SUM_BYTES;
    2 * bytes.div_ceil(LEAF_BYTES)
}

/// Blocks that have none, and what theirs are.
fn missing(mapped: &MappedFile, region: &Range<u64>) -> Result<Vec<(u64, u32)>> {
    let mut sums = Vec::new();
    for extent in mapped.blocks.extents_within(region.clone()) {
        for (file_block, device_block) in extent.file_blocks().zip(extent.run.block..) {
            if mapped.blocks.checksums.of(file_block).is_none() {
                sums.push((file_block, mapped.volume.checksum_of(device_block)?));
            }
        }
    }
    Ok(sums)
}
