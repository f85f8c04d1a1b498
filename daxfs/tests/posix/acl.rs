//! Access control lists, right and wrong, in the bytes that Linux takes. Touches a file of the host
//! once, to see whether it keeps any.

use std::sync::OnceLock;

use proptest::prelude::*;
use rustix::fs::XattrFlags;

pub(crate) const ACCESS: &str = "system.posix_acl_access";
pub(crate) const DEFAULT: &str = "system.posix_acl_default";

/// Whom an entry is about.
pub(crate) const OWNER: u16 = 1;
pub(crate) const USER: u16 = 2;
pub(crate) const OWNING_GROUP: u16 = 4;
pub(crate) const GROUP: u16 = 8;
pub(crate) const MASK: u16 = 16;
pub(crate) const OTHERS: u16 = 32;
/// The id of who has no name.
pub(crate) const NOBODY: u32 = u32::MAX;

/// One entry: whom it is about, what they may do, and their id.
pub(crate) type Entry = (u16, u16, u32);

/// A list of these entries.
pub(crate) fn list(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// The three that each list has.
pub(crate) fn plain(owner: u16, group: u16, others: u16) -> Vec<u8> {
    list(&[
        (OWNER, owner, NOBODY),
        (OWNING_GROUP, group, NOBODY),
        (OTHERS, others, NOBODY),
    ])
}

/// A list that names the user 5.
pub(crate) fn naming(user: u16, mask: u16) -> Vec<u8> {
    list(&[
        (OWNER, 7, NOBODY),
        (USER, user, 5),
        (OWNING_GROUP, 5, NOBODY),
        (MASK, mask, NOBODY),
        (OTHERS, 1, NOBODY),
    ])
}

/// Whether the kernel's filesystem keeps access control lists; where not, a line says so.
pub(crate) fn are_kept() -> bool {
    static ARE_KEPT: OnceLock<bool> = OnceLock::new();
    *ARE_KEPT.get_or_init(|| {
        let file = tempfile::NamedTempFile::new().expect("a file of the host");
        let set = rustix::fs::setxattr(file.path(), ACCESS, &naming(4, 7), XattrFlags::empty());
        if let Err(error) = set {
            eprintln!("skipped: the host keeps no access control lists: {error}");
        }
        set.is_ok()
    })
}

/// Any list, most of them right.
pub(crate) fn any() -> impl Strategy<Value = Vec<u8>> {
    let permissions = || 0..8_u16;
    let named = || prop::collection::vec((permissions(), 0..4_u32), 0..3);
    let right = (
        [permissions(), permissions(), permissions()],
        named(),
        named(),
        prop::option::of(permissions()),
    )
        .prop_map(|([owner, group, others], users, groups, mask)| {
            let mut entries = vec![(OWNER, owner, NOBODY)];
            entries.extend(
                users
                    .iter()
                    .map(|(permissions, id)| (USER, *permissions, *id)),
            );
            entries.push((OWNING_GROUP, group, NOBODY));
            entries.extend(
                groups
                    .iter()
                    .map(|(permissions, id)| (GROUP, *permissions, *id)),
            );
            entries.extend(mask.map(|mask| (MASK, mask, NOBODY)));
            entries.push((OTHERS, others, NOBODY));
            list(&entries)
        });
    let entry = (
        prop_oneof![Just(OWNER), Just(USER), Just(OTHERS), 0..70_u16],
        0..12_u16,
        prop_oneof![Just(NOBODY), 0..4_u32],
    );
    let wrong = prop_oneof![
        4 => prop::collection::vec(entry, 0..6).prop_map(|entries| list(&entries)),
        1 => Just(Vec::new()),
        1 => Just(vec![2, 0, 0, 0]),
        1 => Just(vec![1, 0, 0, 0]),
        1 => Just(vec![2, 0]),
        2 => (naming_any(), 0..50_usize).prop_map(|(mut list, len)| {
            list.truncate(len);
            list
        }),
    ];
    prop_oneof![4 => right, 2 => naming_any(), 2 => wrong]
}

fn naming_any() -> impl Strategy<Value = Vec<u8>> {
    (0..8_u16, 0..8_u16).prop_map(|(user, mask)| naming(user, mask))
}
