//! What a directory holds: names, each with the inode number and kind that it stands for.
//!
//! Touches no device. Knows inode numbers, not inodes: the namespace looks those up.
//!
//! # Locking
//! Two locks. `operation` (rank: directories, outermost) is held by whoever changes the directory
//! for the whole operation; several directories are locked ancestors first. `names` is a latch
//! (innermost) around each single look at the map, so that a checkpoint, which may not wait for
//! operations, can copy the names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::format::InodeKind;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) inode: u64,
    pub(crate) kind: InodeKind,
}

/// The names in one directory.
pub(crate) struct Directory {
    operation: Mutex<()>,
    names: Mutex<BTreeMap<Vec<u8>, Target>>,
    /// The inode number of the directory that holds this one; the root holds itself.
    parent: AtomicU64,
}

/// Proof that a directory's `operation` lock is held.
pub(crate) struct DirectoryLocked<'directory> {
    directory: &'directory Directory,
    _operation: MutexGuard<'directory, ()>,
}

impl Directory {
    /// An empty directory inside the directory with inode number `parent`.
    pub(crate) fn new(parent: u64) -> Self {
        Self {
            operation: Mutex::new(()),
            names: Mutex::new(BTreeMap::new()),
            parent: AtomicU64::new(parent),
        }
    }

    pub(crate) fn parent(&self) -> u64 {
        self.parent.load(Ordering::Relaxed)
    }

    /// Locks the directory for a change. Takes the `operation` lock.
    pub(crate) fn lock(&self) -> DirectoryLocked<'_> {
        DirectoryLocked {
            directory: self,
            _operation: self.operation.lock(),
        }
    }

    /// What `name` stands for. Takes the `names` latch.
    pub(crate) fn get(&self, name: &[u8]) -> Option<Target> {
        self.names.lock().get(name).copied()
    }

    /// All names in ascending order of their bytes. Takes the `names` latch.
    pub(crate) fn entries(&self) -> Vec<(Vec<u8>, Target)> {
        let names = self.names.lock();
        names
            .iter()
            .map(|(name, target)| (name.clone(), *target))
            .collect()
    }

    /// Whether it holds no names. Takes the `names` latch.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.lock().is_empty()
    }

    /// Adds a name read from the medium; `false` when it is there already.
    pub(crate) fn load(&self, name: &[u8], target: Target) -> bool {
        self.names.lock().insert(name.to_vec(), target).is_none()
    }
}

impl DirectoryLocked<'_> {
    /// Adds a name that is not there. Takes the `names` latch.
    pub(crate) fn insert(&self, name: &[u8], target: Target) {
        let before = self.directory.names.lock().insert(name.to_vec(), target);
        debug_assert!(before.is_none(), "inserted a name that was there");
    }

    /// Takes a name out. Takes the `names` latch.
    pub(crate) fn remove(&self, name: &[u8]) {
        let before = self.directory.names.lock().remove(name);
        debug_assert!(before.is_some(), "removed a name that was not there");
    }
}
