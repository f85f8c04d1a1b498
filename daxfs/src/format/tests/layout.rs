//! Fixed bytes of every structure: a change of layout cannot go by unseen.
//!
//! The blocks are made of fixed values; the checksums were computed when version 1 was fixed. If
//! one of these fails, the change needs a new format version or a feature bit: see the format
//! document.

use super::strategies::*;
use crate::format::{
    BlockPointer, Extent, Features, Inode, InodeKind, Label, Superblock, SuperblockState,
    Timestamp, TreeRoot,
};

fn file() -> Inode {
    let time = |seconds| Timestamp {
        seconds,
        nanoseconds: 0x0304_0506,
    };
    Inode {
        number: 0x1_0000_0000_u64 / 15 * 15 + 2,
        kind: InodeKind::File,
        mode: 0o6754,
        links: 0x1112_1314,
        uid: 0x2122_2324,
        gid: 0x3132_3334,
        size_bytes: 0x0142_4344_4546,
        allocated_blocks: 0x51_5253_5455,
        accessed: time(-1),
        modified: time(2),
        changed: time(3),
        created: time(4),
        content: TreeRoot::EMPTY,
        extent_count: 1,
        parent: 0,
        inline_extents: vec![Extent {
            file_block: 0x61,
            device_block: 0x7172,
            len_blocks: 0x81,
        }],
    }
}

fn directory() -> Inode {
    let pointer = BlockPointer {
        block: 0x9192_9394_9596,
        checksum: 0xa1a2_a3a4,
    };
    Inode {
        number: file().number + 1,
        kind: InodeKind::Directory,
        size_bytes: 0,
        allocated_blocks: 0,
        content: TreeRoot {
            pointer,
            level: 2,
            leaves: 0xb1b2,
        },
        extent_count: 0,
        parent: 0xc1c2_c3c4,
        inline_extents: Vec::new(),
        ..file()
    }
}

fn superblock() -> Superblock {
    Superblock {
        features: Features {
            compatible: 1,
            read_only_compatible: 2,
            incompatible: 0,
        },
        uuid: *b"0123456789abcdef",
        label: Label::new("label").unwrap(),
        block_count: 0x11_1213,
        generation: 0x2122_2324_2526_2728,
        inode_table: BlockPointer {
            block: 0x3132,
            checksum: 0x4142_4344,
        },
        inode_table_level: 3,
        next_inode: 0x0051_5253,
        live_inodes: 0x6162,
        allocated_blocks: 0x7172,
        created_ns: 0x8182_8384_8586_8788,
        checkpointed_ns: 0x9192_9394_9596_9798,
        state: SuperblockState::InUse,
    }
}

#[test]
fn bytes_of_every_structure_are_those_of_version_1() {
    let pointer = BlockPointer {
        block: 0x1112_1314,
        checksum: 0x2122_2324,
    };
    let extent = Extent {
        file_block: 0x3132,
        device_block: 0x4142_4344,
        len_blocks: 0x5152,
    };
    let entries = [
        (0x61, InodeKind::File, b"name".to_vec()),
        (0x7172, InodeKind::Directory, b"a longer name".to_vec()),
    ];
    let index = file().number / 15;
    let found = [
        ("superblock", superblock().encode().checksum()),
        (
            "index block",
            index_block(1, &[pointer, BlockPointer::NULL]).checksum(),
        ),
        (
            "inode leaf",
            inode_block(index, &[file(), directory()]).checksum(),
        ),
        ("extent leaf", extent_block(&[extent]).checksum()),
        ("directory leaf", dirent_block(&entries).checksum()),
    ];
    assert_eq!(
        found,
        [
            ("superblock", 0xba9a_0b09),
            ("index block", 0x03b6_073a),
            ("inode leaf", 0xa719_5839),
            ("extent leaf", 0x5e7a_908c),
            ("directory leaf", 0xbc3c_f04d),
        ]
    );
}

/// Offsets that the format document states, spot-checked on the bytes themselves.
#[test]
fn fields_are_where_the_format_document_says() {
    let block = superblock().encode();
    let u64_at = |at: usize| u64::from_le_bytes(block.bytes()[at..at + 8].try_into().unwrap());
    assert_eq!(u64_at(56), superblock().block_count);
    assert_eq!(u64_at(64), superblock().generation);
    assert_eq!(u64_at(72), superblock().inode_table.block);
    assert_eq!(u64_at(96), superblock().next_inode);
    assert_eq!(u64_at(136), superblock().checkpointed_ns);
    assert_eq!(&block.bytes()[152..158], b"label\0");

    let inode = file();
    let block = inode_block(inode.number / 15, std::slice::from_ref(&inode));
    let at = 32 + 2 * 256;
    let u64_at = |at: usize| u64::from_le_bytes(block.bytes()[at..at + 8].try_into().unwrap());
    assert_eq!(u64_at(at), inode.number);
    assert_eq!(u64_at(at + 8), inode.size_bytes);
    assert_eq!(u64_at(at + 40) as i64, inode.accessed.seconds);
    assert_eq!(u64_at(at + 88) as i64, inode.created.seconds);
    assert_eq!(u64_at(at + 128), inode.extent_count);
    assert_eq!(u64_at(at + 144), inode.inline_extents[0].file_block);
    assert_eq!(u64_at(at + 152), inode.inline_extents[0].device_block);
}
