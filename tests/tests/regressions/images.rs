//! Images that are whole, with every checksum right, and absurd.

use std::sync::Arc;

use daxfs::{Error, Filesystem, MountOptions};
use daxfs_tests::fixture::{bytes_of, formatted, mount, overwrite};

const BLOCK_LEN: usize = 4096;
const POINTERS_PER_INDEX: usize = 254;
const INODES_PER_LEAF: u64 = 15;

// Where the fields lie, from the format document.
const TABLE_POINTER: usize = 72;
const TABLE_LEVEL: usize = 88;
const NEXT_INODE: usize = 96;
const SUPERBLOCK_CHECKSUM: usize = 508;
const HEADER_LEN: usize = 32;

/// **Symptom.** Mounting an image of 16 MiB took all memory there was. **Cause.** `next_inode` was
/// believed as far as the format goes, and every number below it that no inode had was put into the
/// set of free numbers; null pointers in the inode table were expanded likewise. **Fix.** Numbers
/// are reused, so there are no more of them than inodes that the image has room for: an image that
/// says otherwise is corrupt.
///
/// The forged table is as the format asks: index blocks above the one leaf there is, two levels of
/// them (a million inodes), and then as many as can be (62 thousand million).
#[test]
fn an_image_with_more_inode_numbers_than_room_is_refused() {
    let device = formatted(16 << 20);
    mount(&device).unmount().unwrap();
    let healthy = bytes_of(&device);
    for levels in [2, 4] {
        let forged = with_inode_table_of(levels, &healthy);
        overwrite(&device, 0, &forged);
        match Filesystem::mount(Arc::clone(&device), MountOptions::default()) {
            Err(Error::Corrupt {
                structure, problem, ..
            }) => {
                assert_eq!(structure, "superblock");
                assert!(problem.contains("next_inode"), "{problem}");
            }
            Err(error) => panic!("{levels} levels: {error}"),
            Ok(_) => panic!("{levels} levels: it mounted"),
        }
        assert!(bytes_of(&device) == forged, "a failed mount wrote");
    }
}

/// The image with `levels` more levels of index blocks, and as many inode numbers as those hold.
fn with_inode_table_of(levels: u16, healthy: &[u8]) -> Vec<u8> {
    let mut bytes = healthy.to_vec();
    let mut child = bytes[TABLE_POINTER..TABLE_POINTER + 16].to_vec();
    for level in 1..=levels {
        // From the end of the image, where nothing is in use.
        let block = bytes.len() / BLOCK_LEN - usize::from(level);
        let index = index_block(level, &child);
        bytes[block * BLOCK_LEN..(block + 1) * BLOCK_LEN].copy_from_slice(&index);
        child = (block as u64).to_le_bytes().to_vec();
        child.extend(crc32c::crc32c(&index).to_le_bytes());
        child.extend([0; 4]);
    }
    let next_inode = (POINTERS_PER_INDEX as u64).pow(levels.into()) * INODES_PER_LEAF;
    for copy in [0, BLOCK_LEN] {
        let superblock = &mut bytes[copy..copy + BLOCK_LEN];
        superblock[TABLE_POINTER..TABLE_POINTER + 16].copy_from_slice(&child);
        superblock[TABLE_LEVEL..TABLE_LEVEL + 4].copy_from_slice(&u32::from(levels).to_le_bytes());
        superblock[NEXT_INODE..NEXT_INODE + 8].copy_from_slice(&next_inode.to_le_bytes());
        let checksum = crc32c::crc32c(&superblock[..SUPERBLOCK_CHECKSUM]);
        superblock[SUPERBLOCK_CHECKSUM..SUPERBLOCK_CHECKSUM + 4]
            .copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// The index block 0 of the inode table at `level`: one child and nothing beside it.
fn index_block(level: u16, child: &[u8]) -> Vec<u8> {
    let mut block = vec![0; BLOCK_LEN];
    block[..4].copy_from_slice(b"DXix");
    block[4..6].copy_from_slice(&1_u16.to_le_bytes());
    block[6..8].copy_from_slice(&level.to_le_bytes());
    block[24..28].copy_from_slice(&(POINTERS_PER_INDEX as u32).to_le_bytes());
    block[HEADER_LEN..HEADER_LEN + child.len()].copy_from_slice(child);
    block
}
