//! Blocks that are being made ready for a file: nobody else can reach them yet.
//!
//! ```text
//!   allocated -- Prepared --> filled and settled -- Filled --> published
//!       |                           |
//!       +---------- dropped --------+--> given back at once
//! ```
//! Only blocks whose content is settled can be published: the types see to it.
//!
//! # Locking
//! The allocator's latch when blocks are given back.

use daxfs_pmem::Settled;

use super::mapped_file::MappedFile;
use super::sharing::Sharers;
use crate::error::{Error, Result};
use crate::format::record::SettledRun;
use crate::run::Run;

/// Blocks that nobody else can reach yet; what was not published is given back when dropped.
pub(crate) struct Prepared<'file> {
    file: &'file MappedFile,
    run: Run,
}

/// The same with their content in place: only such blocks can be published.
pub(crate) struct Filled<'file> {
    prepared: Prepared<'file>,
    /// The same run.
    settled: SettledRun,
    content: Content<'file>,
}

/// What blocks were filled with, and so what they can be published for.
pub(crate) enum Content<'file> {
    /// Whatever a hole becomes.
    New,
    /// What these blocks hold, changed or not; and what keeps them as they are.
    CopyOf {
        source: Run,
        _unchanged: Sharers<'file>,
    },
}

impl<'file> Prepared<'file> {
    /// `run`, which the file's allocator has just given.
    pub(crate) fn new(file: &'file MappedFile, run: Run) -> Self {
        Self { file, run }
    }

    /// The blocks.
    pub(crate) fn run(&self) -> Run {
        self.run
    }

    /// The blocks with their content in place, which `settled` proves.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it proves something else.
    pub(crate) fn filled(
        self,
        settled: &Settled,
        content: Content<'file>,
    ) -> Result<Filled<'file>> {
        let settled = SettledRun::new(self.run, settled).ok_or_else(|| Error::Corrupt {
            structure: "new block",
            block: self.run.block,
            problem: "published without all of its content".into(),
        })?;
        Ok(Filled {
            prepared: self,
            settled,
            content,
        })
    }
}

impl Filled<'_> {
    /// The blocks.
    pub(crate) fn run(&self) -> Run {
        self.settled.run()
    }

    /// What they can be published for.
    pub(crate) fn content(&self) -> &Content<'_> {
        &self.content
    }

    /// The first `len_blocks`, which are published: only the rest is given back.
    pub(super) fn take_first(&mut self, len_blocks: u64) -> SettledRun {
        let (first, rest) = self.settled.split_at(len_blocks);
        self.settled = rest;
        self.prepared.run = rest.run();
        first
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if self.run.len_blocks > 0 {
            self.file.volume.allocator.free_now(self.run);
        }
    }
}
