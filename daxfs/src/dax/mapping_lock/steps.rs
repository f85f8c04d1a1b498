//! What the designs do alike, whatever they hold around it. Locks nothing itself.

use std::ops::Range;

use super::Cut;
use crate::dax::entry_tree::{LockedEntry, Removal, SharedEntry};
use crate::dax::fault::{Request, Stop};
use crate::dax::mapped_file::MappedFile;
use crate::dax::prepared::Filled;
use crate::error::Result;
use crate::format::record::{Record, ShiftDirection};
use crate::inode::attributes::now;
use crate::inode::block_map::MappedRun;
use crate::run::Run;
use crate::schedule::Point;

/// Locks the entry of a request.
pub(super) fn lock_entry<'file>(
    file: &'file MappedFile,
    request: &Request<'_>,
) -> Result<LockedEntry<'file>, Stop> {
    let page = request.fault.page;
    let before_wait = || file.volume.reached(Point::LockWait, page);
    let locked = file.entries.lock(page, request.size, before_wait)?;
    file.volume.reached(Point::EntryLocked, page);
    Ok(locked)
}

/// Holds the entry of a request shared, if it has the answer.
pub(super) fn share_entry<'file>(
    file: &'file MappedFile,
    request: &Request<'_>,
) -> Option<SharedEntry<'file>> {
    let page = request.fault.page;
    let before_wait = || file.volume.reached(Point::LockWait, page);
    let has_answer = |entry| request.answer_of(entry).is_some();
    file.entries.share(page, has_answer, before_wait)
}

/// Puts a write's blocks into the block map, in a transaction of its own, and then invalidates.
pub(super) fn publish_and_invalidate(
    file: &MappedFile,
    file_block: u64,
    fresh: &mut Filled<'_>,
    len_bytes: u64,
) -> Result<u64> {
    let inserted = publish(file, file_block, fresh, len_bytes)?;
    // An entry with a block was made after the publication: it is the new one.
    file.invalidate(file_block..file_block + inserted, Removal::Holes)?;
    Ok(inserted)
}

/// Puts a write's blocks into the block map, in a transaction of its own. Returns how many.
pub(super) fn publish(
    file: &MappedFile,
    file_block: u64,
    fresh: &mut Filled<'_>,
    len_bytes: u64,
) -> Result<u64> {
    let mut transaction = file.begin()?;
    file.insert(&mut transaction, file_block, fresh, len_bytes)
}

/// Takes blocks out of the block map, in a transaction of its own, invalidates, and only then gives
/// the blocks back.
pub(super) fn remove_and_invalidate(file: &MappedFile, pages: Range<u64>, cut: Cut) -> Result<()> {
    let taken_out = take_out(file, pages.clone(), cut)?;
    match cut {
        Cut::Shift { .. } => file.invalidate_moved(pages)?,
        Cut::Truncate { .. } | Cut::Punch => file.invalidate(pages, Removal::All)?,
    }
    taken_out.free(file);
    Ok(())
}

/// The same for blocks that faults have published behind the back of [`remove_and_invalidate`];
/// costs next to nothing when there are none.
pub(super) fn remove_stragglers(file: &MappedFile, pages: Range<u64>, cut: Cut) -> Result<()> {
    if matches!(cut, Cut::Shift { .. }) {
        // What a fault has published meanwhile lies where there is a hole now: it stays.
        return Ok(());
    }
    let taken_out = take_out(file, pages.clone(), Cut::Punch)?;
    if matches!(taken_out, TakenOut::Nothing) {
        return Ok(());
    }
    file.invalidate(pages, Removal::All)?;
    taken_out.free(file);
    Ok(())
}

/// What a cut has taken out of the block map.
enum TakenOut {
    Nothing,
    /// Those that no other place has: to be freed once no mapping reaches them.
    Blocks(Vec<Run>),
}

impl TakenOut {
    fn free(self, file: &MappedFile) {
        if let Self::Blocks(runs) = self {
            file.volume.allocator.free_withdrawn(runs);
        }
    }
}

/// What the record of a cut takes of the log, in bytes.
const CUT_LOG_BYTES: u64 = 128;

/// One record says that the file is shorter and that its blocks are gone, so a crash leaves both or
/// neither. The length that others see was shortened before, so that no fault brings blocks back.
fn take_out(file: &MappedFile, pages: Range<u64>, cut: Cut) -> Result<TakenOut> {
    let mut transaction = file.volume.begin(CUT_LOG_BYTES)?;
    let _order = file.order();
    let removed = change(file, pages.clone(), cut);
    let record = match record_of(file, pages, cut) {
        Record::Unmap { .. } if removed.is_empty() => return Ok(TakenOut::Nothing),
        record => record,
    };
    file.volume.mark_changed(&transaction, &file.inode);
    transaction.log(&record)?;
    file.inode.touch(now());
    Ok(TakenOut::Blocks(file.volume.withdraw(&removed)))
}

/// What a cut does to the block map and to the length.
fn change(file: &MappedFile, pages: Range<u64>, cut: Cut) -> Vec<MappedRun> {
    match cut {
        Cut::Truncate { .. } | Cut::Punch => file.blocks.remove(pages),
        Cut::Shift {
            len_blocks,
            direction,
            len_bytes,
        } => {
            file.inode.set_len_bytes(len_bytes);
            match direction {
                ShiftDirection::TowardsStart => file.blocks.collapse(pages.start, len_blocks),
                ShiftDirection::TowardsEnd => {
                    file.blocks.spread(pages.start, len_blocks);
                    Vec::new()
                }
            }
        }
    }
}

fn record_of(file: &MappedFile, pages: Range<u64>, cut: Cut) -> Record {
    let inode = file.inode.number();
    let time = now();
    match cut {
        Cut::Truncate { len_bytes } => Record::SetLength {
            inode,
            len_bytes,
            kept_blocks: pages.start,
            time,
        },
        Cut::Punch => Record::Unmap {
            inode,
            file_blocks: pages,
            time,
        },
        Cut::Shift {
            len_blocks,
            direction,
            len_bytes,
        } => Record::Shift {
            inode,
            file_block: pages.start,
            len_blocks,
            direction,
            len_bytes,
            time,
        },
    }
}
