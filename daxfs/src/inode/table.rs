//! The inodes in memory by number, numbers for new ones, and what the next checkpoint must write.
//!
//! A number is never used twice, so a number that somebody remembers stands for that inode or for
//! none. An inode that changed is kept until a checkpoint has written it; files that are not open
//! may then leave memory.
//!
//! # Locking
//! A reader/writer latch around the map and a mutex around what changed; both are innermost and
//! never held together. They are `std`'s because a write fault marks its file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::Inode;
use crate::format::geometry::MAXIMUM_INODES;

/// Unchanged inodes that nobody uses stay in memory up to this many.
const CACHED_INODES: usize = 1 << 16;

/// Finds inodes by number and hands out numbers.
pub(crate) struct InodeTable {
    inodes: RwLock<HashMap<u64, Arc<Inode>>>,
    changed: Mutex<ChangedInodes>,
    next: AtomicU64,
    live: AtomicU64,
}

/// What the next checkpoint must write.
#[derive(Default)]
pub(crate) struct ChangedInodes {
    /// Made or changed.
    pub(crate) inodes: BTreeMap<u64, Arc<Inode>>,
    /// Gone.
    pub(crate) removed: BTreeSet<u64>,
    /// Gone, and about to be gone from the medium: a checkpoint that is under way has taken them
    /// along. Until it is over, the tree that is read still has them.
    being_removed: BTreeSet<u64>,
    /// Without names, but open: to be removed at mount if it comes to that.
    pub(crate) orphans: BTreeSet<u64>,
    /// Whether `orphans` differs from the last checkpoint's.
    pub(crate) orphans_changed: bool,
}

impl ChangedInodes {
    fn has_removed(&self, number: u64) -> bool {
        self.removed.contains(&number) || self.being_removed.contains(&number)
    }
}

impl InodeTable {
    /// An empty table, as a superblock describes it.
    pub(crate) fn new(next: u64, live: u64) -> Self {
        Self {
            inodes: RwLock::default(),
            changed: Mutex::default(),
            next: AtomicU64::new(next),
            live: AtomicU64::new(live),
        }
    }

    /// The inode, if it is in memory.
    pub(crate) fn get(&self, number: u64) -> Option<Arc<Inode>> {
        let inodes = self.inodes.read().unwrap_or_else(PoisonError::into_inner);
        inodes.get(&number).cloned()
    }

    /// Puts in an inode read from the medium, unless another thread was faster: then that one. None
    /// when it was removed meanwhile.
    pub(crate) fn load(&self, inode: Inode) -> Option<Arc<Inode>> {
        let number = inode.number();
        let mut inodes = self.inodes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = inodes.get(&number) {
            return Some(Arc::clone(found));
        }
        if self.is_removed(number) {
            return None;
        }
        let inode = Arc::new(inode);
        inodes.insert(number, Arc::clone(&inode));
        Some(inode)
    }

    /// Whether the inode was removed since the last checkpoint.
    pub(crate) fn is_removed(&self, number: u64) -> bool {
        self.changed().has_removed(number)
    }

    /// How many inodes there are.
    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Every number in use is below this.
    pub(crate) fn next_number(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// A number that no inode has had; `None` when there are no more.
    pub(crate) fn take_number(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < MAXIMUM_INODES).then_some(number)
    }

    /// Puts in a new inode and marks it changed; `None` when its number is taken.
    pub(crate) fn insert(&self, inode: Inode) -> Option<Arc<Inode>> {
        let number = inode.number();
        let inode = Arc::new(inode);
        {
            let mut inodes = self.inodes.write().unwrap_or_else(PoisonError::into_inner);
            if inodes.contains_key(&number) {
                return None;
            }
            inodes.insert(number, Arc::clone(&inode));
        }
        self.next.fetch_max(number + 1, Ordering::Relaxed);
        self.live.fetch_add(1, Ordering::Relaxed);
        self.mark_changed(&inode);
        Some(inode)
    }

