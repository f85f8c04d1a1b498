//! That answers follow from the numbers, and can come out either way.

use daxfs::{IoLock, MappingLock, Unmapping};

use super::bar::comparisons;
use super::{CLAIMS, Verdict, answer_all};
use crate::bench::cell::Cell;
use crate::bench::cell::tests::cell_of;
use crate::bench::design::Design;
use crate::bench::evidence::Evidence;
use crate::bench::kind::WorkloadKind as Kind;
use crate::bench::memory::Footprint;
use crate::bench::trial::{Race, Trial};

fn evidence<'a>(cells: &'a [Cell], trials: &'a [Trial]) -> Evidence<'a> {
    Evidence {
        cells,
        trials,
        full_log: &[],
        footprints: &[],
        cores: 2,
    }
}

fn verdict(id: &str, evidence: &Evidence<'_>) -> Verdict {
    let answers = answer_all(evidence);
    let answered = answers.iter().find(|answered| answered.claim.id == id);
    answered.expect("a claim").answer.verdict
}

/// A design's rates with one thread and with two.
fn pair(workload: Kind, design: Design, one: u64, two: u64) -> [Cell; 2] {
    [
        cell_of(workload, design, 1, &[one; 5]),
        cell_of(workload, design, 2, &[two; 5]),
    ]
}

/// Trials in which these designs are stale, and no others; with an invalidation that skips locked
/// entries, `entry` is.
fn trials(stale: &[MappingLock]) -> Vec<Trial> {
    trials_with(stale, &[MappingLock::Entry])
}

fn trials_with(stale: &[MappingLock], skipping: &[MappingLock]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for race in Race::ALL {
        for lock in MappingLock::ALL {
            trials.push(Trial {
                race,
                mapping_lock: lock.to_string(),
                page_tables: "software",
                stale: match race {
                    Race::WriteThatSkipsLocked => skipping.contains(&lock),
                    _ => stale.contains(&lock),
                },
                waited: lock != MappingLock::None,
                forced: true,
            });
        }
    }
    trials
}

#[test]
fn the_claims_are_ten_and_each_says_how_it_is_answered() {
    for (number, claim) in CLAIMS.iter().enumerate() {
        assert_eq!(claim.id, format!("C{}", number + 1));
        let texts = [
            claim.words,
            claim.shown_false_by,
            claim.experiment,
            claim.command,
            claim.canary,
            claim.rule,
        ];
        assert!(texts.iter().all(|text| !text.is_empty()), "{}", claim.id);
    }
    let nothing = evidence(&[], &[]);
    for answered in answer_all(&nothing) {
        let (id, answer) = (answered.claim.id, answered.answer);
        assert_eq!(
            answer.verdict,
            Verdict::NotDecided,
            "{id}: {}",
            answer.sentence
        );
        assert!(!answer.sentence.is_empty(), "{id}");
    }
}

#[test]
fn the_races_hold_if_the_racy_design_fails_alone() {
    for (stale, expected) in [
        (vec![MappingLock::None], Verdict::Holds),
        (vec![], Verdict::DoesNotHold),
        (
            vec![MappingLock::None, MappingLock::Range],
            Verdict::NotDecided,
        ),
    ] {
        let trials = trials(&stale);
        for id in ["C1", "C2"] {
            assert_eq!(verdict(id, &evidence(&[], &trials)), expected, "{stale:?}");
        }
    }
}

#[test]
fn a_race_that_was_not_forced_decides_nothing() {
    let mut trials = trials(&[MappingLock::None]);
    for trial in &mut trials {
        trial.forced = false;
    }
    for id in ["C1", "C2", "C3"] {
        assert_eq!(verdict(id, &evidence(&[], &trials)), Verdict::NotDecided);
    }
}

#[test]
fn the_look_up_under_the_lock_is_enough_unless_it_fails() {
    let canary_fails = trials(&[MappingLock::None]);
    assert_eq!(
        verdict("C3", &evidence(&[], &canary_fails)),
        Verdict::DoesNotHold
    );
    let fails = trials(&[MappingLock::None, MappingLock::Entry]);
    assert_eq!(verdict("C3", &evidence(&[], &fails)), Verdict::Holds);
    let dead_canary = trials_with(&[MappingLock::None], &[]);
    assert_eq!(
        verdict("C3", &evidence(&[], &dead_canary)),
        Verdict::NotDecided
    );
}

#[test]
fn the_whole_files_lock_is_judged_by_what_the_control_gains() {
    let cells = |control: (u64, u64), inode: (u64, u64)| -> Vec<Cell> {
        let none = Design::of_io(IoLock::None);
        let whole = Design::of_io(IoLock::Inode);
        let control = pair(Kind::Dwom, none, control.0, control.1);
        let whole = pair(Kind::Dwom, whole, inode.0, inode.1);
        control.into_iter().chain(whole).collect()
    };
    for (control, inode, expected) in [
        ((100, 200), (100, 100), Verdict::Holds),
        ((100, 200), (90, 180), Verdict::DoesNotHold),
        ((100, 120), (100, 60), Verdict::NotDecided),
    ] {
        let cells = cells(control, inode);
        let found = verdict("C4", &evidence(&cells, &[]));
        assert_eq!(found, expected, "{control:?} {inode:?}");
    }
}

