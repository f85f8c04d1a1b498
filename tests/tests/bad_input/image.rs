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
const INODE_TABLE_POINTER: usize = 72;
const INODE_TABLE_LEVEL: usize = 88;
const NEXT_INODE: usize = 96;
const HEADER_LEN: usize = 32;
const POINTER_LEN: usize = 16;
const INODE_LEN: usize = 256;
const INODES_PER_LEAF: u64 = 15;

/// A metadata block that the newest checkpoint reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) structure: &'static str,
    pub(crate) block: u64,
    /// Where on the image the pointer to it lies, in bytes.
    pointer_at: usize,
}

/// The files of the image, by path, in full.
pub(crate) type Content = BTreeMap<String, Vec<u8>>;

/// A device with an image that has index blocks in all three kinds of tree, and what is in it.
pub(crate) fn rich_image() -> (Arc<Device>, Content) {
    let device = formatted(IMAGE_BYTES);
    let fs = mount(&device);
    let mut content = Content::new();
    // Each second block: 400 extents do not fit one leaf, so there is an index block above.
    add_scattered(&fs, "/scattered", 400, &mut content);
    // Eight extents: one leaf, no index block.
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

/// Every metadata block below the superblock, parents before children.
pub(crate) fn metadata_blocks(device: &Device) -> Vec<Found> {
    let bytes = bytes_of(device);
    let superblock = newest_superblock(&bytes);
    let mut blocks = Vec::new();
    let leaves = number(&bytes, superblock + NEXT_INODE, 8).div_ceil(INODES_PER_LEAF);
    assert!(
        leaves > 1,
        "the inode table is meant to have an index block"
    );
    let level = number(&bytes, superblock + INODE_TABLE_LEVEL, 4);
    let mut leaves = Vec::new();
    let root = superblock + INODE_TABLE_POINTER;
    walk(&bytes, root, level, "inode leaf", &mut blocks, &mut leaves);
    for leaf in leaves {
        for slot in 0..INODES_PER_LEAF as usize {
            let inode = leaf as usize * BLOCK_LEN + HEADER_LEN + slot * INODE_LEN;
            let structure = match number(&bytes, inode + 36, 2) {
                1 => "extent leaf",
                2 => "directory leaf",
                _ => continue,
            };
            let level = number(&bytes, inode + 120, 2);
            walk(
                &bytes,
                inode + 104,
                level,
                structure,
                &mut blocks,
                &mut Vec::new(),
            );
        }
    }
    blocks
}

fn walk(
    bytes: &[u8],
    pointer_at: usize,
    level: u64,
    leaf: &'static str,
    blocks: &mut Vec<Found>,
    leaves: &mut Vec<u64>,
) {
    let block = number(bytes, pointer_at, 8);
    if block == 0 {
        return;
    }
    let structure = if level > 0 { "index block" } else { leaf };
    blocks.push(Found {
        structure,
        block,
        pointer_at,
    });
    if level == 0 {
        leaves.push(block);
        return;
    }
    let start = block as usize * BLOCK_LEN;
    for entry in 0..number(bytes, start + 24, 4) as usize {
        let child = start + HEADER_LEN + entry * POINTER_LEN;
        walk(bytes, child, level - 1, leaf, blocks, leaves);
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

/// Makes the checksums right again after `found` was changed: in the pointer to it, in the pointer
/// to the block that holds that one, and so on to both superblocks.
pub(crate) fn reseal(bytes: &mut [u8], all: &[Found], found: Found) {
    let mut child = found;
    loop {
        let start = child.block as usize * BLOCK_LEN;
        let checksum = crc32c::crc32c(&bytes[start..start + BLOCK_LEN]);
        bytes[child.pointer_at + 8..child.pointer_at + 12].copy_from_slice(&checksum.to_le_bytes());
        let holder = (child.pointer_at / BLOCK_LEN) as u64;
        match all.iter().find(|parent| parent.block == holder) {
            Some(parent) => child = *parent,
            None => break,
        }
    }
    let newest = newest_superblock(bytes);
    bytes.copy_within(newest..newest + BLOCK_LEN, BLOCK_LEN - newest);
    reseal_superblocks(bytes);
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
