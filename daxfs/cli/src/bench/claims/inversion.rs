//! C10: what a full log shows about the order of two locks. Pure functions, no locks.

use super::{Answer, Claim, Verdict};
use crate::bench::evidence::Evidence;
use crate::bench::full_log::{Ending, FullLogTrial, LockOrder};

pub(super) const C10: Claim = Claim {
    id: "C10",
    words: "Taking the entry lock before the look-up inverts with the start of a transaction, \
            which may wait for room in the log.",
    shown_false_by: "A run with a full log that takes the locks in the wrong order and does not \
                     deadlock.",
    experiment: "Two stores into one page of a hole under `entry` (D2), and a log with room for \
                 one transaction. The first is held with its entry locked until the second waits \
                 for it. Once with the transaction begun before the entry lock, as here, and once \
                 after it.",
    command: "daxfs bench --report DIR; and where builds check the order of locks: cargo test \
              -p daxfs-cli full_log; cargo test -p daxfs lock_order",
    canary: "The wrong order must deadlock; in builds that check the order of locks it must be \
             reported before, with both places.",
    rule: "Holds if the wrong order ends in a deadlock, or in a report of the check, after the \
           second came to wait, and ours comes to its end. Does not if the wrong order comes to \
           its end. Else not decided.",
    judge: inverts,
};

fn inverts(evidence: &Evidence<'_>) -> Answer {
    let of = |order| {
        let mut trials = evidence.full_log.iter();
        trials.find(|trial: &&FullLogTrial| trial.order == order)
    };
    let numbers = evidence.full_log.iter().map(in_words).collect();
    let (verdict, sentence) = match (of(LockOrder::Ours), of(LockOrder::Wrong)) {
        (Some(ours), Some(wrong)) => judge(ours, wrong),
        _ => (Verdict::NotDecided, "Neither order was tried."),
    };
    Answer {
        verdict,
        sentence: sentence.to_owned(),
        numbers,
    }
}

fn judge(ours: &FullLogTrial, wrong: &FullLogTrial) -> (Verdict, &'static str) {
    match (ours.ending, wrong.ending) {
        (Ending::Finished, Ending::Deadlocked) if wrong.second_waited => (
            Verdict::Holds,
            "With the entry lock taken first, the two stop for ever: the one waits for room in \
             the log, which waits for the other's transaction, which waits for the entry. With \
             the transaction begun first, both come to their end.",
        ),
        (Ending::Finished, Ending::Reported) => (
            Verdict::Holds,
            "With the entry lock taken first, the lock-order check reports both places before \
             anybody stops. With the transaction begun first, both come to their end.",
        ),
        (_, Ending::Finished) => (
            Verdict::DoesNotHold,
            "With the entry lock taken first, both come to their end all the same.",
        ),
        _ => (
            Verdict::NotDecided,
            "The experiment is broken: our order stopped, or nobody waited for the entry.",
        ),
    }
}

fn in_words(trial: &FullLogTrial) -> String {
    let order = match trial.order {
        LockOrder::Ours => "transaction, then entry",
        LockOrder::Wrong => "entry, then transaction",
    };
    let ending = match trial.ending {
        Ending::Finished => "both finished",
        Ending::Deadlocked => "deadlocked",
        Ending::Reported => "reported by the lock-order check",
    };
    let waited = match trial.second_waited {
        true => "waited",
        false => "did not wait",
    };
    format!("{order}: {ending}; the second {waited} for the entry")
}
