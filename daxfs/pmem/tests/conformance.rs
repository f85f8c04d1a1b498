//! What both kinds of page tables promise, checked on both by the same code.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{KINDS, Pager, frame, handle, numbered_device, window, word};
use daxfs_pmem::{
    Access, AccessCause, Device, DeviceAccess, Fault, FaultError, Frame, HUGE_PAGE_BYTES,
    PAGE_BYTES, PageTable, PageTableError, PersistenceChoice, ProcessPageTable, Protection,
    SoftwarePageTable,
};

#[test]
fn a_load_faults_once_a_page_and_sees_the_device() {
    for kind in KINDS {
        let device = numbered_device(8);
        let pager = Pager::new(8);
        let table = window(kind, &device, 8, pager.clone());
        let mut all = vec![0; 8 * PAGE_BYTES as usize];
        table.load(0, &mut all).unwrap();
        let mut wanted = all.clone();
        device.read(0, &mut wanted).unwrap();
        assert_eq!(all, wanted, "{kind:?}");
        assert_eq!(word(&*table, 7), 8);
        let expected: Vec<_> = (0..8).map(|page| (page, Access::Read)).collect();
        assert_eq!(pager.faults(), expected, "{kind:?}");
        assert_eq!(table.counts().faults, 8);
    }
}

#[test]
fn a_store_reaches_the_device_at_every_alignment() {
    for kind in KINDS {
        let device = numbered_device(4);
        let table = window(kind, &device, 4, Pager::new(4));
        for (offset_bytes, len_bytes) in [(0, 1), (4093, 7), (8, 8), (100, 9000), (4095, 4098)] {
            let bytes: Vec<u8> = (0..len_bytes)
                .map(|index| (index % 255) as u8 + 1)
                .collect();
            table.store(offset_bytes, &bytes).unwrap();
            let mut back = vec![0; bytes.len()];
            device.read(offset_bytes, &mut back).unwrap();
            assert_eq!(back, bytes, "{kind:?}: {len_bytes} bytes at {offset_bytes}");
            back.fill(0);
            table.load(offset_bytes, &mut back).unwrap();
            assert_eq!(back, bytes, "{kind:?}: {len_bytes} bytes at {offset_bytes}");
        }
    }
}

#[test]
fn a_hole_reads_as_zeroes_until_a_store_allocates_it() {
    for kind in KINDS {
        let device = numbered_device(2);
        let pager = Pager::with_holes(2, [1]);
        let table = window(kind, &device, 2, pager.clone());
        assert_eq!(word(&*table, 1), 0, "{kind:?}");
        table.store(PAGE_BYTES + 8, &[7]).unwrap();
        // The first word is the block's own, which the hole did not show.
        assert_eq!(word(&*table, 1), 2, "{kind:?}");
        assert_eq!(
            pager.faults(),
            [(1, Access::Read), (1, Access::Write)],
            "{kind:?}"
        );
        let mut byte = [0];
        device.read(PAGE_BYTES + 8, &mut byte).unwrap();
        assert_eq!(byte, [7]);
    }
}

#[test]
fn a_read_only_frame_faults_on_the_first_store_only() {
    for kind in KINDS {
        let device = numbered_device(1);
        let pager = Pager::new(1);
        let table = window(kind, &device, 1, pager.clone());
        assert_eq!(word(&*table, 0), 1);
        table.store(0, &5u64.to_le_bytes()).unwrap();
        table.store(0, &6u64.to_le_bytes()).unwrap();
        assert_eq!(word(&*table, 0), 6);
        assert_eq!(
            pager.faults(),
            [(0, Access::Read), (0, Access::Write)],
            "{kind:?}"
        );
    }
}

