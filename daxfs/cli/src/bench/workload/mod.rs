//! What the threads of a benchmark do.
//!
//! | Module | Workloads |
//! |---|---|
//! | [`io`] | DWOM, DWOL, DRBM, DRBL: writes and reads of one block |
//! | [`fault`] | DMFM, DMWM: faults through one mapping |
//! | [`race`] | DWFM: writes against faults on one page |
//! | [`rendezvous`] | the barrier between the rounds of DWFM |
//! | [`stamp`] | bytes that say who wrote them |
//!
//! The first four are FxMark's (Min, Kashyap, Maass, Kang, Kim: "Understanding Manycore
//! Scalability of File Systems", USENIX ATC 2016); the others fill the gap that it leaves, which
//! has no mappings. Touches images through the library.

mod fault;
mod io;
mod race;
mod rendezvous;
mod stamp;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Result;
use daxfs::{File, Filesystem, MapOptions, Mapping, PageTables};

use super::harness::Workload;
use super::kind::WorkloadKind;

/// The block that is written or read, and the page that is faulted, in bytes.
pub(crate) const BLOCK_BYTES: u64 = daxfs::PAGE_BYTES;

/// What a workload is opened on.
pub(crate) struct Opening<'a> {
    pub(crate) filesystem: &'a Filesystem,
    /// The directory of the benchmark.
    pub(crate) directory: &'a Path,
    pub(crate) threads: usize,
    pub(crate) page_tables: PageTables,
}

impl Opening<'_> {
    fn open(&self, name: &str) -> Result<File> {
        Ok(self.filesystem.open(self.directory.join(name))?)
    }

    /// Maps all of `file`, of `len_bytes`.
    fn map(&self, file: &File, len_bytes: u64) -> Result<Mapping> {
        let options = MapOptions {
            page_tables: self.page_tables,
            ..MapOptions::new(len_bytes)
        };
        Ok(file.map(options)?)
    }
}

/// How much space the files of a workload take, in bytes.
pub(crate) fn needed_bytes(kind: WorkloadKind, threads: usize) -> u64 {
    layout(kind, threads)
        .iter()
        .map(|file| file.len_bytes)
        .sum()
}

/// Makes the files of a workload for up to `threads` threads.
pub(crate) fn set_up(
    kind: WorkloadKind,
    filesystem: &Filesystem,
    directory: &Path,
    threads: usize,
) -> Result<()> {
    for FileLayout {
        name,
        len_bytes,
        content,
    } in layout(kind, threads)
    {
        let file = filesystem.create(directory.join(name))?;
        match content {
            Content::Stamped => stamp::fill_file(&file, len_bytes)?,
            Content::Hole => file.truncate(len_bytes)?,
        }
    }
    Ok(())
}

/// Opens a workload for one slice.
pub(crate) fn open(kind: WorkloadKind, opening: &Opening<'_>) -> Result<Box<dyn Workload>> {
    Ok(match kind {
        WorkloadKind::Dwom | WorkloadKind::Dwol => {
            Box::new(io::Io::open(opening, io::Direction::Write, sharing(kind))?)
        }
        WorkloadKind::Drbm | WorkloadKind::Drbl => {
            Box::new(io::Io::open(opening, io::Direction::Read, sharing(kind))?)
        }
        WorkloadKind::Dmfm => Box::new(fault::ReadFaults::open(opening)?),
        WorkloadKind::Dmwm => Box::new(fault::WriteFaults::open(opening)?),
        WorkloadKind::Dwfm => Box::new(race::Race::open(opening)?),
    })
}

/// Removes the files of a workload, and lets their blocks be used again.
pub(crate) fn clean_up(
    kind: WorkloadKind,
    filesystem: &Filesystem,
    directory: &Path,
    threads: usize,
) -> Result<()> {
    for FileLayout { name, .. } in layout(kind, threads) {
        filesystem.remove_file(directory.join(name))?;
    }
    Ok(filesystem.sync()?)
}

/// Whether threads have a file of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Shared,
    Private,
}

fn sharing(kind: WorkloadKind) -> Sharing {
    match kind {
        WorkloadKind::Dwol | WorkloadKind::Drbl => Sharing::Private,
        _ => Sharing::Shared,
    }
}

/// A file that a workload needs.
struct FileLayout {
    name: PathBuf,
    len_bytes: u64,
    content: Content,
}

enum Content {
    /// Every block has its stamp.
    Stamped,
    /// One hole.
    Hole,
}

const SHARED_FILE: &str = "shared";

fn private_file(thread: usize) -> String {
    format!("private-{thread}")
}

fn layout(kind: WorkloadKind, threads: usize) -> Vec<FileLayout> {
    let shared = |len_bytes, content| {
        vec![FileLayout {
            name: SHARED_FILE.into(),
            len_bytes,
            content,
        }]
    };
    let threads_u64 = threads as u64;
    match kind {
        WorkloadKind::Dwom | WorkloadKind::Drbm => {
            shared(threads_u64 * io::REGION_BYTES, Content::Stamped)
        }
        WorkloadKind::Dwol | WorkloadKind::Drbl => (0..threads)
            .map(|thread| FileLayout {
                name: private_file(thread).into(),
                len_bytes: io::REGION_BYTES,
                content: Content::Stamped,
            })
            .collect(),
        WorkloadKind::Dmfm => shared(threads_u64 * fault::REGION_BYTES, Content::Stamped),
        WorkloadKind::Dmwm => shared(threads_u64 * fault::REGION_BYTES, Content::Hole),
        WorkloadKind::Dwfm => shared(BLOCK_BYTES, Content::Hole),
    }
}
