//! What a power failure may leave of a device, built from a record of what was done to it.
//!
//! A test lets a filesystem work on a device that records ([`Device::create_recording`]), and then
//! looks at each image that a crash on the way could have left: does it mount, is it consistent,
//! does it hold what was promised?
//!
//! ```
//! use daxfs_pmem::Device;
//! use daxfs_tests::crash::{Limits, for_each_crash_state};
//! use daxfs_tests::fixture::bytes_of;
//!
//! let (device, recording) = Device::create_recording(4096)?;
//! let base = bytes_of(&device);
//! let payload = device.store(64, b"payload!")?;
//! device.fence(device.flush(payload))?;
//! let commit = device.store(0, &1u64.to_le_bytes())?;
//! device.fence(device.flush(commit))?;
//!
//! let counts = for_each_crash_state(&base, &recording.take(), &Limits::default(), |state| {
//!     let image = bytes_of(state.device());
//!     let is_committed = image[0] == 1;
//!     assert!(!is_committed || image[64..72] == *b"payload!", "{state}");
//! });
//! assert_eq!(counts.images, 3);
//! # Ok::<(), daxfs_pmem::DeviceError>(())
//! ```
//!
//! | Module | What it is for |
//! |---|---|
//! | `medium` | the model: what is durable, and what may be |
//! | `unit` | what a state has whole or not at all, and what needs what |
//! | `choice` | which states are built, where there are too many for all |
//! | `scratch` | the device that shows them |
//! | `state` | the walk along the trace |
//! | `damage` | traces with a mistake in them |
//! | [`workload`] | sequences of operations to make traces of |
//!
//! [`Device::create_recording`]: daxfs_pmem::Device::create_recording

mod choice;
mod damage;
mod medium;
mod scratch;
mod state;
#[cfg(test)]
mod tests;
mod unit;
pub mod workload;

pub use choice::{CrashPoints, Limits};
pub use damage::{Damage, damaged, is_fence, is_flush};
pub use medium::{CHUNK_BYTES, LINE_BYTES};
pub use scratch::ImageHash;
pub use state::{Counts, CrashState, Progress, for_each_crash_state};
pub use unit::MOST_LINES_BY_CHUNK;
