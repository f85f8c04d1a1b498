//! A shared mapping of a file: real memory of this process, or software page tables.
//!
//! # Locking
//! A fault takes the file's sharing lock, its mapping lock, and nothing that ranks before them.
//! Making a mapping takes the sharing lock alone; making and dropping one, the list of windows.

use std::any::Any;
use std::ops::Range;
use std::ptr::NonNull;

use daxfs_pmem::{
    Device, Fault, FaultError, FaultHandler, MappingMechanism, PAGE_BYTES, PageTable,
    PageTableCounts, ProcessPageTable, Protection, SoftwarePageTable,
};

use super::MAX_FILE_BYTES;
use super::atomic;
use super::fault::PageFault;
use super::io::range_end;
use super::open_file::OpenFile;
use super::windows::Window;
use crate::error::{Error, Result};
use crate::sync::Arc;

/// Which page tables a mapping has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageTables {
    /// The process's own: loads and stores through [`Mapping::as_ptr`] are the CPU's. By the
    /// fastest mechanism that the device and the kernel allow.
    Process,
    /// The same by a given mechanism, or not at all.
    ProcessBy(MappingMechanism),
    /// Simulated: loads and stores go through [`Mapping::load`] and [`Mapping::store`]. Needs
    /// nothing from the system, and races in it can be scheduled.
    Software,
}

impl PageTables {
    /// The mechanism that puts pages under such a mapping of a file on `device`; none in software.
    #[must_use]
    pub fn mechanism_on(self, device: &Device) -> Option<MappingMechanism> {
        match self {
            Self::Process => Some(ProcessPageTable::fastest_mechanism(device)),
            Self::ProcessBy(mechanism) => Some(mechanism),
            Self::Software => None,
        }
    }
}

/// What to map, and how.
///
/// ```
/// use daxfs::{MapOptions, PageTables, Protection};
///
/// let whole = MapOptions::new(1 << 20);
/// assert_eq!(whole.page_tables, PageTables::Process);
/// let read_only = MapOptions { protection: Protection::ReadOnly, ..whole };
/// # let _ = read_only;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MapOptions {
    /// Which page tables to use.
    pub page_tables: PageTables,
    /// Whether stores are allowed.
    pub protection: Protection,
    /// Where in the file the mapping starts: a multiple of the page size, or of 2 MiB on a device
    /// of huge pages.
    pub offset_bytes: u64,
    /// How long it is; it may reach past the end of file, where access is an error until the file
    /// grows.
    pub len_bytes: u64,
}

impl MapOptions {
    /// The first `len_bytes` of a file, readable and writable, in the process's page tables.
    #[must_use]
    pub fn new(len_bytes: u64) -> Self {
        Self {
            page_tables: PageTables::Process,
            protection: Protection::ReadWrite,
            offset_bytes: 0,
            len_bytes,
        }
    }
}

/// A shared mapping of part of a file.
///
/// What is stored through it is what reads see, and the other way round, at once. It keeps the file
/// open; dropping it unmaps.
pub struct Mapping {
    file: Arc<OpenFile>,
    window: Arc<Window>,
    len_bytes: u64,
    protection: Protection,
    /// Whatever keeps the file open; dropped last.
    _keep_open: Arc<dyn Any + Send + Sync>,
}

/// Hands a window's faults to the file.
struct WindowFaults {
    file: Arc<OpenFile>,
    first_page: u64,
    protection: Protection,
}

impl FaultHandler for WindowFaults {
    fn fault(&self, table: &dyn PageTable, fault: Fault) -> Result<(), FaultError> {
        if fault.access == daxfs_pmem::Access::Write && self.protection == Protection::ReadOnly {
            return Err(FaultError::ReadOnly);
        }
        self.file.fault(&PageFault {
            table,
            window_first_page: self.first_page,
            page: self.first_page + fault.window_page,
            access: fault.access,
            protection: self.protection,
        })
    }
}

impl Mapping {
    /// Maps part of a file, which `keep_open` keeps open for as long as the mapping lives.
    pub(crate) fn new(
        file: Arc<OpenFile>,
        keep_open: Arc<dyn Any + Send + Sync>,
        options: &MapOptions,
    ) -> Result<Self> {
        let unit_bytes = file.mapped.unit_pages() * PAGE_BYTES;
        range_end("map", options.offset_bytes, options.len_bytes)?;
        if options.len_bytes == 0 || !options.offset_bytes.is_multiple_of(unit_bytes) {
            return Err(Error::InvalidOption {
                reason: format!(
                    "a mapping of {} bytes at {}: it must not be empty and must start at a \
                     multiple of {unit_bytes} bytes",
                    options.len_bytes, options.offset_bytes
                ),
            });
        }
        let len_pages = options.len_bytes.div_ceil(unit_bytes) * file.mapped.unit_pages();
        let first_page = options.offset_bytes / PAGE_BYTES;
        let handler = Arc::new(WindowFaults {
            file: Arc::clone(&file),
            first_page,
            protection: options.protection,
        });
        file.mapping_lock.expect_faults();
        let device = Arc::clone(&file.volume().device);
        let table: Arc<dyn PageTable> = match options.page_tables {
            PageTables::Process => {
                ProcessPageTable::new(device, len_pages, handler, options.protection)?
            }
            PageTables::ProcessBy(mechanism) => ProcessPageTable::with_mechanism(
                device,
                len_pages,
                handler,
                options.protection,
                mechanism,
            )?,
            PageTables::Software => SoftwarePageTable::new(device, len_pages, handler)?,
        };
        let window = Arc::new(Window { table, first_page });
        {
            // No redo once it is mapped: what is stored would be undone.
            let marker = file.mapped.sharing.alone();
            atomic::settle_redo(&file, &marker)?;
            file.mapped.windows.attach(Arc::clone(&window));
        }
        Ok(Self {
            file,
            window,
            len_bytes: options.len_bytes,
            protection: options.protection,
            _keep_open: keep_open,
        })
    }

