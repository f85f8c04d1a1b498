//! Threads that wait for file locks: who is woken when, and what else ends a wait.
//!
//! A test knows that a thread waits when its request is in the queue. Nothing here reads the clock
//! but timeouts that are over at once.

use std::thread::{self, Scope, ScopedJoinHandle};

use super::*;

const EXCLUSIVE: LockKind = LockKind::Exclusive;
const SHARED: LockKind = LockKind::Shared;
const A: Owner = Owner::Process(1);
const B: Owner = Owner::Process(2);
const C: Owner = Owner::Process(3);
const D: Owner = Owner::Process(4);

fn request(owner: Owner, kind: LockKind, first: u64, last: u64) -> Request {
    Request {
        owner,
        kind,
        range: LockRange::between(first, last).unwrap(),
    }
}

fn files<const N: usize>() -> [FileLocks; N] {
    let waits = Arc::new(WaitGraph::default());
    std::array::from_fn(|_| FileLocks::new(Arc::clone(&waits)))
}

impl FileLocks {
    fn hold(&self, owner: Owner, kind: LockKind, first: u64, last: u64) {
        self.try_lock(&request(owner, kind, first, last)).unwrap();
    }

    fn give_back(&self, owner: Owner, first: u64, last: u64) {
        self.unlock(owner, LockRange::between(first, last).unwrap());
    }

    fn waiting(&self) -> usize {
        self.latch().queue.len()
    }

    fn holds(&self, owner: Owner) -> usize {
        let held = self.latch().table.all();
        held.iter().filter(|lock| lock.owner == owner).count()
    }

    /// A thread that waits as long as `patience` lets it; returns when it does.
    fn begin<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        request: Request,
        patience: Patience<'env>,
    ) -> ScopedJoinHandle<'scope, Result<()>> {
        let waiting = self.waiting();
        let thread = scope.spawn(move || self.lock(&request, patience));
        while self.waiting() == waiting && !thread.is_finished() {
            thread::yield_now();
        }
        assert_eq!(self.waiting(), waiting + 1, "{request:?} does not wait");
        thread
    }
}

fn errno(outcome: Result<()>) -> Option<i32> {
    outcome.err().map(|error| error.errno())
}

const EINTR: Option<i32> = Some(4);
const EDEADLK: Option<i32> = Some(35);

#[test]
fn of_those_that_exclude_each_other_one_is_woken_in_order_of_arrival() {
    let [file] = files();
    file.hold(A, EXCLUSIVE, 0, 9);
    thread::scope(|scope| {
        let threads = [B, C, D].map(|owner| {
            let request = request(owner, EXCLUSIVE, 5, 5);
            file.begin(scope, request, Patience::Unlimited)
        });
        let mut before = A;
        for (owner, thread) in [B, C, D].into_iter().zip(threads) {
            let waiting = file.waiting();
            file.release(before);
            // It holds the lock before its thread has run.
            assert_eq!((file.holds(owner), file.waiting()), (1, waiting - 1));
            assert_eq!(errno(thread.join().unwrap()), None);
            before = owner;
        }
    });
}

#[test]
fn those_that_share_are_woken_together_and_who_waits_is_in_nobodys_way() {
    let [file] = files();
    file.hold(A, EXCLUSIVE, 0, 9);
    thread::scope(|scope| {
        let first = file.begin(scope, request(B, SHARED, 0, 4), Patience::Unlimited);
        let alone = file.begin(scope, request(C, EXCLUSIVE, 4, 6), Patience::Unlimited);
        let last = file.begin(scope, request(D, SHARED, 4, 9), Patience::Unlimited);
        file.release(A);
        assert_eq!(errno(first.join().unwrap()), None);
        assert_eq!(errno(last.join().unwrap()), None);
        assert_eq!(file.waiting(), 1);
        file.hold(A, SHARED, 4, 6);
        file.release(B);
        file.release(D);
        assert_eq!(file.waiting(), 1);
        file.release(A);
        assert_eq!(errno(alone.join().unwrap()), None);
    });
}

