//! The claims of the thread of April 2017, and how a run answers them.
//!
//! Each claim has its words, what would show it false, an experiment, a command that repeats it,
//! and a rule. The rule is code, and is printed beside the answer: the answer follows from the
//! numbers of the run and can come out either way.
//!
//! | Module | Claims |
//! |---|---|
//! | [`races`] | C1 to C3: what the forced races showed |
//! | [`scaling`] | C4, C5, C6, C9: how fast designs are beside each other |
//! | [`cost`] | C7, C8: what designs cost |
//! | [`inversion`] | C10: what a full log shows |
//! | [`bar`] | `range` against `entry`: the bar that this project set itself |
//!
//! Pure functions of [`Evidence`]: touches nothing, takes no locks.

pub(crate) mod bar;
mod cost;
mod inversion;
mod races;
mod scaling;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::evidence::Evidence;

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// By its rule it is so.
    Holds,
    /// In some of the places where it was put to the test.
    HoldsInPart,
    /// By its rule it is not so.
    DoesNotHold,
    /// This run cannot tell; the answer says why.
    NotDecided,
}

impl Verdict {
    /// The words on the page.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::HoldsInPart => "holds in part",
            Self::DoesNotHold => "does not hold",
            Self::NotDecided => "not decided by this run",
        }
    }

    /// Holds where all do, does not where none does.
    fn of_parts(for_it: usize, against_it: usize) -> Self {
        match (for_it, against_it) {
            (0, 0) => Self::NotDecided,
            (_, 0) => Self::Holds,
            (0, _) => Self::DoesNotHold,
            _ => Self::HoldsInPart,
        }
    }
}

/// The answer of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// What the verdict means, in a sentence.
    pub(crate) sentence: String,
    /// The numbers that it follows from.
    pub(crate) numbers: Vec<String>,
}

/// A claim of the thread, and how it is put to the test.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Claim {
    pub(crate) id: &'static str,
    pub(crate) words: &'static str,
    pub(crate) shown_false_by: &'static str,
    pub(crate) experiment: &'static str,
    pub(crate) command: &'static str,
    pub(crate) canary: &'static str,
    pub(crate) rule: &'static str,
    #[serde(skip)]
    judge: fn(&Evidence<'_>) -> Answer,
}

/// All ten, in the thread's order.
pub(crate) const CLAIMS: [Claim; 10] = [
    races::C1,
    races::C2,
    races::C3,
    scaling::C4,
    scaling::C5,
    scaling::C6,
    cost::C7,
    cost::C8,
    scaling::C9,
    inversion::C10,
];

/// A claim with its answer.
#[derive(Serialize)]
pub(crate) struct Answered {
    #[serde(flatten)]
    pub(crate) claim: Claim,
    #[serde(flatten)]
    pub(crate) answer: Answer,
}

/// Answers every claim.
pub(crate) fn answer_all(evidence: &Evidence<'_>) -> Vec<Answered> {
    CLAIMS
        .into_iter()
        .map(|claim| Answered {
            claim,
            answer: (claim.judge)(evidence),
        })
        .collect()
}
