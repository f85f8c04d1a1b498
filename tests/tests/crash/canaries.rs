//! Mistakes that must be noticed: a suite that lets them pass proves nothing.

use daxfs_pmem::{Action, Event};
use daxfs_tests::crash::workload::{Core, Means, Operation, Place as Part, Workload};
use daxfs_tests::crash::{Damage, Limits, damaged, is_fence, is_flush};

use crate::driver::{Run, run};
use crate::history::Step;
use crate::oracle::check;
use Class::{Checkpoint, Data, FirstSuperblock, Record, SecondSuperblock};

/// Where the regions of the smallest image begin (`daxfs/src/format/image_geometry.rs`).
const LOG_BYTES: u64 = 2 * 4096;
const SPACE_MAP_BYTES: u64 = (2 + 256) * 4096;

/// What a fence or a flush makes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// A record of the log.
    Record,
    /// Bytes of a file, or nodes of the tree without the space map.
    Data,
    /// What a checkpoint writes before the superblock.
    Checkpoint,
    FirstSuperblock,
    SecondSuperblock,
    /// Nothing at all.
    Nothing,
}

fn example() -> Run {
    run(&Workload::of(&[
        Core::Write("/A/foo", Part::End, Means::Write),
        Core::Plain(Operation::Checkpoint),
        Core::Write("/A/foo", Part::Start, Means::Write),
        Core::Write("/A/foo", Part::BeforeEnd, Means::Mapping),
        Core::Plain(Operation::SyncData("/A/foo")),
        Core::Plain(Operation::Publish("/bar")),
        Core::Plain(Operation::Rename("/bar", "/A/foo")),
        Core::Plain(Operation::Checkpoint),
    ]))
}

/// Few: a mistake shows in many states, if it shows.
fn limits() -> Limits {
    Limits {
        all_up_to_states: 32,
        pairs_up_to_units: 4,
        most_sets: 48,
        random_states: 4,
        ..Limits::default()
    }
}

fn is_noticed(run: &Run, mistake: Damage) -> bool {
    let trace = damaged(&run.base, &run.trace, mistake);
    trace.is_some_and(|trace| check(run, &trace, &limits()).1.is_some())
}

/// A fence or a flush: in which operation, and what it makes durable.
type Place = (String, Class);

/// What each fence makes durable.
fn fences(run: &Run) -> Vec<Place> {
    let ends = (0..).zip(&run.trace).filter(|(_, event)| is_fence(event));
    let mut start = 0;
    let step = |(end, _): (usize, &Event)| {
        let class = class_of_step(&run.trace[start..end]);
        start = end + 1;
        (operation_at(run, end), class)
    };
    ends.map(step).collect()
}

fn flushes(run: &Run) -> Vec<Place> {
    let flushes = (0..).zip(&run.trace).filter(|(_, event)| is_flush(event));
    let place = |(at, event): (usize, &Event)| {
        let class = class_of_step(std::slice::from_ref(event));
        (operation_at(run, at), class)
    };
    flushes.map(place).collect()
}

fn operation_at(run: &Run, event: usize) -> String {
    let number = run.trace[..event]
        .iter()
        .rev()
        .find_map(|event| match event.action {
            Action::Mark(mark) => Some(mark.operation as usize),
            _ => None,
        });
    let operation = run.history.steps[number.unwrap_or_default()].operation;
    operation.to_string()
}

/// Which mistakes are noticed, and which are not, in their order.
fn try_all(run: &Run, places: Vec<Place>, mistake: fn(usize) -> Damage) -> [Vec<Place>; 2] {
    let is_possible = |number: &usize| damaged(&run.base, &run.trace, mistake(*number)).is_some();
    let (mut noticed, mut passed) = (Vec::new(), Vec::new());
    for (number, place) in places.into_iter().enumerate() {
        if is_possible(&number) {
            match is_noticed(run, mistake(number)) {
                true => noticed.push(place),
                false => passed.push(place),
            }
        }
    }
    [noticed, passed]
}

fn places(list: &[(&str, Class)]) -> Vec<Place> {
    let place = |(operation, class): &(&str, Class)| ((*operation).to_owned(), *class);
    list.iter().map(place).collect()
}

fn class_of_step(events: &[Event]) -> Class {
    let offsets: Vec<u64> = events.iter().filter_map(offset_of).collect();
    let has = |range: std::ops::Range<u64>| offsets.iter().any(|offset| range.contains(offset));
    match () {
        () if has(0..4096) => FirstSuperblock,
        () if has(4096..LOG_BYTES) => SecondSuperblock,
        () if has(LOG_BYTES..SPACE_MAP_BYTES) => Record,
        () if has(SPACE_MAP_BYTES..512 * 4096) => Checkpoint,
        () if !offsets.is_empty() => Data,
        () => Class::Nothing,
    }
}

