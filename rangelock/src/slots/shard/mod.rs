//! One shard: a head, a count of nodes and a few slots, on a cache line of their own.
//!
//! Everything the protocol does to memory happens in this file; the head of `slots/mod.rs` has the
//! protocol, the invariants and the argument. Takes no lock; `close`, `reopen`, `blocks` and
//! `settle` are called on behalf of the tree, under its mutex.

mod moving;
mod place;

use std::ptr::NonNull;

pub(crate) use self::place::{Departure, Place};
use super::SLOTS;
use super::granule::Granule;
use super::wide::WideHolders;
use super::word::{Format, Word};
use crate::mode::Mode;
use crate::probe::{Fault, Probe};
use crate::span::Span;
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use crate::sync::{AtomicU32, AtomicU64, fence_after_announcing};
use crate::tree::Notice;

/// A shard is retired while this is set in its count of nodes.
const RETIRED: u32 = 1 << 31;
/// One listed node in the count of nodes: above those that are not listed.
const LISTED: u32 = 1 << 24;
/// Nodes that are not listed, or a retired shard: nobody gets in.
const SHUT: u32 = RETIRED | (LISTED - 1);
/// As many nodes as need more memory than there is.
const TOO_MANY: u32 = LISTED / 2;

/// So many times in a row somebody must find himself alone in a crowded shard before it is
/// uncrowded: the price of two threads that take turns in one shard is paid once in so many pairs.
const CALM_ARRIVALS: u32 = 16;
/// Somebody who finds another one here counts for so many who find nobody. The table helps those
/// who meet in more than one of so many arrivals: to move a cache line costs as much as many pairs
/// that meet nobody. With equal weights two threads that meet half of the time made a random walk
/// of it: the table grew after five thousand pairs, or after three million.
const MEETING_WEIGHT: u32 = 8;
/// By so much meetings must outweigh the other arrivals before the table grows: 128 meetings at
/// least.
const PRESSING: u32 = 128 * MEETING_WEIGHT;
const PRESSURE_UNIT: u32 = 1 << 16;
const CALM_MASK: u32 = PRESSURE_UNIT - 1;

/// As large as a cache line, and aligned like one.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Shard {
    /// First, so that a pointer to it is one to the shard.
    head: AtomicU64,
    /// How many nodes of the tree concern this shard: those that are not listed, those that are,
    /// and `RETIRED`.
    nodes: AtomicU32,
    /// How calm and how crowded this shard was of late; a hint, and not kept exactly.
    mood: AtomicU32,
    slots: [AtomicU64; SLOTS],
}

/// A request as the slots see it.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) span: Span,
    pub(super) mode: Mode,
    pub(super) word: Word,
    pub(super) format: Format,
}

/// Where to look up the listed nodes.
#[derive(Clone, Copy)]
pub(super) struct Listed<'table> {
    pub(super) holders: &'table WideHolders,
    /// That of the level.
    pub(super) granule: Granule,
}

impl Listed<'_> {
    #[inline]
    fn may_exclude(self, request: &Request) -> bool {
        self.holders
            .may_exclude(self.granule, request.span, request.mode)
    }
}

impl Request {
    #[inline]
    fn is_excluded_by_slot(&self, bits: u64) -> bool {
        let word = Word::from_bits(bits);
        word.is_held()
            && self.mode.conflicts_with(word.mode())
            && self.format.span_in_slot(word).overlaps(self.span)
    }

    #[inline]
    fn is_excluded_by_head(&self, bits: u64) -> bool {
        let word = Word::from_bits(bits);
        word.is_held()
            && self.mode.conflicts_with(word.mode())
            && self.format.span_in_head(word).overlaps(self.span)
    }
}

/// A held word, and where it stands: what it says depends on that.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    InHead(Word),
    InSlot(Word),
}

impl Held {
    pub(super) fn word(self) -> Word {
        match self {
            Held::InHead(word) | Held::InSlot(word) => word,
        }
    }

    pub(super) fn span(self, format: Format) -> Span {
        match self {
            Held::InHead(word) => format.span_in_head(word),
            Held::InSlot(word) => format.span_in_slot(word),
        }
    }
}

/// How a shard was found by a newcomer that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Nobody,
    Others,
    /// Others, and at least one of them excludes the newcomer.
    Excluders,
}

// ---- Without the mutex --------------------------------------------------------------------------

