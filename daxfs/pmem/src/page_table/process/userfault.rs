//! `userfaultfd`, as far as windows need it: raw calls and their numbers.
//!
//! A range that was registered here shows no page by itself, although its mapping may have all of
//! them: a touch of a page without a translation raises `SIGBUS` in the thread that touches
//! (`UFFD_FEATURE_SIGBUS`), and [`Userfault::show`] installs translations one by one. Nobody reads
//! events from the descriptor; there are none. Source: Documentation/admin-guide/mm/userfaultfd.rst
//! and the kernel's include/uapi/linux/userfaultfd.h.
//!
//! Everything may be called from a signal handler. Touches the ranges it is given. Takes no locks
//! but the kernel's: registering takes that of the address space exclusive, showing that of one
//! mapping shared.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use linux_raw_sys::general::{
    _UFFDIO_API, _UFFDIO_CONTINUE, _UFFDIO_REGISTER, _UFFDIO_WRITEPROTECT, _UFFDIO_ZEROPAGE,
    UFFD_API, UFFD_FEATURE_MINOR_HUGETLBFS, UFFD_FEATURE_MINOR_SHMEM,
    UFFD_FEATURE_MISSING_HUGETLBFS, UFFD_FEATURE_MISSING_SHMEM, UFFD_FEATURE_PAGEFAULT_FLAG_WP,
    UFFD_FEATURE_POISON, UFFD_FEATURE_SIGBUS, UFFD_FEATURE_WP_HUGETLBFS_SHMEM, UFFD_USER_MODE_ONLY,
    UFFDIO, UFFDIO_REGISTER_MODE_MINOR, UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP,
    uffdio_api, uffdio_continue, uffdio_range, uffdio_register, uffdio_writeprotect,
    uffdio_zeropage,
};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::mm::{UserfaultfdFlags, userfaultfd};

const GROUP: u8 = UFFDIO as u8;
const API: Opcode = opcode::read_write::<uffdio_api>(GROUP, _UFFDIO_API as u8);
const REGISTER: Opcode = opcode::read_write::<uffdio_register>(GROUP, _UFFDIO_REGISTER as u8);
const CONTINUE: Opcode = opcode::read_write::<uffdio_continue>(GROUP, _UFFDIO_CONTINUE as u8);
const ZEROPAGE: Opcode = opcode::read_write::<uffdio_zeropage>(GROUP, _UFFDIO_ZEROPAGE as u8);
const WRITEPROTECT: Opcode =
    opcode::read_write::<uffdio_writeprotect>(GROUP, _UFFDIO_WRITEPROTECT as u8);

/// Nobody sleeps on the pages, so nobody is to be woken.
const DONTWAKE: u64 = 1 << 0;
/// `UFFDIO_CONTINUE_MODE_WP`.
const CONTINUE_PROTECTED: u64 = 1 << 1;
/// `UFFDIO_WRITEPROTECT_MODE_WP` and its `DONTWAKE`.
const PROTECT: u64 = 1 << 0;
const UNPROTECT_DONTWAKE: u64 = 1 << 1;

/// What windows rely on. The last is not used: it came with Linux 6.6, and tells that
/// `UFFDIO_CONTINUE_MODE_WP` of 6.4 is there, which has no bit of its own.
const FEATURES: u32 = UFFD_FEATURE_SIGBUS
    | UFFD_FEATURE_MINOR_SHMEM
    | UFFD_FEATURE_MINOR_HUGETLBFS
    | UFFD_FEATURE_MISSING_SHMEM
    | UFFD_FEATURE_MISSING_HUGETLBFS
    | UFFD_FEATURE_PAGEFAULT_FLAG_WP
    | UFFD_FEATURE_WP_HUGETLBFS_SHMEM
    | UFFD_FEATURE_POISON;

/// What a registered range maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registered {
    /// A file in memory, shared.
    Memory,
    /// Zeroes of the process's own, for loads.
    Zeroes,
}

/// What a translation allows, within what its mapping does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// All that the mapping allows.
    Full,
    /// Loads: a store raises `SIGBUS`.
    Protected,
}

/// How far showing pages came, and what stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of the range is shown.
    Done,
    /// The page at this address has a translation already.
    Present(usize),
    /// The file has no page yet for this address.
    NoPage(usize),
    /// From this address on the range, or some of it, is not registered.
    NotRegistered,
}

/// The process's descriptor. (In a child after `fork` it still is the parent's, which is why
/// windows do not work there.)
#[derive(Debug)]
pub(super) struct Userfault {
    fd: OwnedFd,
}