fn offset_of(event: &Event) -> Option<u64> {
    match &event.action {
        Action::Stream {
            offset_bytes,
            bytes,
        }
        | Action::Flush {
            offset_bytes,
            bytes,
        } => (!bytes.is_empty()).then_some(*offset_bytes),
        _ => None,
    }
}

#[test]
fn the_example_is_right_without_a_mistake() {
    let run = example();
    let (counts, broken) = check(&run, &run.trace, &Limits::default());
    assert_eq!(broken, None);
    assert!(counts.images > 100, "{counts}");
    println!("{counts}");
}

/// Nearly all. A second superblock copy that is not durable is older than the first, which is no
/// harm. Of a file that is published nothing shows before it has its name, and its record comes
/// after a fence more. When all is unmounted, a file that is open and has no name goes: what it
/// held and when does not matter.
#[test]
fn a_fence_left_out_is_noticed() {
    let run = example();
    let [noticed, passed] = try_all(&run, fences(&run), Damage::WithoutFence);
    let expected = [
        ("checkpoint", SecondSuperblock),
        ("publish /bar", Record),
        ("publish /bar", Data),
        ("checkpoint", SecondSuperblock),
        ("sync", Data),
        ("sync", Record),
        ("sync", SecondSuperblock),
    ];
    assert_eq!(passed, places(&expected));
    let expected = [
        ("mkdir /A", Record),
        ("creat /A/foo", Record),
        ("write /A/foo 0..4096", Data),
        ("write /A/foo 0..4096", Record),
        ("checkpoint", Checkpoint),
        ("checkpoint", FirstSuperblock),
        ("write /A/foo 0..1024", Data),
        ("fdatasync /A/foo", Data),
        ("publish /bar", Record),
        ("publish /bar", Record),
        ("rename /bar /A/foo", Record),
    ];
    for place in places(&expected) {
        assert!(noticed.contains(&place), "{place:?} is not in {noticed:?}");
    }
}

/// What is flushed are superblocks, and what was stored through a mapping. A first copy that is not
/// flushed is not there when the checkpoint returns; a second one can be torn together with the
/// next first one; after the last is none. The file that goes at the end was in a mapping, too.
#[test]
fn a_flush_left_out_is_noticed() {
    let run = example();
    let [noticed, passed] = try_all(&run, flushes(&run), Damage::WithoutFlush);
    assert_eq!(
        passed,
        places(&[("sync", Data), ("sync", SecondSuperblock)])
    );
    let expected = [
        ("checkpoint", FirstSuperblock),
        ("checkpoint", SecondSuperblock),
        ("fdatasync /A/foo", Data),
        ("checkpoint", FirstSuperblock),
        ("checkpoint", SecondSuperblock),
        ("sync", FirstSuperblock),
    ];
    assert_eq!(noticed, places(&expected));
}

/// A record before the data that it is about, or before the record that comes first; a superblock
/// before what it names. The order of its copies does not matter, nor that of what happens to a
/// file before it has its name, or when it has none any more.
#[test]
fn steps_in_the_wrong_order_are_noticed() {
    let run = example();
    let [noticed, passed] = try_all(&run, fences(&run), Damage::StepsSwapped);
    let expected = [
        ("checkpoint", FirstSuperblock),
        ("publish /bar", Record),
        ("publish /bar", Data),
        ("checkpoint", FirstSuperblock),
        ("sync", Data),
        ("sync", Record),
        ("sync", FirstSuperblock),
    ];
    assert_eq!(passed, places(&expected));
    let expected = [
        ("write /A/foo 0..4096", Data),
        ("checkpoint", Checkpoint),
        ("publish /bar", Record),
        ("publish /bar", Record),
        ("checkpoint", Checkpoint),
        ("sync", Checkpoint),
    ];
    assert_eq!(noticed, places(&expected));
}

/// Who promised more than is kept would be found out.
#[test]
fn a_promise_that_is_not_made_is_not_kept() {
    let mut run = example();
    let is_store =
        |step: &&mut Step| matches!(step.operation, Operation::Write(_, _, Means::Mapping));
    let store = run.history.steps.iter_mut().find(is_store).unwrap();
    let Operation::Write(path, span, _) = store.operation else {
        unreachable!("it was looked for")
    };
    store.operation = Operation::Write(path, span, Means::Write);
    assert!(check(&run, &run.trace, &limits()).1.is_some());
}
