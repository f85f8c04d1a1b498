//! House rules that no compiler checks: length, width, headers, the direction of imports, where
//! unsafe code and system interfaces may be, dead files, leftovers.
//!
//! | Module | What it is for |
//! |---|---|
//! | `workspace` | finds the files |
//! | `code` | source text without comments and strings |
//! | `rules` | rules about one file at a time |
//! | `modules` | which file is which module, and which of them nobody names |
//! | `imports` | who may import whom |
//!
//! Each offence is printed as `file:line: what; why`. Each rule is also shown text that breaks it,
//! so that a rule that finds nothing is known to look.

mod code;
mod imports;
mod modules;
mod rules;
mod workspace;

use std::fmt;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offence {
    pub(crate) path: String,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) why: &'static str,
}

impl fmt::Display for Offence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}:{}: {}; {}",
            self.path, self.line, self.what, self.why
        )
    }
}

/// Fails with all offences, if there are any.
pub(crate) fn assert_none(offences: &[Offence]) {
    for offence in offences {
        println!("{offence}");
    }
    assert!(
        offences.is_empty(),
        "{} offences against the house rules",
        offences.len()
    );
}
