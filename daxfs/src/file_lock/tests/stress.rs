//! Many threads, two files, owners of both sorts: whatever they do, no byte is held by two that
//! exclude each other, and nobody is left behind.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::thread;

use super::*;

const BYTES: usize = 32;
const THREADS: u64 = 6;
const ROUNDS: u64 = 4_000;
/// What a byte holds while somebody has it alone.
const ALONE: i32 = -1;

struct File {
    locks: FileLocks,
    /// How many share each byte.
    bytes: [AtomicI32; BYTES],
}

impl File {
    fn new(waits: &Arc<WaitGraph>) -> Self {
        Self {
            locks: FileLocks::new(Arc::clone(waits)),
            bytes: [const { AtomicI32::new(0) }; BYTES],
        }
    }

    fn use_bytes(&self, kind: LockKind, range: LockRange) {
        let bytes = &self.bytes[range.first() as usize..=range.last() as usize];
        for byte in bytes {
            match kind {
                LockKind::Exclusive => {
                    let found = byte.swap(ALONE, Ordering::Relaxed);
                    assert_eq!(found, 0, "somebody else uses a byte that is held alone");
                }
                LockKind::Shared => {
                    let found = byte.fetch_add(1, Ordering::Relaxed);
                    assert!(found >= 0, "a shared byte is held alone");
                }
            }
        }
        thread::yield_now();
        for byte in bytes {
            match kind {
                LockKind::Exclusive => byte.store(0, Ordering::Relaxed),
                LockKind::Shared => {
                    byte.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// A xorshift sequence (George Marsaglia, "Xorshift RNGs", 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn round(files: &[File; 2], owner: Owner, random: &mut Random, deadlocks: &AtomicUsize) {
    for _ in 0..1 + random.below(3) {
        let file = &files[random.below(2) as usize];
        let first = random.below(BYTES as u64);
        let last = (first + random.below(8)).min(BYTES as u64 - 1);
        let range = LockRange::between(first, last).unwrap();
        let kind = match random.below(3) {
            0 => LockKind::Exclusive,
            _ => LockKind::Shared,
        };
        let request = Request { owner, kind, range };
        let cancellation = LockCancellation::new();
        let patience = match (owner, random.below(8)) {
            // Nobody else ends a circle of descriptions.
            (Owner::Description(_), _) | (_, 0) => Patience::For(Duration::from_micros(50)),
            (_, 1) => {
                cancellation.cancel();
                Patience::UntilCancelled(&cancellation)
            }
            _ => Patience::Unlimited,
        };
        match file.locks.lock(&request, patience) {
            Ok(()) => file.use_bytes(kind, range),
            Err(Error::LockInterrupted { .. }) => {}
            Err(Error::LockDeadlock { .. }) => {
                deadlocks.fetch_add(1, Ordering::Relaxed);
                break;
            }
            Err(other) => panic!("{other}"),
        }
    }
    for file in files {
        file.locks.release(owner);
    }
}

#[test]
fn no_byte_is_held_by_two_that_exclude_each_other_and_nobody_is_left_behind() {
    let waits = Arc::new(WaitGraph::default());
    let files = [File::new(&waits), File::new(&waits)];
    let deadlocks = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 1..=THREADS {
            let (files, deadlocks) = (&files, &deadlocks);
            scope.spawn(move || {
                let owner = match number % 3 {
                    0 => Owner::Description(number),
                    _ => Owner::Process(number),
                };
                let mut random = Random(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                for _ in 0..ROUNDS {
                    round(files, owner, &mut random, deadlocks);
                }
            });
        }
    });
    for file in &files {
        assert_eq!(file.locks.latch().queue.len(), 0);
        assert_eq!(file.locks.latch().table.all(), []);
    }
    assert!(waits.is_empty());
    assert!(
        deadlocks.into_inner() > 0,
        "nobody met in the wrong order: too few rounds"
    );
}
