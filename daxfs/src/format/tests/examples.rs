//! Arbitrary valid structures of version 2.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::format::features::Features;
use crate::format::geometry::{MAXIMUM_BLOCKS, MAXIMUM_FILE_BYTES, MINIMUM_BLOCKS};
use crate::format::image_geometry::ImageGeometry;
use crate::format::item::inode::PERMISSION_BITS;
use crate::format::item::xattr::Xattrs;
use crate::format::item::{
    FileType, INODE_LIMIT, ItemKind, Key, Sharing, StoredInode, StoredRun, StoredSharedRun,
};
use crate::format::label::Label;
use crate::format::node::IndexEntry;
use crate::format::state::SuperblockState;
use crate::format::superblock::{DataMode, Superblock};
use crate::format::timestamp::Timestamp;
use crate::format::{Block, BlockPointer};

pub(super) fn key() -> impl Strategy<Value = Key> {
    let kinds = prop::sample::select(ItemKind::ALL.to_vec());
    let position = prop_oneof![0..5_u64, any::<u64>()];
    let inode = prop_oneof![1..5_u64, 1..INODE_LIMIT];
    (inode, kinds, position).prop_map(|(inode, kind, position)| {
        let inode = if kind.is_of_image() { 0 } else { inode };
        Key::new(inode, kind, position)
    })
}

pub(super) fn file_type() -> impl Strategy<Value = FileType> {
    prop::sample::select(FileType::ALL.to_vec())
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| Timestamp {
        seconds,
        nanoseconds,
    })
}

pub(super) fn inode() -> impl Strategy<Value = StoredInode> {
    let numbers = (any::<[u32; 3]>(), any::<[u64; 4]>(), 0..=65536_u32);
    let times = [timestamp(), timestamp(), timestamp(), timestamp()];
    (file_type(), 0..=PERMISSION_BITS, numbers, times).prop_map(|(kind, mode, numbers, times)| {
        let ([links, uid, gid], [size, blocks, rdev, parent], xattr_bytes) = numbers;
        let [accessed, modified, changed, created] = times;
        let is_file = u64::from(kind == FileType::File);
        StoredInode {
            kind,
            mode,
            links,
            uid,
            gid,
            rdev: rdev * u64::from(kind.is_device()),
            flags: 0,
            size_bytes: match kind {
                FileType::File => size % (MAXIMUM_FILE_BYTES + 1),
                FileType::Symlink => size % 4095 + 1,
                _ => 0,
            },
            allocated_blocks: blocks % (MAXIMUM_BLOCKS + 1) * is_file,
            parent: match kind {
                FileType::Directory => 1 + parent % (INODE_LIMIT - 1),
                _ => 0,
            },
            accessed,
            modified,
            changed,
            created,
            xattr_bytes,
        }
    })
}

/// A name that is one, with bytes that need not be UTF-8.
pub(super) fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no NUL, no slash", |b| *b != 0 && *b != b'/');
    vec(byte, 1..=255).prop_filter("not . or ..", |name| name != b"." && name != b"..")
}

pub(super) fn xattrs() -> impl Strategy<Value = Xattrs> {
    let byte = any::<u8>().prop_filter("no NUL", |b| *b != 0);
    btree_map(vec(byte, 1..=255), vec(any::<u8>(), 0..3000), 0..20)
}

/// The runs of one segment: sorted, apart, and none continuing the one before.
pub(super) fn runs() -> impl Strategy<Value = (u64, Vec<StoredRun>)> {
    let step = (0..6_u64, 1..6_u64, 512..1_u64 << 30, any::<bool>());
    (0..1_u64 << 23, vec(step, 1..200)).prop_map(|(segment, steps)| {
        let mut runs: Vec<StoredRun> = Vec::new();
        let mut next = segment * 512;
        for (gap, len_blocks, device_block, shared) in steps {
            let run = StoredRun {
                file_block: next + gap,
                device_block,
                len_blocks,
                sharing: if shared {
                    Sharing::Shared
                } else {
                    Sharing::Exclusive
                },
            };
            let continues = runs.last().is_some_and(|last| last.is_continued_by(&run));
            if run.file_end() <= (segment + 1) * 512 && !continues {
                next = run.file_end();
                runs.push(run);
            }
        }
        (segment, runs)
    })
}

