//! From an image to a mounted filesystem: superblock, free space, and the log since the last
//! checkpoint.
//!
//! Inodes are not read here but when somebody asks for them, so what a mount costs follows what is
//! in the log (and, at a few bytes for each 2 MiB, the size of the image). A replay makes true in
//! memory what the records say, by the code that made it true when they were written; it writes
//! nothing, so a crash during it changes nothing, and a mount for reading can do it as well. (Only
//! bytes that a crash may have torn, in the mode `atomic`, are then written again.)
//!
//! Takes no locks but latches: nobody else can reach the volume yet.

use std::sync::Arc;

use daxfs_pmem::{Device, DeviceAccess, HUGE_PAGE_BYTES, Persistence};

use super::checkpoint::Stored;
use super::options::{MountAccess, MountOptions};
use super::superblock::read_superblock;
use crate::allocation::{Allocator, DataUnit};
use crate::error::{Error, Result};
use crate::format::geometry::{ROOT_INODE, SUPERBLOCK_BLOCKS};
use crate::format::record::{Lsn, Record};
use crate::format::{DirectoryHash, FileType, Structure, Superblock, SuperblockState};
use crate::inode::InodeTable;
use crate::log::{self, Log, LogRegion};
use crate::metadata::{SpaceMap, SpaceRoot, Tree};
use crate::volume::{MadeWith, Store, Volume};

/// Reads the filesystem on `device`.
///
/// # Errors
/// What [`read_superblock`] reports, [`Error::Corrupt`] with the structure and its block, and
/// [`Error::InvalidOption`] when the options ask for what the device or the image does not allow.
pub(super) fn load(device: Arc<Device>, options: &MountOptions) -> Result<(Arc<Volume>, Stored)> {
    let (superblock, order) = read_superblock(&device)?;
    check_access(&device, &superblock, options)?;
    let geometry = superblock.geometry;
    let space_root = SpaceRoot {
        pointer: superblock.space_root,
        level: geometry.space_level(),
    };
    let space = SpaceMap::load(&device, space_root, geometry)?;
    let (records, tail) = read_log(&device, &superblock)?;
    let volume = Arc::new(Volume::new(
        Arc::clone(&device),
        allocator(&device, &superblock, &space)?,
        Log::new(
            Arc::clone(&device),
            region(&superblock),
            Lsn::new(superblock.log_first_lsn),
            tail,
            superblock.epoch + 1,
        ),
        InodeTable::new(superblock.next_inode, superblock.live_inodes),
        Store::new(
            device,
            geometry,
            Tree::from_root(
                superblock.root,
                superblock.root_level,
                superblock.tree_nodes,
            ),
        ),
        MadeWith {
            hash: DirectoryHash::new(&superblock.hash_key),
            features: superblock.features,
        },
        options.schedule.clone(),
    ));
    volume.inodes.load_orphans(volume.store.orphans()?);
    for record in &records {
        volume.replay(record)?;
    }
    if volume.device.persistence() == Persistence::Msync {
        volume.allocator.defer_frees();
    }
    write_again(&volume, options)?;
    check_root(&volume)?;
    let stored = Stored {
        superblock,
        order,
        space,
        is_new_mount: true,
        is_broken: false,
    };
    Ok((volume, stored))
}

fn check_access(device: &Device, superblock: &Superblock, options: &MountOptions) -> Result<()> {
    if options.access == MountAccess::ReadOnly {
        return Ok(());
    }
    if device.access() == DeviceAccess::ReadOnly {
        return Err(Error::InvalidOption {
            reason: "a device that is open read-only can only be mounted read-only".into(),
        });
    }
    match superblock.features.unknown_read_only_compatible() {
        0 => Ok(()),
        bits => Err(Error::UnsupportedFeatures {
            class: "read-only compatible",
            bits,
        }),
    }
}

/// The free space that the space map leaves.
fn allocator(device: &Device, superblock: &Superblock, space: &SpaceMap) -> Result<Allocator> {
    let unit = match device.mapping_granule_bytes() {
        HUGE_PAGE_BYTES => DataUnit::Group,
        _ => DataUnit::Block,
    };
    let geometry = superblock.geometry;
    let allocator = Allocator::new(geometry.data_start_block, geometry.block_count, unit);
    let found = space.used_blocks();
    if found != superblock.allocated_blocks() {
        return Err(Error::Corrupt {
            structure: Structure::Superblock.name(),
            block: SUPERBLOCK_BLOCKS[0],
            problem: format!(
                "{} blocks in use, and the space map has {found}",
                superblock.allocated_blocks()
            ),
        });
    }
    for run in space.used_runs() {
        // Runs of one bitmap are apart, and within the area that was asked for.
        let _ = allocator.mark_stored(run);
    }
    Ok(allocator)
}

fn region(superblock: &Superblock) -> LogRegion {
    LogRegion {
        start_block: superblock.geometry.log_start_block,
        blocks: superblock.geometry.log_blocks,
    }
}

fn read_log(device: &Device, superblock: &Superblock) -> Result<(Vec<Record>, Lsn)> {
    let first_lsn = Lsn::new(superblock.log_first_lsn);
    let mut records = Vec::new();
    if superblock.state == SuperblockState::Clean {
        // Nothing was logged after the checkpoint of an unmount.
        return Ok((records, first_lsn));
    }
    let tail = log::replay(
        device,
        region(superblock),
        first_lsn,
        superblock.epoch,
        &mut |_, record| {
            records.push(record);
            Ok(())
        },
    )?;
    Ok((records, tail))
}

/// Puts bytes in place that the log has because a crash may have torn them. A crash meanwhile
/// changes nothing: the log is as it was.
fn write_again(volume: &Volume, options: &MountOptions) -> Result<()> {
    let writes = volume.redo.take();
    if !writes.is_empty() && options.access == MountAccess::ReadOnly {
        return Err(Error::NeedsRecovery {
            writes: writes.len() as u64,
        });
    }
    for write in writes {
        let in_flight = volume.device.copy(write.offset_bytes, &write.bytes)?;
        let _in_place = volume.settle(in_flight)?;
    }
    Ok(())
}

fn check_root(volume: &Volume) -> Result<()> {
    let root = volume.find_inode(ROOT_INODE)?;
    match root.map(|inode| inode.kind()) {
        Some(FileType::Directory) => Ok(()),
        _ => Err(Error::Corrupt {
            structure: Structure::Inode.name(),
            block: 0,
            problem: "the root is not there, or no directory".into(),
        }),
    }
}
