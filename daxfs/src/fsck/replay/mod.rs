//! What the log makes of a checkpoint, as changes of items.
//!
//! Written from the format's description of each record, and sharing no line with the part that
//! replays the log at mount: where the two differ, one of them is wrong, and the tests that compare
//! a mounted image with a checked one say so.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`names`] | inodes that get, lose and move names |
//! | [`attributes`] | attributes of all kinds |
//! | [`content`] | lengths and blocks of files |
//! | [`checksums`] | checksums of data that no longer count, or are of other blocks now |
//! | [`runs`] | the runs of a file: taken out, put in, brought into their one form |
//!
//! Takes no locks.

mod attributes;
pub(super) mod checksums;
mod content;
mod names;
pub(super) mod runs;

use super::bits::Bits;
use super::issue::Issue;
use super::items::Items;
use super::log::{Log, Place};
use crate::error::Error;
use crate::format::geometry::MAXIMUM_FILE_BLOCKS;
use crate::format::item::orphan::orphan_key;
use crate::format::item::{ItemKind, Key, StoredInode};
use crate::format::record::{Lsn, Record};
use crate::format::{SuperblockState, Timestamp};

/// Bytes that a record wants written again, and where on the device.
#[derive(Debug)]
pub(super) struct RedoWrite {
    /// The file that they are for.
    pub(super) inode: u64,
    pub(super) offset_bytes: u64,
    pub(super) bytes: Vec<u8>,
}

/// What a replay came to.
#[derive(Debug)]
pub(super) struct Replay {
    /// Records that were applied.
    pub(super) records: u64,
    /// The position after the last of them.
    pub(super) end: Lsn,
    /// Inode numbers in use are below this.
    pub(super) next_inode: u64,
    /// What is to be written again, in this order.
    pub(super) redo: Vec<RedoWrite>,
    /// What is wrong with the log.
    pub(super) issue: Option<Issue>,
}

/// Why a record was not applied.
pub(super) enum Failure {
    /// It speaks of what is not there.
    Impossible(String),
    /// The device failed.
    Device(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Device(error)
    }
}

pub(super) type Applied<T = ()> = Result<T, Failure>;

fn impossible<T>(problem: String) -> Applied<T> {
    Err(Failure::Impossible(problem))
}

/// Applies the log to `items`, as far as it goes; that of an image that was unmounted is empty,
/// whatever is in the ring. `used` are the blocks that the checkpoint uses:
/// none of them is given away before the next checkpoint.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn replay(items: &mut Items<'_>, used: &Bits) -> Result<Replay, Error> {
    let image = items.image();
    let log = Log::new(image);
    let mut replay = Replay {
        records: 0,
        end: log.first(),
        next_inode: image.superblock.next_inode,
        redo: Vec::new(),
        issue: None,
    };
    let given = Bits::new(image.block_count());
    if let Some(issue) = log.check_first() {
        replay.issue = Some(issue);
        return Ok(replay);
    }
    if image.superblock.state == SuperblockState::Clean {
        return Ok(replay);
    }
    loop {
        let (record, next) = match log.at(replay.end)? {
            Place::Record { record, next } => (record, next),
            Place::Bad(issue) => {
                replay.issue = Some(issue);
                return Ok(replay);
            }
            Place::End(end) => {
                replay.end = end;
                break;
            }
        };
        let mut model = Model {
            items,
            redo: &mut replay.redo,
            used,
            given: &given,
        };
        match model.apply(&record) {
            Ok(()) => {}
            Err(Failure::Device(error)) => return Err(error),
            Err(Failure::Impossible(problem)) => {
                let lsn = replay.end.get();
                replay.issue = Some(Issue::RecordDoesNotApply { lsn, problem });
                return Ok(replay);
            }
        }
        if let Record::Create { inode, .. } = *record {
            replay.next_inode = replay.next_inode.max(inode.saturating_add(1));
        }
        replay.records += 1;
        replay.end = next;
    }
    replay.issue = log.check_end(replay.end)?;
    Ok(replay)
}

/// The state that records change.
struct Model<'m, 'a> {
    items: &'m mut Items<'a>,
    redo: &'m mut Vec<RedoWrite>,
    /// Blocks that the checkpoint uses.
    used: &'m Bits,
    /// Blocks that records gave to files, and have not taken from them since.
    given: &'m Bits,
}

impl Model<'_, '_> {
    fn apply(&mut self, record: &Record) -> Applied {
        match record {
            Record::Create { .. }
            | Record::Link { .. }
            | Record::Unlink { .. }
            | Record::Rename { .. }
            | Record::Exchange { .. } => self.apply_to_names(record),
            Record::SetAttributes { .. } | Record::SetXattr { .. } | Record::RemoveXattr { .. } => {
                self.apply_to_attributes(record)
            }
            Record::RemoveInode { inode } => {
                self.inode(*inode)?;
                self.remove_inode(*inode)
            }
            _ => self.apply_to_content(record),
        }
    }

    fn inode(&self, number: u64) -> Applied<StoredInode> {
        let key = Key::new(number, ItemKind::Inode, 0);
        let value = self.items.get(key)?;
        match value.map(|value| StoredInode::decode(&value)) {
            Some(Ok(inode)) => Ok(inode),
            Some(Err(error)) => impossible(format!("inode {number}: {error}")),
            None => impossible(format!("inode {number} does not exist")),
        }
    }

    fn put_inode(&mut self, number: u64, inode: &StoredInode) {
        let key = Key::new(number, ItemKind::Inode, 0);
        self.items.put(key, inode.encode().to_vec());
    }

    /// Changes an inode, which was read before.
    fn change(&mut self, number: u64, change: impl FnOnce(&mut StoredInode)) -> Applied {
        let mut inode = self.inode(number)?;
        change(&mut inode);
        self.put_inode(number, &inode);
        Ok(())
    }

    /// Takes an inode out, with all that it has.
    fn remove_inode(&mut self, number: u64) -> Applied {
        let blocks = runs::load(self.items, number, &(0..MAXIMUM_FILE_BLOCKS))?;
        self.forget_given(&blocks);
        self.items.remove_range(Key::range_of_inode(number))?;
        self.items.remove(orphan_key(number));
        Ok(())
    }
}

/// The content changed.
fn touch(inode: &mut StoredInode, time: Timestamp) {
    inode.modified = time;
    inode.changed = time;
}
