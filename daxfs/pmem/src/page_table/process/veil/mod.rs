//! Veiled mappings: windows whose pages are mapped and unmapped side by side.
//!
//! | Submodule | Holds |
//! |---|---|
//! | `chunk` | what is known of a chunk, under its lock |
//! | `directory` | the chunks of a window |
//! | `span` | where units lie |
//! | `show` | installing translations |
//! | `cover` | putting veils |
//!
//! # Why
//! A frame that is a mapping of its own is placed by `mmap`, which takes the kernel's lock of the
//! address space exclusive, and so is its removal: threads that fault pages of one process wait for
//! each other, whatever they fault. Here a mapping is large, a *chunk* of 512 units (a unit is a
//! page, or a huge page on a device of those), and lies under a *veil*: it has no translations, and
//! a touch of a page without one is a fault of ours, not the kernel's. Showing a unit is one call
//! that installs its translation, hiding it one that drops it. Both take the kernel's lock of that
//! one mapping shared, and split nothing. The veil is `userfaultfd`'s (see `userfault`).
//!
//! Measured on a virtual machine with two processors, 4 KiB pages of a memfd, each thread in chunks
//! of its own (`cargo run --release -p daxfs-pmem --example pmem_costs`), thousand faults a second:
//!
//! | | 1 thread | 2 threads |
//! |---|---|---|
//! | `mmap` for each fault | 110 | 120 |
//! | a veil, and `UFFDIO_CONTINUE` for each fault | 225 | 426 |
//!
//! Guard pages (`MADV_GUARD_INSTALL`), which would work on any file, came to 177 and 342 in a bare
//! program, but to 114 and 213 once their `SIGSEGV` has to become a fault on the thread's own
//! stack.
//!
//! What is lost: a chunk whose only page is a hole and a block by turns is covered anew each time,
//! which costs up to a fifth more than replacing that page.
//!
//! # States
//! The *underlay* of a chunk is what lies under its units: nothing (the empty file), zeroes, or
//! the device at one displacement, the difference between the place on the device and the place in
//! the window. A unit is in one of three states:
//! ```text
//!               show                    place apart
//!     VEILED ---------> SHOWN     any state ---------> APART (a mapping of its own)
//!        ^  <---------                                   |
//!        |     hide                cover, on unmapping   |
//!        +-----------------------------------------------+
//! ```
//! A unit lies apart when its frame does not fit to the underlay: a block that lies elsewhere than
//! its neighbours, a hole among blocks, or so many pages at once that one mapping of them is
//! cheaper than their translations. Blocks of a file mostly lie side by side, so the first frame
//! decides where the chunk lies; a chunk whose frames stopped fitting moves (`chunk`).
//!
//! Covering a range puts a veiled mapping there. It must not be visible without its veil, hence:
//! ```text
//!     mmap(PROT_NONE)     a touch raises SIGSEGV, whose handler waits for the chunk's lock
//!     UFFDIO_REGISTER     the veil
//!     mprotect            a touch raises SIGBUS: a fault of ours
//! ```
//!
//! # Invariants
//! 1. Where the state says that a unit is veiled, no more than its shown translation can be reached
//!    there: the veil lies there, or the empty file. (The latter after a `SIGSEGV` that met a chunk
//!    not made yet; showing then reports that nothing is registered, and the unit is covered.)
//! 2. Whoever shows units holds the chunk's lock shared, and has seen under it that the units are
//!    veiled by the underlay that the frame needs. So what is shown is what was asked for.
//! 3. Mappings of a chunk change under its lock held exclusive, together with its state.
//! 4. Translations are dropped without the lock: it hides what was shown before, and if the chunk
//!    changes meanwhile nothing of what was there before is left either.
//! 5. When `unmap` returns no unit of the range lies apart that did before, and every translation
//!    that was shown before is dropped: what the caller was promised.
//!
//! In a child after `fork` the kernel has taken the veils away: windows are the parent's only.
//!
//! # Locking
//! A reader/writer lock for each chunk, innermost. No thread holds two, but for `revoke_all`, which
//! takes all in order. No window is touched under one. Under it the kernel's lock of the address
//! space is taken: exclusive when mappings change, else not at all or shared.

