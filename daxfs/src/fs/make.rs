//! Making an empty filesystem on a device.
//!
//! Writes a tree of one node (the root directory) and the space map, and, once they are durable,
//! the superblock copies. Takes no locks: the device is not mounted.

use daxfs_pmem::{Device, DeviceAccess};

use super::options::{DataChecksums, ExistingImage, FormatOptions};
use super::superblock::{Order, read_superblock, write_superblock};
use crate::clock::now_ns;
use crate::error::{Error, Result};
use crate::format::geometry::{BLOCK_BYTES, MAXIMUM_BLOCKS, MINIMUM_BLOCKS, ROOT_INODE};
use crate::format::item::StoredInode;
use crate::format::{
    DataMode, Features, FileType, ImageGeometry, ItemKind, Key, Label, Superblock, SuperblockState,
};
use crate::inode::attributes;
use crate::metadata::{NodeCache, NodeReader, NodeWriter, Replacement, SpaceMap, Tree};
use crate::run::Run;

/// Makes an empty filesystem that fills the device's whole blocks.
pub(super) fn make(device: &Device, options: &FormatOptions) -> Result<()> {
    let label = Label::new(&options.label).ok_or_else(|| Error::InvalidOption {
        reason: format!(
            "label {:?}: at most 64 bytes of text without NUL",
            options.label
        ),
    })?;
    let geometry = ImageGeometry::for_blocks(usable_blocks(device)?);
    if options.existing == ExistingImage::Refuse && holds_an_image(device) {
        return Err(Error::AlreadyFormatted);
    }

    let root_block = geometry.data_start_block;
    let allocate = || Ok(root_block);
    let mut writer = NodeWriter::new(device, 1, &allocate);
    let cache = NodeCache::default();
    let nodes = NodeReader::new(device, geometry, &cache);
    let tree = Tree::empty().apply(&nodes, &[root_directory()], &mut writer)?;
    let mut space = SpaceMap::new(geometry);
    space.set(Run::new(root_block, 1))?;
    let space_root = space.write(&mut writer)?.pointer;
    let durable = match writer.fence()? {
        Some(durable) => durable,
        None => device.fence(device.zero(0, 0)?)?,
    };
    // Positions of the log begin anywhere, so that records of an image that was here before are not
    // taken for this one's.
    let random = uuid::Uuid::new_v4().as_u64_pair().0;
    let log_first_lsn = random >> 8 << 6;
    let now_ns = now_ns();
    let superblock = Superblock {
        features: Features {
            compatible: 0,
            read_only_compatible: match options.data_checksums {
                DataChecksums::Off => 0,
                DataChecksums::On => Features::DATA_CHECKSUMS,
            },
            incompatible: 0,
        },
        uuid: *uuid::Uuid::new_v4().as_bytes(),
        label,
        geometry,
        generation: 1,
        root: tree.root(),
        root_level: tree.level(),
        tree_nodes: tree.nodes(),
        space_root,
        data_blocks: 0,
        data_mode: DataMode::InPlace,
        log_first_lsn,
        epoch: 0,
        hash_key: *uuid::Uuid::new_v4().as_bytes(),
        next_inode: ROOT_INODE + 1,
        live_inodes: 1,
        created_ns: now_ns,
        checkpointed_ns: now_ns,
        state: SuperblockState::Clean,
    };
    write_superblock(device, &superblock, Order::FirstCopyFirst, &durable)
}

fn root_directory() -> Replacement {
    let now = attributes::now();
    let root = StoredInode {
        kind: FileType::Directory,
        mode: 0o755,
        links: 2,
        uid: 0,
        gid: 0,
        rdev: 0,
        flags: 0,
        size_bytes: 0,
        allocated_blocks: 0,
        parent: ROOT_INODE,
        accessed: now,
        modified: now,
        changed: now,
        created: now,
        xattr_bytes: 0,
    };
    let key = Key::new(ROOT_INODE, ItemKind::Inode, 0);
    Replacement::put(key, root.encode().to_vec())
}

/// How many whole blocks the device has.
fn usable_blocks(device: &Device) -> Result<u64> {
    let len_bytes = device.len_bytes();
    let unusable = |reason| Err(Error::UnusableDevice { len_bytes, reason });
    let block_count = len_bytes / BLOCK_BYTES;
    if device.access() == DeviceAccess::ReadOnly {
        return unusable("it is open read-only");
    }
    if block_count < MINIMUM_BLOCKS {
        return unusable("an image has at least 4 MiB");
    }
    if block_count > MAXIMUM_BLOCKS {
        return unusable("an image has at most 4 PiB");
    }
    Ok(block_count)
}

/// Whether there is anything that looks like an image, whole or damaged.
fn holds_an_image(device: &Device) -> bool {
    !matches!(read_superblock(device), Err(Error::NotAnImage { .. }))
}
