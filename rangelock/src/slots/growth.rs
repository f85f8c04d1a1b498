//! When a lock's table grows or shrinks, and into what.
//!
//! A shard that has no slot left, or in which requests meet again and again, wishes for growth. The
//! wish is carried out by the next request that may allocate. More shards help if those who meet
//! use different granules; if they use the same one, only a shorter granule does, and whether there
//! can be one is the owner's choice. If they use the same bytes, and all of them read, it helps to
//! set them apart.
//!
//! Wide requests visit every shard, and wish for fewer when they have done so some times. If few
//! enough ranges are held then, the table shrinks. Every time it does, more wide requests have to
//! come before it does so again: a lock whose use changes to and fro ends up large.
//!
//! Takes no lock.

use super::SLOTS;
use super::granule::Granule;
use super::level::{
    LEAST_APART_BITS, LEAST_SHARD_BITS, Layout, MOST_APART_BITS, MOST_SHARD_BITS, View,
};
use super::shard::{Request, Shard};
use crate::mode::Mode;
use crate::span::Span;
use crate::sync::Ordering::Relaxed;
use crate::sync::{AtomicU32, const_unless_modelled};

/// By how much the number of shards grows, as a power of two.
const STEP_BITS: u32 = if cfg!(loom) { 1 } else { 3 };

/// So many slots of each shard are expected to be in use.
const SLOTS_TO_FILL: usize = if cfg!(loom) { SLOTS } else { SLOTS / 2 };

/// Beyond so many shards it is not for want of them that requests meet.
const ROOMY_SHARD_BITS: u32 = 8;

/// After so many visits to all its shards a table shrinks for the first time, if it can.
const FIRST_PATIENCE: u32 = if cfg!(loom) { 1 } else { 8 };
const MOST_PATIENCE: u32 = 1 << 20;

/// After so many detours wide holders are listed.
const DETOURS: u32 = if cfg!(loom) { 2 } else { 8 };

/// The wish for fewer shards.
const SHRINK: u32 = 1 << 31;
/// The wish that readers go together again.
const GATHER: u32 = 1 << 30;
/// In a plan's word: readers apart.
const APART: u32 = 1 << 7;

/// Shorter granules are not worth a table: 64 units.
const LEAST_GRANULE_SHIFT: u32 = 6;

/// Who says how long a granule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Division {
    /// The owner of the lock.
    Fixed(Granule),
    /// The lock, by what it is used for.
    Adaptive,
}

/// The wish for growth, and what it may lead to.
#[derive(Debug)]
pub(crate) struct Growth {
    division: Division,
    /// A plan in one word, or `SHRINK`, or zero.
    wish: AtomicU32,
    /// Requests that found their shard full since the last growth.
    full: AtomicU32,
    /// Requests that passed through the mutex only because wide holders had closed their shard.
    detours: AtomicU32,
    /// Requests that visited all shards since they last wished for fewer.
    wide: AtomicU32,
    /// How many such it takes, in excess of the first time.
    patience: AtomicU32,
    /// The fewest shards the owner wants, as a power of two.
    least_shard_bits: AtomicU32,
}

/// What the table shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Grow(Plan),
    Shrink,
    Gather,
}

/// What a younger level should look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) granule: Granule,
    pub(super) shard_bits: u32,
    pub(super) layout: Layout,
}

impl Plan {
    fn bits(self) -> u32 {
        let apart = match self.layout {
            Layout::Together => 0,
            Layout::ReadersApart => APART,
        };
        self.granule.shift() << 8 | apart | self.shard_bits
    }

    fn from_bits(bits: u32) -> Option<Self> {
        (bits != 0).then(|| Self {
            granule: Granule::from_shift(bits >> 8),
            shard_bits: bits & (APART - 1),
            layout: match bits & APART {
                0 => Layout::Together,
                _ => Layout::ReadersApart,
            },
        })
    }
}

