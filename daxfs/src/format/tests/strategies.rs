//! Arbitrary valid structures, and the blocks made of them.

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use crate::format::geometry::{
    DATA_START_BLOCK, EXTENTS_PER_LEAF, INODES_PER_LEAF, MAXIMUM_BLOCKS, MAXIMUM_FILE_BYTES,
    MAXIMUM_INODES, MINIMUM_BLOCKS, inode_table_leaves, level_for_leaves,
};
use crate::format::inode::MODE_BITS;
use crate::format::{
    Block, BlockPointer, Dirent, DirentLeafBuilder, Extent, ExtentLeafBuilder, Features,
    IndexBlockBuilder, Inode, InodeKind, InodeLeafBuilder, Label, Superblock, SuperblockState,
    Timestamp, TreeRoot,
};

pub(super) fn pointer() -> impl Strategy<Value = BlockPointer> {
    (1_u64.., any::<u32>()).prop_map(|(block, checksum)| BlockPointer { block, checksum })
}

pub(super) fn superblock() -> impl Strategy<Value = Superblock> {
    let sizes = (
        MINIMUM_BLOCKS..=MAXIMUM_BLOCKS,
        2..=MAXIMUM_INODES,
        1..u64::MAX,
    );
    let rest = (
        any::<[u8; 16]>(),
        "[a-zA-Z \u{e4}\u{20ac}]{0,16}",
        any::<[u64; 4]>(),
        any::<bool>(),
    );
    (sizes, rest, any::<u32>()).prop_map(|(sizes, (uuid, label, numbers, clean), checksum)| {
        let (block_count, next_inode, generation) = sizes;
        let data_blocks = block_count - DATA_START_BLOCK;
        let block = DATA_START_BLOCK + numbers[0] % data_blocks;
        Superblock {
            features: Features {
                compatible: numbers[3],
                ..Features::default()
            },
            uuid,
            label: Label::new(&label).expect("at most 48 bytes"),
            block_count,
            generation,
            inode_table: BlockPointer { block, checksum },
            inode_table_level: level_for_leaves(inode_table_leaves(next_inode)).expect("bounded"),
            next_inode,
            live_inodes: 1 + numbers[1] % (next_inode - 1),
            allocated_blocks: 1 + numbers[2] % data_blocks,
            created_ns: numbers[0],
            checkpointed_ns: numbers[1],
            state: if clean {
                SuperblockState::Clean
            } else {
                SuperblockState::InUse
            },
        }
    })
}

pub(super) fn extents(most: usize) -> impl Strategy<Value = Vec<Extent>> {
    let step = (0_u64..1000, 1_u32..1000, DATA_START_BLOCK..1 << 30);
    vec(step, 1..=most).prop_map(|steps| {
        let mut file_block = 0;
        let extent = |(gap, len_blocks, device_block)| {
            let extent = Extent {
                file_block: file_block + gap,
                device_block,
                len_blocks,
            };
            file_block = extent.file_end();
            extent
        };
        steps.into_iter().map(extent).collect()
    })
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| Timestamp {
        seconds,
        nanoseconds,
    })
}

fn tree(leaves: u32) -> impl Strategy<Value = TreeRoot> {
    let level = level_for_leaves(leaves.into()).expect("few");
    pointer().prop_map(move |pointer| TreeRoot {
        pointer,
        level,
        leaves,
    })
}