    /// Forgets an inode.
    pub(crate) fn remove(&self, number: u64) {
        {
            let mut changed = self.changed();
            changed.inodes.remove(&number);
            changed.removed.insert(number);
            changed.orphans_changed |= changed.orphans.remove(&number);
        }
        let mut inodes = self.inodes.write().unwrap_or_else(PoisonError::into_inner);
        inodes.remove(&number);
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes that an inode has no names and is open.
    pub(crate) fn add_orphan(&self, number: u64) {
        let mut changed = self.changed();
        changed.orphans_changed |= changed.orphans.insert(number);
    }

    /// Notes that an inode has a name again.
    pub(crate) fn remove_orphan(&self, number: u64) {
        let mut changed = self.changed();
        changed.orphans_changed |= changed.orphans.remove(&number);
    }

    /// Takes over the orphans that the medium has.
    pub(crate) fn load_orphans(&self, orphans: BTreeSet<u64>) {
        self.changed().orphans = orphans;
    }

    /// Inodes without names.
    pub(crate) fn orphans(&self) -> BTreeSet<u64> {
        self.changed().orphans.clone()
    }

    /// Makes the next checkpoint look at `inode`.
    pub(crate) fn mark_changed(&self, inode: &Arc<Inode>) {
        inode.item_changed.store(true, Ordering::Relaxed);
        if !inode.is_changed.swap(true, Ordering::Relaxed) {
            let mut changed = self.changed();
            // Whoever still holds an inode that is gone may note a time on it.
            if !changed.has_removed(inode.number()) {
                changed.inodes.insert(inode.number(), Arc::clone(inode));
            }
        }
    }

    /// What changed since the last call; all of it counts as unchanged from now on. The caller
    /// keeps transactions out.
    pub(crate) fn take_changed(&self) -> ChangedInodes {
        let mut changed = self.changed();
        let taken = ChangedInodes {
            inodes: std::mem::take(&mut changed.inodes),
            removed: std::mem::take(&mut changed.removed),
            being_removed: BTreeSet::new(),
            orphans: changed.orphans.clone(),
            orphans_changed: std::mem::take(&mut changed.orphans_changed),
        };
        changed.being_removed.clone_from(&taken.removed);
        for inode in taken.inodes.values() {
            inode.is_changed.store(false, Ordering::Relaxed);
            inode.growth.store(0, Ordering::Relaxed);
        }
        taken
    }

    /// The tree that is read from now on has what [`InodeTable::take_changed`] took.
    pub(crate) fn finish_changed(&self) {
        self.changed().being_removed.clear();
    }

    /// Puts back what [`InodeTable::take_changed`] took, after a checkpoint that failed.
    pub(crate) fn restore_changed(&self, taken: ChangedInodes) {
        for inode in taken.inodes.values() {
            if !self.is_removed(inode.number()) {
                self.mark_changed(inode);
            }
        }
        let mut changed = self.changed();
        changed.removed.extend(taken.removed);
        changed.being_removed.clear();
        changed.orphans_changed |= taken.orphans_changed;
    }

    /// Lets go of files that nobody uses and that are as the medium has them, if there are many.
    pub(crate) fn trim(&self) {
        let mut inodes = self.inodes.write().unwrap_or_else(PoisonError::into_inner);
        if inodes.len() > CACHED_INODES {
            inodes.retain(|_, inode| {
                // Nobody can get at it but through this map, whose latch is held.
                let is_unused = Arc::strong_count(inode) == 1;
                let is_stored = !inode.is_changed.load(Ordering::Relaxed)
                    && !inode.has_unlogged_times()
                    && inode.directory().is_none();
                !(is_unused && is_stored)
            });
        }
    }

    /// Taken inside the map's latch in one place (`load`), never the other way round.
    fn changed(&self) -> MutexGuard<'_, ChangedInodes> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
