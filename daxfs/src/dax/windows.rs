//! The windows of a file: the page tables that have to be told of what becomes stale.
//!
//! # Locking
//! The list is a latch (innermost but for page tables' own locks), `std`'s because faults take it.

use std::ops::Range;

use daxfs_pmem::PageTable;

use crate::error::Result;
use crate::sync::{Arc, Ordering, PoisonError, RwLock, RwLockReadGuard, Tally};

/// Part of a file in somebody's page tables.
pub(crate) struct Window {
    pub(crate) table: Arc<dyn PageTable>,
    /// The file's page at the window's first page.
    pub(crate) first_page: u64,
}

/// All windows of a file.
#[derive(Default)]
pub(crate) struct Windows {
    list: RwLock<Vec<Arc<Window>>>,
    unmaps: Tally,
}

impl Windows {
    /// Adds a window, which from now on is told of what becomes stale.
    pub(crate) fn attach(&self, window: Arc<Window>) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.push(window);
    }

    /// Removes a window.
    pub(crate) fn detach(&self, window: &Arc<Window>) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.retain(|other| !Arc::ptr_eq(other, window));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    /// How often a window was asked to drop translations.
    pub(crate) fn unmaps(&self) -> u64 {
        self.unmaps.load(Ordering::Relaxed)
    }

    /// Takes the translations of `pages` out of every window.
    pub(crate) fn unmap(&self, pages: Range<u64>) -> Result<()> {
        for window in self.list().iter() {
            let end = window.first_page + window.table.len_pages();
            let from = pages.start.max(window.first_page);
            let to = pages.end.min(end);
            if from >= to {
                continue;
            }
            self.unmaps.fetch_add(1, Ordering::Relaxed);
            // A page table that cannot drop a part (too many address ranges) can drop all.
            window
                .table
                .unmap(from - window.first_page, to - from)
                .or_else(|_| window.table.unmap(0, window.table.len_pages()))?;
        }
        Ok(())
    }

    fn list(&self) -> RwLockReadGuard<'_, Vec<Arc<Window>>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner)
    }
}
