//! What an image holds, by path: read through the check's own reader.

use std::collections::BTreeMap;

use daxfs_pmem::Device;

use super::builder::ROOT;
use crate::format::FileType;
use crate::format::geometry::{BLOCK_BYTES, block_offset_bytes};
use crate::format::item::dirent::StoredDirent;
use crate::format::item::{ItemKind, Key, StoredInode};
use crate::fsck::copies;
use crate::fsck::image::Image;
use crate::fsck::items::Items;
use crate::fsck::nodes;
use crate::fsck::ownership::Ownership;
use crate::fsck::progress::NoProgress;
use crate::fsck::replay;
use crate::fsck::replay::runs;

/// Files, symbolic links and whatever else has a path, each with its content; directories with
/// nothing. The log is applied.
pub(in crate::fsck) fn tree_of(device: &Device) -> BTreeMap<String, Vec<u8>> {
    let superblock = copies::read(device).unwrap().superblock.unwrap();
    let image = Image { device, superblock };
    let ownership = Ownership::new(image.block_count());
    let walk = nodes::walk(&image, &ownership, &NoProgress).unwrap();
    let mut items = Items::new(&image, &walk.leaves);
    replay::replay(&mut items, &ownership.used).unwrap();
    let mut tree = BTreeMap::new();
    let mut directories = vec![(String::new(), ROOT)];
    while let Some((path, directory)) = directories.pop() {
        let names = items.range(Key::range_of_kind(directory, ItemKind::Dirent));
        for (_, value) in names.unwrap() {
            let entry = StoredDirent::decode(&value).unwrap();
            let path = format!("{path}/{}", String::from_utf8_lossy(entry.name));
            if entry.kind == FileType::Directory {
                directories.push((path.clone(), entry.inode));
            }
            tree.insert(path, content(&items, entry.inode));
        }
    }
    tree
}

fn content(items: &Items<'_>, inode: u64) -> Vec<u8> {
    let value = items.get(Key::new(inode, ItemKind::Inode, 0)).unwrap();
    let stored = StoredInode::decode(&value.unwrap()).unwrap();
    let chunks = items.range(Key::range_of_kind(inode, ItemKind::SymlinkChunk));
    let mut content = chunks
        .unwrap()
        .into_iter()
        .flat_map(|(_, chunk)| chunk)
        .collect::<Vec<_>>();
    let xattrs = items.range(Key::range_of_kind(inode, ItemKind::XattrChunk));
    content.extend(xattrs.unwrap().into_iter().flat_map(|(_, chunk)| chunk));
    if stored.kind == FileType::File {
        let start = content.len();
        content.resize(start + stored.size_bytes as usize, 0);
        for run in runs::load(items, inode, &(0..u64::MAX)).unwrap() {
            for block in 0..run.len_blocks {
                let at = ((run.file_block + block) * BLOCK_BYTES) as usize;
                let rest = content.len().saturating_sub(start + at);
                let mut bytes = vec![0; rest.min(BLOCK_BYTES as usize)];
                let device = items.image().device;
                let from = block_offset_bytes(run.device_block + block);
                device.read(from, &mut bytes).unwrap();
                content[start + at..][..bytes.len()].copy_from_slice(&bytes);
            }
        }
    }
    content
}