/// An inode with a content that fits its kind; the caller sets the number.
pub(super) fn inode() -> impl Strategy<Value = Inode> {
    let small = extents(4).prop_map(|e| (InodeKind::File, e.len() as u64, TreeRoot::EMPTY, e, 0));
    let large = (5_u64..1_000_000, 1_u32..5)
        .prop_flat_map(|(count, leaves)| (Just(count), tree(leaves)))
        .prop_map(|(count, tree)| (InodeKind::File, count, tree, Vec::new(), 0));
    let directory = (1_u32..100_000)
        .prop_flat_map(tree)
        .prop_flat_map(|tree| (Just(tree), 1..MAXIMUM_INODES))
        .prop_map(|(tree, parent)| (InodeKind::Directory, 0, tree, Vec::new(), parent));
    let times = [timestamp(), timestamp(), timestamp(), timestamp()];
    let numbers = (
        any::<[u32; 3]>(),
        0..=MODE_BITS,
        0..=MAXIMUM_FILE_BYTES,
        0..MAXIMUM_BLOCKS,
    );
    (prop_oneof![small, large, directory], times, numbers).prop_map(|(content, times, numbers)| {
        let (kind, extent_count, content, inline_extents, parent) = content;
        let ([links, uid, gid], mode, size_bytes, allocated_blocks) = numbers;
        let of_file = u64::from(kind == InodeKind::File);
        let [accessed, modified, changed, created] = times;
        Inode {
            number: 0,
            kind,
            mode,
            links,
            uid,
            gid,
            size_bytes: size_bytes * of_file,
            allocated_blocks: allocated_blocks * of_file,
            accessed,
            modified,
            changed,
            created,
            content,
            extent_count,
            parent,
            inline_extents,
        }
    })
}

/// The inodes of one leaf, and its index.
pub(super) fn inodes() -> impl Strategy<Value = (u64, Vec<Inode>)> {
    let slots = btree_set(0..INODES_PER_LEAF as u64, 1..=INODES_PER_LEAF);
    (1_u64..1_000_000, slots, vec(inode(), INODES_PER_LEAF)).prop_map(|(index, slots, inodes)| {
        let number = |(slot, inode)| Inode {
            number: index * INODES_PER_LEAF as u64 + slot,
            ..inode
        };
        (index, slots.into_iter().zip(inodes).map(number).collect())
    })
}

/// A name that is one, with bytes that need not be UTF-8.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no NUL, no slash", |b| *b != 0 && *b != b'/');
    vec(byte, 1..=255).prop_filter("not . or ..", |name| name != b"." && name != b"..")
}

pub(super) type OwnedDirent = (u64, InodeKind, Vec<u8>);

pub(super) fn dirents() -> impl Strategy<Value = Vec<OwnedDirent>> {
    let kind = prop_oneof![Just(InodeKind::File), Just(InodeKind::Directory)];
    vec((1..MAXIMUM_INODES, kind, name()), 1..=14)
}

pub(super) const OWNER: u64 = 77;
pub(super) const INDEX: u64 = 3;

pub(super) fn dirent_block(entries: &[OwnedDirent]) -> Block {
    let mut builder = DirentLeafBuilder::new(OWNER, INDEX);
    for (inode, kind, name) in entries {
        builder
            .push(&Dirent {
                inode: *inode,
                kind: *kind,
                name,
            })
            .expect("14 names fit");
    }
    builder.finish()
}

pub(super) fn extent_block(extents: &[Extent]) -> Block {
    let mut builder = ExtentLeafBuilder::new(OWNER, INDEX);
    extents
        .iter()
        .for_each(|extent| builder.push(extent).expect("at most 169"));
    builder.finish()
}

pub(super) fn inode_block(index: u64, inodes: &[Inode]) -> Block {
    let mut builder = InodeLeafBuilder::new(index);
    inodes
        .iter()
        .for_each(|inode| builder.set(inode).expect("of this leaf"));
    builder.finish().expect("at least one inode")
}

pub(super) fn index_block(level: u16, pointers: &[BlockPointer]) -> Block {
    let mut builder = IndexBlockBuilder::new(OWNER, level, INDEX);
    pointers
        .iter()
        .for_each(|pointer| builder.push(*pointer).expect("at most 254"));
    builder.finish()
}

/// A block of any kind.
pub(super) fn any_metadata_block() -> impl Strategy<Value = Block> {
    prop_oneof![
        dirents().prop_map(|entries| dirent_block(&entries)),
        extents(EXTENTS_PER_LEAF).prop_map(|extents| extent_block(&extents)),
        inodes().prop_map(|(index, inodes)| inode_block(index, &inodes)),
        vec(pointer(), 1..=254).prop_map(|pointers| index_block(1, &pointers)),
    ]
}

/// One value, the same in every run.
pub(super) fn example<T>(strategy: impl Strategy<Value = T>) -> T {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let tree = strategy
        .new_tree(&mut runner)
        .expect("no filters that reject all");
    proptest::strategy::ValueTree::current(&tree)
}
