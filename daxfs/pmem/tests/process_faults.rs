//! Faults of windows by pointer: what processor, kernel and signal handlers do together.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::{fs, thread};

use common::{Kind, PROCESS_KINDS, Pager, frame, handle, numbered_device, process_window};
use daxfs_pmem::{
    Access, AccessCause, Device, FaultError, Frame, PAGE_BYTES, PageTable, PageTableError,
    ProcessPageTable, Protection,
};

/// The word at the start of a page, as a pointer and as loads and stores of it: atomic, since other
/// threads and other windows show the same bytes.
fn word(table: &dyn PageTable, page: u64) -> &AtomicU64 {
    assert!(page < table.len_pages());
    let start = table.as_ptr().unwrap().as_ptr();
    // SAFETY: an aligned word of a window that lives as long as the borrow of its table.
    unsafe { AtomicU64::from_ptr(start.wrapping_add((page * PAGE_BYTES) as usize).cast()) }
}

fn get(table: &dyn PageTable, page: u64) -> u64 {
    word(table, page).load(Ordering::Relaxed)
}

fn put(table: &dyn PageTable, page: u64, value: u64) {
    word(table, page).store(value, Ordering::Relaxed);
}

#[test]
fn a_pointer_faults_once_a_page_and_knows_loads_from_stores() {
    for kind in PROCESS_KINDS {
        let device = numbered_device(4);
        let pager = Pager::with_holes(4, [2]);
        let table = process_window(kind, &device, 4, pager.clone());
        assert_eq!(table.as_ptr().unwrap().addr().get() % (2 << 20), 0);
        assert_eq!(get(&*table, 1), 2);
        assert_eq!(get(&*table, 1), 2);
        put(&*table, 0, 77);
        assert_eq!(get(&*table, 2), 0);
        let (read, write) = (Access::Read, Access::Write);
        assert_eq!(pager.faults(), [(1, read), (0, write), (2, read)]);
        let mut bytes = [0; 8];
        device.read(0, &mut bytes).unwrap();
        assert_eq!(u64::from_le_bytes(bytes), 77);
        // Upgrades: a read-only device page, and zeroes.
        put(&*table, 1, 78);
        put(&*table, 2, 79);
        let after: Vec<_> = (0..3).map(|page| get(&*table, page)).collect();
        assert_eq!(after, [77, 78, 79]);
        assert_eq!(pager.faults()[3..], [(1, write), (2, write)]);
    }
}

#[test]
fn errno_and_floating_point_state_survive_a_fault() {
    for kind in PROCESS_KINDS {
        let device = numbered_device(2);
        let noisy = |table: &dyn PageTable, fault: daxfs_pmem::Fault| {
            fs::read("/no/such/file").unwrap_err();
            std::hint::black_box((0..100).map(f64::from).sum::<f64>());
            let page = fault.window_page;
            table
                .map(page, 1, frame(page, Protection::ReadWrite))
                .map_err(|_| FaultError::Device)
        };
        let table = process_window(kind, &device, 2, handle(noisy));
        let factor = std::hint::black_box(1.5);
        // SAFETY: returns the location of this thread's `errno`.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: valid as long as the thread.
        unsafe { errno.write(123) };
        let value = get(&*table, 1);
        // SAFETY: as above.
        assert_eq!(unsafe { errno.read() }, 123);
        assert_eq!(value as f64 * factor, 3.0);
    }
}

#[test]
fn a_fault_may_touch_another_window_while_it_is_resolved() {
    for kind in PROCESS_KINDS {
        let device = numbered_device(8);
        let depth = 4;
        let mut inner: Arc<ProcessPageTable> = process_window(kind, &device, 8, Pager::new(8));
        let mut all = vec![Arc::clone(&inner)];
        for _ in 1..depth {
            let below = inner;
            let nested = move |table: &dyn PageTable, fault: daxfs_pmem::Fault| {
                // By pointer, and by a copy that can fail: each faults in turn.
                let page = fault.window_page;
                assert_eq!(get(&*below, page), page + 1);
                let mut bytes = [0; 100];
                below.load((page + 1) % 8 * PAGE_BYTES, &mut bytes).unwrap();
                table
                    .map(page, 1, frame(page, Protection::ReadWrite))
                    .map_err(|_| FaultError::Device)
            };
            inner = process_window(kind, &device, 8, handle(nested));
            all.push(Arc::clone(&inner));
        }
        assert_eq!(get(&*inner, 3), 4);
        let faults: Vec<_> = all.iter().map(|table| table.counts().faults).collect();
        assert_eq!(faults[depth - 1], 1);
        assert_eq!(faults[depth - 2], 2);
        assert!(faults[0] > 2);
    }
}

