//! The order of requests against a plain list, without threads: requests come, change and go one by
//! one, and after each step who holds, who was told, and every count must be what the list says.
//!
//! `canaries.rs` runs chosen steps, also on locks that commit a fault on purpose.

mod canaries;

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Poll, Wake, Waker};
use std::time::Instant;

use proptest::prelude::*;

use super::outsiders::Outsiders;
use super::{Enqueued, Holding, Node, Standing, TreeLock};
use crate::mode::Mode::{self, Read, Write};
use crate::probe::Fault;
use crate::span::Span;
use crate::watch::Asker;

/// One step. Positions are those among the requests that the step can be applied to, counted round;
/// numbers of bytes too.
#[derive(Clone, Debug)]
enum Step {
    Arrive(Mode, Span, Notify),
    ArriveTogether(Vec<(Span, Mode)>),
    /// Waits until a deadline that has passed.
    ArriveInVain(Mode, Span),
    /// Comes as an outsider, if that is possible.
    Attempt(Mode, Span),
    TryAll(Vec<(Span, Mode)>),
    Leave(usize),
    Cancel(usize),
    Poll(usize),
    Downgrade(usize),
    Upgrade(usize),
    Shrink(usize, u64, u64),
    Split(usize, u64),
}

/// How a request that has to wait learns of its end.
#[derive(Clone, Copy, Debug)]
enum Notify {
    ByWaker,
    /// Its owner looks.
    Not,
}

fn span() -> impl Strategy<Value = Span> {
    let len = prop_oneof![4 => 0..6_u64, 1 => 0..40_u64];
    (0..40_u64, len).prop_map(|(first, len)| Span {
        first,
        last: first + len,
    })
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Read), Just(Write)]
}

/// Requests that share no byte with each other.
fn several() -> impl Strategy<Value = Vec<(Span, Mode)>> {
    prop::collection::vec((span(), mode()), 0..5).prop_map(|all| {
        let mut apart: Vec<(Span, Mode)> = Vec::new();
        for (span, mode) in all {
            if !apart.iter().any(|(other, _)| other.overlaps(span)) {
                apart.push((span, mode));
            }
        }
        apart
    })
}

fn step() -> impl Strategy<Value = Step> {
    let notify = prop_oneof![Just(Notify::ByWaker), Just(Notify::Not)];
    let position = any::<usize>;
    prop_oneof![
        6 => (mode(), span(), notify).prop_map(|(mode, span, by)| Step::Arrive(mode, span, by)),
        1 => several().prop_map(Step::ArriveTogether),
        1 => (mode(), span()).prop_map(|(mode, span)| Step::ArriveInVain(mode, span)),
        2 => (mode(), span()).prop_map(|(mode, span)| Step::Attempt(mode, span)),
        1 => several().prop_map(Step::TryAll),
        4 => position().prop_map(Step::Leave),
        2 => position().prop_map(Step::Cancel),
        1 => position().prop_map(Step::Poll),
        2 => position().prop_map(Step::Downgrade),
        2 => position().prop_map(Step::Upgrade),
        2 => (position(), any::<u64>(), any::<u64>())
            .prop_map(|(position, first, last)| Step::Shrink(position, first, last)),
        2 => (position(), any::<u64>()).prop_map(|(position, at)| Step::Split(position, at)),
    ]
}

/// A waker that counts.
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A request on the list. That it is granted is the list's opinion, where it stands is the tree's.
#[derive(Clone)]
struct Request {
    span: Span,
    mode: Mode,
    granted: bool,
    place: Place,
    bell: Option<Arc<Bell>>,
}

#[derive(Clone, Copy)]
enum Place {
    Held(Holding<usize>),
    Waiting(NonNull<Node>),
}

impl Request {
    fn new(span: Span, mode: Mode, place: Place) -> Self {
        Self {
            span,
            mode,
            granted: false,
            place,
            bell: None,
        }
    }

    fn conflicts_with(&self, span: Span, mode: Mode) -> bool {
        (self.mode == Write || mode == Write)
            && self.span.first <= span.last
            && span.first <= self.span.last
    }

    fn node(&self) -> Option<NonNull<Node>> {
        match self.place {
            Place::Held(Holding::Linked(node)) | Place::Waiting(node) => Some(node),
            Place::Held(Holding::Outside(_)) => None,
        }
    }
}

