//! One bit for each block, in groups of 2 MiB, with the number of free blocks in each group.
//!
//! Plain data: touches no device and takes no locks (its owner's mutex guards it).

use crate::run::Run;

/// Blocks in one group: 2 MiB.
pub(crate) const GROUP_BLOCKS: u64 = 512;
const WORD_BLOCKS: u64 = 64;

/// # Invariants
/// 1. `group_free[g]` is the number of clear bits of group `g`.
/// 2. `free_blocks` is the sum of `group_free`.
/// 3. Bits of blocks outside the managed range are set.
pub(super) struct Bitmap {
    /// Bit set: in use. Block `b` is bit `b % 64` of word `b / 64`.
    words: Vec<u64>,
    group_free: Vec<u16>,
    free_blocks: u64,
    first_block: u64,
    block_count: u64,
}

impl Bitmap {
    /// All of `first_block..block_count` free, everything else in use.
    pub(super) fn new(first_block: u64, block_count: u64) -> Self {
        let groups = block_count.div_ceil(GROUP_BLOCKS);
        let mut bitmap = Self {
            words: vec![u64::MAX; (groups * GROUP_BLOCKS / WORD_BLOCKS) as usize],
            group_free: vec![0; groups as usize],
            free_blocks: 0,
            first_block,
            block_count,
        };
        if first_block < block_count {
            bitmap.clear(Run::new(first_block, block_count - first_block));
        }
        bitmap
    }

    pub(super) fn groups(&self) -> usize {
        self.group_free.len()
    }

    pub(super) fn group_start(&self, group: usize) -> u64 {
        group as u64 * GROUP_BLOCKS
    }

    pub(super) fn free_blocks(&self) -> u64 {
        self.free_blocks
    }

    pub(super) fn group_free_blocks(&self, group: usize) -> u64 {
        u64::from(self.group_free[group])
    }

    pub(super) fn is_group_free(&self, group: usize) -> bool {
        self.group_free_blocks(group) == GROUP_BLOCKS
    }

    /// The free run that starts exactly at `block`, within its group and of `max_blocks` at most.
    pub(super) fn free_run_at(&self, block: u64, max_blocks: u64) -> Option<Run> {
        let group_end = (block / GROUP_BLOCKS + 1) * GROUP_BLOCKS;
        let end = (block + max_blocks).min(group_end);
        let len = self.find(block, end, Bit::InUse).unwrap_or(end) - block;
        (len > 0).then(|| Run::new(block, len))
    }

    /// The first free run of a group, of `max_blocks` at most.
    pub(super) fn first_free_run(&self, group: usize, max_blocks: u64) -> Option<Run> {
        let start = self.group_start(group);
        let free = self.find(start, start + GROUP_BLOCKS, Bit::Free)?;
        self.free_run_at(free, max_blocks)
    }

    /// Marks a run in use that was free.
    pub(super) fn set(&mut self, run: Run) {
        let fresh = self.set_if_free(run);
        debug_assert_eq!(fresh, Ok(()), "allocated a block that was in use");
    }

    /// Marks a run in use, or says which block of it was in use (or out of bounds) already.
    pub(super) fn set_if_free(&mut self, run: Run) -> Result<(), u64> {
        if run.block < self.first_block {
            return Err(run.block);
        }
        let end = run.block.checked_add(run.len_blocks).ok_or(run.block)?;
        if end > self.block_count {
            return Err(self.block_count.max(run.block));
        }
        if let Some(block) = self.find(run.block, end, Bit::InUse) {
            return Err(block);
        }
        self.for_each_word(run, |word, mask| *word |= mask);
        self.account(run, |count, blocks| *count -= blocks);
        self.free_blocks -= run.len_blocks;
        Ok(())
    }

    /// Marks a run free that was in use.
    pub(super) fn clear(&mut self, run: Run) {
        debug_assert_eq!(
            self.find(run.block, run.end(), Bit::Free),
            None,
            "freed a block that was free"
        );
        self.for_each_word(run, |word, mask| *word &= !mask);
        self.account(run, |count, blocks| *count += blocks);
        self.free_blocks += run.len_blocks;
    }

    /// The first block in `start..end` whose bit is as asked.
    fn find(&self, start: u64, end: u64, wanted: Bit) -> Option<u64> {
        let mut block = start;
        while block < end {
            let word = match wanted {
                Bit::InUse => self.words[(block / WORD_BLOCKS) as usize],
                Bit::Free => !self.words[(block / WORD_BLOCKS) as usize],
            };
            let rest = word >> (block % WORD_BLOCKS);
            if rest != 0 {
                let found = block + u64::from(rest.trailing_zeros());
                return (found < end).then_some(found);
            }
            block = (block / WORD_BLOCKS + 1) * WORD_BLOCKS;
        }
        None
    }

    fn for_each_word(&mut self, run: Run, change: impl Fn(&mut u64, u64)) {
        let mut block = run.block;
        while block < run.end() {
            let first_bit = block % WORD_BLOCKS;
            let bits = (WORD_BLOCKS - first_bit).min(run.end() - block);
            let mask = (u64::MAX >> (WORD_BLOCKS - bits)) << first_bit;
            change(&mut self.words[(block / WORD_BLOCKS) as usize], mask);
            block += bits;
        }
    }

    fn account(&mut self, run: Run, change: impl Fn(&mut u16, u16)) {
        let mut block = run.block;
        while block < run.end() {
            let group = block / GROUP_BLOCKS;
            let blocks = ((group + 1) * GROUP_BLOCKS - block).min(run.end() - block);
            change(&mut self.group_free[group as usize], blocks as u16);
            block += blocks;
        }
    }
}

#[derive(Clone, Copy)]
enum Bit {
    InUse,
    Free,
}
