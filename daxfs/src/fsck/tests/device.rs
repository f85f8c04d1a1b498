//! Bytes of an image, and devices that hold them.

use daxfs_pmem::{Device, PersistenceChoice};

use crate::format::geometry::{BLOCK_LEN, block_offset_bytes};
use crate::format::item::Key;
use crate::format::{Block, Superblock};
use crate::fsck::{NoProgress, Report, check};

/// A node of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fsck) struct TestNode {
    pub(in crate::fsck) block: u64,
    pub(in crate::fsck) level: u16,
    pub(in crate::fsck) first_key: Key,
}

/// The bytes of an image.
#[derive(Clone)]
pub(in crate::fsck) struct TestImage {
    pub(in crate::fsck) bytes: Vec<u8>,
    /// The nodes of its tree, leaves first.
    pub(in crate::fsck) nodes: Vec<TestNode>,
    pub(in crate::fsck) superblock: Superblock,
}

/// A device with these bytes.
pub(in crate::fsck) fn device_of(bytes: &[u8]) -> Device {
    let len_bytes = bytes.len() as u64;
    let device = Device::create_memfd(len_bytes, PersistenceChoice::Detect).unwrap();
    // A new device is all zeroes, and so is most of an image.
    for (block, bytes) in (0..).zip(bytes.chunks(BLOCK_LEN)) {
        if bytes.iter().any(|byte| *byte != 0) {
            let copied = device.copy(block_offset_bytes(block), bytes).unwrap();
            copied.defer();
        }
    }
    device
}

/// The bytes of a device.
pub(in crate::fsck) fn bytes_of(device: &Device) -> Vec<u8> {
    let mut bytes = vec![0; device.len_bytes() as usize];
    device.read(0, &mut bytes).unwrap();
    bytes
}

impl TestImage {
    /// A device with these bytes.
    pub(in crate::fsck) fn device(&self) -> Device {
        device_of(&self.bytes)
    }

    /// What a check says of it.
    pub(in crate::fsck) fn report(&self) -> Report {
        check(&self.device(), &NoProgress).unwrap()
    }

    /// Writes a block, without any regard to what points to it.
    pub(in crate::fsck) fn put(&mut self, number: u64, block: &Block) {
        let at = block_offset_bytes(number) as usize;
        self.bytes[at..at + BLOCK_LEN].copy_from_slice(block.bytes());
    }

    /// Flips a bit of a byte of a block.
    pub(in crate::fsck) fn flip(&mut self, block: u64, byte: usize) {
        self.bytes[block_offset_bytes(block) as usize + byte] ^= 1;
    }

    /// Writes both copies of a superblock that differs by `edit`.
    pub(in crate::fsck) fn edit_superblock(&mut self, edit: impl FnOnce(&mut Superblock)) {
        edit(&mut self.superblock);
        let block = self.superblock.encode();
        self.put(0, &block);
        self.put(1, &block);
    }

    /// The first node of this level.
    pub(in crate::fsck) fn node(&self, level: u16) -> TestNode {
        let mut nodes = self.nodes.iter();
        *nodes
            .find(|node| node.level == level)
            .expect("has such a node")
    }
}
