//! Every I/O lock against the same questions; `none` is the canary that must fail them.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::*;

/// How many of two threads were seen inside together, over many rounds.
fn overlaps(lock: &IoLocking, first: Range<u64>, second: Range<u64>) -> u64 {
    let inside = AtomicU64::new(0);
    let together = AtomicU64::new(0);
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        for bytes in [first, second] {
            let (inside, together, barrier) = (&inside, &together, &barrier);
            scope.spawn(move || {
                for _ in 0..200 {
                    barrier.wait();
                    lock.exclusive(bytes.clone(), || {
                        inside.fetch_add(1, SeqCst);
                        for _ in 0..50 {
                            together.fetch_max(inside.load(SeqCst), SeqCst);
                            std::thread::yield_now();
                        }
                        inside.fetch_sub(1, SeqCst);
                    });
                }
            });
        }
    });
    together.load(SeqCst)
}

#[test]
fn overlapping_writes_exclude_each_other_except_under_none() {
    for design in IoLock::ALL {
        let lock = IoLocking::new(design);
        let expected = if design == IoLock::None { 2 } else { 1 };
        assert_eq!(overlaps(&lock, 0..4096, 4095..8192), expected, "{design}");
    }
}

#[test]
fn disjoint_writes_run_together_except_where_they_share_a_lock() {
    const SEGMENT: u64 = 2 << 20;
    for design in IoLock::ALL {
        let lock = IoLocking::new(design);
        let beside = match design {
            IoLock::Inode | IoLock::Segment => 1,
            IoLock::Range | IoLock::None => 2,
        };
        assert_eq!(overlaps(&lock, 0..4096, 4096..8192), beside, "{design}");
        let apart = if design == IoLock::Inode { 1 } else { 2 };
        let far = SEGMENT..SEGMENT + 4096;
        assert_eq!(overlaps(&lock, 0..4096, far.clone()), apart, "{design}");
        // From inside one segment into the next, and from there to the end of all.
        let across = SEGMENT - 4096..SEGMENT + 8192;
        assert_eq!(
            overlaps(&lock, across, far.clone()),
            beside_none(design),
            "{design}"
        );
        assert_eq!(
            overlaps(&lock, 0..u64::MAX, far),
            beside_none(design),
            "{design}"
        );
    }
}

/// How many are inside together under no lock at all.
fn beside_none(design: IoLock) -> u64 {
    if design == IoLock::None { 2 } else { 1 }
}

#[test]
fn names_come_back() {
    for design in IoLock::ALL {
        assert_eq!(design.to_string().parse::<IoLock>().unwrap(), design);
    }
    assert!("rwsem".parse::<IoLock>().is_err());
}
