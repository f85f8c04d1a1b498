//! Holds threads at named points, so that one interleaving happens every time.
//!
//! [`Choreography`] is for two actors. The first is held where a fault has looked the block map up
//! and entered nothing yet; the second starts then; the first goes on as soon as the second has
//! finished, or is about to wait for a lock of the design:
//!
//! ```text
//!   first                                 second
//!   FaultLookedUp (held) ---------------> starts
//!                                         ...
//!   goes on <---------------------------- LockWait, or finished
//! ```
//!
//! Who is held where can also be said for each performance ([`Hold`]): so a write can be held in
//! its middle, and one that is held can in turn hold the other.
//!
//! So a design that lets the second pass gets the interleaving of the race, one that makes it wait
//! gets the other, and neither needs a clock. It is the same choreography for all designs.
//!
//! [`Jitter`] is for stress: it makes faults and writes dawdle at each point, by turns.
//!
//! Touches nothing of a filesystem. Takes a mutex of its own, inside whatever the design holds at a
//! point, in a signal handler too.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use daxfs::schedule::{Mistake, Point, Schedule};

use crate::fixture::Numbers;

/// How long a pause of [`Jitter`] spins: about a microsecond.
const SPINS: u32 = 64;

/// Who does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The one that faults first and is held.
    First,
    /// The one that comes in between.
    Second,
}

/// What an actor did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It reached a point.
    Reached(Point),
    /// It returned, or panicked.
    Finished,
}

/// Holds an actor the first time that it reaches a point.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// Who is held.
    pub actor: Actor,
    /// Where.
    pub at: Point,
    /// The other goes so far; or until it waits for a lock of the design, or has finished.
    pub until: Option<Point>,
}

/// The usual: the first is held where its fault has looked up, until the second cannot go on.
const FIRST_HAS_LOOKED_UP: Hold = Hold {
    actor: Actor::First,
    at: Point::FaultLookedUp,
    until: None,
};

thread_local! {
    // Without a destructor, so that it can be read in a signal handler.
    static ACTOR: Cell<Option<Actor>> = const { Cell::new(None) };
}

/// Two actors, held by turns.
#[derive(Debug, Default)]
pub struct Choreography {
    holds: Mutex<Vec<Hold>>,
    mistake: Option<Mistake>,
    history: Mutex<Vec<(Actor, Step)>>,
    changed: Condvar,
}

impl Choreography {
    /// A choreography during which the filesystem makes a mistake.
    #[must_use]
    pub fn with_mistake(mistake: Option<Mistake>) -> Self {
        Self {
            mistake,
            ..Self::default()
        }
    }

    /// Runs both actors as the module says and returns what they return.
    ///
    /// # Panics
    /// If the first actor finishes without a fault: there was nothing to hold. If an actor panics.
    pub fn perform<A: Send, B: Send>(
        &self,
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        self.perform_with(&[FIRST_HAS_LOOKED_UP], first, second)
    }

    /// The same with other holds. The second starts when the first is held.
    ///
    /// # Panics
    /// If the first actor is never held; if `holds` does not begin with one of the first actor; if
    /// an actor panics.
    pub fn perform_with<A: Send, B: Send>(
        &self,
        holds: &[Hold],
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        assert_eq!(holds[0].actor, Actor::First, "{holds:?}");
        self.history().clear();
        *self.holds() = holds.to_vec();
        let held = (Actor::First, Step::Reached(holds[0].at));
        let results = std::thread::scope(|scope| {
            let first = scope.spawn(|| self.act(Actor::First, first));
            let second = scope.spawn(|| {
                self.wait_until(|history| {
                    history.contains(&held) || history.contains(&(Actor::First, Step::Finished))
                });
                self.act(Actor::Second, second)
            });
            (
                first.join().expect("first actor"),
                second.join().expect("second actor"),
            )
        });
        assert!(
            self.history().contains(&held),
            "the first actor never reached {:?}",
            holds[0].at
        );
        self.holds().clear();
        results
    }

    /// Everything that was done, in order; each actor's steps and their order relative to the
    /// other's are those of the moment at which the schedule was told.
    #[must_use]
    pub fn steps(&self) -> Vec<(Actor, Step)> {
        self.history().clone()
    }

    /// Whether the second actor was seen to wait for a lock of the design.
    #[must_use]
    pub fn second_waited(&self) -> bool {
        self.waited(Actor::Second)
    }

    /// Whether `actor` was seen to wait for a lock of the design.
    #[must_use]
    pub fn waited(&self, actor: Actor) -> bool {
        self.history()
            .contains(&(actor, Step::Reached(Point::LockWait)))
    }

