//! Any bytes as a schedule, for a fuzzer. Touches nothing.
//!
//! The first byte says which lock is made. After that an operation is one byte, followed by what it
//! needs; bytes that are missing at the end are zero. Small changes to the bytes make small changes
//! to the schedule, which is what a fuzzer thrives on.

use std::ops::Bound;

use crate::operation::{Bounds, Kind, Make, Operation, Patience, Use};

/// More would only be slow: the oracle is quadratic.
const MOST_OPERATIONS: usize = 400;

pub(crate) fn decode(bytes: &[u8]) -> (Make, Vec<Operation>) {
    let mut input = Input(bytes);
    let make = match input.byte() {
        shift @ 0..=21 => Make::Granule(u32::from(shift)),
        choice => match choice % 3 {
            0 => Make::TreeOnly,
            1 => Make::Adaptive,
            _ => Make::Capacity(usize::from(choice % 32)),
        },
    };
    let mut schedule = Vec::new();
    while !input.0.is_empty() && schedule.len() < MOST_OPERATIONS {
        schedule.push(input.operation());
    }
    (make, schedule)
}

/// What is left of the bytes.
struct Input<'bytes>(&'bytes [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn index(&mut self) -> usize {
        usize::from(self.byte())
    }

    fn operation(&mut self) -> Operation {
        let choice = self.byte();
        let purpose = match choice & 0x80 {
            0 => Use::Read,
            _ => Use::Write,
        };
        match choice & 0x1f {
            0..=5 => Operation::Request(self.bounds(), purpose),
            6..=8 => Operation::Hold(self.bounds(), purpose, kind(choice >> 5)),
            9 | 10 => Operation::Attempt(
                self.bounds(),
                purpose,
                kind(choice >> 5),
                match self.byte() % 6 {
                    0..=2 => Patience::Try,
                    3 => Patience::Zero,
                    4 => Patience::Past,
                    _ => Patience::Short,
                },
            ),
            11..=15 => Operation::Drop { any: self.index() },
            16 | 17 => Operation::Collect,
            18 => Operation::Poll {
                future: self.index(),
            },
            19 => {
                let ranges = 0..choice >> 5;
                Operation::Many(ranges.map(|_| (self.bounds(), self.purpose())).collect())
            }
            20 => Operation::Append {
                len: u64::from(self.byte()),
                end: self.place(),
            },
            21 | 22 => Operation::Downgrade {
                writer: self.index(),
            },
            23 | 24 => Operation::Upgrade {
                reader: self.index(),
            },
            25 | 26 => Operation::Split {
                guard: self.index(),
                after: u64::from(self.byte()),
            },
            27 => Operation::Trim {
                guard: self.index(),
                front: u64::from(self.byte()),
                back: u64::from(self.byte()),
            },
            28 => Operation::Shrink {
                guard: self.index(),
                to: self.bounds(),
            },
            29 => Operation::Abandon(self.bounds(), purpose),
            30 => Operation::IsLocked(self.bounds()),
            _ => Operation::Reserve(self.index() % 32),
        }
    }

    fn purpose(&mut self) -> Use {
        match self.byte() & 1 {
            0 => Use::Read,
            _ => Use::Write,
        }
    }

    /// A byte somewhere: mostly one of the first 128.
    fn place(&mut self) -> u64 {
        let byte = u64::from(self.byte());
        match byte {
            0..128 => byte,
            128..160 => (1 << 21) + byte - 144,
            160..192 => (1 << 63) + byte - 176,
            192..224 => (1 << 44) + byte - 208,
            _ => u64::MAX - (255 - byte),
        }
    }

    fn bounds(&mut self) -> Bounds {
        let first = self.place();
        let len = u64::from(self.byte());
        match len {
            // Most often a few bytes, none of them included.
            0..192 => half_open(first, first.saturating_add(len % 24)),
            192..208 => (Bound::Included(first), Bound::Included(first)),
            208..216 => half_open(first, first.saturating_add(1 << (8 * (len - 208)))),
            216..224 => (Bound::Included(first), Bound::Unbounded),
            224..232 => (Bound::Unbounded, Bound::Included(first)),
            232..240 => (Bound::Excluded(first), Bound::Included(self.place())),
            240..248 => (Bound::Included(first), Bound::Included(self.place())),
            _ => (Bound::Unbounded, Bound::Unbounded),
        }
    }
}

fn kind(choice: u8) -> Kind {
    match choice & 3 {
        0 | 1 => Kind::Guard,
        2 => Kind::Owned,
        _ => Kind::Node,
    }
}

fn half_open(from: u64, to: u64) -> Bounds {
    (Bound::Included(from), Bound::Excluded(to))
}
