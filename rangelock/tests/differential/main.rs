//! The lock beside an oracle that is too simple to be wrong, through random schedules of everything
//! that can be done with a lock.
//!
//! | File | What is there |
//! |---|---|
//! | `operation.rs` | what can be done: the language of schedules |
//! | `oracle.rs` | the rules of the lock, as a list that is walked from end to end |
//! | `subject.rs` | the lock itself; the only file that names it |
//! | `compare.rs` | runs a schedule on both and compares all that can be seen |
//! | `strategy.rs` | random schedules, for proptest |
//! | `decode.rs` | any bytes as a schedule, for the fuzzer in `fuzz`, which uses these files |
//!
//! One thread explores what otherwise takes many: requests that have to wait are futures, polled by
//! hand. What only threads can do to each other is for the models (`src/lock/tests`).

mod compare;
mod decode;
mod operation;
mod oracle;
mod strategy;
mod subject;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::compare::compare;
use crate::decode::decode;
use crate::operation::Make;
use crate::oracle::Rules;

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn the_lock_does_what_a_naive_lock_does(
        make in strategy::make(),
        schedule in strategy::schedule(),
    ) {
        compare(make, Rules::Right, &schedule);
    }

    #[test]
    fn whatever_bytes_are_decoded_to(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let (make, schedule) = decode(&bytes);
        compare(make, Rules::Right, &schedule);
    }
}

/// What the fuzzer starts with, and what it has found interesting.
#[test]
fn the_fuzzers_corpus_is_passed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/corpus");
    let entries = std::fs::read_dir(folder).expect("the corpus is there");
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("and can be read").path();
        let bytes = std::fs::read(&path).expect("and so can its files");
        let (make, schedule) = decode(&bytes);
        // Shown if it fails.
        println!("{}: {make:?} {schedule:#?}", path.display());
        compare(make, Rules::Right, &schedule);
        count += 1;
    }
    assert!(count >= 10, "only {count} files in {folder}");
}

/// Runs a few hundred schedules against an oracle with wrong rules.
fn with_rules(rules: Rules) {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = ProptestConfig {
        failure_persistence: None,
        cases: 500,
        ..Default::default()
    };
    let mut runner = TestRunner::new_with_rng(config, random);
    let schedules = (Just(Make::TreeOnly), strategy::schedule());
    let result = runner.run(&schedules, |(make, schedule)| {
        compare(make, rules, &schedule);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
#[should_panic(expected = "Test failed")]
fn canary_oracle_forgets_the_order() {
    with_rules(Rules::ForgetOrder);
}

#[test]
#[should_panic(expected = "Test failed")]
fn canary_oracle_keeps_who_was_cancelled() {
    with_rules(Rules::KeepCancelled);
}

#[test]
#[should_panic(expected = "Test failed")]
fn canary_oracle_keeps_what_was_given_up() {
    with_rules(Rules::KeepTrimmed);
}

#[test]
#[should_panic(expected = "Test failed")]
fn canary_oracle_keeps_who_waited_for_a_downgrade() {
    with_rules(Rules::KeepDowngraded);
}

#[test]
#[should_panic(expected = "Test failed")]
fn canary_oracle_upgrades_beside_readers() {
    with_rules(Rules::UpgradeBesideReaders);
}
