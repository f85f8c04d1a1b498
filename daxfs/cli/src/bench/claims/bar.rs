//! `range` against `entry`, and against a lock of 2 MiB held across the copy: the bar that this
//! project set itself, and the table of all ratios, wins and losses alike.
//!
//! Pure functions, no locks.

use daxfs::{IoLock, MappingLock};
use serde::Serialize;

use super::scaling::Outcome;
use crate::bench::cell::Ratio;
use crate::bench::design::Design;
use crate::bench::evidence::{Evidence, Subject};
use crate::bench::kind::{Varied, WorkloadKind as Kind};

/// How much faster `range` must be where threads are disjoint inside one 2 MiB...
const FASTER: f64 = 1.7;
/// ...wherever the control gains this much from a second thread.
const WHERE_CONTROL_GAINS: f64 = 1.8;
/// How much slower it may be anywhere else.
const NO_SLOWER: f64 = 1.1;
/// A lock that keeps so much of the control's gain leaves nothing to win.
const NOTHING_TO_WIN: f64 = 0.75;
/// What is said of such a row.
const LEAVES_NOTHING: &str = "the other lock loses nothing here: it is one for each entry, and the \
    threads want different ones";
/// Where threads are disjoint inside one 2 MiB.
const DISJOINT: [Kind; 3] = [Kind::Dwoh, Kind::Dmfh, Kind::Dmwh];

/// What the rule is, for the page.
pub(crate) const RULE: &str = "On disjoint 4 KiB writes and faults inside one 2 MiB (DWOH, DMFH, \
    DMWH), with two threads, `range` is to be at least 1.7 times as fast wherever the control \
    gains 1.8 from the second thread; everywhere else it is to be no more than 1.1 times slower.";

/// One row of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) subject: String,
    pub(crate) threads: usize,
    pub(crate) design: String,
    pub(crate) against: String,
    pub(crate) ratio: Ratio,
    pub(crate) outcome: &'static str,
    /// How much the control gains from one thread to these, where that was measured.
    pub(crate) control_gain: Option<f64>,
    /// What was asked of this row.
    pub(crate) wanted: String,
    /// Whether it was met, if there were enough slices to tell.
    pub(crate) met: Option<bool>,
    /// Why it could not be, where the run shows that.
    pub(crate) why_not: Option<&'static str>,
}

/// Every comparison that the run allows.
pub(crate) fn comparisons(evidence: &Evidence<'_>) -> Vec<Comparison> {
    let mut rows = Vec::new();
    for subject in evidence.subjects() {
        for threads in evidence.thread_counts() {
            for (design, against, varied) in pairs(subject) {
                let Some(ratio) = evidence.ratio(subject, threads, design, against) else {
                    continue;
                };
                let names = (design.name(varied), against.name(varied));
                let mut row = comparison(evidence, subject, threads, names, ratio);
                let is_far_off = row.met == Some(false) && row.wanted == at_least_faster();
                let kept = || evidence.kept_scaling(subject, threads, against);
                if is_far_off && kept().is_some_and(|kept| kept >= NOTHING_TO_WIN) {
                    row.why_not = Some(LEAVES_NOTHING);
                }
                rows.push(row);
            }
        }
    }
    rows
}

/// What `range` is held against: the entry lock, and among I/O locks those of 2 MiB and of the
/// whole file too.
fn pairs(subject: Subject) -> Vec<(Design, Design, Varied)> {
    let mapping = (
        Design::of_mapping(MappingLock::Range),
        Design::of_mapping(MappingLock::Entry),
        Varied::MappingLock,
    );
    let mut pairs = vec![mapping];
    if subject.workload.varies() == Varied::IoLock {
        let range = Design::of_io(IoLock::Range);
        pairs.push((range, Design::of_io(IoLock::Segment), Varied::IoLock));
        pairs.push((range, Design::of_io(IoLock::Inode), Varied::IoLock));
    }
    pairs
}

fn comparison(
    evidence: &Evidence<'_>,
    subject: Subject,
    threads: usize,
    (design, against): (String, String),
    ratio: Ratio,
) -> Comparison {
    let control_gain = match threads {
        1 => None,
        _ => evidence.control_scaling(subject, threads),
    };
    let must_win = DISJOINT.contains(&subject.workload)
        && threads == 2
        && is_the_lock_in_question(subject, &against)
        && control_gain.is_some_and(|gain| gain >= WHERE_CONTROL_GAINS);
    let (wanted, met) = match must_win {
        true => (at_least_faster(), ratio.median >= FASTER),
        false => (
            format!("at least {:.2}", 1.0 / NO_SLOWER),
            ratio.median >= 1.0 / NO_SLOWER || Outcome::of(ratio) != Outcome::Loss,
        ),
    };
    Comparison {
        subject: subject.to_string(),
        threads,
        design,
        against,
        ratio,
        outcome: Outcome::of(ratio).words(),
        control_gain,
        wanted,
        met: ratio.is_decisive().then_some(met),
        why_not: None,
    }
}

fn at_least_faster() -> String {
    format!("at least {FASTER}")
}

/// Writes are held against the lock of 2 MiB that an entry lock across the copy would be, faults
/// against the entry lock.
fn is_the_lock_in_question(subject: Subject, against: &str) -> bool {
    match subject.workload.varies() {
        Varied::IoLock => against == "io segment",
        Varied::MappingLock => true,
    }
}
