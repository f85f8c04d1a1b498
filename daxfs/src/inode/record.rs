//! An inode as the format stores it, and back.
//!
//! Touches no device. A snapshot takes the inode's latches one after the other; the caller keeps
//! transactions out (it closed the gate), so that the parts belong together.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::block_map::FileExtent;
use super::{Attributes, Body, Inode};
use crate::directory::{Directory, Target};
use crate::format::{self, Extent, InodeKind, Timestamp, TreeRoot};
use crate::gate::Closed;
use crate::run::Run;

/// A copy of an inode, to be written by a checkpoint.
pub(crate) struct Snapshot {
    /// The inode as stored, except for its content.
    pub(crate) inode: format::Inode,
    pub(crate) content: SnapshotContent,
}

/// A copy of an inode's content.
pub(crate) enum SnapshotContent {
    Extents(Vec<Extent>),
    Names(Vec<(Vec<u8>, Target)>),
}

impl Inode {
    /// Copies the inode for a checkpoint.
    pub(crate) fn snapshot(&self, _closed: &Closed<'_>) -> Snapshot {
        let attributes = self.attributes();
        self.times_changed.store(false, Ordering::Relaxed);
        let (content, allocated_blocks, parent) = match &self.body {
            Body::File(blocks) => {
                let extents = split_extents(&blocks.extents());
                (
                    SnapshotContent::Extents(extents),
                    blocks.allocated_blocks(),
                    0,
                )
            }
            Body::Directory(directory) => (
                SnapshotContent::Names(directory.entries()),
                0,
                directory.parent(),
            ),
        };
        let extent_count = match &content {
            SnapshotContent::Extents(extents) => extents.len() as u64,
            SnapshotContent::Names(_) => 0,
        };
        let inode = format::Inode {
            number: self.number,
            kind: self.kind(),
            mode: attributes.mode,
            links: self.links(),
            uid: attributes.uid,
            gid: attributes.gid,
            size_bytes: self.len_bytes(),
            allocated_blocks,
            accessed: to_timestamp(attributes.accessed),
            modified: to_timestamp(attributes.modified),
            changed: to_timestamp(attributes.changed),
            created: to_timestamp(attributes.created),
            content: TreeRoot::EMPTY,
            extent_count,
            parent,
            inline_extents: Vec::new(),
        };
        Snapshot { inode, content }
    }

    /// The inode that `stored` describes, with no content yet.
    pub(crate) fn load(stored: &format::Inode) -> Self {
        let attributes = Attributes {
            mode: stored.mode,
            uid: stored.uid,
            gid: stored.gid,
            accessed: from_timestamp(stored.accessed),
            modified: from_timestamp(stored.modified),
            changed: from_timestamp(stored.changed),
            created: from_timestamp(stored.created),
        };
        let body = match stored.kind {
            InodeKind::File => Body::File(Arc::default()),
            InodeKind::Directory => Body::Directory(Directory::new(stored.parent)),
        };
        Self::with(
            stored.number,
            body,
            stored.size_bytes,
            stored.links,
            attributes,
        )
    }
}

/// The extents as stored: the same, with none longer than a stored length can say.
pub(crate) fn split_extents(extents: &[FileExtent]) -> Vec<Extent> {
    const LONGEST: u64 = 1 << 31;
    let mut stored = Vec::with_capacity(extents.len());
    for extent in extents {
        let mut file_block = extent.file_block;
        let mut rest = extent.run;
        while rest.len_blocks > 0 {
            let (piece, after): (Run, Run) = rest.split_at(LONGEST);
            stored.push(Extent {
                file_block,
                device_block: piece.block,
                len_blocks: piece.len_blocks as u32,
            });
            file_block += piece.len_blocks;
            rest = after;
        }
    }
    stored
}

fn to_timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp {
            seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: after.subsec_nanos(),
        },
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => Timestamp {
                    seconds: -seconds,
                    nanoseconds: 0,
                },
                nanoseconds => Timestamp {
                    seconds: -seconds - 1,
                    nanoseconds: 1_000_000_000 - nanoseconds,
                },
            }
        }
    }
}

fn from_timestamp(stored: Timestamp) -> SystemTime {
    let whole = Duration::from_secs(stored.seconds.unsigned_abs());
    let base = match stored.seconds {
        0.. => UNIX_EPOCH.checked_add(whole),
        _ => UNIX_EPOCH.checked_sub(whole),
    };
    let nanoseconds = Duration::from_nanos(u64::from(stored.nanoseconds));
    base.and_then(|time| time.checked_add(nanoseconds))
        .unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_1970_come_back_exactly() {
        for nanoseconds in [-1_500_000_001i64, -1_000_000_000, -1, 0, 1, 1_500_000_001] {
            let offset = Duration::from_nanos(nanoseconds.unsigned_abs());
            let time = if nanoseconds < 0 {
                UNIX_EPOCH - offset
            } else {
                UNIX_EPOCH + offset
            };
            assert_eq!(from_timestamp(to_timestamp(time)), time);
        }
        for seconds in [i64::MIN, i64::MAX] {
            let stored = Timestamp {
                seconds,
                nanoseconds: 999_999_999,
            };
            // What no clock of this system can show becomes 1970; what one can comes back.
            let time = from_timestamp(stored);
            assert!(
                time == UNIX_EPOCH || to_timestamp(time) == stored,
                "{seconds}"
            );
        }
    }

    #[test]
    fn an_extent_longer_than_a_stored_length_is_split() {
        let extent = FileExtent {
            file_block: 7,
            run: Run::new(512, (1 << 32) + 5),
        };
        let stored = split_extents(&[extent]);
        let lengths: Vec<u32> = stored.iter().map(|extent| extent.len_blocks).collect();
        assert_eq!(lengths, [1 << 31, 1 << 31, 5]);
        assert_eq!(stored[2].file_block, 7 + (1 << 32));
        assert_eq!(stored[2].device_block, 512 + (1 << 32));
    }
}
