//! What an entry does with one thread, and that a replacement waits for the pins of another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::super::*;

fn device_frame(page: u64, protection: Protection) -> Translation {
    Translation::of_page(
        Frame::Device {
            offset_bytes: page * PAGE_BYTES,
            protection,
        },
        0,
    )
}

fn shown(entry: &Entry, access: Access) -> Option<Option<u64>> {
    entry.pin(access).map(|pin| pin.device_offset_bytes)
}

#[test]
fn each_kind_of_frame_allows_what_it_should() {
    let entry = Entry::absent();
    assert_eq!(shown(&entry, Access::Read), None);
    assert_eq!(shown(&entry, Access::Write), None);
    entry.replace(Translation::of_page(Frame::Zero, 5));
    assert_eq!(shown(&entry, Access::Read), Some(None));
    assert_eq!(shown(&entry, Access::Write), None);
    entry.replace(device_frame(3, Protection::ReadOnly));
    assert_eq!(shown(&entry, Access::Read), Some(Some(3 * PAGE_BYTES)));
    assert_eq!(shown(&entry, Access::Write), None);
    entry.replace(device_frame(4, Protection::ReadWrite));
    assert_eq!(shown(&entry, Access::Read), Some(Some(4 * PAGE_BYTES)));
    assert_eq!(shown(&entry, Access::Write), Some(Some(4 * PAGE_BYTES)));
    entry.clear();
    assert_eq!(shown(&entry, Access::Read), None);
}

#[test]
fn the_last_page_of_the_largest_device_fits_the_word() {
    let entry = Entry::absent();
    entry.replace(device_frame(PAGE_LIMIT - 1, Protection::ReadWrite));
    let pins: Vec<_> = (0..100).map(|_| entry.pin(Access::Write)).collect();
    let last = DEVICE_LIMIT_BYTES - PAGE_BYTES;
    assert!(
        pins.iter()
            .flatten()
            .all(|pin| pin.device_offset_bytes == Some(last))
    );
    assert_eq!(pins.iter().flatten().count(), 100);
    drop(pins);
    entry.clear();
    assert_eq!(
        entry.word.load(Ordering::Relaxed) & !GENERATION_BIT,
        KIND_ABSENT
    );
}

#[test]
fn a_replacement_waits_for_old_pins_and_new_pins_do_not_hold_it_up() {
    let entry = Entry::absent();
    entry.replace(device_frame(1, Protection::ReadWrite));
    let replaced = AtomicBool::new(false);
    let old = entry.pin(Access::Write).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            entry.replace(device_frame(2, Protection::ReadWrite));
            replaced.store(true, Ordering::Release);
        });
        // The new translation is there at once, but the replacement is not over.
        let new = loop {
            let pin = entry.pin(Access::Read).unwrap();
            if pin.device_offset_bytes == Some(2 * PAGE_BYTES) {
                break pin;
            }
            drop(pin);
            yield_now();
        };
        thread::sleep(Duration::from_millis(20));
        assert!(
            !replaced.load(Ordering::Acquire),
            "a copy through the old page is in flight"
        );
        drop(old);
        while !replaced.load(Ordering::Acquire) {
            yield_now();
        }
        drop(new);
    });
}

#[test]
fn more_pins_than_fit_wait_for_some_to_go() {
    let entry = Entry::absent();
    entry.replace(device_frame(1, Protection::ReadWrite));
    let pins: Vec<_> = (0..PINS_MAX)
        .map(|_| entry.pin(Access::Read).unwrap())
        .collect();
    let pinned = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            drop(entry.pin(Access::Read).unwrap());
            pinned.store(true, Ordering::Release);
        });
        thread::sleep(Duration::from_millis(20));
        assert!(!pinned.load(Ordering::Acquire));
        drop(pins);
    });
    assert!(pinned.into_inner());
}
