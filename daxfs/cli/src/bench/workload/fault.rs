//! DMFL, DMFM, DMFH, DMFP, DMWM, DMWH: faults on pages that no other thread faults, but for DMFP.
//!
//! | | mappings | pages of a thread |
//! |---|---|---|
//! | DMFL | one each, of a file each | the 512 of its file |
//! | DMFM, DMWM | one for all | the 512 of its own 2 MiB |
//! | DMFH, DMWH | one for all | its share of the 512 of one 2 MiB |
//! | DMFP | one each, of one file | the same one |
//!
//! What makes the pages fault again, a release or a punched hole, is between the operations and
//! not counted. Every load is checked; every store is read back. Touches files through the library;
//! takes no locks of its own.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use daxfs::{File, HUGE_PAGE_BYTES, Mapping};

use super::stamp;
use super::{BLOCK_BYTES, Opening, SHARED_FILE, private_file};
use crate::bench::harness::{Coherence, Recorder, Workload};

/// What each thread has for itself where it has 2 MiB, in bytes.
pub(super) const REGION_BYTES: u64 = HUGE_PAGE_BYTES;

/// Whose pages are whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file each.
    OwnFile,
    /// 2 MiB each, of one file.
    OwnRegion,
    /// A share each, of one 2 MiB.
    OneRegion,
    /// One page for all.
    OnePage,
}

impl Place {
    /// How long the file is, in bytes.
    pub(super) fn len_bytes(self, threads: usize) -> u64 {
        match self {
            Self::OwnFile | Self::OneRegion => REGION_BYTES,
            Self::OwnRegion => threads as u64 * REGION_BYTES,
            Self::OnePage => BLOCK_BYTES,
        }
    }

    /// The bytes that thread `thread` of `threads` faults.
    fn bytes(self, thread: usize, threads: usize) -> Range<u64> {
        let share = |thread: usize| {
            let pages = REGION_BYTES / BLOCK_BYTES;
            thread as u64 * pages / threads as u64 * BLOCK_BYTES
        };
        match self {
            Self::OwnFile => 0..REGION_BYTES,
            Self::OwnRegion => thread as u64 * REGION_BYTES..(thread as u64 + 1) * REGION_BYTES,
            Self::OneRegion => share(thread)..share(thread + 1),
            Self::OnePage => 0..BLOCK_BYTES,
        }
    }
}

/// What one thread faults.
struct Lane {
    file: File,
    mapping: Arc<Mapping>,
    bytes: Range<u64>,
}

impl Lane {
    fn open_all(opening: &Opening<'_>, place: Place) -> Result<Vec<Self>> {
        let len_bytes = place.len_bytes(opening.threads);
        let shared = match place {
            Place::OwnFile | Place::OnePage => None,
            Place::OwnRegion | Place::OneRegion => {
                let file = opening.open(SHARED_FILE)?;
                let mapping = Arc::new(opening.map(&file, len_bytes)?);
                Some((file, mapping))
            }
        };
        let lane = |thread: usize| {
            let (file, mapping) = match &shared {
                Some((file, mapping)) => (file.clone(), Arc::clone(mapping)),
                None => {
                    let file = match place {
                        Place::OwnFile => opening.open(&private_file(thread))?,
                        _ => opening.open(SHARED_FILE)?,
                    };
                    let mapping = Arc::new(opening.map(&file, len_bytes)?);
                    (file, mapping)
                }
            };
            let bytes = place.bytes(thread, opening.threads);
            Ok(Self {
                file,
                mapping,
                bytes,
            })
        };
        (0..opening.threads).map(lane).collect()
    }

    fn pages(&self) -> impl Iterator<Item = u64> + use<> {
        self.bytes.clone().step_by(BLOCK_BYTES as usize)
    }
}

/// How often the page tables of `lanes` were changed.
fn page_table_operations(lanes: &[Lane]) -> u64 {
    let mut seen: Vec<&Arc<Mapping>> = Vec::new();
    for lane in lanes {
        if !seen
            .iter()
            .any(|mapping| Arc::ptr_eq(mapping, &lane.mapping))
        {
            seen.push(&lane.mapping);
        }
    }
    seen.iter()
        .map(|mapping| mapping.counts())
        .map(|counts| counts.maps + counts.unmaps)
        .sum()
}

/// Loads from allocated pages.
pub(super) struct ReadFaults {
    lanes: Vec<Lane>,
    wrong: AtomicBool,
}

impl ReadFaults {
    /// Maps the files for `opening.threads` threads.
    pub(super) fn open(opening: &Opening<'_>, place: Place) -> Result<Self> {
        Ok(Self {
            lanes: Lane::open_all(opening, place)?,
            wrong: AtomicBool::new(false),
        })
    }
}

impl Workload for ReadFaults {
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
        let lane = &self.lanes[thread];
        let mut bytes = [0; 8];
        while recorder.running() {
            for offset_bytes in lane.pages() {
                if !recorder.running() {
                    break;
                }
                recorder.timed(|| Ok(lane.mapping.load(offset_bytes, &mut bytes)?))?;
                if stamp::word(&bytes) != stamp::of_block(offset_bytes) {
                    self.wrong.store(true, Ordering::Relaxed);
                }
            }
            lane.mapping
                .release(lane.bytes.start, lane.bytes.end - lane.bytes.start)?;
        }
        Ok(())
    }

    fn verify(&self) -> Result<Coherence> {
        Ok(match self.wrong.load(Ordering::Relaxed) {
            false => Coherence::Coherent,
            true => Coherence::Incoherent("a load returned the bytes of another page"),
        })
    }

    fn page_table_operations(&self) -> Option<u64> {
        Some(page_table_operations(&self.lanes))
    }
}

/// Stores to holes.
pub(super) struct WriteFaults {
    lanes: Vec<Lane>,
    wrong: AtomicBool,
}

impl WriteFaults {
    /// Maps the file for `opening.threads` threads.
    pub(super) fn open(opening: &Opening<'_>, place: Place) -> Result<Self> {
        Ok(Self {
            lanes: Lane::open_all(opening, place)?,
            wrong: AtomicBool::new(false),
        })
    }
}

/// Whether `read_at` returns what was stored to the page, and zeroes after it.
fn holds(file: &File, offset_bytes: u64, stamp: u64) -> Result<bool> {
    let mut bytes = [0; 16];
    file.read_at(&mut bytes, offset_bytes)?;
    Ok(stamp::word(&bytes[..8]) == stamp && stamp::word(&bytes[8..]) == 0)
}

impl Workload for WriteFaults {
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
        let lane = &self.lanes[thread];
        while recorder.running() {
            let stamp = stamp::fresh();
            let mut stored = 0;
            for offset_bytes in lane.pages() {
                if !recorder.running() {
                    break;
                }
                let bytes = stamp.to_le_bytes();
                recorder.timed(|| Ok(lane.mapping.store(offset_bytes, &bytes)?))?;
                stored += 1;
            }
            for offset_bytes in lane.pages().take(stored) {
                if !holds(&lane.file, offset_bytes, stamp)? {
                    self.wrong.store(true, Ordering::Relaxed);
                }
            }
            lane.file
                .punch_hole(lane.bytes.start, lane.bytes.end - lane.bytes.start)?;
        }
        Ok(())
    }

    fn verify(&self) -> Result<Coherence> {
        Ok(match self.wrong.load(Ordering::Relaxed) {
            false => Coherence::Coherent,
            true => Coherence::Incoherent("read did not return what was stored"),
        })
    }

    fn page_table_operations(&self) -> Option<u64> {
        Some(page_table_operations(&self.lanes))
    }
}
