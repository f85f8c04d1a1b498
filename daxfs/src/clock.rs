//! The clock, as superblocks have it: for people, and for nothing that anybody decides by.
//!
//! Touches nothing but the system's clock; takes no locks.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the start of 1970; 0 on a clock before that.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
