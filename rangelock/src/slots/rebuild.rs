//! From one level to another: to a larger one, or back to one that was left.
//!
//! Only one level takes newcomers in. Whoever changes that closes the new one for all nodes of the
//! tree, sends newcomers away from the old one, lets somebody stand in for each of its holders, and
//! then opens the new one. A level that was left has holders as long as those are there who were
//! moved; afterwards it may be used again, so that a lock whose use comes and goes does not collect
//! levels.
//!
//! Takes no lock; `rebuild` is called under the tree's mutex.

use std::ptr::NonNull;

use super::growth::{Plan, Wish};
use super::level::{Layout, Level, Ticket, View};
use super::shard::Shard;
use super::table::SlotTable;
use crate::mode::Mode;
use crate::probe::Fault;
use crate::span::Span;
use crate::sync::Ordering::{Acquire, Release};

/// A level to change to.
#[derive(Debug)]
pub(crate) struct Rebuild(To);

#[derive(Debug)]
enum To {
    New(Box<Level>),
    /// Used again because it is larger, or finer.
    Finer(Former),
    /// Used again because it is smaller.
    Smaller(Former),
}

/// The inline level, or one on the heap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Former(Option<NonNull<Level>>);

impl Former {
    /// What it takes of the heap.
    pub(super) fn heap_bytes(self) -> usize {
        // SAFETY: levels live as long as the table, and are only ever shared.
        self.0
            .map_or(0, |level| unsafe { level.as_ref() }.heap_bytes())
    }
}

impl SlotTable {
    // ---- Without the mutex ----------------------------------------------------------------------

    #[inline]
    pub(crate) fn is_rebuild_wished_for(&self) -> bool {
        self.growth.is_wished_for()
    }

    /// What to change to, if that was wished for and makes sense.
    pub(crate) fn plan_rebuild(&self) -> Option<Rebuild> {
        match self.growth.take_wish()? {
            Wish::Grow(plan) if self.is_too_early_for(plan) => None,
            Wish::Grow(plan) => Some(self.plan_growth(plan)),
            Wish::Shrink => self.plan_shrink(),
            Wish::Gather => self.plan_to_gather(),
        }
    }

    /// Whether readers would go apart that have had to come together again too often.
    fn is_too_early_for(&self, plan: Plan) -> bool {
        let is_new = plan.layout != self.current().layout();
        is_new
            && plan.layout == Layout::ReadersApart
            && (self.apart_levels().next()).is_some_and(|level| !level.turns.note_wish())
    }

    /// The levels whose readers are apart, the youngest first.
    fn apart_levels(&self) -> impl Iterator<Item = &Level> {
        // SAFETY: levels live as long as the table, and are only ever shared.
        let levels = self
            .formers()
            .filter_map(|former| unsafe { Some(former.0?.as_ref()) });
        levels.filter(|level| level.layout() == Layout::ReadersApart)
    }

    /// A request to write in a level whose readers are apart.
    #[cold]
    pub(super) fn note_write_apart(&self) {
        let current = self.current.ticket();
        let mut levels = self.apart_levels();
        let level = levels.find(|level| level.ticket() == current);
        if level.is_some_and(|level| level.turns.note_write()) {
            self.growth.wish_to_gather();
        }
    }

    /// The same with readers together.
    pub(crate) fn plan_to_gather(&self) -> Option<Rebuild> {
        let view = self.current();
        if view.layout() == Layout::Together {
            return None;
        }
        if let Some(level) = self.apart_levels().next() {
            level.turns.note_left();
        }
        Some(self.plan_growth(Plan {
            granule: view.granule(self.growth.longest_granule()),
            shard_bits: view.shard_bits(),
            layout: Layout::Together,
        }))
    }

    /// A level with room for `ranges` ranges, unless the current one has it.
    pub(crate) fn plan_reserve(&self, ranges: usize) -> Option<Rebuild> {
        let plan = self.growth.plan_reserve(self.current(), ranges)?;
        Some(self.plan_growth(plan))
    }

    /// The smallest level there is, whatever was reserved.
    #[cfg(all(test, loom))]
    pub(crate) fn plan_shrink_to_fit(&self) -> Option<Rebuild> {
        self.growth.forget_reserve();
        self.plan_shrink()
    }

    /// A level whose readers are apart, whatever was wished for.
    #[cfg(test)]
    pub(crate) fn plan_apart(&self) -> Rebuild {
        let view = self.current();
        self.plan_growth(Plan {
            granule: view.granule(self.growth.longest_granule()),
            shard_bits: view.shard_bits().max(super::level::LEAST_APART_BITS),
            layout: Layout::ReadersApart,
        })
    }

    fn plan_growth(&self, plan: Plan) -> Rebuild {
        let as_planned = |former: &Former| {
            let view = self.view_of(*former);
            view.granule(self.growth.longest_granule()) == plan.granule
                && view.shard_bits() == plan.shard_bits
                && view.layout() == plan.layout
                && is_deserted(view)
        };
        Rebuild(match self.formers().find(as_planned) {
            Some(former) => To::Finer(former),
            None => To::New(Level::new(plan.granule, plan.shard_bits, plan.layout)),
        })
    }

