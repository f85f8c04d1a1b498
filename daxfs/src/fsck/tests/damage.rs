//! Damage of nodes, items and the space map: each kind is named.

use super::builder::{Builder, GENERATION, ROOT, run};
use super::device::TestImage;
use crate::format::FileType;
use crate::format::error::Problem;
use crate::format::item::{ItemKind, Key, Sharing, StoredRun};
use crate::fsck::{InodeKind, Issue, Owner, Severity};

fn issues(builder: Builder<'_>) -> Vec<Issue> {
    builder.build().report().issues
}

/// The one issue of an image.
fn issue(builder: Builder<'_>) -> Issue {
    let found = issues(builder);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

fn inode_key(inode: u64) -> Key {
    Key::new(inode, ItemKind::Inode, 0)
}

// ---- Superblock -------------------------------------------------------------------------------

#[test]
fn wrong_counts_of_the_superblock_are_found() {
    let mut builder = Builder::new(1024);
    builder.file(ROOT, "file", &[(0, 3)]);
    let mut image = builder.build();
    image.edit_superblock(|superblock| {
        superblock.tree_nodes = 2;
        superblock.data_blocks = 4;
        superblock.live_inodes = 1;
    });
    let expected = [
        Issue::TreeNodes {
            expected: 1,
            found: 2,
        },
        Issue::DataBlocks {
            expected: 3,
            found: 4,
        },
        Issue::LiveInodes {
            expected: 2,
            found: 1,
        },
        Issue::SpaceTotal {
            expected: 4,
            found: 6,
        },
    ];
    assert_eq!(image.report().issues, expected);
}

#[test]
fn an_inode_that_a_new_file_could_take_is_found() {
    let mut builder = Builder::new(1024);
    builder.file(ROOT, "file", &[]);
    let mut image = builder.build();
    image.edit_superblock(|superblock| {
        superblock.next_inode = 2;
        superblock.live_inodes = 1;
    });
    let beyond = Issue::InodeBeyondNext {
        inode: 2,
        next_inode: 2,
    };
    // A superblock that says so cannot count right.
    assert!(image.report().issues.contains(&beyond));
}

// ---- Tree -------------------------------------------------------------------------------------

fn tree() -> TestImage {
    let mut builder = Builder::new(1024).small_nodes();
    for file in 0..20 {
        builder.file(ROOT, &file.to_string(), &[(0, 1)]);
    }
    builder.build()
}

#[test]
fn a_damaged_node_is_found_at_every_level() {
    for level in 0..=tree().superblock.root_level {
        let mut image = tree();
        let node = image.node(level);
        image.flip(node.block, 2000);
        let report = image.report();
        let first = &report.issues[0];
        assert!(
            matches!(first, Issue::BadNode { block, level: at, error }
                if *block == node.block && *at == level
                    && matches!(error.problem, Problem::Checksum { .. })),
            "{first:?}"
        );
        assert!(report.worst() >= Some(Severity::Error));
    }
}

#[test]
fn a_node_that_is_not_what_its_parent_expects_is_found() {
    let builder = Builder::new(1024).on_node(|level, _, block| {
        if level == 0 {
            // Its own number.
            block.bytes_mut()[8] ^= 1;
        }
    });
    assert!(matches!(
        issues(builder)[..],
        [Issue::BadNode { level: 0, .. }, Issue::RootMissing]
    ));
}

#[test]
fn a_node_of_a_later_checkpoint_is_found() {
    let builder = Builder::new(1024).on_node(|_, _, block| block.bytes_mut()[16] += 1);
    let expected = Issue::NodeOfFuture {
        block: 512,
        most: GENERATION,
        found: GENERATION + 1,
    };
    assert_eq!(issue(builder), expected);
}

#[test]
fn a_pointer_out_of_the_data_area_is_found() {
    for target in [1_u64, 511, 1024, u64::MAX] {
        let mut builder = Builder::new(1024)
            .small_nodes()
            .on_node(|level, at, block| {
                if (level, at) == (1, 0) {
                    // The pointer of the first entry.
                    block.bytes_mut()[32 + 24..][..8].copy_from_slice(&target.to_le_bytes());
                }
            });
        for file in 0..3 {
            builder.file(ROOT, &file.to_string(), &[]);
        }
        let expected = Issue::PointerOutOfImage {
            target,
            level: 0,
            least: 512,
            block_count: 1024,
        };
        assert_eq!(issues(builder)[0], expected);
    }
}

// ---- Items ------------------------------------------------------------------------------------

#[test]
fn an_item_that_does_not_decode_is_found_whatever_its_kind() {
    let broken = [
        Key::new(3, ItemKind::Dirent, 1 << 20),
        Key::new(2, ItemKind::Extents, 7),
        Key::new(2, ItemKind::DataChecksums, 7),
        Key::new(0, ItemKind::Orphan, 1),
        Key::new(0, ItemKind::Shared, 600),
        Key::new(2, ItemKind::Inode, 1),
    ];
    for key in broken {
        let mut builder = Builder::new(1024);
        builder.file(ROOT, "file", &[]);
        builder.directory(ROOT, "directory");
        builder.put(key, vec![1, 2, 3]);
        let found = issue(builder);
        assert!(
            matches!(found, Issue::BadItem { inode, kind, position, .. }
                if (inode, kind, position) == (key.inode, key.kind as u8, key.position)),
            "{found:?}"
        );
    }
}

#[test]
fn an_inode_that_does_not_decode_leaves_its_items_without_one() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[(0, 3)]);
    builder.edit(inode_key(file), |value| value[0] = 9);
    let found = issues(builder);
    assert!(
        matches!(
            found[..],
            [
                Issue::LiveInodes { .. },
                Issue::BadItem {
                    inode: 2,
                    kind: 1,
                    ..
                },
                Issue::OrphanedItems {
                    inode: 2,
                    items: 1,
                    kind: InodeKind::File
                },
                Issue::DanglingEntry { inode: 2, .. }
            ]
        ),
        "{found:?}"
    );
}

