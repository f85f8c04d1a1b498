//! Finds threads that wait for each other, and threads that wait for themselves.
//!
//! # Why
//!
//! A program that takes ranges in the wrong order hangs, says nothing, and does so once in a
//! million runs. With the feature `deadlock_detection` the thread whose wait would close the circle
//! panics instead, and says who waits for whom, for which bytes, and on which lines.
//!
//! # What is on record
//!
//! One registry for the whole process has two sets of claims: ranges that a thread holds, and
//! ranges that a thread waits for, each with its lock, span, mode, thread and place. A thread that
//! waits needs *all* of these to go away:
//!
//! * claims held by anybody, itself included, that overlap and conflict with what it waits for;
//! * claims waited for that overlap and conflict, and were there earlier: the lock serves those
//!   that conflict in order of arrival.
//!
//! Because it needs all of them, every circle of threads in this relation is a deadlock, and a
//! search from the thread that is about to wait, back to itself, finds every deadlock that this
//! wait would close (breadth first, so the shortest is shown). Coffman, Elphick and Shoshani,
//! "System Deadlocks" (1971), have the graph; that first come, first served adds edges from one
//! who waits to another is particular to fair locks.
//!
//! ```text
//!   thread A   holds to read 0..=9 ◀──────────┐
//!      │                                      │ waits to write 0..=9
//!      │ waits to read 0..=9             thread B
//!      └─────────── was there earlier ────────┘▲
//! ```
//!
//! # Invariants
//!
//! 1. A range on record as held is held by the lock's account too: it is entered after the lock has
//!    granted it, and struck out, or made less, before the lock is told.
//! 2. A thread is on record as waiting from before its request is linked until after it was granted
//!    (or gave up), and while it is, it does nothing else. (An appender may have others to wake
//!    first, and wakers take no ranges.)
//! 3. Among the claims waited for on one lock, those entered earlier were linked earlier: both
//!    happen under one hold of that lock's mutex.
//!
//! No false report: take a thread that is on record as waiting but was granted a moment ago.
//! Everything that was in its way has left the lock, so it left the record before (Invariant 1),
//! and no edge leads away from that thread. Any other thread on record as waiting really waits for
//! everything that the record says (Invariants 1 and 3), and cannot make the record wrong meanwhile
//! (Invariant 2). No missed report: what a thread holds was entered before it waits (Invariant 2),
//! so whichever thread of a circle comes last finds all the others on record.
//!
//! # Whose range is it?
//!
//! The thread's that took it, until it is given back, by whichever thread. The registry cannot see
//! a guard travel. So if a thread sends a guard away and then waits for the range itself, knowing
//! that the receiver will give it back, the report is false. Guards that travel are to be disowned
//! ([`Ticket::disowned`]), or to be owned guards, which belong to nobody from the start, like those
//! of tasks. Nobody's ranges take no part: a deadlock in which one of them has a place is not
//! found. Neither is one that leads through waits of other kinds, such as channels and mutexes;
//! that of the appenders, which is held while the program says where to append, is one of them.
//!
//! Waits that can end without a grant (deadlines, futures) are not entered: whoever is behind one
//! is not behind it for ever. A call for several ranges is entered with all of them, before it is
//! known whether one has to wait; if none has, the claims are struck out at once, and until then
//! they say nothing wrong: the thread holds what they claim.
//!
//! # The panic
//!
//! It comes before the request is linked, and nothing is left of it in the lock or on record: the
//! other threads of the circle go on as soon as the unwinding thread's guards are dropped. If the
//! thread was unwinding already, in a destructor that locks, a second panic ends the process: the
//! report is printed first, and the alternative is to hang.
//!
//! # Cost
//!
//! Each grant and each release takes the registry's mutex, and allocates now and then: so pinned
//! nodes are not for signal handlers with this feature, nor any lock for a global allocator. A wait
//! looks at every thread on record as waiting and, for each that it reaches, at all claims on that
//! thread's lock. The mutex is a leaf, and no code but the standard library's runs under it.

#[cfg(any(loom, shuttle, not(feature = "deadlock_detection")))]
mod absent;
#[cfg(all(not(any(loom, shuttle)), feature = "deadlock_detection"))]
mod present;
#[cfg(all(not(any(loom, shuttle)), feature = "deadlock_detection"))]
mod registry;
#[cfg(all(not(any(loom, shuttle)), feature = "deadlock_detection"))]
mod report;

#[cfg(all(test, not(any(loom, shuttle)), feature = "deadlock_detection"))]
#[path = "tests/circles.rs"]
mod circle_tests;

#[cfg(any(loom, shuttle, not(feature = "deadlock_detection")))]
pub(crate) use absent::*;
#[cfg(all(not(any(loom, shuttle)), feature = "deadlock_detection"))]
pub(crate) use present::*;
