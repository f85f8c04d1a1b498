//! The names of one directory, by position, and which of them the next checkpoint must write.
//!
//! Plain data: touches no device and takes no locks (its owner's latch guards it).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::format::FileType;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) inode: u64,
    pub(crate) kind: FileType,
}

/// A name and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Box<[u8]>,
    pub(crate) target: Target,
}

/// The names of a directory.
#[derive(Default)]
pub(crate) struct Names {
    entries: BTreeMap<u64, Entry>,
    /// Positions that differ from the last checkpoint's.
    changed: BTreeSet<u64>,
}

impl Names {
    /// The entry called `name` among `positions`.
    pub(super) fn find(&self, positions: Range<u64>, name: &[u8]) -> Option<(u64, Target)> {
        self.entries
            .range(positions)
            .find(|(_, entry)| &*entry.name == name)
            .map(|(position, entry)| (*position, entry.target))
    }

    /// The first of `positions` without an entry.
    pub(super) fn vacant(&self, positions: Range<u64>) -> Option<u64> {
        let mut vacant = positions.start;
        for position in self.entries.range(positions.clone()).map(|(at, _)| *at) {
            if position != vacant {
                break;
            }
            vacant += 1;
        }
        positions.contains(&vacant).then_some(vacant)
    }

    pub(super) fn from(&self, position: u64, limit: usize) -> Vec<(u64, Entry)> {
        self.entries
            .range(position..)
            .take(limit)
            .map(|(position, entry)| (*position, entry.clone()))
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry at `position`.
    pub(crate) fn at(&self, position: u64) -> Option<&Entry> {
        self.entries.get(&position)
    }

    /// Adds an entry read from the medium; `false` when its position is taken.
    pub(crate) fn load(&mut self, position: u64, entry: Entry) -> bool {
        self.entries.insert(position, entry).is_none()
    }

    /// Puts an entry at a position, in the place of what is there. Returns what was.
    pub(crate) fn put(&mut self, position: u64, entry: Entry) -> Option<Entry> {
        self.changed.insert(position);
        self.entries.insert(position, entry)
    }

    /// Takes the entry at a position out.
    pub(crate) fn remove(&mut self, position: u64) -> Option<Entry> {
        self.changed.insert(position);
        self.entries.remove(&position)
    }

    /// The positions changed since the last call.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.changed)
    }

    /// Puts back what [`Names::take_changed`] took, after a checkpoint that failed.
    pub(crate) fn restore_changed(&mut self, changed: BTreeSet<u64>) {
        self.changed.extend(changed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, inode: u64) -> Entry {
        Entry {
            name: name.as_bytes().into(),
            target: Target {
                inode,
                kind: FileType::File,
            },
        }
    }

    #[test]
    fn names_of_one_hash_are_told_apart_and_leave_room_when_they_go() {
        let mut names = Names::default();
        let positions = 64..67;
        for (name, inode) in [("a", 2), ("b", 3), ("c", 4)] {
            let position = names.vacant(positions.clone()).unwrap();
            assert!(names.put(position, entry(name, inode)).is_none());
        }
        assert_eq!(names.vacant(positions.clone()), None);
        assert_eq!(names.find(positions.clone(), b"b").unwrap().0, 65);
        names.remove(65);
        assert_eq!(names.find(positions.clone(), b"c").unwrap().1.inode, 4);
        assert_eq!(names.vacant(positions.clone()), Some(65));
        assert_eq!(names.find(positions, b"b"), None);
    }

    #[test]
    fn what_changed_is_told_once_and_again_after_a_failure() {
        let mut names = Names::default();
        names.load(7, entry("stored", 2));
        names.put(9, entry("new", 3));
        names.remove(7);
        let changed = names.take_changed();
        assert_eq!(changed, [7, 9].into());
        assert!(names.take_changed().is_empty());
        names.restore_changed(changed);
        assert_eq!(names.take_changed(), [7, 9].into());
    }
}
