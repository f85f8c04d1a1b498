//! What a lock tells about itself: who holds, who waits, and how often what happened.
//!
//! Plain data that a person or a program may read at leisure: nothing in here refers to the lock
//! any more. Touches nothing; takes no lock.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::mode::Mode;
use crate::span::Span;

/// What a request wants with its range.
///
/// # Examples
///
/// ```
/// use rangelock::Access;
///
/// assert_eq!(Access::Write.to_string(), "write");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Shared with other readers.
    Read,
    /// Alone.
    Write,
}

impl From<Mode> for Access {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Read => Self::Read,
            Mode::Write => Self::Write,
        }
    }
}

impl From<Access> for Mode {
    fn from(access: Access) -> Self {
        match access {
            Access::Read => Self::Read,
            Access::Write => Self::Write,
        }
    }
}

/// `read` or `write`.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// One request in a [`Snapshot`].
///
/// # Examples
///
/// ```
/// let lock = rangelock::RangeLock::new();
/// let guard = lock.write(0..4096);
/// let entry = &lock.snapshot().holders[0];
/// assert_eq!((entry.range.clone(), entry.to_string()), (0..=4095, "write 0..=4095".to_owned()));
/// # drop(guard);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Entry {
    /// The bytes; never empty.
    pub range: RangeInclusive<u64>,
    /// Shared or alone.
    pub access: Access,
}

impl Entry {
    pub(crate) fn new(span: Span, mode: Mode) -> Self {
        Self {
            range: span.into(),
            access: mode.into(),
        }
    }

    /// Whether the two exclude each other: they share a byte, and one of them writes.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// let _guards = (lock.read(0..10), lock.read(5..20));
    /// let held = lock.snapshot().holders;
    /// assert!(!held[0].conflicts_with(&held[1])); // otherwise one of them would wait
    /// ```
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.range.start() <= other.range.end()
            && other.range.start() <= self.range.end()
            && Mode::from(self.access).conflicts_with(other.access.into())
    }
}

/// For example `write 0..=4095`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}..={}",
            self.access,
            self.range.start(),
            self.range.end()
        )
    }
}

/// Who holds ranges of a lock and who waits for them.
///
/// Made by [`RangeLock::snapshot`](crate::RangeLock::snapshot). The lock is looked at part by part
/// while others go on using it, so a range that changes hands meanwhile may be missing, or be
/// listed as held and as waited for. It says what happened, not what is so now: use it to find out
/// why something hangs, never to decide whether a range may be used.
///
/// Prints as a table, which is meant for people and may change:
///
/// ```text
/// 2 held, 1 waiting
/// held     read   0..=4095      4 KiB
/// held     read   8192..=12287  4 KiB
/// waiting  write  0..=16383     16 KiB   behind 2 held: read 0..=4095, read 8192..=12287
/// ```
///
/// # Examples
///
/// ```
/// use rangelock::{Access, RangeLock};
///
/// let lock = RangeLock::new();
/// let _guard = lock.write(0..4096);
/// let snapshot = lock.snapshot();
/// assert_eq!(snapshot.holders[0].range, 0..=4095);
/// assert_eq!(snapshot.holders[0].access, Access::Write);
/// assert!(snapshot.to_string().starts_with("1 held, 0 waiting\n"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Requests that hold their range, by first byte.
    pub holders: Vec<Entry>,
    /// Requests that wait for theirs, by first byte.
    pub waiters: Vec<Entry>,
}

