//! What kills a process, and what must not: each case runs in a child process of its own.
//!
//! A test starts this very binary again, asks it for one case by an environment variable, and looks
//! at how it ended.

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Kind, Pager, frame, handle, numbered_device, process_window};
use daxfs_pmem::{
    AccessCause, Fault, FaultError, MappingMechanism, PAGE_BYTES, PageTable, PageTableError,
    ProcessPageTable, Protection,
};

const CASE: &str = "DAXFS_PMEM_DEATH_CASE";

/// Runs one of `case`'s in a child.
fn in_child(name: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "case", "--nocapture", "--test-threads=1"])
        .env(CASE, name);
    command.env("RUST_BACKTRACE", "0").output().unwrap()
}

#[track_caller]
fn assert_killed_by(name: &str, signal: i32) {
    let output = in_child(name);
    assert_eq!(output.status.signal(), Some(signal), "{name}: {output:?}");
    let reached = String::from_utf8_lossy(&output.stdout);
    assert!(
        reached.contains("before") && !reached.contains("after"),
        "{name}: {reached}"
    );
}

#[track_caller]
fn assert_survives(name: &str) {
    let output = in_child(name);
    assert!(output.status.success(), "{name}: {output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("after"),
        "{name}: {output:?}"
    );
}

/// The child's part; without the variable, nothing.
#[test]
fn case() {
    let Ok(name) = std::env::var(CASE) else {
        return;
    };
    no_core_dump();
    match name.as_str() {
        "behind the end" => behind_the_end(),
        "behind the end, std's handler gone" => {
            set_action(libc::SIGBUS, libc::SIG_DFL, 0);
            behind_the_end();
        }
        "behind the end, signal ignored" => {
            set_action(libc::SIGBUS, libc::SIG_IGN, 0);
            behind_the_end();
        }
        "store to a read-only window" => store_to_a_read_only_window(),
        "after the window" => after_the_window(),
        "not ours" => not_ours(),
        "sent" => {
            // Rust's own handler swallows the first signal that is sent.
            set_action(libc::SIGBUS, libc::SIG_DFL, 0);
            sent(libc::SIGBUS);
        }
        "overflow" => overflow(),
        "execute" => execute(),
        "earlier handler" => earlier_handler(),
        "earlier plain handler" => earlier_plain_handler(),
        "sent and ignored" => sent_and_ignored(),
        "too many mappings" => too_many_mappings(Kind::Remap),
        "too many mappings, veiled" => too_many_mappings(Kind::Userfault),
        "no veils" => no_veils(),
        "one mapping too many" => one_mapping_too_many(Kind::Remap),
        "one mapping too many, veiled" => one_mapping_too_many(Kind::Userfault),
        other => panic!("no case {other}"),
    }
    println!("after");
}

#[test]
fn an_access_behind_the_end_of_the_file_is_a_bus_error() {
    assert_killed_by("behind the end", libc::SIGBUS);
    assert_killed_by("behind the end, std's handler gone", libc::SIGBUS);
    assert_killed_by("behind the end, signal ignored", libc::SIGBUS);
}

#[test]
fn a_store_to_a_read_only_window_is_a_segmentation_fault() {
    assert_killed_by("store to a read-only window", libc::SIGSEGV);
}

#[test]
fn an_access_after_the_window_is_gone_is_a_segmentation_fault() {
    assert_killed_by("after the window", libc::SIGSEGV);
}

#[test]
fn faults_and_signals_that_are_not_ours_kill_as_before() {
    assert_killed_by("not ours", libc::SIGSEGV);
    assert_killed_by("sent", libc::SIGBUS);
    assert_killed_by("execute", libc::SIGSEGV);
}

#[test]
fn an_overflow_of_the_stack_is_still_reported() {
    let output = in_child("overflow");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("overflowed its stack"),
        "{output:?}"
    );
}

#[test]
fn handlers_installed_before_ours_get_what_is_not_ours() {
    assert_survives("earlier handler");
    assert_survives("earlier plain handler");
    assert_survives("sent and ignored");
}

#[test]
fn a_process_at_its_limit_of_mappings_can_still_revoke_and_go_on() {
    for suffix in ["", ", veiled"] {
        assert_survives(&format!("too many mappings{suffix}"));
        assert_survives(&format!("one mapping too many{suffix}"));
    }
}

#[test]
fn windows_work_where_the_kernel_gives_no_veils() {
    assert_survives("no veils");
}

fn read_write_window(pages: u64) -> Arc<ProcessPageTable> {
    let pager = Pager::new(pages - 1);
    let protection = Protection::ReadWrite;
    ProcessPageTable::new(numbered_device(pages), pages, pager, protection).unwrap()
}