/// A lock and the list of all its requests, in order of arrival.
struct Pair {
    tree: TreeLock,
    outsiders: Outsiders,
    present: Vec<Request>,
}

impl Pair {
    fn new(outsiders: Outsiders, fault: Option<Fault>) -> Self {
        let tree = TreeLock::new();
        tree.with_probe(|probe| probe.fault = fault);
        Self {
            tree,
            outsiders,
            present: Vec::new(),
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Arrive(mode, span, notify) => self.arrive(span, mode, notify),
            Step::ArriveTogether(requests) => self.arrive_together(&requests),
            Step::ArriveInVain(mode, span) => self.arrive_in_vain(span, mode),
            Step::Attempt(mode, span) => self.attempt(span, mode),
            Step::TryAll(requests) => self.try_all(&requests),
            Step::Leave(position) => self.leave(position),
            Step::Cancel(position) => self.cancel(position),
            Step::Poll(position) => self.poll(position),
            Step::Downgrade(position) => self.downgrade(position),
            Step::Upgrade(position) => self.upgrade(position),
            Step::Shrink(position, first, last) => self.shrink(position, first, last),
            Step::Split(position, at) => self.split(position, at),
        }
        self.grant();
        self.check();
    }

    /// The position of one of the requests that will do.
    fn pick(&self, position: usize, will_do: impl Fn(&Request) -> bool) -> Option<usize> {
        let all: Vec<_> = (0..self.present.len())
            .filter(|&at| will_do(&self.present[at]))
            .collect();
        (!all.is_empty()).then(|| all[position % all.len()])
    }

    fn is_free(&self, span: Span, mode: Mode) -> bool {
        !(self.present.iter()).any(|other| other.conflicts_with(span, mode))
    }

    fn arrive(&mut self, span: Span, mode: Mode, notify: Notify) {
        let enqueued = (self.tree).enqueue_pooled(&self.outsiders, span, mode, Asker::of_a_test());
        let (enqueued, _) = enqueued.expect("nobody observes");
        self.push(span, mode, enqueued);
        if let (Notify::ByWaker, Enqueued::Waiting(_)) = (notify, enqueued) {
            self.ring_for(self.present.len() - 1);
        }
    }

    fn push(&mut self, span: Span, mode: Mode, enqueued: Enqueued<usize>) {
        let place = match enqueued {
            Enqueued::Held(holding) => Place::Held(holding),
            Enqueued::Waiting(node) => Place::Waiting(node),
        };
        self.present.push(Request::new(span, mode, place));
    }

    fn arrive_together(&mut self, requests: &[(Span, Mode)]) {
        let mut out = Vec::new();
        let _waiting = self
            .tree
            .enqueue_many_pooled(&self.outsiders, requests, Asker::of_a_test(), &mut out)
            .expect("nobody observes");
        for (&(span, mode), enqueued) in requests.iter().zip(out) {
            self.push(span, mode, enqueued);
        }
    }

    fn arrive_in_vain(&mut self, span: Span, mode: Mode) {
        let free = self.is_free(span, mode);
        let (now, asker) = (Instant::now(), Asker::of_a_test());
        let holding = (self.tree).lock_pooled_until(&self.outsiders, span, mode, now, asker);
        assert_eq!(holding.is_some(), free, "after its deadline");
        let held = holding.map(|holding| Request::new(span, mode, Place::Held(holding)));
        self.present.extend(held);
    }

    fn attempt(&mut self, span: Span, mode: Mode) {
        if let Some(place) = self.outsiders.attempt(&self.tree, span, mode) {
            assert!(self.is_free(span, mode), "an outsider overtook somebody");
            let place = Place::Held(Holding::Outside(place));
            self.present.push(Request::new(span, mode, place));
        }
    }

    fn try_all(&mut self, requests: &[(Span, Mode)]) {
        let free = (requests.iter()).all(|&(span, mode)| self.is_free(span, mode));
        let mut out = Vec::new();
        let is_granted = self
            .tree
            .try_all_pooled(&self.outsiders, requests, &mut out);
        assert_eq!(is_granted, free, "all or none");
        assert_eq!(out.len(), if free { requests.len() } else { 0 });
        for (&(span, mode), holding) in requests.iter().zip(out) {
            self.push(span, mode, Enqueued::Held(holding));
        }
    }

