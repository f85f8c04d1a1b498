//! One level of the table: so many shards, over which the granules are spread.
//!
//! A lock begins with one shard of its own, the inline level, and gets larger ones from the heap as
//! its use grows. Only one takes in newcomers; holders stay where they are. A level lives as long
//! as its lock, so that whoever has ever seen it may look into it.
//!
//! Takes no lock.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::granule::{Granule, shard_of};
use super::shard::Shard;
use super::turn::Turns;
use crate::mode::Mode;
use crate::span::Span;
use crate::sync::Ordering::{Acquire, Release};
use crate::sync::{AtomicPtr, const_unless_modelled, thread_hint};

/// Shards come in groups, which leave the lower bits of their address free for a [`Ticket`].
const GROUP_BITS: u32 = if cfg!(loom) { 1 } else { 4 };

/// The fewest shards of a level on the heap, as a power of two.
pub(super) const LEAST_SHARD_BITS: u32 = GROUP_BITS;

/// The most shards of a level, as a power of two: four megabytes.
pub(super) const MOST_SHARD_BITS: u32 = if cfg!(loom) { 2 } else { 16 };

/// The fewest and the most shards of a level whose readers are apart.
pub(super) const LEAST_APART_BITS: u32 = if cfg!(loom) { 1 } else { 7 };
pub(super) const MOST_APART_BITS: u32 = if cfg!(loom) { 2 } else { 15 };

/// Where the requests for one granule announce themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// All in one shard.
    Together,
    /// A reader in one of the shards of a group, by his thread. A writer has to visit all of them,
    /// so he is *wide* here, however short his range is.
    ReadersApart,
}

const FIELD_BITS: u32 = 5;
/// Added to the number of shards in a ticket.
const APART: usize = 16;
const FIELD: usize = (1 << FIELD_BITS) - 1;
const FIELDS: usize = (1 << (2 * FIELD_BITS)) - 1;

/// The part of an index that tells the shards of a group apart.
const IN_GROUP: usize = (1 << GROUP_BITS) - 1;

#[derive(Debug)]
#[repr(C, align(1024))]
struct Group {
    shards: [Shard; 1 << GROUP_BITS],
}

impl Group {
    fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard::new_crowded()),
        }
    }
}

/// A level on the heap.
#[derive(Debug)]
pub(crate) struct Level {
    groups: Box<[Group]>,
    shard_bits: u32,
    granule: Granule,
    layout: Layout,
    /// What is known of it as a place for readers.
    pub(super) turns: Turns,
    /// The one that was allocated before. It lives on because holders are at home there, others may
    /// have seen it and not yet looked, and it may be used again.
    pub(super) older: Option<NonNull<Level>>,
}

impl Level {
    /// Allocates a level without holders.
    pub(super) fn new(granule: Granule, shard_bits: u32, layout: Layout) -> Box<Self> {
        Box::new(Self {
            groups: (0..1 << (shard_bits - GROUP_BITS))
                .map(|_| Group::new())
                .collect(),
            shard_bits,
            granule,
            layout,
            turns: Turns::new(),
            older: None,
        })
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.groups)
    }

    /// What the lock remembers of its youngest level.
    pub(super) fn ticket(&self) -> Ticket {
        let apart = match self.layout {
            Layout::Together => 0,
            Layout::ReadersApart => APART,
        };
        let bits = self.shard_bits as usize + apart;
        let fields = bits << FIELD_BITS | self.granule.shift() as usize;
        let base = self.groups.as_ptr().cast_mut();
        Ticket(base.map_addr(|address| address | fields))
    }
}

/// A level in one word: the address of its shards, and in the lower bits how many they are and how
/// long a granule is. The inline level is null. So the fast path learns all from one load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(*mut Group);

impl Ticket {
    pub(super) const INLINE: Self = Self(std::ptr::null_mut());

    #[inline]
    pub(super) fn is_inline(self) -> bool {
        self.0.is_null()
    }

    /// # Safety
    ///
    /// The ticket is that of a level on the heap, which lives for `'level`.
    #[inline]
    pub(super) unsafe fn shards<'level>(self) -> Shards<'level> {
        let bits = self.0.addr() >> FIELD_BITS & FIELD;
        let (shard_bits, layout) = match bits > APART {
            true => (bits - APART, Layout::ReadersApart),
            false => (bits, Layout::Together),
        };
        Shards {
            base: self.0.map_addr(|address| address & !FIELDS),
            granule: Granule::from_shift((self.0.addr() & FIELD) as u32),
            shard_bits: shard_bits as u32,
            layout,
            level: PhantomData,
        }
    }
}

/// The shards of a level on the heap.
///
/// Invariant: `base` leads to 2^`shard_bits` of them, which live for `'level`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shards<'level> {
    base: *const Group,
    granule: Granule,
    shard_bits: u32,
    layout: Layout,
    level: PhantomData<&'level Level>,
}

impl<'level> Shards<'level> {
    /// The index of the shard in which this thread announces a range of one granule; nothing for a
    /// wide one.
    #[inline]
    pub(super) fn index_for(self, span: Span, mode: Mode) -> Option<usize> {
        let number = self.granule.number_of(span)?;
        let index = shard_of(number, self.shard_bits);
        match (self.layout, mode) {
            (Layout::Together, _) => Some(index),
            (Layout::ReadersApart, Mode::Read) => {
                Some(index & !IN_GROUP | thread_hint() & IN_GROUP)
            }
            (Layout::ReadersApart, Mode::Write) => None,
        }
    }

