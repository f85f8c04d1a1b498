//! Makes images on top of the format alone: what the check is tested with does not come from the
//! writer it is to judge.
//!
//! A builder first collects files and directories, then lays them out. Hooks may change an inode,
//! a metadata block or the superblock just before the checksums above it are computed, so that an
//! image can be wrong in one place and right in all others.

use std::collections::BTreeMap;

use daxfs_pmem::{Device, PersistenceChoice};

use crate::format::geometry::{
    BLOCK_BYTES, BLOCK_LEN, DATA_START_BLOCK, EXTENTS_PER_LEAF, INODES_PER_LEAF, ROOT_INODE,
    SUPERBLOCK_BLOCKS, block_offset_bytes, children, inode_table_leaves, level_for_leaves,
};
use crate::format::header::BlockKind;
use crate::format::{
    Block, BlockPointer, Dirent, DirentLeafBuilder, Extent, ExtentLeafBuilder, Features, Identity,
    IndexBlockBuilder, Inode, InodeKind, InodeLeafBuilder, Label, Superblock, SuperblockState,
    Timestamp, TreeRoot,
};

type Hook<'a, T> = Box<dyn FnMut(&mut T) + 'a>;
type BlockHook<'a> = Box<dyn FnMut(Identity, &mut Block) + 'a>;

pub(super) const ROOT: u64 = ROOT_INODE;

/// The bytes of an image.
#[derive(Clone)]
pub(super) struct TestImage {
    pub(super) bytes: Vec<u8>,
    /// The metadata blocks, and what each is.
    pub(super) metadata: Vec<(u64, Identity)>,
    pub(super) superblock: Superblock,
}

impl TestImage {
    /// A device with these bytes.
    pub(super) fn device(&self) -> Device {
        let len_bytes = self.bytes.len() as u64;
        let device = Device::create_memfd(len_bytes, PersistenceChoice::Detect).unwrap();
        // A new device is all zeroes, and so is most of an image.
        for (block, bytes) in (0..).zip(self.bytes.chunks(BLOCK_LEN)) {
            if bytes.iter().any(|byte| *byte != 0) {
                device
                    .copy(block_offset_bytes(block), bytes)
                    .unwrap()
                    .defer();
            }
        }
        device
    }

    /// Writes a block, without any regard to what points to it.
    pub(super) fn put(&mut self, number: u64, block: &Block) {
        let at = block_offset_bytes(number) as usize;
        self.bytes[at..at + BLOCK_LEN].copy_from_slice(block.bytes());
    }

    /// The block of this identity.
    pub(super) fn block_of(&self, identity: Identity) -> u64 {
        self.metadata
            .iter()
            .find(|(_, found)| *found == identity)
            .expect("no such block")
            .0
    }
}

pub(super) struct Builder<'a> {
    block_count: u64,
    next_block: u64,
    next_inode: u64,
    extents_per_leaf: usize,
    inodes: BTreeMap<u64, Inode>,
    extents: BTreeMap<u64, Vec<Extent>>,
    entries: BTreeMap<u64, Vec<(Vec<u8>, u64, InodeKind)>>,
    on_inode: Hook<'a, Inode>,
    on_block: BlockHook<'a>,
    on_superblock: Hook<'a, Superblock>,
}

impl<'a> Builder<'a> {
    /// An image with an empty root directory.
    pub(super) fn new(block_count: u64) -> Self {
        let mut builder = Self {
            block_count,
            next_block: DATA_START_BLOCK,
            next_inode: ROOT,
            extents_per_leaf: EXTENTS_PER_LEAF,
            inodes: BTreeMap::new(),
            extents: BTreeMap::new(),
            entries: BTreeMap::new(),
            on_inode: Box::new(|_| {}),
            on_block: Box::new(|_, _| {}),
            on_superblock: Box::new(|_| {}),
        };
        builder.inode(InodeKind::Directory, ROOT);
        builder
    }

    /// Lets `hook` change every inode before it is written.
    pub(super) fn on_inode(mut self, hook: impl FnMut(&mut Inode) + 'a) -> Self {
        self.on_inode = Box::new(hook);
        self
    }

    /// Lets `hook` change the inode `number` before it is written.
    pub(super) fn edit(self, number: u64, mut edit: impl FnMut(&mut Inode) + 'a) -> Self {
        self.on_inode(move |inode| {
            if inode.number == number {
                edit(inode);
            }
        })
    }

    /// Lets `hook` change every metadata block before its checksum is taken.
    pub(super) fn on_block(mut self, hook: impl FnMut(Identity, &mut Block) + 'a) -> Self {
        self.on_block = Box::new(hook);
        self
    }

    /// Lets `hook` change the superblock before its checksum is taken.
    pub(super) fn on_superblock(mut self, hook: impl FnMut(&mut Superblock) + 'a) -> Self {
        self.on_superblock = Box::new(hook);
        self
    }

    /// Puts so few extents into a leaf that few of them make a tree.
    pub(super) fn extents_per_leaf(mut self, extents_per_leaf: usize) -> Self {
        self.extents_per_leaf = extents_per_leaf;
        self
    }

