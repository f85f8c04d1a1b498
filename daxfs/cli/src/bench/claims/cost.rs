//! C7, C8: what designs cost. Pure functions, no locks.

use std::sync::RwLock;

use daxfs::{EntrySizes, MappingLock, Unmapping};

use super::scaling::{Outcome, list, not_decided, words};
use super::{Answer, Claim, Verdict};
use crate::bench::design::Design;
use crate::bench::evidence::Evidence;
use crate::bench::kind::WorkloadKind as Kind;
use crate::bench::memory::Footprint;

/// More memory than this beside D2's is too much.
const MEMORY_TIMES: f64 = 2.0;
const PAGE_BYTES: u64 = daxfs::PAGE_BYTES;

pub(super) const C7: Claim = Claim {
    id: "C7",
    words: "Reader/writer entries (D5) cost too much to maintain: as a tree of semaphores, since \
            the entry has no bits for them.",
    shown_false_by: "D5 in no more memory and time than D2.",
    experiment: "Bytes of lock state for each mapped page, and nanoseconds a read fault (DMFM, \
                 DMFH), of `entry-rw` beside `entry` and `range`.",
    command: "daxfs bench --workload DMFM,DMFH --mapping-lock entry,range,entry-rw",
    canary: "What a lock of its own for each page would take stands beside it (the standard \
             library's reader/writer lock, in a tree like that of the entries): it must be more.",
    rule: "Costs too much if it takes more than twice the memory of D2, or is more than 1.1 times \
           slower in a fault.",
    judge: shared_entries_cost_too_much,
};

pub(super) const C8: Claim = Claim {
    id: "C8",
    words: "After an invalidation, one unmap of the whole range beats unmapping entry by entry \
            (D6).",
    shown_false_by: "Large writes over mapped holes that are as fast entry by entry.",
    experiment: "One write over a hole every page of which is mapped, both ways, by size.",
    command: "daxfs bench --workload DWUM",
    canary: "The page-table operations of each write are counted: one, or one for each page.",
    rule: "Holds if unmapping once wins at every size above one page (more than 1.1 times as fast, \
           lower quartile above 1), in part if at some, does not if at none.",
    judge: unmapping_once_is_better,
};

// ---- C7 ---------------------------------------------------------------------------------------

fn shared_entries_cost_too_much(evidence: &Evidence<'_>) -> Answer {
    let footprint = |lock: MappingLock| {
        let (lock, sizes) = (lock.to_string(), EntrySizes::Small.to_string());
        let mut all = evidence.footprints.iter();
        all.find(|footprint| footprint.mapping_lock == lock && footprint.entry_sizes == sizes)
    };
    let (Some(shared), Some(entry)) = (
        footprint(MappingLock::EntryRw),
        footprint(MappingLock::Entry),
    ) else {
        return not_decided("What the designs take in memory was not measured.");
    };
    let mut numbers = Vec::new();
    for lock in MappingLock::COHERENT {
        let bytes = |found: &Footprint| format!("{:.1} bytes a mapped page", found.page_bytes);
        numbers.extend(footprint(lock).map(|found| format!("`{lock}`: {}", bytes(found))));
    }
    let one_each = entry.page_bytes + size_of::<RwLock<()>>() as f64;
    numbers.push(format!(
        "a reader/writer lock of its own for each page: {one_each:.1} bytes"
    ));
    let times = shared.page_bytes / entry.page_bytes;
    let mut slower = Vec::new();
    let mut faults = 0;
    for subject in evidence.subjects_of(&[Kind::Dmfl, Kind::Dmfm, Kind::Dmfh]) {
        let designs = [MappingLock::EntryRw, MappingLock::Entry].map(Design::of_mapping);
        let Some(ratio) = evidence.ratio(subject, 1, designs[0], designs[1]) else {
            continue;
        };
        let outcome = Outcome::of(ratio);
        faults += usize::from(outcome != Outcome::Undecided);
        numbers.push(format!("{subject}, one thread: {}", words(ratio, outcome)));
        if outcome == Outcome::Loss {
            slower.push(subject.to_string());
        }
    }
    if faults == 0 {
        return not_decided("Faults were not measured with one thread, or too shortly.");
    }
    let too_much = usize::from(times > MEMORY_TIMES) + slower.len();
    let verdict = match too_much {
        0 => Verdict::DoesNotHold,
        _ => Verdict::Holds,
    };
    Answer {
        verdict,
        sentence: format!(
            "Counting readers in the entry's own word takes {times:.2} times the memory of \
             `entry`, and is measurably slower in a fault in {}.",
            list(&slower)
        ),
        numbers,
    }
}

// ---- C8 ---------------------------------------------------------------------------------------

fn unmapping_once_is_better(evidence: &Evidence<'_>) -> Answer {
    let mut numbers = Vec::new();
    let (mut wins, mut others) = (0, 0);
    for subject in evidence.subjects() {
        if subject.workload != Kind::Dwum || subject.block_bytes <= PAGE_BYTES {
            continue;
        }
        for lock in MappingLock::COHERENT {
            for threads in evidence.thread_counts() {
                let once = Design::of_mapping(lock);
                let each = once.unmapping(Unmapping::EachEntry);
                let Some(ratio) = evidence.ratio(subject, threads, once, each) else {
                    continue;
                };
                let outcome = Outcome::of(ratio);
                match outcome {
                    Outcome::Win => wins += 1,
                    Outcome::Loss | Outcome::Alike => others += 1,
                    Outcome::Undecided => {}
                }
                let words = words(ratio, outcome);
                numbers.push(format!("{subject}, `{lock}`, threads {threads}: {words}"));
            }
        }
    }
    let verdict = Verdict::of_parts(wins, others);
    let sentence = match verdict {
        Verdict::NotDecided => "Writes larger than a page were not measured both ways, or too \
                                shortly."
            .to_owned(),
        _ => format!(
            "Unmapping once is faster in {wins} of {} comparisons by size and design.",
            wins + others
        ),
    };
    Answer {
        verdict,
        sentence,
        numbers,
    }
}
