//! What a record alone can show to be wrong: names that are none, sizes that no file has.
//!
//! Whether it fits the filesystem (whether the directory exists, whether the blocks are free) is
//! for those who apply it. A record is checked before it is appended, too: what was acknowledged
//! can be replayed. Pure: no I/O, no locks.

use super::field::FIELDS;
use super::{Disposition, Entry, Record, SettledRun};
use crate::format::acl::{ACCESS_ACL, DEFAULT_ACL, check_acls, stored_acl_problem};
use crate::format::error::FormatError;
use crate::format::geometry::{
    MAXIMUM_BLOCKS, MAXIMUM_FILE_BLOCKS, MAXIMUM_FILE_BYTES, blocks_for_bytes,
};
use crate::format::item::dirent::DIRENT_POSITIONS as POSITIONS;
use crate::format::item::dirent::dirent_name_problem as name_problem;
use crate::format::item::inode::PERMISSION_BITS as MODE_BITS;
use crate::format::item::{FileType, decode_xattrs};
use crate::run::Run;

/// The longest target of a symbolic link, in bytes.
const MAXIMUM_TARGET_BYTES: usize = 4095;
/// The longest name of an extended attribute, in bytes.
const MAXIMUM_XATTR_NAME_BYTES: usize = 255;
/// The longest value of an extended attribute, in bytes: all attributes of an inode together are
/// at most as long.
const MAXIMUM_XATTR_VALUE_BYTES: usize = 64 << 10;
/// The flags of an extent: bit 0, it is shared.
const EXTENT_FLAGS: u32 = 1;

impl Record {
    /// Checks what the record alone can show.
    pub(crate) fn check(&self) -> Result<(), FormatError> {
        self.check_inodes()?;
        match self {
            Self::Create { .. } => self.check_create(),
            Self::Link { position, name, .. } => {
                check_position(*position)?;
                check_name(name)
            }
            Self::Unlink { position, .. } => check_position(*position),
            Self::Rename { .. } => self.check_rename(),
            Self::Exchange { first, second, .. } => {
                check_position(first.position)?;
                check_position(second.position)
            }
            Self::SetAttributes {
                mode, access_acl, ..
            } => {
                check_mode(mode.unwrap_or_default())?;
                check_acl("access_acl", access_acl.as_deref().unwrap_or_default())
            }
            Self::SetXattr { name, value, .. } => {
                check_xattr_name(name)?;
                check_bytes("value", 0, MAXIMUM_XATTR_VALUE_BYTES, value)?;
                match name.as_slice() {
                    // It goes with the permission bits.
                    ACCESS_ACL => Err(FIELDS.invalid("name", "is that of an attribute record")),
                    DEFAULT_ACL => check_acl("value", value),
                    _ => Ok(()),
                }
            }
            Self::RemoveXattr { name, .. } => check_xattr_name(name),
            Self::RemoveInode { .. } | Self::RedoDone { .. } => Ok(()),
            _ => self.check_content(),
        }
    }

    /// The records that change what a file holds.
    fn check_content(&self) -> Result<(), FormatError> {
        match self {
            Self::Map {
                file_block,
                run,
                flags,
                len_bytes,
                ..
            } => {
                check_flags(*flags)?;
                check_run(*file_block, *run)?;
                check_len(*len_bytes)
            }
            Self::Replace {
                file_block,
                runs,
                len_bytes,
                ..
            } => {
                check_runs(*file_block, runs)?;
                check_len(*len_bytes)
            }
            Self::Unmap { file_blocks, .. } | Self::ForgetChecksums { file_blocks, .. } => {
                let len_blocks = file_blocks.end.saturating_sub(file_blocks.start);
                check_blocks("file_blocks", file_blocks.start, len_blocks)
            }
            Self::SetLength {
                len_bytes,
                kept_blocks,
                ..
            } => {
                check_len(*len_bytes)?;
                let least = blocks_for_bytes(*len_bytes);
                FIELDS.range("kept_blocks", least, MAXIMUM_FILE_BLOCKS, *kept_blocks)
            }
            Self::Extend { len_bytes, .. } => check_len(*len_bytes),
            Self::Share {
                from_block,
                to_block,
                len_blocks,
                len_bytes,
                ..
            } => {
                check_blocks("from_block", *from_block, *len_blocks)?;
                check_blocks("to_block", *to_block, *len_blocks)?;
                check_len(*len_bytes)
            }
            Self::Shift {
                file_block,
                len_blocks,
                len_bytes,
                ..
            } => {
                check_blocks("file_block", *file_block, *len_blocks)?;
                check_len(*len_bytes)
            }
            Self::Redo {
                offset_bytes,
                bytes,
                ..
            } => {
                check_bytes("bytes", 1, usize::MAX, bytes)?;
                check_len(offset_bytes.saturating_add(bytes.len() as u64))
            }
            _ => Ok(()),
        }
    }

    /// No inode has the number 0.
    fn check_inodes(&self) -> Result<(), FormatError> {
        let both = |a: &u64, b: &u64| {
            check_inode(*a)?;
            check_inode(*b)
        };
        let of_entry = |entry: &Entry| both(&entry.directory, &entry.inode);
        match self {
            Self::Create { parent, inode, .. } => both(parent, inode),
            Self::Link {
                directory, inode, ..
            }
            | Self::Unlink {
                directory, inode, ..
            } => both(directory, inode),
            Self::Rename {
                from_directory,
                to_directory,
                inode,
                ..
            } => {
                both(from_directory, to_directory)?;
                check_inode(*inode)
            }
            Self::Exchange { first, second, .. } => {
                of_entry(first)?;
                of_entry(second)
            }
            Self::Share {
                from_inode,
                to_inode,
                ..
            } => both(from_inode, to_inode),
            Self::SetAttributes { inode, .. }
            | Self::SetXattr { inode, .. }
            | Self::RemoveXattr { inode, .. }
            | Self::Map { inode, .. }
            | Self::Unmap { inode, .. }
            | Self::SetLength { inode, .. }
            | Self::Extend { inode, .. }
            | Self::Replace { inode, .. }
            | Self::Shift { inode, .. }
            | Self::RemoveInode { inode }
            | Self::RedoDone { inode }
            | Self::ForgetChecksums { inode, .. }
            | Self::Redo { inode, .. } => check_inode(*inode),
        }
    }

