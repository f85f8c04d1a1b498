//! Runs a schedule on the lock and on the oracle and compares all that can be seen, step by step.
//!
//! One thread does it all: whoever would have to wait is a future, polled by hand. What is compared
//! after every step: which futures were woken (those that hold their range now, once, and nobody
//! else), the answers of the operation, the range of every guard, and a snapshot of all holders and
//! waiters. Takes what locks the subject takes.

use std::fmt;

use crate::operation::{Bounds, Kind, Make, Operation, Patience, Use};
use crate::oracle::{Name, Oracle, Part, Rules, State, parts, union};
use crate::subject::{Lock, Subject};

/// Something held or waited for.
#[derive(Clone, Copy, Debug)]
struct Hand {
    name: Name,
    form: Form,
    purpose: Use,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Future,
    /// A guard that can be changed.
    Guard,
    /// A guard that can only be dropped.
    Fixed,
}

struct Comparison<'lock> {
    oracle: Oracle,
    subject: Subject<'lock>,
    hands: Vec<Hand>,
    next_name: Name,
}

/// Runs `schedule` and, at its end, gives everything back.
///
/// # Panics
///
/// Where lock and oracle differ, with the step at which they do.
pub(crate) fn compare(make: Make, rules: Rules, schedule: &[Operation]) {
    let lock = Lock::new(make);
    let mut comparison = Comparison {
        oracle: Oracle::new(rules),
        subject: lock.subject(),
        hands: Vec::new(),
        next_name: 0,
    };
    for (number, operation) in schedule.iter().enumerate() {
        let step = Step { number, operation };
        comparison.step(operation, &step);
        comparison.check(&step);
    }
    let operation = Operation::Drop { any: 0 };
    for number in schedule.len().. {
        if comparison.hands.is_empty() {
            break;
        }
        let step = Step {
            number,
            operation: &operation,
        };
        comparison.step(&operation, &step);
        comparison.check(&step);
    }
    assert_eq!(comparison.subject.all(), [], "somebody was left behind");
}

/// Where a comparison stands, for its messages.
struct Step<'schedule> {
    number: usize,
    operation: &'schedule Operation,
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}, {:?}", self.number, self.operation)
    }
}

