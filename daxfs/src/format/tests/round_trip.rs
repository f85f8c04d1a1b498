//! What is written reads back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::strategies::*;
use crate::format::block::BlockFull;
use crate::format::geometry::{EXTENTS_PER_LEAF, POINTERS_PER_INDEX};
use crate::format::superblock::newest;
use crate::format::{
    BlockPointer, Dirent, DirentLeaf, DirentLeafBuilder, Extent, ExtentLeaf, ExtentLeafBuilder,
    Identity, IndexBlock, IndexBlockBuilder, InodeKind, InodeLeaf, InodeLeafBuilder, NullPointers,
    Superblock, SuperblockError,
};

proptest! {
    #[test]
    fn superblock_reads_back(superblock in superblock()) {
        prop_assert_eq!(Superblock::decode(&superblock.encode()), Ok(superblock));
    }

    #[test]
    fn superblock_with_the_higher_generation_counts(a in superblock(), b in superblock()) {
        let expected = if a.generation >= b.generation { a.clone() } else { b.clone() };
        prop_assert_eq!(newest([Ok(a), Ok(b)]).unwrap(), expected);
    }

    #[test]
    fn one_good_superblock_is_enough(superblock in superblock(), bit in 0..512_usize * 8) {
        let mut damaged = superblock.encode();
        damaged.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
        let copies = || (Superblock::decode(&damaged), Ok(superblock.clone()));
        let ((a, b), (d, c)) = (copies(), copies());
        prop_assert_eq!(newest([a, b]).unwrap(), superblock.clone());
        prop_assert_eq!(newest([c, d]).unwrap(), superblock.clone());
    }

    #[test]
    fn inode_leaf_reads_back((index, inodes) in inodes()) {
        let block = inode_block(index, &inodes);
        let leaf = InodeLeaf::parse(&block, index).unwrap();
        let found = leaf.inodes().collect::<Result<Vec<_>, _>>().unwrap();
        prop_assert_eq!(found, inodes);
    }

    #[test]
    fn extent_leaf_reads_back(extents in extents(EXTENTS_PER_LEAF)) {
        let block = extent_block(&extents);
        let leaf = ExtentLeaf::parse(&block, OWNER, INDEX).unwrap();
        prop_assert_eq!(leaf.extents(), &extents[..]);
    }

    #[test]
    fn dirent_leaf_reads_back(entries in dirents()) {
        let block = dirent_block(&entries);
        let leaf = DirentLeaf::parse(&block, OWNER, INDEX).unwrap();
        let found = leaf.entries().iter().map(|e| (e.inode, e.kind, e.name.to_vec()));
        prop_assert_eq!(found.collect::<Vec<_>>(), entries);
    }

    #[test]
    fn index_block_reads_back(pointers in vec(pointer(), 1..=POINTERS_PER_INDEX)) {
        let block = index_block(2, &pointers);
        let identity = Identity::index_block(OWNER, 2, INDEX);
        let index = IndexBlock::parse(&block, identity, NullPointers::Refused).unwrap();
        prop_assert_eq!(index.pointers(), &pointers[..]);
    }
}

#[test]
fn null_pointers_read_back_only_where_they_are_allowed() {
    let pointer = BlockPointer {
        block: 600,
        checksum: 1,
    };
    let block = index_block(1, &[pointer, BlockPointer::NULL]);
    let identity = Identity::index_block(OWNER, 1, INDEX);
    let index = IndexBlock::parse(&block, identity, NullPointers::Allowed).unwrap();
    assert_eq!(index.pointers(), [pointer, BlockPointer::NULL]);
    IndexBlock::parse(&block, identity, NullPointers::Refused).unwrap_err();
}

#[test]
fn builders_refuse_what_does_not_fit_and_keep_what_did() {
    let extent = Extent {
        file_block: 0,
        device_block: 600,
        len_blocks: 1,
    };
    let mut extents = ExtentLeafBuilder::new(OWNER, INDEX);
    (0..169).for_each(|_| extents.push(&extent).unwrap());
    assert_eq!(extents.push(&extent), Err(BlockFull));
    assert_eq!(
        ExtentLeaf::parse(&extents.finish(), OWNER, INDEX)
            .unwrap()
            .extents()
            .len(),
        169
    );

    let mut pointers = IndexBlockBuilder::new(OWNER, 1, INDEX);
    let pointer = BlockPointer {
        block: 1,
        checksum: 1,
    };
    (0..254).for_each(|_| pointers.push(pointer).unwrap());
    assert_eq!(pointers.push(BlockPointer::NULL), Err(BlockFull));

    // 4064 / (16 + 256) = 14 of the longest names, then 4064 - 14 * 272 = 256 bytes are left.
    let longest = Dirent {
        inode: 1,
        kind: InodeKind::File,
        name: &[b'x'; 255],
    };
    let mut dirents = DirentLeafBuilder::new(OWNER, INDEX);
    (0..14).for_each(|_| dirents.push(&longest).unwrap());
    assert_eq!(dirents.push(&longest), Err(BlockFull));
    dirents
        .push(&Dirent {
            name: &[b'y'; 240],
            ..longest
        })
        .unwrap();
    let block = dirents.finish();
    let leaf = DirentLeaf::parse(&block, OWNER, INDEX).unwrap();
    assert_eq!(leaf.entries().len(), 15);
}

#[test]
fn a_leaf_takes_the_inodes_of_its_own_numbers_only() {
    assert!(InodeLeafBuilder::new(4).finish().is_none());
    let mut inode = example(inode());
    inode.number = 4 * 15 + 14;
    InodeLeafBuilder::new(3).set(&inode).unwrap_err();
    InodeLeafBuilder::new(4).set(&inode).unwrap();
}

#[test]
fn a_superblock_of_a_newer_program_is_not_ignored() {
    let old = example(superblock());
    let newer = old.generation + 1;
    let version = || Err(SuperblockError::Version { found: 2 });
    let features = |generation| {
        Err(SuperblockError::Features {
            bits: 4,
            generation,
        })
    };
    newest([Ok(old.clone()), version()]).unwrap_err();
    newest([version(), Ok(old.clone())]).unwrap_err();
    newest([features(newer), Ok(old.clone())]).unwrap_err();
    assert_eq!(
        newest([Ok(old.clone()), features(old.generation - 1)]).unwrap(),
        old
    );
}
