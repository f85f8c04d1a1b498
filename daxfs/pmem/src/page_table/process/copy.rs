//! A copy that ends early, with a reason, where an ordinary one would kill the process.
//!
//! # How
//! The copies are two functions of a few instructions whose addresses are known. While one of them
//! runs, a register holds the address of a [`Report`]. When the signal handler cannot resolve a
//! fault and finds that the faulting instruction is one of these, it writes the reason there and
//! lets the thread go on behind the copy, where it returns how many bytes are left. The idea is the
//! kernel's table of instructions that may fault on user memory (Documentation/arch/x86/
//! exception-tables.rst).
//!
//! Touches the ranges it is given. Takes no locks.

use std::arch::naked_asm;

use crate::PAGE_BYTES;
use crate::page_table::FaultError;

/// Why a copy ended early: written by the signal handler on the copying thread.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The address that could not be accessed, and why.
    pub(super) failure: Option<(usize, FaultError)>,
}

/// Copies up to `len_bytes`, faulting as a processor does, and returns how many bytes are left.
///
/// Eight bytes are copied by one load and one store, unless they reach into another page: then the
/// bytes before it are copied although that page may not be accessible.
///
/// # Safety
/// Each range is the caller's, or lies in a window that is registered for faults.
pub(super) unsafe fn tolerant_copy(
    target: *mut u8,
    source: *const u8,
    len_bytes: usize,
    report: &mut Report,
) -> usize {
    if len_bytes == size_of::<u64>() && !crosses_a_page(target) && !crosses_a_page(source) {
        // SAFETY: the caller vouches for both ranges, and the report lives until the call returns.
        unsafe { copy_word(target, source, report, len_bytes) }
    } else {
        // SAFETY: as above.
        unsafe { copy_string(target, source, report, len_bytes) }
    }
}

/// Whether a word at that address lies in two pages.
fn crosses_a_page(address: *const u8) -> bool {
    address.addr() as u64 % PAGE_BYTES > PAGE_BYTES - size_of::<u64>() as u64
}

/// Where a thread goes on whose copy faulted at `instruction` for good; nothing if it is not one of
/// the copies above.
pub(super) fn landing(instruction: usize) -> Option<usize> {
    let word = copy_word as *const () as usize;
    let string = copy_string as *const () as usize;
    if (word..word + WORD_LANDING_OFFSET).contains(&instruction) {
        return Some(word + WORD_LANDING_OFFSET);
    }
    (string..string + STRING_LANDING_OFFSET)
        .contains(&instruction)
        .then_some(string + STRING_LANDING_OFFSET)
}

// The encoded length of what precedes each landing; a test compares it with the instructions.
#[cfg(target_arch = "x86_64")]
const STRING_LANDING_OFFSET: usize = 2;
#[cfg(target_arch = "x86_64")]
const WORD_LANDING_OFFSET: usize = 8;
#[cfg(target_arch = "aarch64")]
const STRING_LANDING_OFFSET: usize = 20;
#[cfg(target_arch = "aarch64")]
const WORD_LANDING_OFFSET: usize = 12;

/// The arguments lie where `rep movsb` wants them; `rdx` keeps the report's address throughout.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "sysv64" fn copy_string(
    target: *mut u8,
    source: *const u8,
    report: *mut Report,
    len_bytes: usize,
) -> usize {
    naked_asm!("rep movsb", "mov rax, rcx", "ret")
}

/// One load and one store; `rcx`, the bytes left, is zeroed only behind both.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "sysv64" fn copy_word(
    target: *mut u8,
    source: *const u8,
    report: *mut Report,
    len_bytes: usize,
) -> usize {
    naked_asm!(
        "mov rax, [rsi]",
        "mov [rdi], rax",
        "xor ecx, ecx",
        "mov rax, rcx",
        "ret"
    )
}

/// Byte by byte; `x2` keeps the report's address and `x3` counts the bytes left.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn copy_string(
    target: *mut u8,
    source: *const u8,
    report: *mut Report,
    len_bytes: usize,
) -> usize {
    naked_asm!(
        "2: cbz x3, 3f",
        "ldrb w4, [x1], #1",
        "strb w4, [x0], #1",
        "sub x3, x3, #1",
        "b 2b",
        "3: mov x0, x3",
        "ret",
    )
}

/// One load and one store; `x3`, the bytes left, is zeroed only behind both.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn copy_word(
    target: *mut u8,
    source: *const u8,
    report: *mut Report,
    len_bytes: usize,
) -> usize {
    naked_asm!(
        "ldr x4, [x1]",
        "str x4, [x0]",
        "mov x3, #0",
        "mov x0, x3",
        "ret"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the code of a copy.
    #[cfg(target_arch = "x86_64")]
    fn code(function: *const (), len_bytes: usize) -> Vec<u8> {
        // SAFETY: the copies are longer than what is asked for, and code is readable.
        unsafe { std::slice::from_raw_parts(function.cast(), len_bytes) }.to_vec()
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_landings_lie_behind_the_instructions_that_fault() {
        let string = code(copy_string as *const (), STRING_LANDING_OFFSET);
        assert_eq!(string, [0xf3, 0xa4]);
        let word = code(copy_word as *const (), WORD_LANDING_OFFSET);
        assert_eq!(word, [0x48, 0x8b, 0x06, 0x48, 0x89, 0x07, 0x31, 0xc9]);
    }

    #[test]
    fn a_copy_that_does_not_fault_copies_every_byte() {
        for len_bytes in [0, 1, 7, 8, 9, 100] {
            let source: Vec<u8> = (1..=len_bytes).collect();
            let mut target = vec![0; source.len()];
            let mut report = Report::default();
            let (to, from) = (target.as_mut_ptr(), source.as_ptr());
            // SAFETY: both buffers have that length.
            let left = unsafe { tolerant_copy(to, from, source.len(), &mut report) };
            assert_eq!(left, 0);
            assert_eq!(target, source);
            assert!(report.failure.is_none());
        }
    }

    #[test]
    fn addresses_outside_the_copies_have_no_landing() {
        let string = copy_string as *const () as usize;
        assert_eq!(landing(string), Some(string + STRING_LANDING_OFFSET));
        assert_eq!(landing(string + STRING_LANDING_OFFSET), None);
        assert_eq!(landing(string - 1), None);
    }
}
