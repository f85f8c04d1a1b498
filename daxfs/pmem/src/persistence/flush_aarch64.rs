//! Writing back cache lines on 64-bit Arm: `dc cvap`, clean to the point of persistence.
//!
//! Source: Arm Architecture Reference Manual for A-profile, "DC CVAP" and "CTR_EL0". The
//! instruction is spelled as the `sys` operation that it is an alias of, which any assembler takes
//! without a feature switch. Touches no memory but by cleaning it. Takes no locks.

use std::arch::asm;

/// The alignment that streaming copies keep to; lines are at least this long in practice, and the
/// flush loop reads the true length from the processor.
pub(crate) const CACHE_LINE_BYTES: usize = 64;

/// An instruction that writes a cache line back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlushInstruction {
    /// `dc cvap`, from Armv8.2 on.
    DcCvap,
}

impl FlushInstruction {
    /// The instruction of this processor, if it has one.
    pub(crate) fn detect() -> Option<Self> {
        // SAFETY: getauxval reads a table that the kernel gave to the process at its start.
        let capabilities = unsafe { libc::getauxval(libc::AT_HWCAP) };
        (capabilities & libc::HWCAP_DCPOP != 0).then_some(Self::DcCvap)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DcCvap => "dc cvap",
        }
    }

    /// Starts writing back every line that overlaps `[address, address + len_bytes)`.
    ///
    /// # Safety
    /// The range is mapped.
    pub(crate) unsafe fn write_back(self, address: *const u8, len_bytes: usize) {
        let line_bytes = data_line_bytes();
        let end = address.addr() + len_bytes;
        let mut line = address.addr() & !(line_bytes - 1);
        while line < end {
            // SAFETY: `detect` found the instruction; it changes no byte, and the line belongs to a
            // page that the caller has mapped.
            unsafe {
                asm!(
                    "sys #3, c7, c12, #1, {}",
                    in(reg) line,
                    options(nostack, preserves_flags),
                );
            }
            line += line_bytes;
        }
    }
}

/// The smallest data cache line of this processor.
fn data_line_bytes() -> usize {
    let cache_type: u64;
    // SAFETY: Linux lets user space read CTR_EL0 (or emulates it); it has no side effect.
    unsafe {
        asm!(
            "mrs {}, ctr_el0",
            out(reg) cache_type,
            options(nomem, nostack, preserves_flags),
        );
    }
    // DminLine, bits 19..16, is the base-two logarithm of the length in 4-byte words.
    4 << ((cache_type >> 16) & 0xf)
}

/// Waits until every clean that this processor issued has reached the device.
pub(crate) fn store_fence() {
    // SAFETY: a barrier changes no register and no memory.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}