    /// Leaves `count` inode numbers unused.
    pub(super) fn skip_inodes(&mut self, count: u64) {
        self.next_inode += count;
    }

    fn inode(&mut self, kind: InodeKind, parent: u64) -> u64 {
        let number = self.next_inode;
        self.next_inode += 1;
        let is_directory = kind == InodeKind::Directory;
        let time = Timestamp {
            seconds: 1_500_000_000,
            nanoseconds: 7,
        };
        let inode = Inode {
            number,
            kind,
            mode: if is_directory { 0o755 } else { 0o644 },
            links: if is_directory { 2 } else { 0 },
            uid: 0,
            gid: 0,
            size_bytes: 0,
            allocated_blocks: 0,
            accessed: time,
            modified: time,
            changed: time,
            created: time,
            content: TreeRoot::EMPTY,
            extent_count: 0,
            parent: if is_directory { parent } else { 0 },
            inline_extents: Vec::new(),
        };
        self.inodes.insert(number, inode);
        number
    }

    fn inode_mut(&mut self, number: u64) -> &mut Inode {
        self.inodes
            .get_mut(&number)
            .expect("an inode of this builder")
    }

    fn allocate(&mut self, len_blocks: u64) -> u64 {
        let block = self.next_block;
        self.next_block += len_blocks;
        assert!(
            self.next_block <= self.block_count,
            "the test needs a larger image"
        );
        block
    }

    /// A name for `inode` in `directory`; counts no link.
    pub(super) fn entry(&mut self, directory: u64, name: &str, inode: u64, kind: InodeKind) {
        self.entries
            .entry(directory)
            .or_default()
            .push((name.into(), inode, kind));
    }

    /// A further name for a file.
    pub(super) fn link(&mut self, directory: u64, name: &str, file: u64) {
        self.entry(directory, name, file, InodeKind::File);
        self.inode_mut(file).links += 1;
    }

    /// A file that has blocks at `ranges` (first block, blocks), and ends with the last of them.
    pub(super) fn file(&mut self, directory: u64, name: &str, ranges: &[(u64, u32)]) -> u64 {
        let number = self.inode(InodeKind::File, 0);
        let mut extents = Vec::new();
        for (file_block, len_blocks) in ranges {
            let device_block = self.allocate(u64::from(*len_blocks));
            // A block between any two extents: adjacent ones would have to be merged.
            self.next_block += 1;
            extents.push(Extent {
                file_block: *file_block,
                device_block,
                len_blocks: *len_blocks,
            });
        }
        let inode = self.inode_mut(number);
        inode.size_bytes = extents
            .last()
            .map_or(0, |last| last.file_end() * BLOCK_BYTES);
        inode.allocated_blocks = extents
            .iter()
            .map(|extent| u64::from(extent.len_blocks))
            .sum();
        inode.extent_count = extents.len() as u64;
        self.extents.insert(number, extents);
        self.link(directory, name, number);
        number
    }

    /// A directory.
    pub(super) fn directory(&mut self, parent: u64, name: &str) -> u64 {
        let number = self.inode(InodeKind::Directory, parent);
        self.entry(parent, name, number, InodeKind::Directory);
        self.inode_mut(parent).links += 1;
        number
    }

    /// Takes the name of `inode` out of `directory`; changes no count.
    pub(super) fn forget(&mut self, directory: u64, inode: u64) {
        let entries = self.entries.get_mut(&directory).expect("has an entry");
        entries.retain(|(_, named, _)| *named != inode);
        if entries.is_empty() {
            self.entries.remove(&directory);
        }
    }

    /// Moves a directory, with its parent and its parents' links.
    pub(super) fn move_directory(&mut self, from: u64, directory: u64, to: u64) {
        self.forget(from, directory);
        self.entry(to, "moved", directory, InodeKind::Directory);
        self.inode_mut(from).links -= 1;
        self.inode_mut(to).links += 1;
        self.inode_mut(directory).parent = to;
    }

