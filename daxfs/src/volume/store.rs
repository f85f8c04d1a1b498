//! Reading inodes and their content from the tree of the last checkpoint.
//!
//! What is not in memory is as the last checkpoint has it: whatever changes an inode first brings
//! the part that it changes into memory, and a checkpoint lets go of nothing before its own tree is
//! the one that is read.
//!
//! # Locking
//! The tree is behind a reader/writer latch. It is held shared from reading an inode until the
//! inode is in the table, so that a checkpoint cannot come between: then a slow reader would put an
//! old state in the place of one that has changed, was stored, and left memory again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use daxfs_pmem::Device;
use parking_lot::RwLock;

use super::Volume;
use crate::allocation::SharedRun;
use crate::directory::{Entry, LoadedDirectory, Names, Target};
use crate::error::{Error, Result};
use crate::format::geometry::MAXIMUM_FILE_BYTES;
use crate::format::item::chunk::ChunkJoin;
use crate::format::item::dirent::DIRENT_POSITIONS;
use crate::format::item::{
    self, Sharing, StoredChecksums, StoredDirent, StoredInode, StoredSharedRun,
};
use crate::format::{FileType, FormatError, ImageGeometry, ItemKind, Key};
use crate::inode::Inode;
use crate::inode::block_map::{BlockMap, Found, MappedRun};
use crate::metadata::{NodeCache, NodeReader, Tree};
use crate::run::Run;

/// Owner of items that belong to no inode.
const NO_INODE: u64 = 0;

/// The tree of the last checkpoint.
pub(crate) struct Store {
    device: Arc<Device>,
    geometry: ImageGeometry,
    cache: NodeCache,
    tree: RwLock<Tree>,
}

impl Store {
    pub(crate) fn new(device: Arc<Device>, geometry: ImageGeometry, tree: Tree) -> Self {
        Self {
            device,
            geometry,
            cache: NodeCache::default(),
            tree: RwLock::new(tree),
        }
    }

    /// The tree.
    pub(crate) fn tree(&self) -> Tree {
        *self.tree.read()
    }