    /// The same for whoever stands in for a holder: known to all threads.
    fn stand_in_index_for(self, span: Span, mode: Mode) -> Option<usize> {
        let number = self.granule.number_of(span)?;
        let index = shard_of(number, self.shard_bits);
        match (self.layout, mode) {
            (Layout::Together, _) => Some(index),
            (Layout::ReadersApart, Mode::Read) => Some(index & !IN_GROUP),
            (Layout::ReadersApart, Mode::Write) => None,
        }
    }

    #[inline]
    pub(super) fn shard(self, index: usize) -> &'level Shard {
        debug_assert!(index < 1 << self.shard_bits);
        // SAFETY: the index comes from this level's number of shards, by `shard_of` or by counting,
        // so it is within the level (see the invariant).
        let group = unsafe { self.base.add(index >> GROUP_BITS) };
        // SAFETY: the level lives, and is only ever shared.
        unsafe { &(&*group).shards[index & IN_GROUP] }
    }
}

/// Where the ticket of the youngest level stands.
#[derive(Debug)]
pub(super) struct Current(AtomicPtr<Group>);

impl Current {
    const_unless_modelled! {
        pub(super) const fn inline() -> Self {
            Self(AtomicPtr::new(std::ptr::null_mut()))
        }
    }

    #[inline]
    pub(super) fn ticket(&self) -> Ticket {
        // Acquire pairs with the Release of `set`: who sees a level sees its shards.
        Ticket(self.0.load(Acquire))
    }

    pub(super) fn set(&self, ticket: Ticket) {
        // Release pairs with the Acquire of `ticket`.
        self.0.store(ticket.0, Release);
    }
}

/// A level of either kind, to look at.
#[derive(Clone, Copy, Debug)]
pub(super) enum View<'table> {
    Inline(&'table Shard),
    Heap(Shards<'table>),
}

impl<'table> View<'table> {
    /// The index of the shard for a request of this thread, unless that is wide here. On the inline
    /// level nothing is.
    #[inline]
    pub(super) fn index_for(self, span: Span, mode: Mode) -> Option<usize> {
        match self {
            View::Inline(_) => Some(0),
            View::Heap(shards) => shards.index_for(span, mode),
        }
    }

    /// The index of the shard where somebody can stand in for such a holder.
    pub(super) fn stand_in_index_for(self, span: Span, mode: Mode) -> Option<usize> {
        match self {
            View::Inline(_) => Some(0),
            View::Heap(shards) => shards.stand_in_index_for(span, mode),
        }
    }

    #[inline]
    pub(super) fn shard(self, index: usize) -> &'table Shard {
        match self {
            View::Inline(shard) => shard,
            View::Heap(shards) => shards.shard(index),
        }
    }

    /// How many shards, as a power of two.
    pub(super) fn shard_bits(self) -> u32 {
        match self {
            View::Inline(_) => 0,
            View::Heap(shards) => shards.shard_bits,
        }
    }

    pub(super) fn layout(self) -> Layout {
        match self {
            View::Inline(_) => Layout::Together,
            View::Heap(shards) => shards.layout,
        }
    }

    pub(super) fn granule(self, usual: Granule) -> Granule {
        match self {
            View::Inline(_) => usual,
            View::Heap(shards) => shards.granule,
        }
    }

    /// Whether requests that meet in `other` may pass each other here. `usual` is the granule of an
    /// inline level.
    pub(super) fn is_finer_than(self, other: Self, usual: Granule) -> bool {
        let (granule, other_granule) = (self.granule(usual), other.granule(usual));
        self.shard_bits() >= other.shard_bits()
            && granule.shift() <= other_granule.shift()
            && (self.shard_bits(), granule, self.layout())
                != (other.shard_bits(), other_granule, other.layout())
    }

    /// All shards in which a part of `span` could be announced. One may come several times, but
    /// each time the same span comes so do they.
    #[inline]
    pub(super) fn shards_of(self, span: Span) -> impl Iterator<Item = &'table Shard> {
        let shards = 1_u64 << self.shard_bits();
        let group_bits = match self.layout() {
            Layout::Together => 0,
            Layout::ReadersApart => GROUP_BITS,
        };
        let (first, count, spread) = match self {
            View::Inline(_) => (0, 1, false),
            View::Heap(Shards { granule, .. }) => {
                let numbers = granule.numbers_of(span);
                let (first, beyond_first) = (*numbers.start(), numbers.end() - numbers.start());
                match beyond_first < (shards >> group_bits) - 1 {
                    true => (first, (beyond_first + 1) << group_bits, true),
                    false => (0, shards, false),
                }
            }
        };
        let in_group = (1 << group_bits) - 1;
        (0..count).map(move |at| {
            self.shard(match spread {
                true => {
                    let home = shard_of(first + (at >> group_bits), self.shard_bits());
                    home & !in_group | at as usize & in_group
                }
                false => at as usize,
            })
        })
    }

    pub(super) fn shards(self) -> impl Iterator<Item = &'table Shard> {
        (0..1_usize << self.shard_bits()).map(move |index| self.shard(index))
    }
}