use std::ops::Range;
use std::sync::RwLockWriteGuard;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::reservation::{Reservation, Revoked};
use super::userfault::Userfault;
use crate::page_table::{Access, Frame};
use crate::sys;
use crate::{Device, PAGE_BYTES};

mod chunk;
mod cover;
mod directory;
mod show;
mod span;

use chunk::{Chunk, State, UNITS, Underlay};
use directory::Directory;
use show::Outcome;
use span::Span;

/// As many units are shown one by one; a mapping of its own is cheaper for more.
const MOST_SHOWN_AT_ONCE: usize = 32;

/// The frames of a window under veils.
#[derive(Debug)]
pub(super) struct Veiled {
    reservation: Reservation,
    userfault: &'static Userfault,
    chunks: Directory,
    unit_pages: u64,
    len_pages: u64,
    /// All access to the window was forbidden once, so a `SIGSEGV` may come from anywhere in it.
    forbidden: AtomicBool,
}

impl Veiled {
    pub(super) fn new(
        reservation: Reservation,
        userfault: &'static Userfault,
        unit_bytes: u64,
    ) -> Self {
        let unit_pages = unit_bytes / PAGE_BYTES;
        let len_pages = reservation.len_pages();
        let units = len_pages.div_ceil(unit_pages);
        Self {
            reservation,
            userfault,
            chunks: Directory::new(units.div_ceil(UNITS as u64) as usize),
            unit_pages,
            len_pages,
            forbidden: AtomicBool::new(false),
        }
    }

    pub(super) fn reservation(&self) -> &Reservation {
        &self.reservation
    }

    // ---- Map ----------------------------------------------------------------------------------

    /// Puts a frame under whole units.
    pub(super) fn place(
        &self,
        device: &Device,
        first_page: u64,
        len_pages: u64,
        frame: Frame,
    ) -> Result<(), Errno> {
        for span in self.spans(first_page..first_page + len_pages) {
            let pages = self.pages(&span);
            let behind_bytes = (pages.start - first_page) * PAGE_BYTES;
            let frame = match frame {
                Frame::Zero => Frame::Zero,
                Frame::Device {
                    offset_bytes,
                    protection,
                } => Frame::Device {
                    offset_bytes: offset_bytes + behind_bytes,
                    protection,
                },
            };
            self.place_span(device, &span, frame)?;
        }
        Ok(())
    }

    fn place_span(&self, device: &Device, span: &Span, frame: Frame) -> Result<(), Errno> {
        let chunk = self.chunks.make(span.chunk);
        let wanted = self.underlay_for(span, frame);
        if span.units.len() > MOST_SHOWN_AT_ONCE {
            return self.place_many(device, chunk, span, frame, wanted);
        }
        {
            let state = chunk.read();
            if state.is_veiled(wanted, &span.units)
                && self.show(device, chunk, span, frame)? == Outcome::Visible
            {
                return Ok(());
            }
        }
        let mut state = chunk.write();
        if self.can_be_veiled(wanted)
            && (state.underlay == wanted
                || self.move_chunk(device, chunk, &mut state, span, wanted))
        {
            if !state.is_veiled(wanted, &span.units) {
                self.cover_span(device, &mut state, span)?;
            }
            if self.show(device, chunk, span, frame)? == Outcome::Visible {
                return Ok(());
            }
            self.cover_span(device, &mut state, span)?;
            if self.show(device, chunk, span, frame)? == Outcome::Visible {
                return Ok(());
            }
        }
        self.place_apart(device, &mut state, span, frame)
    }

