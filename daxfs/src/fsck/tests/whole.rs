//! Images without damage pass, and are counted right.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::builder::{Builder, ROOT, settled};
use super::device::TestImage;
use crate::error::Error;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::record::{Disposition, Record};
use crate::format::{FileType, Superblock, SuperblockState};
use crate::fs::{Filesystem, MountOptions};
use crate::fsck::{Issue, NoProgress, Progress, Severity, Shutdown, Stage, check};

#[test]
fn an_empty_image_is_clean() {
    let report = Builder::new(1024).build().report();
    assert_eq!(report.issues, []);
    assert!(report.is_clean());
    assert_eq!(report.worst(), None);
    assert_eq!((report.inodes, report.directories, report.files), (1, 1, 0));
    let blocks = (
        report.data_blocks,
        report.metadata_blocks,
        report.free_blocks,
    );
    assert_eq!(blocks, (0, 1, 511));
    assert_eq!((report.generation, report.block_count), (8, 1024));
    let name = (report.label.as_str(), report.shutdown);
    assert_eq!(name, ("test", Shutdown::Clean));
}

/// A bit of everything.
pub(in crate::fsck) fn everything<'a>(builder: Builder<'a>) -> Builder<'a> {
    let mut builder = builder;
    let directory = builder.directory(ROOT, "directory");
    let below = builder.directory(directory, "below");
    let file = builder.file(directory, "file", &[(0, 3), (10, 5)]);
    builder.link(ROOT, "link", file);
    builder.link(below, "another link", file);
    builder.file(below, "empty", &[]);
    builder.file(ROOT, "large", &[(0, 512), (512, 88)]);
    let many = (0..150).map(|n| (n * 2, 1)).collect::<Vec<_>>();
    builder.file(ROOT, "fragmented", &many);
    builder.symlink(ROOT, "symlink", &"t".repeat(3000));
    builder.xattr(file, "user.name", &[7; 2000]);
    let fifo = builder.inode(FileType::Fifo, 0);
    builder.link(below, "fifo", fifo);
    builder.shared_files(4);
    let orphan = builder.inode(FileType::File, 0);
    builder.orphan(orphan);
    builder
}

#[test]
fn everything_at_once_is_clean_and_counted() {
    let image = everything(Builder::new(4096)).build();
    let report = image.report();
    assert_eq!(report.issues, []);
    assert_eq!(
        (report.inodes, report.directories, report.files),
        (12, 3, 9)
    );
    assert_eq!(report.extents, 2 + 2 + 150 + 2);
    assert_eq!(report.data_blocks, 8 + 600 + 150 + 4);
    assert_eq!(report.metadata_blocks, image.nodes.len() as u64);
    let in_use = report.data_blocks + report.metadata_blocks;
    assert_eq!(report.free_blocks, 4096 - 512 - in_use);
}

#[test]
fn trees_of_several_levels_are_clean() {
    let mut builder = everything(Builder::new(4096).small_nodes());
    for file in 0..100 {
        builder.file(ROOT, &format!("a file with a long name {file:040}"), &[]);
    }
    let image = builder.build();
    assert!(image.superblock.root_level > 2);
    let report = image.report();
    assert_eq!(report.issues, []);
    assert_eq!(report.files, 109);
    assert_eq!(report.metadata_blocks, image.nodes.len() as u64);
}

#[test]
fn a_space_map_of_two_levels_is_clean() {
    let mut builder = Builder::new(70_000);
    builder.allocate(40_000);
    builder.file(ROOT, "far", &[(0, 3)]);
    let image = builder.build();
    assert_eq!(image.superblock.geometry.space_level(), 1);
    assert_eq!(image.report().issues, []);
}

#[test]
fn an_image_with_a_log_is_clean() {
    let mut builder = everything(Builder::new(4096));
    let block = builder.allocate(3);
    let create = builder.create(ROOT, "new", 20);
    builder.record(&create);
    builder.record(&Record::Map {
        inode: 20,
        file_block: 511,
        run: settled(block, 3),
        flags: 0,
        len_bytes: 514 * BLOCK_BYTES,
        time: super::builder::TIME,
    });
    let Record::Create { position, .. } = create else {
        unreachable!("made above");
    };
    builder.record(&Record::Unlink {
        directory: ROOT,
        position,
        inode: 20,
        time: super::builder::TIME,
        disposition: Disposition::Orphaned,
    });
    let mut image = builder.build();
    let report = image.report();
    assert_eq!(report.issues, []);
    assert_eq!((report.log_records, report.inodes), (3, 12));
    assert_eq!(report.shutdown, Shutdown::Unclean);

    // Of an image that was unmounted nobody looks into the log.
    image.edit_superblock(|superblock| superblock.state = SuperblockState::Clean);
    let report = image.report();
    assert_eq!((report.issues, report.log_records), (vec![], 0));
    let device = Arc::new(image.device());
    let fs = Filesystem::mount(device, MountOptions::default()).unwrap();
    assert!(fs.open("/new").is_err());
}

