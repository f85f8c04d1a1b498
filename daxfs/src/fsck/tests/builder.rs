//! Makes images on top of the format alone: what the check is tested with does not come from the
//! writer it is to judge.
//!
//! A builder is a set of items and a list of records; methods add what files and directories need.
//! Any item may be put, changed or removed before the tree is laid out around them, so that an
//! image can be wrong in one place and right in all others.

use std::collections::BTreeMap;

use daxfs_pmem::{Device, PersistenceChoice};

use super::device::{TestImage, TestNode};
use crate::format::geometry::{BLOCK_BYTES, BLOCK_LEN, ROOT_INODE, block_offset_bytes};
use crate::format::item::chunk::chunks;
use crate::format::item::dirent::StoredDirent;
use crate::format::item::extents::{encode_extents, segment_of};
use crate::format::item::orphan::orphan_key;
use crate::format::item::xattr::encode_xattrs;
use crate::format::item::{
    DirectoryHash, ItemKind, Key, Sharing, StoredInode, StoredRun, StoredSharedRun,
};
use crate::format::node::index::encode_index;
use crate::format::node::leaf::encode_leaf;
use crate::format::node::{IndexEntry, MAXIMUM_NODE_LEVEL};
use crate::format::record::{Lsn, Record, SettledRun, Stamp};
use crate::format::space_block::{
    SpacePlace, SpaceWords, WORDS_PER_SPACE_LEAF, encode_space_index, encode_space_leaf,
};
use crate::format::{
    Block, BlockPointer, DataMode, Features, FileType, ImageGeometry, Label, Superblock,
    SuperblockState, Timestamp,
};
use crate::run::Run;

pub(in crate::fsck) const ROOT: u64 = ROOT_INODE;
pub(in crate::fsck) const GENERATION: u64 = 8;
pub(in crate::fsck) const EPOCH: u64 = 3;
pub(in crate::fsck) const FIRST_LSN: u64 = 64 * 7;
pub(in crate::fsck) const TIME: Timestamp = Timestamp {
    seconds: 1_500_000_000,
    nanoseconds: 7,
};

type Hook<'a> = Box<dyn FnMut(u16, usize, &mut Block) + 'a>;
type MapHook<'a> = Box<dyn FnMut(&mut SpaceWords) + 'a>;

pub(in crate::fsck) struct Builder<'a> {
    pub(in crate::fsck) geometry: ImageGeometry,
    hash: DirectoryHash,
    pub(super) features: Features,
    next_block: u64,
    next_inode: u64,
    items_per_leaf: usize,
    entries_per_index: usize,
    items: BTreeMap<Key, Vec<u8>>,
    log: Vec<u8>,
    on_node: Hook<'a>,
    on_map: MapHook<'a>,
}

/// A run of blocks that a record may name.
pub(in crate::fsck) fn settled(block: u64, len_blocks: u64) -> SettledRun {
    let len_bytes = block_offset_bytes(block + len_blocks);
    let device = Device::create_memfd(len_bytes, PersistenceChoice::Detect).unwrap();
    let content = device.settle(device.zero(0, len_bytes).unwrap()).unwrap();
    SettledRun::new(Run::new(block, len_blocks), &content).unwrap()
}

impl<'a> Builder<'a> {
    /// An image with an empty root directory.
    pub(in crate::fsck) fn new(block_count: u64) -> Self {
        let geometry = ImageGeometry::for_blocks(block_count);
        let mut builder = Self {
            geometry,
            hash: DirectoryHash::new(b"the key of tests"),
            features: Features::default(),
            next_block: geometry.data_start_block,
            next_inode: ROOT,
            items_per_leaf: usize::MAX,
            entries_per_index: 101,
            items: BTreeMap::new(),
            log: Vec::new(),
            on_node: Box::new(|_, _, _| {}),
            on_map: Box::new(|_| {}),
        };
        builder.inode(FileType::Directory, ROOT);
        builder
    }

    /// Lets files have checksums of their blocks.
    pub(in crate::fsck) fn with_data_checksums(mut self) -> Self {
        self.features.read_only_compatible |= Features::DATA_CHECKSUMS;
        self
    }