fn pointer(table: &dyn PageTable, page: u64) -> *mut u8 {
    table
        .as_ptr()
        .unwrap()
        .as_ptr()
        .wrapping_add((page * PAGE_BYTES) as usize)
}

fn behind_the_end() {
    let table = read_write_window(2);
    // SAFETY: a byte of the window, which lives.
    assert_eq!(unsafe { pointer(&*table, 0).read_volatile() }, 1);
    println!("before");
    // SAFETY: a byte of the window, which lives; that the access kills is what is tested.
    unsafe { pointer(&*table, 1).read_volatile() };
}

fn store_to_a_read_only_window() {
    let (device, pager) = (numbered_device(1), Pager::new(1));
    let table = ProcessPageTable::new(device, 1, pager, Protection::ReadOnly).unwrap();
    // SAFETY: a byte of the window, which lives.
    assert_eq!(unsafe { pointer(&*table, 0).read_volatile() }, 1);
    println!("before");
    // SAFETY: as above; that the access kills is what is tested.
    unsafe { pointer(&*table, 0).write_volatile(2) };
}

fn after_the_window() {
    let table = read_write_window(2);
    let address = pointer(&*table, 0);
    drop(table);
    println!("before");
    // SAFETY: the address is free, and nothing else runs that could take it: a fault it is.
    unsafe { address.read_volatile() };
}

fn not_ours() {
    let _table = read_write_window(2);
    println!("before");
    // SAFETY: the first page of the address space is never mapped: a fault it is.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
}

fn sent(signal: i32) {
    let _table = read_write_window(2);
    println!("before");
    // SAFETY: raising a signal that kills.
    unsafe { libc::raise(signal) };
}

fn execute() {
    let table = read_write_window(2);
    // SAFETY: a byte of the window, which lives.
    assert_eq!(unsafe { pointer(&*table, 0).read_volatile() }, 1);
    println!("before");
    // SAFETY: no code is there, and the page cannot be executed: a fault it is.
    let function: extern "C" fn() = unsafe { std::mem::transmute(pointer(&*table, 0)) };
    function();
}

fn overflow() {
    fn deeper(depth: u64) -> u64 {
        let frame = std::hint::black_box([depth; 512]);
        if frame[7] == u64::MAX {
            0
        } else {
            deeper(depth + 1) + frame[7]
        }
    }
    let _table = read_write_window(2);
    println!("before");
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    thread
        .spawn(|| std::hint::black_box(deeper(0)))
        .unwrap()
        .join()
        .unwrap();
}

