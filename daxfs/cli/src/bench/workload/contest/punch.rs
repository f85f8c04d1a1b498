//! DWPM: holes punched against faults on one page.
//!
//! A fault finds a block, the punch takes it away and invalidates what is mapped, and then the
//! fault maps the block: the mapping shows what the file no longer has, and soon another file's
//! data. Touches one file through the library; takes no locks.

use anyhow::Result;

use super::page::Page;
use crate::bench::harness::{Coherence, Recorder};
use crate::bench::workload::rounds::{Contest, Stamps};
use crate::bench::workload::{BLOCK_BYTES, Opening};

/// Punchers and faulters of one page.
pub(crate) struct PunchAgainstFault {
    page: Page,
}

impl PunchAgainstFault {
    /// Maps the page.
    pub(crate) fn open(opening: &Opening<'_>) -> Result<Self> {
        let page = Page::open(opening)?;
        Ok(Self { page })
    }
}

impl Contest for PunchAgainstFault {
    fn stamps(&self, _threads: usize) -> u64 {
        1
    }

    fn parts_alone(&self) -> usize {
        2
    }

    fn set_stage(&self, stamps: Stamps) -> Result<()> {
        self.page.write(stamps.first)
    }

    fn act(&self, part: usize, stamps: Stamps, recorder: &mut Recorder<'_>) -> Result<Coherence> {
        if Page::is_changed_by(part, stamps.threads) {
            recorder.timed(|| Ok(self.page.file.punch_hole(0, BLOCK_BYTES)?))?;
            return Ok(Coherence::Coherent);
        }
        let seen = self.page.fault(recorder)?;
        Ok(match seen == 0 || seen == stamps.first {
            true => Coherence::Coherent,
            false => Coherence::Incoherent("a load returned what never was in the page"),
        })
    }

    fn judge(&self, _stamps: Stamps) -> Result<Coherence> {
        self.page.judge_hole()
    }

    fn page_table_operations(&self) -> Option<u64> {
        Some(self.page.page_table_operations())
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::with_two_views;
    use super::*;
    use crate::bench::workload::stamp::Block;

    #[test]
    fn what_is_still_there_after_a_punch_is_found() {
        let judge = |page| {
            let stamps = Stamps {
                first: 9,
                threads: 2,
            };
            PunchAgainstFault { page }.judge(stamps).expect("judged")
        };
        with_two_views(|page, _| assert_eq!(judge(page), Coherence::Coherent));
        with_two_views(|page, mapped| {
            mapped
                .write_all_at(&Block::stamped(9).0, 0)
                .expect("written");
            assert_eq!(judge(page), Coherence::Incoherent("stale page"));
        });
        with_two_views(|page, _| {
            page.write(9).expect("written");
            let found = Coherence::Incoherent("a read returned what was removed");
            assert_eq!(judge(page), found);
        });
    }
}
