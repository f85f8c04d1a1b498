//! Reads and writes whose buffer is a mapping of the very file, or of the very bytes.
//!
//! The copy then faults in the middle of `read_at` or `write_at`, with the I/O lock held; the fault
//! takes the mapping lock, and may allocate. Nothing may hang or fail, under any pair of designs:
//! no fault takes an I/O lock, and no user memory is touched inside a mapping lock.
//!
//! The one file of these tests with `unsafe` code: there is no other way of passing a mapping's
//! memory as a slice. Touches anonymous memory; takes no locks.

use std::sync::Arc;

use daxfs::{File, Filesystem, IoLock, MapOptions, Mapping, MappingLock, MountOptions};
use daxfs_tests::fixture::{assert_clean, formatted};

const PAGE: usize = 4096;
const FILE_BYTES: u64 = 8 * PAGE as u64;

/// Part of a mapping's memory.
///
/// # Safety
/// While the slice is used, nobody writes to these bytes of the file, unless by copies that the
/// compiler cannot look into; and the mapping lives.
unsafe fn memory(mapping: &Mapping, offset_bytes: usize, len_bytes: usize) -> &[u8] {
    assert!((offset_bytes + len_bytes) as u64 <= mapping.len_bytes());
    let start = mapping.as_ptr().expect("process page tables").as_ptr();
    // SAFETY: the bytes lie in the mapping, by the assertion, whose addresses are readable: a fault
    // on them is resolved, since the file is as long as the mapping.
    unsafe { std::slice::from_raw_parts(start.wrapping_add(offset_bytes), len_bytes) }
}

/// The same, to be changed.
///
/// # Safety
/// As for [`memory`].
#[expect(
    clippy::mut_from_ref,
    reason = "the memory is the file's, not the mapping's"
)]
unsafe fn memory_mut(mapping: &Mapping, offset_bytes: usize, len_bytes: usize) -> &mut [u8] {
    assert!((offset_bytes + len_bytes) as u64 <= mapping.len_bytes());
    let start = mapping.as_ptr().expect("process page tables").as_ptr();
    // SAFETY: as in `memory`, and the mapping is writable.
    unsafe { std::slice::from_raw_parts_mut(start.wrapping_add(offset_bytes), len_bytes) }
}

fn mount(io_lock: IoLock, mapping_lock: MappingLock) -> Filesystem {
    let mut options = MountOptions::default();
    options.mapping_lock = mapping_lock;
    let options = match io_lock {
        IoLock::Inode => options.with_inode_io_lock(),
        IoLock::Range => options,
        IoLock::Segment => options.with_segment_io_lock_for_benchmark(),
        IoLock::None => options.without_io_lock_for_benchmark(),
        other => panic!("{other}: a design that this test does not know"),
    };
    Filesystem::mount(formatted(16 << 20), options).unwrap()
}

/// Runs `test` on a file of eight pages, the first two of which have data, under every design.
fn for_every_design(test: impl Fn(&File, &Mapping)) {
    for io_lock in IoLock::ALL {
        for mapping_lock in MappingLock::ALL {
            println!("I/O lock {io_lock}, mapping lock {mapping_lock}");
            let fs = mount(io_lock, mapping_lock);
            let file = fs.create("/file").unwrap();
            file.truncate(FILE_BYTES).unwrap();
            file.write_all_at(&data(), 0).unwrap();
            let mapping = file.map(MapOptions::new(FILE_BYTES)).unwrap();
            test(&file, &mapping);
            drop((file, mapping));
            let device = Arc::clone(fs.device());
            fs.unmount().unwrap();
            assert_clean(&device);
        }
    }
}

fn data() -> Vec<u8> {
    (0..2 * PAGE).map(|index| (index % 251) as u8 + 1).collect()
}

/// What both ways say of bytes of the file, which must be the same.
fn contents(file: &File, mapping: &Mapping, offset_bytes: usize, len_bytes: usize) -> Vec<u8> {
    let (mut read, mut loaded) = (vec![0; len_bytes], vec![0; len_bytes]);
    assert_eq!(
        file.read_at(&mut read, offset_bytes as u64).unwrap(),
        len_bytes
    );
    mapping.load(offset_bytes as u64, &mut loaded).unwrap();
    assert!(read == loaded, "read and load differ");
    read
}

#[test]
fn data_written_onto_itself_stays() {
    for_every_design(|file, mapping| {
        // SAFETY: the only writer is `write_at`, which copies opaquely; the mapping lives.
        let buffer = unsafe { memory(mapping, 0, 2 * PAGE) };
        file.write_all_at(buffer, 0).unwrap();
        assert!(contents(file, mapping, 0, 2 * PAGE) == data());
    });
}

#[test]
fn a_hole_written_onto_itself_becomes_zeroes() {
    for_every_design(|file, mapping| {
        // SAFETY: as above.
        let buffer = unsafe { memory(mapping, 4 * PAGE, 2 * PAGE) };
        file.write_all_at(buffer, 4 * PAGE as u64).unwrap();
        assert!(contents(file, mapping, 4 * PAGE, 2 * PAGE) == vec![0; 2 * PAGE]);
        assert_eq!(file.metadata().allocated_bytes, 4 * PAGE as u64);
    });
}

