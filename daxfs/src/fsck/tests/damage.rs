//! Damage to blocks, trees and extents: each kind is found, and nothing else is reported.

use super::builder::{Builder, ROOT};
use super::whole::{issues, report};
use crate::format::geometry::{MAXIMUM_LEAVES, block_offset_bytes};
use crate::format::{Extent, FormatError, Identity, InodeKind, Problem, Structure};
use crate::fsck::{Issue, Owner, Severity, Tree};

/// Flips a bit of the block of `identity` in an image with one of everything.
fn with_flipped_bit(identity: Identity) -> (u64, Vec<Issue>) {
    let mut builder = Builder::new(2048).extents_per_leaf(2);
    let extents = (0..10).map(|n| (n * 2, 1)).collect::<Vec<_>>();
    builder.file(ROOT, "fragmented", &extents);
    for file in 0..20 {
        builder.file(ROOT, &file.to_string(), &[]);
    }
    let mut image = builder.build();
    let block = image.block_of(identity);
    image.bytes[block_offset_bytes(block) as usize + 40] ^= 4;
    (block, report(&image).issues)
}

fn has_bad_checksum(issues: &[Issue], bad: u64, expected: Tree, of: Structure) -> bool {
    issues.iter().any(|issue| match issue {
        Issue::BadBlock { tree, block, error } => {
            let FormatError {
                structure, problem, ..
            } = error;
            let is_checksum = matches!(problem, Problem::Checksum { .. });
            (*tree, *block, *structure) == (expected, bad, of) && is_checksum
        }
        _ => false,
    })
}

#[test]
fn a_flipped_bit_is_found_in_every_kind_of_block() {
    let file = Tree::Extents { inode: 2 };
    let root = Tree::Entries { inode: ROOT };
    let cases = [
        (Identity::extent_leaf(2, 3), file, Structure::ExtentLeaf),
        (Identity::index_block(2, 1, 0), file, Structure::IndexBlock),
        (Identity::dirent_leaf(ROOT, 0), root, Structure::DirentLeaf),
        (
            Identity::inode_leaf(1),
            Tree::InodeTable,
            Structure::InodeLeaf,
        ),
        (
            Identity::index_block(0, 1, 0),
            Tree::InodeTable,
            Structure::IndexBlock,
        ),
    ];
    for (identity, tree, structure) in cases {
        let (block, issues) = with_flipped_bit(identity);
        assert!(
            has_bad_checksum(&issues, block, tree, structure),
            "{identity:?}: {issues:?}"
        );
    }
}

#[test]
fn a_lost_extent_leaf_is_the_only_issue_of_its_file() {
    let (_, issues) = with_flipped_bit(Identity::extent_leaf(2, 3));
    assert_eq!(issues.len(), 1, "{issues:?}");
}

#[test]
fn a_lost_inode_table_is_fatal() {
    let (_, issues) = with_flipped_bit(Identity::index_block(0, 1, 0));
    assert!(issues.contains(&Issue::RootMissing));
    assert_eq!(
        issues.iter().map(Issue::severity).max(),
        Some(Severity::Fatal)
    );
}

#[test]
fn a_block_that_belongs_elsewhere_is_found() {
    let leaf = Identity::dirent_leaf(ROOT, 0);
    // The checksums are right: only the header tells.
    let mut builder = Builder::new(1024).on_block(move |identity, block| {
        if identity == leaf {
            block.bytes_mut()[8] = 77;
        }
    });
    builder.file(ROOT, "file", &[]);
    let image = builder.build();
    let problem = Problem::Mismatch {
        field: "owner",
        expected: ROOT,
        found: 77,
    };
    let error = FormatError {
        structure: Structure::DirentLeaf,
        entry: None,
        problem,
    };
    let (tree, block) = (Tree::Entries { inode: ROOT }, image.block_of(leaf));
    assert_eq!(
        report(&image).issues,
        [
            Issue::BadBlock { tree, block, error },
            Issue::Orphan {
                inode: 2,
                kind: InodeKind::File
            }
        ]
    );
}

#[test]
fn pointers_out_of_the_image_are_found() {
    for target in [1, 511, 1024, u64::MAX] {
        let mut builder =
            Builder::new(1024).edit(ROOT, |inode| inode.content.pointer.block = target);
        builder.file(ROOT, "file", &[]);
        let tree = Tree::Entries { inode: ROOT };
        assert_eq!(
            issues(builder),
            [
                Issue::PointerOutOfImage {
                    tree,
                    target,
                    block_count: 1024
                },
                Issue::Orphan {
                    inode: 2,
                    kind: InodeKind::File
                }
            ]
        );
    }
}

