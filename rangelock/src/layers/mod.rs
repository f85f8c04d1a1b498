//! The lock behind the public types: the tree, with slots above it or without.
//!
//! Every request is first offered to the slots, if there are any; what they refuse goes to the
//! tree. This file knows neither the protocol of the slots (`slots`) nor that of the tree (`tree`),
//! only who calls whom. Takes the tree's mutex, by way of the tree.

mod change;
mod movable;
mod pinned;
mod queued;

use std::convert::Infallible;
use std::num::NonZeroU64;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;

use crate::mode::Mode;
use crate::probe::Probe;
use crate::slots::{Departure, Division, Growth, Place, Rebuild, SlotTable};
use crate::span::Span;
use crate::sync::{Mutex, const_unless_modelled};
use crate::tally::Tally;
use crate::tree::{self, Census, FEW_STAND_INS, Node, Standing, TreeCounters, TreeLock};
use crate::watch::{Asker, LockId, Shapes, Ticket, Woken};

pub(crate) use self::change::NodeSource;

/// Where a granted request stands: linked into the tree, or in a shard.
///
/// Two plain words, because it is passed on through several functions: an enum would be written in
/// parts and read whole, which stalls a processor for longer than an atomic operation takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holding {
    at: NonNull<()>,
    /// Those of a place, or zero for a node.
    bits: u64,
}

impl Holding {
    #[inline]
    fn place(place: Place) -> Self {
        let (at, bits) = place.into_parts();
        Self {
            at,
            bits: bits.get(),
        }
    }

    #[inline]
    fn node(node: NonNull<Node>) -> Self {
        Self {
            at: node.cast(),
            bits: 0,
        }
    }

    #[inline]
    fn stands(self) -> tree::Holding<Place> {
        match NonZeroU64::new(self.bits) {
            Some(bits) => tree::Holding::Outside(Place::from_parts(self.at, bits)),
            None => tree::Holding::Linked(self.at.cast()),
        }
    }
}

impl From<tree::Holding<Place>> for Holding {
    #[inline]
    fn from(holding: tree::Holding<Place>) -> Self {
        match holding {
            tree::Holding::Linked(node) => Self::node(node),
            tree::Holding::Outside(place) => Self::place(place),
        }
    }
}

impl From<tree::Holding<Infallible>> for Holding {
    #[inline]
    fn from(holding: tree::Holding<Infallible>) -> Self {
        match holding {
            tree::Holding::Linked(node) => Self::node(node),
            tree::Holding::Outside(nowhere) => match nowhere {},
        }
    }
}

/// What became of a request that did not wait to see.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Enqueued {
    /// It holds its range.
    Held(Holding),
    /// It waits.
    Waiting(NonNull<Node>),
}

impl<P> From<tree::Enqueued<P>> for Enqueued
where
    Holding: From<tree::Holding<P>>,
{
    fn from(enqueued: tree::Enqueued<P>) -> Self {
        match enqueued {
            tree::Enqueued::Held(holding) => Self::Held(holding.into()),
            tree::Enqueued::Waiting(node) => Self::Waiting(node),
        }
    }
}

/// Whether requests are offered to the slots first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    SlotsFirst,
    TreeOnly,
}

/// The lock without its guards.
pub(crate) struct Layers {
    slots: SlotTable,
    tree: TreeLock,
    way: Way,
    /// Held by whoever finds out where to append.
    appending: Mutex<()>,
    tally: Tally,
}

// A lock protects no data of its own, and no code of others runs while it is in between two states.
impl UnwindSafe for Layers {}
impl RefUnwindSafe for Layers {}

impl Layers {
    const_unless_modelled! {
        pub(crate) const fn new(division: Division, probe: Probe) -> Self {
            Self {
                slots: SlotTable::new(Growth::new(division), probe),
                tree: TreeLock::new(),
                way: Way::SlotsFirst,
                appending: Mutex::new(()),
                tally: Tally::new(),
            }
        }

        pub(crate) const fn tree_only() -> Self {
            Self {
                slots: SlotTable::retired(),
                tree: TreeLock::new(),
                way: Way::TreeOnly,
                appending: Mutex::new(()),
                tally: Tally::new(),
            }
        }
    }