#[test]
fn the_range_lock_can_win_and_lose() {
    let case = |faults: u64, writes: u64| -> Vec<Cell> {
        let fault = |lock, rate| cell_of(Kind::Dmwm, Design::of_mapping(lock), 2, &[rate; 5]);
        let write = |lock, rate| cell_of(Kind::Dwom, Design::of_io(lock), 2, &[rate; 5]);
        vec![
            fault(MappingLock::Range, faults),
            fault(MappingLock::Inode, 100),
            write(IoLock::Range, writes),
            write(IoLock::Inode, 100),
        ]
    };
    for (faults, writes, expected) in [
        (150, 190, Verdict::Holds),
        (100, 190, Verdict::Holds),
        (80, 190, Verdict::HoldsInPart),
        (80, 100, Verdict::DoesNotHold),
        (105, 98, Verdict::NotDecided),
    ] {
        let cells = case(faults, writes);
        let found = verdict("C5", &evidence(&cells, &[]));
        assert_eq!(found, expected, "{faults} {writes}");
    }
}

#[test]
fn the_bar_is_higher_where_the_control_gains() {
    let rows = |gain: u64, range: u64| {
        let design = Design::of_mapping;
        let mut cells: Vec<Cell> = pair(Kind::Dmfh, design(MappingLock::None), 100, gain).into();
        cells.extend(pair(Kind::Dmfh, design(MappingLock::Entry), 100, 100));
        cells.extend(pair(Kind::Dmfh, design(MappingLock::Range), 100, range));
        comparisons(&evidence(&cells, &[]))
    };
    for (gain, range, wanted, met) in [
        (190, 180, "at least 1.7", true),
        (190, 150, "at least 1.7", false),
        (150, 150, "at least 0.91", true),
        (150, 80, "at least 0.91", false),
    ] {
        let rows = rows(gain, range);
        let row = rows.iter().find(|row| row.threads == 2).expect("a row");
        assert_eq!(
            (row.wanted.as_str(), row.met),
            (wanted, Some(met)),
            "{gain} {range}"
        );
    }
}

fn footprint(lock: MappingLock, page_bytes: f64) -> Footprint {
    Footprint {
        mapping_lock: lock.to_string(),
        entry_sizes: "small".to_owned(),
        idle_bytes: 0,
        mapped_gib_bytes: 0,
        page_bytes,
        gib_entries: 0,
        read_gib_bytes: 0,
    }
}

#[test]
fn shared_entries_cost_too_much_if_they_are_large_or_slow() {
    for (bytes, rate, expected) in [
        (8.0, 100, Verdict::DoesNotHold),
        (17.0, 100, Verdict::Holds),
        (8.0, 80, Verdict::Holds),
    ] {
        let footprints = [
            footprint(MappingLock::Entry, 8.0),
            footprint(MappingLock::EntryRw, bytes),
        ];
        let fault = |lock, rate| cell_of(Kind::Dmfm, Design::of_mapping(lock), 1, &[rate; 5]);
        let cells = [
            fault(MappingLock::Entry, 100),
            fault(MappingLock::EntryRw, rate),
        ];
        let evidence = Evidence {
            footprints: &footprints,
            ..evidence(&cells, &[])
        };
        assert_eq!(verdict("C7", &evidence), expected, "{bytes} {rate}");
    }
}

#[test]
fn reader_writer_entries_win_nothing_unless_a_realistic_load_gains() {
    for (one_page, whole, expected) in [
        (100, 100, Verdict::Holds),
        (150, 100, Verdict::HoldsInPart),
        (100, 150, Verdict::DoesNotHold),
    ] {
        let cell =
            |workload, lock, rate| cell_of(workload, Design::of_mapping(lock), 2, &[rate; 5]);
        let cells = [
            cell(Kind::Dmfp, MappingLock::Entry, 100),
            cell(Kind::Dmfp, MappingLock::EntryRw, one_page),
            cell(Kind::Dwfm, MappingLock::Entry, 100),
            cell(Kind::Dwfm, MappingLock::EntryRw, whole),
        ];
        let found = verdict("C6", &evidence(&cells, &[]));
        assert_eq!(found, expected, "{one_page} {whole}");
    }
}

#[test]
fn unmapping_once_must_win_at_every_size() {
    let cells = |rates: [u64; 2]| {
        let mut cells = Vec::new();
        for (block_bytes, rate) in [64 << 10, 2 << 20].into_iter().zip(rates) {
            for lock in MappingLock::COHERENT {
                let once = Design::of_mapping(lock);
                for (design, rate) in [(once, rate), (once.unmapping(Unmapping::EachEntry), 100)] {
                    let mut cell = cell_of(Kind::Dwum, design, 1, &[rate; 5]);
                    cell.block_bytes = block_bytes;
                    cells.push(cell);
                }
            }
        }
        cells
    };
    for (rates, expected) in [
        ([150, 900], Verdict::Holds),
        ([100, 900], Verdict::HoldsInPart),
        ([100, 100], Verdict::DoesNotHold),
    ] {
        let found = verdict("C8", &evidence(&cells(rates), &[]));
        assert_eq!(found, expected, "{rates:?}");
    }
}

#[test]
fn a_lock_across_the_copy_serialises_if_it_loses_the_controls_gain() {
    for (segment, inode, expected) in [
        (100, 100, Verdict::Holds),
        (190, 100, Verdict::HoldsInPart),
        (190, 190, Verdict::DoesNotHold),
    ] {
        let cells: Vec<Cell> = [
            (IoLock::None, 200),
            (IoLock::Segment, segment),
            (IoLock::Inode, inode),
        ]
        .into_iter()
        .flat_map(|(lock, two)| pair(Kind::Dwoh, Design::of_io(lock), 100, two))
        .collect();
        let found = verdict("C9", &evidence(&cells, &[]));
        assert_eq!(found, expected, "{segment} {inode}");
    }
}
