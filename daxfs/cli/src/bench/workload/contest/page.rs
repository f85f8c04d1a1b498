//! The one page of a file that half of the threads change while the others fault it.
//!
//! Touches one file through the library; takes no locks.

use anyhow::Result;
use daxfs::{File, Mapping};

use crate::bench::harness::{Coherence, Recorder};
use crate::bench::workload::stamp::{self, Block};
use crate::bench::workload::{BLOCK_BYTES, Opening, SHARED_FILE};

/// The page, by both ways.
pub(super) struct Page {
    pub(super) file: File,
    pub(super) mapping: Mapping,
}

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The same number in each word; 0 in a hole.
    Whole(u64),
    /// Words that differ.
    Torn,
}

impl From<Option<u64>> for Content {
    fn from(stamp: Option<u64>) -> Self {
        stamp.map_or(Self::Torn, Self::Whole)
    }
}

impl Page {
    pub(super) fn open(opening: &Opening<'_>) -> Result<Self> {
        let file = opening.open(SHARED_FILE)?;
        let mapping = opening.map(&file, BLOCK_BYTES)?;
        Ok(Self { file, mapping })
    }

    /// Whether part `part` changes the page: the first half of `threads`, at least one.
    pub(super) fn is_changed_by(part: usize, threads: usize) -> bool {
        part < Self::changers(threads)
    }

    /// How many threads change the page.
    pub(super) fn changers(threads: usize) -> usize {
        (threads / 2).max(1)
    }

    /// One load, counted: what it saw.
    pub(super) fn fault(&self, recorder: &mut Recorder<'_>) -> Result<u64> {
        let mut bytes = [0; 8];
        recorder.timed(|| Ok(self.mapping.load(0, &mut bytes)?))?;
        Ok(stamp::word(&bytes))
    }

    /// The page filled with `stamp`.
    pub(super) fn write(&self, stamp: u64) -> Result<()> {
        Ok(self.file.write_all_at(&Block::stamped(stamp).0, 0)?)
    }

    /// What read returns, and what a load does.
    pub(super) fn both_views(&self) -> Result<(Content, Content)> {
        let (mut read, mut loaded) = (Block::zeroed(), Block::zeroed());
        self.file.read_at(&mut read.0, 0)?;
        self.mapping.load(0, &mut loaded.0)?;
        Ok((read.stamp().into(), loaded.stamp().into()))
    }

    /// Coherent if the page is a hole by both ways.
    pub(super) fn judge_hole(&self) -> Result<Coherence> {
        Ok(match self.both_views()? {
            (Content::Whole(0), Content::Whole(0)) => Coherence::Coherent,
            (Content::Whole(0), _) => Coherence::Incoherent("stale page"),
            _ => Coherence::Incoherent("a read returned what was removed"),
        })
    }

    /// How often the page tables were changed.
    pub(super) fn page_table_operations(&self) -> u64 {
        let counts = self.mapping.counts();
        counts.maps + counts.unmaps
    }
}

/// A page whose two views are of different files, so that a test can put anything into each.
#[cfg(test)]
pub(super) fn with_two_views(test: impl FnOnce(Page, &File)) {
    use std::sync::Arc;

    use daxfs::{
        Device, Filesystem, FormatOptions, MapOptions, MountOptions, PageTables, PersistenceChoice,
    };

    let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect).expect("a device");
    Filesystem::format(&device, &FormatOptions::default()).expect("an image");
    let filesystem = Filesystem::mount(Arc::new(device), MountOptions::default()).expect("mounted");
    let file = filesystem.create("/read").expect("a file");
    let other = filesystem.create("/mapped").expect("a file");
    file.truncate(BLOCK_BYTES).expect("a hole");
    other.truncate(BLOCK_BYTES).expect("a hole");
    let options = MapOptions {
        page_tables: PageTables::Software,
        ..MapOptions::new(BLOCK_BYTES)
    };
    let mapping = other.map(options).expect("a mapping");
    test(Page { file, mapping }, &other);
}
