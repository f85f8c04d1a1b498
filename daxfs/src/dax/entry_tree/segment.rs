//! The words of the entries of one aligned 2 MiB of a file.
//!
//! One word for the whole, and words for its pages, which are made when a page first needs one: a
//! file that is mapped by 2 MiB has no others. Touches nothing but itself. Takes no locks.

use crate::dax::entry::Size;
use crate::sync::{AtomicU64, OnceLock};

/// Pages whose words are made together: 64, as in a node of Linux's XArray. (Fewer in models: see
/// [`crate::sync`].)
const LEAF_PAGES: usize = if cfg!(loom) { 2 } else { 64 };
const LEAVES: usize = Size::Large.pages() as usize / LEAF_PAGES;

/// The words of 512 pages.
#[derive(Default)]
pub(super) struct Segment {
    /// The entry of all of them, or that they are divided.
    pub(super) whole: AtomicU64,
    leaves: [OnceLock<Box<[AtomicU64; LEAF_PAGES]>>; LEAVES],
}

impl Segment {
    /// The word of a page, counted from anywhere that is aligned, if it was ever needed.
    pub(super) fn page(&self, page: u64) -> Option<&AtomicU64> {
        let (leaf, slot) = position(page);
        self.leaves[leaf].get().map(|words| &words[slot])
    }

    /// The word of a page, made now if need be.
    pub(super) fn page_or_new(&self, page: u64) -> &AtomicU64 {
        let (leaf, slot) = position(page);
        let words =
            self.leaves[leaf].get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        &words[slot]
    }

    /// How much memory the words of pages take, in bytes.
    pub(super) fn leaf_bytes(&self) -> u64 {
        let leaves = self.leaves.iter().filter(|leaf| leaf.get().is_some());
        (leaves.count() * size_of::<[AtomicU64; LEAF_PAGES]>()) as u64
    }
}

fn position(page: u64) -> (usize, usize) {
    let in_segment = (page % Size::Large.pages()) as usize;
    (in_segment / LEAF_PAGES, in_segment % LEAF_PAGES)
}
