//! The lock as the comparison uses it. The only file here that names `rangelock`.
//!
//! Takes the ranges it is told to take; blocks only where it is told that nobody is in the way.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rangelock::{
    Access, Granule, ManyGuard, OwnedReadFuture, OwnedReadGuard, OwnedWriteFuture, OwnedWriteGuard,
    RangeLock, RangeNode, ReadFuture, ReadGuard, WriteFuture, WriteGuard,
};

use crate::operation::{Bounds, Kind, Make, Patience, Use};
use crate::oracle::{Name, Part, State};

/// Keeps the lock in place while a [`Subject`] uses it.
pub(crate) struct Lock(Arc<RangeLock>);

impl Lock {
    pub(crate) fn new(make: Make) -> Self {
        Self(Arc::new(match make {
            Make::Adaptive => RangeLock::new(),
            Make::Capacity(ranges) => RangeLock::with_capacity(ranges),
            Make::TreeOnly => RangeLock::tree_only(),
            Make::Granule(shift) => {
                let shift = shift % (Granule::MAX_LEN.trailing_zeros() + 1);
                let granule = Granule::from_len(1 << shift);
                RangeLock::with_granule(granule.expect("a power of two"))
            }
        }))
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            lock: &self.0,
            hands: BTreeMap::new(),
        }
    }
}

pub(crate) struct Subject<'lock> {
    lock: &'lock Arc<RangeLock>,
    hands: BTreeMap<Name, Hand<'lock>>,
}