impl Comparison<'_> {
    fn step(&mut self, operation: &Operation, step: &Step<'_>) {
        match *operation {
            Operation::Request(bounds, purpose) => self.request(bounds, purpose, step),
            Operation::Abandon(bounds, purpose) => self.subject.abandon(bounds, purpose),
            Operation::Hold(bounds, purpose, kind) => {
                if self.oracle.would_wait(&parts(bounds, purpose)) {
                    return self.request(bounds, purpose, step);
                }
                let name = self.admit(parts(bounds, purpose), form_of(kind), purpose, step);
                self.subject.hold(name, bounds, purpose, kind);
            }
            Operation::Attempt(bounds, purpose, kind, patience) => {
                self.attempt(bounds, purpose, kind, patience, step);
            }
            Operation::Many(ref ranges) => {
                let wanted = union(ranges);
                if !self.oracle.would_wait(&wanted) {
                    let name = self.admit(wanted, Form::Fixed, Use::Write, step);
                    self.subject.many(name, ranges);
                }
            }
            Operation::Append { len, end } => {
                let len = len.min(u64::MAX - end);
                let wanted = parts(half_open(end, end + len), Use::Write);
                if !self.oracle.would_wait(&wanted) {
                    let name = self.admit(wanted, Form::Guard, Use::Write, step);
                    self.subject.append(name, len, end);
                }
            }
            Operation::Poll { future } => {
                if let Some(place) = self.chosen(future, |hand| hand.form == Form::Future) {
                    self.poll(place, step);
                }
            }
            Operation::Collect => {
                for place in 0..self.hands.len() {
                    let hand = self.hands[place];
                    let is_granted = self.oracle.state(hand.name) == State::Held;
                    if hand.form == Form::Future && is_granted {
                        self.poll(place, step);
                    }
                }
            }
            Operation::Drop { any } => {
                if let Some(place) = self.chosen(any, |_| true) {
                    let hand = self.hands.remove(place);
                    self.oracle.leave(hand.name);
                    self.subject.drop(hand.name);
                }
            }
            Operation::IsLocked(bounds) => {
                let expected = self.oracle.is_locked(bounds);
                assert_eq!(self.subject.is_locked(bounds), expected, "{step}");
            }
            Operation::Reserve(ranges) => self.subject.reserve(ranges),
            ref change => self.change(change, step),
        }
    }

    /// Operations on guards that change what is held.
    fn change(&mut self, operation: &Operation, step: &Step<'_>) {
        match *operation {
            Operation::Downgrade { writer } => {
                if let Some(place) = self.chosen_guard(writer, Some(Use::Write)) {
                    let hand = &mut self.hands[place];
                    hand.purpose = Use::Read;
                    self.oracle.downgrade(hand.name);
                    self.subject.downgrade(hand.name);
                }
            }
            Operation::Upgrade { reader } => {
                if let Some(place) = self.chosen_guard(reader, Some(Use::Read)) {
                    let hand = &mut self.hands[place];
                    let expected = self.oracle.upgrade(hand.name);
                    assert_eq!(self.subject.try_upgrade(hand.name), expected, "{step}");
                    if expected {
                        hand.purpose = Use::Write;
                    }
                }
            }
            Operation::Split { guard, after } => {
                if let Some(place) = self.chosen_guard(guard, None) {
                    let hand = self.hands[place];
                    let (first, last) = self.oracle.range(hand.name).unwrap_or((after, after));
                    // From the first byte to one behind the last, as far as that exists.
                    let choices = u128::from(last - first) + 2;
                    let at = u128::from(first) + u128::from(after) % choices;
                    let at = u64::try_from(at).unwrap_or(u64::MAX);
                    let upper = self.new_hand(hand.form, hand.purpose);
                    self.oracle.split(hand.name, at, upper);
                    self.subject.split(hand.name, at, upper);
                }
            }
            Operation::Trim { guard, front, back } => {
                if let Some(place) = self.chosen_guard(guard, None) {
                    let name = self.hands[place].name;
                    let (first, last) = self.oracle.range(name).unwrap_or((front, back));
                    let range = half_open(first.saturating_add(front), last.saturating_sub(back));
                    self.shrink(name, range);
                }
            }
            Operation::Shrink { guard, to } => {
                if let Some(place) = self.chosen_guard(guard, None) {
                    self.shrink(self.hands[place].name, to);
                }
            }
            ref other => unreachable!("{other:?} changes no guard"),
        }
    }

    fn request(&mut self, bounds: Bounds, purpose: Use, step: &Step<'_>) {
        let name = self.new_hand(Form::Future, purpose);
        let expected = self.oracle.request(name, parts(bounds, purpose));
        assert_eq!(
            self.subject.request(name, bounds, purpose),
            expected,
            "{step}"
        );
        if expected == State::Held {
            self.hands.last_mut().expect("just made").form = Form::Guard;
        }
    }

    fn attempt(
        &mut self,
        bounds: Bounds,
        purpose: Use,
        kind: Kind,
        patience: Patience,
        step: &Step<'_>,
    ) {
        let wanted = parts(bounds, purpose);
        let expected = !self.oracle.would_wait(&wanted);
        let name = self.next_name;
        let kind = match (patience, kind) {
            // Nodes have deadlines, but no timeouts.
            (Patience::Zero | Patience::Short, Kind::Node) => Kind::Guard,
            (_, kind) => kind,
        };
        let answer = self.subject.attempt(name, bounds, purpose, kind, patience);
        assert_eq!(answer, expected, "{step}");
        if expected {
            let name = self.new_hand(form_of(kind), purpose);
            self.oracle.request(name, wanted);
        }
    }

    /// A request that is going to block, and that the oracle grants at once. The lock has to say so
    /// too before it is asked, or the test would not fail but stop.
    fn admit(&mut self, wanted: Vec<Part>, form: Form, purpose: Use, step: &Step<'_>) -> Name {
        for &part in &wanted {
            assert!(self.subject.is_free(part), "{part:?} before {step}");
        }
        let name = self.new_hand(form, purpose);
        self.oracle.request(name, wanted);
        name
    }

    fn new_hand(&mut self, form: Form, purpose: Use) -> Name {
        let name = self.next_name;
        self.next_name += 1;
        self.hands.push(Hand {
            name,
            form,
            purpose,
        });
        name
    }

    fn poll(&mut self, place: usize, step: &Step<'_>) {
        let hand = &mut self.hands[place];
        let expected = self.oracle.state(hand.name);
        assert_eq!(self.subject.poll(hand.name), expected, "{step}");
        if expected == State::Held {
            hand.form = Form::Guard;
        }
    }

    fn shrink(&mut self, name: Name, to: Bounds) {
        self.oracle.shrink(name, to);
        self.subject.shrink(name, to);
    }

    /// One of the hands that are `fit`, by its position among them.
    fn chosen(&self, position: usize, fit: impl Fn(&Hand) -> bool) -> Option<usize> {
        let fitting = |place: &usize| fit(&self.hands[*place]);
        let count = (0..self.hands.len()).filter(fitting).count();
        let position = position.checked_rem(count)?;
        (0..self.hands.len()).filter(fitting).nth(position)
    }

    fn chosen_guard(&self, position: usize, purpose: Option<Use>) -> Option<usize> {
        self.chosen(position, |hand| {
            hand.form == Form::Guard && purpose.is_none_or(|purpose| hand.purpose == purpose)
        })
    }

    /// Everything that can be seen without asking for a range.
    fn check(&self, step: &Step<'_>) {
        for hand in &self.hands {
            let name = hand.name;
            if hand.form == Form::Future {
                let expected = u32::from(self.oracle.state(name) == State::Held);
                let wakes = self.subject.wakes(name);
                assert_eq!(wakes, expected, "wake-ups of {name} after {step}");
            } else if let Some(range) = self.subject.range(name) {
                assert_eq!(
                    range,
                    self.oracle.range(name),
                    "range of {name} after {step}"
                );
            }
        }
        let expected: Vec<(Part, State)> = self.oracle.all().collect();
        let found = self.subject.all();
        let waiting = |all: &[(Part, State)]| {
            let waiting = all.iter().filter(|(_, state)| *state == State::Waiting);
            let mut waiting: Vec<Part> = waiting.map(|(part, _)| *part).collect();
            waiting.sort_unstable();
            waiting
        };
        assert_eq!(waiting(&found), waiting(&expected), "waiters after {step}");
        assert_eq!(held(&found), held(&expected), "holders after {step}");
    }
}

