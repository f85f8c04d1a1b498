//! A process that may have no more mappings (`vm.max_map_count`).
//!
//! Runs in a process of its own: this one's other tests may need mappings at the same moment.

use std::env;
use std::fs;
use std::process::Command;

use daxfs::MapOptions;
use daxfs_tests::fixture::{formatted, mount};

const PAGE: u64 = 4096;
/// Set in the process of its own.
const ALONE: &str = "DAXFS_REGRESSION_ALONE";
/// A limit that takes too long to reach.
const HUGE_LIMIT: u64 = 1 << 18;
/// Of these pages, one has data.
const DATA_EVERY_PAGES: u64 = 1 << 10;

/// **Symptom.** Loads from a large mapping failed as if the device had, once about half as many
/// pages apart had been touched as a process may have mappings. **Cause.** Each of them takes one
/// for itself and leaves one behind it; the kernel's refusal was passed on. **Fix.** Translations
/// may always be dropped: the window is emptied, and the fault tried again.
#[test]
fn more_pages_than_a_process_may_map_can_be_touched() {
    let limit: u64 = fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(u64::MAX);
    if limit > HUGE_LIMIT {
        println!("skipped: this system lets a process have {limit} mappings");
        return;
    }
    if env::var_os(ALONE).is_some() {
        touch_every_second_page(limit);
        return;
    }
    let name = "address_space::more_pages_than_a_process_may_map_can_be_touched";
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn touch_every_second_page(max_mappings: u64) {
    // A fifth more than are needed to reach the limit.
    let pages = max_mappings + max_mappings / 5;
    let filesystem = mount(&formatted(16 << 20));
    let file = filesystem.create("/file").unwrap();
    file.truncate(pages * PAGE).unwrap();
    for page in (0..pages).step_by(DATA_EVERY_PAGES as usize) {
        file.write_all_at(&page.to_le_bytes(), page * PAGE).unwrap();
    }
    let mapping = file.map(MapOptions::new(pages * PAGE)).unwrap();
    for page in (0..pages).step_by(2) {
        let mut read = [1; 8];
        if let Err(error) = mapping.load(page * PAGE, &mut read) {
            panic!("page {page} of {pages}: {error} ({error:?})");
        }
        let expected = if page % DATA_EVERY_PAGES == 0 {
            page
        } else {
            0
        };
        assert_eq!(u64::from_le_bytes(read), expected, "page {page}");
    }
}
