//! How many store fences an operation takes where they make it durable: one for each change of
//! metadata.
//!
//! Touches anonymous memory with the back end of persistent memory; counts what the device counts.
//! Takes no locks.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::SystemTime;

use daxfs::{
    CreateOptions, Device, File, Filesystem, FormatOptions, Length, MountOptions, Persistence,
    PersistenceChoice, RenameMode, Result, SetAttributes, SetMode, SpecialFile,
};

const PAGE: u64 = 4096;

fn mounted() -> Filesystem {
    let choice = PersistenceChoice::Use(Persistence::Hardware);
    let device = Device::create_memfd(16 << 20, choice).unwrap();
    Filesystem::format(&device, &FormatOptions::default()).unwrap();
    Filesystem::mount(Arc::new(device), MountOptions::default()).unwrap()
}

/// A file with blocks `0..8`, open.
fn file(fs: &Filesystem) -> File {
    let file = fs.create("/file").unwrap();
    file.write_all_at(&[1; 8 * PAGE as usize], 0).unwrap();
    file.sync().unwrap();
    file
}

#[track_caller]
fn assert_fences(fs: &Filesystem, fences: u64, operation: impl FnOnce() -> Result<()>) {
    let before = fs.device().counts().fences;
    operation().unwrap();
    let taken = fs.device().counts().fences - before;
    assert_eq!(taken, fences);
}

#[test]
fn each_change_of_names_takes_one_fence() {
    let fs = mounted();
    let options = CreateOptions::file();
    assert_fences(&fs, 1, || fs.create("/a").map(drop));
    assert_fences(&fs, 1, || fs.create_directory("/d"));
    assert_fences(&fs, 1, || fs.create_symbolic_link("/a", "/s"));
    assert_fences(&fs, 1, || {
        fs.create_special("/f", SpecialFile::Fifo, &options)
    });
    assert_fences(&fs, 1, || fs.hard_link("/a", "/d/b"));
    assert_fences(&fs, 1, || fs.rename("/a", "/d/c"));
    assert_fences(&fs, 1, || fs.rename("/s", "/d/b"));
    assert_fences(&fs, 1, || {
        fs.rename_with("/d/b", "/d/c", RenameMode::Exchange)
    });
    assert_fences(&fs, 1, || fs.remove_file("/d/b"));
    assert_fences(&fs, 1, || fs.remove_file("/d/c"));
    assert_fences(&fs, 1, || fs.remove_directory("/d"));
    let anonymous = fs.create_anonymous("/", &options).unwrap();
    assert_fences(&fs, 1, || fs.link_file(&anonymous, "/named"));
}

#[test]
fn each_change_of_attributes_takes_one_fence() {
    let fs = mounted();
    drop(file(&fs));
    let change = SetAttributes {
        mode: Some(0o600),
        uid: Some(7),
        modified: Some(SystemTime::UNIX_EPOCH),
        ..SetAttributes::default()
    };
    assert_fences(&fs, 1, || fs.set_attributes("/file", &change));
    let set = |value| fs.set_extended_attribute("/file", "user.x", value, SetMode::default());
    assert_fences(&fs, 1, || set(b"one"));
    assert_fences(&fs, 1, || set(&[7; 5000]));
    assert_fences(&fs, 1, || fs.remove_extended_attribute("/file", "user.x"));
}

#[test]
fn each_change_of_length_or_of_whole_blocks_takes_one_fence() {
    let fs = mounted();
    let file = file(&fs);
    assert_fences(&fs, 1, || file.truncate(6 * PAGE));
    assert_fences(&fs, 1, || file.truncate(9 * PAGE));
    assert_fences(&fs, 1, || file.punch_hole(PAGE, PAGE));
    assert_fences(&fs, 1, || file.collapse_range(PAGE, PAGE));
    assert_fences(&fs, 1, || file.insert_range(PAGE, PAGE));
}

/// What is written comes first, then what refers to it.
#[test]
fn new_blocks_take_one_fence_more_for_their_content() {
    let fs = mounted();
    let file = fs.create("/file").unwrap();
    assert_fences(&fs, 2, || file.write_all_at(b"new", 0));
    assert_fences(&fs, 1, || file.write_all_at(b"old", 0));
    file.truncate(PAGE).unwrap();
    assert_fences(&fs, 2, || file.append(&[7; 2 * PAGE as usize]).map(drop));
    assert_fences(&fs, 2, || file.allocate(8 * PAGE, PAGE, Length::Keep));
}

/// The last name of a file takes its blocks along.
#[test]
fn removing_a_file_with_its_blocks_takes_one_fence() {
    let fs = mounted();
    drop(file(&fs));
    assert_fences(&fs, 1, || fs.remove_file("/file"));
    assert_eq!(fs.space().inodes, 1);
}
