//! Images without damage pass, and are counted right.

use std::sync::atomic::{AtomicU64, Ordering};

use super::builder::{Builder, ROOT, TestImage};
use crate::error::Error;
use crate::format::geometry::{BLOCK_BYTES, DATA_START_BLOCK};
use crate::format::{Identity, Superblock, SuperblockState};
use crate::fsck::{Issue, NoProgress, Progress, Report, Severity, Shutdown, Stage, check};

pub(super) fn report(image: &TestImage) -> Report {
    check(&image.device(), &NoProgress).unwrap()
}

/// The issues of an image, which may be compared with the expected ones.
pub(super) fn issues(builder: Builder<'_>) -> Vec<Issue> {
    report(&builder.build()).issues
}

#[test]
fn an_empty_image_is_clean() {
    let report = report(&Builder::new(1024).build());
    assert_eq!(report.issues, []);
    assert!(report.is_clean());
    assert_eq!(report.worst(), None);
    assert_eq!((report.inodes, report.directories, report.files), (1, 1, 0));
    assert_eq!(
        (
            report.data_blocks,
            report.metadata_blocks,
            report.free_blocks
        ),
        (0, 1, 511)
    );
    assert_eq!((report.generation, report.block_count), (8, 1024));
    assert_eq!(
        (report.label.as_str(), report.shutdown),
        ("test", Shutdown::Clean)
    );
}

#[test]
fn files_directories_and_links_are_clean_and_counted() {
    let mut builder = Builder::new(2048);
    let directory = builder.directory(ROOT, "directory");
    let below = builder.directory(directory, "below");
    let file = builder.file(directory, "file", &[(0, 3), (10, 5)]);
    builder.link(ROOT, "link", file);
    builder.link(below, "another link", file);
    builder.file(below, "empty", &[]);
    builder.file(ROOT, "large", &[(0, 600)]);
    let image = builder.build();
    let report = report(&image);
    assert_eq!(report.issues, []);
    assert_eq!((report.inodes, report.directories, report.files), (6, 3, 3));
    assert_eq!((report.extents, report.data_blocks), (3, 608));
    // Three directories of one leaf each, and one leaf of inodes.
    assert_eq!(report.metadata_blocks, 4);
    assert_eq!(report.free_blocks, 2048 - DATA_START_BLOCK - 612);
}

#[test]
fn trees_of_several_levels_are_clean() {
    let mut builder = Builder::new(4096).extents_per_leaf(1);
    let extents = (0..300).map(|n| (n * 2, 1)).collect::<Vec<_>>();
    builder.file(ROOT, "fragmented", &extents);
    for directory in 0..5 {
        let directory = builder.directory(ROOT, &format!("directory {directory}"));
        for file in 0..800 {
            builder.file(
                directory,
                &format!("a file with a long name {file:040}"),
                &[],
            );
        }
    }
    // A gap of a whole index block in the inode table.
    builder.skip_inodes(300 * 15);
    builder.file(ROOT, "last", &[(0, 1)]);
    let image = builder.build();
    assert_eq!(image.superblock.inode_table_level, 2);
    let fragmented = Identity::index_block(2, 2, 0);
    assert!(
        image
            .metadata
            .iter()
            .any(|(_, identity)| *identity == fragmented)
    );
    let report = report(&image);
    assert_eq!(report.issues, []);
    assert_eq!(
        (report.files, report.directories, report.extents),
        (4002, 6, 301)
    );
    assert_eq!(report.data_blocks, 301);
    assert_eq!(report.metadata_blocks, image.metadata.len() as u64);
}

#[test]
fn an_image_that_was_not_unmounted_is_clean_and_says_so() {
    let builder = Builder::new(1024).on_superblock(|s| s.state = SuperblockState::InUse);
    let report = report(&builder.build());
    assert_eq!(
        (report.issues, report.shutdown),
        (vec![], Shutdown::Unclean)
    );
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
    let newer = report(&image_with_an_older_copy());
    assert_eq!((newer.generation, newer.issues), (8, vec![]));
}

#[test]
fn a_damaged_copy_of_the_superblock_is_a_warning() {
    let mut image = image_with_an_older_copy();
    image.bytes[100] ^= 1;
    let report = report(&image);
    assert_eq!(report.generation, 7);
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
        report(&image).issues,
        [Issue::SuperblockCopiesDiffer { generation: 8 }]
    );
}

#[test]
fn two_damaged_superblocks_are_fatal() {
    let mut image = Builder::new(1024).build();
    image.bytes[100] ^= 1;
    image.bytes[4096 + 100] ^= 1;
    let report = report(&image);
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
    let other = Builder::new(1024).on_superblock(|s| s.uuid[0] ^= 1).build();
    image.put(1, &other.superblock.encode());
    let issues = report(&image).issues;
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
    let mut builder = Builder::new(1024);
    for file in 0..40 {
        builder.file(ROOT, &file.to_string(), &[]);
    }
    let sum = Sum::default();
    check(&builder.build().device(), &sum).unwrap();
    // Three leaves of the inode table, then 41 inodes.
    assert_eq!(sum.total.into_inner(), 44);
    assert_eq!(sum.done.into_inner(), 44);
}