    /// Lets `hook` change every node (level, ordinal) before its checksum is taken.
    pub(in crate::fsck) fn on_node(
        mut self,
        hook: impl FnMut(u16, usize, &mut Block) + 'a,
    ) -> Self {
        self.on_node = Box::new(hook);
        self
    }

    /// Lets `hook` change the first leaf of the space map.
    pub(in crate::fsck) fn on_map(mut self, hook: impl FnMut(&mut SpaceWords) + 'a) -> Self {
        self.on_map = Box::new(hook);
        self
    }

    /// Puts so few items into a leaf, and so few entries into an index node, that few make a tree.
    pub(in crate::fsck) fn small_nodes(mut self) -> Self {
        self.items_per_leaf = 3;
        self.entries_per_index = 3;
        self
    }

    // ---- Items ------------------------------------------------------------------------------

    /// Puts any item.
    pub(in crate::fsck) fn put(&mut self, key: Key, value: Vec<u8>) {
        self.items.insert(key, value);
    }

    /// Takes any item out.
    pub(in crate::fsck) fn remove(&mut self, key: Key) {
        self.items.remove(&key).expect("such an item");
    }

    /// The keys of an inode's items of a kind.
    pub(in crate::fsck) fn keys(&self, inode: u64, kind: ItemKind) -> Vec<Key> {
        let keys = self.items.range(Key::range_of_kind(inode, kind));
        keys.map(|(key, _)| *key).collect()
    }

    /// Changes the value of an item.
    pub(in crate::fsck) fn edit(&mut self, key: Key, edit: impl FnOnce(&mut Vec<u8>)) {
        edit(self.items.get_mut(&key).expect("such an item"));
    }

    /// Changes an inode.
    pub(in crate::fsck) fn edit_inode(&mut self, inode: u64, edit: impl FnOnce(&mut StoredInode)) {
        let key = Key::new(inode, ItemKind::Inode, 0);
        let mut stored = StoredInode::decode(&self.items[&key]).unwrap();
        edit(&mut stored);
        self.put(key, stored.encode().to_vec());
    }

    /// An inode without names.
    pub(in crate::fsck) fn inode(&mut self, kind: FileType, parent: u64) -> u64 {
        let number = self.next_inode;
        self.next_inode += 1;
        let is_directory = kind == FileType::Directory;
        let stored = StoredInode {
            kind,
            mode: if is_directory { 0o755 } else { 0o644 },
            links: if is_directory { 2 } else { 0 },
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            size_bytes: if kind == FileType::Symlink { 1 } else { 0 },
            allocated_blocks: 0,
            parent: if is_directory { parent } else { 0 },
            accessed: TIME,
            modified: TIME,
            changed: TIME,
            created: TIME,
            xattr_bytes: 0,
        };
        self.put(Key::new(number, ItemKind::Inode, 0), stored.encode().into());
        number
    }

    /// Where a new name of a directory goes.
    pub(in crate::fsck) fn position(&self, directory: u64, name: &str) -> u64 {
        let mut positions = self.hash.position_range(name.as_bytes());
        let key = |position| Key::new(directory, ItemKind::Dirent, position);
        let is_free = |position: &u64| !self.items.contains_key(&key(*position));
        positions.find(is_free).expect("few names of one hash")
    }

    /// A name for `inode` in `directory`; counts no link.
    pub(in crate::fsck) fn entry(
        &mut self,
        directory: u64,
        name: &str,
        inode: u64,
        kind: FileType,
    ) -> u64 {
        let position = self.position(directory, name);
        self.entry_at(directory, position, name, inode, kind);
        position
    }

    /// The same at any position.
    pub(in crate::fsck) fn entry_at(
        &mut self,
        directory: u64,
        position: u64,
        name: &str,
        inode: u64,
        kind: FileType,
    ) {
        let name = name.as_bytes();
        let entry = StoredDirent { inode, kind, name };
        let key = Key::new(directory, ItemKind::Dirent, position);
        self.put(key, entry.encode());
    }