#[test]
fn a_tolerant_copy_inside_a_fault_of_a_tolerant_copy_keeps_its_own_report() {
    for kind in PROCESS_KINDS {
        let device = numbered_device(2);
        let broken = process_window(kind, &device, 1, handle(|_, _| Err(FaultError::NoSpace)));
        let handler = move |table: &dyn PageTable, fault: daxfs_pmem::Fault| {
            let error = broken.load(8, &mut [0; 20]).unwrap_err();
            assert_eq!(error.cause, AccessCause::Fault(FaultError::NoSpace));
            match fault.window_page {
                0 => table
                    .map(0, 1, frame(0, Protection::ReadWrite))
                    .map_err(|_| FaultError::Device),
                _ => Err(FaultError::BeyondEndOfFile),
            }
        };
        let table = process_window(kind, &device, 2, handle(handler));
        let mut bytes = vec![0; 2 * PAGE_BYTES as usize];
        let error = table.load(0, &mut bytes).unwrap_err();
        assert_eq!(error.cause, AccessCause::Fault(FaultError::BeyondEndOfFile));
        assert_eq!(error.offset_bytes, PAGE_BYTES);
        assert_eq!(bytes[..8], 1u64.to_le_bytes());
    }
}

#[test]
fn a_buffer_that_cannot_be_accessed_is_told_from_the_window() {
    for kind in PROCESS_KINDS {
        let device = numbered_device(4);
        let table = process_window(kind, &device, 4, Pager::new(4));
        let other = process_window(kind, &device, 2, Pager::new(1));
        let len_bytes = 2 * PAGE_BYTES as usize;
        // SAFETY: the window outlives the slice; only the copy below touches it.
        let buffer =
            unsafe { std::slice::from_raw_parts_mut(other.as_ptr().unwrap().as_ptr(), len_bytes) };
        let error = table.store(100, buffer).unwrap_err();
        assert_eq!(
            error.cause,
            AccessCause::Buffer(FaultError::BeyondEndOfFile)
        );
        assert_eq!(error.offset_bytes, 100 + PAGE_BYTES);
        let error = table.load(0, buffer).unwrap_err();
        assert_eq!(
            error.cause,
            AccessCause::Buffer(FaultError::BeyondEndOfFile)
        );
        assert_eq!(error.offset_bytes, PAGE_BYTES);
    }
}

#[test]
fn a_read_only_window_is_never_stored_to() {
    let device = numbered_device(1);
    let read_only = Protection::ReadOnly;
    let pager = Pager::new(1);
    let table = ProcessPageTable::new(device.clone(), 1, pager.clone(), read_only).unwrap();
    let error = table.store(8, &[1; 8]).unwrap_err();
    assert_eq!(error.cause, AccessCause::Fault(FaultError::ReadOnly));
    assert_eq!(get(&*table, 0), 1);
    // A frame that would allow more does not.
    table.map(0, 1, frame(0, Protection::ReadWrite)).unwrap();
    assert!(table.store(8, &[1; 8]).is_err());
    assert_eq!(pager.faults().len(), 1);
}

#[test]
fn many_threads_fault_one_window() {
    for kind in PROCESS_KINDS {
        let pages = 256;
        let device = numbered_device(pages);
        let pager = Pager::with_holes(pages, 0..pages);
        let table = process_window(kind, &device, pages, pager.clone());
        let threads = 8;
        let barrier = Barrier::new(threads);
        thread::scope(|scope| {
            for thread in 0..threads as u64 {
                let (table, barrier) = (&*table, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for page in 0..pages {
                        // Each thread adds to every page: half of them read the hole first.
                        if thread % 2 == 0 {
                            get(table, page);
                        }
                        word(table, page).fetch_add(1 << 32, Ordering::Relaxed);
                    }
                });
            }
        });
        for page in 0..pages {
            assert_eq!(
                get(&*table, page),
                (page + 1) + ((threads as u64) << 32),
                "page {page}"
            );
        }
    }
}

#[test]
fn windows_come_and_go_while_others_fault() {
    for kind in PROCESS_KINDS {
        let pages = 16;
        let device = numbered_device(pages);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..200 {
                        let table = process_window(kind, &device, pages, Pager::new(pages));
                        let page = round % pages;
                        assert_eq!(get(&*table, page), page + 1);
                        let error = table.load(pages * PAGE_BYTES - 4, &mut [0; 4]);
                        assert!(error.is_ok());
                    }
                });
            }
            let table = process_window(kind, &device, pages, Pager::new(pages));
            for round in 0..2000 {
                let page = round % pages;
                assert_eq!(get(&*table, page), page + 1);
                table.unmap(page, 1).unwrap();
            }
        });
    }
}

