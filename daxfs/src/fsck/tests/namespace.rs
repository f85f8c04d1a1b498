//! Names, links, parents and orphans that contradict each other.

use super::builder::{Builder, ROOT};
use crate::format::FileType;
use crate::format::item::{ItemKind, Key};
use crate::fsck::{InodeKind, Issue, Severity};

fn issues(builder: Builder<'_>) -> Vec<Issue> {
    builder.build().report().issues
}

/// The key of the one name of `directory`.
fn name_key(builder: &Builder<'_>, directory: u64) -> Key {
    builder.keys(directory, ItemKind::Dirent)[0]
}

#[test]
fn a_missing_root_is_fatal() {
    let mut builder = Builder::new(1024);
    builder.remove(Key::new(ROOT, ItemKind::Inode, 0));
    let report = builder.build().report();
    assert!(report.issues.contains(&Issue::RootMissing));
    assert_eq!(report.worst(), Some(Severity::Fatal));
}

#[test]
fn a_root_that_is_a_file_is_fatal() {
    let mut builder = Builder::new(1024);
    builder.edit_inode(ROOT, |stored| {
        stored.kind = FileType::File;
        stored.parent = 0;
        stored.links = 0;
    });
    let report = builder.build().report();
    let kind = InodeKind::File;
    assert_eq!(report.issues, [Issue::RootNotADirectory { kind }]);
    assert_eq!(report.worst(), Some(Severity::Fatal));
}

#[test]
fn a_name_of_the_root_is_found() {
    let mut builder = Builder::new(1024);
    let position = builder.entry(ROOT, "me", ROOT, FileType::Directory);
    let directory = ROOT;
    assert_eq!(
        issues(builder),
        [Issue::RootNamed {
            directory,
            position
        }]
    );
}

#[test]
fn a_name_where_its_hash_does_not_belong_is_found() {
    let mut builder = Builder::new(1024);
    builder.file(ROOT, "file", &[]);
    let key = name_key(&builder, ROOT);
    builder.remove(key);
    let position = builder.position(ROOT, "other");
    builder.entry_at(ROOT, position, "file", 2, FileType::File);
    let expected = Issue::NamePosition {
        directory: ROOT,
        position,
        least: key.position,
        name: "file".into(),
    };
    assert_eq!(issues(builder), [expected]);
}

#[test]
fn a_name_twice_is_found() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[]);
    let position = builder.link(ROOT, "file", file);
    let expected = Issue::DuplicateName {
        directory: ROOT,
        position,
        name: "file".into(),
    };
    assert_eq!(issues(builder), [expected]);
}

#[test]
fn names_of_nothing_and_of_the_wrong_kind_are_found() {
    let mut builder = Builder::new(1024);
    let position = builder.entry(ROOT, "nothing", 77, FileType::File);
    let dangling = Issue::DanglingEntry {
        directory: ROOT,
        position,
        inode: 77,
    };
    assert_eq!(issues(builder), [dangling]);

    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[]);
    let position = name_key(&builder, ROOT).position;
    builder.entry_at(ROOT, position, "file", file, FileType::Fifo);
    let wrong = Issue::EntryKind {
        directory: ROOT,
        position,
        inode: file,
        expected: InodeKind::File,
        found: InodeKind::Fifo,
    };
    assert_eq!(issues(builder), [wrong]);
}

#[test]
fn inodes_without_names_are_found_unless_they_are_listed() {
    let mut builder = Builder::new(1024);
    let inode = builder.inode(FileType::Socket, 0);
    let kind = InodeKind::Socket;
    assert_eq!(issues(builder), [Issue::Unnamed { inode, kind }]);

    let mut builder = Builder::new(1024);
    let inode = builder.inode(FileType::Socket, 0);
    builder.orphan(inode);
    assert_eq!(issues(builder), []);
}

#[test]
fn orphans_that_are_none_are_found() {
    let mut builder = Builder::new(1024);
    builder.orphan(77);
    assert_eq!(issues(builder), [Issue::OrphanMissing { inode: 77 }]);

    let mut builder = Builder::new(1024);
    let inode = builder.file(ROOT, "file", &[]);
    builder.orphan(inode);
    assert_eq!(issues(builder), [Issue::OrphanNamed { inode, names: 1 }]);
}

#[test]
fn wrong_links_and_parents_are_found() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[]);
    let directory = builder.directory(ROOT, "directory");
    builder.directory(directory, "below");
    builder.edit_inode(file, |stored| stored.links = 3);
    builder.edit_inode(directory, |stored| {
        stored.links = 2;
        stored.parent = directory;
    });
    let expected = [
        Issue::LinkCount {
            inode: file,
            expected: 1,
            found: 3,
        },
        Issue::Parent {
            inode: directory,
            expected: ROOT,
            found: directory,
        },
        Issue::LinkCount {
            inode: directory,
            expected: 3,
            found: 2,
        },
    ];
    assert_eq!(issues(builder), expected);
}

#[test]
fn a_directory_with_two_names_is_found() {
    let mut builder = Builder::new(1024);
    let directory = builder.directory(ROOT, "directory");
    builder.entry(ROOT, "again", directory, FileType::Directory);
    let found = issues(builder);
    let expected = Issue::DirectoryNamedTwice {
        inode: directory,
        entries: 2,
    };
    assert!(found.contains(&expected), "{found:?}");
}

#[test]
fn directories_below_themselves_are_found() {
    let mut builder = Builder::new(1024);
    let outer = builder.directory(ROOT, "outer");
    let inner = builder.directory(outer, "inner");
    let key = name_key(&builder, ROOT);
    builder.remove(key);
    builder.entry(inner, "outer", outer, FileType::Directory);
    builder.edit_inode(outer, |stored| stored.parent = inner);
    builder.edit_inode(inner, |stored| stored.links += 1);
    builder.edit_inode(ROOT, |stored| stored.links -= 1);
    let expected = [
        Issue::Unreachable { inode: outer },
        Issue::Unreachable { inode: inner },
    ];
    assert_eq!(issues(builder), expected);
}
