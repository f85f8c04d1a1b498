//! Where units lie: in which chunk, on which pages, at which addresses.
//!
//! Touches nothing. Takes no locks.

use std::ops::Range;

use super::Veiled;
use super::chunk::UNITS;
use crate::PAGE_BYTES;

/// Units within one chunk.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) chunk: usize,
    pub(super) units: Range<usize>,
}

impl Veiled {
    pub(super) fn unit_bytes(&self) -> usize {
        (self.unit_pages * PAGE_BYTES) as usize
    }

    /// The parts of a range of whole units that lie in one chunk each.
    pub(super) fn spans(&self, pages: Range<u64>) -> impl Iterator<Item = Span> {
        let units = pages.start / self.unit_pages..pages.end / self.unit_pages;
        let chunk_units = UNITS as u64;
        (units.start / chunk_units..units.end.div_ceil(chunk_units))
            .map(move |number| self.span_in(number as usize, &units))
    }

    /// The part of a range of units that lies in a chunk.
    pub(super) fn span_in(&self, chunk: usize, units: &Range<u64>) -> Span {
        let first = (chunk * UNITS) as u64;
        let from = units.start.max(first) - first;
        let to = (units.end - first).min(UNITS as u64);
        Span {
            chunk,
            units: from as usize..to as usize,
        }
    }

    pub(super) fn pages(&self, span: &Span) -> Range<u64> {
        let page = |unit: usize| (span.chunk * UNITS + unit) as u64 * self.unit_pages;
        page(span.units.start)..page(span.units.end)
    }

    pub(super) fn addresses(&self, span: &Span) -> Range<usize> {
        let pages = self.pages(span);
        let (start, len_bytes) = self.reservation.span(pages.start, pages.end - pages.start);
        start.addr()..start.addr() + len_bytes
    }

    /// All units of a chunk; the last chunk of a window may have fewer than the others.
    pub(super) fn units_of_chunk(&self, chunk: usize) -> Range<usize> {
        let units = self.len_pages / self.unit_pages;
        self.span_in(chunk, &(0..units)).units
    }
}
