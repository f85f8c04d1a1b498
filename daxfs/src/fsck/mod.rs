//! The judge of an image: reads all metadata, trusts none of it, says what is wrong, and can make
//! it right.
//!
//! Imports the format, the error type, runs of blocks and `daxfs_pmem`: it shares no code with the
//! part of the crate that writes images, so a mistake made there is not made again here. Checking
//! changes nothing; it works on any bytes without panic, and in time bounded by the size of the
//! image.
//!
//! | Module | Holds |
//! |---|---|
//! | `issue`, `severity`, `owner` | every way an image can be wrong, and how bad each is |
//! | `report` | [`Report`]: the issues, and what was counted |
//! | `progress` | [`Progress`]: how far the check is |
//! | `examine` | the order of the stages |
//! | `copies`, `image` | the two copies of the superblock; the one that counts |
//! | `nodes` | the walk of the tree |
//! | `items` | the items of its leaves, with changes laid over them |
//! | `facts`, `inode`, `scan` | what items say: each by itself, of one inode, of all |
//! | `namespace` | links, parents, paths |
//! | `bits`, `ownership`, `shared` | which blocks are in use; who shares one |
//! | `space` | the space map, and whether it says the same |
//! | `checksums` | checksums of data: blocks that have one, and whether they hold what they did |
//! | `log`, `replay` | the records of the log, and what they make of the items |
//! | `repair` | making it right |
//!
//! # What is checked
//! The checkpoint: every node is reached once, and is what its parent expects; every item decodes
//! and belongs to an inode that is there; names lead to inodes, are where their hashes belong, and
//! form one tree; links, sizes, owners of blocks and the superblock's counts are right; the space
//! map has exactly the blocks in use. Then the log: its records follow each other, apply to the
//! checkpoint, and leave a state that holds all of that too. An image with a log is normal after a
//! crash, and no issue. And where data has checksums, after the log its blocks hold what these were
//! computed of.
//!
//! # Why it ends
//! The tree is walked level by level, and the ranges of keys of the nodes at one level do not
//! overlap; a node begins with the first key of its range. So a node can pass in one place only,
//! however many pointers lead to it, and the walk visits no more nodes than the image has blocks.
//!
//! # Memory
//! Some bits for each block, about 50 bytes for each inode and 80 for each name, and what the log
//! changes. Leaves are read some thousands at a time.
//!
//! # Locks
//! None is held while a block is read, but for the latch of `items`.

mod bits;
mod checksums;
mod copies;
mod examine;
mod facts;
mod image;
mod inode;
mod issue;
mod items;
mod log;
mod namespace;
mod nodes;
mod owner;
mod ownership;
mod progress;
mod repair;
mod replay;
mod report;
mod scan;
mod severity;
mod shared;
mod space;
#[cfg(test)]
mod tests;

use daxfs_pmem::Device;

use crate::error::Error;

pub use self::issue::Issue;
pub use self::owner::{InodeKind, Owner};
pub use self::progress::{NoProgress, Progress, Stage};
pub use self::repair::{Action, Outcome, Refusal, Repair, repair};
pub use self::report::{Report, Shutdown};
pub use self::severity::Severity;
pub use crate::format::{FormatError, Problem, Structure};

/// Checks the image on `device` and reports all that is wrong with it. Changes nothing.
///
/// The caller makes sure that nobody writes to the device meanwhile, as [`Device::open_file`] does
/// for image files. Uses all threads of rayon's current pool.
///
/// # Errors
/// Damage is no error: it is in the report. An error says that there is nothing to check:
/// [`Error::NotAnImage`], [`Error::UnsupportedVersion`], [`Error::UnsupportedFeatures`];
/// [`Error::Truncated`] when the device is shorter than the image; [`Error::Device`] when the
/// device cannot be read.
///
/// ```
/// use daxfs::fsck::{self, NoProgress};
/// use daxfs::{Device, Filesystem, FormatOptions, PersistenceChoice};
///
/// # fn main() -> daxfs::Result<()> {
/// let device = Device::create_memfd(8 << 20, PersistenceChoice::Detect)?;
/// Filesystem::format(&device, &FormatOptions::default())?;
/// let report = fsck::check(&device, &NoProgress)?;
/// assert!(report.is_clean(), "{:?}", report.issues);
/// # Ok(())
/// # }
/// ```
pub fn check(device: &Device, progress: &dyn Progress) -> Result<Report, Error> {
    examine::examine(device, progress)
}
