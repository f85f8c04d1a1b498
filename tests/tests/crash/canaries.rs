//! Mistakes that must be noticed: a suite that lets them pass proves nothing.

use daxfs_pmem::Event;
use daxfs_tests::crash::workload::{Core, Means, Operation, Place, Workload};
use daxfs_tests::crash::{Damage, Limits, damaged, is_fence, is_flush};

use crate::driver::{Run, run};
use crate::oracle::check;

fn example() -> Run {
    run(&Workload::of(&[
        Core::Write("/A/foo", Place::End, Means::Write),
        Core::Plain(Operation::SyncAll),
        Core::Write("/A/foo", Place::End, Means::Write),
        Core::Plain(Operation::Create("/bar")),
        Core::Plain(Operation::SyncAll),
        Core::Plain(Operation::Unlink("/A/foo")),
        Core::Plain(Operation::SyncAll),
    ]))
}

/// The mistakes that are noticed, by their numbers.
fn noticed(run: &Run, mistake: fn(usize) -> Damage, places: usize) -> Vec<usize> {
    let is_noticed = |number: &usize| {
        let Some(trace) = damaged(&run.base, &run.trace, mistake(*number)) else {
            return false;
        };
        check(run, &trace, &Limits::default()).1.is_some()
    };
    (0..places).filter(is_noticed).collect()
}

fn count(run: &Run, is_wanted: impl Fn(&Event) -> bool) -> usize {
    run.trace.iter().filter(|event| is_wanted(event)).count()
}

#[test]
fn the_example_is_right_without_a_mistake() {
    let run = example();
    let (counts, broken) = check(&run, &run.trace, &Limits::default());
    assert_eq!(broken, None);
    assert!(counts.images > 100, "{counts}");
    println!("{counts}");
}

/// A checkpoint has three fences: after all that the superblock names, and after each of its
/// copies. Without the first a superblock names what is not there; without the second both copies
/// can be torn. Without the third only the second copy may be old, which is no harm. A write's own
/// fence is for who sees the bytes before a sync; a crash after the sync finds its bytes durable by
/// the first fence. Unmounting right after a sync names nothing new, so its first does nothing.
#[test]
fn a_fence_left_out_is_noticed() {
    let run = example();
    let fences = count(&run, is_fence);
    let write_and_checkpoint = 4;
    assert_eq!(fences, 2 * write_and_checkpoint + 2 * 3);
    let first_two = [1, 2, 5, 6, 8, 9];
    let of_unmounting = [12];
    let expected = [&first_two[..], &of_unmounting].concat();
    assert_eq!(noticed(&run, Damage::WithoutFence, fences), expected);
}

/// What is flushed are superblocks. A first copy that is not flushed is not there when the sync
/// returns; a second one can be torn together with the next first one; after the last is none.
#[test]
fn a_flush_left_out_is_noticed() {
    let run = example();
    let flushes = count(&run, is_flush);
    let checkpoints = 4;
    assert_eq!(flushes, 2 * checkpoints);
    let all_but_the_last: Vec<usize> = (0..flushes - 1).collect();
    assert_eq!(
        noticed(&run, Damage::WithoutFlush, flushes),
        all_but_the_last
    );
}

/// A superblock before what it names. The order of its copies does not matter; unmounting right
/// after a sync names nothing new.
#[test]
fn steps_in_the_wrong_order_are_noticed() {
    let run = example();
    let fences = count(&run, is_fence);
    assert_eq!(noticed(&run, Damage::StepsSwapped, fences), [1, 5, 8]);
}

/// Who promised more than is kept would be found out.
#[test]
fn an_operation_taken_for_a_sync_is_noticed() {
    let mut run = example();
    let create = 5;
    assert!(!run.syncs.contains(&create));
    // It returns, so what it began with has to be there: a write that no sync has followed.
    run.syncs.push(create);
    run.syncs.sort_unstable();
    assert!(check(&run, &run.trace, &Limits::default()).1.is_some());
}