    /// How long the mapping is, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Whether it has no bytes: never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len_bytes == 0
    }

    /// Copies out of the mapping, as loads by the CPU would, page by page.
    ///
    /// # Errors
    /// [`Error::Access`] where a load by the CPU would raise SIGBUS: past the end of file, or when
    /// the device fails. `buffer` is filled up to there. [`Error::InvalidRange`] outside the
    /// mapping.
    pub fn load(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.check("load", offset_bytes, buffer.len() as u64)?;
        Ok(self.window.table.load(offset_bytes, buffer)?)
    }

    /// Copies into the mapping, as stores by the CPU would, page by page.
    ///
    /// # Errors
    /// As [`Mapping::load`], and [`Error::Access`] when space runs out or the mapping is read-only.
    pub fn store(&self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.check("store", offset_bytes, bytes.len() as u64)?;
        self.window.table.store(offset_bytes, bytes)?;
        self.file.inode().note_written();
        Ok(())
    }

    /// The first byte of the mapping in this process's memory; `None` with software page tables.
    ///
    /// Other threads, reads and writes of the file change the memory at any time: form no reference
    /// to it that does not allow for that, and use none after the mapping is dropped. Access past
    /// the end of file raises SIGBUS. Do not hand it to a system call before the pages have been
    /// touched: the kernel cannot fault them in and returns `EFAULT`. It must not hold the
    /// program's own heap, since faults allocate.
    #[must_use]
    pub fn as_ptr(&self) -> Option<NonNull<u8>> {
        self.window.table.as_ptr()
    }

    /// Drops the translations of whole pages within the range, as `madvise(MADV_DONTNEED)` does for
    /// a shared mapping: no data is lost, the next access faults.
    ///
    /// # Errors
    /// [`Error::InvalidRange`] outside the mapping, [`Error::PageTable`] when the system refuses.
    pub fn release(&self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        let pages = self.pages("release", offset_bytes, len_bytes)?;
        let unit = self.file.mapped.unit_pages();
        let first = pages.start.next_multiple_of(unit);
        let last = pages.end / unit * unit;
        if first < last {
            self.window.table.unmap(first, last - first)?;
        }
        Ok(())
    }

    /// Makes what was stored in the range durable, and what is needed to find it again, as
    /// `msync(MS_SYNC)` does. (In this version by a checkpoint of the whole filesystem.)
    ///
    /// # Errors
    /// [`Error::InvalidRange`] outside the mapping, [`Error::Device`] when the device fails.
    pub fn sync(&self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        self.check("sync", offset_bytes, len_bytes)?;
        let first = self.window.first_page + offset_bytes / PAGE_BYTES;
        let end = self.window.first_page + (offset_bytes + len_bytes).div_ceil(PAGE_BYTES);
        self.file.flush_mapped(first..end)?;
        self.file.volume().log.sync()
    }

    /// How often page table entries were set and removed, and how many faults there were.
    #[must_use]
    pub fn counts(&self) -> PageTableCounts {
        self.window.table.counts()
    }

    fn check(&self, operation: &'static str, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        let end = offset_bytes.checked_add(len_bytes);
        if end.is_some_and(|end| end <= self.len_bytes) {
            return Ok(());
        }
        Err(Error::InvalidRange {
            operation,
            offset_bytes,
            len_bytes,
            max_bytes: self.len_bytes.min(MAX_FILE_BYTES),
        })
    }

    /// The whole pages of a byte range; the mapping's last counts as whole.
    fn pages(
        &self,
        operation: &'static str,
        offset_bytes: u64,
        len_bytes: u64,
    ) -> Result<Range<u64>> {
        self.check(operation, offset_bytes, len_bytes)?;
        let end = offset_bytes + len_bytes;
        let last = if end == self.len_bytes {
            self.window.table.len_pages()
        } else {
            end / PAGE_BYTES
        };
        Ok(offset_bytes.div_ceil(PAGE_BYTES)..last)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.protection == Protection::ReadWrite {
            self.file.inode().note_written();
        }
        self.file.mapped.windows.detach(&self.window);
    }
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Mapping")
            .field("inode", &self.file.inode().number())
            .field("first_page", &self.window.first_page)
            .field("len_bytes", &self.len_bytes)
            .field("protection", &self.protection)
            .finish_non_exhaustive()
    }
}