    /// Lays everything out.
    pub(super) fn build(mut self) -> TestImage {
        let mut image = Layout {
            bytes: vec![0; (self.block_count * BLOCK_BYTES) as usize],
            metadata: Vec::new(),
            next_block: self.next_block,
            on_block: self.on_block,
        };
        for (number, extents) in &self.extents {
            let inode = self.inodes.get_mut(number).expect("made with its extents");
            if extents.len() <= 4 {
                inode.inline_extents.clone_from(extents);
            } else {
                let leaves = extent_leaves(*number, extents, self.extents_per_leaf);
                inode.content = image.tree(*number, BlockKind::ExtentLeaf, leaves);
            }
        }
        for (directory, entries) in &self.entries {
            let leaves = dirent_leaves(*directory, entries);
            let content = image.tree(*directory, BlockKind::DirentLeaf, leaves);
            if let Some(inode) = self.inodes.get_mut(directory) {
                inode.content = content;
            }
        }
        self.inodes.values_mut().for_each(&mut self.on_inode);
        let leaves = inode_leaves(self.next_inode, &self.inodes);
        let inode_table = image.tree(0, BlockKind::InodeLeaf, leaves);
        let data_blocks = self
            .extents
            .values()
            .flatten()
            .map(|e| u64::from(e.len_blocks))
            .sum::<u64>();
        let mut superblock = Superblock {
            features: Features::default(),
            uuid: *b"an image of test",
            label: Label::new("test").expect("short"),
            block_count: self.block_count,
            generation: 8,
            inode_table: inode_table.pointer,
            inode_table_level: inode_table.level,
            next_inode: self.next_inode,
            live_inodes: self.inodes.len() as u64,
            allocated_blocks: data_blocks + image.metadata.len() as u64,
            created_ns: 1,
            checkpointed_ns: 2,
            state: SuperblockState::Clean,
        };
        (self.on_superblock)(&mut superblock);
        let mut image = TestImage {
            bytes: image.bytes,
            metadata: image.metadata,
            superblock,
        };
        let superblock = image.superblock.encode();
        SUPERBLOCK_BLOCKS
            .iter()
            .for_each(|block| image.put(*block, &superblock));
        image
    }
}

struct Layout<'a> {
    bytes: Vec<u8>,
    metadata: Vec<(u64, Identity)>,
    next_block: u64,
    on_block: BlockHook<'a>,
}

impl Layout<'_> {
    fn put(&mut self, identity: Identity, mut block: Block) -> BlockPointer {
        (self.on_block)(identity, &mut block);
        let number = self.next_block;
        self.next_block += 1;
        self.metadata.push((number, identity));
        let at = block_offset_bytes(number) as usize;
        self.bytes[at..at + BLOCK_LEN].copy_from_slice(block.bytes());
        BlockPointer::to(number, &block)
    }

    /// Writes a tree from its leaves up.
    fn tree(&mut self, owner: u64, kind: BlockKind, leaves: Vec<Option<Block>>) -> TreeRoot {
        let count = leaves.len() as u64;
        let level = level_for_leaves(count).expect("few");
        let mut pointers = Vec::new();
        for (leaf, index) in leaves.into_iter().zip(0..) {
            let identity = Identity {
                kind,
                level: 0,
                owner,
                index,
            };
            pointers.push(leaf.map_or(BlockPointer::NULL, |block| self.put(identity, block)));
        }
        for level in 1..=level {
            let mut above = Vec::new();
            let mut rest = pointers.as_slice();
            for index in 0.. {
                let (below, after) = rest.split_at(children(count, level, index));
                if below.is_empty() {
                    break;
                }
                let mut builder = IndexBlockBuilder::new(owner, level, index);
                below
                    .iter()
                    .for_each(|pointer| builder.push(*pointer).expect("at most 254"));
                let is_null = below.iter().all(|pointer| pointer.is_null());
                let identity = Identity::index_block(owner, level, index);
                above.push(match is_null {
                    true => BlockPointer::NULL,
                    false => self.put(identity, builder.finish()),
                });
                rest = after;
            }
            pointers = above;
        }
        let pointer = pointers.first().copied().unwrap_or(BlockPointer::NULL);
        TreeRoot {
            pointer,
            level,
            leaves: count as u32,
        }
    }
}

fn extent_leaves(owner: u64, extents: &[Extent], per_leaf: usize) -> Vec<Option<Block>> {
    let leaf = |(extents, index): (&[Extent], u64)| {
        let mut builder = ExtentLeafBuilder::new(owner, index);
        extents
            .iter()
            .for_each(|extent| builder.push(extent).expect("at most 169"));
        Some(builder.finish())
    };
    extents.chunks(per_leaf).zip(0..).map(leaf).collect()
}

fn dirent_leaves(owner: u64, entries: &[(Vec<u8>, u64, InodeKind)]) -> Vec<Option<Block>> {
    let mut leaves = Vec::new();
    let mut builder = DirentLeafBuilder::new(owner, 0);
    for (name, inode, kind) in entries {
        let dirent = Dirent {
            inode: *inode,
            kind: *kind,
            name,
        };
        if builder.push(&dirent).is_err() {
            leaves.push(Some(builder.finish()));
            builder = DirentLeafBuilder::new(owner, leaves.len() as u64);
            builder.push(&dirent).expect("an empty leaf holds any name");
        }
    }
    leaves.push(Some(builder.finish()));
    leaves
}

fn inode_leaves(next_inode: u64, inodes: &BTreeMap<u64, Inode>) -> Vec<Option<Block>> {
    let leaf = |index: u64| {
        let first = index * INODES_PER_LEAF as u64;
        let mut builder = InodeLeafBuilder::new(index);
        for inode in inodes
            .range(first..first + INODES_PER_LEAF as u64)
            .map(|(_, inode)| inode)
        {
            builder.set(inode).expect("of this leaf");
        }
        builder.finish()
    };
    (0..inode_table_leaves(next_inode)).map(leaf).collect()
}
