//! Fixed bytes of every structure of version 2: a change of layout cannot go by unseen.
//!
//! The offsets are those in the format document. The checksums are of fixed values, and were
//! computed when version 2 was fixed. If one of these fails, the change needs a new format version
//! or a feature bit: see the format document.

use std::mem::offset_of;

use crate::format::features::Features;
use crate::format::image_geometry::ImageGeometry;
use crate::format::item::dirent::RawStoredDirent;
use crate::format::item::extents::{RawStoredRun, encode_extents};
use crate::format::item::inode::RawStoredInode;
use crate::format::item::shared::RawStoredSharedRun;
use crate::format::item::xattr::{RawXattr, Xattrs, encode_xattrs};
use crate::format::item::{
    FileType, ItemKind, Key, Sharing, StoredChecksums, StoredDirent, StoredInode, StoredRun,
    StoredSharedRun,
};
use crate::format::label::Label;
use crate::format::node::index::{RawIndexEntry, RawIndexNode, encode_index};
use crate::format::node::leaf::{RawLeaf, RawSlot, encode_leaf};
use crate::format::node::{IndexEntry, RawNodeHeader};
use crate::format::space_block::{
    RawSpaceHeader, SpacePlace, encode_space_index, encode_space_leaf,
};
use crate::format::state::SuperblockState;
use crate::format::superblock::{DataMode, RawSuperblock, Superblock};
use crate::format::timestamp::Timestamp;
use crate::format::{Block, BlockPointer};

/// Asserts where the fields of a structure lie, and its size.
macro_rules! assert_layout {
    ($raw:ty, $size:expr, $($field:ident $offset:expr),+ $(,)?) => {
        assert_eq!(size_of::<$raw>(), $size, stringify!($raw));
        $(assert_eq!(
            offset_of!($raw, $field),
            $offset,
            concat!(stringify!($raw), ".", stringify!($field))
        );)+
    };
}

#[test]
fn superblock_fields_are_where_the_format_document_says() {
    assert_layout!(
        RawSuperblock, 512,
        magic 0, version 8, block_bytes 12,
        feature_compatible 16, feature_read_only_compatible 24, feature_incompatible 32,
        uuid 40, block_count 56, generation 64, root 72, space_root 88,
        root_level 104, space_level 106, data_mode 108, tree_nodes 112, data_blocks 120,
        log_start_block 128, log_blocks 136, space_map_block 144, data_start_block 152,
        log_first_lsn 160, epoch 168, hash_key 176, next_inode 192, live_inodes 200,
        root_inode 208, created_ns 216, checkpointed_ns 224, state 232, reserved_state 236,
        label 240, reserved 304, checksum 508,
    );
}

#[test]
fn node_fields_are_where_the_format_document_says() {
    assert_layout!(
        RawNodeHeader, 32,
        magic 0, level 4, count 6, block 8, generation 16, reserved 24,
    );
    assert_layout!(RawLeaf, 4096, header 0, slots 32, rest 4088);
    assert_layout!(
        RawSlot, 24,
        inode 0, position 8, kind 16, reserved 17, value_offset 18, value_len 20, reserved_end 22,
    );
    assert_layout!(RawIndexNode, 4096, header 0, entries 32, rest 4072);
    assert_layout!(RawIndexEntry, 40, inode 0, position 8, kind 16, reserved 17, pointer 24);
    assert_layout!(
        RawSpaceHeader, 32,
        magic 0, level 4, reserved 6, index 8, generation 16, reserved_end 24,
    );
}

#[test]
fn item_fields_are_where_the_format_document_says() {
    assert_layout!(
        RawStoredInode, 120,
        kind 0, version 1, mode 2, links 4, uid 8, gid 12, rdev 16, size_bytes 24,
        allocated_blocks 32, parent 40, flags 48, xattr_bytes 52,
        accessed 56, modified 72, changed 88, created 104,
    );
    assert_layout!(RawStoredDirent, 10, inode 0, kind 8, name_len 9);
    assert_layout!(
        RawStoredRun, 16,
        offset_in_segment 0, len_blocks 2, flags 4, device_block 8,
    );
    assert_layout!(RawStoredSharedRun, 16, len_blocks 0, owners 8);
    assert_layout!(RawXattr, 5, name_len 0, value_len 1);
}

pub(super) fn inode() -> StoredInode {
    let time = |seconds| Timestamp {
        seconds,
        nanoseconds: 0x0304_0506,
    };
    StoredInode {
        kind: FileType::File,
        mode: 0o6754,
        links: 0x1112_1314,
        uid: 0x2122_2324,
        gid: 0x3132_3334,
        rdev: 0,
        flags: 0,
        size_bytes: 0x0142_4344_4546,
        allocated_blocks: 0x51_5253_5455,
        parent: 0,
        accessed: time(-1),
        modified: time(2),
        changed: time(3),
        created: time(4),
        xattr_bytes: 0x6162,
    }
}

