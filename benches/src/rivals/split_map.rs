//! A range lock from a mutex, an ordered map and a condition variable.
//!
//! The map holds disjoint pieces, each with its readers or its writer. A reader that partly
//! overlaps others splits their pieces at its edges. A release wakes everybody, and those who still
//! cannot go on sleep again; there is no order among them. Locks: its one mutex.

use std::collections::BTreeMap;
use std::ops::Range;

use parking_lot::{Condvar, Mutex};

/// Who holds a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holders {
    Readers(u32),
    Writer,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    end: u64,
    holders: Holders,
}

type Pieces = BTreeMap<u64, Piece>;

/// Ranges in a map of disjoint pieces.
#[derive(Debug, Default)]
pub struct SplitMapLock {
    pieces: Mutex<Pieces>,
    released: Condvar,
}

impl SplitMapLock {
    /// Makes a lock that nobody holds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until nobody writes in `range`, and shares it.
    pub fn read(&self, range: Range<u64>) -> SplitMapGuard<'_> {
        let mut pieces = self.pieces.lock();
        while overlapping(&pieces, &range).any(|(_, piece)| piece.holders == Holders::Writer) {
            self.released.wait(&mut pieces);
        }
        add_reader(&mut pieces, &range);
        SplitMapGuard { lock: self, range }
    }

    /// Waits until nobody is in `range`, and takes it.
    pub fn write(&self, range: Range<u64>) -> SplitMapGuard<'_> {
        let mut pieces = self.pieces.lock();
        while overlapping(&pieces, &range).next().is_some() {
            self.released.wait(&mut pieces);
        }
        if !range.is_empty() {
            pieces.insert(
                range.start,
                Piece {
                    end: range.end,
                    holders: Holders::Writer,
                },
            );
        }
        SplitMapGuard { lock: self, range }
    }

    /// Whether nobody holds anything, as of now.
    pub fn is_free(&self) -> bool {
        self.pieces.lock().is_empty()
    }
}

/// The pieces that share a byte with `range`, from the last to the first.
fn overlapping<'map>(
    pieces: &'map Pieces,
    range: &Range<u64>,
) -> impl Iterator<Item = (u64, Piece)> + use<'map> {
    let start = range.start;
    // Pieces are disjoint, so going down the first one that ends before the range ends the search.
    pieces
        .range(..range.end.max(start))
        .rev()
        .map(|(&first, &piece)| (first, piece))
        .take_while(move |(_, piece)| piece.end > start)
}

/// Cuts the piece that contains `at` in its middle, so that a piece begins there.
fn split(pieces: &mut Pieces, at: u64) {
    if let Some((_, piece)) = pieces.range_mut(..at).next_back()
        && piece.end > at
    {
        let upper = *piece;
        piece.end = at;
        pieces.insert(at, upper);
    }
}

fn add_reader(pieces: &mut Pieces, range: &Range<u64>) {
    split(pieces, range.start);
    split(pieces, range.end);
    let mut gap_start = range.start;
    while gap_start < range.end {
        match pieces.range_mut(gap_start..range.end).next() {
            Some((&first, piece)) if first == gap_start => {
                let Holders::Readers(count) = &mut piece.holders else {
                    unreachable!("readers are let in only where nobody writes");
                };
                *count += 1;
                gap_start = piece.end;
            }
            next => {
                let end = next.map_or(range.end, |(&first, _)| first);
                pieces.insert(
                    gap_start,
                    Piece {
                        end,
                        holders: Holders::Readers(1),
                    },
                );
                gap_start = end;
            }
        }
    }
}

/// A range held; given back when dropped.
#[derive(Debug)]
pub struct SplitMapGuard<'lock> {
    lock: &'lock SplitMapLock,
    range: Range<u64>,
}

impl Drop for SplitMapGuard<'_> {
    fn drop(&mut self) {
        let mut pieces = self.lock.pieces.lock();
        let mut start = self.range.start;
        while start < self.range.end {
            let piece = pieces
                .get_mut(&start)
                .expect("a held range is covered by pieces");
            let end = piece.end;
            match &mut piece.holders {
                Holders::Readers(count) if *count > 1 => *count -= 1,
                Holders::Readers(_) | Holders::Writer => {
                    pieces.remove(&start);
                }
            }
            start = end;
        }
        drop(pieces);
        self.lock.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_readers_split_pieces_and_leave_none_behind() {
        let lock = SplitMapLock::new();
        let wide = lock.read(0..100);
        let narrow = lock.read(40..60);
        let beyond = lock.read(90..120);
        let starts: Vec<_> = lock.pieces.lock().keys().copied().collect();
        assert_eq!(starts, [0, 40, 60, 90, 100]);
        drop(wide);
        let left: Vec<_> = lock
            .pieces
            .lock()
            .iter()
            .map(|(&start, piece)| start..piece.end)
            .collect();
        assert_eq!(left, [40..60, 90..100, 100..120]);
        drop((narrow, beyond));
        assert!(lock.is_free());
    }

    #[test]
    fn writers_wait_for_whoever_overlaps() {
        let lock = SplitMapLock::new();
        let reader = lock.read(10..20);
        let is_written = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = lock.write(15..30);
                is_written.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            drop(lock.write(20..40));
            assert!(!is_written.load(std::sync::atomic::Ordering::Relaxed));
            drop(reader);
        });
        assert!(is_written.into_inner());
    }
}
