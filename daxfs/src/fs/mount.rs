//! Reading a filesystem from its image: superblock, inodes, extents, names, free space.
//!
//! Every block is checked against the pointer to it, every value against what the format allows,
//! every block against a second owner, every name against the inode it stands for. What does no
//! harm (unreachable inodes, too many links) is left to fsck.
//!
//! Takes no locks but latches: nobody else can reach the volume yet.

use std::collections::HashMap;
use std::sync::Arc;

use daxfs_pmem::{Device, DeviceAccess, HUGE_PAGE_BYTES};

use super::checkpoint::Stored;
use super::options::{MountAccess, MountOptions};
use super::superblock::read_superblock;
use crate::allocation::{Allocator, DataUnit};
use crate::dax::MAX_FILE_BYTES;
use crate::directory::Target;
use crate::error::{Error, Result};
use crate::format::geometry::{
    BLOCK_BYTES, DATA_START_BLOCK, INODE_TABLE_OWNER, INODES_PER_LEAF, ROOT_INODE,
    SUPERBLOCK_BLOCKS, inode_table_leaves,
};
use crate::format::{
    self, DirentLeaf, Extent, ExtentLeaf, FormatError, InodeKind, InodeLeaf, NullPointers,
    Structure, Superblock, TreeRoot,
};
use crate::inode::Inode;
use crate::metadata::{StoredTree, TreeReader};
use crate::run::Run;
use crate::volume::Volume;

/// Reads the filesystem on `device`.
///
/// # Errors
/// What [`read_superblock`] reports, [`Error::Corrupt`] with the structure and its block, and
/// [`Error::InvalidOption`] when the options ask for what the device or the image does not allow.
pub(super) fn load(device: Arc<Device>, options: &MountOptions) -> Result<(Arc<Volume>, Stored)> {
    let superblock = read_superblock(&device)?;
    check_access(&device, &superblock, options)?;
    let unit = match device.mapping_granule_bytes() {
        HUGE_PAGE_BYTES => DataUnit::Group,
        _ => DataUnit::Block,
    };
    let allocator = Allocator::new(DATA_START_BLOCK, superblock.block_count, unit);
    let schedule = options.schedule.clone();
    let volume = Arc::new(Volume::new(device, allocator, schedule));
    let stored = Loader {
        volume: &volume,
        contents: HashMap::new(),
        data_blocks: 0,
    }
    .load(superblock)?;
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

struct Loader<'volume> {
    volume: &'volume Volume,
    contents: HashMap<u64, StoredTree>,
    data_blocks: u64,
}

/// How many names an inode was found to have.
#[derive(Clone, Copy, Default)]
struct Names {
    of_it: u64,
    /// Inside it, of directories.
    of_subdirectories: u64,
}

impl Names {
    fn check(self, stored: &format::Inode) -> Result<(), String> {
        let links = u64::from(stored.links);
        let (most_names, least_links) = match stored.kind {
            InodeKind::File => (u64::MAX, self.of_it),
            InodeKind::Directory if stored.number == ROOT_INODE => (0, 2 + self.of_subdirectories),
            InodeKind::Directory => (1, 2 + self.of_subdirectories),
        };
        if self.of_it > most_names {
            return Err(format!(
                "{} names, expected at most {most_names}",
                self.of_it
            ));
        }
        if links < least_links {
            return Err(format!("links is {links}, expected at least {least_links}"));
        }
        Ok(())
    }
}

