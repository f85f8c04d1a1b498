//! The blocks that are kept for metadata: enough for the next checkpoint, and no more than that.

use daxfs::{File, Filesystem};
use daxfs_tests::fixture::{assert_clean, formatted, mount};

const BLOCK: u64 = 4096;

/// **Symptom.** On a full device whose files had grown by extents, truncating them and then syncing
/// failed for want of space, and so did every sync after it, removals and unmounting included.
/// **Cause.** A file that grows keeps one block for its metadata; the checkpoint spends that block,
/// and the change after it finds none to write the same metadata anew. **Fix.** It keeps two.
#[test]
fn a_full_device_can_sync_after_its_extents_have_grown() {
    const FILES: u64 = 200;
    let device = formatted(16 << 20);
    let fs = mount(&device);
    let write_block = |file: &File, block: u64| file.write_all_at(&[1; 4096], block * BLOCK);
    let files: Vec<File> = (0..FILES)
        .map(|number| {
            let file = fs.create(format!("/{number:04}")).unwrap();
            for extent in 0..4 {
                write_block(&file, 2 * extent).unwrap();
            }
            file
        })
        .collect();
    fs.checkpoint().unwrap();
    let filler = fs.create("/filler").unwrap();
    // Just enough is left for two more extents each and a little metadata, but not for more.
    fill_up_to(&fs, &filler, (3 * FILES + 2) * BLOCK);
    for file in &files {
        for extent in 4..6 {
            // Most find space, some do not: both are right.
            let _ = write_block(file, 2 * extent);
        }
    }

    fs.checkpoint().expect("the growth was kept room for");
    for file in &files {
        file.truncate(9 * BLOCK).unwrap();
    }
    fs.checkpoint()
        .expect("shrinking needs no more than growing did");
    fs.remove_file("/filler").unwrap();
    fs.checkpoint().expect("removing makes room");
    drop((filler, files));
    fs.unmount().expect("a full device can be unmounted");
    assert_clean(&device);
    assert_eq!(mount(&device).space().inodes, 1 + FILES);
}

/// Writes to `file`, and makes checkpoints, until no more than `left_bytes` are available, as they
/// are counted right after one.
fn fill_up_to(fs: &Filesystem, file: &File, left_bytes: u64) {
    let mut at = file.len_bytes();
    while fs.space().available_bytes > left_bytes {
        while fs.space().available_bytes > left_bytes {
            file.write_all_at(&[2; 4096], at).unwrap();
            at += BLOCK;
        }
        fs.checkpoint().unwrap();
    }
}

/// **Symptom.** Making and removing one file over and over ended in "no space" on an empty device.
/// **Cause.** Each creation keeps a block for metadata until the next checkpoint, and running out
/// made a checkpoint only when it would free blocks of files. **Fix.** It does so too when one
/// would let go of what is kept.
#[test]
fn creating_and_removing_one_name_for_ever_needs_no_sync() {
    let device = formatted(4 << 20);
    let fs = mount(&device);
    let available_bytes = fs.space().available_bytes;
    let rounds = 10 * fs.space().total_bytes / BLOCK;
    for round in 0..rounds {
        match fs.create("/name") {
            Ok(file) => drop(file),
            Err(error) => panic!("round {round} of {rounds}: {error}; {:?}", fs.space()),
        }
        fs.remove_file("/name").unwrap();
    }
    fs.checkpoint().unwrap();
    let lost_bytes = available_bytes.saturating_sub(fs.space().available_bytes);
    assert!(lost_bytes <= 4 * BLOCK, "{lost_bytes} bytes went missing");
    fs.unmount().unwrap();
    assert_clean(&device);
}
