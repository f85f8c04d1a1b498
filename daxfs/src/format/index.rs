//! Index blocks: the inner nodes of a pointer tree, 254 pointers each.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_mut, transmute_ref,
};

use super::block::{Block, BlockFull};
use super::error::{Fields, FormatError, Problem, Structure};
use super::geometry::{BLOCK_LEN, POINTERS_PER_INDEX};
use super::header::{Identity, RawHeader};
use super::pointer::{BlockPointer, RawBlockPointer};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawIndexBlock {
    header: RawHeader,
    pointers: [RawBlockPointer; POINTERS_PER_INDEX],
}

const _: () = assert!(size_of::<RawIndexBlock>() == BLOCK_LEN);

/// Whether a null pointer may stand among the pointers in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NullPointers {
    /// In the inode table: no live inode below.
    Allowed,
    /// In the trees of files and directories.
    Refused,
}

/// An index block whose header and pointers were checked.
#[derive(Debug)]
pub(crate) struct IndexBlock {
    pointers: Vec<BlockPointer>,
}

impl IndexBlock {
    /// Parses `block` as the index block that `identity` names.
    pub(crate) fn parse(
        block: &Block,
        identity: Identity,
        nulls: NullPointers,
    ) -> Result<Self, FormatError> {
        let raw: &RawIndexBlock = transmute_ref!(block.bytes());
        let count = identity.check(&raw.header)?;
        let (used, rest) = raw.pointers.split_at(count.min(POINTERS_PER_INDEX));
        let mut pointers = Vec::with_capacity(used.len());
        for (slot, raw_pointer) in used.iter().enumerate() {
            let pointer = BlockPointer::decode(raw_pointer).map_err(|e| e.in_entry(slot))?;
            if pointer.is_null() && nulls == NullPointers::Refused {
                let error = FormatError::new(Structure::BlockPointer, Problem::NullPointer);
                return Err(error.in_entry(slot));
            }
            pointers.push(pointer);
        }
        Fields(Structure::IndexBlock).zero("pointers past the count", rest.as_bytes())?;
        Ok(Self { pointers })
    }

    /// The pointers in use, in order.
    pub(crate) fn pointers(&self) -> &[BlockPointer] {
        &self.pointers
    }
}

/// Builds an index block pointer by pointer.
#[derive(Debug)]
pub(crate) struct IndexBlockBuilder {
    identity: Identity,
    block: Block,
    count: usize,
}

impl IndexBlockBuilder {
    /// An empty index block `index` at `level` (1 or more) in the tree of `owner`.
    pub(crate) fn new(owner: u64, level: u16, index: u64) -> Self {
        let identity = Identity::index_block(owner, level, index);
        Self {
            identity,
            block: Block::zeroed(),
            count: 0,
        }
    }

    /// Adds the pointer to the next block below.
    ///
    /// # Errors
    /// [`BlockFull`] when the block has 254 pointers; it is unchanged.
    pub(crate) fn push(&mut self, pointer: BlockPointer) -> Result<(), BlockFull> {
        let raw: &mut RawIndexBlock = transmute_mut!(self.block.bytes_mut());
        *raw.pointers.get_mut(self.count).ok_or(BlockFull)? = pointer.encode();
        self.count += 1;
        Ok(())
    }

    /// The finished block. It must have at least one pointer to parse again.
    pub(crate) fn finish(mut self) -> Block {
        let raw: &mut RawIndexBlock = transmute_mut!(self.block.bytes_mut());
        raw.header = self.identity.encode(self.count);
        self.block
    }
}