impl Shard {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            nodes: AtomicU32::new(0),
            mood: AtomicU32::new(0),
            slots: [const { AtomicU64::new(0) }; SLOTS],
        }
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            nodes: AtomicU32::new(0),
            mood: AtomicU32::new(0),
            slots: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// A shard that takes nobody in.
    #[cfg(not(loom))]
    pub(super) const fn new_retired() -> Self {
        Self {
            head: AtomicU64::new(Word::FLAGGED.bits()),
            nodes: AtomicU32::new(RETIRED),
            ..Self::new()
        }
    }

    #[cfg(loom)]
    pub(super) fn new_retired() -> Self {
        let shard = Self::new();
        shard.clear();
        shard
    }

    /// A shard in which nobody may be alone before it was found quiet.
    pub(super) fn new_crowded() -> Self {
        let shard = Self::new();
        shard.crowd();
        shard
    }

    /// Step 1: holds `word` alone, if nobody else is here.
    #[inline]
    pub(super) fn try_alone(&self, word: Word) -> Option<Place> {
        // Acquire pairs with the Release of `release` and of `uncrowd`: without it this holder
        // could miss the work of those who were here before.
        let free = Word::FREE.bits();
        // Relaxed load: spares a futile RMW. Models do without, see `lock/tests/loom`.
        let taken = (cfg!(loom) || self.head.load(Relaxed) == free)
            && self
                .head
                .compare_exchange(free, word.bits(), Acquire, Relaxed)
                .is_ok();
        taken.then(|| Place {
            at: NonNull::from(self).cast(),
            bits: word.held_bits(),
        })
    }

    /// Steps 2 to 6: announces the request beside others, and keeps it if nobody objects.
    ///
    /// `withdrawn` is called if the announcement was withdrawn and that is of interest to others.
    #[inline]
    pub(super) fn attempt(
        &self,
        request: &Request,
        listed: Listed<'_>,
        withdrawn: impl FnOnce(Departure),
        probe: &Probe,
    ) -> Option<Place> {
        // Relaxed: only spares a futile announcement; what counts is the second look.
        if self.nodes.load(Relaxed) & SHUT != 0 || !self.is_crowded_for(request) {
            return None;
        }
        let place = self.settle(request)?;
        if !probe.injects(Fault::NoBarrierAfterAnnouncing) {
            fence_after_announcing();
        }
        let company = self.company_of(request, listed, place, probe);
        if company != Company::Excluders {
            self.note(company);
            return Some(place);
        }
        // SAFETY: it was put there just now.
        let departure = unsafe { place.release() };
        if departure != Departure::Unnoticed && !probe.injects(Fault::RetractsSilently) {
            withdrawn(departure);
        }
        None
    }

    /// Makes sure that holders look at the slots, unless the request is excluded anyway.
    #[inline]
    fn is_crowded_for(&self, request: &Request) -> bool {
        // Relaxed: only to see what is to be done; `company_of` looks again.
        let head = Word::from_bits(self.head.load(Relaxed));
        if !head.is_flagged() {
            if head.is_settling() || request.is_excluded_by_head(head.bits()) {
                return false;
            }
            self.crowd();
        }
        true
    }

    /// The count of nodes, and whom of them the list has; then the head and the slots; then the
    /// count again (Invariant 4).
    #[inline]
    fn company_of(
        &self,
        request: &Request,
        listed: Listed<'_>,
        own: Place,
        probe: &Probe,
    ) -> Company {
        // SeqCst pairs with `close`: of an announcement and a closing, the later one sees the
        // earlier. It also acquires what `reopen` released: a tree holder that has left, or a word
        // that the tree put into a slot; and what `list` and `unlist` did. The second look finds
        // what was taken out of a slot, or off the list, while this request looked around.
        let nodes = self.nodes.load(SeqCst);
        if nodes & SHUT != 0 && !probe.injects(Fault::CountNotReread) {
            return Company::Excluders;
        }
        let is_excluded_by_listed = nodes >= LISTED && listed.may_exclude(request);
        if is_excluded_by_listed && !probe.injects(Fault::ListNotRead) {
            return Company::Excluders;
        }
        let company = self.company_in_words(request, own, probe);
        let is_shut_now = self.nodes.load(SeqCst) & SHUT != 0;
        match is_shut_now && !probe.injects(Fault::CountNotReadAgain) {
            true => Company::Excluders,
            false => company,
        }
    }

    #[inline]
    fn company_in_words(&self, request: &Request, own: Place, probe: &Probe) -> Company {
        // SeqCst pairs with the first step of `uncrowd`: either that comes later and finds this
        // announcement, or it is seen here. It also acquires what the last lone holder released.
        let head = Word::from_bits(self.head.load(SeqCst));
        // SeqCst pairs with `settle` in another thread: of two announcements the later one sees the
        // earlier. It also acquires what the last user of the slot released.
        let words: [u64; SLOTS] = std::array::from_fn(|slot| {
            let is_own = NonNull::from(&self.slots[slot]) == own.at;
            if is_own {
                0
            } else {
                self.slots[slot].load(SeqCst)
            }
        });
        if head == Word::FLAGGED && words.iter().fold(0, |all, word| all | word) == 0 {
            return Company::Nobody;
        }
        let closed_to_lone_holders = head.is_flagged() && !head.is_settling();
        let excluded = !(closed_to_lone_holders || probe.injects(Fault::UncrowdsUnseen))
            || request.is_excluded_by_head(head.bits())
            || words.iter().any(|&word| request.is_excluded_by_slot(word));
        if excluded {
            Company::Excluders
        } else {
            Company::Others
        }
    }

    // ---- Alone or crowded -----------------------------------------------------------------------

    /// From here on a lone holder sees, on leaving, that he was not alone, and none can come.
    #[inline]
    fn crowd(&self) {
        let flag = Word::FLAGGED.bits();
        // SeqCst pairs with the release of a lone holder, as described at `Place::release`, and
        // with `uncrowd`. That the flag was seen is as good as having set it: to take it away
        // somebody must afterwards look at the nodes and slots.
        if cfg!(loom) || self.head.load(SeqCst) & flag == 0 {
            self.head.fetch_or(flag, SeqCst);
        }
    }

    /// Remembers how this shard was found. Relaxed, and not one step: hints.
    #[inline]
    fn note(&self, company: Company) {
        if cfg!(loom) {
            return;
        }
        let mood = self.mood.load(Relaxed);
        let (calm, pressure) = (mood & CALM_MASK, mood / PRESSURE_UNIT);
        let now = match company {
            Company::Nobody => {
                pressure.saturating_sub(1) * PRESSURE_UNIT + (calm + 1).min(CALM_ARRIVALS)
            }
            _ => (pressure + MEETING_WEIGHT).min(PRESSING) * PRESSURE_UNIT,
        };
        self.mood.store(now, Relaxed);
    }

    /// Remembers somebody who found nobody here, and has no slot to find that out by.
    pub(super) fn note_if_quiet(&self) {
        // Relaxed: a hint.
        if self.nodes.load(Relaxed) == 0 && self.held().next().is_none() {
            self.note(Company::Nobody);
        }
    }

    /// Whether somebody alone has been here often enough to let lone holders in again.
    #[inline]
    pub(super) fn is_calm(&self) -> bool {
        // Models take every arrival for the last of a long calm.
        cfg!(loom) || self.mood.load(Relaxed) & CALM_MASK >= CALM_ARRIVALS
    }

    /// Lets lone holders in again if it is calm, and then holds `word` alone if it can.
    #[inline]
    pub(super) fn try_alone_if_calm(&self, word: Word) -> Option<Place> {
        if !self.is_calm() {
            return None;
        }
        self.uncrowd();
        self.try_alone(word)
    }

    /// Whether requests have met here often enough to give them more room. Asked once, it is
    /// forgotten.
    #[inline]
    pub(super) fn is_pressing(&self) -> bool {
        let pressing = self.mood.load(Relaxed) / PRESSURE_UNIT >= PRESSING;
        if pressing {
            self.mood.store(0, Relaxed);
        }
        pressing
    }

    /// Forgets how calm it was, and not how often others were met: threads that meet now and then
    /// may change between the two states again and again.
    fn stay_crowded(&self) {
        self.mood
            .store(self.mood.load(Relaxed) & !CALM_MASK, Relaxed);
    }

    fn forget_mood(&self) {
        self.mood.store(0, Relaxed);
    }

    /// Lets lone holders in again, if nobody is here.
    pub(super) fn uncrowd(&self) {
        self.stay_crowded();
        let (crowded, settling) = (Word::FLAGGED.bits(), Word::SETTLING.bits());
        // SeqCst pairs with the head load of `words_object` and of `crowd`: whoever has seen the
        // flag before has announced himself, or raised the count, before the look that follows.
        let begun = self
            .head
            .compare_exchange(crowded, settling, SeqCst, Relaxed);
        if begun.is_err() {
            return;
        }
        fence_after_announcing();
        // The nodes first (Invariant 4). SeqCst pairs with `close` and `settle`; both acquire the
        // work of those who have left, which the next lone holder needs.
        let quiet =
            self.nodes.load(SeqCst) == 0 && self.slots.iter().all(|slot| slot.load(SeqCst) == 0);
        let next = if quiet { Word::FREE.bits() } else { crowded };
        // Release pairs with the Acquire of `try_alone`.
        if self
            .head
            .compare_exchange(settling, next, AcqRel, Relaxed)
            .is_err()
        {
            // Somebody has set the flag meanwhile and relies on it; or the word was that of a moved
            // reader of the first byte, which looks the same, and he has left. Never may a retired
            // head look free. RMWs, so that those who released the head before are still acquired
            // by those who read it.
            self.head.fetch_or(crowded, AcqRel);
            self.head.fetch_and(!settling, AcqRel);
        }
    }

    // ---- For the tree, under its mutex ----------------------------------------------------------

    /// Sends newcomers to the tree.
    #[inline]
    pub(super) fn close(&self) {
        // SeqCst pairs with the look at the nodes in `is_objected_to`, `uncrowd` and
        // `Place::release`.
        let before = self.nodes.fetch_add(1, SeqCst);
        if before & (LISTED - 1) > TOO_MANY {
            too_many_nodes();
        }
        fence_after_announcing();
        self.crowd();
        fence_after_announcing();
    }

    /// Ends one `close`.
    #[inline]
    pub(super) fn reopen(&self) {
        // Release pairs with the look at the nodes in `is_objected_to` and `uncrowd`: without it a
        // newcomer could miss the work of the tree holder that leaves, or the slot that the tree
        // has just filled.
        self.nodes.fetch_sub(1, Release);
    }

    /// Counts one of the nodes as listed, after it was entered in the list.
    pub(super) fn list(&self) {
        // Release pairs with the looks at the nodes: who finds it counted so, finds it listed.
        self.nodes.fetch_add(LISTED - 1, Release);
    }

    /// Counts a listed node as one that is not, before it is taken out of the list.
    pub(super) fn unlist(&self) {
        // SeqCst as in `close`: the node may be about to change, and then looks around.
        self.nodes.fetch_sub(LISTED - 1, SeqCst);
        fence_after_announcing();
    }

    /// Whether more nodes than one are in the way of newcomers.
    pub(super) fn is_closed_twice(&self) -> bool {
        // Relaxed: only the mutex changes the count.
        self.nodes.load(Relaxed) & (LISTED - 1) > 1
    }

    /// Whether somebody here excludes the request, after `close` or `retire`. With
    /// [`Notice::Leave`] the first one found will tell the tree when he leaves: whoever waits for
    /// several of them looks again then.
    pub(super) fn blocks(&self, request: &Request, notice: Notice, probe: &Probe) -> bool {
        // SeqCst pairs with `try_alone` by way of `crowd`: whoever is alone here came before the
        // head was flagged, and sees the nodes when he leaves.
        request.is_excluded_by_head(self.head.load(SeqCst))
            || self
                .slots
                .iter()
                .any(|slot| slot_blocks(slot, request, notice, probe))
    }

    /// Puts the request's word into a free slot, if there is one.
    #[inline]
    pub(super) fn settle(&self, request: &Request) -> Option<Place> {
        self.put(request.word)
    }

    #[inline]
    fn put(&self, word: Word) -> Option<Place> {
        let (free, bits) = (Word::FREE.bits(), word.bits());
        let slot = self.slots.iter().find(|slot| {
            // SeqCst pairs with the loads of `company_in_words`, `uncrowd` and `blocks`; it also
            // acquires what the last user of the slot released, and keeps up the release sequence
            // for those who read this word instead of the zero.
            (cfg!(loom) || slot.load(Relaxed) == free)
                && slot.compare_exchange(free, bits, SeqCst, Relaxed).is_ok()
        })?;
        Some(Place {
            at: NonNull::from(slot),
            bits: word.flagged().held_bits(),
        })
    }

    // ---- Looking on -----------------------------------------------------------------------------

    /// What is held here, as of now.
    pub(super) fn held(&self) -> impl Iterator<Item = Held> {
        let read = |word: &AtomicU64| Word::from_bits(word.load(Relaxed));
        std::iter::once(Held::InHead(read(&self.head)))
            .chain(self.slots.iter().map(move |slot| Held::InSlot(read(slot))))
            .filter(|held| held.word().is_held())
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> u32 {
        let nodes = self.nodes.load(SeqCst) & !RETIRED;
        nodes % LISTED + nodes / LISTED
    }
}

/// Before the count runs over, and lets newcomers in who must wait.
#[cold]
fn too_many_nodes() -> ! {
    std::process::abort();
}

fn slot_blocks(slot: &AtomicU64, request: &Request, notice: Notice, probe: &Probe) -> bool {
    // SeqCst pairs with `settle`; it also acquires what the last user of the slot released.
    let mut seen = slot.load(SeqCst);
    while request.is_excluded_by_slot(seen) {
        let word = Word::from_bits(seen);
        let marked = word.is_flagged() || probe.injects(Fault::WaiterMarksNobody);
        if notice == Notice::None || marked {
            return true;
        }
        // Release pairs with the swap of `Place::release`: the mutex is held here, and whoever
        // finds the mark must take it afterwards. Acquire on failure: the slot may have been freed.
        match slot.compare_exchange(seen, word.flagged().bits(), Release, Acquire) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}
