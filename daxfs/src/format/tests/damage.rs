//! Damage is found, and no bytes do harm.

use proptest::collection::vec;
use proptest::prelude::*;

use super::strategies::*;
use crate::format::geometry::BLOCK_LEN;
use crate::format::superblock::{Features, MAGIC, VERSION};
use crate::format::{
    Block, BlockPointer, DirentLeaf, Extent, ExtentLeaf, FormatError, Identity, IndexBlock, Inode,
    InodeKind, InodeLeaf, NullPointers, Problem, Structure, Superblock, SuperblockError,
};

/// Parses `block` as everything it could be.
fn parse_as_everything(block: &Block, owner: u64, index: u64, level: u16) {
    let _ = Superblock::decode(block);
    let _ = DirentLeaf::parse(block, owner, index);
    let _ = ExtentLeaf::parse(block, owner, index);
    if let Ok(leaf) = InodeLeaf::parse(block, index) {
        let _ = leaf.inodes().collect::<Vec<_>>();
    }
    let identity = Identity::index_block(owner, level, index);
    let _ = IndexBlock::parse(block, identity, NullPointers::Allowed);
}

fn block_of(bytes: &[u8]) -> Block {
    let mut block = Block::zeroed();
    block.bytes_mut().copy_from_slice(bytes);
    block
}

/// Recomputes the checksum of a superblock whose fields were changed.
fn seal(block: &mut Block) {
    let checksum = crc32c::crc32c(&block.bytes()[..508]);
    block.bytes_mut()[508..512].copy_from_slice(&checksum.to_le_bytes());
}

proptest! {
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
    fn a_flipped_bit_of_a_metadata_block_is_found(
        block in any_metadata_block(),
        bit in 0..BLOCK_LEN * 8,
    ) {
        let pointer = BlockPointer::to(600, &block);
        pointer.verify(&block, Structure::InodeLeaf).unwrap();
        let mut damaged = block;
        damaged.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
        pointer.verify(&damaged, Structure::InodeLeaf).unwrap_err();
    }

    #[test]
    fn a_block_in_the_place_of_another_is_found(entries in dirents()) {
        let block = dirent_block(&entries);
        DirentLeaf::parse(&block, OWNER, INDEX).unwrap();
        DirentLeaf::parse(&block, OWNER + 1, INDEX).unwrap_err();
        DirentLeaf::parse(&block, OWNER, INDEX + 1).unwrap_err();
        ExtentLeaf::parse(&block, OWNER, INDEX).unwrap_err();
        InodeLeaf::parse(&block, INDEX).unwrap_err();
        let identity = Identity::index_block(OWNER, 1, INDEX);
        IndexBlock::parse(&block, identity, NullPointers::Allowed).unwrap_err();
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), BLOCK_LEN), level in any::<u16>()) {
        parse_as_everything(&block_of(&bytes), OWNER, INDEX, level);
    }

    /// Blocks that are nearly right reach further into the parsers than random ones.
    #[test]
    fn damaged_blocks_do_no_harm(
        block in any_metadata_block(),
        damage in vec((24..BLOCK_LEN, any::<u8>()), 1..40),
        index in prop_oneof![Just(INDEX), 0_u64..1_000_000],
    ) {
        let mut damaged = block;
        damage.iter().for_each(|(at, byte)| damaged.bytes_mut()[*at] = *byte);
        parse_as_everything(&damaged, OWNER, index, 1);
    }

    #[test]
    fn damaged_superblocks_with_a_right_checksum_do_no_harm(
        superblock in superblock(),
        damage in vec((8..508_usize, any::<u8>()), 1..20),
    ) {
        let mut block = superblock.encode();
        damage.iter().for_each(|(at, byte)| block.bytes_mut()[*at] = *byte);
        seal(&mut block);
        if let Ok(read) = Superblock::decode(&block) {
            prop_assert_eq!(Superblock::decode(&read.encode()), Ok(read));
        }
    }
}