pub(super) fn shared_run() -> impl Strategy<Value = StoredSharedRun> {
    (512..1_u64 << 39, 1..1_u64 << 39, 2..=u64::MAX).prop_map(
        |(device_block, len_blocks, owners)| StoredSharedRun {
            device_block,
            len_blocks,
            owners,
        },
    )
}

/// The items of a leaf: they fit.
pub(super) fn items() -> impl Strategy<Value = Vec<(Key, Vec<u8>)>> {
    let lens = prop_oneof![4 => 0..64_usize, 1 => 0..=1024_usize];
    let values = (lens, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
    btree_map(key(), values, 1..=169).prop_map(|items| {
        let mut room = 4064;
        let fits = |(_, value): &(Key, Vec<u8>)| {
            let len = 24 + value.len();
            let fits = len <= room;
            room -= if fits { len } else { 0 };
            fits
        };
        items.into_iter().filter(fits).collect()
    })
}

pub(super) fn entries() -> impl Strategy<Value = Vec<IndexEntry>> {
    let pointer = (1_u64.., any::<u32>());
    btree_map(key(), pointer, 1..=101).prop_map(|entries| {
        let entry = |(key, (block, checksum))| {
            let pointer = BlockPointer { block, checksum };
            IndexEntry { key, pointer }
        };
        entries.into_iter().map(entry).collect()
    })
}

pub(super) fn superblock() -> impl Strategy<Value = Superblock> {
    let sizes = (
        prop_oneof![MINIMUM_BLOCKS..1 << 24, MINIMUM_BLOCKS..=MAXIMUM_BLOCKS],
        2..=INODE_LIMIT,
        1..u64::MAX,
    );
    let keys = (any::<[u8; 16]>(), any::<[u8; 16]>());
    let label = "[a-zA-Z \u{e4}\u{20ac}]{0,16}";
    let choices = any::<[bool; 4]>();
    (sizes, keys, label, any::<[u64; 8]>(), choices).prop_map(
        |((block_count, next_inode, generation), (uuid, hash_key), label, numbers, choices)| {
            let [is_clean, is_atomic, is_empty, second_slot] = choices;
            let geometry = ImageGeometry::for_blocks(block_count);
            let area = geometry.data_area_blocks();
            let root_level = (numbers[1] % 3) as u16;
            let tree_nodes = u64::from(root_level) + 1 + numbers[2] % (area / 4);
            let slots = geometry.space_slots(geometry.space_level(), 0);
            let pointer = |block, checksum: u64| BlockPointer {
                block,
                checksum: checksum as u32,
            };
            let root = pointer(geometry.data_start_block + numbers[3] % area, numbers[4]);
            let space_root = pointer(slots[usize::from(second_slot)], numbers[5]);
            Superblock {
                features: Features {
                    compatible: numbers[0],
                    ..Features::default()
                },
                uuid,
                label: Label::new(&label).expect("at most 48 bytes"),
                geometry,
                generation,
                root: if is_empty { BlockPointer::NULL } else { root },
                root_level: if is_empty { 0 } else { root_level },
                tree_nodes: if is_empty { 0 } else { tree_nodes },
                space_root: if is_empty {
                    BlockPointer::NULL
                } else {
                    space_root
                },
                data_blocks: if is_empty { 0 } else { numbers[6] % (area / 2) },
                data_mode: if is_atomic {
                    DataMode::Atomic
                } else {
                    DataMode::InPlace
                },
                log_first_lsn: numbers[7] & !63,
                epoch: numbers[0] >> 1,
                hash_key,
                next_inode,
                live_inodes: 1 + numbers[1] % (next_inode - 1),
                created_ns: numbers[2],
                checkpointed_ns: numbers[3],
                state: if is_clean {
                    SuperblockState::Clean
                } else {
                    SuperblockState::InUse
                },
            }
        },
    )
}

/// `block` with some bytes changed.
pub(super) fn damaged(block: &Block, damage: &[(usize, u8)]) -> Block {
    let mut damaged = block.clone();
    for (at, byte) in damage {
        damaged.bytes_mut()[*at] = *byte;
    }
    damaged
}
