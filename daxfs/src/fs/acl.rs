//! POSIX access control lists: the two extended attributes that mean something to the filesystem.
//!
//! Nobody's permissions are checked here, which is for whoever serves the files; but the lists are
//! kept as Linux keeps them: an access list and the permission bits say the same, and what is made
//! in a directory begins with the directory's default.
//!
//! # Locking
//! As [`attributes`](super::attributes): a transaction, and inside it the order of attribute
//! changes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::attributes::{SetMode, check_room, invalid};
use super::mounted::Mounted;
use crate::error::{AttributeProblem, Error, Result};
use crate::format::acl::{ACCESS_ACL, Acl, AclProblem, DEFAULT_ACL};
use crate::format::item::{Xattrs, encode_xattrs};
use crate::format::record::Record;
use crate::format::{FileType, Structure};
use crate::inode::Inode;
use crate::inode::attributes::now;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AclKind {
    /// Who may do what with the inode.
    Access,
    /// What is made in the directory begins with it.
    Default,
}

impl AclKind {
    /// The one that is kept in the attribute `name`.
    pub(super) fn of(name: &OsStr) -> Option<Self> {
        match name.as_bytes() {
            ACCESS_ACL => Some(Self::Access),
            DEFAULT_ACL => Some(Self::Default),
            _ => None,
        }
    }

    fn name(self) -> &'static OsStr {
        OsStr::from_bytes(match self {
            Self::Access => ACCESS_ACL,
            Self::Default => DEFAULT_ACL,
        })
    }
}

impl Mounted {
    /// Sets a list, or with a `value` without entries removes it, which may not be there.
    pub(super) fn set_acl(
        &self,
        inode: &Inode,
        kind: AclKind,
        value: &[u8],
        path: &Path,
    ) -> Result<()> {
        let can_have_it = kind == AclKind::Access || inode.kind() == FileType::Directory;
        // As Linux looks at it: first the form, then whose it is, then what it says.
        let acl = match Acl::decode(value) {
            Ok(None) => Ok(None),
            Err(AclProblem::Version) => Err(AttributeProblem::AclVersion),
            Err(AclProblem::Malformed) => Err(AttributeProblem::MalformedAcl),
            _ if !can_have_it => Err(AttributeProblem::NoDefaultAcl),
            Err(AclProblem::Incomplete) => Err(AttributeProblem::MalformedAcl),
            Ok(Some(acl)) => Ok(Some(acl)),
        };
        match (
            kind,
            acl.map_err(|problem| invalid(path, kind.name(), problem))?,
        ) {
            (AclKind::Access, acl) => self.set_access_acl(inode, acl.as_ref(), path),
            (AclKind::Default, Some(acl)) => {
                let (name, value) = (kind.name(), acl.encode());
                self.put_extended(inode, name, &value, SetMode::CreateOrReplace, path)
            }
            (AclKind::Default, None) => match self.take_extended(inode, kind.name(), path) {
                Err(Error::NoAttribute { .. }) => Ok(()),
                removed => removed,
            },
        }
    }

    /// The permission bits follow; a list that says no more than they do is not kept.
    fn set_access_acl(&self, inode: &Inode, acl: Option<&Acl>, path: &Path) -> Result<()> {
        self.volume.load_extended(inode)?;
        self.volume.allocator.grow_reserve(1)?;
        let kept = acl.filter(|acl| acl.is_more_than_a_mode());
        let value = kept.map(Acl::encode).unwrap_or_default();
        let record = |mode| Record::SetAttributes {
            inode: inode.number(),
            mode,
            uid: None,
            gid: None,
            accessed: None,
            modified: None,
            changed: Some(now()),
            access_acl: Some(value.clone()),
        };
        let mut transaction = self.volume.begin(record(Some(0)).encoded_len())?;
        let _order = self.volume.attribute_order();
        let before = inode.attributes().mode;
        let mode = acl.map_or(before, |acl| acl.mode(before));
        let new_mode = (mode != before).then_some(mode);
        if value.is_empty() && new_mode.is_none() && access_acl(inode).is_none() {
            return Ok(());
        }
        let mut values = inode.extended(|extended| extended.values().cloned().unwrap_or_default());
        if !value.is_empty() {
            values.insert(ACCESS_ACL.to_vec(), value.clone());
            check_room(&values, AclKind::Access.name(), path)?;
        }
        transaction.commit(&record(new_mode))
    }

    /// The permission bits of what is made in `parent`, which were to be `mode`, and the attributes
    /// that it begins with.
    pub(super) fn inherited_acls(
        &self,
        parent: &Inode,
        kind: FileType,
        mode: u16,
    ) -> Result<(u16, Vec<u8>)> {
        if kind == FileType::Symlink {
            return Ok((mode, Vec::new()));
        }
        self.volume.load_extended(parent)?;
        let Some(default) = value(parent, DEFAULT_ACL) else {
            return Ok((mode, Vec::new()));
        };
        let mut acl = decode_stored(parent, &default)?;
        acl.restrict(mode);
        let mut xattrs = Xattrs::new();
        if acl.is_more_than_a_mode() {
            xattrs.insert(ACCESS_ACL.to_vec(), acl.encode());
        }
        if kind == FileType::Directory {
            xattrs.insert(DEFAULT_ACL.to_vec(), default);
        }
        check_room(&xattrs, AclKind::Default.name(), Path::new(""))?;
        Ok((acl.mode(mode), encode_xattrs(&xattrs)))
    }
}

/// The access list of an inode whose extended attributes are in memory.
pub(super) fn access_acl(inode: &Inode) -> Option<Vec<u8>> {
    value(inode, ACCESS_ACL)
}

/// What an inode's access list becomes with new permission bits; `None` when it stays, or there is
/// none. The extended attributes are in memory.
pub(super) fn following_acl(inode: &Inode, mode: Option<u16>) -> Result<Option<Vec<u8>>> {
    let (Some(mode), Some(stored)) = (mode, access_acl(inode)) else {
        return Ok(None);
    };
    let mut acl = decode_stored(inode, &stored)?;
    acl.follow(mode);
    let followed = acl.encode();
    Ok((followed != stored).then_some(followed))
}

fn value(inode: &Inode, name: &[u8]) -> Option<Vec<u8>> {
    inode.extended(|extended| extended.values()?.get(name).cloned())
}

fn decode_stored(inode: &Inode, stored: &[u8]) -> Result<Acl> {
    match Acl::decode(stored) {
        Ok(Some(acl)) => Ok(acl),
        _ => Err(Error::Corrupt {
            structure: Structure::Xattrs.name(),
            block: 0,
            problem: format!("inode {}: an access control list is none", inode.number()),
        }),
    }
}