    /// A name for what is no directory, counted.
    pub(in crate::fsck) fn link(&mut self, directory: u64, name: &str, inode: u64) -> u64 {
        let key = Key::new(inode, ItemKind::Inode, 0);
        let kind = StoredInode::decode(&self.items[&key]).unwrap().kind;
        self.edit_inode(inode, |stored| stored.links += 1);
        self.entry(directory, name, inode, kind)
    }

    pub(in crate::fsck) fn allocate(&mut self, len_blocks: u64) -> u64 {
        let block = self.next_block;
        // A block between any two runs: adjacent ones would have to be joined.
        self.next_block += len_blocks + 1;
        assert!(
            self.next_block <= self.geometry.block_count,
            "a larger image"
        );
        block
    }

    /// Gives a file exactly these runs.
    pub(in crate::fsck) fn set_runs(&mut self, inode: u64, runs: &[StoredRun]) {
        for key in self.keys(inode, ItemKind::Extents) {
            self.remove(key);
        }
        let same_segment =
            |a: &StoredRun, b: &StoredRun| segment_of(a.file_block) == segment_of(b.file_block);
        for segment in runs.chunk_by(same_segment) {
            for (position, value) in encode_extents(segment_of(segment[0].file_block), segment) {
                self.put(Key::new(inode, ItemKind::Extents, position), value);
            }
        }
        let blocks = runs.iter().map(|run| run.len_blocks).sum();
        let end = runs.last().map_or(0, StoredRun::file_end);
        self.edit_inode(inode, |stored| {
            stored.allocated_blocks = blocks;
            stored.size_bytes = end * BLOCK_BYTES;
        });
    }

    /// A file that has blocks at `ranges` (first block, blocks), and ends with the last of them.
    pub(in crate::fsck) fn file(
        &mut self,
        directory: u64,
        name: &str,
        ranges: &[(u64, u64)],
    ) -> u64 {
        let inode = self.inode(FileType::File, 0);
        let mut runs = Vec::new();
        for (file_block, len_blocks) in ranges {
            runs.push(run(*file_block, self.allocate(*len_blocks), *len_blocks));
        }
        self.set_runs(inode, &runs);
        self.link(directory, name, inode);
        inode
    }

    /// Two files that share `len_blocks` blocks, counted.
    pub(in crate::fsck) fn shared_files(&mut self, len_blocks: u64) -> [u64; 2] {
        let block = self.allocate(len_blocks);
        let files = ["first", "second"].map(|name| {
            let inode = self.file(ROOT, name, &[]);
            let shared = StoredRun {
                sharing: Sharing::Shared,
                ..run(0, block, len_blocks)
            };
            self.set_runs(inode, &[shared]);
            inode
        });
        self.count(block, len_blocks, 2);
        files
    }

    /// Counts owners of blocks.
    pub(in crate::fsck) fn count(&mut self, device_block: u64, len_blocks: u64, owners: u64) {
        let shared = StoredSharedRun {
            device_block,
            len_blocks,
            owners,
        };
        let key = Key::new(0, ItemKind::Shared, device_block);
        self.put(key, shared.encode().into());
    }

    /// A directory.
    pub(in crate::fsck) fn directory(&mut self, parent: u64, name: &str) -> u64 {
        let inode = self.inode(FileType::Directory, parent);
        self.entry(parent, name, inode, FileType::Directory);
        self.edit_inode(parent, |stored| stored.links += 1);
        inode
    }

    /// A symbolic link.
    pub(in crate::fsck) fn symlink(&mut self, directory: u64, name: &str, target: &str) -> u64 {
        let inode = self.inode(FileType::Symlink, 0);
        self.edit_inode(inode, |stored| stored.size_bytes = target.len() as u64);
        for (chunk, bytes) in chunks(target.as_bytes()) {
            self.put(Key::new(inode, ItemKind::SymlinkChunk, chunk), bytes.into());
        }
        self.link(directory, name, inode);
        inode
    }

    /// Gives an inode an attribute, and no other.
    pub(in crate::fsck) fn xattr(&mut self, inode: u64, name: &str, value: &[u8]) {
        let blob = encode_xattrs(&[(name.into(), value.into())].into());
        self.edit_inode(inode, |stored| stored.xattr_bytes = blob.len() as u32);
        for (chunk, bytes) in chunks(&blob) {
            self.put(Key::new(inode, ItemKind::XattrChunk, chunk), bytes.into());
        }
    }

