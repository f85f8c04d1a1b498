//! POSIX access control lists, as Linux hands them to `setxattr` and as they are stored.
//!
//! ```text
//! 0               4                       12
//! +---------------+-------+-------+---------------+-- ...
//! | version 2 u32 | tag   | perm  | id        u32 |   one entry of 8 bytes for each
//! +---------------+-------+-------+---------------+-- ...
//! ```
//! Entries come in this order: the owner, named users, the owning group, named groups, the mask,
//! everybody else. The mask is there when anybody is named. Entries that name nobody have the id
//! `u32::MAX`. That form is the only one that is stored.
//!
//! An inode's mode and its access list say the same of the owner, the group (its class: the mask,
//! if there is one) and the others; a list that says no more than the mode is not stored. Pure
//! values: touches nothing, takes no locks.

use super::error::{Fields, FormatError, Structure};
use super::item::FileType;
use super::item::xattr::Xattrs;

/// The attribute that holds who may do what with an inode.
pub(crate) const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
/// The attribute of a directory that holds what is made in it begins with.
pub(crate) const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const VERSION_LEN: usize = 4;
const ENTRY_LEN: usize = 8;
const NOBODY: u32 = u32::MAX;
/// Read, write, execute.
const ALL_PERMISSIONS: u16 = 0o7;
/// The bits of a mode that a list speaks of.
const CLASS_BITS: u16 = 0o777;

/// Whom an entry is about. In the order in which entries come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
enum Tag {
    Owner = 0x01,
    User = 0x02,
    OwningGroup = 0x04,
    Group = 0x08,
    Mask = 0x10,
    Others = 0x20,
}

impl Tag {
    const ALL: [Self; 6] = [
        Self::Owner,
        Self::User,
        Self::OwningGroup,
        Self::Group,
        Self::Mask,
        Self::Others,
    ];

    /// Whether an entry of this kind has an id.
    fn is_named(self) -> bool {
        matches!(self, Self::User | Self::Group)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    permissions: u16,
    id: u32,
}

/// What makes bytes no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AclProblem {
    /// It is of a version that nobody knows.
    Version,
    /// It is cut, or has entries of no kind that there is, or that name nobody.
    Malformed,
    /// Somebody is missing, or in the wrong place, or may do what there is not.
    Incomplete,
}

/// A list that can be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl {
    /// As many as there must be, in their order.
    entries: Vec<Entry>,
}

impl Acl {
    /// Reads a list; `None` for one without entries, which stands for none.
    ///
    /// # Errors
    /// What is wrong with it, as Linux tells it apart.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Self>, AclProblem> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let (version, rest) = bytes
            .split_first_chunk::<VERSION_LEN>()
            .ok_or(AclProblem::Malformed)?;
        if u32::from_le_bytes(*version) != VERSION {
            return Err(AclProblem::Version);
        }
        if rest.is_empty() {
            return Ok(None);
        }
        let (entries, []) = rest.as_chunks::<ENTRY_LEN>() else {
            return Err(AclProblem::Malformed);
        };
        let entries = entries.iter().map(decode_entry);
        let acl = Self {
            entries: entries
                .collect::<Option<_>>()
                .ok_or(AclProblem::Malformed)?,
        };
        match acl.is_complete() {
            true => Ok(Some(acl)),
            false => Err(AclProblem::Incomplete),
        }
    }

    /// The bytes that are stored, and that Linux hands out.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(VERSION_LEN + self.entries.len() * ENTRY_LEN);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        for entry in &self.entries {
            bytes.extend_from_slice(&(entry.tag as u16).to_le_bytes());
            bytes.extend_from_slice(&entry.permissions.to_le_bytes());
            bytes.extend_from_slice(&entry.id.to_le_bytes());
        }
        bytes
    }

    /// Whether everybody is there who must be, in order, and each entry can be.
    fn is_complete(&self) -> bool {
        let is_valid = |entry: &Entry| entry.permissions <= ALL_PERMISSIONS;
        let tags: Vec<Tag> = self.entries.iter().map(|entry| entry.tag).collect();
        let count = |tag| tags.iter().filter(|other| **other == tag).count();
        let names_somebody = tags.iter().any(|tag| tag.is_named());
        let masks = count(Tag::Mask);
        self.entries.iter().all(is_valid)
            && tags.is_sorted()
            && [Tag::Owner, Tag::OwningGroup, Tag::Others].map(count) == [1; 3]
            && (masks == 1 || (masks == 0 && !names_somebody))
    }

    /// Whether it says more than a mode can.
    pub(crate) fn is_more_than_a_mode(&self) -> bool {
        self.entries.iter().any(|entry| is_beyond_mode(entry.tag))
    }

    /// `mode` with what the list says of the three classes.
    pub(crate) fn mode(&self, mode: u16) -> u16 {
        let bits = |class: Class| self.of(class).map_or(0, |entry| entry.permissions);
        let classes = Class::ALL.map(|class| bits(class) << class.shift());
        (mode & !CLASS_BITS) | classes.iter().fold(0, |all, bits| all | bits)
    }

    /// Makes the list say what `mode` says of the three classes.
    pub(crate) fn follow(&mut self, mode: u16) {
        for class in Class::ALL {
            if let Some(entry) = self.of_mut(class) {
                entry.permissions = (mode >> class.shift()) & ALL_PERMISSIONS;
            }
        }
    }

    /// Takes away what `mode` does not have: the list of what is made with it, in a directory whose
    /// default this is.
    pub(crate) fn restrict(&mut self, mode: u16) {
        for class in Class::ALL {
            if let Some(entry) = self.of_mut(class) {
                entry.permissions &= mode >> class.shift();
            }
        }
    }

    /// The entry that a class of the mode is about.
    fn of(&self, class: Class) -> Option<&Entry> {
        let tagged = |tag| self.entries.iter().find(|entry| entry.tag == tag);
        class.tags().into_iter().find_map(tagged)
    }

    fn of_mut(&mut self, class: Class) -> Option<&mut Entry> {
        let tag = self.of(class)?.tag;
        self.entries.iter_mut().find(|entry| entry.tag == tag)
    }
}

