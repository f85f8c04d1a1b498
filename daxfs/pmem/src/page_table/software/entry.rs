//! One page's translation, and the pins that keep it from being taken away under a copy.
//!
//! # Why
//! A processor finishes each load and store before it acknowledges that a translation is gone. A
//! table in software has to do the same: between finding a translation and the end of the copy
//! through it, the copy *pins* the entry, and whoever replaces the translation waits for the pins.
//! A single count of pins would not do: copies that came after the replacement, and use the new
//! translation, would keep a waiter waiting for ever. So there are two counts, of two generations,
//! as in sleepable read-copy-update (McKenney, "Sleepable RCU", 2006).
//!
//! # The word
//! ```text
//!   63 | 62        27 | 26  15 | 14   3 |     2      | 1  0
//!   0  | device page  | pins 1 | pins 0 | generation | kind
//! ```
//! | kind | the page is | the device page means |
//! |---|---|---|
//! | 0 | absent | nothing, zero |
//! | 1 | zeroes, for loads | nothing, zero |
//! | 2 | on the device, for loads | its offset / 4 KiB |
//! | 3 | on the device, for loads and stores | the same |
//!
//! # How an entry changes
//! ```text
//!   pin:      if the kind suits: pins[generation] += 1        } one compare-and-swap
//!   unpin:    pins[the generation that was pinned] -= 1
//!   replace:  wait until pins[other generation] == 0          } one compare-and-swap:
//!             kind, page = the new ones; generation flips     }   checked and done at once
//!             wait until pins[the old generation] == 0, or that generation is current again
//! ```
//!
//! # Invariants
//! 1. A pin counts in the generation that the entry had when the pin was taken, and is given back
//!    to the same one.
//! 2. The translation changes only together with a flip of the generation, and a flip happens only
//!    while the generation that becomes current has no pins. So all pins of one generation were
//!    taken under one translation.
//! 3. After a flip nobody adds to the old generation until it has become empty: by invariant 2 it
//!    becomes current again only then. So the second wait ends with the copies that were in flight,
//!    and those never block: no user memory is touched under a pin.
//!
//! Touches its own word. It is itself the lowest lock of the crate; nothing is taken under it.

use crate::PAGE_BYTES;
use crate::page_table::sync::{AtomicU64, Ordering, yield_now};
use crate::page_table::{Access, Frame, Protection};

const KIND_MASK: u64 = 0b11;
const KIND_ABSENT: u64 = 0;
const KIND_ZERO: u64 = 1;
const KIND_READ_ONLY: u64 = 2;
const KIND_READ_WRITE: u64 = 3;
const GENERATION_BIT: u64 = 1 << 2;
const PINS_BITS: u32 = 12;
const PINS_SHIFTS: [u32; 2] = [3, 3 + PINS_BITS];
const PINS_MAX: u64 = (1 << PINS_BITS) - 1;
const PAGE_SHIFT: u32 = 3 + 2 * PINS_BITS;
const PAGE_LIMIT: u64 = 1 << (63 - PAGE_SHIFT);
const TRANSLATION_MASK: u64 = !((1 << PAGE_SHIFT) - 1) | KIND_MASK;

/// One past the last device byte that an entry can name: 2^48.
pub(super) const DEVICE_LIMIT_BYTES: u64 = PAGE_LIMIT * PAGE_BYTES;

/// Spins before the thread offers its processor to others.
const SPINS_BEFORE_YIELD: u32 = 64;

/// The translation of one page.
#[derive(Debug)]
pub(super) struct Entry {
    word: AtomicU64,
}

/// A pinned entry, and what its page shows.
#[derive(Debug)]
pub(super) struct Pin<'a> {
    entry: &'a Entry,
    generation: usize,
    /// Where on the device the page lies, in bytes; nothing for zeroes.
    pub(super) device_offset_bytes: Option<u64>,
}

impl Entry {
    pub(super) fn absent() -> Self {
        Self {
            word: AtomicU64::new(KIND_ABSENT),
        }
    }