impl Userfault {
    /// The process's descriptor, or nothing if the kernel does not know all that is needed, or
    /// forbids it.
    pub(super) fn get() -> Option<&'static Self> {
        static PROCESS: OnceLock<Option<Userfault>> = OnceLock::new();
        PROCESS.get_or_init(|| Self::open().ok()).as_ref()
    }

    fn open() -> Result<Self, Errno> {
        // Faults of the kernel itself are not to be delivered: that needs no privilege.
        let user_mode_only = UserfaultfdFlags::from_bits_retain(UFFD_USER_MODE_ONLY);
        let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK | user_mode_only;
        // SAFETY: the descriptor changes memory only where it is told to; see `register`.
        let fd = unsafe { userfaultfd(flags) }?;
        let mut api = uffdio_api {
            api: u64::from(UFFD_API),
            features: u64::from(FEATURES),
            ioctls: 0,
        };
        // SAFETY: the number belongs to the structure.
        let handshake = unsafe { Updater::<API, _>::new(&mut api) };
        // SAFETY: asks for features and touches no memory.
        unsafe { ioctl(fd.as_fd(), handshake) }?;
        Ok(Self { fd })
    }

    /// Has the faults of a range raise `SIGBUS` from now on.
    ///
    /// # Safety
    /// The range is a mapping of the caller's own, of that kind, through which only raw pointers
    /// are used.
    pub(super) unsafe fn register(
        &self,
        range: Range<usize>,
        kind: Registered,
    ) -> Result<(), Errno> {
        let mode = match kind {
            Registered::Memory => {
                UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_WP
            }
            Registered::Zeroes => UFFDIO_REGISTER_MODE_MISSING,
        };
        let mut arguments = uffdio_register {
            range: range_of(&range),
            mode: u64::from(mode),
            ioctls: 0,
        };
        // SAFETY: the number belongs to the structure.
        let call = unsafe { Updater::<REGISTER, _>::new(&mut arguments) };
        // SAFETY: the caller owns the range.
        unsafe { ioctl(self.fd.as_fd(), call) }
    }

    /// Installs translations for the pages of a range, up to the first that has one already or that
    /// the file does not have.
    ///
    /// # Safety
    /// The caller owns the range, and what is registered in it is of that kind.
    pub(super) unsafe fn show(
        &self,
        range: Range<usize>,
        kind: Registered,
        shown: Shown,
    ) -> Result<Progress, Errno> {
        let mut at = range.start;
        while at < range.end {
            // SAFETY: passed on from the caller.
            let (result, advanced) = unsafe { self.show_some(at..range.end, kind, shown) };
            match (result, usize::try_from(advanced)) {
                (Ok(()), _) => return Ok(Progress::Done),
                // Stopped half-way, or the kernel was busy.
                (Err(Errno::AGAIN), Ok(bytes)) => at += bytes,
                (Err(Errno::AGAIN), Err(_)) => std::thread::yield_now(),
                (Err(Errno::EXIST), _) => return Ok(Progress::Present(at)),
                (Err(Errno::FAULT), _) => return Ok(Progress::NoPage(at)),
                (Err(Errno::NOENT), _) => return Ok(Progress::NotRegistered),
                (Err(errno), _) => return Err(errno),
            }
        }
        Ok(Progress::Done)
    }

    /// One call of the kernel: how it ended, and how many bytes it says that it has shown.
    ///
    /// # Safety
    /// As for [`show`](Self::show).
    unsafe fn show_some(
        &self,
        range: Range<usize>,
        kind: Registered,
        shown: Shown,
    ) -> (Result<(), Errno>, i64) {
        let range = range_of(&range);
        match kind {
            Registered::Memory => {
                let mode = match shown {
                    Shown::Full => DONTWAKE,
                    Shown::Protected => DONTWAKE | CONTINUE_PROTECTED,
                };
                let mut arguments = uffdio_continue {
                    range,
                    mode,
                    mapped: 0,
                };
                // SAFETY: the number belongs to the structure.
                let call = unsafe { Updater::<CONTINUE, _>::new(&mut arguments) };
                // SAFETY: the caller owns the range; a translation is only ever to the page that
                // the mapping has there.
                let result = unsafe { ioctl(self.fd.as_fd(), call) };
                (result, arguments.mapped)
            }
            Registered::Zeroes => {
                let mut arguments = uffdio_zeropage {
                    range,
                    mode: DONTWAKE,
                    zeropage: 0,
                };
                // SAFETY: the number belongs to the structure.
                let call = unsafe { Updater::<ZEROPAGE, _>::new(&mut arguments) };
                // SAFETY: as above.
                let result = unsafe { ioctl(self.fd.as_fd(), call) };
                (result, arguments.zeropage)
            }
        }
    }

    /// Changes what the translations of a range of [`Registered::Memory`] allow.
    ///
    /// # Safety
    /// The caller owns the range.
    pub(super) unsafe fn protect(&self, range: Range<usize>, shown: Shown) -> Result<(), Errno> {
        let mut arguments = uffdio_writeprotect {
            range: range_of(&range),
            mode: match shown {
                Shown::Full => UNPROTECT_DONTWAKE,
                Shown::Protected => PROTECT,
            },
        };
        loop {
            // SAFETY: the number belongs to the structure.
            let call = unsafe { Updater::<WRITEPROTECT, _>::new(&mut arguments) };
            // SAFETY: the caller owns the range.
            match unsafe { ioctl(self.fd.as_fd(), call) } {
                Err(Errno::AGAIN) => std::thread::yield_now(),
                result => return result,
            }
        }
    }
}

fn range_of(range: &Range<usize>) -> uffdio_range {
    uffdio_range {
        start: range.start as u64,
        len: range.len() as u64,
    }
}