/// A valid superblock with `bytes` put at `at` and the checksum made right.
fn decode_with(at: usize, bytes: &[u8]) -> Result<Superblock, SuperblockError> {
    let mut block = example(superblock()).encode();
    block.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut block);
    Superblock::decode(&block)
}

#[test]
fn superblock_errors_say_what_is_wrong() {
    decode_with(8, &VERSION.to_le_bytes()).unwrap();
    let found = *b"BTRFSFS\0";
    assert_eq!(
        decode_with(0, &found),
        Err(SuperblockError::NotAnImage { found })
    );
    assert_eq!(
        decode_with(8, &[2]),
        Err(SuperblockError::Version { found: 2 })
    );
    assert!(matches!(
        decode_with(32, &[0x10]),
        Err(SuperblockError::Features { bits: 0x10, .. })
    ));
    let implausible = [(12, "block_bytes"), (64, "generation"), (96, "next_inode")];
    for (at, expected) in implausible {
        let error = decode_with(at, &[0; 8]).unwrap_err();
        let SuperblockError::Format(FormatError { problem, .. }) = error else {
            panic!("{expected}: {error:?}");
        };
        let (Problem::Mismatch { field, .. } | Problem::OutOfRange { field, .. }) = problem else {
            panic!("{expected}: {problem:?}");
        };
        assert_eq!(field, expected);
    }
    let mut torn = decode_with(8, &VERSION.to_le_bytes()).unwrap().encode();
    torn.bytes_mut()[300..].fill(0);
    assert!(matches!(
        Superblock::decode(&torn),
        Err(SuperblockError::Format(FormatError {
            problem: Problem::Checksum { .. },
            ..
        }))
    ));
}

/// `bytes` put at `at` of a copy of `block`.
fn with_bytes(block: &Block, at: usize, bytes: &[u8]) -> Block {
    let mut changed = block.clone();
    changed.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    changed
}

#[test]
fn counts_that_no_block_can_have_are_found() {
    let extents = extent_block(&example(extents(3)));
    let dirents = dirent_block(&example(dirents()));
    let (leaf, inodes) = example(inodes());
    let inodes = inode_block(leaf, &inodes);
    let pointers = index_block(
        1,
        &[BlockPointer {
            block: 600,
            checksum: 1,
        }],
    );
    let identity = Identity::index_block(OWNER, 1, INDEX);
    for count in [0, 255, u32::MAX] {
        let with_count = |block| with_bytes(block, 24, &count.to_le_bytes());
        let count_error = |structure| {
            let (least, found) = (1, u64::from(count));
            move |error: FormatError| match error.problem {
                Problem::OutOfRange {
                    field: "count",
                    least: l,
                    found: f,
                    ..
                } => {
                    assert_eq!((error.structure, l, f), (structure, least, found));
                }
                other => panic!("{structure}: {other:?}"),
            }
        };
        let error = ExtentLeaf::parse(&with_count(&extents), OWNER, INDEX).unwrap_err();
        count_error(Structure::ExtentLeaf)(error);
        let error = DirentLeaf::parse(&with_count(&dirents), OWNER, INDEX)
            .map(drop)
            .unwrap_err();
        count_error(Structure::DirentLeaf)(error);
        let error = InodeLeaf::parse(&with_count(&inodes), leaf)
            .map(drop)
            .unwrap_err();
        count_error(Structure::InodeLeaf)(error);
        let block = with_count(&pointers);
        let error = IndexBlock::parse(&block, identity, NullPointers::Allowed).unwrap_err();
        count_error(Structure::IndexBlock)(error);
    }
}

