//! DWFM: writes against faults on one page of a hole, and the check that finds a stale zero page.
//!
//! The race of 2017, as a benchmark and as a checker: a read fault finds a hole, a write allocates
//! the block and invalidates what is mapped, and then the fault maps the page of zeroes it had
//! decided on. Touches one file through the library; takes no locks.

use anyhow::Result;

use super::page::{Content, Page};
use crate::bench::harness::{Coherence, Recorder};
use crate::bench::workload::rounds::{Contest, Stamps};
use crate::bench::workload::stamp::Block;
use crate::bench::workload::{BLOCK_BYTES, Opening};

/// Writers and faulters of one page.
pub(crate) struct WriteAgainstFault {
    page: Page,
}

impl WriteAgainstFault {
    /// Maps the page.
    pub(crate) fn open(opening: &Opening<'_>) -> Result<Self> {
        let page = Page::open(opening)?;
        Ok(Self { page })
    }
}

impl Contest for WriteAgainstFault {
    fn stamps(&self, threads: usize) -> u64 {
        Page::changers(threads) as u64
    }

    fn parts_alone(&self) -> usize {
        2
    }

    fn set_stage(&self, _stamps: Stamps) -> Result<()> {
        Ok(self.page.file.punch_hole(0, BLOCK_BYTES)?)
    }

    fn act(&self, part: usize, stamps: Stamps, recorder: &mut Recorder<'_>) -> Result<Coherence> {
        if Page::is_changed_by(part, stamps.threads) {
            let block = Block::stamped(stamps.first + part as u64);
            recorder.timed(|| Ok(self.page.file.write_all_at(&block.0, 0)?))?;
            return Ok(Coherence::Coherent);
        }
        let seen = self.page.fault(recorder)?;
        Ok(match seen == 0 || is_of_round(seen, stamps) {
            true => Coherence::Coherent,
            false => Coherence::Incoherent("a load returned what was punched out before"),
        })
    }

    fn judge(&self, stamps: Stamps) -> Result<Coherence> {
        Ok(match self.page.both_views()? {
            (Content::Whole(read), loaded) if !is_of_round(read, stamps) => match loaded {
                Content::Torn => Coherence::Incoherent("torn write"),
                Content::Whole(_) => Coherence::Incoherent("lost write"),
            },
            (Content::Whole(read), Content::Whole(loaded)) if read == loaded => Coherence::Coherent,
            (Content::Whole(_), Content::Whole(0)) => Coherence::Incoherent("stale zero page"),
            (Content::Whole(_), Content::Whole(_)) => Coherence::Incoherent("stale page"),
            _ => Coherence::Incoherent("torn write"),
        })
    }

    fn page_table_operations(&self) -> Option<u64> {
        Some(self.page.page_table_operations())
    }
}

fn is_of_round(stamp: u64, stamps: Stamps) -> bool {
    (stamps.first..stamps.first + Page::changers(stamps.threads) as u64).contains(&stamp)
}

#[cfg(test)]
mod tests {
    use super::super::page::with_two_views;
    use super::*;

    #[test]
    fn the_check_tells_every_kind_of_incoherence() {
        let (first, stale) = (7_000, 6_999);
        let torn = |mut block: Box<Block>| {
            block.0[100] ^= 1;
            block
        };
        let incoherent = Coherence::Incoherent;
        let cases = [
            (
                Block::stamped(first),
                Block::stamped(first),
                Coherence::Coherent,
            ),
            (
                Block::stamped(first),
                Block::zeroed(),
                incoherent("stale zero page"),
            ),
            (
                Block::stamped(first),
                Block::stamped(stale),
                incoherent("stale page"),
            ),
            (
                Block::stamped(stale),
                Block::stamped(stale),
                incoherent("lost write"),
            ),
            (Block::zeroed(), Block::zeroed(), incoherent("lost write")),
            (
                torn(Block::stamped(first)),
                Block::zeroed(),
                incoherent("torn write"),
            ),
            (
                Block::stamped(first),
                torn(Block::stamped(first)),
                incoherent("torn write"),
            ),
        ];
        for (read, mapped, expected) in cases {
            with_two_views(|page, other| {
                page.file.write_all_at(&read.0, 0).expect("written");
                other.write_all_at(&mapped.0, 0).expect("written");
                let stamps = Stamps { first, threads: 2 };
                let contest = WriteAgainstFault { page };
                assert_eq!(contest.judge(stamps).expect("compared"), expected);
            });
        }
    }
}