    fn check_create(&self) -> Result<(), FormatError> {
        let Self::Create {
            position,
            name,
            kind,
            mode,
            rdev,
            target,
            links,
            xattrs,
            ..
        } = self
        else {
            return Ok(());
        };
        check_mode(*mode)?;
        let of_xattrs = |_| FIELDS.invalid("xattrs", "are none that it can begin with");
        let decoded = decode_xattrs(xattrs).map_err(of_xattrs)?;
        check_acls(*kind, *mode, &decoded).map_err(of_xattrs)?;
        if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
            FIELDS.equal("rdev of no device", 0_u64, *rdev)?;
        }
        match kind {
            FileType::Symlink => {
                check_bytes("target", 1, MAXIMUM_TARGET_BYTES, target)?;
                check_no_nul("target", target)?;
            }
            _ => FIELDS.equal("length of target", 0_u64, target.len() as u64)?,
        }
        if *links == 0 {
            FIELDS.equal("position without a name", 0_u64, *position)?;
            return FIELDS.equal("length of name without links", 0_u64, name.len() as u64);
        }
        let expected = if *kind == FileType::Directory {
            2
        } else {
            1_u32
        };
        FIELDS.equal("links", expected, *links)?;
        check_position(*position)?;
        check_name(name)
    }

    fn check_rename(&self) -> Result<(), FormatError> {
        let Self::Rename {
            from_position,
            to_position,
            to_name,
            replaced_inode,
            disposition,
            ..
        } = self
        else {
            return Ok(());
        };
        if *replaced_inode == 0 && *disposition != Disposition::Kept {
            return Err(FIELDS.invalid("disposition", "is that of no inode"));
        }
        check_position(*from_position)?;
        check_position(*to_position)?;
        check_name(to_name)
    }
}

fn check_inode(inode: u64) -> Result<(), FormatError> {
    FIELDS.range("inode", 1, u64::MAX, inode)
}

fn check_position(position: u64) -> Result<(), FormatError> {
    FIELDS.range("position", POSITIONS.start, POSITIONS.end - 1, position)
}

fn check_mode(mode: u16) -> Result<(), FormatError> {
    FIELDS.range("mode", 0, MODE_BITS.into(), mode.into())
}

fn check_flags(flags: u32) -> Result<(), FormatError> {
    FIELDS.range("flags", 0, EXTENT_FLAGS.into(), flags.into())
}

fn check_len(len_bytes: u64) -> Result<(), FormatError> {
    FIELDS.range("len_bytes", 0, MAXIMUM_FILE_BYTES, len_bytes)
}

fn check_blocks(field: &'static str, start: u64, len_blocks: u64) -> Result<(), FormatError> {
    FIELDS.range("len_blocks", 1, MAXIMUM_FILE_BLOCKS, len_blocks)?;
    FIELDS.range(field, 0, MAXIMUM_FILE_BLOCKS - len_blocks, start)
}

fn check_run(file_block: u64, run: SettledRun) -> Result<(), FormatError> {
    let run = run.run();
    check_blocks("file_block", file_block, run.len_blocks)?;
    FIELDS.range("run", 1, MAXIMUM_BLOCKS - run.len_blocks, run.block)
}

/// Runs that follow each other in the file, and are apart on the device.
fn check_runs(file_block: u64, runs: &[SettledRun]) -> Result<(), FormatError> {
    if runs.is_empty() {
        return Err(FIELDS.invalid("runs", "are none"));
    }
    let mut at = file_block;
    for run in runs {
        check_run(at, *run)?;
        at += run.run().len_blocks;
    }
    let mut in_order: Vec<Run> = runs.iter().map(|run| run.run()).collect();
    in_order.sort_unstable_by_key(|run| run.block);
    if in_order
        .windows(2)
        .any(|pair| pair[0].end() > pair[1].block)
    {
        return Err(FIELDS.invalid("runs", "have blocks in common"));
    }
    Ok(())
}

fn check_name(name: &[u8]) -> Result<(), FormatError> {
    name_problem(name).map_or(Ok(()), |rule| Err(FIELDS.invalid("name", rule)))
}

fn check_xattr_name(name: &[u8]) -> Result<(), FormatError> {
    check_bytes("name", 1, MAXIMUM_XATTR_NAME_BYTES, name)?;
    check_no_nul("name", name)
}

/// A list that is stored, or none.
fn check_acl(field: &'static str, acl: &[u8]) -> Result<(), FormatError> {
    let problem = (!acl.is_empty()).then(|| stored_acl_problem(acl)).flatten();
    problem.map_or(Ok(()), |rule| Err(FIELDS.invalid(field, rule)))
}

fn check_bytes(
    field: &'static str,
    least: usize,
    most: usize,
    bytes: &[u8],
) -> Result<(), FormatError> {
    FIELDS.range(field, least as u64, most as u64, bytes.len() as u64)
}

fn check_no_nul(field: &'static str, bytes: &[u8]) -> Result<(), FormatError> {
    if bytes.contains(&0) {
        return Err(FIELDS.invalid(field, "contains a NUL byte"));
    }
    Ok(())
}
