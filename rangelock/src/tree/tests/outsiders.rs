//! Outsiders for tests of the tree: a few words behind one header, by the protocol that `slots` has
//! for a shard. Written once more here so that the tree can be tested by itself, and kept as plain
//! as it can be: one header for all bytes, and bounds below 256.

use super::outside::{Notice, Outside};
use super::{Holding, Node, TreeLock};
use crate::mode::Mode;
use crate::span::Span;
use crate::sync::Ordering::SeqCst;
use crate::sync::{AtomicU64, fence_after_announcing};
use std::ptr::NonNull;

/// How many outsiders there can be at once.
pub(super) const PLACES: usize = if cfg!(loom) { 2 } else { 4 };

const FREE: u64 = 0;
const TAKEN: u64 = 1;
const WRITES: u64 = 2;
const NOTICE: u64 = 4;

/// The outsiders, if there are any at all.
pub(super) struct Outsiders(Option<Places>);

struct Places {
    header: AtomicU64,
    words: [AtomicU64; PLACES],
    /// A mistake: a newcomer does not look at the header again after it has looked at the words.
    looks_once: bool,
}

fn pack(span: Span, mode: Mode) -> u64 {
    assert!(span.last < 256, "too far for a test's outsider");
    let writes = if mode == Mode::Write { WRITES } else { 0 };
    TAKEN | writes | span.first << 8 | span.last << 16
}

fn unpack(word: u64) -> (Span, Mode) {
    let span = Span {
        first: word >> 8 & 0xff,
        last: word >> 16 & 0xff,
    };
    let mode = match word & WRITES {
        0 => Mode::Read,
        _ => Mode::Write,
    };
    (span, mode)
}

fn conflicts(word: u64, (span, mode): (Span, Mode)) -> bool {
    let (other_span, other_mode) = unpack(word);
    word != FREE && other_span.overlaps(span) && other_mode.conflicts_with(mode)
}

impl Places {
    fn occupy(&self, span: Span, mode: Mode) -> Option<usize> {
        self.words.iter().position(|place| {
            let word = pack(span, mode);
            place.compare_exchange(FREE, word, SeqCst, SeqCst).is_ok()
        })
    }

    /// Whether anybody but `own` conflicts.
    fn others_conflict(&self, own: usize, wanted: (Span, Mode)) -> bool {
        let mut others = self.words.iter().enumerate();
        others.any(|(place, word)| place != own && conflicts(word.load(SeqCst), wanted))
    }
}

impl Outsiders {
    pub(super) const NOBODY: Self = Self(None);

    pub(super) fn new() -> Self {
        Self(Some(Places {
            header: AtomicU64::new(0),
            words: std::array::from_fn(|_| AtomicU64::new(FREE)),
            looks_once: false,
        }))
    }

    #[cfg(loom)]
    pub(super) fn looking_once() -> Self {
        let mut outsiders = Self::new();
        outsiders.0.as_mut().unwrap().looks_once = true;
        outsiders
    }

    /// Takes a place without the tree's mutex, if nothing speaks against it.
    pub(super) fn attempt(&self, tree: &TreeLock, span: Span, mode: Mode) -> Option<usize> {
        let places = self.0.as_ref()?;
        let place = places.occupy(span, mode)?;
        fence_after_announcing();
        let is_closed = || places.header.load(SeqCst) != 0;
        let is_objected_to = is_closed()
            || places.others_conflict(place, (span, mode))
            || !places.looks_once && is_closed();
        if is_objected_to {
            self.release(tree, place);
            return None;
        }
        Some(place)
    }

    pub(super) fn release(&self, tree: &TreeLock, place: usize) {
        let word = self.places().words[place].swap(FREE, SeqCst);
        if word & NOTICE != 0 {
            let (span, mode) = unpack(word);
            tree.reconsider(self, span, mode);
        }
    }

    /// Moves an outsider into the tree, if it is not there.
    pub(super) fn linked(&self, tree: &TreeLock, holding: Holding<usize>) -> NonNull<Node> {
        match holding {
            Holding::Linked(node) => node,
            Holding::Outside(place) => {
                let (span, mode) = unpack(self.places().words[place].load(SeqCst));
                tree.adopt_pooled(self, span, mode, || {
                    // Those who asked for notice count the node now.
                    self.places().words[place].swap(FREE, SeqCst);
                })
            }
        }
    }

    fn places(&self) -> &Places {
        self.0
            .as_ref()
            .expect("who has a place has it among places")
    }

    /// How often all is closed, and how many places are taken.
    pub(super) fn closings_and_taken(&self) -> (u64, usize) {
        let Some(places) = &self.0 else {
            return (0, 0);
        };
        let taken = places.words.iter().filter(|word| word.load(SeqCst) != FREE);
        (places.header.load(SeqCst), taken.count())
    }
}

impl Outside for Outsiders {
    type Place = usize;

    fn close(&self, _span: Span) {
        if let Some(places) = &self.0 {
            places.header.fetch_add(1, SeqCst);
            fence_after_announcing();
        }
    }

    fn reopen(&self, _span: Span) {
        if let Some(places) = &self.0 {
            places.header.fetch_sub(1, SeqCst);
        }
    }

    fn blocks(&self, span: Span, mode: Mode, notice: Notice) -> bool {
        let Some(places) = &self.0 else {
            return false;
        };
        places.words.iter().any(|place| {
            let mut seen = place.load(SeqCst);
            while conflicts(seen, (span, mode)) {
                if notice == Notice::None || seen & NOTICE != 0 {
                    return true;
                }
                match place.compare_exchange(seen, seen | NOTICE, SeqCst, SeqCst) {
                    Ok(_) => return true,
                    Err(now) => seen = now,
                }
            }
            false
        })
    }

    fn settle(&self, span: Span, mode: Mode) -> Option<usize> {
        self.0.as_ref()?.occupy(span, mode)
    }

    fn is_listing_due(&self) -> bool {
        false
    }

    fn list(&self, _span: Span, _mode: Mode) -> bool {
        false
    }

    fn unlist(&self, _span: Span, _mode: Mode) {}

    fn dismiss(&self, _span: Span, _mode: Mode) -> bool {
        false
    }
}
