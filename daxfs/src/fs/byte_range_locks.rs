//! Byte-range locks of an open file, as `fcntl` has them, and the open file description that can
//! own them.
//!
//! # Locking
//! The latch of [`crate::file_lock`]; where a method waits, nothing of daxfs is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::file::File;
use super::mounted::OpenHandle;
use super::options::MountAccess;
use crate::error::{Error, Result};
use crate::file_lock::{
    HeldLock, LockCancellation, LockKind, LockOwner, LockRange, Owner, Patience, Request,
};

/// One opening of a file: what clones of a handle, and mappings made with one, have in common.
pub(super) struct Description {
    number: u64,
    handle: Arc<OpenHandle>,
}

impl Description {
    pub(super) fn new(handle: Arc<OpenHandle>) -> Arc<Self> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        // Relaxed: the number need only be another one each time.
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { number, handle })
    }

    fn owner(&self) -> Owner {
        Owner::Description(self.number)
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        self.handle.locks.release(self.owner());
    }
}

/// # Byte-range locks
///
/// Advisory locks for programs, with the meaning that `fcntl` gives them on Linux: reads, writes
/// and mappings do not look at them. They belong to the file, whatever its names, and last no
/// longer than its handles; none is stored.
///
/// | `fcntl` | Here |
/// |---|---|
/// | `F_SETLK` | [`try_lock_range`](File::try_lock_range), [`unlock_range`](File::unlock_range) |
/// | `F_SETLKW` | [`lock_range`](File::lock_range), [`lock_range_for`](File::lock_range_for), [`lock_range_cancellable`](File::lock_range_cancellable) |
/// | `F_GETLK` | [`conflicting_lock`](File::conflicting_lock) |
/// | `F_OFD_...` | the same with [`LockOwner::Description`] |
/// | `close` of a descriptor | [`release_locks`](File::release_locks) |
///
/// Locks of one owner never exclude each other. Where they overlap the later one replaces the
/// earlier, which may so be split or shortened; bytes of one kind that touch become one lock. Only
/// what is held excludes, not what is waited for: shared locks are granted while somebody waits for
/// an exclusive one. When something is let go, those who waited for it are served in order of
/// arrival, and only those are woken that have got what they asked for.
impl File {
    /// Locks bytes for `owner`, in place of what it has locked of them, or fails at once and leaves
    /// all as it was (`F_SETLK`). Takes the file's lock latch; never waits for an owner.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice};
    /// use daxfs::{LockKind, LockOwner, LockRange};
    ///
    /// let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
    /// Filesystem::format(&device, &FormatOptions::default())?;
    /// let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
    /// let (one, other) = (fs.create("/database")?, fs.open("/database")?);
    ///
    /// let header = LockRange::new(0, 512)?;
    /// one.try_lock_range(LockOwner::Description, LockKind::Shared, header)?;
    /// other.try_lock_range(LockOwner::Description, LockKind::Shared, header)?;
    /// // To convert is to lock again: this one cannot become exclusive while the other shares it.
    /// let error = one.try_lock_range(LockOwner::Description, LockKind::Exclusive, header);
    /// assert_eq!(error.unwrap_err().errno(), 11); // EAGAIN
    /// drop(other);
    /// one.try_lock_range(LockOwner::Description, LockKind::Exclusive, header)?;
    /// # Ok::<(), daxfs::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LockConflict`] when another owner's lock is in the way;
    /// [`Error::NotOpenForWriting`] for an exclusive lock on a filesystem that is mounted for
    /// reading only.
    pub fn try_lock_range(&self, owner: LockOwner, kind: LockKind, range: LockRange) -> Result<()> {
        let request = self.checked_request("try_lock_range", owner, kind, range)?;
        self.handle.locks.try_lock(&request)
    }

    /// The same, but waits for those who are in the way (`F_SETLKW`). What the owner has stays as
    /// it is until all can be granted at once.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice};
    /// # use daxfs::{LockKind, LockOwner, LockRange};
    /// # let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
    /// # Filesystem::format(&device, &FormatOptions::default())?;
    /// # let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
    /// let file = fs.create("/journal")?;
    /// let (one, other) = (LockOwner::Process(100), LockOwner::Process(200));
    /// file.lock_range(one, LockKind::Exclusive, LockRange::ALL)?;
    /// std::thread::scope(|scope| {
    ///     let waiting = scope.spawn(|| file.lock_range(other, LockKind::Shared, LockRange::ALL));
    ///     file.unlock_range(one, LockRange::ALL);
    ///     waiting.join().unwrap()
    /// })?;
    /// # Ok::<(), daxfs::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LockDeadlock`] when a process would wait for one that waits for it, directly or
    /// over others and other files, now or when something else that was in the way has gone; waits
    /// of descriptions are left alone, as in Linux. [`Error::NotOpenForWriting`] as in
    /// [`try_lock_range`](Self::try_lock_range).
    pub fn lock_range(&self, owner: LockOwner, kind: LockKind, range: LockRange) -> Result<()> {
        let request = self.checked_request("lock_range", owner, kind, range)?;
        self.handle.locks.lock(&request, Patience::Unlimited)
    }

