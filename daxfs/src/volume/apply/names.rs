//! Inodes that get, lose and move names. See the [module above](super) for locking.

use std::sync::Arc;

use super::super::Volume;
use super::{content, impossible};
use crate::directory::{Directory, Entry, LoadedDirectory, Target};
use crate::error::Result;
use crate::format::item::decode_xattrs;
use crate::format::record::{self, Disposition, Record};
use crate::format::{FileType, Timestamp};
use crate::inode::{Attributes, Body, FileBody, Inode};

pub(super) fn create(volume: &Volume, record: &Record) -> Result<()> {
    let Record::Create {
        parent,
        position,
        name,
        inode: number,
        kind,
        mode,
        uid,
        gid,
        rdev,
        time,
        target,
        links,
        xattrs,
    } = record
    else {
        return Ok(());
    };
    let body = match kind {
        FileType::File => Body::File(FileBody::empty()),
        FileType::Directory => Body::Directory(Directory::empty(*parent)),
        FileType::Symlink => Body::SymbolicLink(target.as_slice().into()),
        FileType::Fifo => Body::Fifo,
        FileType::Socket => Body::Socket,
        FileType::CharacterDevice => Body::CharacterDevice(*rdev),
        FileType::BlockDevice => Body::BlockDevice(*rdev),
    };
    let attributes = Attributes::new(*mode, *uid, *gid, *time);
    let inode = Inode::new(*number, body, *links, attributes);
    let xattrs = decode_xattrs(xattrs).map_err(|error| impossible(error.to_string()))?;
    for (name, value) in &xattrs {
        inode.extended(|extended| extended.put(name, Some(value)));
    }
    if volume.inodes.insert(inode).is_none() {
        return Err(impossible(format!("inode {number} is there already")));
    }
    if *links == 0 {
        volume.inodes.add_orphan(*number);
        return Ok(());
    }
    let target = Target {
        inode: *number,
        kind: *kind,
    };
    add_name(volume, (*parent, *position, name), target, *time)
}

pub(super) fn link(
    volume: &Volume,
    place: (u64, u64, &[u8]),
    number: u64,
    time: Timestamp,
) -> Result<()> {
    let inode = volume.inode(number)?;
    if inode.links() == 0 {
        volume.inodes.remove_orphan(number);
    }
    inode.set_links(inode.links().saturating_add(1));
    inode.touch_changed(time);
    volume.inodes.mark_changed(&inode);
    let target = Target {
        inode: number,
        kind: inode.kind(),
    };
    add_name(volume, place, target, time)
}

pub(super) fn unlink(
    volume: &Volume,
    (directory, position): (u64, u64),
    number: u64,
    disposition: Disposition,
    time: Timestamp,
) -> Result<()> {
    let parent = volume.inode(directory)?;
    let removed = volume
        .directory(&parent)?
        .change(|names| names.remove(position));
    if removed.is_none_or(|entry| entry.target.inode != number) {
        return Err(impossible(format!(
            "directory {directory} has no name of inode {number} at {position}"
        )));
    }
    touch_directory(volume, &parent, time);
    drop_name(volume, &parent, number, disposition, time)
}

/// Moves a name, and drops what it takes the place of.
pub(super) fn rename(volume: &Volume, record: &Record) -> Result<()> {
    let Record::Rename {
        from_directory,
        from_position,
        to_directory,
        to_position,
        to_name,
        inode,
        replaced_inode,
        disposition,
        time,
    } = record
    else {
        return Ok(());
    };
    let from = volume.inode(*from_directory)?;
    let to = volume.inode(*to_directory)?;
    let moved = volume.inode(*inode)?;
    let target = Target {
        inode: *inode,
        kind: moved.kind(),
    };
    let entry = Entry {
        name: to_name.as_slice().into(),
        target,
    };
    let (left, replaced) = if from.number() == to.number() {
        volume.directory(&to)?.change(|names| {
            let left = names.remove(*from_position);
            (left, names.put(*to_position, entry))
        })
    } else {
        // Seen from outside, the name is in two places for a moment, and never in none.
        let put = |names: &mut crate::directory::Names| names.put(*to_position, entry);
        let replaced = volume.directory(&to)?.change(put);
        let take = |names: &mut crate::directory::Names| names.remove(*from_position);
        (volume.directory(&from)?.change(take), replaced)
    };
    let replaced = replaced.map_or(0, |entry| entry.target.inode);
    if left.is_none_or(|entry| entry.target != target) || replaced != *replaced_inode {
        return Err(impossible(format!(
            "inode {inode} does not move from where it was to where it went"
        )));
    }
    touch_directory(volume, &from, *time);
    touch_directory(volume, &to, *time);
    moved.touch_changed(*time);
    volume.inodes.mark_changed(&moved);
    change_parent(volume, &moved, &from, &to);
    match replaced {
        0 => Ok(()),
        replaced => drop_name(volume, &to, replaced, *disposition, *time),
    }
}