    /// Lists an inode for removal.
    pub(in crate::fsck) fn orphan(&mut self, inode: u64) {
        self.put(orphan_key(inode), Vec::new());
    }

    // ---- Log --------------------------------------------------------------------------------

    /// Where the next record lies.
    pub(in crate::fsck) fn lsn(&self) -> u64 {
        FIRST_LSN + self.log.len() as u64
    }

    /// Appends a record; everything before it is durable.
    pub(in crate::fsck) fn record(&mut self, record: &Record) -> u64 {
        let lsn = self.lsn();
        self.record_with(record, EPOCH, lsn);
        lsn
    }

    /// The same with any epoch.
    pub(in crate::fsck) fn record_with(&mut self, record: &Record, epoch: u64, durable_lsn: u64) {
        let stamp = Stamp {
            lsn: Lsn::new(self.lsn()),
            epoch,
            durable_lsn: Lsn::new(durable_lsn),
        };
        record.encode(stamp, &mut self.log);
    }

    /// A record that makes a file.
    pub(in crate::fsck) fn create(&self, directory: u64, name: &str, inode: u64) -> Record {
        Record::Create {
            parent: directory,
            position: self.position(directory, name),
            name: name.into(),
            inode,
            kind: FileType::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            rdev: 0,
            time: TIME,
            target: Vec::new(),
            links: 1,
            xattrs: Vec::new(),
        }
    }

    /// Damages the log: flips a bit of the byte at `lsn`.
    pub(in crate::fsck) fn flip_log(&mut self, lsn: u64) {
        self.log[(lsn - FIRST_LSN) as usize] ^= 1;
    }

    // ---- Layout -----------------------------------------------------------------------------

    /// Lays everything out.
    pub(in crate::fsck) fn build(mut self) -> TestImage {
        let mut bytes = vec![0; (self.geometry.block_count * BLOCK_BYTES) as usize];
        let log_start = block_offset_bytes(self.geometry.log_start_block) as usize;
        let log_at = log_start + FIRST_LSN as usize;
        bytes[log_at..log_at + self.log.len()].copy_from_slice(&self.log);
        let mut layout = Layout {
            bytes,
            nodes: Vec::new(),
        };
        let mut used = vec![false; self.geometry.block_count as usize];
        let mut data_blocks = 0;
        for (key, value) in &self.items {
            let decoded = match key.kind {
                ItemKind::Extents => {
                    crate::format::item::extents::decode_extents(key.position, value)
                }
                _ => continue,
            };
            for run in decoded.unwrap_or_default() {
                for block in run.device_block..run.device_end() {
                    if let Some(used) = used.get_mut(block as usize) {
                        data_blocks += u64::from(!std::mem::replace(used, true));
                        layout.fill(block);
                    }
                }
            }
        }
        let (root, root_level) = self.tree(&mut layout);
        for node in &layout.nodes {
            used[node.block as usize] = true;
        }
        let space_root = self.space_map(&used, &mut layout);
        let keys = self.items.keys();
        let inodes = keys.filter(|key| key.kind == ItemKind::Inode && key.position == 0);
        let superblock = Superblock {
            features: self.features,
            uuid: *b"an image of test",
            label: Label::new("test").expect("short"),
            geometry: self.geometry,
            generation: GENERATION,
            root,
            root_level,
            tree_nodes: layout.nodes.len() as u64,
            space_root,
            data_blocks,
            data_mode: DataMode::InPlace,
            log_first_lsn: FIRST_LSN,
            epoch: EPOCH,
            hash_key: *b"the key of tests",
            next_inode: self.next_inode.max(2),
            live_inodes: (inodes.count() as u64).max(1),
            created_ns: 1,
            checkpointed_ns: 2,
            state: match self.log.is_empty() {
                true => SuperblockState::Clean,
                false => SuperblockState::InUse,
            },
        };
        let mut image = TestImage {
            bytes: layout.bytes,
            nodes: layout.nodes,
            superblock,
        };
        image.edit_superblock(|_| {});
        image
    }

