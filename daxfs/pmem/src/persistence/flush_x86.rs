//! Writing back cache lines on x86-64: `clwb`, `clflushopt` or `clflush`, whichever CPUID offers.
//!
//! The instructions are spelled in assembly since `core::arch` has neither of the first two.
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, CLWB,
//! CLFLUSHOPT, CLFLUSH, SFENCE. Touches no memory but by writing it back. Takes no locks.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};

/// The step between flushes. Every x86-64 processor so far has lines of 64 bytes; were a line
/// larger, stepping by 64 would flush it more than once, which is correct.
pub(crate) const CACHE_LINE_BYTES: usize = 64;

/// An instruction that writes a cache line back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlushInstruction {
    /// Writes the line back and may keep it cached: the next access to it is a hit.
    Clwb,
    /// Writes the line back and drops it; several run in parallel.
    Clflushopt,
    /// Writes the line back and drops it, one after another.
    Clflush,
}

impl FlushInstruction {
    /// The best instruction of this processor.
    pub(crate) fn detect() -> Option<Self> {
        const LEAF_FEATURES: u32 = 1;
        const LEAF_EXTENDED_FEATURES: u32 = 7;
        const EDX_CLFLUSH: u32 = 1 << 19;
        const EBX_CLFLUSHOPT: u32 = 1 << 23;
        const EBX_CLWB: u32 = 1 << 24;
        let leaf_max = __cpuid(0).eax;
        if leaf_max >= LEAF_EXTENDED_FEATURES {
            let ebx = __cpuid_count(LEAF_EXTENDED_FEATURES, 0).ebx;
            if ebx & EBX_CLWB != 0 {
                return Some(Self::Clwb);
            }
            if ebx & EBX_CLFLUSHOPT != 0 {
                return Some(Self::Clflushopt);
            }
        }
        (__cpuid(LEAF_FEATURES).edx & EDX_CLFLUSH != 0).then_some(Self::Clflush)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clwb => "clwb",
            Self::Clflushopt => "clflushopt",
            Self::Clflush => "clflush",
        }
    }

    /// Starts writing back every line that overlaps `[address, address + len_bytes)`.
    ///
    /// The lines are on their way when this returns; [`store_fence`] waits for them.
    ///
    /// # Safety
    /// The range is mapped.
    pub(crate) unsafe fn write_back(self, address: *const u8, len_bytes: usize) {
        let first = address.addr() & !(CACHE_LINE_BYTES - 1);
        let end = address.addr() + len_bytes;
        let mut line = first;
        while line < end {
            let start = address.with_addr(line);
            match self {
                // SAFETY: `detect` found the instruction; it changes no byte, and the line belongs
                // to a page that the caller has mapped.
                Self::Clwb => unsafe {
                    asm!("clwb [{}]", in(reg) start, options(nostack, preserves_flags));
                },
                // SAFETY: as above.
                Self::Clflushopt => unsafe {
                    asm!("clflushopt [{}]", in(reg) start, options(nostack, preserves_flags));
                },
                // SAFETY: as above.
                Self::Clflush => unsafe {
                    asm!("clflush [{}]", in(reg) start, options(nostack, preserves_flags));
                },
            }
            line += CACHE_LINE_BYTES;
        }
    }
}

/// Waits until every flush and streaming store that this processor issued has reached the device.
///
/// It orders the calling processor only: streaming stores of another one need a fence there.
pub(crate) fn store_fence() {
    // SAFETY: `sfence` is part of SSE, which every x86-64 processor has, and changes no register.
    // It is no `nomem` block, so the compiler moves no store across it.
    unsafe { asm!("sfence", options(nostack, preserves_flags)) };
}
