//! The signal handlers that turn faults of windows into calls of their handlers.
//!
//! # Two signals, two stacks
//! ```text
//!   a load or store of a page without a frame         a store to a page mapped for loads
//!        |                                                 |
//!      SIGBUS, on the thread's own stack                 SIGSEGV, on the signal stack if any
//!        |                                                 |
//!      FaultHandler::fault                               take the frame away, nothing else
//!        |                                                 |
//!      the access is repeated                            the access is repeated: SIGBUS
//! ```
//! A synchronous fault is like a call made at that instruction, so filesystem code can run on the
//! thread's own stack, which has room for it. `SIGSEGV` cannot be handled there: an overflow of
//! that very stack is reported by it, and Rust's runtime has its handler on a stack of 8 KiB. So
//! ours stays there too, does one system call, and lets the access come back as a `SIGBUS`.
//! `SA_NODEFER` lets a fault be resolved inside another: filesystem code may touch other windows.
//!
//! Signals that are not ours go to the action that was installed before, as does a fault that
//! cannot be resolved: by default the process dies as any program does that accesses a file mapping
//! behind the end of the file.
//!
//! Touches `errno` (restored), signal actions and the registry. Takes no locks of its own; the
//! fault handlers it calls may.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::{io, mem};

use super::context::{Context, Faulted};
use super::frames::Frames;
use super::{Registered, WINDOWS, copy};
use crate::page_table::{Access, FaultError};
use crate::sys::Permission;

/// "Invalid permissions for mapped object", from the kernel's uapi/asm-generic/siginfo.h.
const SEGV_ACCERR: i32 = 2;

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void);

/// The actions that ours replaced.
static PREVIOUS_BUS: OnceLock<libc::sigaction> = OnceLock::new();
static PREVIOUS_SEGV: OnceLock<libc::sigaction> = OnceLock::new();

/// Installs the handlers, once for the process.
pub(super) fn install() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        replace(
            libc::SIGSEGV,
            on_segv,
            flags | libc::SA_ONSTACK,
            &PREVIOUS_SEGV,
        )
        .and_then(|()| replace(libc::SIGBUS, on_bus, flags, &PREVIOUS_BUS))
        .map_err(|error| error.raw_os_error().unwrap_or(libc::EINVAL))
    });
    (*installed).map_err(io::Error::from_raw_os_error)
}

