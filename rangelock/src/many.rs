//! Several ranges at once.
//!
//! All requests of one call take their places in the order at one moment, so of two calls one comes
//! first with all of them, and they cannot wait for each other in a circle. Takes the tree's mutex
//! once, then whatever is to be waited for.

use std::fmt;
use std::ops::{RangeBounds, RangeInclusive};
use std::time::Instant;

use crate::guard::{Held, ReadGuard, WriteGuard};
use crate::inspect::Access;
use crate::layers::{Holding, Layers};
use crate::lock::RangeLock;
use crate::mode::Mode;
use crate::span::Span;
use crate::watch::{Asker, Ticket, place};

impl RangeLock {
    /// Waits for several ranges at once, each in its mode.
    ///
    /// All of them take their places in the order at one moment. So two calls never wait for each
    /// other in a circle, in whatever order they name their ranges. A range that is granted before
    /// the others is held while the call waits for those; in a lock that serves in order of arrival
    /// that keeps out nobody whom the place in the order would let pass.
    ///
    /// Ranges that overlap are held once, exclusively where one of them was to be.
    ///
    /// Allocates. Locks: the ranges; inside, briefly, the lock's own mutex.
    ///
    /// # Examples
    ///
    /// ```
    /// use rangelock::{Access, RangeLock};
    ///
    /// let lock = RangeLock::new();
    /// let copy = lock.lock_many([(0..100, Access::Read), (500..600, Access::Write)]);
    /// assert!(lock.try_read(0..100).is_some());
    /// assert!(lock.try_read(500..600).is_none());
    /// # drop(copy);
    /// ```
    #[track_caller]
    pub fn lock_many<R: RangeBounds<u64>>(
        &self,
        requests: impl IntoIterator<Item = (R, Access)>,
    ) -> ManyGuard<'_> {
        ManyGuard::take(&self.layers, &wanted(requests))
    }

    /// Takes several ranges at once, if none of them has to wait; else none. Otherwise like
    /// [`lock_many`](Self::lock_many).
    ///
    /// # Examples
    ///
    /// ```
    /// use rangelock::{Access, RangeLock};
    ///
    /// let lock = RangeLock::new();
    /// let reader = lock.read(0..10);
    /// let both = lock.try_lock_many([(0..10, Access::Read), (20..30, Access::Write)]);
    /// assert!(both.is_some());
    /// assert!(lock.try_lock_many([(0..10, Access::Write), (40..50, Access::Write)]).is_none());
    /// assert!(!lock.is_locked(40..50));
    /// # drop((reader, both));
    /// ```
    #[track_caller]
    pub fn try_lock_many<R: RangeBounds<u64>>(
        &self,
        requests: impl IntoIterator<Item = (R, Access)>,
    ) -> Option<ManyGuard<'_>> {
        ManyGuard::try_take(&self.layers, &wanted(requests))
    }

    /// Waits for several ranges at once, but gives all of them up at `deadline`. Otherwise like
    /// [`lock_many`](Self::lock_many).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use rangelock::{Access, RangeLock};
    ///
    /// let lock = RangeLock::new();
    /// let reader = lock.read(0..10);
    /// let soon = Instant::now() + Duration::from_millis(1);
    /// let wanted = [(0..10, Access::Write), (20..30, Access::Write)];
    /// assert!(lock.try_lock_many_until(wanted, soon).is_none());
    /// assert!(!lock.is_locked(20..30)); // none of them is kept
    /// # drop(reader);
    /// ```
    #[track_caller]
    pub fn try_lock_many_until<R: RangeBounds<u64>>(
        &self,
        requests: impl IntoIterator<Item = (R, Access)>,
        deadline: Instant,
    ) -> Option<ManyGuard<'_>> {
        ManyGuard::take_until(&self.layers, &wanted(requests), deadline)
    }
}

/// Several ranges, each shared or exclusive; given back together when dropped, or one by one.
///
/// Made by [`RangeLock::lock_many`](crate::RangeLock::lock_many).
///
/// # Examples
///
/// ```
/// use rangelock::{Access, RangeLock};
///
/// let lock = RangeLock::new();
/// let guard = lock.lock_many([(0..10, Access::Read), (20..30, Access::Write)]);
/// assert!(lock.try_write(10..20).is_some());
/// drop(guard);
/// assert!(!lock.is_locked(..));
/// ```
#[must_use = "the ranges are given back at once if the guard is dropped"]
pub struct ManyGuard<'lock> {
    guards: Vec<RangeGuard<'lock>>,
}

