//! Reads and writes of several buffers: each is one step towards others, and takes one fence.
//!
//! What comes of them alone is compared with the kernel's filesystem by `daxfs/tests/posix`.
//! Touches anonymous memory; takes no locks.
#![forbid(unsafe_code)]

use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;

use daxfs::{Device, Error, Filesystem, FormatOptions, MAX_FILE_BYTES};
use daxfs::{MountOptions, Persistence, PersistenceChoice};
use daxfs_tests::fixture::{assert_clean, bytes_of, formatted, mount, stress_factor};

const PAGE: usize = 4096;
const IMAGE_BYTES: u64 = 16 << 20;

/// Buffers of which no two begin at the same place of a page, and some are empty.
const LENS: [usize; 6] = [100, 0, 3 * PAGE, 1, 0, PAGE - 7];

fn total() -> usize {
    LENS.iter().sum()
}

/// One buffer for each length, all of the same byte.
fn buffers(byte: u8) -> Vec<Vec<u8>> {
    LENS.iter().map(|len| vec![byte; *len]).collect()
}

fn slices(buffers: &[Vec<u8>]) -> Vec<IoSlice<'_>> {
    buffers.iter().map(|buffer| IoSlice::new(buffer)).collect()
}

#[track_caller]
fn assert_one_step(bytes: &[u8]) {
    let pieces = bytes.chunk_by(|one, other| one == other).count();
    assert!(
        pieces <= 1,
        "a read saw {pieces} pieces of writes that were one step each"
    );
}

/// With buffers that take long enough to copy for others to come in between, if they could.
#[test]
fn a_read_sees_all_buffers_of_a_write_or_none() {
    const LEN: usize = 256 << 10;
    const BUFFERS: usize = 4;
    let fs = mount(&formatted(IMAGE_BYTES));
    let file = fs.create("/file").unwrap();
    let write = |byte| {
        let buffers = vec![vec![byte; LEN]; BUFFERS];
        let written = file.write_vectored_at(&slices(&buffers), 50);
        assert_eq!(written.unwrap(), BUFFERS * LEN);
    };
    write(255);
    let rounds = 100 * stress_factor();
    std::thread::scope(|scope| {
        for byte in 1..=2 {
            let write = &write;
            scope.spawn(move || (0..rounds).for_each(|_| write(byte)));
        }
        let mut bytes = vec![0; BUFFERS * LEN];
        for _ in 0..rounds {
            assert_eq!(file.read_at(&mut bytes, 50).unwrap(), bytes.len());
            assert_one_step(&bytes);
            let mut buffers: Vec<_> = bytes.chunks_mut(LEN).map(IoSliceMut::new).collect();
            let read = file.read_vectored_at(&mut buffers, 50);
            assert_eq!(read.unwrap(), BUFFERS * LEN);
            assert_one_step(&bytes);
        }
    });
}

#[test]
fn appends_of_several_buffers_do_not_mix() {
    let fs = mount(&formatted(IMAGE_BYTES));
    let file = fs.create("/file").unwrap();
    let rounds = 20;
    std::thread::scope(|scope| {
        for byte in 1..=2 {
            let file = &file;
            scope.spawn(move || {
                for _ in 0..rounds {
                    let at = file.append_vectored(&slices(&buffers(byte))).unwrap();
                    assert_eq!(at % total() as u64, 0);
                }
            });
        }
    });
    let mut bytes = vec![0; 2 * rounds * total() + 1];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len() - 1);
    bytes[..2 * rounds * total()]
        .chunks_exact(total())
        .for_each(assert_one_step);
}

#[test]
fn however_many_buffers_a_write_takes_one_fence_and_new_blocks_one_more() {
    let choice = PersistenceChoice::Use(Persistence::Hardware);
    let device = Device::create_memfd(IMAGE_BYTES, choice).unwrap();
    Filesystem::format(&device, &FormatOptions::default()).unwrap();
    let fs = Filesystem::mount(Arc::new(device), MountOptions::default()).unwrap();
    let file = fs.create("/file").unwrap();
    let buffers = buffers(7);
    let fences = |operation: &dyn Fn() -> daxfs::Result<usize>| {
        let before = fs.device().counts().fences;
        assert_eq!(operation().unwrap(), total());
        fs.device().counts().fences - before
    };
    assert_eq!(fences(&|| file.write_vectored_at(&slices(&buffers), 0)), 2);
    assert_eq!(fences(&|| file.write_vectored_at(&slices(&buffers), 0)), 1);
    // The gap up to the end of its page is zeroes already: the append needs new blocks alone.
    file.truncate(5 * PAGE as u64).unwrap();
    let append = || file.append_vectored(&slices(&buffers)).map(|_| total());
    assert_eq!(fences(&append), 2);
}

#[test]
fn what_linux_refuses_is_refused_and_changes_nothing() {
    const INVALID: i32 = 22;
    let device = formatted(IMAGE_BYTES);
    let fs = mount(&device);
    let file = fs.create("/file").unwrap();
    file.write_at(b"before", 0).unwrap();
    let before = bytes_of(&device);
    let many = vec![IoSlice::new(b"x"); 1025];
    let errno = |result: daxfs::Result<()>| result.unwrap_err().errno();
    assert_eq!(errno(file.write_vectored_at(&many, 0).map(drop)), INVALID);
    assert_eq!(errno(file.append_vectored(&many).map(drop)), INVALID);
    let mut bytes = vec![[7; 1]; 1025];
    let mut buffers: Vec<_> = bytes.iter_mut().map(|byte| IoSliceMut::new(byte)).collect();
    assert_eq!(
        errno(file.read_vectored_at(&mut buffers, 0).map(drop)),
        INVALID
    );
    assert!(bytes.iter().all(|byte| *byte == [7]));
    let beyond = file.write_vectored_at(&many[..2], MAX_FILE_BYTES - 1);
    assert!(matches!(
        beyond,
        Err(Error::InvalidRange {
            operation: "write_vectored_at",
            ..
        })
    ));
    assert!(bytes_of(&device) == before);

    // As many as are allowed, and none at all.
    assert_eq!(file.write_vectored_at(&many[..1024], 6).unwrap(), 1024);
    assert_eq!(file.write_vectored_at(&[], 1 << 60).unwrap(), 0);
    assert_eq!(file.read_vectored_at(&mut [], 0).unwrap(), 0);
    assert_eq!(file.append_vectored(&[]).unwrap(), 1030);
    drop(file);
    fs.unmount().unwrap();
    assert_clean(&device);
}

#[test]
fn a_write_stops_where_space_ends_and_an_append_does_not_begin() {
    let device = formatted(6 << 20);
    let fs = mount(&device);
    let file = fs.create("/file").unwrap();
    let buffers = vec![vec![3; 100_000]; 80];
    let written = file.write_vectored_at(&slices(&buffers), 0).unwrap();
    assert!(
        written > 1 << 20 && written < 80 * 100_000,
        "{written} bytes"
    );
    assert_eq!(file.len_bytes(), written as u64);
    let append = file.append_vectored(&slices(&buffers));
    assert!(matches!(append, Err(Error::NoSpace { .. })));
    assert_eq!(file.len_bytes(), written as u64);
    drop(file);
    fs.unmount().unwrap();
    assert_clean(&device);
}
