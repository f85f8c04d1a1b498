//! How many places each shared block has.
//!
//! A block that one place of one file has is not in here: being in that file's block map is enough.
//! Whoever gives a block to a second place counts it here, and whoever drops a block that is marked
//! as shared asks here whether it was the last.
//!
//! # States
//! ```text
//!   in no file -- published --> one place -- share --> two -- share --> three ...
//!       ^                         |   ^                 |
//!       +------- withdrawn -------+   +------ drop -----+
//! ```
//! A place keeps the mark when the others are gone; so a block that is marked and not counted has
//! one place.
//!
//! # On the medium
//! Items of the tree, for which each aligned 2 MiB of the device is one part: a checkpoint writes
//! anew the parts that changed. They are read when first somebody loads a block map with marks;
//! files that share nothing cost nothing.
//!
//! # Locking
//! One latch, innermost; `std`'s, since page faults take it. Changed inside transactions alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::groups::pieces;
use super::{GROUP_BLOCKS, push_joined};
use crate::run::Run;

/// How many places one has less than is counted by an absence.
const UNCOUNTED: u64 = 1;

/// The shared blocks of one device.
#[derive(Default)]
pub(crate) struct Owners {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Runs with more than one place, by their first block. None crosses an aligned 2 MiB.
    runs: BTreeMap<u64, Counted>,
    /// The 2 MiB that differ from the last checkpoint.
    changed: BTreeSet<u64>,
    is_loaded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    len_blocks: u64,
    owners: u64,
}

/// Whether a block is in one place or in more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Places {
    One,
    Several,
}

/// A run and how many places it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SharedRun {
    pub(crate) run: Run,
    /// At least 2.
    pub(crate) owners: u64,
}

impl Owners {
    /// Runs `read` unless that was done, and counts what it returns.
    ///
    /// # Errors
    /// Those of `read`; the next call tries again.
    pub(crate) fn load_once<E>(
        &self,
        read: impl FnOnce() -> Result<Vec<SharedRun>, E>,
    ) -> Result<(), E> {
        if self.lock().is_loaded {
            return Ok(());
        }
        // Read without the latch, which is innermost; nothing changes before it is loaded.
        let found = read()?;
        let mut state = self.lock();
        if !state.is_loaded {
            state.is_loaded = true;
            for shared in found {
                for piece in pieces(shared.run) {
                    state.put(piece, shared.owners);
                }
            }
        }
        Ok(())
    }

    /// Counts one more place for each block of `run`.
    pub(crate) fn share(&self, run: Run) {
        let mut state = self.lock();
        for piece in pieces(run) {
            for (part, owners) in state.take(piece) {
                state.put(part, owners + 1);
            }
        }
    }

    /// Counts one place less for each block of `run`, and returns those that had no other.
    #[must_use = "blocks without a place are to be freed"]
    pub(crate) fn drop_one(&self, run: Run) -> Vec<Run> {
        let mut state = self.lock();
        let mut free: Vec<Run> = Vec::new();
        for piece in pieces(run) {
            for (part, owners) in state.take(piece) {
                if owners > UNCOUNTED {
                    state.put(part, owners - 1);
                    continue;
                }
                push_joined(&mut free, part);
            }
        }
        free
    }

    /// Whether the first block of `run` has other places, and how many blocks are at least the same
    /// in that.
    pub(crate) fn places(&self, run: Run) -> (Places, u64) {
        let state = self.lock();
        let end = run.end();
        match state.counted_from(run.block).next() {
            Some((block, counted)) if block <= run.block => {
                let len_blocks = (block + counted.len_blocks).min(end) - run.block;
                (Places::Several, len_blocks)
            }
            Some((block, _)) => (Places::One, block.min(end) - run.block),
            None => (Places::One, run.len_blocks),
        }
    }

    /// The 2 MiB that changed since the last call, and what is shared in each. The caller keeps
    /// transactions out.
    pub(crate) fn take_changed(&self) -> Vec<(Range<u64>, Vec<SharedRun>)> {
        let mut state = self.lock();
        let changed = std::mem::take(&mut state.changed);
        changed
            .into_iter()
            .map(|group| {
                let blocks = group * GROUP_BLOCKS..(group + 1) * GROUP_BLOCKS;
                (blocks.clone(), state.in_group(blocks))
            })
            .collect()
    }

    /// Puts back what [`Owners::take_changed`] took, after a checkpoint that failed.
    pub(crate) fn restore_changed(&self, blocks: impl IntoIterator<Item = Range<u64>>) {
        let groups = blocks.into_iter().map(|blocks| blocks.start / GROUP_BLOCKS);
        self.lock().changed.extend(groups);
    }

    /// Each method leaves the state consistent, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The counted runs that end after `block`.
    fn counted_from(&self, block: u64) -> impl Iterator<Item = (u64, Counted)> {
        let before = self.runs.range(..block).next_back();
        before
            .filter(|(start, counted)| *start + counted.len_blocks > block)
            .into_iter()
            .chain(self.runs.range(block..))
            .map(|(start, counted)| (*start, *counted))
    }

