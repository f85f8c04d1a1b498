//! A lock as `{:?}` shows it. Takes the lock's own mutex.

use std::fmt;

use super::RangeLock;
use crate::tree::Census;

/// Shows how many ranges are granted and how many requests wait. Takes the lock's own mutex, so it
/// may not be called from within a signal handler that interrupted a lock operation.
impl fmt::Debug for RangeLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Census { granted, waiting } = self.layers.census();
        f.debug_struct("RangeLock")
            .field("granted", &granted)
            .field("waiting", &waiting)
            .finish()
    }
}