#[test]
fn a_part_that_is_let_go_or_shared_wakes_those_that_ask_for_no_more() {
    let [file] = files();
    file.hold(A, EXCLUSIVE, 0, 99);
    thread::scope(|scope| {
        let part = file.begin(scope, request(B, EXCLUSIVE, 10, 19), Patience::Unlimited);
        let shared = file.begin(scope, request(C, SHARED, 50, 59), Patience::Unlimited);
        let whole = file.begin(scope, request(D, SHARED, 0, 99), Patience::Unlimited);
        file.give_back(A, 10, 19);
        assert_eq!(errno(part.join().unwrap()), None);
        file.hold(A, SHARED, 40, 60);
        assert_eq!(errno(shared.join().unwrap()), None);
        file.release(B);
        assert_eq!(file.waiting(), 1);
        file.release(A);
        assert_eq!(errno(whole.join().unwrap()), None);
    });
}

#[test]
fn a_grant_that_makes_a_lock_shared_wakes_others() {
    let [file] = files();
    file.hold(A, EXCLUSIVE, 0, 9);
    file.hold(B, EXCLUSIVE, 10, 19);
    thread::scope(|scope| {
        // It came first, and asks for nothing that B lets go.
        let other = file.begin(scope, request(C, SHARED, 5, 5), Patience::Unlimited);
        let converting = file.begin(scope, request(A, SHARED, 0, 19), Patience::Unlimited);
        file.release(B);
        assert_eq!(errno(converting.join().unwrap()), None);
        assert_eq!(errno(other.join().unwrap()), None);
    });
    assert_eq!((file.holds(A), file.holds(C)), (1, 1));
}

#[test]
fn a_conversion_that_waits_keeps_what_it_has() {
    let [file] = files();
    file.hold(A, SHARED, 0, 9);
    file.hold(B, SHARED, 0, 9);
    thread::scope(|scope| {
        let converting = file.begin(scope, request(A, EXCLUSIVE, 0, 9), Patience::Unlimited);
        assert!(file.try_lock(&request(C, EXCLUSIVE, 0, 0)).is_err());
        assert_eq!(file.holds(A), 1);
        // Two that convert would wait for each other.
        let outcome = file.lock(&request(B, EXCLUSIVE, 0, 9), Patience::Unlimited);
        assert_eq!(errno(outcome), EDEADLK);
        file.release(B);
        assert_eq!(errno(converting.join().unwrap()), None);
    });
}

#[test]
fn a_wait_ends_when_it_is_cancelled_or_out_of_time() {
    let [file] = files();
    file.hold(A, EXCLUSIVE, 0, 9);
    let (one, all) = (LockCancellation::new(), LockCancellation::new());
    thread::scope(|scope| {
        let begin = |owner, handle| {
            let patience = Patience::UntilCancelled(handle);
            file.begin(scope, request(owner, EXCLUSIVE, 0, 0), patience)
        };
        let [first, second, third] = [begin(B, &one), begin(C, &all), begin(D, &all)];
        one.cancel();
        assert_eq!(errno(first.join().unwrap()), EINTR);
        assert_eq!(file.waiting(), 2);
        all.clone().cancel();
        assert_eq!(errno(second.join().unwrap()), EINTR);
        assert_eq!(errno(third.join().unwrap()), EINTR);
    });
    // A handle stays cancelled, and matters only to those that would wait.
    let outcome = |last| {
        file.lock(
            &request(B, EXCLUSIVE, last, 10),
            Patience::UntilCancelled(&one),
        )
    };
    assert_eq!(errno(outcome(9)), EINTR);
    assert_eq!(errno(outcome(10)), None);
    let late = file.lock(&request(C, SHARED, 0, 0), Patience::For(Duration::ZERO));
    assert_eq!(errno(late), EINTR);
    assert_eq!(file.waiting(), 0);
    assert!(file.waits.is_empty());
}

#[test]
fn a_verdict_that_came_before_the_cancellation_counts() {
    let [file] = files();
    file.hold(A, EXCLUSIVE, 0, 0);
    let (key, ticket) = {
        let mut state = file.latch();
        let request = request(B, EXCLUSIVE, 0, 0);
        let conflict = state.table.first_conflict(&request).unwrap();
        file.enqueue(&mut state, &request, &conflict).unwrap()
    };
    file.release(A);
    ticket.cancel();
    assert_eq!(ticket.wait(None), WokenBy::Verdict(Verdict::Granted));
    assert!(matches!(file.withdraw(key), Withdrawn::TooLate));
    assert_eq!(ticket.wait_for_verdict(), Verdict::Granted);
}