    fn tree(&mut self, layout: &mut Layout) -> (BlockPointer, u16) {
        let items = std::mem::take(&mut self.items);
        let all = items.iter().collect::<Vec<_>>();
        let mut entries = Vec::new();
        let mut start = 0;
        while start < all.len() {
            let (mut end, mut len) = (start, 0);
            while end < all.len() && end - start < self.items_per_leaf {
                len += 24 + all[end].1.len();
                if len > BLOCK_LEN - 32 {
                    break;
                }
                end += 1;
            }
            let slices = all[start..end]
                .iter()
                .map(|(key, value)| (**key, value.as_slice()));
            let leaf = encode_leaf(self.next_block, GENERATION, slices).unwrap();
            entries.push(self.node(layout, 0, entries.len(), leaf, *all[start].0));
            start = end;
        }
        self.items = items;
        for level in 1..=MAXIMUM_NODE_LEVEL {
            if entries.len() < 2 {
                break;
            }
            let below = std::mem::take(&mut entries);
            for (at, below) in below.chunks(self.entries_per_index).enumerate() {
                let node = encode_index(self.next_block, level, GENERATION, below).unwrap();
                entries.push(self.node(layout, level, at, node, below[0].key));
            }
        }
        let level = layout.nodes.last().map_or(0, |node| node.level);
        let root = entries.first().map_or(BlockPointer::NULL, |e| e.pointer);
        (root, level)
    }

    fn node(
        &mut self,
        layout: &mut Layout,
        level: u16,
        at: usize,
        mut node: Block,
        first_key: Key,
    ) -> IndexEntry {
        (self.on_node)(level, at, &mut node);
        let block = self.next_block;
        self.next_block += 1;
        layout.nodes.push(TestNode {
            block,
            level,
            first_key,
        });
        layout.put(block, &node);
        IndexEntry {
            key: first_key,
            pointer: BlockPointer::to(block, &node),
        }
    }

    fn space_map(&mut self, used: &[bool], layout: &mut Layout) -> BlockPointer {
        let mut pointers = Vec::new();
        for (index, blocks) in (0..).zip(used.chunks(WORDS_PER_SPACE_LEAF * 64)) {
            let mut words: SpaceWords = [0; WORDS_PER_SPACE_LEAF];
            for (block, used) in blocks.iter().enumerate() {
                words[block / 64] |= u64::from(*used) << (block % 64);
            }
            if index == 0 {
                (self.on_map)(&mut words);
            }
            let leaf = encode_space_leaf(index, GENERATION, &words);
            let [slot, _] = self.geometry.space_slots(0, index);
            pointers.push(layout.space_block(slot, leaf));
        }
        if self.geometry.space_level() == 0 {
            return pointers[0];
        }
        let place = SpacePlace::new(1, 0);
        let index = encode_space_index(place, GENERATION, &pointers).unwrap();
        let [slot, _] = self.geometry.space_slots(1, 0);
        layout.space_block(slot, index)
    }
}

/// An exclusive run.
pub(in crate::fsck) fn run(file_block: u64, device_block: u64, len_blocks: u64) -> StoredRun {
    StoredRun {
        file_block,
        device_block,
        len_blocks,
        sharing: Sharing::Exclusive,
    }
}

struct Layout {
    bytes: Vec<u8>,
    nodes: Vec<TestNode>,
}

/// What a block of a file has in it.
pub(in crate::fsck) fn content_of(block: u64) -> Vec<u8> {
    (block * 0x9e37_79b9).to_le_bytes().repeat(BLOCK_LEN / 8)
}

impl Layout {
    /// Gives a block of a file a content of its own.
    fn fill(&mut self, number: u64) {
        let at = block_offset_bytes(number) as usize;
        self.bytes[at..at + BLOCK_LEN].copy_from_slice(&content_of(number));
    }

    fn put(&mut self, number: u64, block: &Block) {
        let at = block_offset_bytes(number) as usize;
        self.bytes[at..at + BLOCK_LEN].copy_from_slice(block.bytes());
    }

    fn space_block(&mut self, number: u64, block: Option<Block>) -> BlockPointer {
        let Some(block) = block else {
            return BlockPointer::NULL;
        };
        self.put(number, &block);
        BlockPointer::to(number, &block)
    }
}
