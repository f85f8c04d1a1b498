//! Access control lists that contradict their inode: found, and removed without the attributes
//! beside them.

use super::builder::{Builder, ROOT, TIME};
use crate::format::acl::{ACCESS_ACL, DEFAULT_ACL};
use crate::format::item::xattr::encode_xattrs;
use crate::format::item::{ItemKind, Key, chunks};
use crate::format::record::Record;
use crate::fsck::{Action, Issue, NoProgress, Outcome, repair};

/// The first inode that a builder makes.
const FIRST: u64 = ROOT + 1;

/// A list of (whom, what they may do, their id).
fn list(entries: &[(u8, u8, u32)]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0];
    for (tag, permissions, id) in entries {
        bytes.extend_from_slice(&[*tag, 0, *permissions, 0]);
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// One that names the user 5, and otherwise says what the mode 0644 says.
fn right() -> Vec<u8> {
    let nobody = u32::MAX;
    list(&[
        (1, 6, nobody),
        (2, 7, 5),
        (4, 7, nobody),
        (16, 4, nobody),
        (32, 4, nobody),
    ])
}

fn set(builder: &mut Builder<'_>, inode: u64, name: &[u8], value: &[u8]) {
    let xattrs = [
        (name.to_vec(), value.to_vec()),
        (b"user.beside".to_vec(), b"stays".to_vec()),
    ];
    let blob = encode_xattrs(&xattrs.into());
    builder.edit_inode(inode, |stored| stored.xattr_bytes = blob.len() as u32);
    for (chunk, bytes) in chunks(&blob) {
        builder.put(Key::new(inode, ItemKind::XattrChunk, chunk), bytes.into());
    }
}

/// An image whose only file, with the mode 0644, has this list.
fn image_with(name: &[u8], value: &[u8]) -> Builder<'static> {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[]);
    builder.edit_inode(file, |stored| stored.mode = 0o644);
    set(&mut builder, file, name, value);
    builder
}

#[test]
fn what_the_filesystem_would_have_stored_is_right() {
    assert_eq!(image_with(ACCESS_ACL, &right()).build().report().issues, []);
    let mut builder = Builder::new(1024);
    let directory = builder.directory(ROOT, "directory");
    set(&mut builder, directory, DEFAULT_ACL, &right());
    assert_eq!(builder.build().report().issues, []);
}

#[test]
fn a_list_that_contradicts_its_inode_is_found_and_goes() {
    let nobody = u32::MAX;
    let with_id = [(1, 6, 9), (4, 4, nobody), (16, 4, nobody), (32, 4, nobody)];
    let plain = [(1, 6, nobody), (4, 4, nobody), (32, 4, nobody)];
    let mut of_other_mode = right();
    // The mask: the class of the group has all of the mode's bits, and no more.
    of_other_mode[4 + 3 * 8 + 2] = 6;
    for (name, value) in [
        (ACCESS_ACL, vec![]),
        (ACCESS_ACL, right()[1..].to_vec()),
        (ACCESS_ACL, of_other_mode),
        (ACCESS_ACL, list(&with_id)),
        (ACCESS_ACL, list(&plain)),
        // Of a file, which has none.
        (DEFAULT_ACL, right()),
    ] {
        let image = image_with(name, &value).build();
        let found = image.report().issues;
        let [Issue::BadAcl { inode, .. }] = found[..] else {
            panic!("{value:?}: {found:?}");
        };
        let device = image.device();
        let done = repair(&device, &NoProgress).unwrap();
        assert_eq!(done.outcome, Outcome::Repaired);
        assert_eq!(done.actions[0], Action::RemovedAcls { inode });
        assert_eq!(
            done.actions.len(),
            2,
            "and a checkpoint: {:?}",
            done.actions
        );
        assert_eq!(done.after.unwrap().issues, []);
        // What is left is what an image without the list has.
        let mut expected = Builder::new(1024);
        let file = expected.file(ROOT, "file", &[]);
        expected.xattr(file, "user.beside", b"stays");
        expected.edit_inode(file, |stored| stored.mode = 0o644);
        assert!(super::tree::tree_of(&device) == super::tree::tree_of(&expected.build().device()));
    }
}

#[test]
fn a_log_that_brings_a_list_without_its_mode_is_found() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[]);
    builder.edit_inode(file, |stored| stored.mode = 0o600);
    let set = |mode| Record::SetAttributes {
        inode: FIRST,
        mode,
        uid: None,
        gid: None,
        accessed: None,
        modified: None,
        changed: Some(TIME),
        access_acl: Some(right()),
    };
    builder.record(&set(Some(0o644)));
    assert_eq!(builder.build().report().issues, []);
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[]);
    builder.edit_inode(file, |stored| stored.mode = 0o600);
    builder.record(&set(None));
    let found = builder.build().report().issues;
    let is_expected = found.iter().any(|issue| {
        matches!(issue, Issue::AfterReplay { issue }
            if matches!(**issue, Issue::BadAcl { inode, .. } if inode == file))
    });
    assert!(is_expected, "{found:?}");
}
