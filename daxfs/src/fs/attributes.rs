//! Changing attributes: owners, permission bits, times, and extended attributes.
//!
//! # Locking
//! A transaction, and inside it the order of attribute changes, so that what is checked stays so
//! until it is changed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::SystemTime;

use super::acl::{AclKind, access_acl, following_acl};
use super::mounted::Mounted;
use super::namespace::SET_GROUP_ID;
use crate::error::{AttributeProblem, Error, Result};
use crate::format::FileType;
use crate::format::item::{MAXIMUM_XATTR_BYTES, MAXIMUM_XATTR_NAME_BYTES, xattr_blob_len};
use crate::format::record::Record;
use crate::inode::Inode;
use crate::inode::attributes::{now, to_timestamp};

/// Which attributes to change; those that are `None` stay.
///
/// ```
/// use daxfs::SetAttributes;
///
/// let private = SetAttributes { mode: Some(0o600), ..SetAttributes::default() };
/// # let _ = private;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttributes {
    /// Permission bits; others are ignored.
    pub mode: Option<u16>,
    /// The owning user.
    pub uid: Option<u32>,
    /// The owning group.
    pub gid: Option<u32>,
    /// When the content was last read.
    pub accessed: Option<SystemTime>,
    /// When the content last changed.
    pub modified: Option<SystemTime>,
}

/// What setting an extended attribute does when there is one of that name, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SetMode {
    /// Sets it in both cases.
    #[default]
    CreateOrReplace,
    /// Fails when there is one (`XATTR_CREATE`).
    Create,
    /// Fails when there is none (`XATTR_REPLACE`).
    Replace,
}

impl Mounted {
    /// Changes attributes in one step; the time of change becomes now.
    pub(super) fn set_attributes(&self, inode: &Inode, change: &SetAttributes) -> Result<()> {
        let record = |mode, access_acl| Record::SetAttributes {
            inode: inode.number(),
            mode,
            uid: change.uid,
            gid: change.gid,
            accessed: change.accessed.map(to_timestamp),
            modified: change.modified.map(to_timestamp),
            changed: Some(now()),
            access_acl,
        };
        self.volume.load_extended(inode)?;
        loop {
            let longest = record(Some(0), access_acl(inode)).encoded_len();
            let mut transaction = self.volume.begin(longest)?;
            let _order = self.volume.attribute_order();
            let mode = new_mode(inode, change);
            let record = record(mode, following_acl(inode, mode)?);
            // Otherwise somebody has made the list longer meanwhile.
            if record.encoded_len() <= longest {
                return transaction.commit(&record);
            }
        }
    }

    /// The value of an extended attribute. `path` is for messages.
    pub(super) fn extended(&self, inode: &Inode, name: &OsStr, path: &Path) -> Result<Vec<u8>> {
        check_attribute(inode, name, Use::Look, path)?;
        self.volume.load_extended(inode)?;
        let value = inode.extended(|extended| {
            let values = extended.values();
            values.and_then(|values| values.get(name.as_bytes()).cloned())
        });
        value.ok_or_else(|| no_attribute(path, name))
    }

    /// The names of all extended attributes, in ascending order of their bytes.
    pub(super) fn extended_names(&self, inode: &Inode) -> Result<Vec<OsString>> {
        self.volume.load_extended(inode)?;
        let names = inode.extended(|extended| {
            let values = extended.values();
            values.map(|values| values.keys().cloned().map(OsString::from_vec).collect())
        });
        Ok(names.unwrap_or_default())
    }

    /// Sets an extended attribute.
    pub(super) fn set_extended(
        &self,
        inode: &Inode,
        name: &OsStr,
        value: &[u8],
        mode: SetMode,
        path: &Path,
    ) -> Result<()> {
        check_attribute(inode, name, Use::Change, path)?;
        if let Some(kind) = AclKind::of(name) {
            // As on Linux, whatever `mode` says.
            return self.set_acl(inode, kind, value, path);
        }
        self.put_extended(inode, name, value, mode, path)
    }

    /// The same for an attribute whose value is whatever it is.
    pub(super) fn put_extended(
        &self,
        inode: &Inode,
        name: &OsStr,
        value: &[u8],
        mode: SetMode,
        path: &Path,
    ) -> Result<()> {
        self.volume.load_extended(inode)?;
        self.volume.allocator.grow_reserve(1)?;
        let record = Record::SetXattr {
            inode: inode.number(),
            name: name.as_bytes().to_vec(),
            value: value.to_vec(),
            time: now(),
        };
        let mut transaction = self.volume.begin(record.encoded_len())?;
        let _order = self.volume.attribute_order();
        let values = inode.extended(|extended| extended.values().cloned());
        let mut values = values.unwrap_or_default();
        let before = values.insert(name.as_bytes().to_vec(), value.to_vec());
        match (mode, before) {
            (SetMode::Create, Some(_)) => {
                return Err(Error::AttributeExists {
                    path: path.to_path_buf(),
                    name: name.to_os_string(),
                });
            }
            (SetMode::Replace, None) => return Err(no_attribute(path, name)),
            _ => {}
        }
        check_room(&values, name, path)?;
        transaction.commit(&record)
    }