    /// Places so many units that one mapping of them is cheaper than their translations.
    fn place_many(
        &self,
        device: &Device,
        chunk: &Chunk,
        span: &Span,
        frame: Frame,
        wanted: Underlay,
    ) -> Result<(), Errno> {
        let mut state = chunk.write();
        self.place_apart(device, &mut state, span, frame)?;
        if span.units == self.units_of_chunk(span.chunk) && self.can_be_veiled(wanted) {
            // All of the chunk lies apart: any underlay will do, and this is what its units become
            // when they are taken away one by one.
            state.moved(chunk, wanted);
            state.apart.insert(&span.units);
        }
        Ok(())
    }

    /// Moves the chunk of `span` to `wanted` if that is worth it. Returns whether it lies there.
    fn move_chunk(
        &self,
        device: &Device,
        chunk: &Chunk,
        state: &mut State,
        span: &Span,
        wanted: Underlay,
    ) -> bool {
        if !state.is_to_move(chunk, wanted, span.units.len()) {
            return false;
        }
        let whole = Span {
            chunk: span.chunk,
            units: self.units_of_chunk(span.chunk),
        };
        let covered = self.cover(device, &whole, wanted);
        match covered {
            Ok(()) => state.moved(chunk, wanted),
            Err(_) => {
                // Should clearing what the failure has left fail as well, it cannot be accessed,
                // and the handler of `SIGSEGV` clears it unit by unit.
                let cleared = self.revoke(&whole);
                state.moved(chunk, Underlay::Nothing);
                if cleared.is_err() {
                    state.apart.insert(&whole.units);
                }
            }
        }
        covered.is_ok()
    }

    /// The underlay that shows `frame` at the place of `span`.
    fn underlay_for(&self, span: &Span, frame: Frame) -> Underlay {
        match frame {
            Frame::Zero => Underlay::Zeroes,
            Frame::Device { offset_bytes, .. } => {
                // Both are lengths of things in memory, so neither is out of range.
                let window_bytes = (self.pages(span).start * PAGE_BYTES) as i64;
                Underlay::Device {
                    displacement_bytes: offset_bytes as i64 - window_bytes,
                }
            }
        }
    }

    /// The kernel shows zeroes by small pages only.
    fn can_be_veiled(&self, underlay: Underlay) -> bool {
        underlay != Underlay::Zeroes || self.unit_pages == 1
    }

    /// Gives units a mapping of their own.
    fn place_apart(
        &self,
        device: &Device,
        state: &mut State,
        span: &Span,
        frame: Frame,
    ) -> Result<(), Errno> {
        // First, since a failure may have placed something.
        state.apart.insert(&span.units);
        let pages = self.pages(span);
        let len_pages = pages.end - pages.start;
        self.reservation
            .place(device, pages.start, len_pages, frame)
    }

    // ---- Unmap --------------------------------------------------------------------------------

    /// Takes the frames from whole units.
    pub(super) fn revoke_range(
        &self,
        device: &Device,
        first_page: u64,
        len_pages: u64,
    ) -> Result<(), Errno> {
        let pages = first_page..first_page + len_pages;
        let unit_of = |page: u64| page / self.unit_pages;
        let units = unit_of(pages.start)..unit_of(pages.end);
        let chunk_units = UNITS as u64;
        let numbers =
            (units.start / chunk_units) as usize..units.end.div_ceil(chunk_units) as usize;
        let mut veiled: Option<Range<u64>> = None;
        for (number, chunk) in self.chunks.made(numbers) {
            let span = self.span_in(number, &units);
            chunk.note_hidden(&span.units);
            if chunk.read().apart.intersects(&span.units) {
                self.cover_apart(device, &mut chunk.write(), &span)?;
            }
            if chunk.read().underlay != Underlay::Nothing {
                let pages = self.pages(&span);
                let first = veiled.map_or(pages.start, |veiled| veiled.start);
                veiled = Some(first..pages.end);
            }
        }
        let Some(veiled) = veiled else {
            return Ok(());
        };
        let (start, len_bytes) = self
            .reservation
            .span(veiled.start, veiled.end - veiled.start);
        // SAFETY: pages of the window; its private mappings are of zeroes, for loads.
        unsafe { sys::drop_translations(start, len_bytes) }
    }

