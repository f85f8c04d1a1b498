//! Making an empty filesystem on a device.
//!
//! Writes one inode leaf (the root directory) and, once that is durable, the superblock copies.
//! Takes no locks: the device is not mounted.

use std::time::{SystemTime, UNIX_EPOCH};

use daxfs_pmem::{Device, DeviceAccess};

use super::options::{ExistingImage, FormatOptions};
use super::superblock::{read_superblock, write_superblock};
use crate::error::{Error, Result};
use crate::format::geometry::{
    BLOCK_BYTES, DATA_START_BLOCK, MAXIMUM_BLOCKS, MINIMUM_BLOCKS, ROOT_INODE, block_offset_bytes,
    inode_leaf,
};
use crate::format::{
    BlockPointer, Features, InodeLeafBuilder, Label, Superblock, SuperblockState, TreeRoot,
};
use crate::gate::Gate;
use crate::inode::Inode;

/// Makes an empty filesystem that fills the device's whole blocks.
pub(super) fn make(device: &Device, options: &FormatOptions) -> Result<()> {
    let label = Label::new(&options.label).ok_or_else(|| Error::InvalidOption {
        reason: format!(
            "label {:?}: at most 64 bytes of text without NUL",
            options.label
        ),
    })?;
    let block_count = usable_blocks(device)?;
    if options.existing == ExistingImage::Refuse && holds_an_image(device) {
        return Err(Error::AlreadyFormatted);
    }

    // The root directory has content of its own once it has names; until then, one inode leaf.
    let gate = Gate::default();
    let root = Inode::new_directory(ROOT_INODE, ROOT_INODE)
        .snapshot(&gate.close())
        .inode;
    let mut leaf = InodeLeafBuilder::new(inode_leaf(ROOT_INODE));
    let corrupt = |error: crate::format::FormatError| error.at_block(DATA_START_BLOCK);
    leaf.set(&crate::format::Inode {
        content: TreeRoot::EMPTY,
        ..root
    })
    .map_err(corrupt)?;
    let Some(leaf) = leaf.finish() else {
        return Err(Error::UnusableDevice {
            len_bytes: device.len_bytes(),
            reason: "the root directory could not be stored",
        });
    };
    let copied = device.copy(block_offset_bytes(DATA_START_BLOCK), leaf.bytes())?;
    let durable = device.fence(copied)?;

    let now_ns = now_ns();
    let superblock = Superblock {
        features: Features {
            compatible: 0,
            read_only_compatible: 0,
            incompatible: 0,
        },
        uuid: *uuid::Uuid::new_v4().as_bytes(),
        label,
        block_count,
        generation: 1,
        inode_table: BlockPointer::to(DATA_START_BLOCK, &leaf),
        inode_table_level: 0,
        next_inode: ROOT_INODE + 1,
        live_inodes: 1,
        allocated_blocks: 1,
        created_ns: now_ns,
        checkpointed_ns: now_ns,
        state: SuperblockState::Clean,
    };
    write_superblock(device, &superblock, &durable)
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

/// Nanoseconds since the start of 1970; 0 on a clock before that.
pub(super) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
