//! A handle that ends waits for file locks.
//!
//! # Locking
//! Its own mutex, inside no other; a ticket's inside it.

use std::collections::BTreeMap;
use std::fmt;

use super::ticket::Ticket;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ends waits for file locks, as a signal does with `fcntl`: those that were begun with a clone of
/// this handle, and those that are begun with one later.
///
/// ```
/// use std::sync::Arc;
/// use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice};
/// use daxfs::{LockCancellation, LockKind, LockOwner, LockRange};
///
/// let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
/// Filesystem::format(&device, &FormatOptions::default())?;
/// let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
/// let file = fs.create("/database")?;
/// let (one, other) = (LockOwner::Process(1), LockOwner::Process(2));
/// file.lock_range(one, LockKind::Exclusive, LockRange::ALL)?;
///
/// let cancellation = LockCancellation::new();
/// std::thread::scope(|scope| {
///     let waiting = scope.spawn(|| {
///         file.lock_range_cancellable(other, LockKind::Shared, LockRange::ALL, &cancellation)
///     });
///     cancellation.cancel(); // as a server does for FUSE's `INTERRUPT`
///     assert_eq!(waiting.join().unwrap().unwrap_err().errno(), 4); // EINTR
/// });
/// # Ok::<(), daxfs::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct LockCancellation {
    waits: Arc<Mutex<Waits>>,
}

#[derive(Default)]
struct Waits {
    is_cancelled: bool,
    begun: u64,
    tickets: BTreeMap<u64, Arc<Ticket>>,
}

impl LockCancellation {
    /// A handle that has ended nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the waits. A request that has been granted by then stays granted, and one that need not
    /// wait is granted later too. Never waits itself; may be called in any thread, more than once.
    pub fn cancel(&self) {
        let mut waits = self.latch();
        waits.is_cancelled = true;
        for ticket in waits.tickets.values() {
            ticket.cancel();
        }
    }

    /// Cancels `ticket` when this is cancelled, which may be now, for as long as the result lives.
    pub(super) fn watch(&self, ticket: &Arc<Ticket>) -> Watched<'_> {
        let mut waits = self.latch();
        if waits.is_cancelled {
            ticket.cancel();
        }
        waits.begun += 1;
        let number = waits.begun;
        waits.tickets.insert(number, Arc::clone(ticket));
        Watched {
            handle: self,
            number,
        }
    }

    fn latch(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LockCancellation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LockCancellation")
            .field("is_cancelled", &self.latch().is_cancelled)
            .finish_non_exhaustive()
    }
}

/// A wait that a handle can end.
pub(super) struct Watched<'handle> {
    handle: &'handle LockCancellation,
    number: u64,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.handle.latch().tickets.remove(&self.number);
    }
}