    /// Pins the entry if its page may be accessed so.
    pub(super) fn pin(&self, access: Access) -> Option<Pin<'_>> {
        let mut waiting = Backoff::new();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let device_offset_bytes = suitable(word, access)?;
            let generation = current_generation(word);
            if pins(word, generation) == PINS_MAX {
                // More threads than the count can hold are copying this page: let some finish.
                waiting.wait();
                word = self.word.load(Ordering::Relaxed);
                continue;
            }
            let pinned = word + (1 << PINS_SHIFTS[generation]);
            // Acquire: partners with the release in `replace`; without it, what the mapper wrote to
            // the page before mapping it could be missed.
            match self.word.compare_exchange_weak(
                word,
                pinned,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    return Some(Pin {
                        entry: self,
                        generation,
                        device_offset_bytes,
                    });
                }
                Err(current) => word = current,
            }
        }
    }

    /// Changes the translation, and waits until no copy uses the old one.
    pub(super) fn replace(&self, translation: Translation) {
        let old_generation = self.flip(translation);
        let mut waiting = Backoff::new();
        loop {
            // Acquire: partners with the release in `Pin::drop`; without it, what the caller does
            // to the page next could overtake the last copy from or to it.
            let word = self.word.load(Ordering::Acquire);
            // Current again means that it was empty in between (invariant 2), and that its pins
            // are another translation's.
            if pins(word, old_generation) == 0 || current_generation(word) == old_generation {
                return;
            }
            waiting.wait();
        }
    }

    /// Takes the translation away, and waits until no copy uses it.
    pub(super) fn clear(&self) {
        // Acquire: as in `replace`. An absent entry without pins is one that no copy is using.
        let word = self.word.load(Ordering::Acquire);
        if word & !GENERATION_BIT != KIND_ABSENT {
            self.replace(Translation::ABSENT);
        }
    }

    /// The first wait and the change of `replace`; returns the generation that is now the old one.
    fn flip(&self, translation: Translation) -> usize {
        let mut waiting = Backoff::new();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let old_generation = current_generation(word);
            if pins(word, 1 - old_generation) > 0 {
                // Invariant 2: another replacement is still waiting for the generation before.
                waiting.wait();
                word = self.word.load(Ordering::Relaxed);
                continue;
            }
            let flipped = (word & !TRANSLATION_MASK) ^ GENERATION_BIT | translation.0;
            // Release: partners with the acquire in `pin`. Acquire: a replacement may overtake one
            // that found nothing pinned, and takes over what that one had seen.
            match self.word.compare_exchange_weak(
                word,
                flipped,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return old_generation,
                Err(current) => word = current,
            }
        }
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        // Release: partners with the acquire in `replace`; without it, the copy could still be in
        // flight when the page is given away. Invariant 1 keeps the count from underflowing.
        self.entry
            .word
            .fetch_sub(1 << PINS_SHIFTS[self.generation], Ordering::Release);
    }
}

/// The bits of a word that say what the page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Translation(u64);

impl Translation {
    pub(super) const ABSENT: Self = Self(KIND_ABSENT);

    /// The translation for page `index` of `frame`, which lies below [`DEVICE_LIMIT_BYTES`].
    pub(super) fn of_page(frame: Frame, index: u64) -> Self {
        match frame {
            Frame::Zero => Self(KIND_ZERO),
            Frame::Device {
                offset_bytes,
                protection,
            } => {
                let kind = match protection {
                    Protection::ReadOnly => KIND_READ_ONLY,
                    Protection::ReadWrite => KIND_READ_WRITE,
                };
                Self((offset_bytes / PAGE_BYTES + index) << PAGE_SHIFT | kind)
            }
        }
    }
}

/// What the page of a word shows, if it may be accessed so: an offset on the device, or zeroes.
fn suitable(word: u64, access: Access) -> Option<Option<u64>> {
    let device = Some(Some((word >> PAGE_SHIFT) * PAGE_BYTES));
    match (word & KIND_MASK, access) {
        (KIND_ZERO, Access::Read) => Some(None),
        (KIND_READ_ONLY, Access::Read) => device,
        (KIND_READ_WRITE, _) => device,
        _ => None,
    }
}

fn current_generation(word: u64) -> usize {
    usize::from(word & GENERATION_BIT != 0)
}

fn pins(word: u64, generation: usize) -> u64 {
    (word >> PINS_SHIFTS[generation]) & PINS_MAX
}

/// Waits a little longer each time: a copy of a page is over in a microsecond, unless the thread
/// that makes it has lost its processor.
struct Backoff {
    spins: u32,
}

impl Backoff {
    fn new() -> Self {
        Self { spins: 0 }
    }

    fn wait(&mut self) {
        self.spins += 1;
        if cfg!(loom) || self.spins > SPINS_BEFORE_YIELD {
            yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests;
