//! What a directory holds: names, each with the inode number and kind that it stands for.
//!
//! Names are kept by *position*: 48 bits of a keyed hash of the name, and 15 bits that tell apart
//! the names of one hash. A name keeps its position for as long as it lives, so the position is
//! also the cookie with which a reader goes on while others change the directory; and finding a
//! name is looking at the few positions of its hash.
//!
//! Touches no device. Knows inode numbers, not inodes: the namespace looks those up. The names are
//! read from the medium when somebody first asks for them ([`Volume::directory`]).
//!
//! # Locking
//! Two locks. `operation` (rank: directories, outermost) is held by whoever changes the directory
//! for the whole operation; several directories are locked ancestors first. `names` is a latch
//! (innermost) around each single look at the map, so that a checkpoint, which may not wait for
//! operations, can copy the names.
//!
//! [`Volume::directory`]: crate::volume::Volume::directory

mod names;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::format::DirectoryHash;
use crate::lock_order::{Held, Rank};
pub(crate) use names::{Entry, Names, Target};

/// A directory, whose names may not be in memory yet.
pub(crate) struct Directory {
    operation: Mutex<()>,
    names: OnceLock<Mutex<Names>>,
    /// The inode number of the directory that holds this one; the root holds itself.
    parent: AtomicU64,
}

/// A directory whose names are in memory.
#[derive(Clone, Copy)]
pub(crate) struct LoadedDirectory<'inode> {
    directory: &'inode Directory,
    names: &'inode Mutex<Names>,
    hash: DirectoryHash,
}

/// Proof that a directory's `operation` lock is held.
pub(crate) struct DirectoryLocked<'inode> {
    _operation: MutexGuard<'inode, ()>,
    _rank: Held,
}

impl Directory {
    /// A directory inside the directory with inode number `parent`, whose names are on the medium.
    pub(crate) fn stored(parent: u64) -> Self {
        Self {
            operation: Mutex::new(()),
            names: OnceLock::new(),
            parent: AtomicU64::new(parent),
        }
    }

    /// An empty directory inside the directory with inode number `parent`.
    pub(crate) fn empty(parent: u64) -> Self {
        Self {
            names: OnceLock::from(Mutex::default()),
            ..Self::stored(parent)
        }
    }

    /// The directory that holds this one.
    pub(crate) fn parent(&self) -> u64 {
        self.parent.load(Ordering::Relaxed)
    }

    /// Notes that another directory holds this one from now on.
    pub(crate) fn set_parent(&self, parent: u64) {
        self.parent.store(parent, Ordering::Relaxed);
    }

    /// Runs `change` on the names, if they are in memory. Takes the `names` latch.
    pub(crate) fn change_loaded(&self, change: impl FnOnce(&mut Names)) {
        if let Some(names) = self.names.get() {
            change(&mut names.lock());
        }
    }

    /// The directory with its names, if they are in memory.
    pub(crate) fn loaded(&self, hash: DirectoryHash) -> Option<LoadedDirectory<'_>> {
        Some(LoadedDirectory {
            directory: self,
            names: self.names.get()?,
            hash,
        })
    }

    /// Puts in the names read from the medium; the first to do so wins, and all read the same.
    pub(crate) fn load(&self, names: Names, hash: DirectoryHash) -> LoadedDirectory<'_> {
        LoadedDirectory {
            directory: self,
            names: self.names.get_or_init(|| Mutex::new(names)),
            hash,
        }
    }
}

impl<'inode> LoadedDirectory<'inode> {
    /// Locks the directory for a change. Takes the `operation` lock.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn lock(&self) -> DirectoryLocked<'inode> {
        let rank = Held::take(Rank::Directory);
        DirectoryLocked {
            _operation: self.directory.operation.lock(),
            _rank: rank,
        }
    }

    /// What `name` stands for, and at which position. Takes the `names` latch.
    pub(crate) fn get(&self, name: &[u8]) -> Option<(u64, Target)> {
        self.names.lock().find(self.hash.position_range(name), name)
    }

    /// A position for a name that is not there; `None` when all of its hash are taken. Takes the
    /// `names` latch; the caller holds the `operation` lock, so that the position stays free.
    pub(crate) fn vacant_position(&self, name: &[u8]) -> Option<u64> {
        self.names.lock().vacant(self.hash.position_range(name))
    }

    /// Names in order of their positions, from `position` on, at most `limit`. Takes the `names`
    /// latch.
    pub(crate) fn entries(&self, position: u64, limit: usize) -> Vec<(u64, Entry)> {
        self.names.lock().from(position, limit)
    }

    /// Whether it holds no names. Takes the `names` latch.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.lock().is_empty()
    }

    /// Runs `change` on the names. Takes the `names` latch; the caller holds the `operation` lock,
    /// or nobody else can reach the directory.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Names) -> T) -> T {
        change(&mut self.names.lock())
    }
}
