//! An image with every kind of metadata block, and a reader that finds them.
//!
//! The reader is written from the format document, and from nothing else: it shares no code with
//! the filesystem, so that a mistake there is not made again here.

use std::collections::BTreeMap;
use std::sync::Arc;

use daxfs::{Device, Filesystem};
use daxfs_tests::fixture::{assert_clean, bytes_of, formatted, mount};

pub(crate) const BLOCK_LEN: usize = 4096;
pub(crate) const IMAGE_BYTES: u64 = 8 << 20;
/// Where the superblock has its checksum; it covers all that comes before.
const SUPERBLOCK_CHECKSUM: usize = 508;
const ROOT_POINTER: usize = 72;
const SPACE_POINTER: usize = 88;
const ROOT_LEVEL: usize = 104;
const SPACE_LEVEL: usize = 106;
const HEADER_LEN: usize = 32;
/// Where a node has the number of its entries.
const NODE_COUNT: usize = 6;
const KEY_LEN: usize = 24;
const INDEX_ENTRY_LEN: usize = 40;

/// A metadata block that the newest checkpoint reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) structure: &'static str,
    pub(crate) block: u64,
}

/// The files of the image, by path, in full.
pub(crate) type Content = BTreeMap<String, Vec<u8>>;

/// A device with an image whose tree has an index node and many leaves, and what is in it.
pub(crate) fn rich_image() -> (Arc<Device>, Content) {
    let device = formatted(IMAGE_BYTES);
    let fs = mount(&device);
    let mut content = Content::new();
    // Each second block: 400 extents do not fit one leaf.
    add_scattered(&fs, "/scattered", 400, &mut content);
    add_scattered(&fs, "/few extents", 8, &mut content);
    fs.create_directory("/names").unwrap();
    for number in 0..300 {
        let path = format!("/names/{number:03}");
        let text = if number % 50 == 0 {
            path.repeat(40).into_bytes()
        } else {
            Vec::new()
        };
        fs.create(&path).unwrap().write_all_at(&text, 0).unwrap();
        content.insert(path, text);
    }
    fs.unmount().unwrap();
    assert_clean(&device);
    (device, content)
}

fn add_scattered(fs: &Filesystem, path: &str, pieces: u64, content: &mut Content) {
    let file = fs.create(path).unwrap();
    for piece in 0..pieces {
        file.write_all_at(&[(piece % 255) as u8 + 1; 10], 2 * piece * BLOCK_LEN as u64)
            .unwrap();
    }
    let mut bytes = vec![0; file.len_bytes() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    content.insert(path.to_owned(), bytes);
}

/// Fails unless the mounted filesystem holds exactly `content`.
pub(crate) fn assert_holds(fs: &Filesystem, content: &Content) {
    for (path, expected) in content {
        let file = fs.open(path).unwrap();
        let mut bytes = vec![0; expected.len() + 1];
        assert_eq!(
            file.read_at(&mut bytes, 0).unwrap(),
            expected.len(),
            "{path}"
        );
        assert!(
            bytes[..expected.len()] == expected[..],
            "{path} has changed"
        );
    }
    assert_eq!(fs.read_directory("/names").unwrap().len(), 300);
}

/// Every metadata block below the superblock: the nodes of the tree, and the space map.
pub(crate) fn metadata_blocks(device: &Device) -> Vec<Found> {
    let bytes = bytes_of(device);
    let superblock = newest_superblock(&bytes);
    let mut blocks = Vec::new();
    let level = number(&bytes, superblock + ROOT_LEVEL, 2);
    walk(&bytes, superblock + ROOT_POINTER, level, &mut blocks);
    let space_level = number(&bytes, superblock + SPACE_LEVEL, 2);
    assert_eq!(space_level, 0, "a small image has one block of space map");
    blocks.push(Found {
        structure: "space map",
        block: number(&bytes, superblock + SPACE_POINTER, 8),
    });
    blocks
}

fn walk(bytes: &[u8], pointer_at: usize, level: u64, blocks: &mut Vec<Found>) {
    let block = number(bytes, pointer_at, 8);
    let structure = if level > 0 { "tree index" } else { "tree leaf" };
    blocks.push(Found { structure, block });
    if level == 0 {
        return;
    }
    let start = block as usize * BLOCK_LEN;
    for entry in 0..number(bytes, start + NODE_COUNT, 2) as usize {
        let pointer = start + HEADER_LEN + entry * INDEX_ENTRY_LEN + KEY_LEN;
        walk(bytes, pointer, level - 1, blocks);
    }
}

/// Where the superblock with the highest generation begins, in bytes.
fn newest_superblock(bytes: &[u8]) -> usize {
    let generation = |copy: usize| number(bytes, copy + 64, 8);
    if generation(BLOCK_LEN) > generation(0) {
        BLOCK_LEN
    } else {
        0
    }
}

/// Makes the checksums of both superblocks right.
pub(crate) fn reseal_superblocks(bytes: &mut [u8]) {
    for copy in [0, BLOCK_LEN] {
        let checksum = crc32c::crc32c(&bytes[copy..copy + SUPERBLOCK_CHECKSUM]);
        bytes[copy + SUPERBLOCK_CHECKSUM..copy + SUPERBLOCK_CHECKSUM + 4]
            .copy_from_slice(&checksum.to_le_bytes());
    }
}

fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut little_endian = [0; 8];
    little_endian[..len].copy_from_slice(&bytes[at..at + len]);
    u64::from_le_bytes(little_endian)
}