    fn leave(&mut self, position: usize) {
        let Some(at) = self.pick(position, |request| request.granted) else {
            return;
        };
        match self.present.remove(at).place {
            Place::Held(Holding::Outside(place)) => self.outsiders.release(&self.tree, place),
            Place::Held(Holding::Linked(node)) => {
                // SAFETY: held, and not used any more.
                unsafe { self.tree.unlock_pooled(&self.outsiders, node) };
            }
            Place::Waiting(_) => unreachable!("granted requests are held: see `grant`"),
        }
    }

    fn cancel(&mut self, position: usize) {
        if let Some(at) = self.pick(position, |request| !request.granted) {
            let node = self.present.remove(at).node().unwrap();
            // SAFETY: enqueued, and not used any more.
            unsafe { self.tree.cancel_pooled(&self.outsiders, node) };
        }
    }

    fn poll(&mut self, position: usize) {
        if let Some(at) = self.pick(position, |request| !request.granted) {
            self.ring_for(at);
        }
    }

    /// Polls a waiting request with a waker of its own.
    fn ring_for(&mut self, at: usize) {
        let request = &mut self.present[at];
        let bell = Arc::new(Bell(AtomicUsize::new(0)));
        request.bell = Some(Arc::clone(&bell));
        let node = request.node().unwrap();
        // SAFETY: enqueued, and of this thread.
        let poll = unsafe { self.tree.poll(node, &Waker::from(bell)) };
        assert_eq!(poll, Poll::Pending, "it waits");
    }

    /// Makes sure that a granted request is in the tree.
    fn linked(&mut self, at: usize) -> NonNull<Node> {
        let Place::Held(holding) = self.present[at].place else {
            unreachable!("granted requests are held: see `grant`");
        };
        let node = self.outsiders.linked(&self.tree, holding);
        self.present[at].place = Place::Held(Holding::Linked(node));
        node
    }

    fn downgrade(&mut self, position: usize) {
        let will_do = |request: &Request| request.granted && request.mode == Write;
        if let Some(at) = self.pick(position, will_do) {
            let node = self.linked(at);
            // SAFETY: held.
            unsafe { self.tree.downgrade(&self.outsiders, node) };
            self.present[at].mode = Read;
        }
    }

    fn upgrade(&mut self, position: usize) {
        let will_do = |request: &Request| request.granted && request.mode == Read;
        let Some(at) = self.pick(position, will_do) else {
            return;
        };
        let span = self.present[at].span;
        let alone = (self.present.iter().enumerate()).all(|(other_at, other)| {
            other_at == at || !other.granted || !other.conflicts_with(span, Write)
        });
        let node = self.linked(at);
        // SAFETY: held.
        let upgraded = unsafe { self.tree.try_upgrade(&self.outsiders, node) };
        assert_eq!(upgraded, alone, "the only reader of {span:?}");
        if upgraded {
            self.present[at].mode = Write;
        }
    }

    fn shrink(&mut self, position: usize, first: u64, last: u64) {
        if let Some(at) = self.pick(position, |request| request.granted) {
            let node = self.linked(at);
            let whole = self.present[at].span;
            let first = whole.first + first % (whole.last - whole.first + 1);
            let last = first + last % (whole.last - first + 1);
            let part = Span { first, last };
            // SAFETY: held.
            unsafe { self.tree.shrink(&self.outsiders, node, part) };
            self.present[at].span = part;
        }
    }

    fn split(&mut self, position: usize, at_byte: u64) {
        let will_do = |request: &Request| request.granted && request.span.first < request.span.last;
        let Some(at) = self.pick(position, will_do) else {
            return;
        };
        let node = self.linked(at);
        let Request { span, mode, .. } = self.present[at];
        let middle = span.first + 1 + at_byte % (span.last - span.first);
        // SAFETY: held.
        let rest = unsafe { self.tree.split_pooled(&self.outsiders, node, middle) };
        self.present[at].span.last = middle - 1;
        let above = Span {
            first: middle,
            last: span.last,
        };
        let place = Place::Held(Holding::Linked(rest));
        self.present.push(Request {
            granted: true,
            ..Request::new(above, mode, place)
        });
    }

