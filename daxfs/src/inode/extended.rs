//! The extended attributes of an inode in memory: names and values, sorted by name.
//!
//! Plain data: touches no device and takes no locks (the inode's latch guards it).

use crate::format::item::{Xattrs, xattr_blob_len};

/// The extended attributes of one inode, which may not be in memory yet.
pub(crate) struct Extended {
    /// `None`: not read from the medium yet.
    values: Option<Xattrs>,
    /// How long they are together, as the medium has them.
    bytes: u32,
    is_changed: bool,
}

impl Extended {
    /// None at all.
    pub(crate) fn empty() -> Self {
        Self {
            values: Some(Xattrs::new()),
            bytes: 0,
            is_changed: false,
        }
    }

    /// Those on the medium.
    pub(super) fn stored(bytes: u32) -> Self {
        Self {
            values: None,
            bytes,
            is_changed: false,
        }
    }

    /// The attributes, if they are in memory.
    pub(crate) fn values(&self) -> Option<&Xattrs> {
        self.values.as_ref()
    }

    /// Puts in the attributes read from the medium, unless they are there.
    pub(crate) fn load(&mut self, values: Xattrs) {
        self.values.get_or_insert(values);
    }

    /// Sets an attribute, or with `None` removes it. They must be in memory.
    pub(crate) fn put(&mut self, name: &[u8], value: Option<&[u8]>) {
        debug_assert!(self.values.is_some(), "changed before they were read");
        let values = self.values.get_or_insert_default();
        self.is_changed = true;
        match value {
            Some(value) => values.insert(name.to_vec(), value.to_vec()),
            None => values.remove(name),
        };
        // At most 64 KiB: whoever sets one has looked.
        self.bytes = xattr_blob_len(values) as u32;
    }

    /// How long they are together, as the medium has or will have them.
    pub(crate) fn stored_bytes(&self) -> u32 {
        self.bytes
    }

    /// Whether they changed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    pub(super) fn restore_changed(&mut self) {
        self.is_changed = true;
    }
}
