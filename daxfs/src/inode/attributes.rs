//! What can be known of an inode besides its content, and times as the format has them.
//!
//! Plain values: touches nothing, takes no locks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::format::Timestamp;

/// What can be known of an inode besides its content, length and links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permission bits, at most `07777`.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) accessed: SystemTime,
    pub(crate) modified: SystemTime,
    pub(crate) changed: SystemTime,
    pub(crate) created: SystemTime,
}

impl Attributes {
    /// Those of an inode that was made at `time`.
    pub(crate) fn new(mode: u16, uid: u32, gid: u32, time: Timestamp) -> Self {
        let time = from_timestamp(time);
        Self {
            mode,
            uid,
            gid,
            accessed: time,
            modified: time,
            changed: time,
            created: time,
        }
    }
}

/// The time now, as the format has it.
pub(crate) fn now() -> Timestamp {
    to_timestamp(SystemTime::now())
}

pub(crate) fn to_timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp {
            seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: after.subsec_nanos(),
        },
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => Timestamp {
                    seconds: -seconds,
                    nanoseconds: 0,
                },
                nanoseconds => Timestamp {
                    seconds: -seconds - 1,
                    nanoseconds: 1_000_000_000 - nanoseconds,
                },
            }
        }
    }
}

pub(crate) fn from_timestamp(stored: Timestamp) -> SystemTime {
    let whole = Duration::from_secs(stored.seconds.unsigned_abs());
    let base = match stored.seconds {
        0.. => UNIX_EPOCH.checked_add(whole),
        _ => UNIX_EPOCH.checked_sub(whole),
    };
    let nanoseconds = Duration::from_nanos(u64::from(stored.nanoseconds));
    base.and_then(|time| time.checked_add(nanoseconds))
        .unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_1970_come_back_exactly() {
        for nanoseconds in [-1_500_000_001i64, -1_000_000_000, -1, 0, 1, 1_500_000_001] {
            let offset = Duration::from_nanos(nanoseconds.unsigned_abs());
            let time = if nanoseconds < 0 {
                UNIX_EPOCH - offset
            } else {
                UNIX_EPOCH + offset
            };
            assert_eq!(from_timestamp(to_timestamp(time)), time);
        }
        for seconds in [i64::MIN, i64::MAX] {
            let stored = Timestamp {
                seconds,
                nanoseconds: 999_999_999,
            };
            // What no clock of this system can show becomes 1970; what one can comes back.
            let time = from_timestamp(stored);
            assert!(
                time == UNIX_EPOCH || to_timestamp(time) == stored,
                "{seconds}"
            );
        }
    }
}
