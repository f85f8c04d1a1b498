//! What a run has found, as the claims and the page look at it: cells by name, ratios, scaling.
//!
//! # Scaling
//! A run of two threads and one of one thread are not taken in turns, so what the machine does to
//! one it need not do to the other. But each is taken in turns with a control. So a design's
//! scaling is judged against the control's: how much of the control's speed it has with many
//! threads, over how much it has with one ([`Evidence::kept_scaling`]). 1 means that it scales as
//! the control does, 1/n that it does not scale where the control scales fully.
//!
//! Touches nothing, takes no locks.

use std::fmt;

use daxfs::{EntrySizes, IoLock, MappingLock};

use super::args::PageTableChoice;
use super::cell::{Cell, Ratio};
use super::design::Design;
use super::full_log::FullLogTrial;
use super::kind::{Varied, WorkloadKind};
use super::memory::Footprint;
use super::trial::Trial;
use super::workload::BLOCK_BYTES;

/// What a run has found.
pub(crate) struct Evidence<'a> {
    pub(crate) cells: &'a [Cell],
    pub(crate) trials: &'a [Trial],
    pub(crate) full_log: &'a [FullLogTrial],
    pub(crate) footprints: &'a [Footprint],
    pub(crate) cores: usize,
}

/// What is measured under every design: a workload, on page tables of one kind, with blocks of one
/// size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) workload: WorkloadKind,
    pub(crate) page_tables: PageTableChoice,
    pub(crate) block_bytes: u64,
    pub(crate) entry_sizes: EntrySizes,
}

impl Subject {
    pub(crate) fn of(cell: &Cell) -> Self {
        Self {
            workload: cell.workload,
            page_tables: cell.page_tables,
            block_bytes: cell.block_bytes,
            entry_sizes: cell.design.entry_sizes,
        }
    }

    /// The design that waits for nobody: no I/O lock, or the racy mapping lock, which looks up
    /// before it locks.
    pub(crate) fn control(self) -> Design {
        match self.workload.varies() {
            Varied::IoLock => Design::of_io(IoLock::None),
            Varied::MappingLock => Design::of_mapping(MappingLock::None),
        }
    }

    /// The design that locks the whole file.
    pub(crate) fn whole_file(self) -> Design {
        match self.workload.varies() {
            Varied::IoLock => Design::of_io(IoLock::Inode),
            Varied::MappingLock => Design::of_mapping(MappingLock::Inode),
        }
    }

    /// The options of `daxfs bench` that measure it alone.
    pub(crate) fn options(self) -> String {
        let mut options = format!("--workload {}", self.workload);
        if self.block_bytes != BLOCK_BYTES {
            options += &format!(" --block-size {}", self.block_bytes);
        }
        if self.workload.varies() == Varied::MappingLock {
            options += &format!(" --page-tables {}", self.page_tables.name());
        }
        if self.entry_sizes != EntrySizes::Small {
            options += &format!(" --entry-sizes {}", self.entry_sizes);
        }
        options
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.workload)?;
        if self.block_bytes != BLOCK_BYTES {
            let size = bytesize::ByteSize::b(self.block_bytes);
            write!(formatter, ", blocks of {size}")?;
        }
        if self.workload.varies() == Varied::MappingLock {
            write!(formatter, " on {} page tables", self.page_tables.name())?;
        }
        match self.entry_sizes {
            EntrySizes::Small => Ok(()),
            EntrySizes::Both => formatter.write_str(", entries up to 2 MiB"),
        }
    }
}

impl<'a> Evidence<'a> {
    /// What was measured, each once.
    pub(crate) fn subjects(&self) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for subject in self.cells.iter().map(Subject::of) {
            if !subjects.contains(&subject) {
                subjects.push(subject);
            }
        }
        subjects
    }

    /// The subjects of `workloads` with blocks and entries of 4 KiB.
    pub(crate) fn subjects_of(&self, workloads: &[WorkloadKind]) -> Vec<Subject> {
        let mut subjects = self.subjects();
        subjects.retain(|subject| {
            workloads.contains(&subject.workload)
                && subject.block_bytes == BLOCK_BYTES
                && subject.entry_sizes == EntrySizes::Small
        });
        subjects
    }

    /// The cells of `subject`.
    pub(crate) fn cells_of(&self, subject: Subject) -> impl Iterator<Item = &'a Cell> {
        self.cells
            .iter()
            .filter(move |cell| Subject::of(cell) == subject)
    }

    /// One cell: of `design`, with the subject's sizes of entries.
    pub(crate) fn cell(
        &self,
        subject: Subject,
        design: Design,
        threads: usize,
    ) -> Option<&'a Cell> {
        let design = design.entry_sizes(subject.entry_sizes);
        self.cells_of(subject)
            .find(|cell| cell.design == design && cell.threads == threads)
    }

    /// How fast `design` is beside `other`.
    pub(crate) fn ratio(
        &self,
        subject: Subject,
        threads: usize,
        design: Design,
        other: Design,
    ) -> Option<Ratio> {
        let design = self.cell(subject, design, threads)?;
        Some(design.speed_over(self.cell(subject, other, threads)?))
    }

    /// The numbers of threads measured, in ascending order.
    pub(crate) fn thread_counts(&self) -> Vec<usize> {
        let mut counts: Vec<_> = self.cells.iter().map(|cell| cell.threads).collect();
        counts.sort_unstable();
        counts.dedup();
        counts
    }

    /// The most threads measured that have a core each, if more than one.
    pub(crate) fn parallel_threads(&self) -> Option<usize> {
        let mut counts = self.thread_counts().into_iter();
        counts.rfind(|count| (2..=self.cores).contains(count))
    }

    /// How much faster the control is with `threads` threads than with one.
    pub(crate) fn control_scaling(&self, subject: Subject, threads: usize) -> Option<f64> {
        let rate = |threads| {
            let cell = self.cell(subject, subject.control(), threads)?;
            Some(cell.result().ops_per_second())
        };
        Some(rate(threads)? / rate(1)?)
    }

    /// How much of the control's scaling `design` keeps; see the module.
    pub(crate) fn kept_scaling(
        &self,
        subject: Subject,
        threads: usize,
        design: Design,
    ) -> Option<f64> {
        let control = subject.control();
        let beside_control = |threads| self.ratio(subject, threads, design, control);
        Some(beside_control(threads)?.median / beside_control(1)?.median)
    }
}
