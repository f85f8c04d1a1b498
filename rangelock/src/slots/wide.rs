//! The list of wide holders, for newcomers to look at.
//!
//! # Why
//!
//! A wide holder closes every shard that it concerns, and who finds a shard closed has to ask the
//! tree. That is right for the moment in which a wide request comes. But a backup that reads a
//! whole file for minutes, or a truncation of its tail, would send everybody through one mutex all
//! that time, although they want other bytes. So when that has happened some times, the tree enters
//! the wide holders here, and their shards count them as *listed*. A newcomer that finds nobody but
//! listed holders looks here whether one of them is in its way.
//!
//! # How
//!
//! An entry is one word, so it is read whole, and says a little too much rather than too little:
//!
//! ```text
//!   63     62     61 ............ 31   30 ............ 0
//!   VALID  WRITE  number of the first  number of the last granule, or all ones: open-ended
//! ```
//!
//! Who is refused because of that asks the tree, which is exact.
//!
//! A holder is entered before its shards count it as listed, and taken out after they do not any
//! more. Once taken out it is not entered again, because its mode or range is about to change and a
//! newcomer may have read what it was: it counts as any other node from then on.
//!
//! Takes no lock; entries are changed under the tree's mutex.

use super::granule::Granule;
use crate::mode::Mode;
use crate::span::Span;
use crate::sync::AtomicU64;
use crate::sync::Ordering::{Acquire, Relaxed, Release};

/// As many as fit beside what every request reads anyway.
const ENTRIES: usize = if cfg!(loom) { 1 } else { 2 };

const VALID: u64 = 1 << 63;
const WRITE: u64 = 1 << 62;
const NUMBER_BITS: u32 = 31;
const OPEN_ENDED: u64 = (1 << NUMBER_BITS) - 1;

/// A wide holder, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WideWord(u64);

impl WideWord {
    /// Nothing if the range lies so high that it cannot be said.
    pub(super) fn new(granule: Granule, span: Span, mode: Mode) -> Option<Self> {
        let numbers = granule.numbers_of(span);
        let last = match span.last {
            u64::MAX => OPEN_ENDED,
            _ => *numbers.end(),
        };
        let can_be_said = *numbers.start() < OPEN_ENDED && last <= OPEN_ENDED;
        let write = match mode {
            Mode::Read => 0,
            Mode::Write => WRITE,
        };
        can_be_said.then(|| Self(VALID | write | numbers.start() << NUMBER_BITS | last))
    }

    /// Whether it may exclude a request for some of these granules.
    #[inline]
    fn excludes(self, first: u64, last: u64, mode: Mode) -> bool {
        let own_mode = match self.0 & WRITE {
            0 => Mode::Read,
            _ => Mode::Write,
        };
        let own_first = self.0 >> NUMBER_BITS & OPEN_ENDED;
        let own_last = self.0 & OPEN_ENDED;
        self.0 != 0
            && mode.conflicts_with(own_mode)
            && own_first <= last
            && (own_last == OPEN_ENDED || first <= own_last)
    }
}

/// The list.
#[derive(Debug)]
pub(super) struct WideHolders([AtomicU64; ENTRIES]);

impl WideHolders {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; ENTRIES])
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Enters a holder, if there is room.
    pub(super) fn enter(&self, holder: WideWord) -> bool {
        // Relaxed: only the mutex changes entries.
        let free = self.0.iter().find(|entry| entry.load(Relaxed) == 0);
        if let Some(entry) = free {
            // Release pairs with the Acquire of `may_exclude`. That it is seen by all who find a
            // shard with listed holders, is because `Shard::list` comes next, and releases too.
            entry.store(holder.0, Release);
        }
        free.is_some()
    }

    /// Takes one entry out that says this; all that say the same are alike.
    pub(super) fn take_out(&self, holder: WideWord) {
        let entry = self.0.iter().find(|entry| entry.load(Relaxed) == holder.0);
        // Release pairs with the Acquire of `may_exclude`: who misses the entry sees that the
        // shards do not count it as listed any more.
        entry
            .expect("a listed holder is in the list")
            .store(0, Release);
    }

    /// Whether one of them may exclude a request for `span`.
    #[inline]
    pub(super) fn may_exclude(&self, granule: Granule, span: Span, mode: Mode) -> bool {
        let numbers = granule.numbers_of(span);
        self.0.iter().any(|entry| {
            // Acquire pairs with both stores.
            let holder = WideWord(entry.load(Acquire));
            holder.excludes(*numbers.start(), *numbers.end(), mode)
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::{ENTRIES, WideHolders, WideWord};
    use crate::mode::Mode::{self, Read, Write};
    use crate::slots::Granule;
    use crate::span::Span;

    fn span() -> impl Strategy<Value = Span> {
        let bound = || prop_oneof![0..300_u64, Just(u64::MAX), any::<u64>()];
        (bound(), bound()).prop_map(|(one, other)| Span {
            first: one.min(other),
            last: one.max(other),
        })
    }

    fn mode() -> impl Strategy<Value = Mode> {
        prop_oneof![Just(Read), Just(Write)]
    }

    proptest! {
        /// It may say too much, within a granule at either end, but never too little.
        #[test]
        fn a_listed_holder_excludes_all_that_it_should(
            shift in 0..=21_u32,
            (held, held_mode) in (span(), mode()),
            (wanted, mode) in (span(), mode()),
        ) {
            let granule = Granule::from_len(1 << shift).unwrap();
            let Some(word) = WideWord::new(granule, held, held_mode) else {
                prop_assert!(held.last >> shift >= (1 << 31) - 1);
                return Ok(());
            };
            let list = WideHolders::new();
            prop_assert!(!list.may_exclude(granule, wanted, mode));
            prop_assert!(list.enter(word));
            let excludes = list.may_exclude(granule, wanted, mode);
            let widened = Span {
                first: held.first >> shift << shift,
                last: held.last | ((1 << shift) - 1),
            };
            let conflicts = mode.conflicts_with(held_mode);
            prop_assert!(excludes || !(conflicts && held.overlaps(wanted)));
            let wanted_granules = Span {
                first: wanted.first >> shift << shift,
                last: wanted.last | ((1 << shift) - 1),
            };
            prop_assert_eq!(excludes, conflicts && widened.overlaps(wanted_granules));
            list.take_out(word);
            prop_assert!(!list.may_exclude(granule, wanted, mode));
        }
    }

    #[test]
    fn a_full_list_takes_nobody_and_equal_entries_are_taken_out_one_by_one() {
        let granule = Granule::from_len(1).unwrap();
        let whole = Span {
            first: 5,
            last: u64::MAX,
        };
        let word = WideWord::new(granule, whole, Read).unwrap();
        let list = WideHolders::new();
        assert!((0..ENTRIES).all(|_| list.enter(word)));
        assert!(!list.enter(word));
        for _ in 0..ENTRIES {
            assert!(list.may_exclude(granule, whole, Write));
            list.take_out(word);
        }
        assert!(!list.may_exclude(granule, whole, Write));
    }
}
