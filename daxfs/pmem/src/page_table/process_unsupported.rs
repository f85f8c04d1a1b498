//! Processors whose signal frames are not known: there are no process page tables.
//!
//! Touches nothing. Takes no locks.

use std::convert::Infallible;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{
    AccessError, FaultHandler, Frame, MappingMechanism, PageTable, PageTableCounts, PageTableError,
    Protection,
};
use crate::Device;

/// A window of the process's own addresses; none can be made on this processor.
#[derive(Debug)]
pub struct ProcessPageTable {
    never: Infallible,
}

impl ProcessPageTable {
    /// Refuses.
    ///
    /// # Errors
    /// Always [`PageTableError::UnsupportedProcessor`].
    pub fn new(
        _device: Arc<Device>,
        _len_pages: u64,
        _handler: Arc<dyn FaultHandler>,
        _protection: Protection,
    ) -> Result<Arc<Self>, PageTableError> {
        Err(PageTableError::UnsupportedProcessor)
    }

    /// Refuses.
    ///
    /// # Errors
    /// Always [`PageTableError::UnsupportedProcessor`].
    pub fn with_mechanism(
        _device: Arc<Device>,
        _len_pages: u64,
        _handler: Arc<dyn FaultHandler>,
        _protection: Protection,
        _mechanism: MappingMechanism,
    ) -> Result<Arc<Self>, PageTableError> {
        Err(PageTableError::UnsupportedProcessor)
    }

    /// What it would be elsewhere.
    #[must_use]
    pub fn fastest_mechanism(_device: &Device) -> MappingMechanism {
        MappingMechanism::Remap
    }

    /// How frames are put under the pages.
    #[must_use]
    pub fn mechanism(&self) -> MappingMechanism {
        match self.never {}
    }
}

impl PageTable for ProcessPageTable {
    fn len_pages(&self) -> u64 {
        match self.never {}
    }

    fn map(&self, _first: u64, _len_pages: u64, _frame: Frame) -> Result<(), PageTableError> {
        match self.never {}
    }

    fn unmap(&self, _first_page: u64, _len_pages: u64) -> Result<(), PageTableError> {
        match self.never {}
    }

    fn load(&self, _offset_bytes: u64, _buffer: &mut [u8]) -> Result<(), AccessError> {
        match self.never {}
    }

    fn store(&self, _offset_bytes: u64, _bytes: &[u8]) -> Result<(), AccessError> {
        match self.never {}
    }

    fn as_ptr(&self) -> Option<NonNull<u8>> {
        match self.never {}
    }

    fn counts(&self) -> PageTableCounts {
        match self.never {}
    }
}
