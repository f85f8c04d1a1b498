//! The slot table: all levels of one lock, and the tree's view of them.
//!
//! Takes no lock; what it does for the tree is called under the tree's mutex.

use std::ptr::NonNull;

use super::growth::{Division, Growth};
use super::level::{Current, Layout, Level, Ticket, View};
use super::rebuild::Former;
use super::shard::{Departure, Held, Listed, Place, Request, Shard};
use super::wide::{WideHolders, WideWord};
use super::word::{Format, Word};
use crate::mode::Mode;
use crate::probe::{Fault, Probe};
use crate::span::Span;
use crate::sync::Ordering::Relaxed;
use crate::sync::{AtomicPtr, const_unless_modelled};
use crate::tree::{Notice, Outside};

/// Places for requests outside the tree.
///
/// On one cache line what everybody reads and growth alone writes, and on the next the inline
/// level.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct SlotTable {
    pub(super) current: Current,
    pub(super) format: Format,
    pub(super) growth: Growth,
    pub(super) wide: WideHolders,
    /// The youngest level on the heap, and by way of it all others.
    pub(super) levels: AtomicPtr<Level>,
    pub(super) probe: Probe,
    pub(super) inline: Shard,
}

// SAFETY: the pointers lead to levels, which are made of atomics and live as long as the table.
unsafe impl Send for SlotTable {}
// SAFETY: as above.
unsafe impl Sync for SlotTable {}

impl SlotTable {
    const_unless_modelled! {
        /// A table of one shard that grows as `growth` says.
        pub(crate) const fn new(growth: Growth, probe: Probe) -> Self {
            Self::with_inline(Shard::new(), growth, probe)
        }

        /// A table that takes nobody in.
        pub(crate) const fn retired() -> Self {
            let growth = Growth::new(Division::Adaptive);
            Self::with_inline(Shard::new_retired(), growth, Probe::new())
        }

        const fn with_inline(inline: Shard, growth: Growth, probe: Probe) -> Self {
            Self {
                current: Current::inline(),
                format: Format::new(growth.longest_granule().shift()),
                growth,
                wide: WideHolders::new(),
                levels: AtomicPtr::new(std::ptr::null_mut()),
                probe,
                inline,
            }
        }
    }

    // ---- Without the mutex ----------------------------------------------------------------------

    /// Takes the range alone in its shard, if nobody else is there.
    #[inline]
    pub(crate) fn alone(&self, span: Span, mode: Mode) -> Option<Place> {
        let current = self.current.ticket();
        let narrow = self.format.narrow(span, mode);
        if current.is_inline() {
            let word = narrow.or_else(|| Format::open_ended(span, mode))?;
            return self.inline.try_alone(word);
        }
        // SAFETY: a ticket that is not inline is that of a level of this table, which lives.
        let shards = unsafe { current.shards() };
        shards
            .shard(shards.index_for(span, mode)?)
            .try_alone(narrow?)
    }

    /// Takes the range beside others, if nothing speaks against it. Calls `withdrawn` if the
    /// request was taken for a holder for a moment, and somebody has seen it.
    #[inline]
    pub(crate) fn attempt(
        &self,
        span: Span,
        mode: Mode,
        withdrawn: impl FnOnce(Departure),
    ) -> Option<Place> {
        let view = self.current();
        let Some(request) = self.narrow_request(span, mode) else {
            return self.attempt_open_ended(view, span, mode);
        };
        let Some(index) = view.index_for(span, mode) else {
            if mode == Mode::Write && view.layout() == Layout::ReadersApart {
                self.note_write_apart();
            }
            return None;
        };
        let shard = view.shard(index);
        if let Some(place) = shard.try_alone_if_calm(request.word) {
            return Some(place);
        }
        if shard.is_pressing() {
            self.growth.wish_for_room(view, shard, &request);
        }
        let listed = self.listed(view);
        shard.attempt(&request, listed, withdrawn, &self.probe)
    }

