//! Attributes of all kinds. See the [module above](super) for locking.

use super::super::Volume;
use crate::error::Result;
use crate::format::Timestamp;
use crate::format::record::Record;
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
    } = *record
    else {
        return Ok(());
    };
    let inode = volume.inode(inode)?;
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
    volume.load_extended(&inode)?;
    inode.extended(|extended| extended.put(name, value));
    inode.touch_changed(time);
    volume.inodes.mark_changed(&inode);
    Ok(())
}