impl Growth {
    const_unless_modelled! {
        pub(crate) const fn new(division: Division) -> Self {
            Self {
                division,
                wish: AtomicU32::new(0),
                full: AtomicU32::new(0),
                detours: AtomicU32::new(0),
                wide: AtomicU32::new(0),
                patience: AtomicU32::new(0),
                least_shard_bits: AtomicU32::new(0),
            }
        }
    }

    /// The longest granule there can be; that of the first level with several shards.
    pub(super) const fn longest_granule(&self) -> Granule {
        match self.division {
            Division::Fixed(granule) => granule,
            Division::Adaptive => Granule::USUAL,
        }
    }

    // ---- Wishes ---------------------------------------------------------------------------------

    /// Whether somebody wishes for growth.
    #[inline]
    pub(crate) fn is_wished_for(&self) -> bool {
        // Relaxed, here and below: a hint.
        self.wish.load(Relaxed) != 0
    }

    /// Requests meet in `shard` all the time, though there is a slot for each.
    #[cold]
    pub(super) fn wish_for_room(&self, view: View<'_>, shard: &Shard, request: &Request) {
        let plan = self.plan(view, shard, request);
        if let Some(plan) = plan.filter(|plan| plan.shard_bits <= ROOMY_SHARD_BITS) {
            self.wish.store(plan.bits(), Relaxed);
        }
    }

    /// `shard` has no slot left for a request. A few such in a large table are no reason yet.
    #[cold]
    pub(super) fn note_full(&self, view: View<'_>, shard: &Shard, request: &Request) {
        // Nothing is written where nothing would help: all requests read this line.
        let Some(plan) = self.plan(view, shard, request) else {
            return;
        };
        let full = self.full.fetch_add(1, Relaxed) + 1;
        if full > 1 << view.shard_bits() >> 6 {
            self.full.store(0, Relaxed);
            self.wish.store(plan.bits(), Relaxed);
        }
    }

    /// Writers come so often that readers should go together again.
    #[cold]
    pub(super) fn wish_to_gather(&self) {
        let _ = self.wish.compare_exchange(0, GATHER, Relaxed, Relaxed);
    }

    /// A request found its shard closed by others, and none of them in its way.
    #[cold]
    pub(super) fn note_detour(&self) {
        self.detours.fetch_add(1, Relaxed);
    }

    /// Whether there were so many detours that it is time to list wide holders. Asked once, they
    /// are forgotten.
    #[inline]
    pub(super) fn is_listing_due(&self) -> bool {
        let due = self.detours.load(Relaxed) >= DETOURS;
        if due {
            self.detours.store(0, Relaxed);
        }
        due
    }

    /// A wide request has visited so many shards.
    #[cold]
    pub(super) fn note_wide(&self, view: View<'_>, visited: usize) {
        let is_large = view.shard_bits() > self.least_shard_bits.load(Relaxed);
        if visited >> view.shard_bits() == 0 || !is_large {
            return;
        }
        let wide = self.wide.fetch_add(1, Relaxed) + 1;
        if wide >= self.patience.load(Relaxed) + FIRST_PATIENCE {
            self.wide.store(0, Relaxed);
            // A wish for growth is the better founded one.
            let _ = self.wish.compare_exchange(0, SHRINK, Relaxed, Relaxed);
        }
    }

    /// The table has shrunk: next time it takes longer.
    pub(super) fn note_shrunk(&self) {
        let patience = self.patience.load(Relaxed) + FIRST_PATIENCE;
        self.patience
            .store((2 * patience).min(MOST_PATIENCE), Relaxed);
    }

    /// What was wished for, if something was; nobody else gets it.
    pub(super) fn take_wish(&self) -> Option<Wish> {
        match self.wish.swap(0, Relaxed) {
            SHRINK => Some(Wish::Shrink),
            GATHER => Some(Wish::Gather),
            bits => Plan::from_bits(bits).map(Wish::Grow),
        }
    }

    // ---- Plans ----------------------------------------------------------------------------------