fn replace(
    signal: i32,
    handler: Handler,
    flags: i32,
    previous: &OnceLock<libc::sigaction>,
) -> io::Result<()> {
    // SAFETY: all bits zero is a valid `sigaction`: the default action, no flags, an empty mask.
    let mut found: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: both pointers are null or valid for the call.
    if unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut found) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // Known before our handler can run, so that it always has somewhere to send what is not ours.
    previous.get_or_init(|| found);
    // SAFETY: as above.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = flags;
    // SAFETY: the action is complete, and its handler obeys the rules of signal handlers: what it
    // interrupts is a load or store of a window, never the inside of a library.
    if unsafe { libc::sigaction(signal, &raw const action, null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn on_bus(signal: i32, info: *mut libc::siginfo_t, frame: *mut c_void) {
    let errno = ErrnoGuard::save();
    // SAFETY: the kernel calls this with its frame.
    let mut context = unsafe { Context::new(frame) };
    if !resolve_bus(info, &mut context) {
        pass_on(PREVIOUS_BUS.get(), signal, info, frame);
    }
    drop(errno);
}

/// Whether the signal was a fault of a window, and has been dealt with.
fn resolve_bus(info: *const libc::siginfo_t, context: &mut Context) -> bool {
    let Some(address) = fault_address(info, libc::BUS_ADRERR) else {
        return false;
    };
    let Faulted::Data(access) = context.faulted() else {
        return false;
    };
    let Some(window) = WINDOWS.find(address, |found: &Registered| found.window.upgrade()) else {
        return false;
    };
    match window.resolve(address, access) {
        Ok(()) => true,
        Err(error) => end_tolerant_copy(context, address, error),
    }
}

/// Ends the copy that faulted, if it is one that can be ended.
fn end_tolerant_copy(context: &mut Context, address: usize, error: FaultError) -> bool {
    let Some(landing) = copy::landing(context.instruction()) else {
        return false;
    };
    // SAFETY: at these instructions the register holds the address of the report that the caller
    // of the copy has on its stack, below which this handler runs.
    unsafe { (*context.report()).failure = Some((address, error)) };
    context.continue_at(landing);
    true
}

extern "C" fn on_segv(signal: i32, info: *mut libc::siginfo_t, frame: *mut c_void) {
    let errno = ErrnoGuard::save();
    // SAFETY: the kernel calls this with its frame.
    let mut context = unsafe { Context::new(frame) };
    if !revoke_segv(info, &mut context) {
        pass_on(PREVIOUS_SEGV.get(), signal, info, frame);
    }
    drop(errno);
}

/// Whether the signal was an access that a window's frame forbids, and the frame has been taken
/// away.
fn revoke_segv(info: *const libc::siginfo_t, context: &mut Context) -> bool {
    let Some(address) = fault_address(info, SEGV_ACCERR) else {
        return false;
    };
    let Faulted::Data(access) = context.faulted() else {
        return false;
    };
    // Only the addresses are kept alive here, not the window: should this be the last one to let go
    // of it, nothing runs on this small stack but one more system call.
    let find = |found: &Registered| found.frames.upgrade();
    let Some(frames) = WINDOWS.find(address, find) else {
        return false;
    };
    if !may_be_allowed(&frames, access) {
        return false;
    }
    match frames.revoke_at(address, access) {
        Ok(()) => true,
        Err(_) => end_tolerant_copy(context, address, FaultError::OutOfMemory),
    }
}

fn may_be_allowed(frames: &Frames, access: Access) -> bool {
    access == Access::Read || frames.permission() == Permission::ReadWrite
}

/// The address of a fault of that code; nothing for other signals, such as one sent by a process.
fn fault_address(info: *const libc::siginfo_t, code: i32) -> Option<usize> {
    // SAFETY: the kernel passes a valid `siginfo_t`, which nobody changes meanwhile.
    let info = unsafe { &*info };
    // SAFETY: the information about a fault has an address.
    (info.si_code == code).then(|| unsafe { info.si_addr() }.addr())
}

/// Does what would have been done without our handler.
fn pass_on(
    previous: Option<&libc::sigaction>,
    signal: i32,
    info: *mut libc::siginfo_t,
    frame: *mut c_void,
) {
    // SAFETY: the kernel passes a valid `siginfo_t`.
    let is_fault = unsafe { (*info).si_code } > 0;
    match previous {
        Some(action) if action.sa_sigaction == libc::SIG_IGN && !is_fault => {}
        // The kernel does not let a fault be ignored, nor do we.
        None => die(signal, is_fault),
        Some(action) if matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) => {
            die(signal, is_fault);
        }
        Some(action) if action.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the flag says that this is the handler's type; whoever installed it vouches
            // for the rest.
            let handler: Handler = unsafe { mem::transmute(action.sa_sigaction) };
            handler(signal, info, frame);
        }
        Some(action) => {
            // SAFETY: without the flag, this is the handler's type.
            let handler: extern "C" fn(i32) = unsafe { mem::transmute(action.sa_sigaction) };
            handler(signal);
        }
    }
}

/// Restores the default action, by which the process dies: of the fault when the access is
/// repeated, of a signal that was sent when it is sent again.
fn die(signal: i32, is_fault: bool) {
    // SAFETY: all bits zero is the default action.
    let action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: the action is complete and the previous one not asked for.
    unsafe { libc::sigaction(signal, &raw const action, null_mut()) };
    if !is_fault {
        // SAFETY: `raise` may be called from a signal handler.
        unsafe { libc::raise(signal) };
    }
}

/// Gives `errno` back as it was: the interrupted code may be about to look at it.
struct ErrnoGuard {
    location: *mut i32,
    saved: i32,
}

impl ErrnoGuard {
    fn save() -> Self {
        // SAFETY: returns the location of this thread's `errno`, and does nothing else.
        let location = unsafe { libc::__errno_location() };
        // SAFETY: valid as long as the thread.
        let saved = unsafe { location.read() };
        Self { location, saved }
    }
}

impl Drop for ErrnoGuard {
    fn drop(&mut self) {
        // SAFETY: valid as long as the thread, which a guard does not leave.
        unsafe { self.location.write(self.saved) };
    }
}