enum Hand<'lock> {
    Reading(Pin<Box<ReadFuture<'lock>>>, Arc<Wakes>),
    Writing(Pin<Box<WriteFuture<'lock>>>, Arc<Wakes>),
    OwnedReading(OwnedReadFuture, Arc<Wakes>),
    OwnedWriting(OwnedWriteFuture, Arc<Wakes>),
    Read(ReadGuard<'lock>),
    Write(WriteGuard<'lock>),
    OwnedRead(OwnedReadGuard),
    OwnedWrite(OwnedWriteGuard),
    /// Its guard was forgotten.
    Node(#[expect(dead_code, reason = "held until it is dropped")] Pin<Box<RangeNode<'lock>>>),
    Many(#[expect(dead_code, reason = "held until it is dropped")] ManyGuard<'lock>),
}

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl<'lock> Hand<'lock> {
    /// Every other one owns its lock.
    fn future(lock: &'lock Arc<RangeLock>, name: Name, bounds: Bounds, purpose: Use) -> Self {
        let wakes = Arc::default();
        match (purpose, name % 2) {
            (Use::Read, 0) => Self::Reading(Box::pin(lock.read_async(bounds)), wakes),
            (Use::Write, 0) => Self::Writing(Box::pin(lock.write_async(bounds)), wakes),
            (Use::Read, _) => Self::OwnedReading(lock.read_owned_async(bounds), wakes),
            (Use::Write, _) => Self::OwnedWriting(lock.write_owned_async(bounds), wakes),
        }
    }

    /// Polls a future with a waker of its own. What is no future stays as it is.
    fn polled(self) -> Self {
        let wakes: Arc<Wakes> = Arc::default();
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        match self {
            Self::Reading(mut future, _) => match future.as_mut().poll(&mut context) {
                Poll::Ready(guard) => Self::Read(guard),
                Poll::Pending => Self::Reading(future, wakes),
            },
            Self::Writing(mut future, _) => match future.as_mut().poll(&mut context) {
                Poll::Ready(guard) => Self::Write(guard),
                Poll::Pending => Self::Writing(future, wakes),
            },
            Self::OwnedReading(mut future, _) => match Pin::new(&mut future).poll(&mut context) {
                Poll::Ready(guard) => Self::OwnedRead(guard),
                Poll::Pending => Self::OwnedReading(future, wakes),
            },
            Self::OwnedWriting(mut future, _) => match Pin::new(&mut future).poll(&mut context) {
                Poll::Ready(guard) => Self::OwnedWrite(guard),
                Poll::Pending => Self::OwnedWriting(future, wakes),
            },
            guard => guard,
        }
    }

    /// Of a future: what counts how often the waker of the last poll was used.
    fn wakes(&self) -> Option<&Wakes> {
        match self {
            Self::Reading(_, wakes)
            | Self::Writing(_, wakes)
            | Self::OwnedReading(_, wakes)
            | Self::OwnedWriting(_, wakes) => Some(wakes),
            _ => None,
        }
    }

    fn state(&self) -> State {
        match self.wakes() {
            Some(_) => State::Waiting,
            None => State::Held,
        }
    }
}

impl<'lock> Subject<'lock> {
    /// Makes a future and polls it.
    pub(crate) fn request(&mut self, name: Name, bounds: Bounds, purpose: Use) -> State {
        let hand = Hand::future(self.lock, name, bounds, purpose);
        self.keep_polled(name, hand)
    }

    /// Polls a future with a new waker.
    pub(crate) fn poll(&mut self, name: Name) -> State {
        let hand = self.take(name);
        self.keep_polled(name, hand)
    }

    fn keep_polled(&mut self, name: Name, hand: Hand<'lock>) -> State {
        let hand = hand.polled();
        let state = hand.state();
        self.hands.insert(name, hand);
        state
    }

    fn take(&mut self, name: Name) -> Hand<'lock> {
        self.hands.remove(&name).expect("a known name")
    }

    /// How often the waker of the last poll was used.
    pub(crate) fn wakes(&self, name: Name) -> u32 {
        let wakes = self.hands[&name].wakes();
        wakes.map_or(0, |wakes| wakes.0.load(Relaxed))
    }

    /// Makes a future that is never polled.
    pub(crate) fn abandon(&self, bounds: Bounds, purpose: Use) {
        for name in 0..2 {
            drop(Hand::future(self.lock, name, bounds, purpose));
        }
    }

    /// Whether nobody is in the way.
    pub(crate) fn is_free(&self, (first, last, purpose): Part) -> bool {
        match purpose {
            Use::Read => self.lock.try_read(first..=last).is_some(),
            Use::Write => self.lock.try_write(first..=last).is_some(),
        }
    }

    /// Blocks.
    pub(crate) fn hold(&mut self, name: Name, bounds: Bounds, purpose: Use, kind: Kind) {
        let lock = self.lock;
        let hand = match (kind, purpose) {
            (Kind::Guard, Use::Read) => Hand::Read(lock.read(bounds)),
            (Kind::Guard, Use::Write) => Hand::Write(lock.write(bounds)),
            (Kind::Owned, Use::Read) => Hand::OwnedRead(lock.read_owned(bounds)),
            (Kind::Owned, Use::Write) => Hand::OwnedWrite(lock.write_owned(bounds)),
            (Kind::Node, purpose) => {
                let mut node = Box::pin(lock.node());
                match purpose {
                    Use::Read => std::mem::forget(node.as_mut().read(bounds)),
                    Use::Write => std::mem::forget(node.as_mut().write(bounds)),
                }
                Hand::Node(node)
            }
        };
        self.hands.insert(name, hand);
    }

    pub(crate) fn attempt(
        &mut self,
        name: Name,
        bounds: Bounds,
        purpose: Use,
        kind: Kind,
        patience: Patience,
    ) -> bool {
        let hand = match patience {
            Patience::Try => self.attempt_at_once(bounds, purpose, kind),
            Patience::Zero => self.attempt_for(bounds, purpose, kind, Duration::ZERO),
            Patience::Short => self.attempt_for(bounds, purpose, kind, Duration::from_micros(1)),
            Patience::Past => self.attempt_until(bounds, purpose, kind, Instant::now()),
        };
        let is_granted = hand.is_some();
        self.hands.extend(hand.map(|hand| (name, hand)));
        is_granted
    }

    fn attempt_at_once(&self, bounds: Bounds, purpose: Use, kind: Kind) -> Option<Hand<'lock>> {
        let lock = self.lock;
        match (kind, purpose) {
            (Kind::Guard, Use::Read) => lock.try_read(bounds).map(Hand::Read),
            (Kind::Guard, Use::Write) => lock.try_write(bounds).map(Hand::Write),
            (Kind::Owned, Use::Read) => lock.try_read_owned(bounds).map(Hand::OwnedRead),
            (Kind::Owned, Use::Write) => lock.try_write_owned(bounds).map(Hand::OwnedWrite),
            (Kind::Node, purpose) => {
                let mut node = Box::pin(lock.node());
                match purpose {
                    Use::Read => node.as_mut().try_read(bounds).map(std::mem::forget)?,
                    Use::Write => node.as_mut().try_write(bounds).map(std::mem::forget)?,
                }
                Some(Hand::Node(node))
            }
        }
    }

    fn attempt_for(
        &self,
        bounds: Bounds,
        purpose: Use,
        kind: Kind,
        timeout: Duration,
    ) -> Option<Hand<'lock>> {
        let lock = self.lock;
        match (kind, purpose) {
            (Kind::Guard, Use::Read) => lock.try_read_for(bounds, timeout).map(Hand::Read),
            (Kind::Guard, Use::Write) => lock.try_write_for(bounds, timeout).map(Hand::Write),
            (Kind::Owned, Use::Read) => {
                (lock.try_read_owned_for(bounds, timeout)).map(Hand::OwnedRead)
            }
            (Kind::Owned, Use::Write) => {
                (lock.try_write_owned_for(bounds, timeout)).map(Hand::OwnedWrite)
            }
            (Kind::Node, _) => unreachable!("a node has no timeouts"),
        }
    }

    fn attempt_until(
        &self,
        bounds: Bounds,
        purpose: Use,
        kind: Kind,
        deadline: Instant,
    ) -> Option<Hand<'lock>> {
        let lock = self.lock;
        match (kind, purpose) {
            (Kind::Guard, Use::Read) => lock.try_read_until(bounds, deadline).map(Hand::Read),
            (Kind::Guard, Use::Write) => lock.try_write_until(bounds, deadline).map(Hand::Write),
            (Kind::Owned, Use::Read) => {
                (lock.try_read_owned_until(bounds, deadline)).map(Hand::OwnedRead)
            }
            (Kind::Owned, Use::Write) => {
                (lock.try_write_owned_until(bounds, deadline)).map(Hand::OwnedWrite)
            }
            (Kind::Node, purpose) => {
                let mut node = Box::pin(lock.node());
                let held = node.as_mut();
                match purpose {
                    Use::Read => held
                        .try_read_until(bounds, deadline)
                        .map(std::mem::forget)?,
                    Use::Write => held
                        .try_write_until(bounds, deadline)
                        .map(std::mem::forget)?,
                }
                Some(Hand::Node(node))
            }
        }
    }

    /// Blocks.
    pub(crate) fn many(&mut self, name: Name, ranges: &[(Bounds, Use)]) {
        let requests = ranges.iter().map(|&(bounds, purpose)| match purpose {
            Use::Read => (bounds, Access::Read),
            Use::Write => (bounds, Access::Write),
        });
        let guard = self.lock.lock_many(requests);
        self.hands.insert(name, Hand::Many(guard));
    }

    /// Blocks.
    pub(crate) fn append(&mut self, name: Name, len: u64, end: u64) {
        let guard = self.lock.append(len, || end);
        self.hands.insert(name, Hand::Write(guard));
    }

    pub(crate) fn drop(&mut self, name: Name) {
        drop(self.take(name));
    }

    pub(crate) fn downgrade(&mut self, name: Name) {
        let hand = match self.take(name) {
            Hand::Write(guard) => Hand::Read(guard.downgrade()),
            Hand::OwnedWrite(guard) => Hand::OwnedRead(guard.downgrade()),
            _ => unreachable!("only a write guard is downgraded"),
        };
        self.hands.insert(name, hand);
    }

    pub(crate) fn try_upgrade(&mut self, name: Name) -> bool {
        let (hand, is_writer) = match self.take(name) {
            Hand::Read(guard) => match guard.try_upgrade() {
                Ok(guard) => (Hand::Write(guard), true),
                Err(guard) => (Hand::Read(guard), false),
            },
            Hand::OwnedRead(guard) => match guard.try_upgrade() {
                Ok(guard) => (Hand::OwnedWrite(guard), true),
                Err(guard) => (Hand::OwnedRead(guard), false),
            },
            _ => unreachable!("only a read guard is upgraded"),
        };
        self.hands.insert(name, hand);
        is_writer
    }

    pub(crate) fn split(&mut self, name: Name, at: u64, upper_name: Name) {
        fn both<'lock, G>(
            (lower, upper): (G, G),
            hand: impl Fn(G) -> Hand<'lock>,
        ) -> [Hand<'lock>; 2] {
            [hand(lower), hand(upper)]
        }
        let [lower, upper] = match self.take(name) {
            Hand::Read(guard) => both(guard.split_at(at), Hand::Read),
            Hand::Write(guard) => both(guard.split_at(at), Hand::Write),
            Hand::OwnedRead(guard) => both(guard.split_at(at), Hand::OwnedRead),
            Hand::OwnedWrite(guard) => both(guard.split_at(at), Hand::OwnedWrite),
            _ => unreachable!("only a guard is split"),
        };
        self.hands.insert(name, lower);
        self.hands.insert(upper_name, upper);
    }

    pub(crate) fn shrink(&mut self, name: Name, to: Bounds) {
        match self.hands.get_mut(&name) {
            Some(Hand::Read(guard)) => guard.shrink_to(to),
            Some(Hand::Write(guard)) => guard.shrink_to(to),
            Some(Hand::OwnedRead(guard)) => guard.shrink_to(to),
            Some(Hand::OwnedWrite(guard)) => guard.shrink_to(to),
            _ => unreachable!("only a guard is shrunk"),
        }
    }

    /// What a guard says that it holds; nothing of those that do not say.
    pub(crate) fn range(&self, name: Name) -> Option<Option<(u64, u64)>> {
        let range = match &self.hands[&name] {
            Hand::Read(guard) => guard.range(),
            Hand::Write(guard) => guard.range(),
            Hand::OwnedRead(guard) => guard.range(),
            Hand::OwnedWrite(guard) => guard.range(),
            _ => return None,
        };
        Some(range.map(|range| (*range.start(), *range.end())))
    }

    pub(crate) fn is_locked(&self, bounds: Bounds) -> bool {
        self.lock.is_locked(bounds)
    }

    pub(crate) fn reserve(&self, ranges: usize) {
        self.lock.reserve(ranges);
    }

    /// All holders and waiters that the lock knows of.
    pub(crate) fn all(&self) -> Vec<(Part, State)> {
        let snapshot = self.lock.snapshot();
        let part = |range: &std::ops::RangeInclusive<u64>, access| {
            let purpose = match access {
                Access::Read => Use::Read,
                Access::Write => Use::Write,
            };
            (*range.start(), *range.end(), purpose)
        };
        let holders = snapshot.holders.iter();
        let holders = holders.map(|held| (part(&held.range, held.access), State::Held));
        let waiters = snapshot.waiters.iter();
        let waiters = waiters.map(|waiter| (part(&waiter.range, waiter.access), State::Waiting));
        holders.chain(waiters).collect()
    }
}