fn is_beyond_mode(tag: Tag) -> bool {
    tag.is_named() || tag == Tag::Mask
}

/// The three that a mode knows.
#[derive(Clone, Copy)]
enum Class {
    Owner,
    Group,
    Others,
}

impl Class {
    const ALL: [Self; 3] = [Self::Owner, Self::Group, Self::Others];

    /// Where its bits are in a mode.
    fn shift(self) -> u32 {
        match self {
            Self::Owner => 6,
            Self::Group => 3,
            Self::Others => 0,
        }
    }

    /// The first of these that a list has speaks for the class.
    fn tags(self) -> [Tag; 2] {
        match self {
            Self::Owner => [Tag::Owner; 2],
            Self::Group => [Tag::Mask, Tag::OwningGroup],
            Self::Others => [Tag::Others; 2],
        }
    }
}

fn decode_entry(bytes: &[u8; ENTRY_LEN]) -> Option<Entry> {
    let [tag_0, tag_1, permissions_0, permissions_1, id @ ..] = *bytes;
    let number = u16::from_le_bytes([tag_0, tag_1]);
    let tag = Tag::ALL.into_iter().find(|tag| *tag as u16 == number)?;
    // What it says of those without names is nothing.
    let id = match tag.is_named() {
        true => Some(u32::from_le_bytes(id)).filter(|id| *id != NOBODY)?,
        false => NOBODY,
    };
    Some(Entry {
        tag,
        permissions: u16::from_le_bytes([permissions_0, permissions_1]),
        id,
    })
}

/// Says what makes `bytes` no list that is stored, if anything does.
pub(crate) fn stored_acl_problem(bytes: &[u8]) -> Option<&'static str> {
    match Acl::decode(bytes) {
        Ok(Some(acl)) if acl.encode() == bytes => None,
        Ok(Some(_)) => Some("is not in the one form that is stored"),
        Ok(None) => Some("has no entries"),
        Err(AclProblem::Version) => Some("is of an unknown version"),
        Err(AclProblem::Malformed | AclProblem::Incomplete) => {
            Some("is no list of who may do what")
        }
    }
}

/// Checks the lists among the attributes of an inode: that each is one, that the inode can have it,
/// and that it agrees with the mode.
///
/// # Errors
/// What is wrong with the first that is.
pub(crate) fn check_acls(kind: FileType, mode: u16, xattrs: &Xattrs) -> Result<(), FormatError> {
    let fields = Fields(Structure::Xattrs);
    if let Some(access) = xattrs.get(ACCESS_ACL) {
        check_access(fields, kind, mode, access)?;
    }
    let Some(default) = xattrs.get(DEFAULT_ACL) else {
        return Ok(());
    };
    if kind != FileType::Directory {
        return Err(fields.invalid("default ACL", "belongs to no directory"));
    }
    stored_acl_problem(default).map_or(Ok(()), |rule| Err(fields.invalid("default ACL", rule)))
}

fn check_access(
    fields: Fields,
    kind: FileType,
    mode: u16,
    access: &[u8],
) -> Result<(), FormatError> {
    let invalid = |rule| Err(fields.invalid("access ACL", rule));
    if let Some(rule) = stored_acl_problem(access) {
        return invalid(rule);
    }
    if kind == FileType::Symlink {
        return invalid("belongs to a symbolic link");
    }
    let Ok(Some(acl)) = Acl::decode(access) else {
        return invalid("is no list of who may do what");
    };
    if !acl.is_more_than_a_mode() {
        return invalid("says no more than the mode");
    }
    if acl.mode(mode) != mode {
        return invalid("does not agree with the mode");
    }
    Ok(())
}