impl Snapshot {
    /// Puts both lists in order.
    pub(crate) fn new(mut holders: Vec<Entry>, mut waiters: Vec<Entry>) -> Self {
        let by_range = |entry: &Entry| (*entry.range.start(), *entry.range.end());
        // Equal ranges keep their order, which may be that of arrival.
        holders.sort_by_key(by_range);
        waiters.sort_by_key(by_range);
        Self { holders, waiters }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, waiting) = (self.holders.len(), self.waiters.len());
        write!(f, "{held} held, {waiting} waiting")?;
        let holders = self.holders.iter().map(|entry| ("held", entry));
        let waiters = self.waiters.iter().map(|entry| ("waiting", entry));
        let rows: Vec<_> = holders
            .chain(waiters)
            .map(|(how, entry)| Row::new(how, entry))
            .collect();
        let range_width = rows.iter().map(|row| row.range.len()).max().unwrap_or(0);
        let size_width = rows.iter().map(|row| row.size.len()).max().unwrap_or(0);
        for row in &rows {
            write!(f, "\n{:7}  {:5}  ", row.standing, row.entry.access)?;
            if row.standing == "held" {
                write!(f, "{:range_width$}  {}", row.range, row.size)?;
            } else {
                write!(f, "{:range_width$}  {:size_width$}  ", row.range, row.size)?;
                self.tell_what_is_in_the_way(row.entry, f)?;
            }
        }
        Ok(())
    }
}

impl Snapshot {
    fn tell_what_is_in_the_way(&self, waiter: &Entry, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A line should stay a line.
        const NAMED_AT_MOST: usize = 3;

        let mut in_the_way = self
            .holders
            .iter()
            .filter(|holder| waiter.conflicts_with(holder));
        let count = in_the_way.clone().count();
        if count == 0 {
            return f.write_str("behind others that wait");
        }
        write!(f, "behind {count} held: ")?;
        for (index, holder) in in_the_way.by_ref().take(NAMED_AT_MOST).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{holder}")?;
        }
        if count > NAMED_AT_MOST {
            write!(f, " and {} more", count - NAMED_AT_MOST)?;
        }
        Ok(())
    }
}

/// One line of a printed snapshot.
struct Row<'snapshot> {
    standing: &'static str,
    entry: &'snapshot Entry,
    range: String,
    size: String,
}

impl<'snapshot> Row<'snapshot> {
    fn new(standing: &'static str, entry: &'snapshot Entry) -> Self {
        let (first, last) = (*entry.range.start(), *entry.range.end());
        Self {
            standing,
            entry,
            range: format!("{first}..={last}"),
            size: size(u128::from(last) - u128::from(first) + 1),
        }
    }
}

/// In the largest unit that gives a whole number. All 2^64 bytes are 16 EiB.
fn size(bytes: u128) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let thousands = (bytes.trailing_zeros() / 10).min(6);
    match thousands.checked_sub(1) {
        None => format!("{bytes} B"),
        Some(unit) => format!("{} {}", bytes >> (10 * thousands), UNITS[unit as usize]),
    }
}

/// How often what happened to a lock since it was made.
///
/// Made by [`RangeLock::counters`](crate::RangeLock::counters). Each number is exact, but they are
/// read one after the other, so they need not fit together while the lock is in use.
///
/// # Examples
///
/// ```
/// let lock = rangelock::RangeLock::new();
/// let counters = lock.counters();
/// assert_eq!(counters.waits, 0);
/// println!("{counters}");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Ranges that were granted, each of several that were asked for at once, and none for a
    /// request without a byte. What a guard becomes later ([`split_at`](crate::ReadGuard::split_at)
    /// and the like) is no grant.
    ///
    /// With the feature `grant_counter` only: to count these costs every lock one more atomic
    /// operation, and the lock a kilobyte.
    #[cfg(feature = "grant_counter")]
    pub grants: u64,
    /// Requests that took the lock's mutex on their way in.
    pub slow_paths: u64,
    /// Requests that had to wait for a range.
    pub waits: u64,
    /// The longest time for which a request waited.
    pub longest_wait: Duration,
}

impl Counters {
    pub(crate) fn new(slow_paths: u64, waits: u64, longest_wait: Duration) -> Self {
        Self {
            #[cfg(feature = "grant_counter")]
            grants: 0,
            slow_paths,
            waits,
            longest_wait,
        }
    }
}

#[cfg(all(not(any(loom, shuttle)), feature = "grant_counter"))]
impl Counters {
    pub(crate) fn with_grants(self, grants: u64) -> Self {
        Self { grants, ..self }
    }
}

