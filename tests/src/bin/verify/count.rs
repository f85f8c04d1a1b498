//! Counts tests by what test runs print. Touches nothing.

use std::fmt;
use std::ops::AddAssign;

/// How cargo says that a step ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    Badly,
}

/// What a step, or all of them, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Whole steps that could not be run here; nobody knows how many tests they have.
    pub(crate) skipped: u64,
}

impl Count {
    pub(crate) const PASSED: Self = Self::new(1, 0, 0);
    pub(crate) const FAILED: Self = Self::new(0, 1, 0);
    pub(crate) const SKIPPED: Self = Self::new(0, 0, 1);

    const fn new(passed: u64, failed: u64, skipped: u64) -> Self {
        Self {
            passed,
            failed,
            skipped,
        }
    }

    /// The count of a run that has ended. One that failed without a failed test, or ran no test,
    /// counts as a failure.
    pub(crate) fn settled(mut self, status: Ended) -> Self {
        let is_bad = status == Ended::Badly || self.passed == 0;
        if self.failed == 0 && is_bad {
            self.failed = 1;
        }
        self
    }

    /// The numbers of a line like `test result: ok. 12 passed; 0 failed; 0 ignored; ...`.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let number = |what: &str| {
            let count = counts
                .split("; ")
                .find_map(|part| part.strip_suffix(what))?;
            count.trim().parse().ok()
        };
        Some(Self::new(number(" passed")?, number(" failed")?, 0))
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped != 0 {
            write!(formatter, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_test_runs_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; \
                    0 filtered out; finished in 0.10s";
        assert_eq!(Count::from_line(line), Some(Count::new(12, 3, 0)));
        let line = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out";
        assert_eq!(Count::from_line(line), Some(Count::new(1, 0, 0)));
        for other in [
            "",
            "test a ... ok",
            "test result: ",
            "test result: ok. many passed",
        ] {
            assert_eq!(Count::from_line(other), None, "{other}");
        }
    }

    #[test]
    fn the_last_line_is_the_sum() {
        let mut sum = Count::default();
        sum += Count::new(3, 0, 0);
        sum += Count::new(4, 0, 0);
        assert_eq!(sum.to_string(), "7 passed, 0 failed");
        sum += Count::FAILED;
        sum += Count::SKIPPED;
        assert_eq!(sum.to_string(), "7 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn a_run_that_fails_without_a_failed_test_is_a_failure() {
        let count = |passed, failed| Count::new(passed, failed, 0);
        assert_eq!(count(3, 0).settled(Ended::Well), count(3, 0));
        assert_eq!(count(3, 0).settled(Ended::Badly), count(3, 1));
        assert_eq!(count(0, 0).settled(Ended::Well), count(0, 1));
        assert_eq!(count(3, 2).settled(Ended::Badly), count(3, 2));
    }
}