    /// What observers know the lock by.
    #[inline(always)]
    pub(crate) fn id(&self) -> &LockId {
        self.tree.id()
    }

    /// Takes `span` past the tree, if that can be done at once.
    fn lock_without_tree(&self, span: Span, mode: Mode) -> Option<Holding> {
        if let Some(place) = self.slots.alone(span, mode) {
            return Some(Holding::place(place));
        }
        if self.way == Way::TreeOnly {
            return None;
        }
        let place = self.attempt(span, mode);
        self.rebuild_if_wished_for();
        place.map(Holding::place)
    }

    // ---- The slots ------------------------------------------------------------------------------

    /// Takes a place beside others, if there is one. Those who saw an announcement that had to be
    /// withdrawn may wait for it; so they are reconsidered.
    #[inline]
    fn attempt(&self, span: Span, mode: Mode) -> Option<Place> {
        self.slots.attempt(span, mode, |departure| {
            self.settle_departure(departure, span, mode).tell(self.id());
        })
    }

    /// # Safety
    ///
    /// The caller holds the place, in this lock.
    #[inline]
    unsafe fn release(&self, place: Place) {
        // SAFETY: passed on from the caller.
        let departure = unsafe { self.slots.release(place) };
        if departure != Departure::Unnoticed {
            let (span, mode) = (self.slots.span_of(place), self.slots.mode_of(place));
            self.settle_departure(departure, span, mode).tell(self.id());
        }
    }

    /// Tells the tree of a word that has left its place. Observers are left to the caller.
    #[cold]
    fn settle_departure(&self, departure: Departure, span: Span, mode: Mode) -> Woken {
        match departure {
            Departure::Unnoticed => Woken::NOBODY,
            Departure::Noticed => self.tree.reconsider(&self.slots, span, mode),
            Departure::Moved => self.tree.dismiss(&self.slots, span, mode),
        }
    }

    #[inline]
    fn rebuild_if_wished_for(&self) {
        if self.slots.is_rebuild_wished_for() {
            self.rebuild_as_wished_for();
        }
    }

    #[cold]
    fn rebuild_as_wished_for(&self) {
        if let Some(rebuild) = self.slots.plan_rebuild() {
            self.rebuild(rebuild);
        }
    }

    fn rebuild(&self, rebuild: Rebuild) {
        let mut held = 0;
        self.slots.visit(|_, _| held += 1);
        // Of many holders in a larger level about an eighth find no slot.
        let spare = FEW_STAND_INS + held / 8;
        let mut shapes = Shapes::UNSEEN;
        self.tree.while_frozen(&self.slots, spare, |linked, adopt| {
            shapes.before(|| self.slots.shape());
            self.slots.rebuild(rebuild, linked, adopt);
            shapes.after(|| self.slots.shape());
        });
        shapes.tell(self.id());
    }

    /// Makes the table as small as it can be, whatever was reserved.
    #[cfg(all(test, loom))]
    pub(crate) fn shrink_table(&self) {
        if let Some(rebuild) = self.slots.plan_shrink_to_fit() {
            self.rebuild(rebuild);
        }
    }

    /// Sets readers apart, as if they had met often.
    #[cfg(test)]
    pub(crate) fn set_readers_apart(&self) {
        self.rebuild(self.slots.plan_apart());
    }

    /// Sets them together again, as if many had written.
    #[cfg(all(test, loom))]
    pub(crate) fn set_readers_together(&self) {
        if let Some(rebuild) = self.slots.plan_to_gather() {
            self.rebuild(rebuild);
        }
    }

    /// Lists wide holders, as if they had sent many requests to the tree.
    #[cfg(all(test, loom))]
    pub(crate) fn list(&self) {
        self.tree.list(&self.slots);
    }