    /// When `actor` first did `step`, as an index into [`Choreography::steps`].
    ///
    /// # Panics
    /// If it never did: the message has all steps.
    #[must_use]
    pub fn position(&self, actor: Actor, step: Step) -> usize {
        let steps = self.steps();
        let found = steps.iter().position(|done| *done == (actor, step));
        found.unwrap_or_else(|| panic!("{actor:?} never did {step:?}: {steps:?}"))
    }

    fn act<T>(&self, actor: Actor, body: impl FnOnce() -> T) -> T {
        struct FinishOnDrop<'a>(&'a Choreography, Actor);
        impl Drop for FinishOnDrop<'_> {
            fn drop(&mut self) {
                ACTOR.set(None);
                self.0.note(self.1, Step::Finished);
            }
        }
        ACTOR.set(Some(actor));
        let _finish = FinishOnDrop(self, actor);
        body()
    }

    /// Notes a step; whether it is the first of its kind.
    fn note(&self, actor: Actor, step: Step) -> bool {
        let mut history = self.history();
        let new = !history.contains(&(actor, step));
        history.push((actor, step));
        self.changed.notify_all();
        new
    }

    fn wait_until(&self, mut condition: impl FnMut(&[(Actor, Step)]) -> bool) {
        let history = self.history();
        let met = self
            .changed
            .wait_while(history, |history| !condition(history));
        drop(met.unwrap_or_else(PoisonError::into_inner));
    }

    fn holds(&self) -> MutexGuard<'_, Vec<Hold>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn history(&self) -> MutexGuard<'_, Vec<(Actor, Step)>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule for Choreography {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn reached(&self, point: Point, _page: u64) {
        let Some(actor) = ACTOR.get() else {
            return;
        };
        let new = self.note(actor, Step::Reached(point));
        let holds = self.holds();
        let hold = holds
            .iter()
            .find(|hold| hold.actor == actor && hold.at == point);
        let hold = hold.filter(|_| new).copied();
        drop(holds);
        if let Some(hold) = hold {
            let other = match actor {
                Actor::First => Actor::Second,
                Actor::Second => Actor::First,
            };
            let mut ends = vec![Step::Reached(Point::LockWait), Step::Finished];
            ends.extend(hold.until.map(Step::Reached));
            self.wait_until(|history| ends.iter().any(|end| history.contains(&(other, *end))));
        }
    }
}

/// Dawdles at every point between two steps, for a number of pauses that differs from one time to
/// the next.
///
/// The windows of the races are a hundred nanoseconds wide; this makes them as wide as the other
/// thread's whole operation. All designs are widened alike. A pause offers the processor to others,
/// for machines that have few, and spins, for those that have many.
#[derive(Debug)]
pub struct Jitter {
    calls: AtomicU64,
    max_pauses: u64,
}

impl Jitter {
    /// Dawdles for at most `max_pauses` pauses at each point.
    #[must_use]
    pub fn new(max_pauses: u64) -> Self {
        Self {
            calls: AtomicU64::new(0),
            max_pauses,
        }
    }
}

impl Schedule for Jitter {
    fn reached(&self, point: Point, _page: u64) {
        if point == Point::EntryLocked {
            // Whoever dawdles here keeps others waiting: that makes windows narrower.
            return;
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        for _ in 0..Numbers::new(call).below(self.max_pauses + 1) {
            std::thread::yield_now();
            for _ in 0..SPINS {
                std::hint::spin_loop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOKED_UP: Step = Step::Reached(Point::FaultLookedUp);

    #[test]
    fn the_first_is_held_until_the_second_has_finished() {
        let stage = Choreography::default();
        let order = Mutex::new(Vec::new());
        stage.perform(
            || {
                stage.reached(Point::FaultLookedUp, 0);
                order.lock().unwrap().push("first");
            },
            || order.lock().unwrap().push("second"),
        );
        assert_eq!(*order.lock().unwrap(), ["second", "first"]);
        assert!(!stage.second_waited());
    }

    #[test]
    fn the_first_goes_on_when_the_second_waits_for_it() {
        let stage = Choreography::default();
        let lock = Mutex::new(());
        stage.perform(
            || {
                let _guard = lock.lock().unwrap();
                stage.reached(Point::FaultLookedUp, 0);
            },
            || {
                stage.reached(Point::LockWait, 0);
                drop(lock.lock().unwrap());
            },
        );
        assert!(stage.second_waited());
        let finished = Step::Finished;
        assert!(stage.position(Actor::First, LOOKED_UP) < stage.position(Actor::Second, finished));
    }

    #[test]
    #[should_panic(expected = "never reached")]
    fn a_first_that_does_not_fault_is_told() {
        Choreography::default().perform(|| (), || ());
    }

    #[test]
    fn whoever_does_not_act_is_neither_held_nor_noted() {
        let stage = Choreography::default();
        stage.reached(Point::FaultLookedUp, 0);
        assert_eq!(stage.steps(), []);
    }
}
