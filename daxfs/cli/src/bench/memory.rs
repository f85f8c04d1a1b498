//! What locking takes in memory: bytes of lock state for each mapped GiB and for each idle file.
//!
//! For every design, a file is mapped on software page tables and each of its pages touched; what
//! the file's entries and mapping lock then take is what a GiB would take of as many more pages.
//! It is counted by the filesystem ([`daxfs::LockState`]), not guessed from the process.
//!
//! Touches images in memory through the library; takes no locks.

use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use daxfs::{
    Device, EntrySizes, Filesystem, FormatOptions, IoLock, MapOptions, MappingLock, MountOptions,
    PageTables, PersistenceChoice,
};
use serde::Serialize;

const FILE_BYTES: u64 = 32 << 20;
const IMAGE_BYTES: u64 = 2 * FILE_BYTES;
const GIB: u64 = 1 << 30;
const PAGE_BYTES: u64 = daxfs::PAGE_BYTES;

/// What one design takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Footprint {
    pub(crate) mapping_lock: String,
    pub(crate) entry_sizes: String,
    /// Of a file that is open, not mapped, and was never read.
    pub(crate) idle_bytes: u64,
    /// Beside that, of a file with every page mapped, for each GiB.
    pub(crate) mapped_gib_bytes: u64,
    /// The same for each page.
    pub(crate) page_bytes: f64,
    /// Entries for each GiB.
    pub(crate) gib_entries: u64,
    /// Beside the idle file's, of a file that was read but never mapped, for each GiB.
    pub(crate) read_gib_bytes: u64,
}

/// What the lock between reads and writes takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct IoFootprint {
    pub(crate) io_lock: String,
    /// Of a file that is open and idle.
    pub(crate) idle_bytes: u64,
    /// Of one in which two threads have written beside each other.
    pub(crate) used_bytes: u64,
}

/// Writes of each of the two.
const WRITES: u64 = 20_000;

/// Measures every I/O lock.
///
/// # Errors
/// As [`measure_all`].
pub(crate) fn measure_io_locks() -> Result<Vec<IoFootprint>> {
    let measure =
        |io_lock: IoLock| measure_io_lock(io_lock).with_context(|| format!("I/O lock {io_lock}"));
    IoLock::ALL.into_iter().map(measure).collect()
}

fn measure_io_lock(io_lock: IoLock) -> Result<IoFootprint> {
    let device = Device::create_memfd(IMAGE_BYTES, PersistenceChoice::Detect)?;
    Filesystem::format(&device, &FormatOptions::default())?;
    let options = MountOptions::default();
    let options = match io_lock {
        IoLock::Inode => options.with_inode_io_lock(),
        IoLock::Segment => options.with_segment_io_lock_for_benchmark(),
        IoLock::None => options.without_io_lock_for_benchmark(),
        _ => options,
    };
    let filesystem = Filesystem::mount(Arc::new(device), options)?;
    let file = filesystem.create("/file")?;
    let idle_bytes = file.lock_state().io_bytes;
    let write = |offset_bytes: u64| {
        let block = [1; PAGE_BYTES as usize];
        (0..WRITES).try_for_each(|_| file.write_all_at(&block, offset_bytes))
    };
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(|| write(PAGE_BYTES));
        (write(0), other.join())
    });
    one?;
    other.map_err(|_| anyhow!("a writer panicked"))??;
    Ok(IoFootprint {
        io_lock: io_lock.to_string(),
        idle_bytes,
        used_bytes: file.lock_state().io_bytes,
    })
}

/// Measures every design.
///
/// # Errors
/// If an image in memory cannot be made or used.
pub(crate) fn measure_all() -> Result<Vec<Footprint>> {
    let mut footprints = Vec::new();
    for entry_sizes in EntrySizes::ALL {
        for mapping_lock in MappingLock::ALL {
            let footprint = measure(mapping_lock, entry_sizes)
                .with_context(|| format!("mapping lock {mapping_lock}, entries {entry_sizes}"))?;
            footprints.push(footprint);
        }
    }
    Ok(footprints)
}

fn measure(mapping_lock: MappingLock, entry_sizes: EntrySizes) -> Result<Footprint> {
    let device = Device::create_memfd(IMAGE_BYTES, PersistenceChoice::Detect)?;
    Filesystem::format(&device, &FormatOptions::default())?;
    let mut options = MountOptions::default();
    options.mapping_lock = mapping_lock;
    options.entry_sizes = entry_sizes;
    let filesystem = Filesystem::mount(Arc::new(device), options)?;
    let file = filesystem.create("/file")?;
    file.write_all_at(&vec![1; FILE_BYTES as usize], 0)?;
    drop(file);

    let file = filesystem.open("/file")?;
    let idle = file.lock_state().bytes;
    let mut block = [0; PAGE_BYTES as usize];
    for offset_bytes in (0..FILE_BYTES).step_by(block.len()) {
        file.read_at(&mut block, offset_bytes)?;
    }
    let read = file.lock_state().bytes;
    let mapping = file.map(MapOptions {
        page_tables: PageTables::Software,
        ..MapOptions::new(FILE_BYTES)
    })?;
    for offset_bytes in (0..FILE_BYTES).step_by(block.len()) {
        mapping.load(offset_bytes, &mut block[..8])?;
    }
    let mapped = file.lock_state();
    let for_a_gib = |bytes: u64| bytes * (GIB / FILE_BYTES);
    let mapped_bytes = mapped.bytes.saturating_sub(idle);
    Ok(Footprint {
        mapping_lock: mapping_lock.to_string(),
        entry_sizes: entry_sizes.to_string(),
        idle_bytes: idle,
        mapped_gib_bytes: for_a_gib(mapped_bytes),
        page_bytes: mapped_bytes as f64 / (FILE_BYTES / PAGE_BYTES) as f64,
        gib_entries: for_a_gib(mapped.entries),
        read_gib_bytes: for_a_gib(read.saturating_sub(idle)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_lock_grows_and_all_are_small() {
        for footprint in measure_io_locks().expect("footprints") {
            let (idle, used) = (footprint.idle_bytes, footprint.used_bytes);
            assert!(idle < 16 << 10 && used < 32 << 10, "{footprint:?}");
            match footprint.io_lock.as_str() {
                "range" => assert!((256..512).contains(&idle) && used >= idle, "{footprint:?}"),
                _ => assert_eq!(idle, used, "{footprint:?}"),
            }
        }
    }

    #[test]
    fn small_entries_are_one_for_each_page_and_large_ones_fewer() {
        let pages = GIB / PAGE_BYTES;
        for footprint in measure_all().expect("footprints") {
            let small = footprint.entry_sizes == "small";
            let expected = if small { pages } else { pages / 512 };
            assert_eq!(footprint.gib_entries, expected, "{footprint:?}");
            assert_eq!(footprint.page_bytes >= 8.0, small, "{footprint:?}");
            assert!(footprint.idle_bytes < 8192, "{footprint:?}");
        }
    }
}
