//! The mutex and the wait word under every schedule that loom can find.

use ::loom::cell::UnsafeCell;
use ::loom::model::Builder;
use ::loom::sync::Arc;
use ::loom::thread;

use super::{Mutex, Spin, WaitWord};

#[test]
fn the_mutex_admits_one_of_two_threads() {
    ::loom::model(|| {
        let counter = Arc::new(Mutex::new(0));
        let other = Arc::clone(&counter);
        let thread = thread::spawn(move || {
            for _ in 0..2 {
                *other.lock() += 1;
            }
        });
        for _ in 0..2 {
            *counter.lock() += 1;
        }
        thread.join().unwrap();
        assert_eq!(*counter.lock(), 4);
    });
}

#[test]
fn the_mutex_forgets_no_sleeper_among_three_threads() {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let counter = Arc::new(Mutex::new(0));
        let threads = [(); 2].map(|()| {
            let counter = Arc::clone(&counter);
            thread::spawn(move || *counter.lock() += 1)
        });
        *counter.lock() += 1;
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*counter.lock(), 3);
    });
}

#[test]
fn a_grant_hands_over_data_and_is_the_last_use_of_the_word() {
    /// Freed by the waiter as soon as it was granted: loom reports any later use.
    struct Request {
        word: WaitWord,
        data: UnsafeCell<u32>,
    }

    ::loom::model(|| {
        let request = Box::new(Request {
            word: WaitWord::new(),
            data: UnsafeCell::new(0),
        });
        request.word.arm();
        let address = (&raw const *request).expose_provenance();
        let granter = thread::spawn(move || {
            let request: *const Request = std::ptr::with_exposed_provenance(address);
            // SAFETY: the waiter frees the request only after the grant below.
            unsafe { &*request }.data.with_mut(|data| {
                // SAFETY: loom checks that nobody else is at it.
                unsafe { *data = 7 }
            });
            // SAFETY: as above.
            let word = unsafe { &raw const (*request).word };
            // SAFETY: armed above, granted only here.
            unsafe { WaitWord::grant(word) };
        });
        request.word.wait(Spin::Briefly);
        // SAFETY: loom checks that nobody else is at it.
        assert_eq!(request.data.with(|data| unsafe { *data }), 7);
        drop(request);
        granter.join().unwrap();
    });
}