#[test]
fn mapping_again_replaces_what_was_there() {
    for kind in KINDS {
        let device = numbered_device(8);
        let table = window(kind, &device, 4, Pager::new(4));
        table.map(0, 4, frame(4, Protection::ReadOnly)).unwrap();
        assert_eq!([word(&*table, 0), word(&*table, 3)], [5, 8], "{kind:?}");
        table.map(1, 2, frame(0, Protection::ReadOnly)).unwrap();
        let words: Vec<_> = (0..4).map(|page| word(&*table, page)).collect();
        assert_eq!(words, [5, 1, 2, 8], "{kind:?}");
        table.map(2, 1, Frame::Zero).unwrap();
        assert_eq!(word(&*table, 2), 0);
        assert_eq!(table.counts().faults, 0, "{kind:?}");
        assert_eq!(table.counts().maps, 3);
    }
}

#[test]
fn an_unmapped_page_faults_again_and_its_neighbours_do_not() {
    for kind in KINDS {
        let device = numbered_device(4);
        let pager = Pager::new(4);
        let table = window(kind, &device, 4, pager.clone());
        table.map(0, 4, frame(0, Protection::ReadWrite)).unwrap();
        table.unmap(1, 2).unwrap();
        let words: Vec<_> = (0..4).map(|page| word(&*table, page)).collect();
        assert_eq!(words, [1, 2, 3, 4], "{kind:?}");
        assert_eq!(
            pager.faults(),
            [(1, Access::Read), (2, Access::Read)],
            "{kind:?}"
        );
        assert_eq!(table.counts().unmaps, 1);
    }
}

#[test]
fn an_access_behind_the_end_of_the_file_ends_with_its_first_byte_there() {
    for kind in KINDS {
        let device = numbered_device(4);
        let table = window(kind, &device, 4, Pager::new(2));
        let mut buffer = vec![0xaa; 3 * PAGE_BYTES as usize];
        let error = table.load(100, &mut buffer).unwrap_err();
        assert_eq!(error.offset_bytes, 2 * PAGE_BYTES, "{kind:?}");
        assert_eq!(error.cause, AccessCause::Fault(FaultError::BeyondEndOfFile));
        let loaded = 2 * PAGE_BYTES as usize - 100;
        assert_eq!(buffer[PAGE_BYTES as usize - 100..][..8], 2u64.to_le_bytes());
        assert!(
            buffer[loaded..].iter().all(|&byte| byte == 0xaa),
            "{kind:?}"
        );

        // The same for one word, which is copied in another way.
        let error = table.store(2 * PAGE_BYTES + 8, &[1; 8]).unwrap_err();
        assert_eq!(error.offset_bytes, 2 * PAGE_BYTES + 8, "{kind:?}");
        let error = table.load(3 * PAGE_BYTES, &mut [0; 8]).unwrap_err();
        assert_eq!(error.cause, AccessCause::Fault(FaultError::BeyondEndOfFile));
        // The pages before the end are not disturbed.
        assert_eq!(word(&*table, 1), 2);
    }
}

#[test]
fn every_cause_reaches_the_one_who_made_the_access() {
    let causes = [
        FaultError::BeyondEndOfFile,
        FaultError::NoSpace,
        FaultError::ReadOnly,
        FaultError::Device,
    ];
    for kind in KINDS {
        for cause in causes {
            let device = numbered_device(1);
            let table = window(kind, &device, 1, handle(move |_, _| Err(cause)));
            let error = table.store(5, &[1, 2, 3]).unwrap_err();
            assert_eq!(error.cause, AccessCause::Fault(cause), "{kind:?}");
            assert_eq!(error.offset_bytes, 5);
        }
    }
}

