//! Checking what is to be mapped, once for all kinds of page tables.
//!
//! Touches nothing. Takes no locks.

use super::{AccessCause, AccessError, Frame, PageTableError, Protection};
use crate::{Device, DeviceAccess, PAGE_BYTES};

/// Checks the arguments of [`PageTable::map`](super::PageTable::map).
pub(super) fn check(
    device: &Device,
    window_pages: u64,
    first_page: u64,
    len_pages: u64,
    frame: Frame,
) -> Result<(), PageTableError> {
    check_pages(window_pages, first_page, len_pages)?;
    let granule_bytes = device.mapping_granule_bytes();
    let granule_pages = granule_bytes / PAGE_BYTES;
    let offset_bytes = match frame {
        Frame::Zero => 0,
        Frame::Device { offset_bytes, .. } => offset_bytes,
    };
    let aligned = first_page.is_multiple_of(granule_pages)
        && len_pages.is_multiple_of(granule_pages)
        && offset_bytes.is_multiple_of(granule_bytes);
    if !aligned {
        return Err(PageTableError::Granule {
            first_page,
            len_pages,
            offset_bytes,
            granule_bytes,
        });
    }
    if let Frame::Device {
        offset_bytes,
        protection,
    } = frame
    {
        // No overflow: a window has fewer bytes than the address space.
        let len_bytes = len_pages * PAGE_BYTES;
        device
            .readable(offset_bytes, len_bytes)
            .map_err(|_| PageTableError::OutOfDevice {
                offset_bytes,
                len_bytes,
            })?;
        if protection == Protection::ReadWrite && device.access() == DeviceAccess::ReadOnly {
            return Err(PageTableError::ReadOnlyDevice);
        }
    }
    Ok(())
}

/// Checks that a range of pages lies inside a window.
pub(super) fn check_pages(
    window_pages: u64,
    first_page: u64,
    len_pages: u64,
) -> Result<(), PageTableError> {
    match first_page.checked_add(len_pages) {
        Some(end_page) if end_page <= window_pages => Ok(()),
        _ => Err(PageTableError::OutOfWindow {
            first_page,
            len_pages,
            window_pages,
        }),
    }
}

/// The smallest range of whole granules around a range of pages inside a window, as its first page
/// and length.
pub(super) fn granule_hull(device: &Device, first_page: u64, len_pages: u64) -> (u64, u64) {
    if len_pages == 0 {
        return (first_page, 0);
    }
    let granule_pages = device.mapping_granule_bytes() / PAGE_BYTES;
    let first = first_page - first_page % granule_pages;
    // Inside the window, whose length is a multiple of the granule.
    (
        first,
        (first_page + len_pages).next_multiple_of(granule_pages) - first,
    )
}

/// Checks the length of a new window: a positive multiple of the granule, in the address space.
pub(super) fn check_window(device: &Device, len_pages: u64) -> Result<(), PageTableError> {
    let granule_pages = device.mapping_granule_bytes() / PAGE_BYTES;
    let fits = len_pages
        .checked_mul(PAGE_BYTES)
        .is_some_and(|len_bytes| isize::try_from(len_bytes).is_ok());
    if len_pages == 0 || !len_pages.is_multiple_of(granule_pages) || !fits {
        return Err(PageTableError::BadLength {
            len_pages,
            granule_pages,
        });
    }
    Ok(())
}

/// Checks that an access by bytes lies inside a window.
pub(super) fn check_access(
    window_pages: u64,
    offset_bytes: u64,
    len_bytes: usize,
) -> Result<(), AccessError> {
    match offset_bytes.checked_add(len_bytes as u64) {
        Some(end_bytes) if end_bytes <= window_pages * PAGE_BYTES => Ok(()),
        _ => Err(AccessError {
            offset_bytes,
            cause: AccessCause::OutOfWindow,
        }),
    }
}
