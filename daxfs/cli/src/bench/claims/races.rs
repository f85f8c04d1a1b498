//! C1 to C3: what the forced races showed. Pure functions, no locks.

use daxfs::MappingLock;

use super::{Answer, Claim, Verdict};
use crate::bench::evidence::Evidence;
use crate::bench::trial::{Race, Trial};

const RULE: &str = "Holds if under `none` (D0) the mapping shows zeroes where read returns data, \
    on every kind of page tables; does not if it never does. Not decided if the interleaving was \
    not forced, or if a design that must be coherent fails too: then the experiment is broken.";

pub(super) const C1: Claim = Claim {
    id: "C1",
    words: "Race 1: a write that allocates races with a read fault, and leaves zeroes mapped, when \
            the fault looks the block up before it locks the entry (D0).",
    shown_false_by: "A forced interleaving under D0 after which read and load agree.",
    experiment: "A read fault is held after its look-up found a hole; a write fills the hole and \
                 finishes, or waits for the design's lock; the fault goes on. Every design, \
                 software and process page tables. Besides, as a model: every order of steps that \
                 loom finds with three preemptions, on software page tables.",
    command: "cargo test -p daxfs-tests --test race_2017 a_write_that_meets_a_read_fault; \
              RUSTFLAGS='--cfg loom' cargo test -p daxfs --lib --release --target-dir target/loom \
              loom_tests::races::c1",
    canary: "The same schedule must fail under `none` and hold under every coherent design: both \
             are asserted, in the model too, and DWFM looks for the same without a schedule.",
    rule: RULE,
    judge: |evidence| happens(evidence, Race::Write),
};

pub(super) const C2: Claim = Claim {
    id: "C2",
    words: "Race 2: the same, with a write fault as the one who allocates.",
    shown_false_by: "A forced interleaving under D0 after which read and load agree.",
    experiment: "As C1; the hole is filled by a store through the same mapping.",
    command: "cargo test -p daxfs-tests --test race_2017 a_store_that_meets_a_read_fault; \
              RUSTFLAGS='--cfg loom' cargo test -p daxfs --lib --release --target-dir target/loom \
              loom_tests::races::c2",
    canary: "As C1.",
    rule: RULE,
    judge: |evidence| happens(evidence, Race::WriteFault),
};

pub(super) const C3: Claim = Claim {
    id: "C3",
    words: "Moving the look-up under the entry lock alone is not enough (Zwisler), against: it is, \
            because the invalidation waits for the entry (Kara).",
    shown_false_by: "Under D2, whose invalidation waits, both races end well, and the one who \
                     allocates is seen to wait.",
    experiment: "C1's and C2's schedules under `entry` (D2); and C1's once more with an \
                 invalidation that skips locked entries instead of waiting for them. Besides, as \
                 models of C1's race: an invalidation that waits, and one that skips.",
    command: "cargo test -p daxfs-tests --test kernel_bugs a_look_up_under_the_entry_lock; \
              RUSTFLAGS='--cfg loom' cargo test -p daxfs --lib --release --target-dir target/loom \
              loom_tests::races::c3",
    canary: "D2 with the invalidation that skips locked entries must show stale zeroes in the same \
             schedule, and in the model: it is the waiting that does it.",
    rule: "Holds (Zwisler) if any of D2's trials shows stale zeroes; does not (Kara) if none does, \
           the one who allocates waited in each, and D2 whose invalidation skips locked entries \
           shows them. Else not decided.",
    judge: enough,
};

fn trials<'a>(evidence: &Evidence<'a>, races: &[Race], lock: MappingLock) -> Vec<&'a Trial> {
    let name = lock.to_string();
    let trials = evidence.trials.iter();
    trials
        .filter(|trial| races.contains(&trial.race) && trial.mapping_lock == name)
        .collect()
}

fn numbers(evidence: &Evidence<'_>, races: &[Race]) -> Vec<String> {
    let mut numbers = Vec::new();
    for &race in races {
        for lock in MappingLock::ALL {
            let trials = trials(evidence, &[race], lock);
            let count = |what: fn(&Trial) -> bool| {
                let trials = trials.iter();
                trials.filter(|trial| what(trial)).count()
            };
            numbers.push(format!(
                "{}, `{lock}`: stale in {} of {} trials, waited in {}",
                race.words(),
                count(|trial| trial.stale),
                trials.len(),
                count(|trial| trial.waited)
            ));
        }
    }
    numbers
}

fn happens(evidence: &Evidence<'_>, race: Race) -> Answer {
    let racy = trials(evidence, &[race], MappingLock::None);
    let stale = racy.iter().filter(|trial| trial.stale).count();
    let broken: Vec<String> = MappingLock::COHERENT
        .iter()
        .filter(|&&lock| {
            let trials = trials(evidence, &[race], lock);
            trials.iter().any(|trial| trial.stale || !trial.forced)
        })
        .map(MappingLock::to_string)
        .collect();
    let forced = !racy.is_empty() && racy.iter().all(|trial| trial.forced);
    let (verdict, sentence) = if !broken.is_empty() || !forced {
        let why = match forced {
            true => format!("{} failed in the same schedule", broken.join(", ")),
            false => "the interleaving was not forced".to_owned(),
        };
        (
            Verdict::NotDecided,
            format!("The experiment is broken: {why}."),
        )
    } else {
        let sentence = format!(
            "Under `none` the mapping shows zeroes where read returns data in {stale} of {} forced \
             runs; under {} in none.",
            racy.len(),
            names(&MappingLock::COHERENT)
        );
        (Verdict::of_parts(stale, racy.len() - stale), sentence)
    };
    Answer {
        verdict,
        sentence,
        numbers: numbers(evidence, &[race]),
    }
}

fn enough(evidence: &Evidence<'_>) -> Answer {
    let sound = [Race::Write, Race::WriteFault];
    let entry = trials(evidence, &sound, MappingLock::Entry);
    let stale = entry.iter().filter(|trial| trial.stale).count();
    let waited = !entry.is_empty() && entry.iter().all(|trial| trial.forced && trial.waited);
    let crippled = [Race::WriteThatSkipsLocked];
    let crippled = trials(evidence, &crippled, MappingLock::Entry);
    let canary = !crippled.is_empty() && crippled.iter().all(|trial| trial.forced && trial.stale);
    let (verdict, sentence) = if stale > 0 {
        let sentence = format!(
            "It is not enough: under `entry` {stale} of {} forced runs left stale zeroes.",
            entry.len()
        );
        (Verdict::Holds, sentence)
    } else if waited && canary {
        let sentence = format!(
            "It is enough because the invalidation waits: in all {} forced runs under `entry` the \
             one who allocated waited for the fault, and read and load agree. With an invalidation \
             that skips locked entries it is not: all {} runs left stale zeroes.",
            entry.len(),
            crippled.len()
        );
        (Verdict::DoesNotHold, sentence)
    } else {
        let sentence = "The schedule did not make anybody wait, or the canary did not fail.";
        (Verdict::NotDecided, sentence.to_owned())
    };
    Answer {
        verdict,
        sentence,
        numbers: numbers(evidence, &Race::ALL),
    }
}

fn names(locks: &[MappingLock]) -> String {
    let names: Vec<_> = locks.iter().map(|lock| format!("`{lock}`")).collect();
    names.join(", ")
}
