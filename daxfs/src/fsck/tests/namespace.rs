//! Damage to names, links and parents: each kind is found, and nothing else is reported.

use super::builder::{Builder, ROOT};
use super::whole::issues;
use crate::format::InodeKind;
use crate::fsck::Issue;

use InodeKind::{Directory, File};

#[test]
fn wrong_link_counts_are_found() {
    let build = || {
        let mut builder = Builder::new(1024);
        let file = builder.file(ROOT, "file", &[]);
        let directory = builder.directory(ROOT, "directory");
        builder.link(directory, "link", file);
        builder
    };
    assert_eq!(issues(build()), []);
    let wrong = |inode, expected, found| {
        [Issue::LinkCount {
            inode,
            expected,
            found,
        }]
    };
    assert_eq!(
        issues(build().edit(2, |inode| inode.links = 1)),
        wrong(2, 2, 1)
    );
    assert_eq!(
        issues(build().edit(ROOT, |inode| inode.links = 2)),
        wrong(ROOT, 3, 2)
    );
    assert_eq!(
        issues(build().edit(3, |inode| inode.links = 3)),
        wrong(3, 2, 3)
    );
}

#[test]
fn a_name_that_appears_twice_is_found_across_leaves() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "twice", &[]);
    // More than one leaf of entries in between.
    (0..60).for_each(|n| builder.link(ROOT, &format!("{n:0100}"), file));
    builder.link(ROOT, "twice", file);
    let issue = Issue::DuplicateName {
        directory: ROOT,
        name: "twice".into(),
    };
    assert_eq!(issues(builder), [issue]);
}

#[test]
fn entries_of_nothing_are_found() {
    let mut builder = Builder::new(1024);
    builder.entry(ROOT, "nothing", 9, File);
    builder.entry(ROOT, "far", 1_000_000, File);
    assert_eq!(
        issues(builder),
        [
            Issue::DanglingEntry {
                directory: ROOT,
                inode: 9
            },
            Issue::DanglingEntry {
                directory: ROOT,
                inode: 1_000_000
            }
        ]
    );
}

#[test]
fn entries_that_say_another_kind_are_found() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[]);
    builder.entry(ROOT, "other", file, Directory);
    let builder = builder.edit(file, |inode| inode.links = 2);
    let (expected, found) = (File, Directory);
    assert_eq!(
        issues(builder),
        [Issue::EntryKind {
            directory: ROOT,
            inode: 2,
            expected,
            found
        }]
    );
}

#[test]
fn inodes_without_a_name_are_found() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[(0, 1)]);
    let directory = builder.directory(ROOT, "directory");
    let below = builder.directory(directory, "below");
    builder.forget(ROOT, file);
    builder.forget(ROOT, directory);
    let builder = builder.edit(ROOT, |inode| inode.links = 2);
    assert_eq!(
        issues(builder),
        [
            Issue::Orphan {
                inode: file,
                kind: File
            },
            Issue::Orphan {
                inode: directory,
                kind: Directory
            },
            Issue::Unreachable { inode: below }
        ]
    );
}

#[test]
fn a_directory_with_two_names_is_found() {
    let mut builder = Builder::new(1024);
    let a = builder.directory(ROOT, "a");
    let b = builder.directory(ROOT, "b");
    let below = builder.directory(b, "below");
    builder.entry(a, "again", below, Directory);
    let builder = builder.edit(a, |inode| inode.links = 3);
    // Its parent is one of the two directories that name it, so that is right.
    assert_eq!(
        issues(builder),
        [Issue::DirectoryNamedTwice {
            inode: below,
            entries: 2
        }]
    );
}

#[test]
fn a_wrong_parent_is_found() {
    let build = || {
        let mut builder = Builder::new(1024);
        builder.directory(ROOT, "a");
        builder.directory(ROOT, "b");
        builder
    };
    assert_eq!(
        issues(build().edit(2, |inode| inode.parent = 3)),
        [Issue::Parent {
            inode: 2,
            expected: ROOT,
            found: 3
        }]
    );
    assert_eq!(
        issues(build().edit(ROOT, |inode| inode.parent = 2)),
        [Issue::Parent {
            inode: ROOT,
            expected: ROOT,
            found: 2
        }]
    );
}

#[test]
fn a_cycle_is_found() {
    let mut builder = Builder::new(1024);
    let a = builder.directory(ROOT, "a");
    let b = builder.directory(a, "b");
    let c = builder.directory(b, "c");
    builder.file(c, "file", &[]);
    builder.move_directory(ROOT, a, c);
    // All links and parents agree: the root is empty, and a -> b -> c -> a.
    assert_eq!(
        issues(builder),
        [a, b, c].map(|inode| Issue::Unreachable { inode })
    );
}

#[test]
fn the_root_has_no_name() {
    let mut builder = Builder::new(1024);
    let directory = builder.directory(ROOT, "directory");
    builder.entry(directory, "up", ROOT, Directory);
    assert_eq!(issues(builder), [Issue::RootNamed { directory }]);
}

#[test]
fn a_root_that_is_missing_or_a_file_is_fatal() {
    let builder = Builder::new(1024).edit(ROOT, |inode| {
        inode.kind = File;
        inode.parent = 0;
        inode.links = 0;
    });
    assert_eq!(issues(builder), [Issue::RootNotADirectory]);
}
