//! The runs of device blocks behind a file, one item for each part of it.
//!
//! A file is cut into segments of 512 blocks, 2 MiB, as a huge page covers; no run crosses from one
//! into the next. A change of a segment replaces its items, at most eight, and leaves all others
//! alone. What lies between two runs is a hole and reads as zeroes. Plain values, no locks.

use std::ops::Range;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::MAXIMUM_VALUE_BYTES;
use super::key::{ItemKind, Key};
use crate::format::error::{Fields, FormatError, Structure};
use crate::format::geometry::{DATA_START_BLOCK, MAXIMUM_BLOCKS, MAXIMUM_FILE_BLOCKS};

/// Blocks of a file in one segment: 2 MiB.
pub(crate) const SEGMENT_BLOCKS: u64 = 512;
/// The most runs that one item holds. A segment with more has several items.
pub(crate) const RUNS_PER_ITEM: usize = 64;

/// Bit of `flags`: other file blocks may refer to the blocks of the run too.
const SHARED_FLAG: u32 = 1;
const RUN_LEN: usize = 16;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawStoredRun {
    pub(in crate::format) offset_in_segment: U16,
    pub(in crate::format) len_blocks: U16,
    pub(in crate::format) flags: U32,
    pub(in crate::format) device_block: U64,
}

const _: () = assert!(size_of::<RawStoredRun>() == RUN_LEN);
const _: () = assert!(RUNS_PER_ITEM * RUN_LEN == MAXIMUM_VALUE_BYTES);

/// Whether anything else may refer to the blocks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sharing {
    /// This file alone has them: they may be written in place.
    Exclusive,
    /// Others may have them too: they must be copied before they are written, and whoever drops
    /// them counts down their owners.
    Shared,
}

/// A run of device blocks that holds a run of blocks of a file, within one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StoredRun {
    /// The first block within the file.
    pub(crate) file_block: u64,
    /// The block on the device that holds it.
    pub(crate) device_block: u64,
    /// How many blocks: 1 to 512, and not beyond the segment.
    pub(crate) len_blocks: u64,
    /// Whether anything else may refer to them.
    pub(crate) sharing: Sharing,
}

impl StoredRun {
    /// The file block after the last.
    pub(crate) fn file_end(&self) -> u64 {
        self.file_block.saturating_add(self.len_blocks)
    }

    /// The device block after the last.
    pub(crate) fn device_end(&self) -> u64 {
        self.device_block.saturating_add(self.len_blocks)
    }

    /// Whether `next` continues this run, in the file and on the device, so that both must be one
    /// where they lie in one segment.
    pub(crate) fn is_continued_by(&self, next: &Self) -> bool {
        self.file_end() == next.file_block
            && self.device_end() == next.device_block
            && self.sharing == next.sharing
    }
}

/// The segment that holds a file's block.
pub(crate) fn segment_of(file_block: u64) -> u64 {
    file_block / SEGMENT_BLOCKS
}

/// The keys that items of one segment of a file can have.
pub(crate) fn segment_keys(inode: u64, segment: u64) -> Range<Key> {
    let key = |segment: u64| Key::new(inode, ItemKind::Extents, segment * SEGMENT_BLOCKS);
    key(segment)..key(segment + 1)
}

/// The items of `segment`: positions and values. `runs` are sorted, within the segment, and
/// maximal.
pub(crate) fn encode_extents(segment: u64, runs: &[StoredRun]) -> Vec<(u64, Vec<u8>)> {
    debug_assert!(runs.iter().all(|run| is_within(run, segment)));
    debug_assert!(
        runs.windows(2)
            .all(|pair| pair[0].file_end() <= pair[1].file_block)
    );
    debug_assert!(
        runs.windows(2)
            .all(|pair| !pair[0].is_continued_by(&pair[1]))
    );
    let item = |runs: &[StoredRun]| {
        let value = runs.iter().flat_map(encode_run).collect();
        (runs[0].file_block, value)
    };
    runs.chunks(RUNS_PER_ITEM).map(item).collect()
}

fn is_within(run: &StoredRun, segment: u64) -> bool {
    let start = segment * SEGMENT_BLOCKS;
    run.len_blocks > 0 && run.file_block >= start && run.file_end() <= start + SEGMENT_BLOCKS
}

fn encode_run(run: &StoredRun) -> [u8; RUN_LEN] {
    let raw = RawStoredRun {
        offset_in_segment: ((run.file_block % SEGMENT_BLOCKS) as u16).into(),
        len_blocks: (run.len_blocks as u16).into(),
        flags: match run.sharing {
            Sharing::Exclusive => U32::ZERO,
            Sharing::Shared => SHARED_FLAG.into(),
        },
        device_block: run.device_block.into(),
    };
    zerocopy::transmute!(raw)
}

/// Decodes one item. Checks what the item alone can show: every run by itself, their order, that
/// none could be joined with the next, and that the position is that of the first.
pub(crate) fn decode_extents(position: u64, value: &[u8]) -> Result<Vec<StoredRun>, FormatError> {
    let fields = Fields(Structure::Extent);
    let raw_runs = <[RawStoredRun]>::ref_from_bytes(value)
        .map_err(|_| fields.invalid("length", "is no multiple of 16"))?;
    fields.range("runs", 1, RUNS_PER_ITEM as u64, raw_runs.len() as u64)?;
    fields.range("position", 0, MAXIMUM_FILE_BLOCKS - 1, position)?;
    let segment = segment_of(position);
    let mut runs: Vec<StoredRun> = Vec::with_capacity(raw_runs.len());
    for (entry, raw) in raw_runs.iter().enumerate() {
        let run = decode_run(segment, raw).map_err(|error| error.in_entry(entry))?;
        if let Some(before) = runs.last() {
            check_order(before, &run).map_err(|error| error.in_entry(entry))?;
        } else {
            fields.equal("position", run.file_block, position)?;
        }
        runs.push(run);
    }
    Ok(runs)
}

fn decode_run(segment: u64, raw: &RawStoredRun) -> Result<StoredRun, FormatError> {
    let fields = Fields(Structure::Extent);
    let offset = u64::from(raw.offset_in_segment.get());
    fields.range("offset_in_segment", 0, SEGMENT_BLOCKS - 1, offset)?;
    let len_blocks = u64::from(raw.len_blocks.get());
    fields.range("len_blocks", 1, SEGMENT_BLOCKS - offset, len_blocks)?;
    let flags = raw.flags.get();
    fields.range("flags", 0, SHARED_FLAG.into(), flags.into())?;
    let most = MAXIMUM_BLOCKS - len_blocks;
    let device_block = raw.device_block.get();
    fields.range("device_block", DATA_START_BLOCK, most, device_block)?;
    Ok(StoredRun {
        file_block: segment * SEGMENT_BLOCKS + offset,
        device_block,
        len_blocks,
        sharing: if flags == 0 {
            Sharing::Exclusive
        } else {
            Sharing::Shared
        },
    })
}

fn check_order(before: &StoredRun, run: &StoredRun) -> Result<(), FormatError> {
    let fields = Fields(Structure::Extent);
    if run.file_block < before.file_end() {
        return Err(fields.invalid("offset_in_segment", "is not past the run before"));
    }
    if before.is_continued_by(run) {
        return Err(fields.invalid("run", "continues the one before: both must be one"));
    }
    Ok(())
}
