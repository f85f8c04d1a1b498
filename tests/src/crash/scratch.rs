//! The image of a crash state, on a device that is used again for the next.
//!
//! A whole copy for each state would cost more than all else. What two states differ in is written,
//! and afterwards what was written is put back: the device records what is done to it, so nobody
//! can change it unseen but through a mapping of the process, which is checked for.
//!
//! Hashes are sums, modulo 2^128, of a hash for each line that differs from the image at the start:
//! they follow a change without a look at the rest. Each is two SipHashes of 64 bits.
//!
//! Touches memory alone; takes no locks.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use daxfs::Device;
use daxfs_pmem::{Action, Event, Recording};

use super::medium::{LINE_BYTES, LineBytes, Medium};

/// Two images that have one number are the same image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageHash(u128);

impl ImageHash {
    /// That of the image at the start.
    pub(super) const START: Self = Self(0);

    /// That of an image in which one line is another.
    pub(super) fn with(self, line: u64, old: &LineBytes, new: &LineBytes) -> Self {
        let sum = self.0.wrapping_add(hash_line(line, new));
        Self(sum.wrapping_sub(hash_line(line, old)))
    }
}

fn hash_line(line: u64, bytes: &LineBytes) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write_u64(line);
        hasher.write(bytes);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// What a state holds where it differs from what is durable for certain.
pub(super) type Overlay = BTreeMap<u64, LineBytes>;

/// A device that shows one image after the other.
#[derive(Debug)]
pub(super) struct Scratch {
    device: Arc<Device>,
    recording: Recording,
}

impl Scratch {
    /// A device that holds `base`.
    pub(super) fn new(base: &[u8]) -> Self {
        let (device, recording) =
            Device::create_recording(base.len() as u64).expect("there is memory for an image");
        let scratch = Self {
            device: Arc::new(device),
            recording,
        };
        scratch.write(0, base);
        scratch
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    pub(super) fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Follows what became durable.
    pub(super) fn set_line(&self, line: u64, bytes: &LineBytes) {
        self.write(line * LINE_BYTES as u64, bytes);
    }

    /// Shows a state.
    pub(super) fn show(&self, overlay: &Overlay) {
        for (line, bytes) in overlay {
            self.set_line(*line, bytes);
        }
    }

    /// Puts back what `overlay` and all since, `seen` and what is still recorded, have changed.
    ///
    /// # Panics
    /// When somebody still has the device.
    pub(super) fn restore(&self, medium: &Medium, overlay: &Overlay, seen: &[Event]) {
        let holders = Arc::strong_count(&self.device) - 1;
        assert_eq!(holders, 0, "a state's device is used after the visit");
        for event in self.recording.take().iter().chain(seen) {
            if let Action::Store {
                offset_bytes,
                bytes,
            }
            | Action::Stream {
                offset_bytes,
                bytes,
            }
            | Action::Flush {
                offset_bytes,
                bytes,
            } = &event.action
            {
                let start = *offset_bytes as usize;
                self.write(*offset_bytes, &medium.durable()[start..start + bytes.len()]);
            }
        }
        for line in overlay.keys() {
            self.set_line(*line, &medium.durable_line(*line));
        }
    }

    /// # Panics
    /// When the device was changed unseen.
    pub(super) fn check(&self, medium: &Medium) {
        let mut bytes = vec![0; medium.durable().len()];
        self.device.read(0, &mut bytes).expect("it has that length");
        let is_as_it_should = bytes == medium.durable();
        assert!(
            is_as_it_should,
            "a visitor stored through process page tables"
        );
    }

    fn write(&self, offset_bytes: u64, bytes: &[u8]) {
        let copied = self.device.copy(offset_bytes, bytes).expect("it is inside");
        copied.defer();
        drop(self.recording.take());
    }
}