#[test]
fn data_is_written_from_a_mapping_into_a_hole_of_the_same_file() {
    for_every_design(|file, mapping| {
        // SAFETY: nobody writes to the first two pages.
        let buffer = unsafe { memory(mapping, 0, 2 * PAGE) };
        file.write_all_at(buffer, 4 * PAGE as u64 + 100).unwrap();
        assert!(contents(file, mapping, 4 * PAGE + 100, 2 * PAGE) == data());
        assert!(contents(file, mapping, 0, 2 * PAGE) == data());
    });
}

#[test]
fn a_write_that_overlaps_its_buffer_neither_hangs_nor_fails() {
    for_every_design(|file, mapping| {
        // SAFETY: the only writer is `write_at`, which copies opaquely; the mapping lives.
        let buffer = unsafe { memory(mapping, 0, 2 * PAGE) };
        file.write_all_at(buffer, PAGE as u64).unwrap();
        // What the second page holds depends on the order in which bytes are copied; the first is
        // not written to.
        assert!(contents(file, mapping, 0, PAGE) == data()[..PAGE]);
        contents(file, mapping, PAGE, 2 * PAGE);
    });
}

#[test]
fn an_append_takes_its_bytes_from_a_mapping() {
    for_every_design(|file, mapping| {
        // SAFETY: nobody writes to the first two pages.
        let buffer = unsafe { memory(mapping, 0, 2 * PAGE) };
        assert_eq!(file.append(buffer).unwrap(), FILE_BYTES);
        let mut appended = vec![0; 2 * PAGE];
        file.read_at(&mut appended, FILE_BYTES).unwrap();
        assert!(appended == data());
    });
}

#[test]
fn a_read_into_a_mapped_hole_of_the_same_file_fills_it() {
    for_every_design(|file, mapping| {
        // SAFETY: the only writer is `read_at`, into this very buffer.
        let buffer = unsafe { memory_mut(mapping, 4 * PAGE, 2 * PAGE) };
        assert_eq!(file.read_at(buffer, 0).unwrap(), 2 * PAGE);
        assert!(contents(file, mapping, 4 * PAGE, 2 * PAGE) == data());
    });
}

#[test]
fn data_read_onto_itself_stays_and_so_does_a_hole() {
    for_every_design(|file, mapping| {
        for (page, expected) in [(0, data()), (4, vec![0; 2 * PAGE])] {
            // SAFETY: the only writer is `read_at`, into this very buffer.
            let buffer = unsafe { memory_mut(mapping, page * PAGE, 2 * PAGE) };
            assert_eq!(
                file.read_at(buffer, (page * PAGE) as u64).unwrap(),
                2 * PAGE
            );
            assert!(contents(file, mapping, page * PAGE, 2 * PAGE) == expected);
        }
    });
}

/// Two files, each written from a mapping of the other at the same time, onto data and into holes:
/// each copy faults with its own I/O lock held, and waits for nothing that the other holds.
#[test]
fn two_files_are_written_from_mappings_of_each_other() {
    const ROUNDS: usize = 30;
    for mapping_lock in MappingLock::ALL {
        println!("mapping lock {mapping_lock}");
        let fs = mount(IoLock::Range, mapping_lock);
        let files = ["/one", "/two"].map(|name| {
            let file = fs.create(name).unwrap();
            file.truncate(FILE_BYTES).unwrap();
            file.write_all_at(&data(), 0).unwrap();
            file
        });
        let mappings = [0, 1].map(|file| files[file].map(MapOptions::new(FILE_BYTES)).unwrap());
        for _ in 0..ROUNDS {
            for file in &files {
                file.punch_hole(2 * PAGE as u64, FILE_BYTES).unwrap();
            }
            for mapping in &mappings {
                mapping.release(0, FILE_BYTES).unwrap();
            }
            let meet = std::sync::Barrier::new(2);
            std::thread::scope(|scope| {
                for number in 0..2 {
                    let (file, mapping, meet) = (&files[number], &mappings[1 - number], &meet);
                    scope.spawn(move || {
                        meet.wait();
                        // SAFETY: the writers are `write_at`, which copies opaquely; the mapping
                        // lives.
                        let buffer = unsafe { memory(mapping, 0, 4 * PAGE) };
                        file.write_all_at(buffer, 4 * PAGE as u64).unwrap();
                        file.write_all_at(&buffer[..2 * PAGE], 0).unwrap();
                    });
                }
            });
            for (file, mapping) in files.iter().zip(&mappings) {
                assert!(contents(file, mapping, 0, 2 * PAGE) == data());
                assert!(contents(file, mapping, 4 * PAGE, 2 * PAGE) == data());
                assert!(contents(file, mapping, 6 * PAGE, 2 * PAGE) == vec![0; 2 * PAGE]);
            }
        }
    }
}
