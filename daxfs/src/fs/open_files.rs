//! Which files are open, and so what becomes of an inode that loses its last name.
//!
//! Plain data: its owner's lock is held while somebody decides about an inode and makes the
//! decision durable, so that a file is not opened while it is removed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::mounted::OpenHandle;
use crate::format::record::Disposition;
use crate::inode::Inode;

/// The open files of one mounted filesystem.
#[derive(Default)]
pub(super) struct OpenFiles {
    /// By inode number; an entry whose file is gone is about to be removed.
    handles: HashMap<u64, Weak<OpenHandle>>,
}

impl OpenFiles {
    /// The open file with a number.
    pub(super) fn get(&self, number: u64) -> Option<Arc<OpenHandle>> {
        self.handles.get(&number).and_then(Weak::upgrade)
    }

    pub(super) fn insert(&mut self, number: u64, handle: &Arc<OpenHandle>) {
        self.handles.insert(number, Arc::downgrade(handle));
    }

    /// Forgets a file unless it is open (again).
    pub(super) fn remove_closed(&mut self, number: u64) {
        if !self.is_open(number) {
            self.handles.remove(&number);
        }
    }

    pub(super) fn is_open(&self, number: u64) -> bool {
        self.handles
            .get(&number)
            .is_some_and(|handle| handle.strong_count() > 0)
    }

    /// All that are open.
    pub(super) fn all(&self) -> Vec<Arc<OpenHandle>> {
        self.handles.values().filter_map(Weak::upgrade).collect()
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        let is_open = |handle: &&Weak<OpenHandle>| handle.strong_count() > 0;
        self.handles.values().filter(is_open).count()
    }

    /// What becomes of an inode that loses a name.
    pub(super) fn disposition(&self, inode: &Inode) -> Disposition {
        let has_more_names = inode.directory().is_none() && inode.links() > 1;
        if has_more_names {
            Disposition::Kept
        } else if self.is_open(inode.number()) {
            Disposition::Orphaned
        } else {
            Disposition::Freed
        }
    }
}
