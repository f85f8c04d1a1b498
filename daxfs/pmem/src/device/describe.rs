//! What a device is, in words, for reports and error messages.
//!
//! Touches nothing but the file's `statfs`. Takes no locks.

use std::io;

use rustix::fs::fstatfs;

use super::{Backing, Device, DeviceError, Persistence};
use crate::sys::Synchrony;

impl Device {
    /// The backing and the back end, as benchmark reports print them: "file on ext4, msync".
    #[must_use]
    pub fn describe(&self) -> String {
        let place = match self.backing {
            Backing::File => format!("file on {}", self.filesystem_name()),
            Backing::Memfd => "memfd (DRAM)".to_owned(),
            Backing::HugeMemfd => "memfd of 2 MiB pages (DRAM)".to_owned(),
        };
        let means = match self.engine.instruction() {
            Some(instruction) => format!("{} ({instruction})", self.persistence()),
            None => self.persistence().to_string(),
        };
        let emulated =
            self.persistence() == Persistence::Hardware && !self.survives_power_failure();
        let warning = if emulated {
            ", emulated: not power-fail safe"
        } else {
            ""
        };
        format!("{place}, {means}{warning}")
    }

    /// Whether what is durable by the tokens survives a power failure: a file with `msync`, or
    /// flush instructions on a file that is mapped with `MAP_SYNC`.
    #[must_use]
    pub fn survives_power_failure(&self) -> bool {
        match (self.backing, self.persistence()) {
            (Backing::File, Persistence::Msync) => true,
            (Backing::File, Persistence::Hardware) => self.synchrony == Synchrony::Synchronous,
            _ => false,
        }
    }

    pub(super) fn io_error(&self, operation: &'static str, source: io::Error) -> DeviceError {
        let object = match &self.path {
            Some(path) => path.display().to_string(),
            None => self.describe(),
        };
        DeviceError::Io {
            operation,
            object,
            source,
        }
    }

    fn filesystem_name(&self) -> String {
        // Numbers from the kernel's include/uapi/linux/magic.h.
        match fstatfs(&self.fd).map(|found| found.f_type as u64 & 0xffff_ffff) {
            Ok(0xef53) => "ext4".to_owned(),
            Ok(0x5846_5342) => "xfs".to_owned(),
            Ok(0x9123_683e) => "btrfs".to_owned(),
            Ok(0xf2f5_2010) => "f2fs".to_owned(),
            Ok(0x0102_1994) => "tmpfs".to_owned(),
            Ok(0x794c_7630) => "overlayfs".to_owned(),
            Ok(0x6969) => "nfs".to_owned(),
            Ok(0x6573_5546) => "fuse".to_owned(),
            Ok(magic) => format!("a filesystem of type {magic:#x}"),
            Err(_) => "an unknown filesystem".to_owned(),
        }
    }
}