pub(super) fn exchange(
    volume: &Volume,
    places: [&record::Entry; 2],
    time: Timestamp,
) -> Result<()> {
    let parents = [
        volume.inode(places[0].directory)?,
        volume.inode(places[1].directory)?,
    ];
    let directories = [
        volume.directory(&parents[0])?,
        volume.directory(&parents[1])?,
    ];
    let targets = [
        target_at(&directories[0], places[0])?,
        target_at(&directories[1], places[1])?,
    ];
    set_target(&directories[0], places[0].position, targets[1]);
    set_target(&directories[1], places[1].position, targets[0]);
    for (target, from, to) in [
        (targets[0], &parents[0], &parents[1]),
        (targets[1], &parents[1], &parents[0]),
    ] {
        let moved = volume.inode(target.inode)?;
        moved.touch_changed(time);
        volume.inodes.mark_changed(&moved);
        change_parent(volume, &moved, from, to);
    }
    for parent in &parents {
        touch_directory(volume, parent, time);
    }
    Ok(())
}

fn target_at(directory: &LoadedDirectory<'_>, place: &record::Entry) -> Result<Target> {
    directory
        .change(|names| names.at(place.position).map(|entry| entry.target))
        .filter(|target| target.inode == place.inode)
        .ok_or_else(|| {
            impossible(format!(
                "inode {} has no name at {}",
                place.inode, place.position
            ))
        })
}

fn set_target(directory: &LoadedDirectory<'_>, position: u64, target: Target) {
    directory.change(|names| {
        if let Some(entry) = names.at(position).cloned() {
            names.put(position, Entry { target, ..entry });
        }
    });
}

fn add_name(
    volume: &Volume,
    (directory, position, name): (u64, u64, &[u8]),
    target: Target,
    time: Timestamp,
) -> Result<()> {
    let parent = volume.inode(directory)?;
    let entry = Entry {
        name: name.into(),
        target,
    };
    let before = volume
        .directory(&parent)?
        .change(|names| names.put(position, entry));
    if before.is_some() {
        return Err(impossible(format!(
            "directory {directory} has a name at {position}"
        )));
    }
    if target.kind == FileType::Directory {
        parent.set_links(parent.links().saturating_add(1));
    }
    touch_directory(volume, &parent, time);
    Ok(())
}

/// An inode has lost a name in `parent`.
fn drop_name(
    volume: &Volume,
    parent: &Arc<Inode>,
    number: u64,
    disposition: Disposition,
    time: Timestamp,
) -> Result<()> {
    let inode = volume.inode(number)?;
    if inode.directory().is_some() {
        parent.set_links(parent.links().saturating_sub(1));
        inode.set_links(0);
    } else {
        inode.set_links(inode.links().saturating_sub(1));
    }
    inode.touch_changed(time);
    match disposition {
        Disposition::Kept => volume.inodes.mark_changed(&inode),
        Disposition::Orphaned => {
            volume.inodes.add_orphan(number);
            volume.inodes.mark_changed(&inode);
        }
        Disposition::Freed => content::remove_inode(volume, &inode)?,
    }
    Ok(())
}

/// A directory that moves to another one takes its link to the parent along.
fn change_parent(volume: &Volume, moved: &Arc<Inode>, from: &Arc<Inode>, to: &Arc<Inode>) {
    let Some(directory) = moved.directory() else {
        return;
    };
    if from.number() != to.number() {
        from.set_links(from.links().saturating_sub(1));
        to.set_links(to.links().saturating_add(1));
        directory.set_parent(to.number());
        volume.inodes.mark_changed(moved);
    }
}

fn touch_directory(volume: &Volume, directory: &Arc<Inode>, time: Timestamp) {
    directory.touch(time);
    volume.inodes.mark_changed(directory);
}