    /// An open-ended request has no slot, but a head if it can be alone.
    #[cold]
    fn attempt_open_ended(&self, view: View<'_>, span: Span, mode: Mode) -> Option<Place> {
        let View::Inline(shard) = view else {
            return None;
        };
        let word = Format::open_ended(span, mode)?;
        shard.note_if_quiet();
        shard.try_alone_if_calm(word)
    }

    /// Gives back what is held at a place.
    ///
    /// # Safety
    ///
    /// The caller holds it, in this table.
    #[inline]
    pub(crate) unsafe fn release(&self, place: Place) -> Departure {
        // SAFETY: passed on; levels live as long as the table.
        unsafe { place.release() }
    }

    /// Narrows what is held at a place, or its mode. Nothing is changed unless a word can say it;
    /// otherwise the answer is whether the tree must reconsider those who wait for the former range
    /// and mode.
    ///
    /// # Safety
    ///
    /// As for `release`; the new range and mode exclude nobody whom the old ones did not.
    pub(crate) unsafe fn replace(
        &self,
        place: &mut Place,
        span: Span,
        mode: Mode,
    ) -> Option<Departure> {
        let in_head = || match place.held() {
            Held::InHead(_) => Format::open_ended(span, mode),
            Held::InSlot(_) => None,
        };
        let word = self.format.narrow(span, mode).or_else(in_head)?;
        // SAFETY: passed on.
        Some(unsafe { place.replace(word) })
    }

    /// Turns shared use into exclusive use where it is held, if nobody is in the same shard.
    ///
    /// # Safety
    ///
    /// As for `release`.
    pub(crate) unsafe fn try_upgrade_alone(&self, place: &mut Place) -> bool {
        // Alone in one of a group's shards is not alone. Were this level left meanwhile, for one
        // whose readers are apart, the word would have been moved, and what follows fail.
        let may_be_alone =
            self.current().layout() == Layout::Together || self.probe.injects(Fault::UpgradesApart);
        if !may_be_alone {
            return false;
        }
        // SAFETY: passed on.
        unsafe { place.try_upgrade_alone() }
    }

    /// The range held at a place.
    pub(crate) fn span_of(&self, place: Place) -> Span {
        place.held().span(self.format)
    }

    /// How a place is held.
    pub(crate) fn mode_of(&self, place: Place) -> Mode {
        place.held().word().mode()
    }

    /// What is held, as of now, with requests that are about to be refused.
    pub(crate) fn visit(&self, mut look: impl FnMut(Span, Mode)) {
        for held in self.current().shards().flat_map(Shard::held) {
            look(held.span(self.format), held.word().mode());
        }
    }

    // ---- Levels ---------------------------------------------------------------------------------

    /// The level that takes in newcomers.
    #[inline]
    pub(super) fn current(&self) -> View<'_> {
        self.view(self.current.ticket())
    }

    /// The level of a ticket, which is one of this table.
    #[inline]
    pub(super) fn view(&self, ticket: Ticket) -> View<'_> {
        if ticket.is_inline() {
            return View::Inline(&self.inline);
        }
        // SAFETY: a ticket that is not inline is that of a level of this table, which lives.
        View::Heap(unsafe { ticket.shards() })
    }

    #[inline]
    fn listed(&self, view: View<'_>) -> Listed<'_> {
        Listed {
            holders: &self.wide,
            granule: view.granule(self.growth.longest_granule()),
        }
    }

    #[inline]
    fn shards_of<'table>(
        &self,
        view: View<'table>,
        span: Span,
    ) -> impl Iterator<Item = &'table Shard> + use<'table> {
        let is_short =
            view.layout() == Layout::ReadersApart && self.probe.injects(Fault::WriterVisitsOne);
        view.shards_of(span)
            .take(if is_short { 1 } else { usize::MAX })
    }

    /// What the list says of a range, if it is wide here.
    fn wide_word(&self, view: View<'_>, span: Span, mode: Mode) -> Option<WideWord> {
        let granule = self.listed(view).granule;
        let is_short = match view {
            View::Inline(_) => true,
            View::Heap(_) => granule.number_of(span).is_some(),
        };
        match is_short && self.format.narrow(span, mode).is_some() {
            true => None,
            false => WideWord::new(granule, span, mode),
        }
    }

    #[inline]
    fn narrow_request(&self, span: Span, mode: Mode) -> Option<Request> {
        let word = self.format.narrow(span, mode)?;
        Some(self.request(span, mode, word))
    }

    #[inline]
    fn request(&self, span: Span, mode: Mode, word: Word) -> Request {
        Request {
            span,
            mode,
            word,
            format: self.format,
        }
    }

    /// How many words are held, as of now.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        let mut taken = 0;
        self.visit(|_, _| taken += 1);
        taken
    }

    /// The counts of nodes of all shards that take in newcomers.
    #[cfg(test)]
    pub(crate) fn closings(&self) -> u32 {
        self.current().shards().map(Shard::nodes).sum()
    }

    /// How many levels there are on the heap.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn levels(&self) -> usize {
        self.formers().count() - 1
    }

    /// What all levels on the heap take.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.formers().map(Former::heap_bytes).sum()
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn readers_are_apart(&self) -> bool {
        self.current().layout() == Layout::ReadersApart
    }

    /// How many shards take in newcomers, and how long their granule is.
    pub(crate) fn shape(&self) -> (usize, u64) {
        let view = self.current();
        let granule = view.granule(self.growth.longest_granule());
        (1 << view.shard_bits(), granule.len())
    }
}

