//! One word of a shard: who uses which part of the range, in 64 bits, exactly.
//!
//! ```text
//!   63    62     61    60     59 ................................ 0
//!   HELD  WRITE  FLAG  OTHER  first (60 - L bits) | length - 1 (L bits)
//!                             or, in a head with OTHER: first (60 bits), and all that follows it
//! ```
//!
//! `L` is chosen once for a lock ([`Format`]). What `FLAG` and `OTHER` mean depends on where the
//! word stands (`shard.rs`). A free word is all zero; one that is neither free nor held speaks of
//! nobody. Touches nothing; takes no lock.

use std::num::NonZeroU64;

use crate::mode::Mode;
use crate::span::Span;

const HELD: u64 = 1 << 63;
const WRITE: u64 = 1 << 62;
const FLAG: u64 = 1 << 61;
/// In a head: the range is open-ended. In a slot: the holder is at home in a former level.
const OTHER: u64 = 1 << 60;
const PAYLOAD_BITS: u32 = 60;
const PAYLOAD: u64 = (1 << PAYLOAD_BITS) - 1;
/// Only in the head of a shard, and only where `HELD` is not.
const SETTLING: u64 = 1;

/// How the words of one lock are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    length_bits: u32,
}

impl Format {
    pub(super) const fn new(length_bits: u32) -> Self {
        Self { length_bits }
    }

    /// The word of a request for at most 2^`L` units below 2^(60 - `L`).
    #[inline]
    pub(super) fn narrow(self, span: Span, mode: Mode) -> Option<Word> {
        let length_less_one = span.last - span.first;
        let fits = (length_less_one >> self.length_bits)
            | (span.first >> (PAYLOAD_BITS - self.length_bits));
        (fits == 0).then(|| {
            Word(HELD | write_bit(mode) | span.first << self.length_bits | length_less_one)
        })
    }

    /// The word of a request for everything from some unit below 2^60 on; for heads only.
    #[inline]
    pub(super) fn open_ended(span: Span, mode: Mode) -> Option<Word> {
        (span.last == u64::MAX && span.first <= PAYLOAD)
            .then(|| Word(HELD | write_bit(mode) | OTHER | span.first))
    }

    /// What the held word of a slot speaks of.
    #[inline]
    pub(super) fn span_in_slot(self, word: Word) -> Span {
        let payload = word.0 & PAYLOAD;
        let first = payload >> self.length_bits;
        let length_less_one = payload & ((1 << self.length_bits) - 1);
        Span {
            first,
            last: first + length_less_one,
        }
    }

    /// What the held word of a head speaks of.
    #[inline]
    pub(super) fn span_in_head(self, word: Word) -> Span {
        if word.0 & OTHER == 0 {
            return self.span_in_slot(word);
        }
        Span {
            first: word.0 & PAYLOAD,
            last: u64::MAX,
        }
    }
}

#[inline]
fn write_bit(mode: Mode) -> u64 {
    match mode {
        Mode::Read => 0,
        Mode::Write => WRITE,
    }
}

/// The content of a slot or of the head of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    pub(super) const FREE: Self = Self(0);
    /// `FLAG` and nothing else.
    pub(super) const FLAGGED: Self = Self(FLAG);
    pub(super) const SETTLING: Self = Self(SETTLING);
    /// What is left in the head of a retired shard when nobody is at home there: what a moved word
    /// becomes if it is taken away as if it had not been moved.
    pub(super) const LEFT: Self = Self(HELD | FLAG);

    #[inline]
    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// The bits of a held word.
    #[inline]
    pub(super) fn held_bits(self) -> NonZeroU64 {
        debug_assert!(self.is_held());
        NonZeroU64::new(HELD).expect("a bit") | self.0
    }

    #[inline]
    pub(super) fn is_held(self) -> bool {
        self.0 & HELD != 0
    }

    #[inline]
    pub(super) fn is_flagged(self) -> bool {
        self.0 & FLAG != 0
    }

    /// Of the head: somebody is finding out whether the shard is quiet.
    #[inline]
    pub(super) fn is_settling(self) -> bool {
        self.0 & (HELD | SETTLING) == SETTLING
    }

    #[inline]
    pub(super) fn mode(self) -> Mode {
        if self.0 & WRITE == 0 {
            Mode::Read
        } else {
            Mode::Write
        }
    }

    /// The same range, to write.
    #[inline]
    pub(super) fn writing(self) -> Self {
        Self(self.0 | WRITE)
    }

    #[inline]
    pub(super) fn flagged(self) -> Self {
        Self(self.0 | FLAG)
    }

    /// As it was put there.
    #[inline]
    pub(super) fn unflagged(self) -> Self {
        Self(self.0 & !FLAG)
    }

    /// The same for a slot, on behalf of somebody at home elsewhere.
    #[inline]
    pub(super) fn standing_in(self) -> Self {
        Self(self.0 | OTHER)
    }

    /// Of a slot: whether it stands in for somebody at home elsewhere.
    #[inline]
    pub(super) fn is_stand_in(self) -> bool {
        self.0 & (HELD | OTHER) == HELD | OTHER
    }

    /// What is left in a retired shard of a word for which another stands in elsewhere.
    #[inline]
    pub(super) fn moved(self) -> Self {
        Self(self.0 & !HELD | FLAG)
    }
}