#[test]
fn items_of_no_inode_are_found() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[(0, 3), (600, 1)]);
    builder.entry(9, "name", file, FileType::File);
    let found = issues(builder);
    let expected = Issue::OrphanedItems {
        inode: 9,
        items: 1,
        kind: InodeKind::Directory,
    };
    assert!(found.contains(&expected), "{found:?}");
}

#[test]
fn items_of_inodes_of_another_kind_are_found() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[]);
    builder.put(Key::new(file, ItemKind::SymlinkChunk, 0), vec![b'a']);
    let expected = Issue::ItemOfOtherKind {
        inode: file,
        kind: InodeKind::File,
        item_kind: ItemKind::SymlinkChunk as u8,
        position: 0,
    };
    assert_eq!(issue(builder), expected);
}

#[test]
fn attributes_and_targets_that_are_not_whole_are_found() {
    let edits: [fn(&mut Builder<'_>, u64); 4] = [
        |builder, inode| builder.remove(Key::new(inode, ItemKind::XattrChunk, 1)),
        |builder, inode| builder.edit_inode(inode, |stored| stored.xattr_bytes -= 1),
        |builder, inode| builder.edit_inode(inode, |stored| stored.xattr_bytes = 0),
        |builder, inode| {
            builder.edit(Key::new(inode, ItemKind::XattrChunk, 0), |value| {
                value[0] = 0;
            });
        },
    ];
    for edit in edits {
        let mut builder = Builder::new(1024);
        let file = builder.file(ROOT, "file", &[]);
        builder.xattr(file, "user.name", &[1; 1500]);
        edit(&mut builder, file);
        let found = issue(builder);
        assert!(
            matches!(found, Issue::BadXattrs { inode: 2, .. }),
            "{found:?}"
        );
    }
    let edits: [fn(&mut Builder<'_>, u64); 3] = [
        |builder, inode| builder.remove(Key::new(inode, ItemKind::SymlinkChunk, 0)),
        |builder, inode| builder.edit_inode(inode, |stored| stored.size_bytes += 1),
        |builder, inode| {
            builder.edit(Key::new(inode, ItemKind::SymlinkChunk, 1), |value| {
                value[3] = 0;
            });
        },
    ];
    for edit in edits {
        let mut builder = Builder::new(1024);
        let symlink = builder.symlink(ROOT, "symlink", &"t".repeat(2000));
        edit(&mut builder, symlink);
        let found = issue(builder);
        assert!(
            matches!(found, Issue::BadTarget { inode: 2, .. }),
            "{found:?}"
        );
    }
}

// ---- Runs -------------------------------------------------------------------------------------

fn file_with_runs(runs: &[StoredRun]) -> Builder<'static> {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[]);
    builder.allocate(100);
    builder.set_runs(file, runs);
    builder
}

#[test]
fn a_run_out_of_the_data_area_is_found() {
    let builder = file_with_runs(&[run(0, 1020, 5)]);
    let found = issues(builder);
    let expected = Issue::RunOutOfImage {
        inode: 2,
        file_block: 0,
        device_block: 1020,
        len_blocks: 5,
        least: 512,
        block_count: 1024,
    };
    assert!(found.contains(&expected), "{found:?}");
}

#[test]
fn runs_that_overlap_in_the_file_are_found() {
    let mut builder = file_with_runs(&[run(0, 520, 5)]);
    let value = [run_bytes(3, 4, 530), run_bytes(9, 1, 540)].concat();
    builder.put(Key::new(2, ItemKind::Extents, 3), value);
    builder.edit_inode(2, |stored| stored.allocated_blocks += 5);
    let found = issues(builder);
    let expected = Issue::RunOrder {
        inode: 2,
        file_block: 3,
        least: 5,
    };
    assert_eq!(found, [expected]);
}

/// A run as it is stored.
fn run_bytes(offset: u16, len_blocks: u16, device_block: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&offset.to_le_bytes());
    bytes.extend_from_slice(&len_blocks.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&device_block.to_le_bytes());
    bytes
}

