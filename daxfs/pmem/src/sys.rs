//! The system calls that place and remove mappings, as raw calls.
//!
//! Everything here goes through `rustix`'s raw back end: it neither reads nor writes `errno`, takes
//! no lock and allocates nothing, so all of it may be called from a signal handler. Touches only
//! the address ranges it is given. Takes no locks.

// Where there are no process page tables, half of this has no caller.
#![cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code)
)]

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

/// What may be done through a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    Read,
    ReadWrite,
}

/// Whether the file's metadata is made durable before a write fault returns (`MAP_SYNC`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synchrony {
    Ordinary,
    Synchronous,
}

/// Which pages a mapping shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'fd> {
    /// Zeroes of the process's own.
    Zeroes,
    /// A file, from this byte on.
    File {
        fd: BorrowedFd<'fd>,
        offset_bytes: u64,
    },
}

fn protection_flags(permission: Permission) -> ProtFlags {
    match permission {
        Permission::Read => ProtFlags::READ,
        Permission::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
    }
}

fn sharing_flags(synchrony: Synchrony) -> MapFlags {
    match synchrony {
        Synchrony::Ordinary => MapFlags::SHARED,
        Synchrony::Synchronous => MapFlags::SHARED_VALIDATE | MapFlags::SYNC,
    }
}

/// Maps `len_bytes` of `fd` wherever the kernel likes.
pub(crate) fn map_shared_anywhere(
    len_bytes: usize,
    permission: Permission,
    fd: BorrowedFd<'_>,
    offset_bytes: u64,
    synchrony: Synchrony,
) -> Result<NonNull<u8>, Errno> {
    // SAFETY: without MAP_FIXED the kernel picks addresses that nothing occupies, so no memory that
    // Rust knows of changes.
    let address = unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            len_bytes,
            protection_flags(permission),
            sharing_flags(synchrony),
            fd,
            offset_bytes,
        )
    }?;
    NonNull::new(address.cast()).ok_or(Errno::NOMEM)
}

/// Puts a shared mapping of `fd` over `[address, address + len_bytes)`, replacing what was there.
///
/// When it returns no processor can still use a translation of the old mapping.
///
/// # Safety
/// The range lies inside one mapping that the caller owns and through which only raw pointers are
/// used.
pub(crate) unsafe fn map_shared_over(
    address: *mut u8,
    len_bytes: usize,
    permission: Permission,
    fd: BorrowedFd<'_>,
    offset_bytes: u64,
    synchrony: Synchrony,
) -> Result<(), Errno> {
    // SAFETY: the caller owns the range, so nothing of anyone else's is replaced.
    unsafe {
        rustix::mm::mmap(
            address.cast::<c_void>(),
            len_bytes,
            protection_flags(permission),
            sharing_flags(synchrony) | MapFlags::FIXED,
            fd,
            offset_bytes,
        )
    }
    .map(drop)
}

/// Puts pages of zeroes that cannot be written over `[address, address + len_bytes)`.
///
/// # Safety
/// As for [`map_shared_over`].
pub(crate) unsafe fn map_zeroes_over(address: *mut u8, len_bytes: usize) -> Result<(), Errno> {
    // SAFETY: the caller owns the range, so nothing of anyone else's is replaced.
    unsafe {
        rustix::mm::mmap_anonymous(
            address.cast::<c_void>(),
            len_bytes,
            ProtFlags::READ,
            MapFlags::PRIVATE | MapFlags::FIXED,
        )
    }
    .map(drop)
}

/// Removes a mapping.
///
/// # Safety
/// The caller owns the whole range and nobody uses an address in it any more.
pub(crate) unsafe fn unmap(address: *mut u8, len_bytes: usize) -> Result<(), Errno> {
    // SAFETY: the caller owns the range and has given up every pointer into it.
    unsafe { rustix::mm::munmap(address.cast::<c_void>(), len_bytes) }
}

