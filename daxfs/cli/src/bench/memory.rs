//! What locking takes in memory: bytes of lock state for each mapped GiB and for each idle file.
//!
//! For every design, a file is mapped on software page tables and each of its pages touched; what
//! the file's entries and mapping lock then take is what a GiB would take of as many more pages.
//! It is counted by the filesystem ([`daxfs::LockState`]), not guessed from the process.
//!
//! Touches images in memory through the library; takes no locks.

use std::sync::Arc;

use anyhow::{Context, Result};
use daxfs::{
    Device, EntrySizes, Filesystem, FormatOptions, MapOptions, MappingLock, MountOptions,
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
