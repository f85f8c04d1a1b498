//! What each record of the log means in memory.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`names`] | inodes that get, lose and move names |
//! | [`attributes`] | attributes of all kinds |
//! | [`content`] | lengths and blocks of files |
//!
//! An operation that commits a record and a mount that replays it come through the same code, so a
//! recovered filesystem cannot differ from the one that crashed. (Block maps of open files are the
//! exception: the paths in [`dax`](crate::dax) change them themselves, under their own locks, and
//! log what they did; the same changes are here for the replay.)
//!
//! A record speaks of inodes by number and of names by position. One that speaks of what is not
//! there is a damaged log: [`Error::Corrupt`].
//!
//! # Locking
//! Latches only. The caller is inside a transaction and holds the operation's locks, or is the only
//! one who can reach the volume.

mod attributes;
mod content;
mod names;

use super::Volume;
use crate::error::{Error, Result};
use crate::format::record::Record;

/// Makes `record` true in memory.
///
/// # Errors
/// [`Error::Corrupt`] when it speaks of what is not there, and what reading an inode reports.
pub(super) fn apply(volume: &Volume, record: &Record) -> Result<()> {
    match record {
        Record::Create { .. } => names::create(volume, record),
        Record::Link {
            directory,
            position,
            name,
            inode,
            time,
        } => names::link(volume, (*directory, *position, name), *inode, *time),
        Record::Unlink {
            directory,
            position,
            inode,
            time,
            disposition,
        } => names::unlink(volume, (*directory, *position), *inode, *disposition, *time),
        Record::Rename { .. } => names::rename(volume, record),
        Record::Exchange {
            first,
            second,
            time,
        } => names::exchange(volume, [first, second], *time),
        Record::SetAttributes { .. } => attributes::set(volume, record),
        Record::SetXattr {
            inode,
            name,
            value,
            time,
        } => attributes::set_extended(volume, *inode, name, Some(value), *time),
        Record::RemoveXattr { inode, name, time } => {
            attributes::set_extended(volume, *inode, name, None, *time)
        }
        Record::RemoveInode { inode } => content::remove_inode(volume, &volume.inode(*inode)?),
        Record::Map { .. }
        | Record::Unmap { .. }
        | Record::SetLength { .. }
        | Record::Extend { .. }
        | Record::Replace { .. }
        | Record::Share { .. }
        | Record::Shift { .. }
        | Record::Redo { .. }
        | Record::RedoDone { .. }
        | Record::ForgetChecksums { .. } => content::apply(volume, record),
    }
}

/// A record that speaks of what is not there.
fn impossible(problem: String) -> Error {
    Error::Corrupt {
        structure: "log record",
        block: 0,
        problem,
    }
}
