//! Superblocks of version 2, and where the regions of an image lie.

use proptest::collection::vec;
use proptest::prelude::*;

use super::examples::{damaged, superblock};
use crate::error::Error;
use crate::format::geometry::{BLOCK_LEN, MAXIMUM_BLOCKS, MINIMUM_BLOCKS};
use crate::format::image_geometry::ImageGeometry;
use crate::format::superblock::{IMAGE_VERSION, Superblock};
use crate::format::superblock_error::SuperblockError;
use crate::format::{Block, FormatError, Problem};

/// Recomputes the checksum of a superblock whose fields were changed.
fn seal(mut block: Block) -> Block {
    let checksum = crc32c::crc32c(&block.bytes()[..508]);
    block.bytes_mut()[508..512].copy_from_slice(&checksum.to_le_bytes());
    block
}

proptest! {
    #[test]
    fn superblocks_read_back(superblock in superblock()) {
        prop_assert_eq!(Superblock::decode(&superblock.encode()), Ok(superblock));
    }

    #[test]
    fn a_flipped_bit_of_a_superblock_is_found(
        superblock in superblock(),
        bit in 0..BLOCK_LEN * 8,
    ) {
        let mut block = superblock.encode();
        block.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Superblock::decode(&block).is_err());
    }

    #[test]
    fn damaged_superblocks_with_a_right_checksum_do_no_harm(
        superblock in superblock(),
        damage in vec((8..508_usize, any::<u8>()), 1..8),
    ) {
        let block = seal(damaged(&superblock.encode(), &damage));
        if let Ok(read) = Superblock::decode(&block) {
            prop_assert_eq!(read.encode(), block);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), BLOCK_LEN)) {
        let mut block = Block::zeroed();
        block.bytes_mut().copy_from_slice(&bytes);
        block.bytes_mut()[..8].copy_from_slice(b"\x89DAXFS\r\n");
        block.bytes_mut()[8..12].copy_from_slice(&IMAGE_VERSION.to_le_bytes());
        let _ = Superblock::decode(&seal(block));
    }

    #[test]
    fn regions_follow_one_another_and_leave_most_to_data(
        block_count in prop_oneof![
            MINIMUM_BLOCKS..1 << 20,
            MINIMUM_BLOCKS..=MAXIMUM_BLOCKS,
            Just(MINIMUM_BLOCKS),
            Just(MAXIMUM_BLOCKS),
        ],
    ) {
        let geometry = ImageGeometry::for_blocks(block_count);
        prop_assert_eq!(geometry.log_start_block, 2);
        prop_assert_eq!(geometry.space_map_block, 2 + geometry.log_blocks);
        prop_assert_eq!(geometry.data_start_block % 512, 0);
        // The root's slots are the last of the space map.
        let level = geometry.space_level();
        prop_assert_eq!(geometry.space_blocks_at(level), 1);
        let [first, second] = geometry.space_slots(level, 0);
        prop_assert_eq!(second, first + 1);
        prop_assert!(second < geometry.data_start_block);
        prop_assert!(geometry.data_start_block - second <= 512);
        prop_assert!(geometry.data_area_blocks() >= block_count / 2);
        // Slots of the blocks of two levels do not meet.
        for below in 0..level {
            let last = geometry.space_slots(below, geometry.space_blocks_at(below) - 1);
            prop_assert_eq!(last[1] + 1, geometry.space_slots(below + 1, 0)[0]);
        }
    }
}

#[test]
fn small_images_have_their_data_where_version_1_had_it() {
    for mib in [4, 16, 64] {
        let geometry = ImageGeometry::for_blocks(mib * 256);
        assert_eq!((geometry.log_blocks, geometry.data_start_block), (256, 512));
    }
    let of_a_tebibyte = ImageGeometry::for_blocks(1 << 28);
    assert_eq!(of_a_tebibyte.log_blocks, 16384);
    assert_eq!(of_a_tebibyte.space_leaves(), 8257);
    assert_eq!(of_a_tebibyte.space_level(), 2);
}

/// A valid superblock with `bytes` put at `at` and the checksum made right.
fn decode_with(at: usize, bytes: &[u8]) -> Result<Superblock, SuperblockError> {
    let mut block = super::layout::superblock().encode();
    block.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    Superblock::decode(&seal(block))
}

