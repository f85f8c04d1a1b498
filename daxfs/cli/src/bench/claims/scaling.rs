//! C4, C5, C6, C9: how fast designs are beside each other. Pure functions, no locks.

use daxfs::{IoLock, MappingLock};

use super::{Answer, Claim, Verdict};
use crate::bench::cell::Ratio;
use crate::bench::design::Design;
use crate::bench::evidence::{Evidence, Subject};
use crate::bench::kind::{Varied, WorkloadKind as Kind};

/// A design keeps too little of the control's scaling below this.
const POOR: f64 = 0.75;
/// Where the control gains less than this from one thread to n, there is nothing to lose:
/// 1.4 for two threads.
const CONTROL_GAIN_PER_THREAD: f64 = 0.4;
/// Closer than this is alike.
const ALIKE: f64 = 1.1;

/// Faults and writes of one file, by threads that do not touch each other's pages.
const SHARED_FILE: [Kind; 6] = [
    Kind::Dmfm,
    Kind::Dmfh,
    Kind::Dmwm,
    Kind::Dmwh,
    Kind::Dwom,
    Kind::Dwoh,
];

pub(super) const C4: Claim = Claim {
    id: "C4",
    words: "One lock for the whole file in write faults and writes (D3) scales poorly.",
    shown_false_by: "A shared file on which the lock-free control gains from more threads, and D3 \
                     gains as much.",
    experiment: "DMFM, DMFH, DMWM, DMWH under mapping lock `inode`, DWOM, DWOH under I/O lock \
                 `inode`, each in turns with the control (`none`), with one thread and with as \
                 many as there are cores.",
    command: "daxfs bench --workload DMFM,DMFH,DMWM,DMWH,DWOM,DWOH \
              --page-tables process,software",
    canary: "The control must gain from the threads, or the workload counts for nothing.",
    rule: "A workload counts where the control gains at least 0.4 for each thread after the first. \
           D3 scales poorly there if it keeps less than 0.75 of the control's gain. Holds if it \
           does wherever a workload counts, in part if in some, does not if in none.",
    judge: whole_file_scales_poorly,
};

pub(super) const C5: Claim = Claim {
    id: "C5",
    words: "A range lock in place of the whole file's (D4) is not as bad.",
    shown_false_by: "Shared-file workloads in which D4 is not faster than D3, or slower.",
    experiment: "The workloads of C4, `range` in turns with `inode`, as many threads as cores.",
    command: "daxfs bench --workload DMFM,DMFH,DMWM,DMWH,DWOM,DWOH \
              --page-tables process,software",
    canary: "The same ratio of a design to itself is 1: ratios are medians of paired slices, and \
             differences below 1.1 count for nothing.",
    rule: "`range` wins a workload if it is more than 1.1 times as fast and the lower quartile is \
           above 1; it loses it the other way round. Holds if it wins some and loses none, in part \
           if both, does not if it loses some and wins none.",
    judge: range_is_not_as_bad,
};

pub(super) const C6: Claim = Claim {
    id: "C6",
    words: "Reader/writer entry locks (D5) bring no measurable win for realistic loads.",
    shown_false_by: "A workload in which D5 is measurably faster than D2.",
    experiment: "`entry-rw` in turns with `entry`: on racing faults of one mapped page (DMFP), \
                 where readers would meet, and on every other workload.",
    command: "daxfs bench --workload DMFP,DMFH,DMFM,DWFM --mapping-lock entry,entry-rw",
    canary: "DMFP is made to show the win, should there be one: all threads fault one page.",
    rule: "A win is more than 1.1 times the speed with the lower quartile above 1, with as many \
           threads as cores. Holds if there is none; in part if only DMFP, which is no realistic \
           load, shows one; else it does not.",
    judge: shared_entries_bring_nothing,
};

pub(super) const C9: Claim = Claim {
    id: "C9",
    words: "An entry lock held across the copy would serialise a whole 2 MiB; but the inode's lock \
            serialises writes anyway.",
    shown_false_by: "Disjoint 4 KiB writes inside one 2 MiB that run side by side under one of the \
                     two.",
    experiment: "DWOH: every thread overwrites its own 4 KiB of one 2 MiB, under I/O lock \
                 `segment` (one lock for each 2 MiB, held across the copy), `inode`, `range` and \
                 `none`.",
    command: "daxfs bench --workload DWOH",
    canary: "The control must gain from the threads.",
    rule: "Counts where the control gains at least 0.4 for each thread after the first. A lock \
           serialises if it keeps less than 0.75 of that gain. Holds if both do, in part if one \
           does, does not if neither does.",
    judge: entry_lock_across_io,
};