    fn plan_shrink(&self) -> Option<Rebuild> {
        let mut held = 0;
        self.visit(|_, _| held += 1);
        let shard_bits = self.growth.plan_shrink(self.current(), held)?;
        let former = self.smallest_deserted(shard_bits)?;
        Some(Rebuild(To::Smaller(former)))
    }

    /// The smallest of the levels that have so many shards, were left, and may be used again.
    fn smallest_deserted(&self, shard_bits: u32) -> Option<Former> {
        let bits = |former: &Former| self.view_of(*former).shard_bits();
        self.formers()
            .filter(|former| bits(former) >= shard_bits)
            .filter(|former| bits(former) < self.current().shard_bits())
            .filter(|former| is_deserted(self.view_of(*former)))
            .min_by_key(bits)
    }

    /// All levels: the youngest first, and the inline one last.
    pub(super) fn formers(&self) -> impl Iterator<Item = Former> {
        // Acquire pairs with the Release of `rebuild`.
        let youngest = NonNull::new(self.levels.load(Acquire));
        // SAFETY: levels live as long as the table, and are only ever shared.
        let older = |level: &NonNull<Level>| unsafe { level.as_ref() }.older;
        std::iter::successors(youngest, older)
            .map(|level| Former(Some(level)))
            .chain([Former(None)])
    }

    fn ticket_of(former: Former) -> Ticket {
        match former.0 {
            // SAFETY: levels live as long as the table, and are only ever shared.
            Some(level) => unsafe { level.as_ref() }.ticket(),
            None => Ticket::INLINE,
        }
    }

    fn view_of(&self, former: Former) -> View<'_> {
        self.view(Self::ticket_of(former))
    }

    // ---- Under the tree's mutex -----------------------------------------------------------------

    /// Makes another level the one that takes in newcomers, and lets somebody in it stand in for
    /// each holder of the one before; for those whom it cannot represent, `adopt` is called, and
    /// their spans are closed for a node each.
    ///
    /// `linked` are the spans of the tree's nodes. Does nothing if others were faster, and the
    /// level is not what was planned any more.
    pub(crate) fn rebuild(
        &self,
        rebuild: Rebuild,
        linked: impl Iterator<Item = Span>,
        adopt: impl FnMut(Span, Mode),
    ) {
        let current = self.current();
        let is_used_again = !matches!(rebuild.0, To::New(_));
        let ticket = match rebuild.0 {
            To::New(mut level) => {
                let ticket = level.ticket();
                // SAFETY: the level lives as long as the table if it is taken, and this block else.
                let view = View::Heap(unsafe { ticket.shards() });
                if !view.is_finer_than(current, self.growth.longest_granule()) {
                    return;
                }
                // Acquire: as in `formers`.
                level.older = NonNull::new(self.levels.load(Acquire));
                // Release pairs with the Acquire of `formers`.
                self.levels.store(Box::into_raw(level), Release);
                ticket
            }
            To::Finer(former) => {
                let view = self.view_of(former);
                let is_finer = view.is_finer_than(current, self.growth.longest_granule());
                if !is_finer || !is_deserted(view) {
                    return;
                }
                view.shards().for_each(Shard::clear);
                Self::ticket_of(former)
            }
            To::Smaller(former) => {
                let view = self.view_of(former);
                let is_smaller = view.shard_bits() < current.shard_bits();
                if !is_smaller || !self.growth.may_shrink_to(view) || !is_deserted(view) {
                    return;
                }
                self.growth.note_shrunk();
                view.shards().for_each(Shard::clear);
                Self::ticket_of(former)
            }
        };
        self.move_to(ticket, linked, adopt);
        if is_used_again {
            // Only now: whoever is let in may look at this level alone.
            self.view(ticket).shards().for_each(Shard::reinstate);
        }
    }

    fn move_to(
        &self,
        ticket: Ticket,
        linked: impl Iterator<Item = Span>,
        mut adopt: impl FnMut(Span, Mode),
    ) {
        let (former, view) = (self.current(), self.view(ticket));
        for span in linked {
            view.shards_of(span).for_each(Shard::close);
        }
        if self.probe.injects(Fault::ReinstatesTooEarly) {
            view.shards().for_each(Shard::reinstate);
        }
        // The former level is closed before the first word is moved, so each is moved either now or
        // never: who announces himself later withdraws unseen.
        for shard in former.shards() {
            shard.retire(|held| {
                let (span, mode) = (held.span(self.format), held.word().mode());
                if !self.stand_in(view, span, mode) {
                    // Here and not where the node is linked: that is after newcomers are let in.
                    view.shards_of(span).for_each(Shard::close);
                    adopt(span, mode);
                }
            });
        }
        self.current.set(ticket);
    }

    fn stand_in(&self, view: View<'_>, span: Span, mode: Mode) -> bool {
        let word = self.format.narrow(span, mode);
        let index = view.stand_in_index_for(span, mode);
        word.zip(index)
            .is_some_and(|(word, index)| view.shard(index).stand_in(word))
    }
}

/// Whether nobody who was moved out of this level is still at home there.
fn is_deserted(view: View<'_>) -> bool {
    view.shards().all(Shard::is_deserted)
}
