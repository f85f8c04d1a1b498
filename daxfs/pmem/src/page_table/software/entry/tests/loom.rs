//! Every interleaving of copies and replacements, within loom's bounds.
//!
//! The bytes of a page are a cell that copies look at under a pin and that the mapper changes after
//! taking the page away; loom reports the two meeting, and a missing happens-before edge alike.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::super::*;

struct Page {
    entry: Entry,
    bytes: [UnsafeCell<u64>; 2],
}

// SAFETY: loom checks every access of the cells; an entry is atomic.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

fn device_frame(page: u64) -> Translation {
    let protection = Protection::ReadWrite;
    Translation::of_page(
        Frame::Device {
            offset_bytes: page * PAGE_BYTES,
            protection,
        },
        0,
    )
}

fn page() -> Arc<Page> {
    let bytes = [UnsafeCell::new(0), UnsafeCell::new(0)];
    let page = Arc::new(Page {
        entry: Entry::absent(),
        bytes,
    });
    page.entry.replace(device_frame(0));
    page
}

/// Reads the page that the entry shows, if any.
fn copy_from(page: &Page) {
    if let Some(pin) = page.entry.pin(Access::Read) {
        let index = pin.device_offset_bytes.unwrap() / PAGE_BYTES;
        page.bytes[index as usize].with(|bytes| {
            // SAFETY: loom checks that nobody writes now.
            let found = unsafe { *bytes };
            assert_eq!(found, index, "a page was changed while it could be reached");
        });
    }
}

/// Changes a page, which must be out of reach.
fn give_away(page: &Page, index: usize) {
    page.bytes[index].with_mut(|bytes| {
        // SAFETY: loom checks that nobody reads now.
        unsafe { *bytes = 99 };
    });
}

/// Readies a page that has not been mapped yet.
fn initialise(page: &Page, index: usize) {
    page.bytes[index].with_mut(|bytes| {
        // SAFETY: loom checks that nobody reads now.
        unsafe { *bytes = index as u64 };
    });
}

#[test]
fn a_page_taken_away_is_used_by_nobody() {
    loom::model(|| {
        let page = page();
        let copiers: Vec<_> = (0..2)
            .map(|_| {
                let page = Arc::clone(&page);
                thread::spawn(move || copy_from(&page))
            })
            .collect();
        page.entry.clear();
        give_away(&page, 0);
        for copier in copiers {
            copier.join().unwrap();
        }
    });
}

#[test]
fn a_page_replaced_by_another_is_used_by_nobody_and_the_new_one_is_ready() {
    loom::model(|| {
        let page = page();
        let copier = {
            let page = Arc::clone(&page);
            thread::spawn(move || {
                copy_from(&page);
                copy_from(&page);
            })
        };
        initialise(&page, 1);
        page.entry.replace(device_frame(1));
        give_away(&page, 0);
        copier.join().unwrap();
    });
}

#[test]
fn of_two_replacements_each_waits_for_the_copies_before_it() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.max_branches = 100_000;
    model.check(|| {
        let page = page();
        let copier = {
            let page = Arc::clone(&page);
            thread::spawn(move || copy_from(&page))
        };
        let clearer = {
            let page = Arc::clone(&page);
            thread::spawn(move || page.entry.clear())
        };
        page.entry.clear();
        give_away(&page, 0);
        copier.join().unwrap();
        clearer.join().unwrap();
    });
}
