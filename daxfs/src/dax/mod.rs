//! Direct access: reads, writes and mappings of a file, and what keeps them coherent.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`entry`] | the word of one mapping entry |
//! | [`wait_table`] | where threads sleep for an entry lock |
//! | [`entry_tree`] | a file's mapping entries |
//! | [`windows`] | the page tables that a file is in |
//! | [`lock_state`] | what the mapping lock of a file takes and has done |
//! | [`settings`] | what a file is opened with |
//! | [`fault`] | a page fault in terms of the file |
//! | [`prepared`] | blocks that are being made ready for a file |
//! | [`sharing`] | the steps by which a file comes to have blocks of its own |
//! | [`mapped_file`] | the file and the steps that designs are made of |
//! | [`checksums`] | checksums of data: compared, and forgotten before a change |
//! | [`mapping_lock`] | the designs: what keeps a fault's answer true |
//! | [`io_lock`] | the designs: which reads and writes run side by side |
//! | [`open_file`] | a file with its two locks |
//! | [`summing`] | computing the checksums of a file that nobody writes |
//! | [`buffers`] | the buffers of one read or write |
//! | [`copy_on_write`] | writing blocks that other places have too |
//! | [`atomic`] | writes that a crash leaves whole or not at all |
//! | [`zero`], [`io`], [`resize`] | reads and writes; truncation and holes |
//! | [`reflink`] | the same blocks for two places |
//! | [`preallocate`] | blocks ahead of time, and room in the middle of a file |
//! | [`seek`] | where data and holes begin |
//! | [`mapping`] | mappings of a file |
//!
//! Each imports only from those above it.
//!
//! # The flow of information
//! ```text
//!   block map ---------> mapping entries ---------> page tables
//!   (the truth)          (what may be mapped)       (what the CPU uses)
//! ```
//! When the first changes, what is stale in the second is dropped, then in the third. A new entry
//! made after the change is up to date; once no stale entry is left, one unmap of the range clears
//! the page tables. The race that this filesystem is about is a fault that reads the first before
//! the change and writes the second after the drop.
//!
//! # Locking
//! Outermost first:
//! ```text
//!   append mutex -> I/O range -> sharing lock -> mapping range -> gate -> entry -> latches
//! ```
//! (`none`, `recheck`, `entry` and `entry-rw` have no mapping range.) Latches: the allocator, block
//! maps, the inode table, lists of windows. User memory is touched with nothing inner to the I/O
//! range held.

mod atomic;
mod buffers;
mod checksums;
mod copy_on_write;
mod entry;
mod entry_tree;
mod fault;
mod io;
mod io_lock;
mod lock_state;
mod mapped_file;
mod mapping;
mod mapping_lock;
mod open_file;
mod preallocate;
mod prepared;
mod reflink;
mod resize;
mod seek;
mod settings;
mod sharing;
mod summing;
mod wait_table;
mod windows;
mod zero;

#[cfg(all(test, loom))]
#[path = "tests/loom/mod.rs"]
mod loom_tests;

pub(crate) use io::{
    append, append_vectored, read_at, read_vectored_at, write_at, write_vectored_at,
};
pub use io_lock::IoLock;
pub use lock_state::LockState;
pub use mapping::{MapOptions, Mapping, PageTables};
pub use mapping_lock::MappingLock;
pub(crate) use open_file::OpenFile;
pub use preallocate::Length;
pub(crate) use preallocate::{Content, allocate, shift};
pub(crate) use reflink::{CloneRange, clone_range};
pub(crate) use resize::{punch_hole, truncate};
pub(crate) use seek::{seek_data, seek_hole};
pub(crate) use settings::Settings;
pub use settings::{DataMode, EntrySizes, Unmapping};
pub(crate) use summing::{is_behind, sum_up};

/// The largest file: 16 TiB.
pub const MAX_FILE_BYTES: u64 = crate::format::geometry::MAXIMUM_FILE_BYTES;
