//! When a file was last modified.

use std::time::SystemTime;

use daxfs::{MapOptions, PageTables, Protection};
use daxfs_tests::fixture::{formatted, mount};

const DEVICE_BYTES: u64 = 8 << 20;

/// Returns once the clock shows another time.
fn let_time_pass() {
    let start = SystemTime::now();
    while SystemTime::now() == start {
        std::thread::yield_now();
    }
}

/// **Symptom.** The modification time that `metadata` had shown was gone after the next mount.
/// **Cause.** A write only notes that there was one; asking for the time turned the note into a
/// time in memory, and the checkpoint looked for the note. **Fix.** Filling the time in is
/// remembered until a checkpoint has stored it.
#[test]
fn the_time_of_a_write_that_was_asked_for_is_stored() {
    let device = formatted(DEVICE_BYTES);
    let fs = mount(&device);
    let file = fs.create("/file").unwrap();
    file.write_all_at(&[1; 4096], 0).unwrap();
    fs.sync().unwrap();
    let before = fs.metadata("/file").unwrap().modified;
    let_time_pass();
    file.write_all_at(&[2; 4096], 0).unwrap();
    let shown = file.metadata().modified;
    assert!(shown > before);
    drop(file);
    fs.unmount().unwrap();
    assert_eq!(mount(&device).metadata("/file").unwrap().modified, shown);
}

/// **Symptom.** A store that failed, because the mapping was read-only, made the file look
/// modified. **Cause.** The write was noted before the store. **Fix.** After it, if it worked.
#[test]
fn a_store_that_fails_modifies_nothing() {
    let fs = mount(&formatted(DEVICE_BYTES));
    let file = fs.create("/file").unwrap();
    file.write_all_at(&[1; 4096], 0).unwrap();
    for page_tables in [PageTables::Process, PageTables::Software] {
        let read_only = MapOptions {
            page_tables,
            protection: Protection::ReadOnly,
            ..MapOptions::new(4096)
        };
        let before = file.metadata().modified;
        let_time_pass();
        let mapping = file.map(read_only).unwrap();
        assert!(mapping.store(0, b"no").is_err());
        assert_eq!(file.metadata().modified, before, "{page_tables:?}");
        drop(mapping);
        assert_eq!(
            file.metadata().modified,
            before,
            "{page_tables:?}, unmapped"
        );

        let writable = MapOptions {
            protection: Protection::ReadWrite,
            ..read_only
        };
        file.map(writable).unwrap().store(0, b"yes").unwrap();
        assert!(file.metadata().modified > before, "{page_tables:?}");
    }
}
