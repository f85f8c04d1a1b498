//! A full device: each way to need space fails with the right error, nothing written is lost, and
//! what is removed can be used again.

use std::collections::BTreeMap;
use std::sync::Arc;

use daxfs::{AccessError, Device, Error, File, Filesystem, MapOptions, PageTables, Result};
use daxfs_tests::fixture::{Numbers, assert_clean, formatted, mount};

const DEVICE_BYTES: u64 = 6 << 20;
const BLOCK_BYTES: u64 = 4096;

/// A filesystem that is to be filled, and what was written to it.
struct Full {
    device: Arc<Device>,
    fs: Filesystem,
    content: BTreeMap<String, Vec<u8>>,
}

impl Full {
    /// A fresh filesystem with one small file in it.
    fn new() -> Self {
        let device = formatted(DEVICE_BYTES);
        let fs = mount(&device);
        let mut full = Self {
            device,
            fs,
            content: BTreeMap::new(),
        };
        full.write("/before", &Numbers::new(1).bytes(10_000));
        full
    }

    fn write(&mut self, path: &str, bytes: &[u8]) {
        self.fs
            .create(path)
            .unwrap()
            .write_all_at(bytes, 0)
            .unwrap();
        self.content.insert(path.to_owned(), bytes.to_vec());
    }

    /// Takes all the space that data can have.
    fn fill(&mut self) {
        let file = self.fs.create("/filler").unwrap();
        let bytes = Numbers::new(2).bytes(256 << 10);
        let mut content = Vec::new();
        let error = loop {
            match file.write_at(&bytes, content.len() as u64) {
                Ok(written) => content.extend_from_slice(&bytes[..written]),
                Err(error) => break error,
            }
        };
        assert_no_space(Err::<(), _>(error));
        let len = content.len();
        assert_eq!(
            file.len_bytes(),
            len as u64,
            "the length counts what was written"
        );
        assert!(len > 2 << 20, "only {len} bytes went in");
        self.content.insert("/filler".to_owned(), content);
    }

    fn assert_holds_everything(&self) {
        for (path, expected) in &self.content {
            let file = self.fs.open(path).unwrap();
            assert_eq!(file.len_bytes(), expected.len() as u64, "{path}");
            let mut bytes = vec![0; expected.len()];
            assert_eq!(
                file.read_at(&mut bytes, 0).unwrap(),
                expected.len(),
                "{path}"
            );
            assert!(bytes == *expected, "{path} has changed");
        }
    }

    /// Unmounts, checks, and mounts again.
    fn remount(self) -> Self {
        self.assert_holds_everything();
        self.fs.unmount().expect("a full device can be unmounted");
        assert_clean(&self.device);
        let remounted = Self {
            fs: mount(&self.device),
            ..self
        };
        remounted.assert_holds_everything();
        remounted
    }
}

fn assert_no_space<T>(result: Result<T>) {
    match result {
        Err(Error::NoSpace {
            needed_blocks,
            available_blocks,
        }) => {
            assert!(
                needed_blocks > available_blocks,
                "{needed_blocks} of {available_blocks}"
            );
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a full device had space"),
    }
}

/// Calls `operation` until space runs out. Returns how often that took.
fn until_full(limit: u64, mut operation: impl FnMut(u64) -> Result<()>) -> u64 {
    for round in 0..limit {
        if let Err(error) = operation(round) {
            assert_no_space(Err::<(), _>(error));
            return round;
        }
    }
    panic!("{limit} rounds did not fill the device");
}

#[test]
fn writing_until_full_loses_nothing() {
    let mut full = Full::new();
    full.fill();
    let file = full.fs.open("/before").unwrap();
    // A hole cannot be filled, but what has blocks can still be overwritten.
    assert_no_space(file.write_at(b"far away", 1 << 20));
    assert_eq!(file.len_bytes(), 10_000);
    file.write_all_at(b"HERE", 5000).unwrap();
    drop(file);
    full.content.get_mut("/before").unwrap()[5000..5004].copy_from_slice(b"HERE");
    full.remount().remount();
}

#[test]
fn a_write_that_only_partly_fits_says_how_much_did() {
    let mut full = Full::new();
    let file = full.fs.create("/large").unwrap();
    let bytes = Numbers::new(3).bytes(DEVICE_BYTES as usize);
    let written = file.write_at(&bytes, 0).unwrap();
    assert!(
        written > 0 && written < bytes.len(),
        "{written} of {} bytes",
        bytes.len()
    );
    assert_eq!(file.len_bytes(), written as u64);
    // The first may have left some to the reserve for metadata that a checkpoint then gives back.
    assert_no_space(file.write_all_at(&bytes[written..], written as u64));
    let len = file.len_bytes() as usize;
    assert!((written..bytes.len()).contains(&len), "{len} bytes");
    drop(file);
    full.content
        .insert("/large".to_owned(), bytes[..len].to_vec());
    full.remount();
}

#[test]
fn an_append_is_whole_or_not_at_all() {
    let mut full = Full::new();
    let file = full.fs.create("/log").unwrap();
    let record = Numbers::new(4).bytes(3 * 4096 + 100);
    // Some of this would fit, and nothing of it may stay.
    assert_no_space(file.append(&vec![1; DEVICE_BYTES as usize]));
    assert_eq!(file.metadata().allocated_bytes, 0);
    let mut content = Vec::new();
    until_full(1000, |_| {
        let at = file.append(&record)?;
        assert_eq!(at, content.len() as u64);
        content.extend_from_slice(&record);
        Ok(())
    });
    assert_eq!(file.len_bytes(), content.len() as u64);
    assert_no_space(file.append(&vec![1; DEVICE_BYTES as usize]));
    assert_eq!(file.len_bytes(), content.len() as u64);
    drop(file);
    full.content.insert("/log".to_owned(), content);
    full.remount();
}

#[test]
fn creating_until_full_loses_nothing() {
    let mut full = Full::new();
    full.fill();
    let path = |number: u64| format!("/{number:05} {}", "long name ".repeat(20));
    let files = until_full(100_000, |number| full.fs.create(path(number)).map(drop));
    for number in 0..files {
        full.content.insert(path(number), Vec::new());
    }
    assert_no_space(full.fs.create_directory("/one more"));
    let missing = full.fs.metadata("/one more");
    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "a failed mkdir left a name"
    );
    full.remount();
}

