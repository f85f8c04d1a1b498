//! What the designs do alike, whatever they hold around it. Locks nothing itself.

use std::ops::Range;

use crate::dax::entry_tree::Removal;
use crate::dax::mapped_file::{MappedFile, Prepared};
use crate::error::Result;
use crate::run::Run;

/// Puts a write's blocks into the block map, in a transaction of its own, and then invalidates.
pub(super) fn publish_and_invalidate(
    file: &MappedFile,
    file_block: u64,
    fresh: &mut Prepared<'_>,
) -> Result<u64> {
    let inserted = publish(file, file_block, fresh);
    // A dirty entry was made after the publication: its block is the new one.
    file.invalidate(file_block..file_block + inserted, Removal::Clean)?;
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
