//! Attributes, as users ask for them: by path. What is done then is in
//! [`attributes`](super::attributes).
//!
//! # Locking
//! That of the module named above.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::attributes::check_lengths;
use super::walk::LastLink;
use super::{Filesystem, Metadata, SetAttributes, SetMode};
use crate::error::{Error, Result};
use crate::inode::Body;

impl Filesystem {
    /// What is known of what `path` names, through symbolic links.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::TooManyLinks`],
    /// [`Error::InvalidPath`].
    pub fn metadata(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        let inode = self.mounted.find(path.as_ref(), LastLink::Follow)?;
        Ok(Metadata::of(&inode))
    }

    /// The same, of a symbolic link itself if `path` names one.
    ///
    /// # Errors
    /// As [`Filesystem::metadata`].
    pub fn symlink_metadata(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        let inode = self.mounted.find(path.as_ref(), LastLink::Keep)?;
        Ok(Metadata::of(&inode))
    }

    /// Changes attributes of what `path` names, through symbolic links, in one step. New owners
    /// take the set-user-ID and set-group-ID bits away from anything but a directory, unless
    /// `change` says which bits there are.
    ///
    /// # Errors
    /// As [`Filesystem::metadata`]; [`Error::ReadOnly`], [`Error::Device`].
    pub fn set_attributes(&self, path: impl AsRef<Path>, change: &SetAttributes) -> Result<()> {
        self.mounted.check_writable("set_attributes")?;
        let inode = self.mounted.find(path.as_ref(), LastLink::Follow)?;
        self.mounted.set_attributes(&inode, change)
    }

    /// The same, of a symbolic link itself if `path` names one.
    ///
    /// # Errors
    /// As [`Filesystem::set_attributes`]; [`Error::NotSupported`] for the permission bits of a
    /// symbolic link.
    pub fn symlink_set_attributes(
        &self,
        path: impl AsRef<Path>,
        change: &SetAttributes,
    ) -> Result<()> {
        self.mounted.check_writable("symlink_set_attributes")?;
        let path = path.as_ref();
        let inode = self.mounted.find(path, LastLink::Keep)?;
        if change.mode.is_some() && matches!(inode.body(), Body::SymbolicLink(_)) {
            return Err(Error::NotSupported {
                path: path.to_path_buf(),
                reason: "nobody looks at the permission bits of a symbolic link",
            });
        }
        self.mounted.set_attributes(&inode, change)
    }

    /// The value of an extended attribute. (POSIX access control lists are the attributes
    /// `system.posix_acl_access` and `system.posix_acl_default`, in the bytes that Linux has for
    /// them.)
    ///
    /// # Errors
    /// [`Error::NoAttribute`], [`Error::InvalidAttribute`] for a name that nothing can have, and as
    /// [`Filesystem::metadata`].
    pub fn extended_attribute(
        &self,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
    ) -> Result<Vec<u8>> {
        let (path, name) = (path.as_ref(), name.as_ref());
        check_lengths(name, &[], path)?;
        let inode = self.mounted.find(path, LastLink::Follow)?;
        self.mounted.extended(&inode, name, path)
    }

    /// The names of all extended attributes, in ascending order of their bytes.
    ///
    /// # Errors
    /// As [`Filesystem::metadata`].
    pub fn extended_attributes(&self, path: impl AsRef<Path>) -> Result<Vec<OsString>> {
        let inode = self.mounted.find(path.as_ref(), LastLink::Follow)?;
        self.mounted.extended_names(&inode)
    }

    /// Sets an extended attribute, in one step.
    ///
    /// An access control list changes the permission bits with it, as changing those changes the
    /// list; it is not kept when it says no more than they do, and a list without entries removes
    /// the one that is there. What is made in a directory begins with its default list. All as on
    /// Linux, where `mode` says nothing for them either; but that nobody's permissions are checked.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice, SetMode};
    ///
    /// let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
    /// Filesystem::format(&device, &FormatOptions::default())?;
    /// let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
    /// fs.create("/notes")?;
    ///
    /// // Version 2; then whom (owner, the user 5, group, mask, others), what, and who that is.
    /// let mut acl = 2_u32.to_le_bytes().to_vec();
    /// for (tag, permissions, id) in [
    ///     (1_u16, 6_u16, u32::MAX),
    ///     (2, 6, 5),
    ///     (4, 4, u32::MAX),
    ///     (16, 6, u32::MAX),
    ///     (32, 0, u32::MAX),
    /// ] {
    ///     acl.extend(tag.to_le_bytes());
    ///     acl.extend(permissions.to_le_bytes());
    ///     acl.extend(id.to_le_bytes());
    /// }
    /// let name = "system.posix_acl_access";
    /// fs.set_extended_attribute("/notes", name, &acl, SetMode::CreateOrReplace)?;
    /// assert_eq!(fs.metadata("/notes")?.mode, 0o660);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidAttribute`], [`Error::AttributeExists`] and [`Error::NoAttribute`] as `mode`
    /// says, [`Error::NoSpace`], [`Error::ReadOnly`], and as [`Filesystem::metadata`].
    pub fn set_extended_attribute(
        &self,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        value: &[u8],
        mode: SetMode,
    ) -> Result<()> {
        self.mounted.check_writable("set_extended_attribute")?;
        let (path, name) = (path.as_ref(), name.as_ref());
        check_lengths(name, value, path)?;
        let inode = self.mounted.find(path, LastLink::Follow)?;
        let volume = &self.mounted.volume;
        volume.with_reclaim(|| self.mounted.set_extended(&inode, name, value, mode, path))
    }

    /// Removes an extended attribute. The permission bits stay when it is an access control list.
    ///
    /// # Errors
    /// [`Error::NoAttribute`], but not for an access control list, as on Linux;
    /// [`Error::InvalidAttribute`] for a name that nothing can have, [`Error::ReadOnly`], and as
    /// [`Filesystem::metadata`].
    pub fn remove_extended_attribute(
        &self,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
    ) -> Result<()> {
        self.mounted.check_writable("remove_extended_attribute")?;
        let (path, name) = (path.as_ref(), name.as_ref());
        check_lengths(name, &[], path)?;
        let inode = self.mounted.find(path, LastLink::Follow)?;
        self.mounted.remove_extended(&inode, name, path)
    }
}