#[test]
fn missing_and_superfluous_pointers_are_found() {
    let index = Identity::index_block(2, 1, 0);
    let tree = Tree::Extents { inode: 2 };
    let build = |edit: fn(&mut [u8])| {
        let mut builder =
            Builder::new(1024)
                .extents_per_leaf(2)
                .on_block(move |identity, block| {
                    if identity == index {
                        edit(block.bytes_mut());
                    }
                });
        builder.file(ROOT, "file", &[(0, 1), (2, 1), (4, 1), (6, 1), (8, 1)]);
        builder.build()
    };
    // Three leaves; the second pointer is cleared.
    let image = build(|bytes| bytes[32 + 16..32 + 32].fill(0));
    let missing = Issue::NullPointer {
        tree,
        level: 0,
        index: 1,
    };
    assert_eq!(report(&image).issues, [missing]);
    // The count says two, and the third pointer is gone.
    let image = build(|bytes| {
        bytes[24] = 2;
        bytes[32 + 32..32 + 48].fill(0);
    });
    let block = image.block_of(index);
    let too_few = Issue::PointerCount {
        tree,
        block,
        expected: 3,
        found: 2,
    };
    assert_eq!(report(&image).issues, [too_few]);
    let image = build(|bytes| {
        bytes[24] = 4;
        bytes.copy_within(32..48, 32 + 48);
    });
    let too_many = Issue::PointerCount {
        tree,
        block,
        expected: 3,
        found: 4,
    };
    assert_eq!(report(&image).issues, [too_many]);
}

#[test]
fn blocks_used_twice_are_found_with_all_their_owners() {
    let mut builder = Builder::new(1024).edit(3, |inode| {
        inode.inline_extents[0].device_block = 514;
    });
    builder.file(ROOT, "first", &[(0, 8)]);
    builder.file(ROOT, "second", &[(0, 4)]);
    let owners = vec![Owner::Data { inode: 2 }, Owner::Data { inode: 3 }];
    assert_eq!(
        issues(builder),
        [Issue::SharedBlocks {
            block: 514,
            len_blocks: 4,
            owners
        }]
    );

    // Data where the directory's own leaf is: the leaf comes after the 4 blocks and a gap.
    let mut builder = Builder::new(1024).edit(2, |inode| {
        inode.inline_extents[0].device_block = 514;
    });
    builder.file(ROOT, "file", &[(0, 4)]);
    let owners = vec![
        Owner::Metadata(Tree::Entries { inode: ROOT }),
        Owner::Data { inode: 2 },
    ];
    assert_eq!(
        issues(builder),
        [Issue::SharedBlocks {
            block: 517,
            len_blocks: 1,
            owners
        }]
    );
}

#[test]
fn shared_blocks_are_told_apart_whatever_the_order_of_their_owners() {
    let mut builder = Builder::new(1024).on_inode(|inode| {
        if let (4 | 5, Some(extent)) = (inode.number, inode.inline_extents.first_mut()) {
            // 2 has 512 to 515 and 3 has 517 to 520: 5 takes those of 2, and 4 those of 3.
            extent.device_block = if inode.number == 5 { 512 } else { 517 };
        }
    });
    for name in ["two", "three", "four", "five"] {
        builder.file(ROOT, name, &[(0, 4)]);
    }
    let shared = |block, inodes: [u64; 2]| Issue::SharedBlocks {
        block,
        len_blocks: 4,
        owners: inodes.map(|inode| Owner::Data { inode }).to_vec(),
    };
    assert_eq!(issues(builder), [shared(512, [2, 5]), shared(517, [3, 4])]);
}

#[test]
fn blocks_used_twice_by_one_file_are_found() {
    let mut builder = Builder::new(1024).edit(2, |inode| {
        inode.inline_extents[1].device_block = inode.inline_extents[0].device_block;
    });
    builder.file(ROOT, "file", &[(0, 100), (200, 100)]);
    let owners = vec![Owner::Data { inode: 2 }];
    assert_eq!(
        issues(builder),
        [Issue::SharedBlocks {
            block: 512,
            len_blocks: 100,
            owners
        }]
    );
}

/// The issues of an image whose inode 2 has two extents, 3 blocks at 0 and 5 at 10, and was edited.
fn with_edited_extents(edit: fn(&mut [Extent])) -> Vec<Issue> {
    let mut builder =
        Builder::new(1024).edit(2, move |inode| edit(inode.inline_extents.as_mut_slice()));
    builder.file(ROOT, "file", &[(0, 3), (10, 5)]);
    issues(builder)
}