#[test]
fn runs_that_should_be_one_are_a_warning() {
    let mut builder = file_with_runs(&[run(0, 520, 5)]);
    builder.put(Key::new(2, ItemKind::Extents, 5), run_bytes(5, 2, 525));
    builder.edit_inode(2, |stored| stored.allocated_blocks += 2);
    let report = builder.build().report();
    let expected = Issue::RunNotMerged {
        inode: 2,
        file_block: 5,
    };
    assert_eq!(report.issues, [expected]);
    assert_eq!(report.worst(), Some(Severity::Warning));
}

#[test]
fn a_wrong_count_of_blocks_is_found() {
    let mut builder = file_with_runs(&[run(0, 520, 5)]);
    builder.edit_inode(2, |stored| stored.allocated_blocks = 6);
    let expected = Issue::AllocatedBlocks {
        inode: 2,
        expected: 5,
        found: 6,
    };
    assert_eq!(issue(builder), expected);
}

#[test]
fn blocks_past_the_end_of_a_file_are_no_issue() {
    let mut builder = file_with_runs(&[run(0, 520, 5)]);
    builder.edit_inode(2, |stored| stored.size_bytes = 1);
    assert_eq!(issues(builder), []);
}

// ---- Owners -----------------------------------------------------------------------------------

#[test]
fn blocks_of_two_files_are_found() {
    let mut builder = Builder::new(1024);
    let first = builder.file(ROOT, "first", &[(0, 8)]);
    let second = builder.file(ROOT, "second", &[]);
    builder.set_runs(second, &[run(0, 514, 3)]);
    let expected = Issue::UsedTwice {
        block: 514,
        len_blocks: 3,
        owners: vec![Owner::Data { inode: first }, Owner::Data { inode: second }],
    };
    assert_eq!(issue(builder), expected);
}