    /// The same, but no longer than `timeout`.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice};
    /// # use daxfs::{LockKind, LockOwner, LockRange};
    /// # let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
    /// # Filesystem::format(&device, &FormatOptions::default())?;
    /// # let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
    /// let file = fs.create("/journal")?;
    /// let (one, other) = (LockOwner::Process(100), LockOwner::Process(200));
    /// file.lock_range(one, LockKind::Exclusive, LockRange::ALL)?;
    /// let late = file.lock_range_for(
    ///     other, LockKind::Shared, LockRange::ALL, Duration::from_millis(1));
    /// assert_eq!(late.unwrap_err().errno(), 4); // EINTR
    /// # Ok::<(), daxfs::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`lock_range`](Self::lock_range); [`Error::LockInterrupted`] when the time was over.
    pub fn lock_range_for(
        &self,
        owner: LockOwner,
        kind: LockKind,
        range: LockRange,
        timeout: Duration,
    ) -> Result<()> {
        let request = self.checked_request("lock_range_for", owner, kind, range)?;
        self.handle.locks.lock(&request, Patience::For(timeout))
    }

    /// The same, but only until `cancellation` is cancelled: [`LockCancellation`] has an example.
    ///
    /// # Errors
    /// As [`lock_range`](Self::lock_range); [`Error::LockInterrupted`] when it was cancelled.
    pub fn lock_range_cancellable(
        &self,
        owner: LockOwner,
        kind: LockKind,
        range: LockRange,
        cancellation: &LockCancellation,
    ) -> Result<()> {
        let request = self.checked_request("lock_range_cancellable", owner, kind, range)?;
        let patience = Patience::UntilCancelled(cancellation);
        self.handle.locks.lock(&request, patience)
    }

    /// Lets go of bytes, as far as `owner` has locked any of them (`F_SETLK` with `F_UNLCK`). Takes
    /// the file's lock latch.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice};
    /// # use daxfs::{LockKind, LockOwner, LockRange};
    /// # let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
    /// # Filesystem::format(&device, &FormatOptions::default())?;
    /// # let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
    /// let file = fs.create("/journal")?;
    /// let (one, other) = (LockOwner::Process(100), LockOwner::Process(200));
    /// file.try_lock_range(one, LockKind::Exclusive, LockRange::new(0, 100)?)?;
    /// file.unlock_range(one, LockRange::new(40, 20)?); // two locks are left
    /// file.try_lock_range(other, LockKind::Exclusive, LockRange::new(40, 20)?)?;
    /// # Ok::<(), daxfs::Error>(())
    /// ```
    pub fn unlock_range(&self, owner: LockOwner, range: LockRange) {
        self.handle.locks.unlock(self.owner(owner), range);
    }

    /// The first lock of another owner that [`try_lock_range`](Self::try_lock_range) would fail for
    /// now (`F_GETLK`). Of several it is the one that Linux reports: of the owner who has had locks
    /// on the file for longest, the lowest. Takes the file's lock latch.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice};
    /// # use daxfs::{LockKind, LockOwner, LockRange};
    /// # let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
    /// # Filesystem::format(&device, &FormatOptions::default())?;
    /// # let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
    /// let file = fs.create("/journal")?;
    /// let (one, other) = (LockOwner::Process(100), LockOwner::Process(200));
    /// file.try_lock_range(one, LockKind::Shared, LockRange::new(0, 100)?)?;
    ///
    /// let found = file.conflicting_lock(other, LockKind::Exclusive, LockRange::ALL);
    /// let found = found.expect("one has a lock there");
    /// assert_eq!((found.kind, found.owner), (LockKind::Shared, one));
    /// assert_eq!(found.range, LockRange::new(0, 100)?);
    /// assert_eq!(file.conflicting_lock(other, LockKind::Shared, LockRange::ALL), None);
    /// # Ok::<(), daxfs::Error>(())
    /// ```
    #[must_use]
    pub fn conflicting_lock(
        &self,
        owner: LockOwner,
        kind: LockKind,
        range: LockRange,
    ) -> Option<HeldLock> {
        self.handle
            .locks
            .conflict(&self.request(owner, kind, range))
    }

    /// Lets go of all that `owner` has locked of this file. A server calls it whenever a process
    /// closes a descriptor of the file (FUSE's `FLUSH`): the locks of a process go when *any* of
    /// its descriptors is closed, as POSIX wants it. Those of a description go by themselves with
    /// the last clone of the handle and the last mapping made with one. Takes the file's lock
    /// latch.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice};
    /// # use daxfs::{LockKind, LockOwner, LockRange};
    /// # let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
    /// # Filesystem::format(&device, &FormatOptions::default())?;
    /// # let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
    /// let (process, other) = (LockOwner::Process(100), LockOwner::Process(200));
    /// let (one, again) = (fs.create("/journal")?, fs.open("/journal")?);
    /// one.try_lock_range(process, LockKind::Exclusive, LockRange::ALL)?;
    /// again.release_locks(process); // and then closes `again`
    /// one.try_lock_range(other, LockKind::Exclusive, LockRange::ALL)?;
    /// # Ok::<(), daxfs::Error>(())
    /// ```
    pub fn release_locks(&self, owner: LockOwner) {
        self.handle.locks.release(self.owner(owner));
    }

    fn owner(&self, owner: LockOwner) -> Owner {
        match owner {
            LockOwner::Process(number) => Owner::Process(number),
            LockOwner::Description => self.description.owner(),
        }
    }

    fn request(&self, owner: LockOwner, kind: LockKind, range: LockRange) -> Request {
        Request {
            owner: self.owner(owner),
            kind,
            range,
        }
    }

    /// A handle is open for reading, and for writing where the filesystem is.
    fn checked_request(
        &self,
        operation: &'static str,
        owner: LockOwner,
        kind: LockKind,
        range: LockRange,
    ) -> Result<Request> {
        let is_read_only = self.handle.mounted.options.access == MountAccess::ReadOnly;
        if is_read_only && kind == LockKind::Exclusive {
            return Err(Error::NotOpenForWriting { operation });
        }
        Ok(self.request(owner, kind, range))
    }
}