    /// What reads nodes.
    pub(crate) fn nodes(&self) -> NodeReader<'_> {
        NodeReader::new(&self.device, self.geometry, &self.cache)
    }

    /// From now on `tree` is what is read. When this returns nobody reads the old one.
    pub(crate) fn replace(&self, tree: Tree) {
        *self.tree.write() = tree;
    }

    /// Inodes without names, as of the last checkpoint.
    pub(crate) fn orphans(&self) -> Result<BTreeSet<u64>> {
        let tree = self.tree.read();
        let mut orphans = BTreeSet::new();
        let keys = Key::range_of_kind(NO_INODE, ItemKind::Orphan);
        tree.range(&self.nodes(), keys, &mut |key, bytes| {
            let orphan = item::decode_orphan(key.position, bytes);
            orphans.insert(orphan.map_err(|error| corrupt(key.position, &error))?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(orphans)
    }

    /// All chunks of one kind of one inode, joined.
    fn blob(
        &self,
        tree: &Tree,
        inode: u64,
        kind: ItemKind,
        mut chunks: ChunkJoin,
    ) -> Result<Vec<u8>> {
        let keys = Key::range_of_kind(inode, kind);
        tree.range(&self.nodes(), keys, &mut |key, bytes| {
            chunks
                .push(key.position, bytes)
                .map_err(|error| corrupt(inode, &error))?;
            Ok(ControlFlow::Continue(()))
        })?;
        chunks.finish().map_err(|error| corrupt(inode, &error))
    }

    fn stored_inode(&self, tree: &Tree, number: u64) -> Result<Option<Inode>> {
        let key = Key {
            inode: number,
            kind: ItemKind::Inode,
            position: 0,
        };
        let Some(bytes) = tree.get(&self.nodes(), key)? else {
            return Ok(None);
        };
        let stored = StoredInode::decode(&bytes).map_err(|error| corrupt(number, &error))?;
        if stored.size_bytes > MAXIMUM_FILE_BYTES {
            let problem = format!("{} bytes are more than a file has", stored.size_bytes);
            return Err(corrupt_inode(number, problem));
        }
        let target = match stored.kind {
            FileType::Symlink => {
                let chunks = item::target_chunks(stored.size_bytes);
                let target = self.blob(tree, number, ItemKind::SymlinkChunk, chunks)?;
                item::check_target(&target).map_err(|error| corrupt(number, &error))?;
                target
            }
            _ => Vec::new(),
        };
        Ok(Some(Inode::from_stored(number, &stored, target.into())))
    }

    fn names(&self, tree: &Tree, number: u64) -> Result<Names> {
        let mut names = Names::default();
        let keys = Key::range_of_kind(number, ItemKind::Dirent);
        tree.range(&self.nodes(), keys, &mut |key, bytes| {
            let dirent = StoredDirent::decode(bytes).map_err(|error| corrupt(number, &error))?;
            if !DIRENT_POSITIONS.contains(&key.position) {
                let problem = format!("a name is at {}, where none can be", key.position);
                return Err(corrupt_inode(number, problem));
            }
            let entry = Entry {
                name: dirent.name.into(),
                target: Target {
                    inode: dirent.inode,
                    kind: dirent.kind,
                },
            };
            names.load(key.position, entry);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(names)
    }

    fn blocks(&self, tree: &Tree, number: u64) -> Result<(BlockMap, Sharing)> {
        let blocks = BlockMap::default();
        let mut sharing = Sharing::Exclusive;
        let keys = Key::range_of_kind(number, ItemKind::Extents);
        tree.range(&self.nodes(), keys, &mut |key, bytes| {
            let runs = item::decode_extents(key.position, bytes)
                .map_err(|error| corrupt(number, &error))?;
            for stored in runs {
                let run = Run::new(stored.device_block, stored.len_blocks);
                if !self.geometry.is_data_range(run.block, run.len_blocks) {
                    let problem = format!("{run:?} is not all of the data area");
                    return Err(corrupt_inode(number, problem));
                }
                let mapped = MappedRun {
                    run,
                    sharing: stored.sharing,
                };
                if stored.sharing == Sharing::Shared {
                    sharing = Sharing::Shared;
                }
                if blocks.load_into_hole(stored.file_block, mapped) != run.len_blocks {
                    let problem = format!("block {} is mapped twice", stored.file_block);
                    return Err(corrupt_inode(number, problem));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        blocks.forget_changed();
        Ok((blocks, sharing))
    }

    fn checksums(&self, tree: &Tree, number: u64, blocks: &BlockMap) -> Result<()> {
        let keys = Key::range_of_kind(number, ItemKind::DataChecksums);
        tree.range(&self.nodes(), keys, &mut |key, bytes| {
            let stored = StoredChecksums::decode(key.position, bytes)
                .map_err(|error| corrupt(number, &error))?;
            let is_hole = |block: &u64| matches!(blocks.look_up(*block, 1), Found::Hole { .. });
            if let Some(block) = stored.blocks().map(|(block, _)| block).find(is_hole) {
                let problem = format!("block {block} has a checksum, and is a hole");
                return Err(corrupt_inode(number, problem));
            }
            blocks.checksums.load(&stored);
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The blocks with several places.
    fn shared_runs(&self, tree: &Tree) -> Result<Vec<SharedRun>> {
        let mut runs = Vec::new();
        let keys = Key::range_of_kind(NO_INODE, ItemKind::Shared);
        tree.range(&self.nodes(), keys, &mut |key, bytes| {
            let stored = StoredSharedRun::decode(key.position, bytes)
                .map_err(|error| corrupt(key.position, &error))?;
            runs.push(SharedRun {
                run: Run::new(stored.device_block, stored.len_blocks),
                owners: stored.owners,
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(runs)
    }
}

impl Volume {
    /// The inode with a number, from memory or from the medium.
    ///
    /// # Errors
    /// [`Error::StaleInode`] when there is none, [`Error::Corrupt`], [`Error::Device`].
    pub(crate) fn inode(&self, number: u64) -> Result<Arc<Inode>> {
        self.find_inode(number)?
            .ok_or(Error::StaleInode { inode: number })
    }

    /// The same; `None` when there is none.
    pub(crate) fn find_inode(&self, number: u64) -> Result<Option<Arc<Inode>>> {
        if let Some(inode) = self.inodes.get(number) {
            return Ok(Some(inode));
        }
        let tree = self.store.tree.read();
        if self.inodes.is_removed(number) {
            return Ok(None);
        }
        let stored = self.store.stored_inode(&tree, number)?;
        Ok(stored.and_then(|inode| self.inodes.load(inode)))
    }

    /// The directory that `inode` is, with its names.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Device`]; [`Error::Corrupt`] also when it is none, which the
    /// caller has looked at.
    pub(crate) fn directory<'inode>(
        &self,
        inode: &'inode Inode,
    ) -> Result<LoadedDirectory<'inode>> {
        let number = inode.number();
        let directory = inode
            .directory()
            .ok_or_else(|| corrupt_inode(number, "no directory".into()))?;
        if let Some(loaded) = directory.loaded(self.hash) {
            return Ok(loaded);
        }
        let tree = self.store.tree.read();
        Ok(directory.load(self.store.names(&tree, number)?, self.hash))
    }

    /// The block map of the file that `inode` is.
    ///
    /// # Errors
    /// As [`Volume::directory`].
    pub(crate) fn blocks<'inode>(&self, inode: &'inode Inode) -> Result<&'inode Arc<BlockMap>> {
        let number = inode.number();
        let file = inode
            .file()
            .ok_or_else(|| corrupt_inode(number, "no regular file".into()))?;
        if let Some(blocks) = file.blocks() {
            return Ok(blocks);
        }
        let tree = self.store.tree.read();
        let (blocks, sharing) = self.store.blocks(&tree, number)?;
        if blocks.allocated_blocks() != file.allocated_blocks() {
            let problem = format!(
                "has {} blocks, and says {}",
                blocks.allocated_blocks(),
                file.allocated_blocks()
            );
            return Err(corrupt_inode(number, problem));
        }
        if self.features.has_data_checksums() {
            self.store.checksums(&tree, number, &blocks)?;
        }
        if sharing == Sharing::Shared {
            self.owners.load_once(|| self.store.shared_runs(&tree))?;
        }
        Ok(file.load(blocks))
    }

    /// Sees to it that [`Volume::owners`] knows what the medium has. So does loading a block map
    /// with marks; whoever is about to mark blocks asks for it.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Device`].
    pub(crate) fn load_owners(&self) -> Result<()> {
        let tree = self.store.tree.read();
        self.owners.load_once(|| self.store.shared_runs(&tree))
    }

    /// Brings the extended attributes of `inode` into memory.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Device`].
    pub(crate) fn load_extended(&self, inode: &Inode) -> Result<()> {
        if inode.extended(|extended| extended.values().is_some()) {
            return Ok(());
        }
        let tree = self.store.tree.read();
        let number = inode.number();
        let bytes = inode.extended(|extended| extended.stored_bytes());
        let chunks = item::xattr_chunks(bytes);
        let blob = self
            .store
            .blob(&tree, number, ItemKind::XattrChunk, chunks)?;
        let values = item::decode_xattrs(&blob).map_err(|error| corrupt(number, &error))?;
        inode.extended(|extended| extended.load(values));
        Ok(())
    }
}

fn corrupt(number: u64, error: &FormatError) -> Error {
    corrupt_inode(number, error.to_string())
}

fn corrupt_inode(number: u64, problem: String) -> Error {
    Error::Corrupt {
        structure: "inode",
        block: 0,
        problem: format!("inode {number}: {problem}"),
    }
}
