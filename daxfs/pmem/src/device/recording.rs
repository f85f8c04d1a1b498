//! A device that writes down what is done to it, for tests of what a crash may leave.
//!
//! To the code above it is memory with the hardware back end: the same flushes, the same fences,
//! the same tokens. What the hardware was asked to do can then be read, event by event, and every
//! image be built that a power failure could have left.
//!
//! Seen are all stores that go through a [`Device`] or a [`SoftwarePageTable`]. Stores of a program
//! through a [`ProcessPageTable`] are machine instructions that nobody hears of: they are seen when
//! [`Device::flush_range`] flushes their lines, as if they had been made at that moment.
//!
//! # Locking
//! The recorder's mutex, innermost; it is never held while a handler runs or a caller's buffer is
//! touched.
//!
//! [`SoftwarePageTable`]: crate::SoftwarePageTable
//! [`ProcessPageTable`]: crate::ProcessPageTable

use std::sync::Arc;

use super::{ByteRange, Device, DeviceError, PersistenceChoice};
use crate::persistence::{Action, Engine, Event, Mark, Persistence, Recorder, Target};

/// What was done to a device that [`Device::create_recording`] made. Clones are handles of the same
/// recording.
#[derive(Clone, Debug)]
pub struct Recording {
    recorder: Arc<Recorder>,
}

impl Recording {
    /// Puts a mark between what was done to the device before and what is done after.
    pub fn mark(&self, mark: Mark) {
        self.recorder.note(Action::Mark(mark));
    }

    /// Takes the events since the device was made or they were last taken, in their order.
    ///
    /// Take them while nothing is in flight: a fence drains what its thread flushed before, and
    /// that would be in another list.
    #[must_use]
    pub fn take(&self) -> Vec<Event> {
        self.recorder.take()
    }
}

impl Device {
    /// Creates a device of anonymous memory that records what is done to it, as
    /// [`Persistence::Hardware`] would do it. For tests: it is slow, and never forgets.
    ///
    /// ```
    /// use daxfs_pmem::{Action, Device, Mark, Moment};
    ///
    /// let (device, recording) = Device::create_recording(1 << 20)?;
    /// recording.mark(Mark { operation: 0, moment: Moment::Begins });
    /// let dirty = device.store(64, b"a record")?;
    /// device.fence(device.flush(dirty))?;
    ///
    /// let actions: Vec<_> = recording.take().into_iter().map(|event| event.action).collect();
    /// assert!(matches!(actions[0], Action::Mark(Mark { operation: 0, .. })));
    /// assert!(matches!(actions[1], Action::Store { offset_bytes: 64, .. }));
    /// assert!(matches!(actions[2], Action::Flush { offset_bytes: 64, .. }));
    /// assert_eq!(actions[3], Action::Fence);
    /// # Ok::<(), daxfs_pmem::DeviceError>(())
    /// ```
    ///
    /// # Errors
    /// [`DeviceError::BadLength`] below one page, or what the kernel says.
    pub fn create_recording(len_bytes: u64) -> Result<(Self, Recording), DeviceError> {
        let choice = PersistenceChoice::Use(Persistence::Volatile);
        let mut device = Self::create_memfd(len_bytes, choice)?;
        let recorder = Arc::new(Recorder::default());
        device.engine = Engine::Recorded;
        device.recorder = Some(Arc::clone(&recorder));
        Ok((device, Recording { recorder }))
    }

    /// Where a checked range is, as the recorder wants to know it.
    pub(super) fn target(&self, range: ByteRange) -> Target {
        Target {
            offset_bytes: range.offset_bytes,
            address: self.address(range),
            len_bytes: range.len_bytes as usize,
        }
    }
}
