//! Stage 0: the two copies of the superblock.

use daxfs_pmem::Device;

use super::issue::Issue;
use crate::error::Error;
use crate::format::geometry::{BLOCK_BYTES, SUPERBLOCK_BLOCKS, block_offset_bytes};
use crate::format::superblock_error::SuperblockError;
use crate::format::{Block, Superblock};

/// What the two copies gave.
#[derive(Debug)]
pub(super) struct Copies {
    /// The superblock that counts; `None` when neither copy is usable.
    pub(super) superblock: Option<Superblock>,
    /// What is wrong with the copies.
    pub(super) issues: Vec<Issue>,
}

/// Reads both copies.
///
/// # Errors
/// As [`super::check`].
pub(super) fn read(device: &Device) -> Result<Copies, Error> {
    let [first, second] = SUPERBLOCK_BLOCKS;
    let copies = [read_copy(device, first)?, read_copy(device, second)?];
    let mut issues = copies
        .iter()
        .zip(SUPERBLOCK_BLOCKS)
        .filter_map(|(copy, block)| {
            let problem = copy.as_ref().err()?.to_string();
            Some(Issue::SuperblockCopy { block, problem })
        })
        .collect::<Vec<_>>();
    if let [Ok(a), Ok(b)] = &copies {
        issues.extend(compare(a, b));
    }
    match Superblock::newest(copies) {
        Ok(superblock) => {
            check_length(device, &superblock)?;
            Ok(Copies {
                superblock: Some(superblock),
                issues,
            })
        }
        // Damage is for the report; all else means that there is no image of ours to check.
        Err(error @ Error::Corrupt { .. }) => {
            issues.push(Issue::NoSuperblock {
                problem: error.to_string(),
            });
            Ok(Copies {
                superblock: None,
                issues,
            })
        }
        Err(error) => Err(error),
    }
}

/// Two valid copies are of one image, and the same unless a crash came between their writes.
fn compare(first: &Superblock, second: &Superblock) -> Option<Issue> {
    if first.uuid != second.uuid {
        let (first, second) = (uuid_text(&first.uuid), uuid_text(&second.uuid));
        return Some(Issue::SuperblockIdentity { first, second });
    }
    let generation = first.generation;
    let differ = generation == second.generation && first != second;
    differ.then_some(Issue::SuperblockCopiesDiffer { generation })
}

fn read_copy(device: &Device, block: u64) -> Result<Result<Superblock, SuperblockError>, Error> {
    let end_bytes = block_offset_bytes(block + 1);
    if device.len_bytes() < end_bytes {
        let reason = format!("the device has only {} bytes", device.len_bytes());
        return Err(Error::NotAnImage { reason });
    }
    let mut bytes = Block::zeroed();
    device.read(block_offset_bytes(block), bytes.bytes_mut())?;
    Ok(Superblock::decode(&bytes))
}

fn check_length(device: &Device, superblock: &Superblock) -> Result<(), Error> {
    let found_bytes = device.len_bytes();
    let expected_bytes = block_offset_bytes(superblock.geometry.block_count);
    if found_bytes / BLOCK_BYTES < superblock.geometry.block_count {
        return Err(Error::Truncated {
            expected_bytes,
            found_bytes,
        });
    }
    Ok(())
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    uuid.iter().map(|byte| format!("{byte:02x}")).collect()
}
