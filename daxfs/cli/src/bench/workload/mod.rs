//! What the threads of a benchmark do. [`WorkloadKind`] says it in words.
//!
//! | Module | Workloads |
//! |---|---|
//! | [`io`] | DRBL, DRBM, DRBH, DWOL, DWOM, DWOH: reads and writes of one block |
//! | [`private`] | DWAL, DWTL, DWSL: changes of files of one's own |
//! | [`mixed`] | DWRM-k: reads and writes of random overlapping ranges |
//! | [`fault`] | DMFL, DMFM, DMFH, DMFP, DMWM, DMWH: faults |
//! | [`unmap`] | DWUM: writes over holes that are mapped |
//! | [`contest`] | DWFM, DWPM, DTRF, DWAM: what is done in rounds |
//! | [`rounds`] | the rounds, and [`rendezvous`] the barrier between them |
//! | [`stamp`], [`buffer`] | bytes that say who wrote them |
//! | [`random`] | random numbers |
//!
//! Touches images through the library.

mod buffer;
mod contest;
mod fault;
mod io;
mod mixed;
mod private;
mod random;
mod rendezvous;
mod rounds;
mod stamp;
#[cfg(test)]
mod tests;
mod unmap;

use std::path::{Path, PathBuf};

use anyhow::Result;
use daxfs::{File, Filesystem, MapOptions, Mapping, PageTables};

use self::contest::append::{BLOCKS_PER_ROUND, SharedAppend};
use self::contest::punch::PunchAgainstFault;
use self::contest::truncate::TruncateAgainstFault;
use self::contest::write::WriteAgainstFault;
use self::io::Direction;
use self::rounds::{Contest, Rounds};
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
    /// What is read or written at once, where a workload leaves that open.
    pub(crate) block_bytes: u64,
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
            Content::Claimed => mixed::fill_file(&file)?,
            Content::Hole => file.truncate(len_bytes)?,
        }
    }
    Ok(())
}

/// Opens a workload for one slice.
pub(crate) fn open(kind: WorkloadKind, opening: &Opening<'_>) -> Result<Box<dyn Workload>> {
    use WorkloadKind as Kind;
    if let Some((direction, place)) = block_io(kind) {
        return Ok(Box::new(io::Io::open(opening, direction, place)?));
    }
    Ok(match kind {
        Kind::Dwal => Box::new(private::Private::open(opening, private::Change::Append)?),
        Kind::Dwtl => Box::new(private::Private::open(opening, private::Change::Truncate)?),
        Kind::Dwsl => Box::new(private::Private::open(opening, private::Change::Sync)?),
        Kind::Dwrm { read_percent } => Box::new(mixed::Mixed::open(opening, read_percent)?),
        Kind::Dmwm | Kind::Dmwh => Box::new(fault::WriteFaults::open(opening, fault_place(kind))?),
        Kind::Dwum => Box::new(unmap::WritesOverZeroes::open(opening)?),
        Kind::Dwfm => rounds(opening, WriteAgainstFault::open(opening)?),
        Kind::Dwpm => rounds(opening, PunchAgainstFault::open(opening)?),
        Kind::Dtrf => rounds(opening, TruncateAgainstFault::open(opening)?),
        Kind::Dwam => rounds(opening, SharedAppend::open(opening)?),
        _ => Box::new(fault::ReadFaults::open(opening, fault_place(kind))?),
    })
}

fn rounds(opening: &Opening<'_>, contest: impl Contest + 'static) -> Box<dyn Workload> {
    Box::new(Rounds::new(contest, opening.threads))
}

/// Which way the bytes go and where the blocks lie, for a workload of [`io`].
fn block_io(kind: WorkloadKind) -> Option<(Direction, io::Place)> {
    use WorkloadKind as Kind;
    Some(match kind {
        Kind::Drbl => (Direction::Read, io::Place::OwnFile),
        Kind::Drbm => (Direction::Read, io::Place::OwnRegion),
        Kind::Drbh => (Direction::Read, io::Place::OneBlock),
        Kind::Dwol => (Direction::Write, io::Place::OwnFile),
        Kind::Dwom => (Direction::Write, io::Place::OwnRegion),
        Kind::Dwoh => (Direction::Write, io::Place::Neighbours),
        _ => return None,
    })
}

/// Whose pages are whose, for a workload of [`fault`].
fn fault_place(kind: WorkloadKind) -> fault::Place {
    match kind {
        WorkloadKind::Dmfl => fault::Place::OwnFile,
        WorkloadKind::Dmfh | WorkloadKind::Dmwh => fault::Place::OneRegion,
        WorkloadKind::Dmfp => fault::Place::OnePage,
        _ => fault::Place::OwnRegion,
    }
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

/// A file that a workload needs.
struct FileLayout {
    name: PathBuf,
    len_bytes: u64,
    content: Content,
}

#[derive(Clone, Copy)]
enum Content {
    /// Every block has its stamp.
    Stamped,
    /// Every word says that it is of one write of everything.
    Claimed,
    /// One hole.
    Hole,
}

const SHARED_FILE: &str = "shared";

fn private_file(thread: usize) -> String {
    format!("private-{thread}")
}

fn layout(kind: WorkloadKind, threads: usize) -> Vec<FileLayout> {
    use WorkloadKind as Kind;
    let (len_bytes, content) = match kind {
        Kind::Dwal | Kind::Dwtl | Kind::Dwsl => (private::BLOCKS * BLOCK_BYTES, Content::Stamped),
        Kind::Dwam => {
            let blocks = threads as u64 * BLOCKS_PER_ROUND;
            (blocks * BLOCK_BYTES, Content::Hole)
        }
        Kind::Dwrm { .. } => (mixed::FILE_BYTES, Content::Claimed),
        Kind::Dmwm | Kind::Dmwh => (fault_place(kind).len_bytes(threads), Content::Hole),
        Kind::Dwum => {
            let len_bytes = unmap::WritesOverZeroes::file_bytes(threads);
            (len_bytes, Content::Hole)
        }
        Kind::Dwfm | Kind::Dwpm | Kind::Dtrf => (BLOCK_BYTES, Content::Hole),
        other => match block_io(other) {
            Some((_, place)) => (place.shared_len_bytes(threads), Content::Stamped),
            None => (fault_place(other).len_bytes(threads), Content::Stamped),
        },
    };
    let names = match kind.shares_a_file() {
        true => vec![SHARED_FILE.to_owned()],
        false => (0..threads).map(private_file).collect(),
    };
    let file = |name: String| FileLayout {
        name: name.into(),
        len_bytes,
        content,
    };
    names.into_iter().map(file).collect()
}