#[test]
fn the_table_may_be_dropped_while_its_last_fault_is_still_resolved() {
    for kind in PROCESS_KINDS {
        let device = numbered_device(1);
        let (entered, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let slow = {
            let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
            move |table: &dyn PageTable, _| {
                entered.wait();
                leave.wait();
                table
                    .map(0, 1, frame(0, Protection::ReadWrite))
                    .map_err(|_| FaultError::Device)
            }
        };
        // So long that no window of another test ends there.
        let pages = 777;
        let table = process_window(kind, &device, pages, handle(slow));
        let end = table.as_ptr().unwrap().addr().get() + (pages * PAGE_BYTES) as usize;
        // The copy ends at a page that will be gone, so the reader only makes a system call of it,
        // whose own faults are not delivered; what is delivered is the load before.
        let reader = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let value = get(&*table, 0);
                drop(table);
                value
            })
        };
        entered.wait();
        drop(table);
        // The addresses are still taken: the reader's handle and the handler in flight hold them.
        let is_mapped = || {
            let maps = fs::read_to_string("/proc/self/maps").unwrap();
            maps.contains(&format!("-{end:x} rw-s "))
        };
        assert!(is_mapped());
        leave.wait();
        assert_eq!(reader.join().unwrap(), 1);
        assert!(!is_mapped());
    }
}

#[test]
fn a_system_call_on_a_page_without_a_frame_fails_instead_of_killing() {
    for kind in PROCESS_KINDS {
        let device = numbered_device(1);
        let pager = Pager::new(1);
        let table = process_window(kind, &device, 1, pager.clone());
        let start = table.as_ptr().unwrap().as_ptr();
        let zeroes = fs::File::open("/dev/zero").unwrap();
        let read = || {
            use std::os::fd::AsRawFd;
            // SAFETY: the kernel checks the address and writes at most eight bytes of the window.
            let got = unsafe { libc::read(zeroes.as_raw_fd(), start.cast(), 8) };
            (got, std::io::Error::last_os_error().raw_os_error())
        };
        assert_eq!(read(), (-1, Some(libc::EFAULT)));
        assert!(pager.faults().is_empty());
        put(&*table, 0, 5);
        assert_eq!(read().0, 8);
        assert_eq!(get(&*table, 0), 0);
    }
}

#[test]
fn a_page_that_the_device_cannot_deliver_ends_the_access() {
    for kind in PROCESS_KINDS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let device = Device::create_file(
            &path,
            8 * PAGE_BYTES,
            daxfs_pmem::PersistenceChoice::Use(daxfs_pmem::Persistence::Volatile),
        )
        .unwrap();
        let table = process_window(kind, &Arc::new(device), 8, Pager::new(8));
        assert!(table.store(7 * PAGE_BYTES, &[1; 8]).is_ok());
        // Someone who ignores the lock cuts the image off: mapping its pages succeeds, touching
        // them cannot.
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(PAGE_BYTES)
            .unwrap();
        let error = table.load(7 * PAGE_BYTES, &mut [0; 8]).unwrap_err();
        assert_eq!(error.cause, AccessCause::Fault(FaultError::Device));
        assert!(table.load(0, &mut [0; 8]).is_ok());
    }
}

#[test]
fn pages_side_by_side_on_the_device_become_one_mapping_again() {
    for kind in PROCESS_KINDS {
        let pages = 64;
        let device = numbered_device(2 * pages);
        let table = process_window(kind, &device, pages, Pager::new(pages));
        let start = table.as_ptr().unwrap().addr().get();
        let range = start..start + (pages * PAGE_BYTES) as usize;
        let mappings = || {
            let maps = fs::read_to_string("/proc/self/maps").unwrap();
            let starts = maps.lines().filter_map(|line| line.split('-').next());
            let starts = starts.map(|start| usize::from_str_radix(start, 16).unwrap());
            starts.filter(|start| range.contains(start)).count()
        };
        assert_eq!(mappings(), 1);
        for page in 0..pages {
            put(&*table, page, 1);
        }
        assert_eq!(mappings(), 1);
        table.map(10, 1, frame(100, Protection::ReadWrite)).unwrap();
        assert_eq!(mappings(), 3);
        for page in 0..pages {
            table.unmap(page, 1).unwrap();
        }
        assert_eq!(mappings(), 1);
    }
}

#[test]
fn frames_of_zeroes_are_shared_and_stay_zero() {
    for kind in PROCESS_KINDS {
        let device = numbered_device(4);
        let table = process_window(kind, &device, 4, Pager::with_holes(4, 0..4));
        table.map(0, 4, Frame::Zero).unwrap();
        put(&*table, 1, 9);
        assert_eq!(
            [get(&*table, 0), get(&*table, 2), get(&*table, 3)],
            [0, 0, 0]
        );
        assert_eq!(get(&*table, 1), 9);
        // Under a veil all zeroes of a chunk go when the first block comes.
        let lost = if kind == Kind::Remap { 0 } else { 3 };
        assert_eq!(table.counts().faults, 1 + lost, "{kind:?}");
    }
}

#[test]
fn a_window_larger_than_the_address_space_is_refused() {
    let made = ProcessPageTable::new(
        numbered_device(1),
        1 << 50,
        Pager::new(1),
        Protection::ReadWrite,
    );
    assert!(matches!(
        made.map(drop),
        Err(PageTableError::TooManyMappings)
    ));
}