static CALLS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_with_information(
    signal: i32,
    information: *mut libc::siginfo_t,
    _frame: *mut libc::c_void,
) {
    // SAFETY: the kernel's information about this signal.
    assert_eq!(unsafe { (*information).si_signo }, signal);
    CALLS.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn count_plainly(_signal: i32) {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

fn earlier_handler() {
    set_action(
        libc::SIGBUS,
        count_with_information as *const () as usize,
        libc::SA_SIGINFO,
    );
    set_action(
        libc::SIGSEGV,
        count_with_information as *const () as usize,
        libc::SA_SIGINFO,
    );
    sent(libc::SIGBUS);
    sent(libc::SIGSEGV);
    assert_eq!(CALLS.load(Ordering::Relaxed), 2);
}

fn earlier_plain_handler() {
    set_action(libc::SIGBUS, count_plainly as *const () as usize, 0);
    sent(libc::SIGBUS);
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
}

fn sent_and_ignored() {
    set_action(libc::SIGBUS, libc::SIG_IGN, 0);
    sent(libc::SIGBUS);
}

/// The process may have no more descriptors when the first window asks for the veils' one.
fn no_veils() {
    println!("before");
    let (device, other) = (numbered_device(4), numbered_device(4));
    // The empty file has its descriptor from now on.
    let first = process_window(Kind::Remap, &device, 4, Pager::new(4));
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is there to be written to.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur = 3;
    // SAFETY: the limit is complete.
    let changed = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!([read, changed], [0, 0]);
    let new = |device: &Arc<_>| {
        let pager = Pager::with_holes(4, [2]);
        ProcessPageTable::new(Arc::clone(device), 4, pager, Protection::ReadWrite).unwrap()
    };
    for table in [first, new(&device), new(&other)] {
        assert_eq!(table.mechanism(), MappingMechanism::Remap);
        table.store(PAGE_BYTES, &7_u64.to_le_bytes()).unwrap();
        assert_eq!(common::word(&*table, 1), 7);
        table.unmap(0, 4).unwrap();
        assert_eq!(faults_of_load(&*table, 1), 1);
    }
    let forced = ProcessPageTable::with_mechanism(
        other,
        4,
        Pager::new(4),
        Protection::ReadWrite,
        MappingMechanism::Userfault,
    );
    assert!(matches!(
        forced.map(drop),
        Err(PageTableError::MechanismUnavailable { .. })
    ));
}

const CHUNK_PAGES: u64 = 512;
const CROWDED_PAGES: u64 = 3000 * CHUNK_PAGES;
/// Enough to be one mapping, whatever the mechanism.
const LARGE_PAGES: u64 = 64;

/// A window with as many mappings as the kernel allows: pages that cannot be joined, so few in a
/// chunk that it puts up with them, and one large mapping at the end. Also a page that could not
/// be mapped.
fn crowded_window(kind: Kind) -> (Arc<ProcessPageTable>, u64) {
    println!("before");
    let map_one = |table: &dyn PageTable, fault: Fault| {
        let frame = frame(fault.window_page % 2, Protection::ReadWrite);
        table
            .map(fault.window_page, 1, frame)
            .map_err(|_| FaultError::OutOfMemory)
    };
    let (device, handler) = (numbered_device(LARGE_PAGES), handle(map_one));
    let table = process_window(kind, &device, CROWDED_PAGES, handler);
    let protection = Protection::ReadWrite;
    table
        .map(
            CROWDED_PAGES - LARGE_PAGES,
            LARGE_PAGES,
            frame(0, protection),
        )
        .unwrap();
    let chunks = (0..CROWDED_PAGES / CHUNK_PAGES - 1).map(|chunk| chunk * CHUNK_PAGES);
    let full = chunks
        .flat_map(|first| (0..16).map(move |index| first + 2 * index))
        .find(|&page| table.map(page, 1, frame(0, protection)).is_err())
        .expect("the kernel limits the number of mappings");
    (table, full)
}

fn faults_of_load(table: &dyn PageTable, page: u64) -> u64 {
    let before = table.counts().faults;
    table.load(page * PAGE_BYTES, &mut [0]).unwrap();
    table.counts().faults - before
}

fn too_many_mappings(kind: Kind) {
    let (table, full) = crowded_window(kind);
    let error = table
        .map(full, 1, frame(0, Protection::ReadWrite))
        .unwrap_err();
    assert!(matches!(error, PageTableError::TooManyMappings), "{error}");
    // A fault that would need one more says so.
    let error = table.load(full * PAGE_BYTES, &mut [0]).unwrap_err();
    assert_eq!(error.cause, AccessCause::Fault(FaultError::OutOfMemory));
    assert_eq!(faults_of_load(&*table, CROWDED_PAGES - 2), 0);
    // Taking away a page in the middle of the large mapping would split their mapping: all of the
    // window goes instead, and that makes room.
    table.unmap(CROWDED_PAGES - 2, 1).unwrap();
    assert_eq!(faults_of_load(&*table, 0), 1);
    assert_eq!(faults_of_load(&*table, CROWDED_PAGES - 2), 1);
    assert_eq!(faults_of_load(&*table, full), 1);
}

/// As before, but others use up what the kernel keeps for replacing a window by one mapping.
fn one_mapping_too_many(kind: Kind) {
    let (table, _) = crowded_window(kind);
    let map = |protection| {
        let (flags, none) = (
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            std::ptr::null_mut(),
        );
        // SAFETY: a new mapping where the kernel likes.
        unsafe { libc::mmap(none, 4096, protection, flags, -1, 0) }
    };
    // Neighbours with different protections cannot be joined.
    let mut others = Vec::new();
    for protection in [libc::PROT_READ, libc::PROT_NONE].into_iter().cycle() {
        match map(protection) {
            libc::MAP_FAILED => break,
            address => others.push(address),
        }
    }
    // The reserve makes room for replacing the window, and that for everything else.
    table.unmap(CROWDED_PAGES - 2, 1).unwrap();
    assert_eq!(faults_of_load(&*table, 0), 1);
    assert_eq!(faults_of_load(&*table, CROWDED_PAGES - 2), 1);
    for address in others {
        // SAFETY: mapped above, and used by nobody.
        assert_eq!(unsafe { libc::munmap(address, 4096) }, 0);
    }
}

fn set_action(signal: i32, handler: usize, flags: i32) {
    // SAFETY: all bits zero is a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the handlers of this file obey the rules of signal handlers.
    let done = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    assert_eq!(done, 0);
}

fn no_core_dump() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is complete.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}