impl Loader<'_> {
    fn load(mut self, superblock: Superblock) -> Result<Stored> {
        let (inodes, table) = self.read_table(&superblock)?;
        for (block, inode) in &inodes {
            self.load_inode(*block, inode)?;
        }
        self.volume.inodes.finish_loading(superblock.next_inode);
        self.check_root(&superblock)?;
        self.check_targets(&inodes)?;
        let contents: u64 = self.contents.values().map(StoredTree::block_count).sum();
        Ok(Stored {
            metadata_blocks: table.block_count() + contents,
            superblock,
            table,
            contents: self.contents,
            data_blocks: self.data_blocks,
        })
    }

    /// All inodes with the block that holds each.
    fn read_table(
        &self,
        superblock: &Superblock,
    ) -> Result<(Vec<(u64, format::Inode)>, StoredTree)> {
        // Numbers are reused, so there are never more than inodes that the image has room for.
        let most = superblock
            .block_count
            .saturating_mul(INODES_PER_LEAF as u64);
        if superblock.next_inode > most {
            return Err(Error::Corrupt {
                structure: Structure::Superblock.name(),
                block: SUPERBLOCK_BLOCKS[0],
                problem: format!("next_inode is {}, at most {most}", superblock.next_inode),
            });
        }
        let root = TreeRoot {
            pointer: superblock.inode_table,
            level: superblock.inode_table_level,
            leaves: inode_table_leaves(superblock.next_inode) as u32,
        };
        let mut inodes = Vec::new();
        let nulls = NullPointers::Allowed;
        let visit = |ordinal, block, bytes: &format::Block| {
            let at_block = |error: FormatError| error.at_block(block);
            for inode in InodeLeaf::parse(bytes, ordinal).map_err(at_block)?.inodes() {
                inodes.push((block, inode.map_err(at_block)?));
            }
            Ok(())
        };
        let reader = self.reader();
        let table = reader.read(INODE_TABLE_OWNER, root, Structure::InodeLeaf, nulls, visit)?;
        Ok((inodes, table))
    }

    fn load_inode(&mut self, block: u64, stored: &format::Inode) -> Result<()> {
        let corrupt = |problem: String| Error::Corrupt {
            structure: Structure::Inode.name(),
            block,
            problem: format!("inode {}: {problem}", stored.number),
        };
        if stored.size_bytes > MAX_FILE_BYTES {
            return Err(corrupt(format!(
                "{} bytes are more than a file has",
                stored.size_bytes
            )));
        }
        let inode = Inode::load(stored);
        let tree = match stored.kind {
            InodeKind::File => self.load_extents(block, stored, &inode)?,
            InodeKind::Directory => self.load_names(stored, &inode)?,
        };
        if tree.block_count() > 0 {
            self.contents.insert(stored.number, tree);
        }
        let found = inode.blocks().map_or(0, |blocks| blocks.allocated_blocks());
        if found != stored.allocated_blocks {
            let expected = stored.allocated_blocks;
            return Err(corrupt(format!("has {found} blocks, and says {expected}")));
        }
        self.data_blocks += found;
        if !self.volume.inodes.load(inode) {
            return Err(corrupt("the number is used twice".into()));
        }
        Ok(())
    }

    fn load_extents(
        &self,
        inode_block: u64,
        stored: &format::Inode,
        inode: &Inode,
    ) -> Result<StoredTree> {
        for extent in &stored.inline_extents {
            self.load_extent(inode_block, inode, extent)?;
        }
        let mut count = stored.inline_extents.len() as u64;
        let visit = |ordinal, block, bytes: &format::Block| {
            let leaf = ExtentLeaf::parse(bytes, stored.number, ordinal)
                .map_err(|error| error.at_block(block))?;
            for extent in leaf.extents() {
                self.load_extent(block, inode, extent)?;
            }
            count += leaf.extents().len() as u64;
            Ok(())
        };
        let nulls = NullPointers::Refused;
        let (owner, root) = (stored.number, stored.content);
        let tree = self
            .reader()
            .read(owner, root, Structure::ExtentLeaf, nulls, visit)?;
        if count != stored.extent_count {
            return Err(Error::Corrupt {
                structure: Structure::Inode.name(),
                block: inode_block,
                problem: format!(
                    "inode {owner}: has {count} extents, and says {}",
                    stored.extent_count
                ),
            });
        }
        Ok(tree)
    }

    fn load_extent(&self, block: u64, inode: &Inode, extent: &Extent) -> Result<()> {
        let corrupt = |problem: &str| Error::Corrupt {
            structure: Structure::Extent.name(),
            block,
            problem: format!("file block {}: {problem}", extent.file_block),
        };
        let run = Run::new(extent.device_block, u64::from(extent.len_blocks));
        let last = extent.file_block.saturating_add(run.len_blocks);
        if last > MAX_FILE_BYTES / BLOCK_BYTES {
            return Err(corrupt("past the largest file"));
        }
        self.reader().mark(run, Structure::Extent)?;
        let inserted = inode
            .blocks()
            .map_or(0, |b| b.insert_into_hole(extent.file_block, run));
        if inserted != run.len_blocks {
            return Err(corrupt("overlaps another extent of the file"));
        }
        Ok(())
    }

    fn load_names(&self, stored: &format::Inode, inode: &Inode) -> Result<StoredTree> {
        let visit = |ordinal, block, bytes: &format::Block| {
            let leaf = DirentLeaf::parse(bytes, stored.number, ordinal)
                .map_err(|error| error.at_block(block))?;
            for dirent in leaf.entries() {
                let target = Target {
                    inode: dirent.inode,
                    kind: dirent.kind,
                };
                if !inode
                    .directory()
                    .is_some_and(|names| names.load(dirent.name, target))
                {
                    return Err(Error::Corrupt {
                        structure: Structure::Dirent.name(),
                        block,
                        problem: format!("name {:?} is there twice", dirent.name.escape_ascii()),
                    });
                }
            }
            Ok(())
        };
        let nulls = NullPointers::Refused;
        self.reader().read(
            stored.number,
            stored.content,
            Structure::DirentLeaf,
            nulls,
            visit,
        )
    }

    fn check_root(&self, superblock: &Superblock) -> Result<()> {
        let root = self.volume.inodes.get(ROOT_INODE);
        if root.is_some_and(|root| root.directory().is_some()) {
            return Ok(());
        }
        Err(Error::Corrupt {
            structure: Structure::Inode.name(),
            block: superblock.inode_table.block,
            problem: "there is no root directory".into(),
        })
    }

    /// Every name stands for an inode that is there and is what the name says, and every inode
    /// counts as many names as it has, or more.
    ///
    /// Removal relies on both: with too few links it would take an inode from under a name that is
    /// left, and of a directory inside itself it would lock the same one twice.
    fn check_targets(&self, inodes: &[(u64, format::Inode)]) -> Result<()> {
        let mut names: HashMap<u64, Names> = HashMap::new();
        for (block, stored) in inodes {
            let Some(inode) = self.volume.inodes.get(stored.number) else {
                continue;
            };
            let Some(directory) = inode.directory() else {
                continue;
            };
            for (name, target) in directory.entries() {
                let found = self
                    .volume
                    .inodes
                    .get(target.inode)
                    .map(|inode| inode.kind());
                if found != Some(target.kind) {
                    return Err(Error::Corrupt {
                        structure: Structure::Dirent.name(),
                        block: *block,
                        problem: format!(
                            "in directory {}, {:?} stands for inode {}, a {:?}: found {found:?}",
                            stored.number,
                            name.escape_ascii(),
                            target.inode,
                            target.kind,
                        ),
                    });
                }
                names.entry(target.inode).or_default().of_it += 1;
                if target.kind == InodeKind::Directory {
                    names.entry(stored.number).or_default().of_subdirectories += 1;
                }
            }
        }
        inodes.iter().try_for_each(|(block, stored)| {
            let names = names.get(&stored.number).copied().unwrap_or_default();
            names.check(stored).map_err(|problem| Error::Corrupt {
                structure: Structure::Inode.name(),
                block: *block,
                problem: format!("inode {}: {problem}", stored.number),
            })
        })
    }

    fn reader(&self) -> TreeReader<'_> {
        TreeReader {
            device: &self.volume.device,
            allocator: &self.volume.allocator,
        }
    }
}
