//! Many threads at random ranges of one array, with an owner record for each byte. The number of
//! steps bounds the run, not the clock.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

use rangelock::{Granule, RangeLock};

const THREADS: u64 = 8;
const STEPS: u64 = if cfg!(miri) { 30 } else { 20_000 };
const BYTES: u64 = 64;
const GRANULE_LENS: [u64; 4] = [1, 4, 16, BYTES];
/// Set in the record of a byte that a writer holds; below it readers are counted.
const WRITER: u32 = 1 << 16;

/// Who holds each byte, kept by the holders themselves.
struct Records {
    lock: RangeLock,
    bytes: Vec<AtomicU32>,
}

impl Records {
    fn new(lock: RangeLock) -> Self {
        Self {
            lock,
            bytes: (0..BYTES).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Notes the reader on each byte, and then its departure; finds any writer that is there too.
    fn read(&self, first: u64, last: u64) {
        for byte in &self.bytes[first as usize..=last as usize] {
            let before = byte.fetch_add(1, Relaxed);
            assert!(before < WRITER, "a reader met a writer");
        }
        for byte in &self.bytes[first as usize..=last as usize] {
            byte.fetch_sub(1, Relaxed);
        }
    }

    fn write(&self, first: u64, last: u64) {
        for byte in &self.bytes[first as usize..=last as usize] {
            let before = byte.swap(WRITER, Relaxed);
            assert_eq!(before, 0, "a writer met another holder");
        }
        for byte in &self.bytes[first as usize..=last as usize] {
            assert_eq!(byte.swap(0, Relaxed), WRITER, "a writer was disturbed");
        }
    }

    fn step(&self, random: u64) {
        let first = (random >> 8) % BYTES;
        let longest = if random & 0x30 == 0 { BYTES } else { 8 };
        let last = (first + (random >> 16) % longest).min(BYTES - 1);
        let range = first..=last;
        match random % 8 {
            0..2 => {
                let _guard = self.lock.read(range);
                self.read(first, last);
            }
            2..4 => {
                let _guard = self.lock.write(range);
                self.write(first, last);
            }
            4 => {
                let node = pin!(self.lock.node());
                let _guard = node.read(range);
                self.read(first, last);
            }
            5 => {
                let node = pin!(self.lock.node());
                let _guard = node.write(range);
                self.write(first, last);
            }
            6 => {
                if let Some(_guard) = self.lock.try_read(range) {
                    self.read(first, last);
                }
            }
            _ => {
                let node = pin!(self.lock.node());
                if let Some(_guard) = node.try_write(range) {
                    self.write(first, last);
                }
            }
        }
    }
}

/// The next number of a xorshift sequence (George Marsaglia, "Xorshift RNGs", 2003).
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Many threads take random ranges of `lock`.
fn stress(lock: RangeLock) {
    stress_beside(lock, |_| {});
}

/// The same, while something else is done to the lock.
fn stress_beside(lock: RangeLock, other: impl FnOnce(&RangeLock)) {
    let records = Records::new(lock);
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let records = &records;
            scope.spawn(move || {
                let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                for _ in 0..STEPS {
                    records.step(next_random(&mut random));
                }
            });
        }
        other(&records.lock);
    });
    assert!(
        records.lock.try_write(..).is_some(),
        "all ranges were given back"
    );
    assert_eq!(
        format!("{:?}", records.lock),
        "RangeLock { granted: 0, waiting: 0 }"
    );
}

#[test]
fn no_byte_is_ever_held_by_two_that_exclude_each_other() {
    stress(RangeLock::new());
}

#[test]
fn nor_is_it_in_the_tree_alone() {
    stress(RangeLock::tree_only());
}

/// With granules from a byte, where nearly all is wide, to all the bytes, where nothing is.
#[test]
fn nor_is_it_with_granules_of_any_length() {
    for granule_len in GRANULE_LENS {
        stress(RangeLock::with_granule(granule(granule_len)));
    }
}

#[test]
fn nor_is_it_with_many_shards_from_the_start() {
    stress(RangeLock::with_capacity(100));
    for granule_len in GRANULE_LENS {
        let lock = RangeLock::with_granule(granule(granule_len));
        lock.reserve(100);
        stress(lock);
    }
}

/// While the threads are at work, the table becomes larger again and again.
#[test]
fn nor_is_it_while_the_table_grows() {
    for granule_len in GRANULE_LENS {
        stress_beside(RangeLock::with_granule(granule(granule_len)), |lock| {
            for bits in 3..12 {
                lock.reserve(1 << bits);
                for _ in 0..100 {
                    thread::yield_now();
                }
            }
        });
    }
}

fn granule(len: u64) -> Granule {
    Granule::from_len(len).expect("a power of two")
}