pub(super) fn superblock() -> Superblock {
    let geometry = ImageGeometry::for_blocks(0x11_1213);
    Superblock {
        features: Features {
            compatible: 1,
            read_only_compatible: 2,
            incompatible: 0,
        },
        uuid: *b"0123456789abcdef",
        label: Label::new("label").unwrap(),
        geometry,
        generation: 0x2122_2324_2526_2728,
        root: BlockPointer {
            block: 0xa_3132,
            checksum: 0x4142_4344,
        },
        root_level: 2,
        tree_nodes: 0x3_5152,
        space_root: BlockPointer {
            block: geometry.space_slots(geometry.space_level(), 0)[1],
            checksum: 0x6162_6364,
        },
        data_blocks: 0x4_7172,
        data_mode: DataMode::Atomic,
        log_first_lsn: 0x8182_8384_8586_8780,
        epoch: 0x9192_9394_9596_9798,
        hash_key: *b"ABCDEFGHIJKLMNOP",
        next_inode: 0x0051_5253,
        live_inodes: 0xa1a2,
        created_ns: 0xb1b2_b3b4_b5b6_b7b8,
        checkpointed_ns: 0xc1c2_c3c4_c5c6_c7c8,
        state: SuperblockState::InUse,
    }
}

fn leaf() -> Block {
    let keys = [
        (Key::new(0, ItemKind::Orphan, 0x1112), &b""[..]),
        (Key::new(0x2122, ItemKind::Inode, 0), &inode().encode()),
        (Key::new(0x2122, ItemKind::SymlinkChunk, 0), b"target"),
    ];
    encode_leaf(0x3132, 0x4142, keys.into_iter()).unwrap()
}

fn index() -> Block {
    let entry = |inode, block| IndexEntry {
        key: Key::new(inode, ItemKind::Dirent, 0x5152_5354_5556_5758),
        pointer: BlockPointer {
            block,
            checksum: 0x6162_6364,
        },
    };
    encode_index(0x3132, 2, 0x4142, &[entry(0x7172, 600), entry(0x8182, 700)]).unwrap()
}

fn space_blocks() -> [Block; 2] {
    let mut words = [0; 508];
    words[20] = 0x1112_1314_1516_1718;
    let leaf = encode_space_leaf(1, 0x4142, &words).unwrap();
    let pointer = BlockPointer {
        block: 0x9192,
        checksum: 0xa1a2_a3a4,
    };
    let index = encode_space_index(
        SpacePlace::new(1, 0),
        0x4142,
        &[BlockPointer::NULL, pointer],
    );
    [leaf, index.unwrap().unwrap()]
}

#[test]
fn bytes_of_every_structure_are_those_of_version_2() {
    let run = StoredRun {
        file_block: 512 * 3 + 7,
        device_block: 0x4142_4344,
        len_blocks: 0x51,
        sharing: Sharing::Shared,
    };
    let shared = StoredSharedRun {
        device_block: 600,
        len_blocks: 0x6162,
        owners: 0x7172,
    };
    let checksums = StoredChecksums {
        first_block: 128,
        bits: 1 << 127 | 1 << 8 | 1,
        sums: vec![0x0102_0304, 0x0506_0708, 0x090a_0b0c],
    };
    let dirent = StoredDirent {
        inode: 0x8182,
        kind: FileType::BlockDevice,
        name: b"name",
    };
    let xattrs = Xattrs::from([
        (b"user.a".to_vec(), b"1".to_vec()),
        (b"user.b".to_vec(), vec![]),
    ]);
    let extents = encode_extents(3, &[run]);
    assert_eq!(extents[0].0, 512 * 3 + 7);
    let [space_leaf, space_index] = space_blocks();
    let found = [
        ("superblock", superblock().encode().checksum()),
        ("leaf", leaf().checksum()),
        ("index node", index().checksum()),
        ("space leaf", space_leaf.checksum()),
        ("space index", space_index.checksum()),
        ("inode", crc32c::crc32c(&inode().encode())),
        ("entry", crc32c::crc32c(&dirent.encode())),
        ("extents", crc32c::crc32c(&extents[0].1)),
        ("shared run", crc32c::crc32c(&shared.encode())),
        ("checksums", crc32c::crc32c(&checksums.encode())),
        ("attributes", crc32c::crc32c(&encode_xattrs(&xattrs))),
    ];
    assert_eq!(found, GOLDEN);
}

const GOLDEN: [(&str, u32); 11] = [
    ("superblock", 0xba9a_0b09),
    ("leaf", 0x30eb_e8c8),
    ("index node", 0x74dc_7920),
    ("space leaf", 0xaafd_e386),
    ("space index", 0x5f23_5ef4),
    ("inode", 0xaff2_2008),
    ("entry", 0xd3e9_6177),
    ("extents", 0xcefa_7823),
    ("shared run", 0x5c9e_d4d9),
    ("checksums", 0x7e94_2ba6),
    ("attributes", 0x9a4d_9101),
];