// ---- C4 ---------------------------------------------------------------------------------------

fn whole_file_scales_poorly(evidence: &Evidence<'_>) -> Answer {
    let Some(threads) = evidence.parallel_threads() else {
        return one_core();
    };
    let mut numbers = Vec::new();
    let (mut poor, mut fine) = (Vec::new(), Vec::new());
    for subject in evidence.subjects_of(&SHARED_FILE) {
        let Some(kept) = Kept::of(evidence, subject, threads, subject.whole_file()) else {
            continue;
        };
        numbers.push(format!("{subject}: {}", kept.words("inode")));
        match kept.verdict() {
            Some(Scales::Poorly) => poor.push(subject.to_string()),
            Some(Scales::Well) => fine.push(subject.to_string()),
            None => {}
        }
    }
    let verdict = Verdict::of_parts(poor.len(), fine.len());
    let sentence = match verdict {
        Verdict::NotDecided => "In no workload does even the control gain from more threads, or \
                                the run is too short to tell."
            .to_owned(),
        _ => format!(
            "With {threads} threads the whole file's lock loses what the control gains in {}; it \
             keeps it in {}.",
            list(&poor),
            list(&fine)
        ),
    };
    Answer {
        verdict,
        sentence,
        numbers,
    }
}

/// How much of the control's gain a design keeps.
struct Kept {
    decisive: bool,
    threads: usize,
    control_gain: f64,
    kept: f64,
}

enum Scales {
    Poorly,
    Well,
}

impl Kept {
    fn of(
        evidence: &Evidence<'_>,
        subject: Subject,
        threads: usize,
        design: Design,
    ) -> Option<Self> {
        let ratio = evidence.ratio(subject, threads, design, subject.control())?;
        Some(Self {
            decisive: ratio.is_decisive(),
            threads,
            control_gain: evidence.control_scaling(subject, threads)?,
            kept: evidence.kept_scaling(subject, threads, design)?,
        })
    }

    fn verdict(&self) -> Option<Scales> {
        let least = 1.0 + CONTROL_GAIN_PER_THREAD * (self.threads - 1) as f64;
        if self.control_gain < least || !self.decisive {
            return None;
        }
        Some(match self.kept < POOR {
            true => Scales::Poorly,
            false => Scales::Well,
        })
    }

    fn words(&self, design: &str) -> String {
        let counts = match self.verdict() {
            None => "does not count",
            Some(Scales::Poorly) => "scales poorly",
            Some(Scales::Well) => "scales",
        };
        format!(
            "control x{:.2} from 1 to {} threads, `{design}` keeps {:.2} of it: {counts}",
            self.control_gain, self.threads, self.kept
        )
    }
}

// ---- C5 and C6 --------------------------------------------------------------------------------

/// Which of two is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Win,
    Loss,
    Alike,
    /// Too few slices to tell.
    Undecided,
}

impl Outcome {
    pub(super) fn of(ratio: Ratio) -> Self {
        if !ratio.is_decisive() {
            Self::Undecided
        } else if ratio.median > ALIKE && ratio.low > 1.0 {
            Self::Win
        } else if ratio.median < 1.0 / ALIKE && ratio.high < 1.0 {
            Self::Loss
        } else {
            Self::Alike
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Win => "win",
            Self::Loss => "loss",
            Self::Alike => "alike",
            Self::Undecided => "too few slices to tell",
        }
    }
}

fn range_is_not_as_bad(evidence: &Evidence<'_>) -> Answer {
    let Some(threads) = evidence.parallel_threads() else {
        return one_core();
    };
    let mut numbers = Vec::new();
    let (mut wins, mut losses) = (Vec::new(), Vec::new());
    for subject in evidence.subjects_of(&SHARED_FILE) {
        let range = match subject.workload.varies() {
            Varied::IoLock => Design::of_io(IoLock::Range),
            Varied::MappingLock => Design::of_mapping(MappingLock::Range),
        };
        let Some(ratio) = evidence.ratio(subject, threads, range, subject.whole_file()) else {
            continue;
        };
        let outcome = Outcome::of(ratio);
        numbers.push(format!("{subject}: {}", words(ratio, outcome)));
        match outcome {
            Outcome::Win => wins.push(subject.to_string()),
            Outcome::Loss => losses.push(subject.to_string()),
            Outcome::Alike | Outcome::Undecided => {}
        }
    }
    let verdict = Verdict::of_parts(wins.len(), losses.len());
    let sentence = match verdict {
        Verdict::NotDecided => "The two are alike in every workload of this run, or it is too \
                                short to tell."
            .to_owned(),
        _ => format!(
            "With {threads} threads `range` is faster than `inode` in {}, slower in {}.",
            list(&wins),
            list(&losses)
        ),
    };
    Answer {
        verdict,
        sentence,
        numbers,
    }
}

