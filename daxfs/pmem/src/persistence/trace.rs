//! What a recorded device was asked to do, event by event: plain values.
//!
//! The events are those of the hardware, not of this crate's methods: a bulk copy is recorded as
//! the streaming stores of its whole lines and the cached, flushed stores of its edges. Touches
//! nothing. Takes no locks.

/// One thing that a thread did to a device, in the one order of all threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who did it: a fence waits only for what its own thread flushed or streamed.
    pub thread: ThreadNumber,
    /// What was done.
    pub action: Action,
}

/// The kernel's number of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadNumber(pub u32);

/// What can be done to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Bytes went into the cache: they become durable at any time, or when they are flushed and
    /// the thread that flushed them fences.
    Store {
        /// Where they begin, in bytes from the start of the device.
        offset_bytes: u64,
        /// The bytes.
        bytes: Box<[u8]>,
    },
    /// Whole cache lines went past the cache: durable when their own thread fences, or before.
    Stream {
        /// Where they begin, in bytes from the start of the device.
        offset_bytes: u64,
        /// The bytes.
        bytes: Box<[u8]>,
    },
    /// Writing back cache lines began: durable when this thread fences, or before.
    Flush {
        /// Where the first of the lines begins, in bytes from the start of the device.
        offset_bytes: u64,
        /// What the lines hold. It is more than what was stored by recorded means when a program
        /// stored through a mapping of its address space: such stores are seen here first.
        bytes: Box<[u8]>,
    },
    /// The thread waited for what it had flushed and streamed.
    Fence,
    /// The program said where it is.
    Mark(Mark),
}

/// Where a program is: put between the events of a device by [`Recording::mark`].
///
/// [`Recording::mark`]: crate::Recording::mark
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Which operation of the program it is about.
    pub operation: u64,
    /// How far that operation is.
    pub moment: Moment,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// About to be called: nothing of it has happened.
    Begins,
    /// It has returned: what it promises to be durable is.
    Returned,
}
