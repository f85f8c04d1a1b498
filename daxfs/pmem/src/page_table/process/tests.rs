//! What only the inside of a window can bring about.

use std::sync::Arc;

use super::*;
use crate::page_table::{Access, Fault, FaultError};
use crate::{PAGE_BYTES, PersistenceChoice};

struct Identity;

impl FaultHandler for Identity {
    fn fault(&self, table: &dyn PageTable, fault: Fault) -> Result<(), FaultError> {
        let protection = match fault.access {
            Access::Read => Protection::ReadOnly,
            Access::Write => Protection::ReadWrite,
        };
        let offset_bytes = fault.window_page * PAGE_BYTES;
        let frame = Frame::Device {
            offset_bytes,
            protection,
        };
        table
            .map(fault.window_page, 1, frame)
            .map_err(|_| FaultError::Device)
    }
}

#[test]
fn a_window_whose_accesses_were_all_forbidden_faults_page_by_page_again() {
    let device = Device::create_memfd(4 * PAGE_BYTES, PersistenceChoice::Detect).unwrap();
    let pages = 4;
    let table = ProcessPageTable::new(
        Arc::new(device),
        pages,
        Arc::new(Identity),
        Protection::ReadWrite,
    )
    .unwrap();
    for page in 0..pages {
        table.store(page * PAGE_BYTES, &[page as u8]).unwrap();
    }
    table.window.frames().forbid().unwrap();
    let faults = table.counts().faults;
    for page in 0..pages {
        let mut byte = [0];
        table.load(page * PAGE_BYTES, &mut byte).unwrap();
        assert_eq!(byte, [page as u8]);
        table.store(page * PAGE_BYTES, &[7]).unwrap();
    }
    assert_eq!(table.counts().faults, faults + 2 * pages);
}

#[test]
fn the_reserve_is_made_anew_after_it_was_spent() {
    ballast::fill();
    let mappings = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().count()
    };
    // Other tests map at the same time, so compare with a margin of half the reserve.
    let (spent, before) = (ballast::with_room(mappings), mappings());
    assert!(
        before >= spent + 16,
        "{before} mappings with the reserve, {spent} without"
    );
}