    /// Grants on the list, first come, first served, and expects that the tree did the same.
    fn grant(&mut self) {
        for at in 0..self.present.len() {
            let request = &self.present[at];
            let Request { span, mode, .. } = *request;
            let must_wait = (self.present.iter().enumerate()).any(|(other_at, other)| {
                (other.granted || other_at < at)
                    && other_at != at
                    && other.conflicts_with(span, mode)
            });
            if request.granted || must_wait {
                continue;
            }
            if let Place::Waiting(node) = request.place {
                self.take_up(node, request.bell.as_deref());
                self.present[at].place = Place::Held(Holding::Linked(node));
            }
            self.present[at].granted = true;
        }
    }

    /// A waiting request was granted on the list.
    fn take_up(&self, node: NonNull<Node>, bell: Option<&Bell>) {
        assert_eq!(self.standing(node), Standing::Granted, "not granted");
        match bell {
            Some(bell) => {
                assert_eq!(bell.0.load(Relaxed), 1, "told other than once");
                // SAFETY: enqueued, and of this thread.
                let poll = unsafe { self.tree.poll(node, Waker::noop()) };
                assert_eq!(poll, Poll::Ready(()));
            }
            // SAFETY: enqueued, and of this thread.
            None => unsafe { self.tree.wait(node) },
        }
    }

    fn standing(&self, node: NonNull<Node>) -> Standing {
        // SAFETY: nodes of the pool live as long as the lock.
        self.tree
            .with_state(|_| unsafe { node.as_ref() }.standing.get())
    }

    fn check(&self) {
        let mut linked = 0;
        for (at, request) in self.present.iter().enumerate() {
            let is_held = matches!(request.place, Place::Held(_));
            assert_eq!(request.granted, is_held, "overtook: {:?}", request.span);
            let Some(node) = request.node() else { continue };
            linked += 1;
            let expected = match is_held {
                true => (Standing::Granted, 0),
                false => (Standing::Waiting, self.expected_ahead(at)),
            };
            // SAFETY: nodes of the pool live as long as the lock.
            let ahead = self
                .tree
                .with_state(|_| unsafe { node.as_ref() }.ahead.get());
            let found = (self.standing(node), ahead);
            assert_eq!(found, expected, "standing and count of {:?}", request.span);
            if let (Some(bell), false) = (&request.bell, is_held) {
                assert_eq!(bell.0.load(Relaxed), 0, "told too early");
            }
        }
        let (closings, taken) = self.outsiders.closings_and_taken();
        assert_eq!(taken, self.present.len() - linked);
        if closings != 0 || taken != 0 {
            assert_eq!(closings, linked as u64, "closed for each linked request");
        }
        let waiting = self.present.iter().filter(|request| !request.granted);
        let census = self.tree.census();
        assert_eq!(census.waiting, waiting.count());
        assert_eq!(census.granted + census.waiting, linked);
    }

    /// Invariant 3, the slow way. Outsiders are not counted.
    fn expected_ahead(&self, at: usize) -> u32 {
        let Request { span, mode, .. } = self.present[at];
        let counts = |(other_at, other): &(usize, &Request)| {
            *other_at != at
                && (other.granted || *other_at < at)
                && other.node().is_some()
                && other.conflicts_with(span, mode)
        };
        (self.present.iter().enumerate()).filter(counts).count() as u32
    }

    fn run(mut self, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            self.apply(step);
        }
        // Whoever is left can go, in any order; then nothing is left.
        while !self.present.is_empty() {
            self.apply(Step::Cancel(self.present.len() / 2));
            self.apply(Step::Leave(self.present.len() / 3));
        }
        assert_eq!(self.outsiders.closings_and_taken(), (0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn the_order_is_that_of_a_plain_list(steps in prop::collection::vec(step(), 1..120)) {
        Pair::new(Outsiders::NOBODY, None).run(steps);
    }

    #[test]
    fn and_so_it_is_with_outsiders(steps in prop::collection::vec(step(), 1..120)) {
        Pair::new(Outsiders::new(), None).run(steps);
    }
}
