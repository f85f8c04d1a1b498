//! The order of requests against a plain list, without threads: requests arrive and leave one by
//! one, and after each step the counts of all of them must be what the invariants say.

use std::ptr::NonNull;

use proptest::prelude::*;

use super::node::Node;
use super::outside::Nobody;
use super::state::{Admission, State};
use super::wake_list::WakeList;
use crate::mode::Mode;
use crate::probe::Fault;
use crate::span::Span;

#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive {
        mode: Mode,
        first: u64,
        len: u64,
    },
    /// The granted request at this position leaves, counted round.
    Leave {
        position: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![Just(Mode::Read), Just(Mode::Write)];
    let len = prop_oneof![4 => 0..6_u64, 1 => 0..40_u64];
    prop_oneof![
        (mode, 0..40_u64, len).prop_map(|(mode, first, len)| Step::Arrive { mode, first, len }),
        any::<usize>().prop_map(|position| Step::Leave { position }),
    ]
}

/// The state of a lock and all its requests, in order of arrival.
struct Pair {
    state: State,
    #[expect(clippy::vec_box, reason = "the tree links nodes by address")]
    present: Vec<Box<Node>>,
}

impl Pair {
    fn new(fault: Option<Fault>) -> Self {
        let mut state = State::new();
        state.probe.fault = fault;
        Self {
            state,
            present: Vec::new(),
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Arrive { mode, first, len } => self.arrive(mode, first, len),
            Step::Leave { position } => {
                let granted: Vec<_> = (0..self.present.len())
                    .filter(|&at| self.expected_ahead(at) == 0)
                    .collect();
                if !granted.is_empty() {
                    self.leave(granted[position % granted.len()]);
                }
            }
        }
        self.check();
    }

    fn arrive(&mut self, mode: Mode, first: u64, len: u64) {
        let span = Span {
            first,
            last: first + len,
        };
        let node = Box::new(Node::new());
        node.request(span, mode);
        let Admission::Link(standing, ahead) = self.state.admit(&Nobody, span, mode);
        // SAFETY: the box keeps the node alive and in place until `leave`, or the end of the test.
        unsafe { self.state.enter(NonNull::from(&*node), standing, ahead) };
        self.present.push(node);
    }

    fn leave(&mut self, position: usize) {
        let blocked_before: Vec<_> = (0..self.present.len())
            .map(|at| self.expected_ahead(at) != 0)
            .collect();
        let node = self.present.remove(position);
        // SAFETY: `present` lists the linked nodes, and this one counts nobody ahead of it.
        let unblocked = unsafe { self.state.leave(&Nobody, NonNull::from(&*node)) };
        let mut woken = sequences(&unblocked);
        woken.sort_unstable();
        let expected: Vec<_> = (0..self.present.len())
            .filter(|&at| blocked_before[at + usize::from(at >= position)])
            .filter(|&at| self.expected_ahead(at) == 0)
            .map(|at| self.present[at].sequence.get())
            .collect();
        assert_eq!(woken, expected, "woken by a release of {:?}", node.span());
    }

    /// Invariant 3, the slow way.
    fn expected_ahead(&self, position: usize) -> u32 {
        let node = &self.present[position];
        let conflicts = |earlier: &Node| {
            (earlier.mode() == Mode::Write || node.mode() == Mode::Write)
                && earlier.first() <= node.last()
                && node.first() <= earlier.last()
        };
        self.present[..position]
            .iter()
            .filter(|earlier| conflicts(earlier))
            .count() as u32
    }

    fn check(&self) {
        let mut waiting = 0;
        for (position, node) in self.present.iter().enumerate() {
            let expected = self.expected_ahead(position);
            assert_eq!(
                node.ahead.get(),
                expected,
                "ahead of request {position} of all present"
            );
            waiting += u32::from(expected != 0);
        }
        assert_eq!(self.state.waiting, waiting);
        assert!(self.present.is_sorted_by_key(|node| node.sequence.get()));
    }
}

fn sequences(list: &WakeList) -> Vec<u64> {
    let mut found = Vec::new();
    let mut next = list.head;
    while let Some(node) = next {
        // SAFETY: nodes on the list are present, so alive.
        let node = unsafe { node.as_ref() };
        found.push(node.sequence.get());
        next = node.chain.get();
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn every_count_is_the_number_of_earlier_conflicting_requests(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut pair = Pair::new(None);
        for step in steps {
            pair.apply(step);
        }
    }
}

/// A reader holds, a writer waits for it, another reader waits for the writer; then the first
/// leaves.
const READER_WRITER_READER: [Step; 4] = [
    Step::Arrive {
        mode: Mode::Read,
        first: 0,
        len: 9,
    },
    Step::Arrive {
        mode: Mode::Write,
        first: 5,
        len: 9,
    },
    Step::Arrive {
        mode: Mode::Read,
        first: 0,
        len: 19,
    },
    Step::Leave { position: 0 },
];

/// In the kernel patch of 2018, a reader that gave up before its turn credited later readers with a
/// release they had not waited for, and one of them could join a writer.
#[test]
fn a_readers_release_is_not_credited_to_readers() {
    let mut pair = Pair::new(None);
    READER_WRITER_READER
        .into_iter()
        .for_each(|step| pair.apply(step));
    assert_eq!(pair.present[1].ahead.get(), 1);
}

#[test]
#[should_panic(expected = "woken by a release")]
fn canary_reader_releases_readers() {
    let mut pair = Pair::new(Some(Fault::ReaderReleasesReaders));
    READER_WRITER_READER
        .into_iter()
        .for_each(|step| pair.apply(step));
}

#[test]
#[should_panic(expected = "woken by a release")]
fn canary_lost_wake() {
    let mut pair = Pair::new(Some(Fault::LostWake));
    READER_WRITER_READER
        .into_iter()
        .for_each(|step| pair.apply(step));
}

#[test]
#[should_panic(expected = "ahead of request")]
fn canary_barging() {
    let mut pair = Pair::new(Some(Fault::Barging));
    READER_WRITER_READER
        .into_iter()
        .for_each(|step| pair.apply(step));
}