#[test]
fn making_directories_until_full_loses_nothing() {
    let full = Full::new();
    let directories = until_full(100_000, |number| {
        full.fs.create_directory(format!("/{number}"))
    });
    assert!(directories > 100, "only {directories}");
    let full = full.remount();
    for number in 0..directories {
        assert_eq!(full.fs.metadata(format!("/{number}")).unwrap().links, 2);
        full.fs.remove_directory(format!("/{number}")).unwrap();
    }
    full.remount();
}

#[test]
fn a_store_to_a_hole_of_a_full_device_is_an_access_error() {
    for page_tables in [PageTables::Software, PageTables::Process] {
        let mut full = Full::new();
        let sparse = full.fs.create("/sparse").unwrap();
        sparse.truncate(1 << 20).unwrap();
        full.content.insert("/sparse".to_owned(), vec![0; 1 << 20]);
        full.fill();
        let mapping = sparse
            .map(MapOptions {
                page_tables,
                ..MapOptions::new(1 << 20)
            })
            .unwrap();
        // Allocations by metadata may have left single blocks: use them up.
        let mut stored = 0;
        let error = loop {
            match mapping.store(stored * BLOCK_BYTES, &[7; 4096]) {
                Ok(()) => stored += 1,
                Err(error) => break error,
            }
        };
        assert_ended_at(&error, stored * BLOCK_BYTES);
        // A store that begins on a block and runs into the hole says where it ended.
        if stored > 0 {
            let error = mapping
                .store(stored * BLOCK_BYTES - 8, &[9; 16])
                .unwrap_err();
            assert_ended_at(&error, stored * BLOCK_BYTES);
            mapping.store(stored * BLOCK_BYTES - 8, &[7; 8]).unwrap();
        }
        let mut zero = [1; 4096];
        mapping.load(stored * BLOCK_BYTES, &mut zero).unwrap();
        assert_eq!(
            zero, [0; 4096],
            "a hole that could not be filled reads as zeroes"
        );
        drop(mapping);
        drop(sparse);
        let content = full.content.get_mut("/sparse").unwrap();
        content[..(stored * BLOCK_BYTES) as usize].fill(7);
        full.remount();
    }
}

fn assert_ended_at(error: &Error, offset_bytes: u64) {
    let Error::Access(access) = error else {
        panic!("{error}")
    };
    let AccessError {
        offset_bytes: found,
        ..
    } = access;
    assert_eq!(*found, offset_bytes);
    assert!(access.to_string().contains("no space"), "{access}");
}

#[test]
fn what_is_removed_can_be_used_again() {
    let mut full = Full::new();
    full.fill();
    let available = full.fs.space().available_bytes;
    full.fs.remove_file("/filler").unwrap();
    full.content.remove("/filler");
    full.write("/after", &Numbers::new(5).bytes(2 << 20));
    let mut full = full.remount();
    full.fs.remove_file("/after").unwrap();
    full.content.remove("/after");
    full.fs.sync().unwrap();
    assert!(full.fs.space().available_bytes > available + (2 << 20));
    full.fill();
    full.remount();
}

#[test]
fn truncating_and_punching_a_full_device_give_space_back() {
    type GiveBack = fn(&File) -> Result<()>;
    let truncate: GiveBack = |file| file.truncate(1 << 20);
    let punch: GiveBack = |file| file.punch_hole(1 << 20, u64::from(u32::MAX));
    for give_back in [truncate, punch] {
        let mut full = Full::new();
        full.fill();
        let file = full.fs.open("/filler").unwrap();
        give_back(&file).unwrap();
        let len = file.len_bytes() as usize;
        drop(file);
        let content = full.content.get_mut("/filler").unwrap();
        content.resize(len, 0);
        content[1 << 20..].fill(0);
        full.write("/after", &Numbers::new(6).bytes(1 << 20));
        full.remount();
    }
}

/// Each hole splits an extent, which needs metadata: it fails cleanly or is there.
#[test]
fn many_holes_in_a_full_device_are_all_there_or_refused() {
    let mut full = Full::new();
    full.fill();
    let file = full.fs.open("/filler").unwrap();
    let mut punched = 0;
    for block in (1..file.len_bytes() / BLOCK_BYTES).step_by(2) {
        match file.punch_hole(block * BLOCK_BYTES, BLOCK_BYTES) {
            Ok(()) => {
                let at = (block * BLOCK_BYTES) as usize;
                let content = full.content.get_mut("/filler").unwrap();
                let end = content.len().min(at + 4096);
                content[at..end].fill(0);
                punched += 1;
            }
            Err(error) => assert_no_space(Err::<(), _>(error)),
        }
    }
    assert!(punched > 0, "no hole could be punched");
    drop(file);
    full.remount().remount();
}
