//! Records of attributes. See the [module above](super).

use super::{Applied, Model, impossible};
use crate::format::acl::ACCESS_ACL;
use crate::format::item::chunk::chunks;
use crate::format::item::xattr::{
    MAXIMUM_XATTR_BYTES, Xattrs, decode_xattrs, encode_xattrs, xattr_blob_len,
};
use crate::format::item::{ItemKind, Key};
use crate::format::record::Record;

impl Model<'_, '_> {
    pub(super) fn apply_to_attributes(&mut self, record: &Record) -> Applied {
        match record {
            Record::SetAttributes {
                inode,
                mode,
                uid,
                gid,
                accessed,
                modified,
                changed,
                access_acl,
            } => {
                self.change(*inode, |inode| {
                    inode.mode = mode.unwrap_or(inode.mode);
                    inode.uid = uid.unwrap_or(inode.uid);
                    inode.gid = gid.unwrap_or(inode.gid);
                    inode.accessed = accessed.unwrap_or(inode.accessed);
                    inode.modified = modified.unwrap_or(inode.modified);
                    inode.changed = changed.unwrap_or(inode.changed);
                })?;
                self.set_access_acl(*inode, access_acl.as_deref())
            }
            Record::SetXattr {
                inode,
                name,
                value,
                time,
            } => {
                self.change_xattrs(*inode, |xattrs| {
                    xattrs.insert(name.clone(), value.clone());
                })?;
                self.change(*inode, |inode| inode.changed = *time)
            }
            Record::RemoveXattr { inode, name, time } => {
                self.change_xattrs(*inode, |xattrs| {
                    xattrs.remove(name);
                })?;
                self.change(*inode, |inode| inode.changed = *time)
            }
            _ => Ok(()),
        }
    }

    fn set_access_acl(&mut self, number: u64, acl: Option<&[u8]>) -> Applied {
        match acl {
            None => Ok(()),
            Some([]) => self.change_xattrs(number, |xattrs| {
                xattrs.remove(ACCESS_ACL);
            }),
            Some(acl) => self.change_xattrs(number, |xattrs| {
                xattrs.insert(ACCESS_ACL.to_vec(), acl.to_vec());
            }),
        }
    }

    fn change_xattrs(&mut self, number: u64, change: impl FnOnce(&mut Xattrs)) -> Applied {
        let mut inode = self.inode(number)?;
        let keys = Key::range_of_kind(number, ItemKind::XattrChunk);
        let stored = self.items.range(keys.clone())?;
        let blob = stored.into_iter().flat_map(|(_, chunk)| chunk);
        let mut xattrs = match decode_xattrs(&blob.collect::<Vec<_>>()) {
            Ok(xattrs) => xattrs,
            Err(error) => return impossible(format!("inode {number}: {error}")),
        };
        change(&mut xattrs);
        if xattr_blob_len(&xattrs) > MAXIMUM_XATTR_BYTES {
            return impossible(format!(
                "inode {number} gets more attributes than one can have"
            ));
        }
        let blob = encode_xattrs(&xattrs);
        self.items.remove_range(keys)?;
        for (chunk, bytes) in chunks(&blob) {
            let key = Key::new(number, ItemKind::XattrChunk, chunk);
            self.items.put(key, bytes.to_vec());
        }
        inode.xattr_bytes = blob.len() as u32;
        self.put_inode(number, &inode);
        Ok(())
    }
}