/// For example `slow paths 40, waits 3, longest wait 1.5ms`; with the feature `grant_counter`, with
/// `grants 7000, ` before it.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "grant_counter")]
        write!(f, "grants {}, ", self.grants)?;
        write!(f, "slow paths {}, waits {}", self.slow_paths, self.waits)?;
        write!(f, ", longest wait {:?}", self.longest_wait)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn entry(mode: Mode, first: u64, last: u64) -> Entry {
        Entry::new(Span { first, last }, mode)
    }

    #[test]
    fn a_snapshot_prints_as_a_table_of_who_is_behind_whom() {
        let snapshot = Snapshot::new(
            vec![
                entry(Mode::Read, 8192, 12287),
                entry(Mode::Read, 0, 4095),
                entry(Mode::Write, u64::MAX, u64::MAX),
            ],
            vec![entry(Mode::Write, 0, 16383), entry(Mode::Read, 0, 99)],
        );
        assert_eq!(
            snapshot.to_string(),
            "\
3 held, 2 waiting
held     read   0..=4095                                     4 KiB
held     read   8192..=12287                                 4 KiB
held     write  18446744073709551615..=18446744073709551615  1 B
waiting  read   0..=99                                       100 B   behind others that wait
waiting  write  0..=16383                                    16 KiB  \
behind 2 held: read 0..=4095, read 8192..=12287"
        );
    }

    #[test]
    fn a_snapshot_of_an_idle_lock_is_one_line() {
        assert_eq!(Snapshot::default().to_string(), "0 held, 0 waiting");
    }

    #[test]
    fn no_more_than_three_holders_are_named_in_a_line() {
        let holders = (0..5)
            .map(|index| entry(Mode::Read, index, index))
            .collect();
        let snapshot = Snapshot::new(holders, vec![entry(Mode::Write, 0, u64::MAX)]);
        let table = snapshot.to_string();
        assert_eq!(
            table.lines().last(),
            Some(
                "waiting  write  0..=18446744073709551615  16 EiB  \
behind 5 held: read 0..=0, read 1..=1, read 2..=2 and 2 more"
            )
        );
    }

    #[test]
    fn entries_conflict_if_they_share_a_byte_and_one_writes() {
        let cases = [
            (Mode::Read, Mode::Read, 9, false),
            (Mode::Read, Mode::Write, 9, true),
            (Mode::Write, Mode::Read, 9, true),
            (Mode::Write, Mode::Write, 9, true),
            (Mode::Write, Mode::Write, 10, false),
        ];
        for (mode, other_mode, first, conflict) in cases {
            let (one, other) = (entry(mode, 0, 9), entry(other_mode, first, 20));
            assert_eq!(one.conflicts_with(&other), conflict, "{one} and {other}");
            assert_eq!(other.conflicts_with(&one), conflict, "{other} and {one}");
        }
    }

    #[test]
    fn sizes_are_whole_numbers_of_the_largest_unit() {
        let sizes = [
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1536 B"),
            (3 << 20, "3 MiB"),
            ((1 << 20) + 1024, "1025 KiB"),
            (1 << 64, "16 EiB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn access_is_named_padded_and_turned_into_a_mode_and_back() {
        for (access, name) in [(Access::Read, "read"), (Access::Write, "write")] {
            assert_eq!(access.to_string(), name);
            assert_eq!(format!("{access:>6}"), format!("{name:>6}"));
            assert_eq!(Access::from(Mode::from(access)), access);
        }
    }

    #[test]
    fn counters_print_what_was_counted() {
        let longest_wait = Duration::from_micros(1500);
        let counters = Counters::new(40, 3, longest_wait);
        let grants = if cfg!(feature = "grant_counter") {
            "grants 0, "
        } else {
            ""
        };
        assert_eq!(
            counters.to_string(),
            format!("{grants}slow paths 40, waits 3, longest wait 1.5ms")
        );
    }
}