    /// Removes an extended attribute.
    pub(super) fn remove_extended(&self, inode: &Inode, name: &OsStr, path: &Path) -> Result<()> {
        check_attribute(inode, name, Use::Change, path)?;
        if let Some(kind) = AclKind::of(name) {
            return self.set_acl(inode, kind, &[], path);
        }
        self.take_extended(inode, name, path)
    }

    /// The same for an attribute whose value is whatever it is.
    pub(super) fn take_extended(&self, inode: &Inode, name: &OsStr, path: &Path) -> Result<()> {
        self.volume.load_extended(inode)?;
        let record = Record::RemoveXattr {
            inode: inode.number(),
            name: name.as_bytes().to_vec(),
            time: now(),
        };
        let mut transaction = self.volume.begin(record.encoded_len())?;
        let _order = self.volume.attribute_order();
        self.extended(inode, name, path)?;
        transaction.commit(&record)
    }
}

fn no_attribute(path: &Path, name: &OsStr) -> Error {
    Error::NoAttribute {
        path: path.to_path_buf(),
        name: name.to_os_string(),
    }
}

pub(super) fn invalid(path: &Path, name: &OsStr, reason: AttributeProblem) -> Error {
    Error::InvalidAttribute {
        path: path.to_path_buf(),
        name: name.to_os_string(),
        reason,
    }
}

/// The permission bits after `change`, if they change.
fn new_mode(inode: &Inode, change: &SetAttributes) -> Option<u16> {
    const SET_USER_ID: u16 = 0o4000;
    const SET_GROUP_ID_AND_GROUP_MAY_RUN: u16 = 0o2010;
    let has_new_owner = change.uid.is_some() || change.gid.is_some();
    match change.mode {
        Some(mode) => Some(mode & 0o7777),
        // As on Linux, for root too: what runs as its owner was not made to run as another.
        None if has_new_owner && inode.kind() != FileType::Directory => {
            let before = inode.attributes().mode;
            let mut mode = before & !SET_USER_ID;
            if mode & SET_GROUP_ID_AND_GROUP_MAY_RUN == SET_GROUP_ID_AND_GROUP_MAY_RUN {
                mode &= !SET_GROUP_ID;
            }
            (mode != before).then_some(mode)
        }
        None => None,
    }
}

/// Checks what can be said of an extended attribute before anybody knows whose it is.
///
/// # Errors
/// [`Error::InvalidAttribute`].
pub(super) fn check_lengths(name: &OsStr, value: &[u8], path: &Path) -> Result<()> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > MAXIMUM_XATTR_NAME_BYTES || bytes.contains(&0) {
        return Err(invalid(path, name, AttributeProblem::NameLength));
    }
    if value.len() > MAXIMUM_XATTR_BYTES {
        return Err(invalid(path, name, AttributeProblem::ValueLength));
    }
    Ok(())
}

/// What an extended attribute is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Look,
    Change,
}

fn check_attribute(inode: &Inode, name: &OsStr, wanted: Use, path: &Path) -> Result<()> {
    const PREFIXES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    let bytes = name.as_bytes();
    if AclKind::of(name).is_some() {
        return Ok(());
    }
    let has_users = matches!(inode.kind(), FileType::File | FileType::Directory);
    if bytes.starts_with(b"user.") && !has_users {
        return Err(match wanted {
            Use::Look => no_attribute(path, name),
            Use::Change => invalid(path, name, AttributeProblem::NoUserAttributes),
        });
    }
    match PREFIXES.iter().find(|prefix| bytes.starts_with(prefix)) {
        Some(prefix) if bytes.len() > prefix.len() => Ok(()),
        Some(_) => Err(invalid(path, name, AttributeProblem::OnlyPrefix)),
        None => Err(invalid(path, name, AttributeProblem::UnknownPrefix)),
    }
}

pub(super) fn check_room(
    values: &BTreeMap<Vec<u8>, Vec<u8>>,
    name: &OsStr,
    path: &Path,
) -> Result<()> {
    if xattr_blob_len(values) > MAXIMUM_XATTR_BYTES {
        return Err(invalid(path, name, AttributeProblem::NoRoom));
    }
    Ok(())
}