/// One range of a [`ManyGuard`].
///
/// # Examples
///
/// ```
/// use rangelock::{Access, RangeLock};
///
/// let lock = RangeLock::new();
/// use rangelock::RangeGuard;
///
/// for guard in lock.lock_many([(0..10, Access::Read), (20..30, Access::Write)]).into_guards() {
///     match guard {
///         RangeGuard::Read(guard) => assert_eq!(guard.range(), Some(0..=9)),
///         RangeGuard::Write(guard) => drop(guard.downgrade()),
///     }
/// }
/// ```
#[derive(Debug)]
#[must_use = "the range is given back at once if the guard is dropped"]
pub enum RangeGuard<'lock> {
    /// Shared.
    Read(ReadGuard<'lock>),
    /// Exclusive.
    Write(WriteGuard<'lock>),
}

impl RangeGuard<'_> {
    /// The range held.
    ///
    /// # Examples
    ///
    /// ```
    /// use rangelock::{Access, RangeLock};
    ///
    /// let lock = RangeLock::new();
    /// let guards = lock.lock_many([(20..30, Access::Read), (0..10, Access::Read)]).into_guards();
    /// assert_eq!(guards[0].range(), Some(0..=9));
    /// ```
    #[must_use]
    pub fn range(&self) -> Option<RangeInclusive<u64>> {
        match self {
            RangeGuard::Read(guard) => guard.range(),
            RangeGuard::Write(guard) => guard.range(),
        }
    }

    /// How it is held.
    ///
    /// # Examples
    ///
    /// ```
    /// use rangelock::{Access, RangeLock};
    ///
    /// let lock = RangeLock::new();
    /// let guards = lock.lock_many([(0..10, Access::Write)]).into_guards();
    /// assert_eq!(guards[0].access(), Access::Write);
    /// ```
    #[must_use]
    pub fn access(&self) -> Access {
        match self {
            RangeGuard::Read(_) => Access::Read,
            RangeGuard::Write(_) => Access::Write,
        }
    }

    /// Says that the guard is about to be sent to another thread: see [`ReadGuard::disown`].
    ///
    /// # Examples
    ///
    /// ```
    /// use rangelock::{Access, RangeLock};
    ///
    /// let lock = RangeLock::new();
    /// let guards = lock.lock_many([(0..10, Access::Read)]).into_guards();
    /// std::thread::scope(|scope| {
    ///     guards[0].disown();
    ///     scope.spawn(|| drop(guards));
    /// });
    /// ```
    pub fn disown(&self) {
        match self {
            RangeGuard::Read(guard) => guard.disown(),
            RangeGuard::Write(guard) => guard.disown(),
        }
    }
}

impl<'lock> ManyGuard<'lock> {
    #[track_caller]
    pub(crate) fn take(layers: &'lock Layers, wanted: &[(Span, Mode)]) -> Self {
        let requests = disjoint(wanted);
        let asker = Asker::new(layers.id(), place());
        let holdings = layers.lock_many(&requests, asker);
        Self::new(layers, &requests, holdings, asker)
    }

    #[track_caller]
    pub(crate) fn try_take(layers: &'lock Layers, wanted: &[(Span, Mode)]) -> Option<Self> {
        let requests = disjoint(wanted);
        let asker = Asker::new(layers.id(), place());
        let holdings = layers.try_lock_many(&requests)?;
        Some(Self::new(layers, &requests, holdings, asker))
    }

    #[track_caller]
    pub(crate) fn take_until(
        layers: &'lock Layers,
        wanted: &[(Span, Mode)],
        deadline: Instant,
    ) -> Option<Self> {
        let requests = disjoint(wanted);
        let asker = Asker::new(layers.id(), place());
        let holdings = layers.lock_many_until(&requests, deadline, asker)?;
        Some(Self::new(layers, &requests, holdings, asker))
    }

    fn new(
        layers: &'lock Layers,
        requests: &[(Span, Mode)],
        holdings: Vec<Holding>,
        asker: Asker,
    ) -> Self {
        Self::with_tickets(layers, requests, holdings, |span, mode| {
            layers.granted(asker, span, mode)
        })
    }

    /// What a task holds belongs to no thread, because tasks travel.
    pub(crate) fn of_a_task(
        layers: &'lock Layers,
        requests: &[(Span, Mode)],
        holdings: Vec<Holding>,
    ) -> Self {
        Self::with_tickets(layers, requests, holdings, |span, _| {
            layers.granted_to_task(span)
        })
    }

    fn with_tickets(
        layers: &'lock Layers,
        requests: &[(Span, Mode)],
        holdings: Vec<Holding>,
        ticket: impl Fn(Span, Mode) -> Ticket,
    ) -> Self {
        let guards = holdings
            .into_iter()
            .zip(requests)
            .map(|(holding, &(span, mode))| {
                let held = Held::granted(layers, holding, ticket(span, mode));
                match mode {
                    Mode::Read => RangeGuard::Read(ReadGuard::new(held)),
                    Mode::Write => RangeGuard::Write(WriteGuard::new(held)),
                }
            })
            .collect();
        Self { guards }
    }

