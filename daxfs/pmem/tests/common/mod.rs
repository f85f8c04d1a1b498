//! What the tests share: devices of every backing, and a handler that behaves like a small file.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::{Arc, Mutex};

use daxfs_pmem::{
    Access, Device, DeviceError, Fault, FaultError, FaultHandler, Frame, HUGE_PAGE_BYTES,
    MappingMechanism, PAGE_BYTES, PageTable, PageTableError, PersistenceChoice, ProcessPageTable,
    Protection, SoftwarePageTable,
};

/// Which kind of page table a test runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Software,
    Remap,
    Userfault,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Software, Kind::Remap, Kind::Userfault];

/// The kinds whose windows have addresses.
pub(crate) const PROCESS_KINDS: [Kind; 2] = [Kind::Remap, Kind::Userfault];

/// Makes a window that may be stored to.
pub(crate) fn window(
    kind: Kind,
    device: &Arc<Device>,
    len_pages: u64,
    handler: Arc<dyn FaultHandler>,
) -> Arc<dyn PageTable> {
    let device = Arc::clone(device);
    match kind {
        Kind::Software => SoftwarePageTable::new(device, len_pages, handler).unwrap(),
        _ => process_window(kind, &device, len_pages, handler),
    }
}

/// Makes a window of the process that may be stored to, by the mechanism if this machine has it.
pub(crate) fn process_window(
    kind: Kind,
    device: &Arc<Device>,
    len_pages: u64,
    handler: Arc<dyn FaultHandler>,
) -> Arc<ProcessPageTable> {
    let mechanism = match kind {
        Kind::Userfault => MappingMechanism::Userfault,
        _ => MappingMechanism::Remap,
    };
    let make = |mechanism| {
        ProcessPageTable::with_mechanism(
            Arc::clone(device),
            len_pages,
            Arc::clone(&handler),
            Protection::ReadWrite,
            mechanism,
        )
    };
    make(mechanism)
        .or_else(|error| match error {
            PageTableError::MechanismUnavailable { .. } => {
                eprintln!("remap instead of {}: {error}", mechanism.name());
                make(MappingMechanism::Remap)
            }
            error => Err(error),
        })
        .unwrap()
}

/// A device in memory whose every page begins with its own number plus one.
pub(crate) fn numbered_device(pages: u64) -> Arc<Device> {
    let device = Device::create_memfd(pages * PAGE_BYTES, PersistenceChoice::Detect).unwrap();
    number(&device);
    Arc::new(device)
}

pub(crate) fn number(device: &Device) {
    for page in 0..device.usable_bytes() / PAGE_BYTES {
        device
            .copy(page * PAGE_BYTES, &(page + 1).to_le_bytes())
            .unwrap()
            .defer();
    }
}

/// Reserves huge pages while it lives, where the system lets it. One test at a time, of any
/// process: the pool is the system's.
pub(crate) struct HugePages {
    before: String,
    _turn: File,
}

const POOL: &str = "/proc/sys/vm/nr_hugepages";

impl HugePages {
    pub(crate) fn reserve(pages: u64) -> Self {
        let turn = File::create(std::env::temp_dir().join("daxfs-pmem-huge-pages.lock")).unwrap();
        turn.lock().unwrap();
        let before = std::fs::read_to_string(POOL).unwrap_or_default();
        let wanted = before.trim().parse::<u64>().unwrap_or(0) + pages;
        // Not root: whether there are enough decides the test that asks for them.
        let _ = std::fs::write(POOL, wanted.to_string());
        Self {
            before,
            _turn: turn,
        }
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = std::fs::write(POOL, self.before.trim());
    }
}

/// A device of huge pages, or nothing, with a message, where there are none.
///
/// Drop the device first: pages that it still has cannot go back.
pub(crate) fn huge_device(granules: u64) -> Option<(HugePages, Arc<Device>)> {
    let pages = HugePages::reserve(granules);
    match Device::create_huge_memfd(granules * HUGE_PAGE_BYTES, PersistenceChoice::Detect) {
        Ok(device) => Some((pages, Arc::new(device))),
        Err(DeviceError::NoHugePages { .. }) => {
            eprintln!("skipped: the kernel has no huge pages and would not reserve any");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A file of `len_pages` pages, page `n` of which has its block at device page `first + n`, unless
/// it is a hole; a store to a hole allocates it.
pub(crate) struct Pager {
    pub(crate) len_pages: u64,
    pub(crate) first_device_page: u64,
    pub(crate) holes: Mutex<BTreeSet<u64>>,
    /// Pages that the handler was asked for, in order.
    pub(crate) log: Mutex<Vec<Fault>>,
}

impl Pager {
    pub(crate) fn new(len_pages: u64) -> Arc<Self> {
        Self::with_holes(len_pages, [])
    }

    pub(crate) fn with_holes(len_pages: u64, holes: impl IntoIterator<Item = u64>) -> Arc<Self> {
        Arc::new(Self {
            len_pages,
            first_device_page: 0,
            holes: Mutex::new(holes.into_iter().collect()),
            log: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn faults(&self) -> Vec<(u64, Access)> {
        let log = self.log.lock().unwrap();
        log.iter()
            .map(|fault| (fault.window_page, fault.access))
            .collect()
    }
}

impl FaultHandler for Pager {
    fn fault(&self, table: &dyn PageTable, fault: Fault) -> Result<(), FaultError> {
        self.log.lock().unwrap().push(fault);
        let page = fault.window_page;
        if page >= self.len_pages {
            return Err(FaultError::BeyondEndOfFile);
        }
        let mut holes = self.holes.lock().unwrap();
        let is_hole = match fault.access {
            Access::Read => holes.contains(&page),
            Access::Write => {
                holes.remove(&page);
                false
            }
        };
        let protection = match fault.access {
            Access::Read => Protection::ReadOnly,
            Access::Write => Protection::ReadWrite,
        };
        let offset_bytes = (self.first_device_page + page) * PAGE_BYTES;
        let frame = if is_hole {
            Frame::Zero
        } else {
            Frame::Device {
                offset_bytes,
                protection,
            }
        };
        table.map(page, 1, frame).map_err(|_| FaultError::Device)
    }
}

/// A handler that is a function.
struct Handle<F>(F);

impl<F> FaultHandler for Handle<F>
where
    F: Fn(&dyn PageTable, Fault) -> Result<(), FaultError> + Send + Sync,
{
    fn fault(&self, table: &dyn PageTable, fault: Fault) -> Result<(), FaultError> {
        (self.0)(table, fault)
    }
}

/// Makes a handler of a function.
pub(crate) fn handle<F>(function: F) -> Arc<dyn FaultHandler>
where
    F: Fn(&dyn PageTable, Fault) -> Result<(), FaultError> + Send + Sync + 'static,
{
    Arc::new(Handle(function))
}

/// A frame of the device.
pub(crate) fn frame(device_page: u64, protection: Protection) -> Frame {
    Frame::Device {
        offset_bytes: device_page * PAGE_BYTES,
        protection,
    }
}

/// The first eight bytes of a page of a window.
pub(crate) fn word(table: &dyn PageTable, page: u64) -> u64 {
    let mut bytes = [0; 8];
    table.load(page * PAGE_BYTES, &mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}