#[test]
fn extents_out_of_order_are_found() {
    assert_eq!(
        with_edited_extents(|extents| extents[1].file_block = 2),
        [Issue::ExtentOrder {
            inode: 2,
            file_block: 2,
            least: 3
        }]
    );
    assert_eq!(with_edited_extents(|extents| extents[1].file_block = 3), []);
}

#[test]
fn extents_past_the_end_of_the_file_are_found() {
    assert_eq!(
        with_edited_extents(|extents| extents[1].file_block = 11),
        [Issue::ExtentPastEnd {
            inode: 2,
            file_end: 16,
            most: 15
        }]
    );
}

#[test]
fn extents_out_of_the_image_are_found() {
    let issue = Issue::ExtentOutOfImage {
        inode: 2,
        file_block: 10,
        device_block: 1020,
        len_blocks: 5,
        block_count: 1024,
    };
    assert_eq!(
        with_edited_extents(|extents| extents[1].device_block = 1020),
        [issue]
    );
}

#[test]
fn extents_that_should_be_one_are_a_warning() {
    let issues = with_edited_extents(|extents| {
        extents[1].file_block = 3;
        extents[1].device_block = 515;
    });
    assert_eq!(
        issues,
        [Issue::ExtentNotMerged {
            inode: 2,
            file_block: 3
        }]
    );
    assert_eq!(issues[0].severity(), Severity::Warning);
    // Neither continues the other on the device only, nor in the file only.
    assert_eq!(
        with_edited_extents(|extents| extents[1].device_block = 515),
        []
    );
    assert_eq!(with_edited_extents(|extents| extents[1].file_block = 3), []);
}

#[test]
fn wrong_counts_are_found() {
    let build = || {
        let mut builder = Builder::new(1024).extents_per_leaf(3);
        builder.file(ROOT, "file", &[(0, 1), (2, 1), (4, 1), (6, 1), (8, 1)]);
        builder
    };
    assert_eq!(
        issues(build().edit(2, |inode| inode.extent_count = 6)),
        [Issue::ExtentCount {
            inode: 2,
            expected: 5,
            found: 6
        }]
    );
    assert_eq!(
        issues(build().edit(2, |inode| inode.allocated_blocks = 4)),
        [Issue::AllocatedBlocks {
            inode: 2,
            expected: 5,
            found: 4
        }]
    );
    // 5 data blocks, 3 of the extent tree, a directory leaf and an inode leaf.
    assert_eq!(
        issues(build().on_superblock(|superblock| superblock.allocated_blocks += 1)),
        [Issue::AllocatedBlocksTotal {
            expected: 10,
            found: 11
        }]
    );
    assert_eq!(
        issues(build().on_superblock(|superblock| superblock.live_inodes -= 1)),
        [Issue::LiveInodes {
            expected: 2,
            found: 1
        }]
    );
    assert_eq!(
        issues(build().on_superblock(|superblock| {
            superblock.next_inode = 2;
            superblock.live_inodes = 1;
        })),
        [
            Issue::InodeBeyondNext {
                inode: 2,
                next_inode: 2
            },
            Issue::LiveInodes {
                expected: 2,
                found: 1
            }
        ]
    );
}

#[test]
fn a_malformed_inode_is_lost_alone() {
    // Inode 2 is slot 2 of leaf 0; its mode is at 38.
    let mut builder = Builder::new(1024).on_block(|identity, block| {
        if identity == Identity::inode_leaf(0) {
            block.bytes_mut()[32 + 2 * 256 + 39] = 0xff;
        }
    });
    builder.file(ROOT, "file", &[]);
    let image = builder.build();
    let issues = report(&image).issues;
    let block = image.block_of(Identity::inode_leaf(0));
    let [
        Issue::MalformedInode {
            inode: 2,
            block: found,
            error,
        },
        dangling,
    ] = &issues[..]
    else {
        panic!("{issues:?}");
    };
    assert_eq!(
        (*found, error.structure, error.entry),
        (block, Structure::Inode, Some(2))
    );
    assert_eq!(
        *dangling,
        Issue::DanglingEntry {
            directory: ROOT,
            inode: 2
        }
    );
}

#[test]
fn an_absurd_inode_number_limit_does_not_make_the_check_long() {
    let builder = Builder::new(1024).on_superblock(|superblock| {
        superblock.next_inode = MAXIMUM_LEAVES * 15;
        superblock.inode_table_level = 4;
    });
    let issues = issues(builder);
    assert!(
        matches!(
            issues[0],
            Issue::BadBlock {
                tree: Tree::InodeTable,
                ..
            }
        ),
        "{issues:?}"
    );
}