fn form_of(kind: Kind) -> Form {
    match kind {
        Kind::Guard | Kind::Owned => Form::Guard,
        Kind::Node => Form::Fixed,
    }
}

fn half_open(from: u64, to: u64) -> Bounds {
    use std::ops::Bound::{Excluded, Included};
    (Included(from), Excluded(to))
}

/// How many readers and writers hold each byte: `(from, readers, writers)`, which is good up to the
/// next entry. The same however a holder's range is divided.
fn held(all: &[(Part, State)]) -> Vec<(u128, usize, usize)> {
    let held = all.iter().filter(|(_, state)| *state == State::Held);
    let held: Vec<Part> = held.map(|(part, _)| *part).collect();
    let mut cuts: Vec<u128> = held
        .iter()
        .flat_map(|part| [u128::from(part.0), u128::from(part.1) + 1])
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let count = |at: u128, purpose| {
        let here = |part: &&Part| u128::from(part.0) <= at && at <= u128::from(part.1);
        held.iter()
            .filter(here)
            .filter(|part| part.2 == purpose)
            .count()
    };
    let mut counts: Vec<_> = cuts
        .into_iter()
        .map(|at| (at, count(at, Use::Read), count(at, Use::Write)))
        .collect();
    counts.dedup_by_key(|entry| (entry.1, entry.2));
    counts
}