#[test]
fn a_circle_over_two_files_and_three_processes_is_refused() {
    let [one, other] = files();
    one.hold(A, EXCLUSIVE, 0, 0);
    other.hold(B, EXCLUSIVE, 0, 0);
    one.hold(C, EXCLUSIVE, 1, 1);
    thread::scope(|scope| {
        let a = other.begin(scope, request(A, SHARED, 0, 0), Patience::Unlimited);
        let b = one.begin(scope, request(B, SHARED, 1, 1), Patience::Unlimited);
        let refused = one.lock(&request(C, EXCLUSIVE, 0, 0), Patience::Unlimited);
        assert_eq!(errno(refused), EDEADLK);
        // C has lost nothing but the request.
        assert_eq!((one.holds(C), one.waiting(), other.waiting()), (1, 1, 1));
        one.release(C);
        assert_eq!(errno(b.join().unwrap()), None);
        other.release(B);
        assert_eq!(errno(a.join().unwrap()), None);
    });
    assert!(one.waits.is_empty());
}

#[test]
fn a_circle_that_something_else_hid_is_refused_when_that_goes() {
    let [one, other] = files();
    one.hold(C, SHARED, 0, 0);
    one.hold(B, SHARED, 0, 0);
    other.hold(A, EXCLUSIVE, 0, 0);
    thread::scope(|scope| {
        // A waits for both, and is noted behind C, who has had locks for longer.
        let a = one.begin(scope, request(A, EXCLUSIVE, 0, 0), Patience::Unlimited);
        let b = other.begin(scope, request(B, EXCLUSIVE, 0, 0), Patience::Unlimited);
        one.release(C);
        assert_eq!(errno(a.join().unwrap()), EDEADLK);
        other.release(A);
        assert_eq!(errno(b.join().unwrap()), None);
    });
}

/// When B let go, its own wait was looked at again, and C came first. C's edge still led to B: a
/// circle that was not there, and B was refused (EDEADLK). Random schedules (`oracle`) found it.
#[test]
fn a_wait_for_who_has_just_let_go_refuses_nobody() {
    let [file] = files();
    file.hold(C, SHARED, 0, 0);
    file.hold(B, SHARED, 0, 0);
    file.hold(A, SHARED, 0, 1);
    // Without threads: whoever waits by mistake would be waited for.
    let begin = |request| {
        let mut state = file.latch();
        let conflict = state.table.first_conflict(&request).unwrap();
        file.enqueue(&mut state, &request, &conflict).unwrap().1
    };
    let news = |ticket: &Ticket| ticket.wait(Some(Instant::now()));
    let granted = WokenBy::Verdict(Verdict::Granted);
    let b = begin(request(B, EXCLUSIVE, 1, 1));
    // Both A and B are in C's way, B for longer.
    let c = begin(request(C, EXCLUSIVE, 0, 0));
    // From here on C is in B's way, too, and comes before A.
    file.hold(C, SHARED, 1, 1);
    file.release(B);
    assert_eq!([news(&b), news(&c)], [WokenBy::Deadline; 2]);
    file.release(A);
    assert_eq!([news(&b), news(&c)], [WokenBy::Deadline, granted]);
    file.release(C);
    assert_eq!(news(&b), granted);
    assert!(file.waits.is_empty());
}

#[test]
fn waits_of_descriptions_are_left_alone() {
    let [file] = files();
    let (one, other) = (Owner::Description(1), Owner::Description(2));
    file.hold(one, EXCLUSIVE, 0, 0);
    file.hold(other, EXCLUSIVE, 1, 1);
    let cancellation = LockCancellation::new();
    thread::scope(|scope| {
        let first = file.begin(scope, request(one, SHARED, 1, 1), Patience::Unlimited);
        let patience = Patience::UntilCancelled(&cancellation);
        let second = file.begin(scope, request(other, SHARED, 0, 0), patience);
        assert!(file.waits.is_empty());
        cancellation.cancel();
        assert_eq!(errno(second.join().unwrap()), EINTR);
        file.release(other);
        assert_eq!(errno(first.join().unwrap()), None);
    });
}
