//! The tree under the schedules that loom can find: what the whole lock's models (`lock/tests`)
//! do not reach.
//!
//! | File | What is there |
//! |---|---|
//! | `mod.rs` | a tree lock over watched bytes, and how a model is run |
//! | `waiting.rs` | deadlines, tasks, several requests at once |
//! | `changes.rs` | downgrade, upgrade, shrink, split, and taking over from outside |
//! | `canaries.rs` | the same on a lock that commits a fault on purpose; they must fail |
//!
//! Two threads run under all schedules with at most four preemptions, three under all with at most
//! three.

mod canaries;
mod changes;
mod waiting;

use std::ptr::NonNull;
// Not loom's: when a canary deadlocks, the frames are unwound outside the model, where dropping
// loom's own would abort the process.
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use ::loom::cell::UnsafeCell;
use ::loom::model::Builder;
use ::loom::thread::{self, JoinHandle, Thread};

use super::outsiders::Outsiders;
use super::{Enqueued, Holding, Node, TreeLock};
use crate::mode::Mode::{self, Read, Write};
use crate::probe::Fault;
use crate::span::Span;
use crate::watch::Asker;

/// Who is in a model beside the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Nobody,
    Outsiders,
    /// Outsiders that make a mistake of their own.
    LookingOnce,
}

#[derive(Clone, Copy)]
struct Setting {
    others: Others,
    fault: Option<Fault>,
}

impl Setting {
    const fn sound(others: Others) -> Self {
        Self {
            others,
            fault: None,
        }
    }

    const fn faulty(fault: Fault) -> Self {
        Self {
            others: Others::Nobody,
            fault: Some(fault),
        }
    }
}

/// Writes each property as a test for a tree alone and for one with outsiders.
macro_rules! models {
    ($($property:ident)*) => {$(
        mod $property {
            use super::super::{Others, Setting};

            #[test]
            fn tree_alone() {
                super::$property(Setting::sound(Others::Nobody));
            }

            #[test]
            fn with_outsiders() {
                super::$property(Setting::sound(Others::Outsiders));
            }
        }
    )*};
}
use models;

/// A lock over an array of cells, one for each byte. loom reports every unordered access to one.
struct Shared {
    tree: TreeLock,
    outsiders: Outsiders,
    bytes: [UnsafeCell<u32>; 2],
}

// SAFETY: whether the lock orders every access to the cells is what the models check, and loom
// stops at the first that is not ordered.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

const fn span(first: u64, last: u64) -> Span {
    Span { first, last }
}

impl Shared {
    fn new(setting: Setting) -> Arc<Self> {
        let tree = TreeLock::new();
        tree.with_probe(|probe| probe.fault = setting.fault);
        Arc::new(Self {
            tree,
            outsiders: match setting.others {
                Others::Nobody => Outsiders::NOBODY,
                Others::Outsiders => Outsiders::new(),
                Others::LookingOnce => Outsiders::looking_once(),
            },
            bytes: std::array::from_fn(|_| UnsafeCell::new(0)),
        })
    }

    /// Uses bytes as one may who holds them.
    fn use_bytes(&self, span: Span, mode: Mode) {
        for byte in &self.bytes[span.first as usize..=span.last as usize] {
            match mode {
                // SAFETY: loom checks that no writer is at it.
                Read => byte.with(|byte| unsafe {
                    byte.read();
                }),
                // SAFETY: loom checks that nobody else is at it.
                Write => byte.with_mut(|byte| unsafe { *byte += 1 }),
            }
        }
    }

    /// Waits for a range, as an outsider if possible.
    fn take(&self, span: Span, mode: Mode) -> Holding<usize> {
        match self.outsiders.attempt(&self.tree, span, mode) {
            Some(place) => Holding::Outside(place),
            None => self
                .tree
                .lock_pooled(&self.outsiders, span, mode, Asker::of_a_test()),
        }
    }

    fn give_back(&self, holding: Holding<usize>) {
        match holding {
            Holding::Outside(place) => self.outsiders.release(&self.tree, place),
            // SAFETY: held, and not used any more.
            Holding::Linked(node) => unsafe { self.tree.unlock_pooled(&self.outsiders, node) },
        }
    }

    fn hold(&self, span: Span, mode: Mode) {
        let holding = self.take(span, mode);
        self.use_bytes(span, mode);
        self.give_back(holding);
    }

    /// Waits for a range in the tree, or moves there.
    fn take_linked(&self, span: Span, mode: Mode) -> NonNull<Node> {
        let holding = self.take(span, mode);
        self.outsiders.linked(&self.tree, holding)
    }

    fn enqueue(&self, span: Span, mode: Mode) -> Enqueued<usize> {
        let enqueued = (self.tree).enqueue_pooled(&self.outsiders, span, mode, Asker::of_a_test());
        enqueued.expect("nobody observes").0
    }

    fn cancel(&self, node: NonNull<Node>) {
        // SAFETY: every model cancels what it has enqueued, and forgets the node.
        unsafe { self.tree.cancel_pooled(&self.outsiders, node) };
    }

    fn poll(&self, node: NonNull<Node>, waker: &Waker) -> Poll<()> {
        // SAFETY: every model polls what it has enqueued, on the thread that did so.
        unsafe { self.tree.poll(node, waker) }
    }

    /// Polls as an executor would until the request is granted.
    fn block_on(&self, node: NonNull<Node>) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        while self.poll(node, &waker).is_pending() {
            thread::park();
        }
    }

    /// An access to a byte is no step of a model, so between two of them there has to be one.
    fn let_others_run(&self) {
        thread::yield_now();
    }

    fn assert_unused(&self) {
        let census = self.tree.census();
        assert_eq!((census.granted, census.waiting), (0, 0), "left in the tree");
        let outside = self.outsiders.closings_and_taken();
        assert_eq!(outside, (0, 0), "left outside");
    }
}

/// Wakes a task that is a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn two_threads(setting: Setting, model: impl Fn(&Arc<Shared>) + Send + Sync + 'static) {
    run(setting, 4, model);
}

fn three_threads(setting: Setting, model: impl Fn(&Arc<Shared>) + Send + Sync + 'static) {
    run(setting, 3, model);
}

fn run(
    setting: Setting,
    preemption_bound: usize,
    model: impl Fn(&Arc<Shared>) + Send + Sync + 'static,
) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemption_bound);
    builder.check(move || {
        let shared = Shared::new(setting);
        model(&shared);
        shared.assert_unused();
    });
}

fn spawn(shared: &Arc<Shared>, run: impl FnOnce(&Shared) + 'static) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}