fn shared_entries_bring_nothing(evidence: &Evidence<'_>) -> Answer {
    let Some(threads) = evidence.parallel_threads() else {
        return one_core();
    };
    let mut numbers = Vec::new();
    let (mut wins, mut losses, mut measured) = (Vec::new(), Vec::new(), 0);
    for subject in evidence.subjects_of(&Kind::ALL) {
        let (shared, entry) = (
            Design::of_mapping(MappingLock::EntryRw),
            Design::of_mapping(MappingLock::Entry),
        );
        let Some(ratio) = evidence.ratio(subject, threads, shared, entry) else {
            continue;
        };
        let outcome = Outcome::of(ratio);
        measured += usize::from(outcome != Outcome::Undecided);
        numbers.push(format!("{subject}: {}", words(ratio, outcome)));
        match outcome {
            Outcome::Win => wins.push(subject),
            Outcome::Loss => losses.push(subject.to_string()),
            Outcome::Alike | Outcome::Undecided => {}
        }
    }
    if measured == 0 {
        return not_decided("The two designs were not measured side by side, or too shortly.");
    }
    let realistic = wins.iter().any(|subject| subject.workload != Kind::Dmfp);
    let verdict = match (wins.is_empty(), realistic) {
        (true, _) => Verdict::Holds,
        (false, false) => Verdict::HoldsInPart,
        (false, true) => Verdict::DoesNotHold,
    };
    let wins: Vec<String> = wins.iter().map(Subject::to_string).collect();
    Answer {
        verdict,
        sentence: format!(
            "With {threads} threads `entry-rw` is measurably faster than `entry` in {} and slower \
             in {}, of {measured} workloads.",
            list(&wins),
            list(&losses)
        ),
        numbers,
    }
}

// ---- C9 ---------------------------------------------------------------------------------------

fn entry_lock_across_io(evidence: &Evidence<'_>) -> Answer {
    let Some(threads) = evidence.parallel_threads() else {
        return one_core();
    };
    let subjects = evidence.subjects_of(&[Kind::Dwoh]);
    let kept = |lock: IoLock| {
        let subject = *subjects.first()?;
        Kept::of(evidence, subject, threads, Design::of_io(lock))
    };
    let (Some(of_segment), Some(of_inode)) = (kept(IoLock::Segment), kept(IoLock::Inode)) else {
        return not_decided("DWOH was not measured with one thread and with more.");
    };
    let mut numbers = vec![of_segment.words("segment"), of_inode.words("inode")];
    numbers.extend(kept(IoLock::Range).map(|kept| kept.words("range")));
    let parts = [of_segment.verdict(), of_inode.verdict()];
    let count = |wanted: fn(&Scales) -> bool| {
        let decided = parts.iter().flatten();
        decided.filter(|scales| wanted(scales)).count()
    };
    let poorly = count(|scales| matches!(scales, Scales::Poorly));
    let well = count(|scales| matches!(scales, Scales::Well));
    let verdict = Verdict::of_parts(poorly, well);
    let sentence = match verdict {
        Verdict::NotDecided => "Even the control does not gain from more threads, or the run is \
                                too short to tell."
            .to_owned(),
        _ => format!(
            "With {threads} threads a lock of 2 MiB held across the copy keeps {:.2} of what the \
             control gains, the inode's lock {:.2}.",
            of_segment.kept, of_inode.kept
        ),
    };
    Answer {
        verdict,
        sentence,
        numbers,
    }
}

// ---- Words ------------------------------------------------------------------------------------

pub(super) fn words(ratio: Ratio, outcome: Outcome) -> String {
    let Ratio {
        median, low, high, ..
    } = ratio;
    let outcome = outcome.words();
    format!("x{median:.2} (quartiles {low:.2} to {high:.2}): {outcome}")
}

pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join("; "),
    }
}

fn one_core() -> Answer {
    not_decided("No two threads had a core each.")
}

pub(super) fn not_decided(why: &str) -> Answer {
    Answer {
        verdict: Verdict::NotDecided,
        sentence: why.to_owned(),
        numbers: Vec::new(),
    }
}