#[test]
fn superblock_errors_say_what_is_wrong() {
    decode_with(8, &IMAGE_VERSION.to_le_bytes()).unwrap();
    let found = *b"BTRFSFS\0";
    assert_eq!(
        decode_with(0, &found),
        Err(SuperblockError::NotAnImage { found })
    );
    assert_eq!(
        decode_with(8, &[3]),
        Err(SuperblockError::Version { found: 3 })
    );
    assert!(matches!(
        decode_with(32, &[0x10]),
        Err(SuperblockError::Features { bits: 0x10, .. })
    ));
    let implausible: [(usize, &[u8], &str); 16] = [
        (12, &[0; 4], "block_bytes"),
        (56, &[0; 8], "block_count"),
        (64, &[0; 8], "generation"),
        (72, &[1, 0, 0, 0, 0, 0, 0, 0], "root"),
        (88, &[1, 0, 0, 0, 0, 0, 0, 0], "block of a pointer"),
        (104, &[16], "root_level"),
        (106, &[3], "space_level"),
        (108, &[3], "data_mode"),
        (112, &[0; 8], "tree_nodes"),
        (120, &[0xff; 8], "data_blocks"),
        (128, &[3], "log_start_block"),
        (136, &[0; 8], "log_blocks"),
        (144, &[0; 8], "space_map_block"),
        (152, &[0; 8], "data_start_block"),
        (192, &[0; 8], "next_inode"),
        (232, &[3], "state"),
    ];
    for (at, bytes, expected) in implausible {
        let error = decode_with(at, bytes).unwrap_err();
        let SuperblockError::Format(FormatError { problem, .. }) = error else {
            panic!("{expected}: {error:?}");
        };
        let (Problem::Mismatch { field, .. } | Problem::OutOfRange { field, .. }) = problem else {
            panic!("{expected}: {problem:?}");
        };
        assert_eq!(field, expected);
    }
}

#[test]
fn images_of_version_1_are_refused() {
    // What all versions have in common: magic, version, length, the checksum at the end.
    let mut old = super::layout::superblock().encode();
    old.bytes_mut()[8] = 1;
    let old = seal(old);
    let copies = [Superblock::decode(&old), Superblock::decode(&old)];
    let error = Superblock::newest(copies).unwrap_err();
    assert!(
        matches!(
            error,
            Error::UnsupportedVersion {
                found: 1,
                supported: 2
            }
        ),
        "{error:?}"
    );
}

fn copy(generation: u64) -> Superblock {
    Superblock {
        generation,
        ..super::layout::superblock()
    }
}

fn damage() -> SuperblockError {
    decode_with(64, &[0; 8]).unwrap_err()
}

#[test]
fn the_newest_whole_copy_counts() {
    let newest = Superblock::newest;
    assert_eq!(newest([Ok(copy(4)), Ok(copy(5))]).unwrap(), copy(5));
    assert_eq!(newest([Ok(copy(5)), Ok(copy(4))]).unwrap(), copy(5));
    assert_eq!(newest([Err(damage()), Ok(copy(4))]).unwrap(), copy(4));
    assert_eq!(newest([Ok(copy(4)), Err(damage())]).unwrap(), copy(4));
    let blank = SuperblockError::NotAnImage { found: [0; 8] };
    let error = newest([Err(blank), Err(damage())]).unwrap_err();
    assert!(
        matches!(error, Error::Corrupt { block: 1, .. }),
        "{error:?}"
    );
    let error = newest([Err(blank), Err(blank)]).unwrap_err();
    assert!(matches!(error, Error::NotAnImage { .. }), "{error:?}");
}

#[test]
fn a_copy_of_a_newer_program_outdates_the_other() {
    let newest = Superblock::newest;
    let newer = SuperblockError::Version { found: 3 };
    let error = newest([Ok(copy(4)), Err(newer)]).unwrap_err();
    assert!(
        matches!(error, Error::UnsupportedVersion { found: 3, .. }),
        "{error:?}"
    );
    let features = |generation| SuperblockError::Features {
        bits: 1,
        generation,
    };
    let error = newest([Err(features(5)), Ok(copy(4))]).unwrap_err();
    assert!(
        matches!(error, Error::UnsupportedFeatures { .. }),
        "{error:?}"
    );
    assert_eq!(newest([Err(features(3)), Ok(copy(4))]).unwrap(), copy(4));
}
