//! What is known of a chunk: the mapping that lies under it, and the units that lie apart.
//!
//! Touches nothing. A chunk's lock is `std`'s, which allocates nothing and keeps nothing by thread,
//! since faults take it.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How many units a chunk has: 2 MiB of pages, or 1 GiB of huge pages.
pub(super) const UNITS: usize = 512;
const WORDS: usize = UNITS / u64::BITS as usize;

/// How many units that do not fit make a chunk move; doubled by every move, up to [`UNITS`].
const FIRST_PATIENCE: usize = 16;

/// The mapping under a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Underlay {
    /// The empty file, of which nothing can be shown.
    Nothing,
    /// Zeroes, for loads.
    Zeroes,
    /// The device: each byte of the window shows the device's byte that lies this far behind it.
    Device {
        /// The offset on the device minus the offset in the window, in bytes.
        displacement_bytes: i64,
    },
}

/// A chunk and its lock.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    state: RwLock<State>,
    /// The units that may be shown: set before one is, cleared when it is hidden. Two threads that
    /// show and hide a unit at once may leave either behind; it only decides when a chunk moves.
    shown: [AtomicU64; WORDS],
}

/// What changes under a chunk's lock only.
#[derive(Debug)]
pub(super) struct State {
    pub(super) underlay: Underlay,
    /// The units under which something else lies than the underlay's veil.
    pub(super) apart: UnitSet,
    /// How many units did not fit since the last move.
    misfits: usize,
    patience: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            underlay: Underlay::Nothing,
            apart: UnitSet::default(),
            misfits: 0,
            patience: FIRST_PATIENCE,
        }
    }
}

impl Chunk {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that units are about to be shown.
    pub(super) fn note_shown(&self, units: &Range<usize>) {
        for (word, mask) in masks(units) {
            self.shown[word].fetch_or(mask, Ordering::Relaxed);
        }
    }

    /// Takes note that units have been hidden.
    pub(super) fn note_hidden(&self, units: &Range<usize>) {
        for (word, mask) in masks(units) {
            self.shown[word].fetch_and(!mask, Ordering::Relaxed);
        }
    }

    /// Whether nothing is lost when the chunk moves.
    fn shows_nothing(&self) -> bool {
        let mut words = self.shown.iter();
        words.all(|word| word.load(Ordering::Relaxed) == 0)
    }
}

impl State {
    /// Whether the veil of `underlay` lies under all of these units.
    pub(super) fn is_veiled(&self, underlay: Underlay, units: &Range<usize>) -> bool {
        self.underlay == underlay && !self.apart.intersects(units)
    }

    /// Decides whether the chunk moves to `wanted`, of which units are to be mapped that do not fit
    /// to what lies there.
    ///
    /// It does when that loses nothing, when a hole is being filled, and when it has put up with
    /// misfits for long: a file whose blocks lie scattered makes it move a few times, at the price
    /// of one more fault for each misfit at the worst, and then no more.
    pub(super) fn is_to_move(&mut self, chunk: &Chunk, wanted: Underlay, units: usize) -> bool {
        let is_filled = matches!(
            (self.underlay, wanted),
            (Underlay::Zeroes, Underlay::Device { .. })
        );
        let is_free = is_filled || (chunk.shows_nothing() && self.apart.is_empty());
        if is_free {
            return true;
        }
        self.misfits += units;
        if self.misfits <= self.patience {
            return false;
        }
        self.patience = (self.patience * 2).min(UNITS);
        true
    }

    /// Takes note that a new underlay lies under the whole chunk.
    pub(super) fn moved(&mut self, chunk: &Chunk, underlay: Underlay) {
        self.underlay = underlay;
        self.apart = UnitSet::default();
        self.misfits = 0;
        chunk.note_hidden(&(0..UNITS));
    }
}

/// A set of units of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UnitSet([u64; WORDS]);

impl UnitSet {
    pub(super) fn insert(&mut self, units: &Range<usize>) {
        for (word, mask) in masks(units) {
            self.0[word] |= mask;
        }
    }

    pub(super) fn remove(&mut self, units: &Range<usize>) {
        for (word, mask) in masks(units) {
            self.0[word] &= !mask;
        }
    }

