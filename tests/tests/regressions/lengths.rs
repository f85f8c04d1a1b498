//! Appends against whatever else moves the end of file, or what lies there.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use daxfs::schedule::Point;
use daxfs_tests::fixture::{assert_clean, formatted, mount, stress_factor};

use crate::hold::{Hold, mount_with};

const BLOCK: u64 = 4096;

/// **Symptom.** An append that met a punched hole was lost, and could go into a block that was
/// another file's by then. **Cause.** A hole that reaches the end of file takes the last block
/// whole, but locked only the bytes it was asked for; the append writes to the same block, after
/// them. **Fix.** It locks up to the end of the block.
///
/// The append is held between its first piece, which goes to the last block, and its second, which
/// needs a new one. The hole must wait for it: the test goes on without it after a while.
#[test]
fn a_hole_up_to_the_end_of_file_waits_for_an_append_in_the_same_block() {
    const END: u64 = BLOCK + 2000;
    let device = formatted(16 << 20);
    let hold = Hold::at(Point::WriteBeforePublish, 2);
    let fs = mount_with(&device, hold.clone());
    let file = fs.create("/file").unwrap();
    file.write_all_at(&[1; END as usize], 0).unwrap();
    let appended = vec![2; 2 * BLOCK as usize];
    thread::scope(|scope| {
        let append = || assert_eq!(file.append(&appended).unwrap(), END);
        let finished = hold.during(append, || {
            let punch = scope.spawn(|| file.punch_hole(BLOCK, 2000).unwrap());
            for _ in 0..100 {
                if punch.is_finished() {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            punch.is_finished()
        });
        assert!(!finished, "the hole did not wait for the append");
    });

    let mut read = vec![0; END as usize + appended.len()];
    assert_eq!(file.read_at(&mut read, 0).unwrap(), read.len());
    let (before, after) = read.split_at(END as usize);
    assert!(before[..BLOCK as usize].iter().all(|byte| *byte == 1));
    assert!(before[BLOCK as usize..].iter().all(|byte| *byte == 0));
    let lost = after.iter().filter(|byte| **byte != 2).count();
    assert_eq!(lost, 0, "bytes of the append are gone");
    drop(file);
    fs.unmount().unwrap();
    assert_clean(&device);
}

/// **Symptom.** `truncate` to the length that a file had cut an append off, whose blocks stayed
/// behind the end and showed when the file grew again. **Cause.** Such a truncation grows by
/// nothing, locks nothing, and then set the length to what it had been. **Fix.** Growing never
/// makes a file shorter.
///
/// Checkpoints that keep the gate closed for long (a directory of many names has changed) gather
/// both where they want to set the length.
#[test]
fn truncating_to_the_same_length_cuts_no_append_off() {
    const NAMES: u32 = 4_000;
    const LEN: u64 = 100;
    let device = formatted(64 << 20);
    let fs = mount(&device);
    fs.create_directory("/many").unwrap();
    for name in 0..NAMES {
        fs.create(format!("/many/{name}")).unwrap();
    }
    let file = fs.create("/file").unwrap();
    for round in 0..600 * stress_factor() {
        file.truncate(0).unwrap();
        file.write_all_at(&[1; LEN as usize], 0).unwrap();
        fs.create("/many/one more").unwrap();
        fs.remove_file("/many/one more").unwrap();
        let start = Barrier::new(3);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                file.append(&[2; 2 * BLOCK as usize]).unwrap();
            });
            scope.spawn(|| {
                start.wait();
                file.truncate(LEN).unwrap();
            });
            start.wait();
            fs.sync().unwrap();
        });
        let metadata = file.metadata();
        let most = metadata.len_bytes.next_multiple_of(BLOCK);
        assert!(
            metadata.allocated_bytes <= most,
            "round {round}: {} bytes of blocks for a length of {}",
            metadata.allocated_bytes,
            metadata.len_bytes
        );
    }
    drop(file);
    fs.unmount().unwrap();
    assert_clean(&device);
}
