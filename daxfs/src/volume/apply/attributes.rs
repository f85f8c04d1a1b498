//! Attributes of all kinds. See the [module above](super) for locking.

use super::super::Volume;
use crate::error::Result;
use crate::format::Timestamp;
use crate::format::acl::ACCESS_ACL;
use crate::format::record::Record;
use crate::inode::Inode;
use crate::inode::attributes::from_timestamp;

pub(super) fn set(volume: &Volume, record: &Record) -> Result<()> {
    let Record::SetAttributes {
        inode,
        mode,
        uid,
        gid,
        accessed,
        modified,
        changed,
        ref access_acl,
    } = *record
    else {
        return Ok(());
    };
    let inode = volume.inode(inode)?;
    if let Some(acl) = access_acl {
        let value = (!acl.is_empty()).then_some(acl.as_slice());
        put_extended(volume, &inode, ACCESS_ACL, value)?;
    }
    inode.change_attributes(|attributes| {
        attributes.mode = mode.unwrap_or(attributes.mode);
        attributes.uid = uid.unwrap_or(attributes.uid);
        attributes.gid = gid.unwrap_or(attributes.gid);
        let time = |new: Option<Timestamp>, old| new.map_or(old, from_timestamp);
        attributes.accessed = time(accessed, attributes.accessed);
        attributes.modified = time(modified, attributes.modified);
        attributes.changed = time(changed, attributes.changed);
    });
    volume.inodes.mark_changed(&inode);
    Ok(())
}

/// Sets an extended attribute, or removes it.
pub(super) fn set_extended(
    volume: &Volume,
    number: u64,
    name: &[u8],
    value: Option<&[u8]>,
    time: Timestamp,
) -> Result<()> {
    let inode = volume.inode(number)?;
    put_extended(volume, &inode, name, value)?;
    inode.touch_changed(time);
    volume.inodes.mark_changed(&inode);
    Ok(())
}

fn put_extended(volume: &Volume, inode: &Inode, name: &[u8], value: Option<&[u8]>) -> Result<()> {
    volume.load_extended(inode)?;
    inode.extended(|extended| extended.put(name, value));
    Ok(())
}