    pub(super) fn contains(&self, unit: usize) -> bool {
        self.intersects(&(unit..unit + 1))
    }

    pub(super) fn intersects(&self, units: &Range<usize>) -> bool {
        masks(units).any(|(word, mask)| self.0[word] & mask != 0)
    }

    fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// The first run of members within `units`.
    pub(super) fn first_run(&self, units: &Range<usize>) -> Option<Range<usize>> {
        let start = units.clone().find(|&unit| self.contains(unit))?;
        let mut rest = start..units.end;
        let end = rest.find(|&unit| !self.contains(unit));
        Some(start..end.unwrap_or(units.end))
    }
}

/// The words that hold some of these units, and which bits of them.
fn masks(units: &Range<usize>) -> impl Iterator<Item = (usize, u64)> + use<> {
    const BITS: usize = u64::BITS as usize;
    let units = units.clone();
    debug_assert!(units.start < units.end && units.end <= UNITS);
    (units.start / BITS..units.end.div_ceil(BITS)).map(move |word| {
        let first = units.start.max(word * BITS) - word * BITS;
        let end = units.end.min((word + 1) * BITS) - word * BITS;
        (word, (u64::MAX >> (BITS - (end - first))) << first)
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const HERE: Underlay = Underlay::Device {
        displacement_bytes: 0,
    };
    const THERE: Underlay = Underlay::Device {
        displacement_bytes: 4096,
    };

    #[test]
    fn a_set_agrees_with_a_list_of_its_members() {
        let mut set = UnitSet::default();
        let mut list = [false; UNITS];
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(99);
            (seed >> 33) as usize % below
        };
        for _ in 0..2000 {
            let start = random(UNITS);
            let units = start..start + 1 + random(UNITS - start);
            if random(2) == 0 {
                set.insert(&units);
                list[units].fill(true);
            } else {
                set.remove(&units);
                list[units].fill(false);
            }
            let start = random(UNITS);
            let units = start..start + 1 + random(UNITS - start);
            assert_eq!(set.intersects(&units), list[units.clone()].contains(&true));
            let first = units.clone().find(|&unit| list[unit]);
            let run = first.map(|first| {
                let end = (first..units.end).find(|&unit| !list[unit]);
                first..end.unwrap_or(units.end)
            });
            assert_eq!(set.first_run(&units), run);
            assert_eq!(set.is_empty(), !list.contains(&true));
        }
    }

    #[test]
    fn a_chunk_that_shows_nothing_moves_at_once() {
        let chunk = Chunk::default();
        let mut state = chunk.write();
        assert!(state.is_to_move(&chunk, HERE, 1));
        state.moved(&chunk, HERE);
        assert!(state.is_to_move(&chunk, THERE, 1));
        chunk.note_shown(&(70..72));
        assert!(!state.is_to_move(&chunk, THERE, 1));
        chunk.note_hidden(&(64..80));
        assert!(state.is_to_move(&chunk, THERE, 1));
        state.apart.insert(&(3..4));
        assert!(!state.is_to_move(&chunk, THERE, 1));
    }

    #[test]
    fn a_hole_that_is_filled_moves_at_once_and_a_file_that_gets_holes_does_not() {
        let chunk = Chunk::default();
        let mut state = chunk.write();
        state.moved(&chunk, Underlay::Zeroes);
        chunk.note_shown(&(0..UNITS));
        assert!(state.is_to_move(&chunk, HERE, 1));
        state.moved(&chunk, HERE);
        chunk.note_shown(&(0..1));
        assert!(!state.is_to_move(&chunk, Underlay::Zeroes, 1));
    }

    #[test]
    fn scattered_blocks_move_a_chunk_ever_more_rarely() {
        let chunk = Chunk::default();
        let mut state = chunk.write();
        let mut moves = Vec::new();
        for misfit in 0..4000 {
            let wanted = if state.underlay == HERE { THERE } else { HERE };
            if state.is_to_move(&chunk, wanted, 1) {
                moves.push(misfit);
                state.moved(&chunk, wanted);
                chunk.note_shown(&(0..1));
            }
        }
        let gaps: Vec<_> = moves.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps[..6], [17, 33, 65, 129, 257, 513]);
        assert!(gaps[6..].iter().all(|&gap| gap == 513));
    }
}
