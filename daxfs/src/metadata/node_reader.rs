//! Reads nodes of the metadata tree, checking each against the pointer and the place it came from.
//!
//! Touches the device. Takes no locks but the cache's latch.

use std::sync::Arc;

use daxfs_pmem::Device;

use super::block::read_block;
use super::node_cache::NodeCache;
use crate::error::Result;
use crate::format::error::Fields;
use crate::format::image_geometry::ImageGeometry;
use crate::format::node::{IndexNode, LeafNode, NodePlace};
use crate::format::{Block, BlockPointer};

/// Reads the nodes of one image.
#[derive(Clone, Copy)]
pub(crate) struct NodeReader<'image> {
    device: &'image Device,
    geometry: ImageGeometry,
    cache: &'image NodeCache,
}

impl<'image> NodeReader<'image> {
    /// A reader of the image on `device`. `cache` belongs to that image.
    pub(crate) fn new(
        device: &'image Device,
        geometry: ImageGeometry,
        cache: &'image NodeCache,
    ) -> Self {
        Self {
            device,
            geometry,
            cache,
        }
    }

    /// The index node that `pointer` was made for, at `place`.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when the block is not that node, and those of the
    /// device.
    pub(super) fn index(&self, pointer: BlockPointer, place: &NodePlace) -> Result<Arc<IndexNode>> {
        if let Some(node) = self.cache.get(pointer) {
            // The same node may be expected elsewhere, by a parent that is wrong.
            node.check_place(place)
                .map_err(|error| error.at_block(pointer.block))?;
            return Ok(node);
        }
        let block = self.checked(pointer, place)?;
        let node =
            IndexNode::parse(&block, place).map_err(|error| error.at_block(pointer.block))?;
        let node = Arc::new(node);
        self.cache.put(pointer, &node);
        Ok(node)
    }

    /// The leaf that `pointer` was made for, at `place`.
    ///
    /// # Errors
    /// As [`NodeReader::index`].
    pub(super) fn leaf(&self, pointer: BlockPointer, place: &NodePlace) -> Result<LeafNode> {
        let block = self.checked(pointer, place)?;
        LeafNode::parse(block, place).map_err(|error| error.at_block(pointer.block))
    }

    /// Forgets what `block` held: it is about to hold something else.
    pub(super) fn forget(&self, block: u64) {
        self.cache.forget(block);
    }

    fn checked(&self, pointer: BlockPointer, place: &NodePlace) -> Result<Block> {
        if !self.geometry.is_data_range(pointer.block, 1) {
            let outside = Fields(place.structure()).invalid("block", "is outside the data area");
            return Err(outside.at_block(pointer.block));
        }
        let block = read_block(self.device, pointer.block)?;
        pointer
            .verify(&block, place.structure())
            .map_err(|error| error.at_block(pointer.block))?;
        Ok(block)
    }
}