/// Puts a mapping that nobody may access over `[address, address + len_bytes)`.
///
/// # Safety
/// As for [`map_shared_over`].
pub(crate) unsafe fn map_hidden_over(
    address: *mut u8,
    len_bytes: usize,
    source: Source<'_>,
) -> Result<(), Errno> {
    let (start, none) = (address.cast::<c_void>(), ProtFlags::empty());
    match source {
        Source::Zeroes => {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
            // SAFETY: the caller owns the range, so nothing of anyone else's is replaced.
            unsafe { rustix::mm::mmap_anonymous(start, len_bytes, none, flags) }
        }
        Source::File { fd, offset_bytes } => {
            let flags = MapFlags::SHARED | MapFlags::FIXED;
            // SAFETY: as above.
            unsafe { rustix::mm::mmap(start, len_bytes, none, flags, fd, offset_bytes) }
        }
    }
    .map(drop)
}

/// Allows access to a range that [`map_hidden_over`] has mapped.
///
/// # Safety
/// As for [`map_shared_over`].
pub(crate) unsafe fn allow_access(
    address: *mut u8,
    len_bytes: usize,
    permission: Permission,
) -> Result<(), Errno> {
    use rustix::mm::MprotectFlags;
    let flags = match permission {
        Permission::Read => MprotectFlags::READ,
        Permission::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
    };
    // SAFETY: the caller owns the range.
    unsafe { rustix::mm::mprotect(address.cast::<c_void>(), len_bytes, flags) }
}

/// Drops the translations of a range; the mappings stay, and so do the bytes of shared ones.
///
/// When it returns no processor can still use one of them.
///
/// # Safety
/// As for [`map_shared_over`]; private mappings in the range were never stored to.
pub(crate) unsafe fn drop_translations(address: *mut u8, len_bytes: usize) -> Result<(), Errno> {
    let advice = rustix::mm::Advice::LinuxDontNeed;
    // SAFETY: the caller owns the range, and no byte of it is lost.
    unsafe { rustix::mm::madvise(address.cast::<c_void>(), len_bytes, advice) }
}

/// Forbids every access to a range without changing how many mappings there are.
///
/// # Safety
/// As for [`map_shared_over`].
pub(crate) unsafe fn forbid_access(address: *mut u8, len_bytes: usize) -> Result<(), Errno> {
    // SAFETY: the caller owns the range.
    unsafe {
        rustix::mm::mprotect(
            address.cast::<c_void>(),
            len_bytes,
            rustix::mm::MprotectFlags::empty(),
        )
    }
}

/// Reserves `len_bytes` of addresses that start at a multiple of `alignment_bytes`.
pub(crate) fn reserve_aligned(
    len_bytes: usize,
    alignment_bytes: usize,
) -> Result<NonNull<u8>, Errno> {
    let whole_bytes = len_bytes.checked_add(alignment_bytes).ok_or(Errno::NOMEM)?;
    // SAFETY: without MAP_FIXED the kernel picks addresses that nothing occupies.
    let whole = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            whole_bytes,
            ProtFlags::empty(),
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
    }?
    .cast::<u8>();
    let head_bytes = whole.addr().next_multiple_of(alignment_bytes) - whole.addr();
    let tail_bytes = alignment_bytes - head_bytes;
    let start = whole.wrapping_add(head_bytes);
    for (address, cut_bytes) in [
        (whole, head_bytes),
        (start.wrapping_add(len_bytes), tail_bytes),
    ] {
        if cut_bytes > 0 {
            // SAFETY: an edge of the range reserved above, which nobody else knows yet. Should
            // cutting it off fail, addresses are lost and nothing else.
            let _ = unsafe { unmap(address, cut_bytes) };
        }
    }
    NonNull::new(start).ok_or(Errno::NOMEM)
}

/// What populating a page found out about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Populated {
    /// The page can be accessed, or this kernel (before 5.14) cannot tell.
    Ready,
    /// An access would raise a signal.
    Faulting,
}

/// Prepares a page for an access, as the access itself would.
///
/// # Safety
/// The page lies in a mapping that the caller owns.
pub(crate) unsafe fn populate(
    page: *mut u8,
    len_bytes: usize,
    permission: Permission,
) -> Populated {
    let advice = match permission {
        Permission::Read => rustix::mm::Advice::LinuxPopulateRead,
        Permission::ReadWrite => rustix::mm::Advice::LinuxPopulateWrite,
    };
    // SAFETY: populating changes no byte of the caller's mapping.
    match unsafe { rustix::mm::madvise(page.cast::<c_void>(), len_bytes, advice) } {
        Err(Errno::FAULT | Errno::HWPOISON) => Populated::Faulting,
        _ => Populated::Ready,
    }
}
