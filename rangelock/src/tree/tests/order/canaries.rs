//! Chosen steps against the list, on a sound lock and on ones that commit a fault on purpose, which
//! must fail.

use super::{Notify, Pair, Step};
use crate::mode::Mode::{self, Read, Write};
use crate::probe::Fault;
use crate::span::Span;
use crate::tree::outsiders::Outsiders;

fn arrive(mode: Mode, first: u64, last: u64) -> Step {
    Step::Arrive(mode, Span { first, last }, Notify::ByWaker)
}

/// A reader holds, a writer waits for it, another reader waits for the writer; then the first
/// leaves.
fn reader_writer_reader() -> [Step; 4] {
    [
        arrive(Read, 0, 9),
        arrive(Write, 5, 14),
        arrive(Read, 0, 19),
        Step::Leave(0),
    ]
}

/// A writer holds; a reader that waits for it gives up; another reader must go on waiting. In the
/// kernel patch of 2018 it was credited with the departure of the first.
fn a_waiting_reader_gives_up() -> [Step; 4] {
    [
        arrive(Write, 0, 9),
        arrive(Read, 0, 9),
        arrive(Read, 0, 9),
        Step::Cancel(0),
    ]
}

#[test]
fn a_readers_departure_is_not_credited_to_readers() {
    Pair::new(Outsiders::NOBODY, None).run(reader_writer_reader());
    Pair::new(Outsiders::NOBODY, None).run(a_waiting_reader_gives_up());
}

/// Runs steps on a lock with a fault.
fn on_faulty(fault: Fault, steps: impl IntoIterator<Item = Step>) {
    Pair::new(Outsiders::NOBODY, Some(fault)).run(steps);
}

#[test]
#[should_panic(expected = "standing and count")]
fn canary_reader_releases_readers() {
    on_faulty(Fault::ReaderReleasesReaders, reader_writer_reader());
}

#[test]
#[should_panic(expected = "standing and count")]
fn canary_cancel_forgets_mode() {
    on_faulty(Fault::CancelForgetsMode, a_waiting_reader_gives_up());
}

#[test]
#[should_panic(expected = "standing and count")]
fn canary_cancel_forgets_order() {
    let steps = [
        arrive(Write, 0, 9),
        arrive(Write, 0, 9),
        arrive(Write, 0, 9),
        Step::Cancel(1),
    ];
    on_faulty(Fault::CancelForgetsOrder, steps);
}

#[test]
#[should_panic(expected = "not granted")]
fn canary_lost_wake() {
    on_faulty(Fault::LostWake, reader_writer_reader());
}

#[test]
#[should_panic(expected = "overtook")]
fn canary_barging() {
    on_faulty(Fault::Barging, reader_writer_reader());
}

#[test]
#[should_panic(expected = "told other than once")]
fn canary_stale_waker() {
    let steps = [
        arrive(Write, 0, 9),
        arrive(Write, 0, 9),
        Step::Poll(0),
        Step::Leave(0),
    ];
    on_faulty(Fault::StaleWaker, steps);
}

#[test]
#[should_panic(expected = "standing and count")]
fn canary_downgrade_admits_writers() {
    let steps = [arrive(Write, 0, 9), arrive(Write, 0, 9), Step::Downgrade(0)];
    on_faulty(Fault::DowngradeAdmitsWriters, steps);
}

#[test]
#[should_panic(expected = "the only reader")]
fn canary_upgrade_ignores_readers() {
    let steps = [arrive(Read, 0, 9), arrive(Read, 5, 9), Step::Upgrade(0)];
    on_faulty(Fault::UpgradeIgnoresReaders, steps);
}

#[test]
#[should_panic(expected = "standing and count")]
fn canary_upgrade_uncounted() {
    let steps = [
        arrive(Write, 0, 4),
        arrive(Read, 0, 9),
        arrive(Read, 5, 9),
        Step::Upgrade(0),
    ];
    on_faulty(Fault::UpgradeUncounted, steps);
}

#[test]
#[should_panic(expected = "standing and count")]
fn canary_shrink_releases_all() {
    let steps = [
        arrive(Write, 0, 9),
        arrive(Read, 0, 9),
        Step::Shrink(0, 5, 9),
    ];
    on_faulty(Fault::ShrinkReleasesAll, steps);
}

#[test]
#[should_panic(expected = "standing and count")]
fn canary_split_uncounted() {
    let steps = [arrive(Write, 0, 9), arrive(Read, 0, 9), Step::Split(0, 5)];
    on_faulty(Fault::SplitUncounted, steps);
}

#[test]
#[should_panic(expected = "not granted")]
fn canary_adopt_uncounted() {
    let steps = [
        Step::Attempt(Write, Span { first: 0, last: 9 }),
        arrive(Read, 0, 9),
        Step::Downgrade(0),
    ];
    Pair::new(Outsiders::new(), Some(Fault::AdoptUncounted)).run(steps);
}
