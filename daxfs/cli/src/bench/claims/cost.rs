//! C7, C8, C10: what designs cost. Pure functions, no locks.

use super::Claim;
use super::scaling::not_decided;

pub(super) const C7: Claim = Claim {
    id: "C7",
    words: "A tree of reader/writer semaphores, one for each page, costs too much to maintain \
            (against D5).",
    shown_false_by: "D5 in no more memory and time than D2.",
    experiment: "Bytes of lock state for each mapped page, and nanoseconds a read fault (DMFM, \
                 DMFH), of `entry-rw` beside `entry` and `range`.",
    command: "daxfs bench --workload DMFM,DMFH --mapping-lock entry,range,entry-rw",
    canary: "The bytes of a semaphore for each page (the standard library's smallest \
             reader/writer lock) stand beside them.",
    rule: "Costs too much if it takes more than twice the memory of D2, or is more than 1.1 times \
           slower in a fault.",
    judge: |_| not_decided("This program does not count the bytes of its lock state."),
};

pub(super) const C8: Claim = Claim {
    id: "C8",
    words: "After an invalidation, one unmap of the whole range beats unmapping entry by entry \
            (D6).",
    shown_false_by: "Large writes over mapped holes that are as fast entry by entry.",
    experiment: "One write over a hole every page of which is mapped, both ways, by size.",
    command: "daxfs bench --workload DWUM",
    canary: "The page-table operations of each write are counted: one, or one for each page.",
    rule: "Holds if unmapping once wins at every size above one page (more than 1.1 times as fast, \
           lower quartile above 1), in part if at some, does not if at none.",
    judge: |_| not_decided("This program has no option to unmap entry by entry."),
};

pub(super) const C10: Claim = Claim {
    id: "C10",
    words: "Taking the entry lock before the look-up inverts with the start of a transaction, \
            which may wait for room in the log.",
    shown_false_by: "A run with a full log that takes the locks in the wrong order and does not \
                     deadlock.",
    experiment: "A log that can be full, and a fault that must write to it while it holds an \
                 entry.",
    command: "none yet: answered with the filesystem's log",
    canary: "The wrong order must deadlock, and be reported by the lock-order check.",
    rule: "Not decided until there is a log. (Today the transaction begins before the entry lock.)",
    judge: |_| not_decided("This filesystem has no log yet that could be full."),
};