    /// Covers the units of `span` that lie apart.
    fn cover_apart(&self, device: &Device, state: &mut State, span: &Span) -> Result<(), Errno> {
        while let Some(units) = state.apart.first_run(&span.units) {
            let chunk = span.chunk;
            self.cover_span(device, state, &Span { chunk, units })?;
        }
        Ok(())
    }

    /// Takes the frames from the whole window, though the process may have no mapping more.
    pub(super) fn revoke_all(&self) -> Result<(), Errno> {
        let locked = self.lock_all();
        let revoked = self.reservation.revoke_all()?;
        self.forget(locked, revoked);
        Ok(())
    }

    fn lock_all(&self) -> Vec<(&Chunk, RwLockWriteGuard<'_, State>)> {
        let chunks = self.chunks.made(0..self.chunks.len_chunks());
        chunks.map(|(_, chunk)| (chunk, chunk.write())).collect()
    }

    /// Takes note that nothing of the window can be reached any more.
    fn forget(&self, locked: Vec<(&Chunk, RwLockWriteGuard<'_, State>)>, revoked: Revoked) {
        if revoked == Revoked::Forbidden {
            // Relaxed: whoever then gets a `SIGSEGV` takes a chunk's lock after us, or repeats the
            // access until this is seen.
            self.forbidden.store(true, Ordering::Relaxed);
        }
        for (chunk, mut state) in locked {
            state.moved(chunk, Underlay::Nothing);
        }
    }

    /// Forbids every access, as when not even the reserve makes room for `revoke_all`.
    #[cfg(all(test, not(loom)))]
    pub(super) fn forbid(&self) -> Result<(), Errno> {
        let locked = self.lock_all();
        self.reservation.forbid()?;
        self.forget(locked, Revoked::Forbidden);
        Ok(())
    }

    /// Deals with a `SIGSEGV`: when it returns `Ok` the access is to be repeated, and either
    /// succeeds or raises `SIGBUS`. Runs on a small stack: takes a lock and makes one system call.
    pub(super) fn revoke_at(&self, address: usize, access: Access) -> Result<(), Errno> {
        let page = self.reservation.page_of(address);
        let unit = page / self.unit_pages;
        let (number, unit) = (unit / UNITS as u64, (unit % UNITS as u64) as usize);
        let span = Span {
            chunk: number as usize,
            units: unit..unit + 1,
        };
        let Some(chunk) = self.chunks.get(span.chunk) else {
            return self.revoke(&span);
        };
        // Whoever was covering the unit has done so when the lock is ours.
        let mut state = chunk.write();
        let is_store_to_zeroes = access == Access::Write && state.underlay == Underlay::Zeroes;
        let is_ours = state.apart.contains(unit) || is_store_to_zeroes;
        if is_ours || self.forbidden.load(Ordering::Relaxed) {
            state.apart.insert(&span.units);
            return self.revoke(&span);
        }
        Ok(())
    }

    /// Whether a page is veiled or shown: then the next access tells which.
    pub(super) fn is_veiled(&self, page: u64) -> bool {
        let unit = page / self.unit_pages;
        let chunk = self.chunks.get((unit / UNITS as u64) as usize);
        chunk.is_some_and(|chunk| {
            let state = chunk.read();
            let lies_apart = state.apart.contains((unit % UNITS as u64) as usize);
            state.underlay != Underlay::Nothing && !lies_apart
        })
    }

    /// Puts the empty file under units.
    fn revoke(&self, span: &Span) -> Result<(), Errno> {
        let pages = self.pages(span);
        self.reservation
            .revoke(pages.start, pages.end - pages.start)
    }
}
