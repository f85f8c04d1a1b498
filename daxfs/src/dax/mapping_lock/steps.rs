//! What the designs do alike, whatever they hold around it. Locks nothing itself.

use std::ops::Range;

use crate::dax::entry_tree::{LockedEntry, Removal, SharedEntry};
use crate::dax::fault::{Request, Stop};
use crate::dax::mapped_file::{MappedFile, Prepared};
use crate::error::Result;
use crate::run::Run;
use crate::schedule::Point;

/// Locks the entry of a request.
pub(super) fn lock_entry<'file>(
    file: &'file MappedFile,
    request: &Request<'_>,
) -> Result<LockedEntry<'file>, Stop> {
    let page = request.fault.page;
    let before_wait = || file.volume.reached(Point::LockWait, page);
    Ok(file.entries.lock(page, request.size, before_wait)?)
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
    fresh: &mut Prepared<'_>,
) -> Result<u64> {
    let inserted = publish(file, file_block, fresh);
    // An entry with a block was made after the publication: it is the new one.
    file.invalidate(file_block..file_block + inserted, Removal::Holes)?;
    Ok(inserted)
}

/// Puts a write's blocks into the block map, in a transaction of its own. Returns how many.
pub(super) fn publish(file: &MappedFile, file_block: u64, fresh: &mut Prepared<'_>) -> u64 {
    let transaction = file.volume.gate.begin();
    let inserted = file.insert(&transaction, file_block, fresh.run());
    // What the block map has is no longer ours to give back.
    fresh.keep_rest(inserted);
    inserted
}

/// Takes blocks out of the block map, in a transaction of its own, invalidates, and only then gives
/// the blocks back.
pub(super) fn remove_and_invalidate(file: &MappedFile, pages: Range<u64>) -> Result<()> {
    let removed = take_out(file, pages.clone());
    file.invalidate(pages, Removal::All)?;
    file.volume.allocator.free_after_checkpoint(removed);
    Ok(())
}

/// The same for blocks that faults have published behind the back of [`remove_and_invalidate`];
/// costs next to nothing when there are none.
pub(super) fn remove_stragglers(file: &MappedFile, pages: Range<u64>) -> Result<()> {
    let removed = take_out(file, pages.clone());
    if removed.is_empty() {
        return Ok(());
    }
    file.invalidate(pages, Removal::All)?;
    file.volume.allocator.free_after_checkpoint(removed);
    Ok(())
}

fn take_out(file: &MappedFile, pages: Range<u64>) -> Vec<Run> {
    let transaction = file.volume.gate.begin();
    let removed = file.blocks.remove(pages);
    if !removed.is_empty() {
        file.volume.mark_changed(&transaction, &file.inode);
    }
    removed
}