#[test]
fn blocks_of_a_file_and_the_tree_are_found() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[]);
    builder.set_runs(file, &[run(0, 512, 1)]);
    let found = issues(builder);
    let expected = Issue::UsedTwice {
        block: 512,
        len_blocks: 1,
        owners: vec![Owner::Tree, Owner::Data { inode: file }],
    };
    assert!(found.contains(&expected), "{found:?}");
}

#[test]
fn shared_blocks_must_be_marked_by_all_and_counted_right() {
    let mut builder = Builder::new(1024);
    let [first, second] = builder.shared_files(4);
    builder.set_runs(second, &[run(0, 512, 4)]);
    let expected = Issue::UsedTwice {
        block: 512,
        len_blocks: 4,
        owners: vec![Owner::Data { inode: first }, Owner::Data { inode: second }],
    };
    assert_eq!(issue(builder), expected);
    for (counted, expected) in [(None, (2, 1)), (Some(3), (2, 3))] {
        let mut builder = Builder::new(1024);
        builder.shared_files(4);
        match counted {
            None => builder.remove(Key::new(0, ItemKind::Shared, 512)),
            Some(owners) => builder.count(512, 4, owners),
        }
        let expected = Issue::SharedCount {
            block: 512,
            len_blocks: 4,
            expected: expected.0,
            found: expected.1,
        };
        assert_eq!(issue(builder), expected);
    }
}

#[test]
fn owners_counted_of_what_nobody_shares_are_found() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[]);
    // Marked, and nobody else has it: allowed.
    let marked = StoredRun {
        sharing: Sharing::Shared,
        ..run(0, 512, 4)
    };
    builder.allocate(4);
    builder.set_runs(file, &[marked]);
    builder.count(513, 1, 2);
    let expected = Issue::SharedCount {
        block: 513,
        len_blocks: 1,
        expected: 1,
        found: 2,
    };
    assert_eq!(issue(builder), expected);
}

#[test]
fn counts_about_the_same_blocks_are_found() {
    let mut builder = Builder::new(1024);
    builder.shared_files(4);
    builder.count(514, 2, 2);
    let expected = Issue::SharedOverlap {
        block: 514,
        end: 516,
    };
    assert_eq!(issue(builder), expected);
}

// ---- Space map --------------------------------------------------------------------------------

#[test]
fn blocks_in_use_that_are_marked_free_are_found() {
    let mut builder = Builder::new(1024).on_map(|words| words[8] &= !0b1110);
    builder.file(ROOT, "file", &[(0, 8)]);
    let expected = [
        Issue::SpaceTotal {
            expected: 6,
            found: 9,
        },
        Issue::UsedButFree {
            first_block: 513,
            blocks: 3,
        },
    ];
    assert_eq!(issues(builder), expected);
}

#[test]
fn unused_blocks_that_are_marked_used_are_a_warning() {
    let builder = Builder::new(1024).on_map(|words| words[15] |= 0b101);
    let mut image = builder.build();
    // Were they counted as well, the image would mount.
    image.edit_superblock(|superblock| superblock.data_blocks = 2);
    let mut report = image.report();
    report
        .issues
        .retain(|issue| !matches!(issue, Issue::DataBlocks { .. }));
    let expected = Issue::Leaked {
        first_block: 960,
        blocks: 2,
    };
    assert_eq!(report.issues, [expected]);
    assert_eq!(report.worst(), Some(Severity::Warning));
}

#[test]
fn a_damaged_space_map_is_found() {
    let mut image = Builder::new(1024).build();
    let block = image.superblock.space_root.block;
    image.flip(block, 100);
    assert!(matches!(
        image.report().issues[..],
        [Issue::BadSpaceBlock {
            level: 0,
            index: 0,
            ..
        }]
    ));
}