/// An image whose copies are of generations 8 and 7, as a crash between their writes leaves them.
fn image_with_an_older_copy() -> TestImage {
    let mut image = Builder::new(1024).build();
    let older = Superblock {
        generation: 7,
        ..image.superblock.clone()
    };
    image.put(1, &older.encode());
    image
}

#[test]
fn the_newer_copy_of_the_superblock_is_checked() {
    let newer = image_with_an_older_copy().report();
    assert_eq!((newer.generation, newer.issues), (8, vec![]));
}

#[test]
fn a_damaged_copy_of_the_superblock_is_a_warning() {
    let mut image = Builder::new(1024).build();
    image.flip(0, 100);
    let report = image.report();
    assert!(matches!(
        report.issues[..],
        [Issue::SuperblockCopy { block: 0, .. }]
    ));
    assert_eq!(report.worst(), Some(Severity::Warning));
}

#[test]
fn copies_of_one_generation_that_differ_are_found() {
    let mut image = Builder::new(1024).build();
    let other = Superblock {
        checkpointed_ns: 3,
        ..image.superblock.clone()
    };
    image.put(1, &other.encode());
    assert_eq!(
        image.report().issues,
        [Issue::SuperblockCopiesDiffer { generation: 8 }]
    );
}

#[test]
fn two_damaged_superblocks_are_fatal() {
    let mut image = Builder::new(1024).build();
    image.flip(0, 100);
    image.flip(1, 100);
    let report = image.report();
    assert!(matches!(
        report.issues[..],
        [
            Issue::SuperblockCopy { block: 0, .. },
            Issue::SuperblockCopy { block: 1, .. },
            Issue::NoSuperblock { .. }
        ]
    ));
    assert_eq!(report.worst(), Some(Severity::Fatal));
    assert_eq!(report.shutdown, Shutdown::Unknown);
}

#[test]
fn copies_of_two_images_are_found() {
    let mut image = Builder::new(1024).build();
    let other = Superblock {
        uuid: *b"another image's.",
        ..image.superblock.clone()
    };
    image.put(1, &other.encode());
    let issues = image.report().issues;
    assert!(
        matches!(issues[..], [Issue::SuperblockIdentity { .. }]),
        "{issues:?}"
    );
}

#[test]
fn what_is_no_image_is_an_error_and_not_a_report() {
    let mut image = Builder::new(1024).build();
    let mut cut = image.clone();
    cut.bytes.truncate(1023 * BLOCK_BYTES as usize);
    assert!(matches!(
        check(&cut.device(), &NoProgress),
        Err(Error::Truncated {
            expected_bytes: 4_194_304,
            found_bytes: 4_190_208
        })
    ));
    cut.bytes.truncate(4096);
    assert!(matches!(
        check(&cut.device(), &NoProgress),
        Err(Error::NotAnImage { .. })
    ));
    image.bytes[..8192].fill(0);
    assert!(matches!(
        check(&image.device(), &NoProgress),
        Err(Error::NotAnImage { .. })
    ));
}

#[test]
fn progress_adds_up_to_the_total_of_each_stage() {
    #[derive(Default)]
    struct Sum {
        total: AtomicU64,
        done: AtomicU64,
    }
    impl Progress for Sum {
        fn begin(&self, _: Stage, total: u64) {
            self.total.fetch_add(total, Ordering::Relaxed);
        }
        fn advance(&self, steps: u64) {
            self.done.fetch_add(steps, Ordering::Relaxed);
        }
    }
    let image = everything(Builder::new(4096).small_nodes()).build();
    let leaves = image.nodes.iter().filter(|node| node.level == 0).count() as u64;
    let sum = Sum::default();
    check(&image.device(), &sum).unwrap();
    // Leaves of the tree, their items, the owners of what is shared, and 12 inodes.
    assert_eq!(sum.total.into_inner(), 3 * leaves + 12);
    assert_eq!(sum.done.into_inner(), 3 * leaves + 12);
}