#[test]
fn an_access_outside_the_window_is_refused_whole() {
    for kind in KINDS {
        let device = numbered_device(2);
        let pager = Pager::new(2);
        let table = window(kind, &device, 2, pager.clone());
        for (offset_bytes, len_bytes) in [(8191, 2), (8192, 1), (u64::MAX, 1), (u64::MAX - 1, 4)] {
            let error = table
                .load(offset_bytes, &mut vec![0; len_bytes])
                .unwrap_err();
            assert_eq!(error.cause, AccessCause::OutOfWindow, "{kind:?}");
            let error = table.store(offset_bytes, &vec![0; len_bytes]).unwrap_err();
            assert_eq!(error.cause, AccessCause::OutOfWindow, "{kind:?}");
        }
        assert!(table.load(8192, &mut []).is_ok());
        assert!(pager.faults().is_empty(), "{kind:?}");
    }
}

#[test]
fn impossible_frames_are_refused_and_change_nothing() {
    for kind in KINDS {
        let device = numbered_device(4);
        let table = window(kind, &device, 4, Pager::new(4));
        table.map(0, 4, frame(0, Protection::ReadOnly)).unwrap();
        let read_only = Protection::ReadOnly;
        type Expected = fn(&PageTableError) -> bool;
        let out_of_window: Expected = |error| matches!(error, PageTableError::OutOfWindow { .. });
        let out_of_device: Expected = |error| matches!(error, PageTableError::OutOfDevice { .. });
        let granule: Expected = |error| matches!(error, PageTableError::Granule { .. });
        let unaligned = Frame::Device {
            offset_bytes: 100,
            protection: read_only,
        };
        let cases = [
            (3, 2, frame(0, read_only), out_of_window),
            (u64::MAX, 2, Frame::Zero, out_of_window),
            (0, 2, frame(3, read_only), out_of_device),
            (0, 1, frame(u64::MAX / PAGE_BYTES, read_only), out_of_device),
            (0, 1, unaligned, granule),
        ];
        for (first_page, len_pages, frame, expected) in cases {
            let error = table.map(first_page, len_pages, frame).unwrap_err();
            assert!(expected(&error), "{kind:?}: {error}");
        }
        assert!(out_of_window(&table.unmap(2, 3).unwrap_err()));
        assert!(out_of_window(&table.unmap(5, 0).unwrap_err()));
        table.map(4, 0, frame(0, read_only)).unwrap();
        table.unmap(4, 0).unwrap();
        let words: Vec<_> = (0..4).map(|page| word(&*table, page)).collect();
        assert_eq!(words, [1, 2, 3, 4], "{kind:?}");
        assert_eq!(table.counts().faults, 0, "{kind:?}");
    }
}

#[test]
fn a_window_without_pages_or_too_large_is_refused() {
    for len_pages in [0, u64::MAX, 1 << 52] {
        let device = numbered_device(1);
        let made = SoftwarePageTable::new(device.clone(), len_pages, Pager::new(1));
        assert!(matches!(made, Err(PageTableError::BadLength { .. })));
        let made = ProcessPageTable::new(device, len_pages, Pager::new(1), Protection::ReadWrite);
        assert!(matches!(made, Err(PageTableError::BadLength { .. })));
    }
}

#[test]
fn a_device_open_for_reading_can_be_mapped_for_loads_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let device = Device::create_file(&path, 2 * PAGE_BYTES, PersistenceChoice::Detect).unwrap();
    common::number(&device);
    drop(device);
    for kind in KINDS {
        let device =
            Device::open_file(&path, DeviceAccess::ReadOnly, PersistenceChoice::Detect).unwrap();
        let table = window(kind, &Arc::new(device), 2, Pager::new(2));
        assert_eq!(word(&*table, 1), 2, "{kind:?}");
        let error = table
            .map(0, 1, frame(0, Protection::ReadWrite))
            .unwrap_err();
        assert!(
            matches!(error, PageTableError::ReadOnlyDevice),
            "{kind:?}: {error}"
        );
    }
}

