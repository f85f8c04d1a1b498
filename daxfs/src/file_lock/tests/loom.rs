//! Waiting for file locks in every order of steps: the verdict, the cancellation, the wait graph.
//!
//! Two threads, or three with fewer preemptions. Tables and queues are plain data under a latch, so
//! what is explored is the latch, the tickets and the handle, and that no thread is left asleep
//! (loom fails a model whose threads all sleep).

use ::loom::model::Builder;
use ::loom::thread;

use super::*;

const A: Owner = Owner::Process(1);
const B: Owner = Owner::Process(2);
const C: Owner = Owner::Process(3);

fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn request(owner: Owner, first: u64) -> Request {
    Request {
        owner,
        kind: LockKind::Exclusive,
        range: LockRange::between(first, first).unwrap(),
    }
}

fn files<const N: usize>() -> [Arc<FileLocks>; N] {
    let waits = Arc::new(WaitGraph::default());
    std::array::from_fn(|_| Arc::new(FileLocks::new(Arc::clone(&waits))))
}

/// Nobody waits any more, and each byte is with the owner that is said to have it.
fn assert_settled(file: &FileLocks) {
    assert_eq!(file.latch().queue.len(), 0);
    assert!(file.waits.is_empty());
}

#[test]
fn loom_whoever_waits_is_woken() {
    explore(2, || {
        let [file] = files();
        file.try_lock(&request(A, 0)).unwrap();
        let threads = [B, C].map(|owner| {
            let file = Arc::clone(&file);
            thread::spawn(move || {
                file.lock(&request(owner, 0), Patience::Unlimited).unwrap();
                file.release(owner);
            })
        });
        file.release(A);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_settled(&file);
        assert!(file.try_lock(&request(A, 0)).is_ok());
    });
}

#[test]
fn loom_a_cancelled_request_is_granted_or_gone() {
    explore(3, || {
        let [file] = files();
        file.try_lock(&request(A, 0)).unwrap();
        let cancellation = LockCancellation::new();
        let waiting = {
            let (file, cancellation) = (Arc::clone(&file), cancellation.clone());
            thread::spawn(move || {
                file.lock(&request(B, 0), Patience::UntilCancelled(&cancellation))
            })
        };
        let releasing = {
            let file = Arc::clone(&file);
            thread::spawn(move || file.release(A))
        };
        cancellation.cancel();
        let outcome = waiting.join().unwrap();
        releasing.join().unwrap();
        assert_settled(&file);
        assert_eq!(outcome.is_ok(), file.try_lock(&request(C, 0)).is_err());
    });
}

#[test]
fn loom_of_two_that_close_a_circle_one_is_refused() {
    explore(3, || {
        let [one, other] = files();
        one.try_lock(&request(A, 0)).unwrap();
        other.try_lock(&request(B, 0)).unwrap();
        let first = {
            let (one, other) = (Arc::clone(&one), Arc::clone(&other));
            thread::spawn(move || {
                let outcome = other.lock(&request(A, 0), Patience::Unlimited);
                one.release(A);
                outcome.is_ok()
            })
        };
        let second = one.lock(&request(B, 0), Patience::Unlimited).is_ok();
        other.release(B);
        let first = first.join().unwrap();
        assert!(first || second, "both were refused");
        assert_settled(&one);
        assert_settled(&other);
    });
}