    /// Takes the counts of a piece out: all of it, in parts that have one count each.
    fn take(&mut self, piece: Run) -> Vec<(Run, u64)> {
        let found: Vec<_> = self
            .counted_from(piece.block)
            .take_while(|(start, _)| *start < piece.end())
            .collect();
        let mut parts = Vec::with_capacity(2 * found.len() + 1);
        let mut at = piece.block;
        for (start, counted) in found {
            let end = start + counted.len_blocks;
            self.runs.remove(&start);
            self.keep(start..piece.block.min(end), counted.owners);
            self.keep(piece.end().max(start)..end, counted.owners);
            let (from, to) = (start.max(piece.block), end.min(piece.end()));
            if at < from {
                parts.push((Run::new(at, from - at), UNCOUNTED));
            }
            parts.push((Run::new(from, to - from), counted.owners));
            at = to;
        }
        if at < piece.end() {
            parts.push((Run::new(at, piece.end() - at), UNCOUNTED));
        }
        self.changed.insert(piece.block / GROUP_BLOCKS);
        parts
    }

    fn keep(&mut self, blocks: Range<u64>, owners: u64) {
        if !blocks.is_empty() {
            let len_blocks = blocks.end - blocks.start;
            self.runs
                .insert(blocks.start, Counted { len_blocks, owners });
        }
    }

    /// Counts a piece that is not counted, joined with its neighbours where they have as many.
    fn put(&mut self, piece: Run, owners: u64) {
        if owners <= UNCOUNTED {
            return;
        }
        let mut joined = piece;
        let is_same_group = |block: u64| block / GROUP_BLOCKS == piece.block / GROUP_BLOCKS;
        if let Some((&start, counted)) = self.runs.range(..piece.block).next_back()
            && start + counted.len_blocks == piece.block
            && counted.owners == owners
            && is_same_group(start)
        {
            joined = Run::new(start, counted.len_blocks + joined.len_blocks);
        }
        if let Some(after) = self.runs.get(&piece.end()).copied()
            && after.owners == owners
            && is_same_group(piece.end())
        {
            self.runs.remove(&piece.end());
            joined.len_blocks += after.len_blocks;
        }
        self.keep(joined.block..joined.end(), owners);
    }

    fn in_group(&self, blocks: Range<u64>) -> Vec<SharedRun> {
        self.runs
            .range(blocks)
            .map(|(block, counted)| SharedRun {
                run: Run::new(*block, counted.len_blocks),
                owners: counted.owners,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn loaded() -> Owners {
        let owners = Owners::default();
        let none = owners.load_once(|| Ok::<_, Infallible>(Vec::new()));
        assert_eq!(none, Ok(()));
        owners
    }

    fn all_runs(owners: &Owners) -> Vec<SharedRun> {
        owners.lock().in_group(0..u64::MAX)
    }

    proptest! {
        /// Against an array with a count for each block.
        #[test]
        fn counts_as_an_array_does(
            steps in proptest::collection::vec((any::<bool>(), 0u64..1500, 1u64..900), 1..60),
        ) {
            let owners = loaded();
            let mut oracle = vec![1_u64; 2400];
            for (share, block, len) in steps {
                let run = Run::new(block, len);
                let blocks = block as usize..(block + len) as usize;
                if share {
                    owners.share(run);
                    oracle[blocks].iter_mut().for_each(|count| *count += 1);
                } else {
                    // Whoever drops a block has it, so that a count never falls below one for long.
                    let free = owners.drop_one(run);
                    let free: Vec<u64> =
                        free.iter().flat_map(|run| run.block..run.end()).collect();
                    let expected: Vec<u64> = (block..block + len)
                        .filter(|block| oracle[*block as usize] == 1)
                        .collect();
                    prop_assert_eq!(free, expected);
                    for count in &mut oracle[blocks] {
                        *count = (*count - 1).max(1);
                    }
                }
                for shared in all_runs(&owners) {
                    let (first, last) = (shared.run.block, shared.run.end() - 1);
                    prop_assert_eq!(first / GROUP_BLOCKS, last / GROUP_BLOCKS);
                    for block in first..=last {
                        prop_assert_eq!(oracle[block as usize], shared.owners);
                    }
                }
                let counted: u64 = all_runs(&owners).iter().map(|s| s.run.len_blocks).sum();
                let expected = oracle.iter().filter(|count| **count > 1).count();
                prop_assert_eq!(counted, expected as u64);
                let (places, len_blocks) = owners.places(run);
                let same = oracle[run.block as usize..run.end() as usize]
                    .iter()
                    .take_while(|count| (**count == 1) == (places == Places::One))
                    .count();
                prop_assert!(len_blocks >= 1 && len_blocks <= same as u64);
            }
        }
    }

    #[test]
    fn a_checkpoint_gets_what_changed_and_after_a_failure_once_more() {
        let owners = loaded();
        owners.share(Run::new(500, 30));
        let changed = owners.take_changed();
        let parts: Vec<Range<u64>> = changed.iter().map(|(blocks, _)| blocks.clone()).collect();
        assert_eq!(parts, [0..512, 512..1024]);
        assert_eq!(changed[1].1[0].run, Run::new(512, 18));
        assert_eq!(owners.take_changed(), []);
        owners.restore_changed(parts);
        assert_eq!(owners.take_changed(), changed);
    }

    #[test]
    fn what_the_medium_has_is_read_once() {
        let owners = Owners::default();
        assert_eq!(owners.load_once(|| Err("unreadable")), Err("unreadable"));
        let run = Run::new(7, 3);
        let stored = vec![SharedRun { run, owners: 2 }];
        let read = owners.load_once(|| Ok::<_, Infallible>(stored));
        assert_eq!(read, Ok(()));
        let again = owners.load_once(|| -> Result<_, Infallible> { unreachable!("read before") });
        assert_eq!(again, Ok(()));
        assert_eq!(owners.drop_one(run), []);
        assert_eq!(owners.drop_one(run), [run]);
        assert_eq!(owners.take_changed().len(), 1, "loading changes nothing");
    }
}