impl Drop for SlotTable {
    fn drop(&mut self) {
        // Relaxed: whoever drops the lock has seen all that was done to it.
        let mut next = NonNull::new(self.levels.load(Relaxed));
        while let Some(level) = next {
            // SAFETY: `grow` made it from a box, only here is it taken back, and nobody else uses
            // the table.
            let level = unsafe { Box::from_raw(level.as_ptr()) };
            next = level.older;
        }
    }
}

impl Outside for SlotTable {
    type Place = Place;

    #[inline]
    fn close(&self, span: Span) {
        let view = self.current();
        let mut visited = 0;
        for shard in self.shards_of(view, span) {
            shard.close();
            visited += 1;
        }
        if visited > 1 {
            self.growth.note_wide(view, visited);
        }
    }

    #[inline]
    fn reopen(&self, span: Span) {
        self.shards_of(self.current(), span).for_each(Shard::reopen);
    }

    fn blocks(&self, span: Span, mode: Mode, notice: Notice) -> bool {
        let request = self.request(span, mode, Word::FREE);
        self.shards_of(self.current(), span)
            .any(|shard| shard.blocks(&request, notice, &self.probe))
    }

    fn settle(&self, span: Span, mode: Mode) -> Option<Place> {
        let view = self.current();
        let request = self.narrow_request(span, mode)?;
        let shard = view.shard(view.index_for(span, mode)?);
        let place = shard.settle(&request);
        match place {
            None => self.growth.note_full(view, shard, &request),
            Some(_) if shard.is_closed_twice() => self.growth.note_detour(),
            Some(_) => {}
        }
        place
    }

    #[inline]
    fn is_listing_due(&self) -> bool {
        self.growth.is_listing_due()
    }

    fn list(&self, span: Span, mode: Mode) -> bool {
        let view = self.current();
        let holder = self.wide_word(view, span, mode);
        let is_entered = holder.is_some_and(|holder| self.wide.enter(holder));
        if is_entered {
            view.shards_of(span).for_each(Shard::list);
        }
        is_entered
    }

    fn unlist(&self, span: Span, mode: Mode) {
        let view = self.current();
        view.shards_of(span).for_each(Shard::unlist);
        let holder = self.wide_word(view, span, mode);
        self.wide
            .take_out(holder.expect("it was listed, in this level"));
    }

    fn dismiss(&self, span: Span, mode: Mode) -> bool {
        let view = self.current();
        let word = self.format.narrow(span, mode);
        let index = view.stand_in_index_for(span, mode);
        word.zip(index)
            .is_some_and(|(word, index)| view.shard(index).dismiss(word))
    }
}
