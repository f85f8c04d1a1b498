//! DTRF: truncation against faults on one page.
//!
//! A fault finds a page inside the file, the truncation cuts it off and invalidates what is mapped,
//! and then the fault maps it: when the file grows again, the mapping shows the old data where
//! there must be zeroes. Touches one file through the library; takes no locks.
//!
//! While the truncation is under way a load may find the page, the end of file, or for a moment the
//! zeroes of a page that is being removed (a fault that saw the old length and then no block any
//! more; the invalidation waits for it and takes the zero page away again).

use anyhow::Result;
use daxfs::{Error, FaultError};

use super::page::Page;
use crate::bench::harness::{Coherence, Recorder};
use crate::bench::workload::rounds::{Contest, Stamps};
use crate::bench::workload::stamp;
use crate::bench::workload::{BLOCK_BYTES, Opening};

/// Truncaters and faulters of one page.
pub(crate) struct TruncateAgainstFault {
    page: Page,
}

impl TruncateAgainstFault {
    /// Maps the page.
    pub(crate) fn open(opening: &Opening<'_>) -> Result<Self> {
        let page = Page::open(opening)?;
        Ok(Self { page })
    }

    /// One load: what it saw, or `None` past the end of file.
    fn load(&self) -> Result<Option<u64>> {
        let mut bytes = [0; 8];
        match self.page.mapping.load(0, &mut bytes) {
            Ok(()) => Ok(Some(stamp::word(&bytes))),
            Err(Error::Access(error))
                if error.cause.to_string() == FaultError::BeyondEndOfFile.to_string() =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Contest for TruncateAgainstFault {
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
            recorder.timed(|| Ok(self.page.file.truncate(0)?))?;
            return Ok(Coherence::Coherent);
        }
        Ok(match recorder.timed(|| self.load())? {
            None => Coherence::Coherent,
            Some(seen) if seen == 0 || seen == stamps.first => Coherence::Coherent,
            Some(_) => Coherence::Incoherent("a load returned what never was in the page"),
        })
    }

    fn judge(&self, _stamps: Stamps) -> Result<Coherence> {
        self.page.file.truncate(BLOCK_BYTES)?;
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
    fn what_comes_back_when_the_file_grows_is_found() {
        let stamps = Stamps {
            first: 9,
            threads: 2,
        };
        with_two_views(|page, mapped| {
            let contest = TruncateAgainstFault { page };
            contest.page.file.truncate(0).expect("shorter");
            mapped
                .write_all_at(&Block::stamped(9).0, 0)
                .expect("written");
            let found = contest.judge(stamps).expect("judged");
            assert_eq!(found, Coherence::Incoherent("stale page"));
        });
        with_two_views(|page, mapped| {
            let contest = TruncateAgainstFault { page };
            mapped.truncate(0).expect("shorter");
            assert_eq!(contest.load().expect("an answer"), None);
        });
    }
}
