//! What a sync promises, and what a crash may leave.
//!
//! A crash is a copy of the device: its bytes at one moment, without anything that was in memory.

use std::sync::Arc;

use daxfs::schedule::Point;
use daxfs::{
    Device, DeviceAccess, File, Filesystem, FormatOptions, Length, MapOptions, PageTables,
    Persistence, PersistenceChoice,
};
use daxfs_tests::fixture::{assert_clean, formatted, mount};

use crate::hold::{Hold, crash_copy, mount_with};

const DEVICE_BYTES: u64 = 16 << 20;
const PAGE: u64 = 4096;

/// **Symptom.** After `Mapping::sync` and a crash, what had been stored into a hole read as zeroes.
/// **Cause.** It flushed the bytes of the blocks, and left the extents that lead to them to the
/// next checkpoint. **Fix.** It makes that checkpoint.
#[test]
fn a_synced_store_into_a_hole_survives_a_crash() {
    for page_tables in [PageTables::Process, PageTables::Software] {
        let device = formatted(DEVICE_BYTES);
        let fs = mount(&device);
        let file = fs.create("/file").unwrap();
        file.truncate(3 * PAGE).unwrap();
        fs.sync().unwrap();
        let options = MapOptions {
            page_tables,
            ..MapOptions::new(3 * PAGE)
        };
        let mapping = file.map(options).unwrap();
        mapping.store(PAGE + 5, b"durable").unwrap();
        mapping.sync(PAGE, PAGE).unwrap();

        let crashed = mount(&crash_copy(&device));
        let mut read = [0; 7];
        let survivor = crashed.open("/file").unwrap();
        assert_eq!(survivor.read_at(&mut read, PAGE + 5).unwrap(), 7);
        assert_eq!(&read, b"durable", "{page_tables:?}");
    }
}

/// The same for `File::sync`: a file made, written into and synced is there after a crash, name,
/// length and bytes, whether they were written or stored.
#[test]
fn a_synced_file_survives_a_crash() {
    let device = formatted(DEVICE_BYTES);
    let fs = mount(&device);
    let file = fs.create("/file").unwrap();
    file.write_all_at(b"written", 0).unwrap();
    file.truncate(3 * PAGE).unwrap();
    let mapping = file.map(MapOptions::new(3 * PAGE)).unwrap();
    mapping.store(2 * PAGE, b"stored").unwrap();
    file.sync().unwrap();

    let crashed = mount(&crash_copy(&device));
    let survivor = crashed.open("/file").unwrap();
    assert_eq!(survivor.len_bytes(), 3 * PAGE);
    let mut read = [0; 7];
    survivor.read_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"written");
    survivor.read_at(&mut read, 2 * PAGE).unwrap();
    assert_eq!(&read, b"stored\0");
}

/// **Symptom.** After a crash, a file that was made longer showed bytes where it had never been
/// written. **Cause.** A write publishes its blocks and then its length; a checkpoint between the
/// two stores blocks past the end, and growing over them took them for content. **Fix.** Blocks
/// past the end are allowed and hold anything; whoever grows the file over them zeroes them.
#[test]
fn blocks_of_a_write_that_a_crash_cut_short_never_show() {
    const LEN_BYTES: usize = 64 << 10;
    let device = formatted(DEVICE_BYTES);
    // The write comes to a second hole only after this point, and to its end after that.
    let hold = Hold::at(Point::Invalidated, 0);
    let fs = mount_with(&device, hold.clone());
    let file = fs.create("/file").unwrap();
    // A block in the middle, so that what is written comes in pieces.
    file.allocate(8 * PAGE, PAGE, Length::Keep).unwrap();
    let copy = hold.during(
        || file.write_all_at(&[0x77; LEN_BYTES], 0).unwrap(),
        || {
            fs.checkpoint().unwrap();
            crash_copy(&device)
        },
    );

    let crashed = mount(&copy);
    let survivor = crashed.open("/file").unwrap();
    assert_eq!(survivor.len_bytes(), 0, "the write had not come to its end");
    survivor.truncate(LEN_BYTES as u64).unwrap();
    let mut read = vec![1; LEN_BYTES];
    assert_eq!(survivor.read_at(&mut read, 0).unwrap(), LEN_BYTES);
    let stale = read.iter().filter(|byte| **byte != 0).count();
    assert_eq!(stale, 0, "bytes that this file never had");
    drop(survivor);
    crashed.unmount().unwrap();
    assert_clean(&copy);
    mount(&copy).unmount().unwrap();
    assert_clean(&copy);

    // And the write itself came to nothing bad: it went on after the checkpoint.
    assert_eq!(file.len_bytes(), LEN_BYTES as u64);
    drop(file);
    fs.unmount().unwrap();
    assert_clean(&device);
}

/// **Symptom.** In an image file, a crash gave a removed file back with the bytes of its clone.
/// **Cause.** The last place that a block had left took it for its own, and was written in place,
/// while the record of the removal waited for a sync; the system brought the block to the medium
/// before it. **Fix.** Who takes a block back syncs the log first.
#[test]
fn a_removed_file_does_not_come_back_with_the_bytes_of_its_clone() {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(DEVICE_BYTES).unwrap();
    let open = || {
        let choice = PersistenceChoice::Use(Persistence::Msync);
        Device::open_file(image.path(), DeviceAccess::ReadWrite, choice).unwrap()
    };
    let device = Arc::new(open());
    Filesystem::format(&device, &FormatOptions::default()).unwrap();
    let fs = mount(&device);
    let page_table = MapOptions {
        page_tables: PageTables::Software,
        ..MapOptions::new(PAGE)
    };
    let writes: [fn(&File, &MapOptions); 2] = [
        |file, _| file.write_all_at(b"new", 0).unwrap(),
        |file, options| file.map(*options).unwrap().store(0, b"new").unwrap(),
    ];
    for write in writes {
        let file = fs.create("/file").unwrap();
        let clone = fs.create("/clone").unwrap();
        file.write_all_at(&[7; PAGE as usize], 0).unwrap();
        file.clone_range(0, 0, &clone, 0).unwrap();
        drop(file);
        fs.sync().unwrap();
        fs.remove_file("/file").unwrap();
        write(&clone, &page_table);

        // The system has written all that it was given.
        let crashed = mount(&crash_copy(&device));
        if let Ok(file) = crashed.open("/file") {
            let mut bytes = [0; 3];
            file.read_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, [7; 3]);
        }
        fs.remove_file("/clone").unwrap();
    }
}