    /// Makes room for `ranges` ranges at once. Locks: briefly the tree's mutex.
    pub(crate) fn reserve(&self, ranges: usize) {
        let in_slots = match self.way {
            Way::SlotsFirst => ranges,
            Way::TreeOnly => 0,
        };
        if let Some(rebuild) = self.slots.plan_reserve(in_slots) {
            self.rebuild(rebuild);
        }
        self.tree.reserve(ranges - in_slots + in_slots.div_ceil(8));
    }

    // ---- Observers ------------------------------------------------------------------------------

    /// Notes that the calling thread was granted a range. No mutex is held. Locks: that of the
    /// observers' registry.
    #[inline(always)]
    pub(crate) fn granted(&self, asker: Asker, span: Span, mode: Mode) -> Ticket {
        self.tally.count(span);
        asker.holds(span, mode)
    }

    /// Notes that a task was granted a range: what it holds belongs to no thread.
    #[inline(always)]
    pub(crate) fn granted_to_task(&self, span: Span) -> Ticket {
        self.tally.count(span);
        Ticket::NOBODY
    }

    /// How many ranges were granted so far.
    #[cfg(all(not(any(loom, shuttle)), feature = "grant_counter"))]
    pub(crate) fn grants(&self) -> u64 {
        self.tally.total()
    }

    // ---- Looking on -----------------------------------------------------------------------------

    /// The range of something held.
    ///
    /// # Safety
    ///
    /// The holding came from this lock and was not given back since.
    pub(crate) unsafe fn span_of(&self, holding: Holding) -> Span {
        match holding.stands() {
            // SAFETY: a linked node is alive, and its bounds do not change while it is linked.
            tree::Holding::Linked(node) => unsafe { node.as_ref() }.span(),
            tree::Holding::Outside(place) => self.slots.span_of(place),
        }
    }

    /// How something is held.
    ///
    /// # Safety
    ///
    /// As for [`span_of`](Self::span_of).
    unsafe fn mode_of(&self, holding: Holding) -> Mode {
        match holding.stands() {
            // SAFETY: a linked node is alive, and only its owner changes its mode.
            tree::Holding::Linked(node) => unsafe { node.as_ref() }.mode(),
            tree::Holding::Outside(place) => self.slots.mode_of(place),
        }
    }

    /// Whether a request, made now, would have to wait. Locks: the tree's mutex.
    pub(crate) fn is_contested(&self, span: Span, mode: Mode) -> bool {
        self.tree.contested(&self.slots, span, mode)
    }

    /// Shows every request to `look`, and whether it waits. `look` must not use this lock. Locks:
    /// the tree's mutex.
    pub(crate) fn visit(&self, mut look: impl FnMut(Span, Mode, Standing)) {
        self.tree.visit(&mut look, |look| {
            self.slots
                .visit(|span, mode| look(span, mode, Standing::Granted));
        });
    }

    /// What was counted so far. Locks: the tree's mutex.
    pub(crate) fn counters(&self) -> TreeCounters {
        self.tree.counters()
    }

    /// What the lock has allocated. Locks: the tree's mutex.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.slots.heap_bytes() + self.tree.heap_bytes()
    }

    /// How many requests hold and how many wait, as of now. A request that is about to be refused
    /// by the slots counts as holding. Locks: the tree's mutex, while it walks the whole tree.
    pub(crate) fn census(&self) -> Census {
        let (mut granted, mut waiting) = (0, 0);
        self.visit(|_, _, standing| match standing {
            Standing::Waiting => waiting += 1,
            Standing::Granted | Standing::Proxy => granted += 1,
        });
        Census { granted, waiting }
    }

    #[cfg(test)]
    pub(crate) fn with_probe<R>(&self, look: impl FnOnce(&mut Probe) -> R) -> R {
        self.tree.with_probe(look)
    }

    /// The table, and the tree's part of a census.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (&SlotTable, Census) {
        (&self.slots, self.tree.census())
    }
}