    /// What would help `request` and those it meets in `shard`, if anything would.
    fn plan(&self, view: View<'_>, shard: &Shard, request: &Request) -> Option<Plan> {
        let granule = view.granule(self.longest_granule());
        let here = granule.number_of(request.span);
        let (mut others, mut strangers, mut longest) = (0, 0, length_bits(request.span));
        let mut writers = u32::from(request.mode == Mode::Write);
        for held in shard.held() {
            let span = held.span(request.format);
            writers += u32::from(held.word().mode() == Mode::Write);
            others += 1;
            strangers += u32::from(granule.number_of(span) != here);
            if span.last != u64::MAX {
                longest = longest.max(length_bits(span));
            }
        }
        if strangers > 0 {
            let shard_bits = (view.shard_bits() + STEP_BITS).max(LEAST_SHARD_BITS);
            return (shard_bits <= most_shard_bits(view.layout())).then_some(Plan {
                granule,
                shard_bits,
                layout: view.layout(),
            });
        }
        let shorter = longest.max(LEAST_GRANULE_SHIFT);
        let may_shorten = self.division == Division::Adaptive && shorter < granule.shift();
        if others == 0 {
            return None;
        }
        if may_shorten {
            return Some(Plan {
                granule: Granule::from_shift(shorter),
                shard_bits: view.shard_bits().max(LEAST_SHARD_BITS),
                layout: view.layout(),
            });
        }
        // The same bytes, read by all: only more places for the same ones can help.
        let are_apart = view.layout() == Layout::ReadersApart;
        let may_go_apart = !are_apart && writers == 0 && view.shard_bits() <= MOST_APART_BITS;
        may_go_apart.then(|| Plan {
            granule,
            shard_bits: view.shard_bits().max(LEAST_APART_BITS),
            layout: Layout::ReadersApart,
        })
    }

    /// A level with half of its slots free when `ranges` are held, unless this one has as many. The
    /// table does not shrink below that any more.
    pub(super) fn plan_reserve(&self, view: View<'_>, ranges: usize) -> Option<Plan> {
        let shard_bits = shard_bits_for(ranges);
        self.least_shard_bits.fetch_max(shard_bits, Relaxed);
        (shard_bits > view.shard_bits()).then(|| Plan {
            granule: view.granule(self.longest_granule()),
            shard_bits,
            layout: match shard_bits <= MOST_APART_BITS {
                true => view.layout(),
                false => Layout::Together,
            },
        })
    }

    /// Lets the table shrink below what was reserved.
    #[cfg(all(test, loom))]
    pub(super) fn forget_reserve(&self) {
        self.least_shard_bits.store(0, Relaxed);
    }

    /// Whether so few shards are as many as the owner wants.
    pub(super) fn may_shrink_to(&self, view: View<'_>) -> bool {
        view.shard_bits() >= self.least_shard_bits.load(Relaxed)
    }

    /// How many shards are enough while `held` ranges are held, as a power of two; nothing if the
    /// table is hardly larger.
    pub(super) fn plan_shrink(&self, view: View<'_>, held: usize) -> Option<u32> {
        let enough = shard_bits_for(2 * held).max(self.least_shard_bits.load(Relaxed));
        (enough + STEP_BITS <= view.shard_bits()).then_some(enough)
    }
}

fn most_shard_bits(layout: Layout) -> u32 {
    match layout {
        Layout::Together => MOST_SHARD_BITS,
        Layout::ReadersApart => MOST_APART_BITS,
    }
}

/// So many shards that half of their slots are free while `ranges` are held, as a power of two.
fn shard_bits_for(ranges: usize) -> u32 {
    if ranges <= SLOTS {
        return 0;
    }
    let shards = ranges.div_ceil(SLOTS_TO_FILL).next_power_of_two();
    shards
        .trailing_zeros()
        .clamp(LEAST_SHARD_BITS, MOST_SHARD_BITS)
}

/// The shortest granule that a range of this length can lie in, as a power of two.
fn length_bits(span: Span) -> u32 {
    let length_less_one = span.last - span.first;
    u64::BITS - length_less_one.leading_zeros()
}