#[test]
fn an_entry_that_runs_past_its_leaf_is_found() {
    // 14 of the longest entries, and one that fills the leaf to its end.
    let mut names = vec![vec![b'x'; 255]; 14];
    names.push(vec![b'y'; 240]);
    let entries = names
        .into_iter()
        .map(|name| (1, InodeKind::File, name))
        .collect::<Vec<_>>();
    let block = dirent_block(&entries);
    DirentLeaf::parse(&block, OWNER, INDEX).unwrap();
    let last = 32 + 14 * 272;
    let record_len = 272_u16.to_le_bytes();
    let longer = with_bytes(
        &with_bytes(&block, last + 8, &[255]),
        last + 10,
        &record_len,
    );
    let invalid = |entry| FormatError {
        structure: Structure::Dirent,
        entry: Some(entry),
        problem: Problem::Invalid {
            field: "record",
            rule: "runs past the end of the block",
        },
    };
    assert_eq!(
        DirentLeaf::parse(&longer, OWNER, INDEX).unwrap_err(),
        invalid(14)
    );
    let one_more = with_bytes(&block, 24, &[16]);
    assert_eq!(
        DirentLeaf::parse(&one_more, OWNER, INDEX).unwrap_err(),
        invalid(15)
    );
}

#[test]
fn an_inode_in_the_slot_of_another_is_found() {
    let inode = Inode {
        number: 4 * 15 + 3,
        ..example(inode())
    };
    let block = inode_block(4, &[inode]);
    assert_eq!(InodeLeaf::parse(&block, 4).unwrap().inodes().count(), 1);
    let at = 32 + 3 * 256;
    let other = with_bytes(&block, at, &(4 * 15 + 2_u64).to_le_bytes());
    let problem = Problem::Mismatch {
        field: "number",
        expected: 63,
        found: 62,
    };
    let error = FormatError {
        structure: Structure::Inode,
        entry: Some(3),
        problem,
    };
    assert_eq!(InodeLeaf::parse(&other, 4).unwrap().slot(3), Err(error));
}

#[test]
fn names_that_are_none_are_found() {
    let block = |name: &[u8]| dirent_block(&[(1, InodeKind::File, name.to_vec())]);
    for name in [b"a/b".as_slice(), b"a\0b", b".", b"..", b"/"] {
        let block = block(name);
        let error = DirentLeaf::parse(&block, OWNER, INDEX).unwrap_err();
        assert!(
            matches!(error.problem, Problem::Invalid { field: "name", .. }),
            "{error}"
        );
    }
    for name in [b"...".as_slice(), b".a", b"\xff\xfe", b" "] {
        DirentLeaf::parse(&block(name), OWNER, INDEX).unwrap();
    }
}

#[test]
fn unknown_features_are_sorted_into_their_classes() {
    decode_with(16, &[1]).unwrap();
    let read_only = decode_with(24, &[1]).unwrap();
    assert_eq!(read_only.features.unknown_read_only_compatible(), 1);
    assert_eq!(Features::default().unknown_read_only_compatible(), 0);
    decode_with(32, &[1]).unwrap_err();
}

#[test]
fn extents_that_no_file_or_image_can_have_are_found() {
    let parse = |extent| ExtentLeaf::parse(&extent_block(&[extent]), OWNER, INDEX);
    let largest = Extent {
        file_block: (1 << 32) - 5,
        device_block: (1 << 40) - 5,
        len_blocks: 5,
    };
    assert_eq!(parse(largest).unwrap().extents(), [largest]);
    let field = |extent| match parse(extent).unwrap_err() {
        FormatError {
            problem: Problem::OutOfRange { field, .. },
            entry: Some(0),
            ..
        } => field,
        other => panic!("{other}"),
    };
    assert_eq!(
        field(Extent {
            file_block: (1 << 32) - 4,
            ..largest
        }),
        "file_block"
    );
    assert_eq!(
        field(Extent {
            device_block: (1 << 40) - 4,
            ..largest
        }),
        "device_block"
    );
    assert_eq!(
        field(Extent {
            device_block: 511,
            ..largest
        }),
        "device_block"
    );
    assert_eq!(
        field(Extent {
            len_blocks: 0,
            ..largest
        }),
        "len_blocks"
    );
    assert_eq!(
        field(Extent {
            file_block: u64::MAX,
            ..largest
        }),
        "file_block"
    );
}

#[test]
fn magic_is_not_text() {
    assert!(!MAGIC.is_ascii());
    assert_eq!(Superblock::decode(&Block::zeroed()), {
        Err(SuperblockError::NotAnImage { found: [0; 8] })
    });
}
