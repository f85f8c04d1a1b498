//! Devices and mounted filesystems for tests, and numbers that look random.
//!
//! Everything here panics when it fails: that is the test's failure. Touches memory and no files;
//! takes no locks.

use std::sync::Arc;

use daxfs::fsck::{self, NoProgress};
use daxfs::{
    DataChecksums, Device, Filesystem, FormatOptions, MappingLock, MountAccess, MountOptions,
    PersistenceChoice,
};

/// An empty device of memory.
///
/// # Panics
/// When the system has no memory for it.
#[must_use]
pub fn memory_device(len_bytes: u64) -> Arc<Device> {
    Arc::new(Device::create_memfd(len_bytes, PersistenceChoice::Detect).expect("a memfd"))
}

/// A device of memory with an empty filesystem on it.
///
/// # Panics
/// When the device is too small for one.
#[must_use]
pub fn formatted(len_bytes: u64) -> Arc<Device> {
    formatted_with(len_bytes, DataChecksums::Off)
}

/// The same, which keeps checksums of data or does not.
///
/// # Panics
/// As [`formatted`].
#[must_use]
pub fn formatted_with(len_bytes: u64, data_checksums: DataChecksums) -> Arc<Device> {
    let device = memory_device(len_bytes);
    let options = FormatOptions {
        data_checksums,
        ..FormatOptions::default()
    };
    Filesystem::format(&device, &options).expect("an empty filesystem");
    device
}

/// Mounts read-write, with the usual designs.
///
/// # Panics
/// When the image cannot be mounted.
#[must_use]
pub fn mount(device: &Arc<Device>) -> Filesystem {
    Filesystem::mount(Arc::clone(device), MountOptions::default()).expect("it mounts")
}

/// Mounts read-only.
///
/// # Errors
/// What [`Filesystem::mount`] reports.
pub fn mount_read_only(device: &Arc<Device>) -> daxfs::Result<Filesystem> {
    let mut options = MountOptions::default();
    options.access = MountAccess::ReadOnly;
    Filesystem::mount(Arc::clone(device), options)
}

/// How many times more the slow tier does: 1, unless `cargo verify --slow` says otherwise.
#[must_use]
pub fn stress_factor() -> u32 {
    let factor = std::env::var("DAXFS_STRESS_FACTOR")
        .ok()
        .and_then(|text| text.parse().ok());
    factor.unwrap_or(1).max(1)
}

/// Mount options for each pair of an I/O lock and one of `mapping_locks`.
#[must_use]
pub fn designs(mapping_locks: &[MappingLock]) -> Vec<MountOptions> {
    let mut designs = Vec::new();
    for &mapping_lock in mapping_locks {
        let mut options = MountOptions::default();
        options.mapping_lock = mapping_lock;
        designs.push(options.clone());
        designs.push(options.clone().with_inode_io_lock());
        designs.push(options.without_io_lock_for_benchmark());
    }
    designs
}

/// Fails unless the independent checker finds nothing wrong with an image that is not mounted.
///
/// # Panics
/// When it does.
pub fn assert_clean(device: &Device) {
    let report = fsck::check(device, &NoProgress).expect("there is an image");
    assert!(report.is_clean(), "fsck: {:#?}", report.issues);
}

/// All bytes of a device.
///
/// # Panics
/// When they cannot be read.
#[must_use]
pub fn bytes_of(device: &Device) -> Vec<u8> {
    let mut bytes = vec![0; device.usable_bytes() as usize];
    device.read(0, &mut bytes).expect("the device can be read");
    bytes
}

/// Replaces bytes of a device that is not mounted.
///
/// # Panics
/// When they lie outside the device.
pub fn overwrite(device: &Device, offset_bytes: u64, bytes: &[u8]) {
    let dirty = device
        .store(offset_bytes, bytes)
        .expect("inside the device");
    device
        .fence(device.flush(dirty))
        .expect("memory does not fail");
}

/// Numbers that look random and are the same in every run: Steele, Lea and Flood's SplitMix64
/// (OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_number() % limit
    }

    /// `len` bytes, none of them 0, so that they differ from a hole everywhere.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len)
            .map(|_| (self.next_number() % 255) as u8 + 1)
            .collect()
    }
}