#[test]
fn a_handler_may_map_more_than_was_asked_for() {
    for kind in KINDS {
        let device = numbered_device(16);
        let around = |table: &dyn PageTable, fault: Fault| {
            let first = fault.window_page / 4 * 4;
            table
                .map(first, 4, frame(first, Protection::ReadWrite))
                .map_err(|_| FaultError::Device)
        };
        let table = window(kind, &device, 16, handle(around));
        let words: Vec<_> = (0..16).map(|page| word(&*table, page)).collect();
        assert_eq!(words, (1..=16).collect::<Vec<_>>());
        assert_eq!(table.counts().faults, 4, "{kind:?}");
    }
}

#[test]
fn a_handler_that_maps_nothing_at_first_is_called_again() {
    for kind in KINDS {
        let device = numbered_device(1);
        let calls = AtomicU64::new(0);
        let slow = move |table: &dyn PageTable, _| {
            if calls.fetch_add(1, Ordering::Relaxed) == 2 {
                table.map(0, 1, frame(0, Protection::ReadWrite)).unwrap();
            }
            Ok(())
        };
        let table = window(kind, &device, 1, handle(slow));
        assert_eq!(word(&*table, 0), 1, "{kind:?}");
        assert_eq!(table.counts().faults, 3, "{kind:?}");
    }
}

#[test]
fn a_frame_that_allows_less_takes_effect_at_once() {
    for kind in KINDS {
        let device = numbered_device(4);
        let pager = Pager::new(4);
        let table = window(kind, &device, 4, pager.clone());
        table.map(0, 4, frame(0, Protection::ReadWrite)).unwrap();
        table.store(PAGE_BYTES + 8, &[1]).unwrap();
        table.map(1, 2, frame(1, Protection::ReadOnly)).unwrap();
        assert_eq!([word(&*table, 1), word(&*table, 2)], [2, 3], "{kind:?}");
        assert!(pager.faults().is_empty(), "{kind:?}");
        for page in 0..4 {
            table.store(page * PAGE_BYTES + 8, &[2]).unwrap();
        }
        let write = Access::Write;
        assert_eq!(pager.faults(), [(1, write), (2, write)], "{kind:?}");
    }
}

#[test]
fn pages_that_nobody_has_touched_can_be_mapped() {
    for kind in KINDS {
        let device = Device::create_memfd(64 * PAGE_BYTES, PersistenceChoice::Detect).unwrap();
        let device = Arc::new(device);
        let table = window(kind, &device, 64, Pager::new(64));
        assert_eq!(word(&*table, 5), 0);
        table.store(9 * PAGE_BYTES, &[7]).unwrap();
        table.map(16, 16, frame(16, Protection::ReadWrite)).unwrap();
        table.store(20 * PAGE_BYTES, &[8]).unwrap();
        assert_eq!([word(&*table, 9), word(&*table, 20)], [7, 8], "{kind:?}");
        assert_eq!(table.counts().faults, 2, "{kind:?}");
    }
}

#[test]
fn a_large_frame_can_be_taken_away_page_by_page() {
    let pages = 1100;
    for kind in KINDS {
        let device = numbered_device(pages);
        let pager = Pager::new(pages);
        let table = window(kind, &device, pages, pager.clone());
        table
            .map(0, pages, frame(0, Protection::ReadWrite))
            .unwrap();
        let gone = [0, 511, 512, 700, 701, 1099];
        for page in gone {
            table.unmap(page, 1).unwrap();
        }
        for page in 0..pages {
            assert_eq!(word(&*table, page), page + 1, "{kind:?}");
        }
        assert_eq!(
            pager.faults(),
            gone.map(|page| (page, Access::Read)),
            "{kind:?}"
        );
        // A large frame takes the place of small ones, too, and of another large one.
        table
            .map(10, 600, frame(400, Protection::ReadOnly))
            .unwrap();
        table.map(500, 600, frame(0, Protection::ReadOnly)).unwrap();
        let words = [9, 10, 499, 500, 1099].map(|page| word(&*table, page));
        assert_eq!(words, [10, 401, 890, 1, 600], "{kind:?}");
        table.unmap(0, pages).unwrap();
        let faults = pager.faults().len();
        assert_eq!(word(&*table, 600), 601);
        assert_eq!(pager.faults().len(), faults + 1, "{kind:?}");
    }
}

