//! What the processor's state at a fault says, and how to change where the thread goes on.
//!
//! The one file that knows the layout of signal frames. Touches the frame it is given. Takes no
//! locks.

use std::ffi::c_void;

use super::copy::Report;
use crate::page_table::Access;

/// What kind of access faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Faulted {
    /// A load or store of data.
    Data(Access),
    /// The fetch of an instruction; windows are never executable.
    Instruction,
}

/// The state of a thread that was interrupted by a signal.
pub(super) struct Context {
    frame: *mut libc::ucontext_t,
}

impl Context {
    /// # Safety
    /// `frame` is the third argument that the kernel gave to a running signal handler.
    pub(super) unsafe fn new(frame: *mut c_void) -> Self {
        Self {
            frame: frame.cast(),
        }
    }

    fn machine(&self) -> &libc::mcontext_t {
        // SAFETY: `new` was given a frame of the kernel, which stays until the handler returns, and
        // `&mut self` guards the only way of changing it.
        unsafe { &(*self.frame).uc_mcontext }
    }

    fn machine_mut(&mut self) -> &mut libc::mcontext_t {
        // SAFETY: as in `machine`.
        unsafe { &mut (*self.frame).uc_mcontext }
    }
}

#[cfg(target_arch = "x86_64")]
impl Context {
    /// What faulted. Source: Intel SDM volume 3, "Page-Fault Exception", error code.
    pub(super) fn faulted(&self) -> Faulted {
        const WRITE: i64 = 1 << 1;
        const INSTRUCTION_FETCH: i64 = 1 << 4;
        let error_code = self.machine().gregs[libc::REG_ERR as usize];
        if error_code & INSTRUCTION_FETCH != 0 {
            Faulted::Instruction
        } else if error_code & WRITE != 0 {
            Faulted::Data(Access::Write)
        } else {
            Faulted::Data(Access::Read)
        }
    }

    /// The address of the instruction that faulted.
    pub(super) fn instruction(&self) -> usize {
        self.machine().gregs[libc::REG_RIP as usize] as usize
    }

    /// Where the thread goes on when the handler returns.
    pub(super) fn continue_at(&mut self, instruction: usize) {
        self.machine_mut().gregs[libc::REG_RIP as usize] = instruction as i64;
    }

    /// The register in which the copies of `copy` keep their report.
    pub(super) fn report(&self) -> *mut Report {
        self.machine().gregs[libc::REG_RDX as usize] as *mut Report
    }
}

#[cfg(target_arch = "aarch64")]
impl Context {
    /// What faulted. Source: Arm Architecture Reference Manual, ESR_EL1; the record's layout is the
    /// kernel's arch/arm64/include/uapi/asm/sigcontext.h.
    pub(super) fn faulted(&self) -> Faulted {
        const CLASS_SHIFT: u32 = 26;
        const CLASS_INSTRUCTION_ABORT: u64 = 0x20;
        const WRITE_NOT_READ: u64 = 1 << 6;
        match self.exception_syndrome() {
            Some(syndrome) if syndrome >> CLASS_SHIFT == CLASS_INSTRUCTION_ABORT => {
                Faulted::Instruction
            }
            Some(syndrome) if syndrome & WRITE_NOT_READ == 0 => Faulted::Data(Access::Read),
            // Without a record, asking for more than may be needed is the safe side.
            _ => Faulted::Data(Access::Write),
        }
    }

    /// Finds the syndrome among the records that follow the general registers.
    fn exception_syndrome(&self) -> Option<u64> {
        const RECORDS_OFFSET: usize = 288;
        const RECORDS_BYTES: usize = 4096;
        const MAGIC: u32 = 0x4553_5201;
        let records = std::ptr::from_ref(self.machine())
            .cast::<u8>()
            .wrapping_add(RECORDS_OFFSET);
        let mut offset = 0;
        while offset + 16 <= RECORDS_BYTES {
            let record = records.wrapping_add(offset);
            // SAFETY: inside the reserved area of the frame, where the kernel aligns records to 16.
            let magic = unsafe { record.cast::<u32>().read() };
            // SAFETY: as above.
            let len_bytes = unsafe { record.cast::<u32>().add(1).read() } as usize;
            if magic == MAGIC {
                // SAFETY: as above.
                return Some(unsafe { record.cast::<u64>().add(1).read() });
            }
            if magic == 0 || len_bytes < 16 {
                return None;
            }
            offset += len_bytes;
        }
        None
    }

    /// The address of the instruction that faulted.
    pub(super) fn instruction(&self) -> usize {
        self.machine().pc as usize
    }

    /// Where the thread goes on when the handler returns.
    pub(super) fn continue_at(&mut self, instruction: usize) {
        self.machine_mut().pc = instruction as u64;
    }

    /// The register in which the copies of `copy` keep their report.
    pub(super) fn report(&self) -> *mut Report {
        self.machine().regs[2] as *mut Report
    }
}