    /// What is held, by ascending range. Ranges that were asked for twice are held once, and
    /// exclusively if one of the two was.
    ///
    /// # Examples
    ///
    /// ```
    /// use rangelock::{Access, RangeLock};
    ///
    /// let lock = RangeLock::new();
    /// // The same bytes twice: they are held once, to write.
    /// let held = lock.lock_many([(0..10, Access::Read), (0..10, Access::Write)]);
    /// assert_eq!(held.guards().count(), 1);
    /// assert!(held.guards().all(|guard| guard.access() == Access::Write));
    /// ```
    pub fn guards(&self) -> impl Iterator<Item = &RangeGuard<'lock>> {
        self.guards.iter()
    }

    /// Says that the guard is about to be sent to another thread: see [`ReadGuard::disown`].
    ///
    /// # Examples
    ///
    /// ```
    /// use rangelock::{Access, RangeLock};
    ///
    /// let lock = RangeLock::new();
    /// let guard = lock.lock_many([(0..10, Access::Read), (20..30, Access::Write)]);
    /// std::thread::scope(|scope| {
    ///     guard.disown();
    ///     scope.spawn(|| drop(guard));
    /// });
    /// ```
    pub fn disown(&self) {
        self.guards.iter().for_each(RangeGuard::disown);
    }

    /// The guards, to be given back one by one.
    ///
    /// # Examples
    ///
    /// ```
    /// use rangelock::{Access, RangeLock};
    ///
    /// let lock = RangeLock::new();
    /// let both = [(0..10, Access::Read), (20..30, Access::Read)];
    /// let mut guards = lock.lock_many(both).into_guards();
    /// drop(guards.pop());
    /// assert!(lock.try_write(20..30).is_some());
    /// ```
    #[must_use = "the ranges are given back at once if the guards are dropped"]
    pub fn into_guards(self) -> Vec<RangeGuard<'lock>> {
        self.guards
    }
}

impl fmt::Debug for ManyGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.guards).finish()
    }
}

pub(crate) fn wanted<R: RangeBounds<u64>>(
    requests: impl IntoIterator<Item = (R, Access)>,
) -> Vec<(Span, Mode)> {
    requests
        .into_iter()
        .filter_map(|(range, access)| Some((Span::of(&range)?, access.into())))
        .collect()
}

/// The same bytes in ranges that share none, each in the strongest mode it was wanted in.
pub(crate) fn disjoint(wanted: &[(Span, Mode)]) -> Vec<(Span, Mode)> {
    let of_mode = |mode: Mode| {
        let spans = wanted.iter().filter(move |(_, wanted)| *wanted == mode);
        merged(spans.map(|(span, _)| *span).collect())
    };
    let writes = of_mode(Mode::Write);
    let reads = of_mode(Mode::Read);
    let mut all: Vec<_> = reads
        .into_iter()
        .flat_map(|read| without(read, &writes))
        .map(|span| (span, Mode::Read))
        .chain(writes.iter().map(|span| (*span, Mode::Write)))
        .collect();
    all.sort_unstable_by_key(|(span, _)| span.first);
    all
}

/// Ranges that overlap become one. Ascending.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable_by_key(|span| span.first);
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.first <= last.last => last.last = last.last.max(span.last),
            _ => merged.push(span),
        }
    }
    merged
}

/// What is left of `span` between `holes`, which are ascending and share nothing.
fn without(span: Span, holes: &[Span]) -> Vec<Span> {
    let mut parts = Vec::new();
    let mut rest = Some(span);
    for hole in holes {
        let Some(left) = rest.filter(|left| left.overlaps(*hole)) else {
            continue;
        };
        if left.first < hole.first {
            parts.push(Span {
                first: left.first,
                last: hole.first - 1,
            });
        }
        rest = (hole.last < left.last).then(|| Span {
            first: hole.last + 1,
            last: left.last,
        });
    }
    parts.extend(rest);
    parts
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn each_byte_is_wanted_once_and_in_the_strongest_mode(
            wanted in proptest::collection::vec((0..20_u64, 0..6_u64, any::<bool>()), 0..8),
        ) {
            let wanted: Vec<_> = wanted
                .into_iter()
                .map(|(first, length, writes)| {
                    let mode = if writes { Mode::Write } else { Mode::Read };
                    (Span { first, last: first + length }, mode)
                })
                .collect();
            let found = disjoint(&wanted);
            for byte in 0..30 {
                let at = Span { first: byte, last: byte };
                let modes = |all: &[(Span, Mode)]| -> Vec<Mode> {
                    let here = all.iter().filter(|(span, _)| span.overlaps(at));
                    here.map(|(_, mode)| *mode).collect()
                };
                let strongest = modes(&wanted)
                    .into_iter()
                    .reduce(|one, other| if one == Mode::Write { one } else { other });
                prop_assert_eq!(modes(&found), strongest.into_iter().collect::<Vec<_>>());
            }
            prop_assert!(found.windows(2).all(|pair| pair[0].0.last < pair[1].0.first));
        }
    }
}
