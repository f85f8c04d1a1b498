//! All inodes of the filesystem by number, and which of them the next checkpoint must write.
//!
//! # Locking
//! A reader/writer latch around the map and a mutex around the set of changed numbers; both are
//! innermost and never held together. They are `std`'s because a write fault marks its file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::Inode;
use crate::format::geometry::{MAXIMUM_INODES, ROOT_INODE};
use crate::gate::Transaction;

/// Finds inodes by number and hands out numbers.
pub(crate) struct InodeTable {
    numbers: RwLock<Numbers>,
    /// Numbers whose slot in the inode table differs from the last checkpoint's.
    changed: Mutex<BTreeSet<u64>>,
    /// Mirrors the number of inodes.
    live: AtomicU64,
}

struct Numbers {
    inodes: BTreeMap<u64, Arc<Inode>>,
    /// Below `next` and not in use.
    free: BTreeSet<u64>,
    next: u64,
}

impl Default for InodeTable {
    fn default() -> Self {
        Self {
            numbers: RwLock::new(Numbers {
                inodes: BTreeMap::new(),
                free: BTreeSet::new(),
                next: ROOT_INODE,
            }),
            changed: Mutex::new(BTreeSet::new()),
            live: AtomicU64::new(0),
        }
    }
}

impl InodeTable {
    pub(crate) fn get(&self, number: u64) -> Option<Arc<Inode>> {
        self.read().inodes.get(&number).cloned()
    }

    /// How many inodes there are.
    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Every number in use is below this.
    pub(crate) fn next_number(&self) -> u64 {
        self.read().next
    }

    /// Makes an inode with a free number and marks it changed; `None` when all are in use.
    pub(crate) fn create(
        &self,
        transaction: &Transaction<'_>,
        make: impl FnOnce(u64) -> Inode,
    ) -> Option<Arc<Inode>> {
        let inode = {
            let mut numbers = self.write();
            let number = match numbers.free.pop_first() {
                Some(number) => number,
                None if numbers.next < MAXIMUM_INODES => {
                    numbers.next += 1;
                    numbers.next - 1
                }
                None => return None,
            };
            let inode = Arc::new(make(number));
            numbers.inodes.insert(number, Arc::clone(&inode));
            self.live
                .store(numbers.inodes.len() as u64, Ordering::Relaxed);
            inode
        };
        self.mark_changed(transaction, &inode);
        Some(inode)
    }

    /// Forgets an inode and marks its slot changed.
    pub(crate) fn remove(&self, transaction: &Transaction<'_>, inode: &Inode) {
        {
            let number = inode.number();
            let mut numbers = self.write();
            if !numbers
                .inodes
                .get(&number)
                .is_some_and(|found| std::ptr::eq(&**found, inode))
            {
                // Removed before; the number may be another inode's by now.
                return;
            }
            numbers.inodes.remove(&number);
            numbers.free.insert(number);
            self.live
                .store(numbers.inodes.len() as u64, Ordering::Relaxed);
        }
        self.mark_changed(transaction, inode);
    }

    /// Puts in an inode read from the medium; `false` when its number is taken.
    pub(crate) fn load(&self, inode: Inode) -> bool {
        let mut numbers = self.write();
        let before = numbers.inodes.insert(inode.number(), Arc::new(inode));
        self.live
            .store(numbers.inodes.len() as u64, Ordering::Relaxed);
        before.is_none()
    }

    /// Ends loading: numbers below `next` that were not loaded are free.
    pub(crate) fn finish_loading(&self, next: u64) {
        let numbers = &mut *self.write();
        numbers.next = next.max(ROOT_INODE);
        numbers.free = (ROOT_INODE..numbers.next)
            .filter(|number| !numbers.inodes.contains_key(number))
            .collect();
    }

    /// Makes the next checkpoint write `inode`. Returns whether it was unchanged until now.
    pub(crate) fn mark_changed(&self, _transaction: &Transaction<'_>, inode: &Inode) -> bool {
        if inode.dirty.swap(true, Ordering::Relaxed) {
            return false;
        }
        self.changed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(inode.number());
        true
    }

    /// The numbers changed since the last call; their inodes count as unchanged from now on. The
    /// caller keeps transactions out.
    pub(crate) fn take_changed(&self) -> BTreeSet<u64> {
        let changed =
            std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
        let numbers = self.read();
        for inode in changed
            .iter()
            .filter_map(|number| numbers.inodes.get(number))
        {
            inode.dirty.store(false, Ordering::Relaxed);
            inode.growth.store(0, Ordering::Relaxed);
        }
        changed
    }

    /// Puts back what [`InodeTable::take_changed`] took, after a checkpoint that failed.
    pub(crate) fn restore_changed(&self, numbers: BTreeSet<u64>) {
        {
            let table = self.read();
            for inode in numbers.iter().filter_map(|number| table.inodes.get(number)) {
                inode.dirty.store(true, Ordering::Relaxed);
            }
        }
        self.changed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(numbers);
    }

    /// All inodes, by number.
    pub(crate) fn all(&self) -> Vec<Arc<Inode>> {
        self.read().inodes.values().cloned().collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Numbers> {
        self.numbers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Numbers> {
        self.numbers.write().unwrap_or_else(PoisonError::into_inner)
    }
}
