//! Limits that take too long to reach by doing.

use std::sync::Arc;

use daxfs_pmem::{Device, PersistenceChoice};

use super::namespace::MOST_LINKS;
use super::superblock::read_superblock;
use super::walk::LastLink;
use super::{ExistingImage, Filesystem, FormatOptions, MountOptions, RenameMode};
use crate::error::Error;

fn filesystem() -> Filesystem {
    let device = Device::create_memfd(8 << 20, PersistenceChoice::Detect).unwrap();
    Filesystem::format(&device, &FormatOptions::default()).unwrap();
    Filesystem::mount(Arc::new(device), MountOptions::default()).unwrap()
}

/// The ring is not erased by `mkfs`: its records stay where they were, of the same epochs as those
/// that the new image will have.
#[test]
fn a_log_of_an_image_that_was_here_before_is_not_replayed() {
    let device = Arc::new(Device::create_memfd(8 << 20, PersistenceChoice::Detect).unwrap());
    let replace = FormatOptions {
        existing: ExistingImage::Replace,
        ..FormatOptions::default()
    };
    let mut positions = Vec::new();
    for round in 0..4 {
        Filesystem::format(&device, &replace).unwrap();
        let (superblock, _) = read_superblock(&device).unwrap();
        positions.push(superblock.log_first_lsn);
        // A mount that stops at once, so that its epoch has no record yet.
        for _ in 0..2 {
            let fs = Filesystem::mount(Arc::clone(&device), MountOptions::default()).unwrap();
            assert_eq!(fs.read_directory("/").unwrap(), [], "round {round}");
            fs.sync().unwrap();
            stop_at_once(fs);
        }
        let fs = Filesystem::mount(Arc::clone(&device), MountOptions::default()).unwrap();
        for number in 0..100 {
            fs.create(format!("/{number}")).unwrap();
        }
        fs.sync().unwrap();
        stop_at_once(fs);
    }
    let ring_bytes = 1 << 20;
    positions.sort_unstable();
    let is_apart = |pair: &[u64]| pair[1] - pair[0] > ring_bytes;
    assert!(positions.windows(2).all(is_apart), "{positions:?}");
}

/// Leaves the image as a crash does: nothing more is written to it.
fn stop_at_once(fs: Filesystem) {
    std::mem::forget(fs);
}

/// Makes what `path` names believe that it has `links` names.
fn pretend(fs: &Filesystem, path: &str, links: u32) {
    let found = fs.mounted.find(path.as_ref(), LastLink::Keep);
    found.unwrap().set_links(links);
}

fn is_too_many(result: Result<(), Error>) -> bool {
    matches!(result, Err(Error::TooManyNames { .. }))
}

#[test]
fn a_file_has_65000_names_at_most() {
    let fs = filesystem();
    let file = fs.create("/a").unwrap();
    pretend(&fs, "/a", MOST_LINKS - 1);
    fs.hard_link("/a", "/b").unwrap();
    assert_eq!(file.metadata().links, 65_000);
    assert!(is_too_many(fs.hard_link("/a", "/c")));
    assert!(is_too_many(fs.link_file(&file, "/c")));
    assert!(is_too_many(fs.hard_link("/a", "/c")));
    // One goes, one comes.
    fs.remove_file("/b").unwrap();
    fs.hard_link("/a", "/c").unwrap();
    // A rename keeps the number.
    fs.rename("/c", "/d").unwrap();
}

#[test]
fn a_directory_has_64998_subdirectories_at_most() {
    let fs = filesystem();
    for path in ["/full", "/full/one", "/other", "/other/two"] {
        fs.create_directory(path).unwrap();
    }
    pretend(&fs, "/full", MOST_LINKS - 1);
    fs.create_directory("/full/last").unwrap();
    assert!(is_too_many(fs.create_directory("/full/more")));
    assert!(is_too_many(fs.rename("/other/two", "/full/more")));
    // Files are not counted; what is there may move, be replaced and be exchanged.
    fs.create("/full/file").unwrap();
    fs.rename("/full/last", "/full/same").unwrap();
    fs.rename("/other/two", "/full/same").unwrap();
    fs.create_directory("/other/three").unwrap();
    fs.rename_with("/other/three", "/full/same", RenameMode::Exchange)
        .unwrap();
    let exchanged = fs.rename_with("/other/three", "/full/file", RenameMode::Exchange);
    assert!(is_too_many(exchanged));
}