#[test]
fn scattered_blocks_are_mapped_wherever_they_lie() {
    let pages = 1100;
    for kind in KINDS {
        let device = numbered_device(pages);
        let place = |page: u64| page * 7 % 1100;
        let scattered = move |table: &dyn PageTable, fault: Fault| {
            table
                .map(
                    fault.window_page,
                    1,
                    frame(place(fault.window_page), Protection::ReadWrite),
                )
                .map_err(|_| FaultError::Device)
        };
        let table = window(kind, &device, pages, handle(scattered));
        for round in 0..3 {
            for page in (0..pages).rev() {
                assert_eq!(word(&*table, page), place(page) + 1, "{kind:?}");
            }
            let (first, len) = [(3, 40), (0, pages), (500, 600)][round];
            table.unmap(first, len).unwrap();
            table.map(first, 1, frame(0, Protection::ReadOnly)).unwrap();
            assert_eq!(word(&*table, first), 1, "{kind:?}");
            table.unmap(first, 1).unwrap();
        }
    }
}

#[test]
fn huge_pages_are_mapped_whole_or_not_at_all() {
    let Some((_pages, device)) = common::huge_device(2) else {
        return;
    };
    common::number(&device);
    let granule_pages = HUGE_PAGE_BYTES / PAGE_BYTES;
    assert_eq!(device.mapping_granule_bytes(), HUGE_PAGE_BYTES);
    for kind in KINDS {
        let whole = move |table: &dyn PageTable, fault: Fault| {
            let first = fault.window_page / granule_pages * granule_pages;
            let protection = match fault.access {
                Access::Read => Protection::ReadOnly,
                Access::Write => Protection::ReadWrite,
            };
            let frame = frame(first, protection);
            table
                .map(first, granule_pages, frame)
                .map_err(|_| FaultError::Device)
        };
        let table = window(kind, &device, 2 * granule_pages, handle(whole));
        for (first, len, at) in [(1, granule_pages, 0), (0, 1, 0), (0, granule_pages, 1)] {
            let error = table
                .map(first, len, frame(at, Protection::ReadOnly))
                .unwrap_err();
            assert!(
                matches!(error, PageTableError::Granule { .. }),
                "{kind:?}: {error}"
            );
        }
        assert_eq!(
            word(&*table, granule_pages + 3),
            granule_pages + 4,
            "{kind:?}"
        );
        table.store(5 * PAGE_BYTES + 8, &[9; 8]).unwrap();
        table
            .store((granule_pages + 1) * PAGE_BYTES + 8, &[9; 8])
            .unwrap();
        assert_eq!(table.counts().faults, 3, "{kind:?}");
        // One page of a granule cannot be taken away alone, so the granule goes.
        table.unmap(granule_pages + 7, 1).unwrap();
        assert_eq!(word(&*table, 0), 1);
        assert_eq!(table.counts().faults, 3, "{kind:?}");
        assert_eq!(word(&*table, granule_pages), granule_pages + 1);
        assert_eq!(table.counts().faults, 4, "{kind:?}");
        let odd = window_error(kind, &device);
        assert!(
            matches!(
                odd,
                PageTableError::BadLength {
                    granule_pages: 512,
                    ..
                }
            ),
            "{kind:?}"
        );
    }
}

fn window_error(kind: common::Kind, device: &Arc<Device>) -> PageTableError {
    let device = Arc::clone(device);
    let made = match kind {
        common::Kind::Software => SoftwarePageTable::new(device, 100, Pager::new(1)).map(drop),
        common::Kind::Remap | common::Kind::Userfault => {
            ProcessPageTable::new(device, 100, Pager::new(1), Protection::ReadWrite).map(drop)
        }
    };
    made.unwrap_err()
}
