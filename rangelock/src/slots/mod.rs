//! The slots: a way past the tree, without a mutex, for ranges inside one granule.
//!
//! # Why
//!
//! The tree serves every request under one mutex, so threads that use disjoint ranges still pass
//! one cache line from hand to hand. What they need instead is a place of their own to announce
//! themselves, and a way to see all those they may conflict with, and nobody else. Dividing the
//! bytes into granules gives both: two ranges inside different granules cannot overlap, and a range
//! that crosses a boundary is rare enough to be left to the tree.
//!
//! The granules are spread over a fixed number of shards. A shard is one cache line: a header and
//! seven slots. A slot is one word that says who uses which part of which granule, exactly to the
//! byte (`word.rs`), and the place of a granule is a bijection (`granule.rs`), so that nobody is
//! ever taken for somebody else. An uncontended pair is two read-modify-writes of one word.
//!
//! # Who goes where
//!
//! * *Narrow*: the range lies in one granule, and that is one of the first 2^23. A narrow request
//!   tries a slot and goes to the tree if it is refused.
//! * *Wide*: all others. They go to the tree, which looks into the slots.
//!
//! The header of a shard counts the nodes of the tree, waiting or granted, that share a byte with a
//! granule of that shard. While it is not zero the shard is *closed*: newcomers go to the tree.
//!
//! # States of a slot
//!
//! ```text
//!            announce (CAS)             nobody objects
//!   FREE ───────────────────▶ announced ──────────────▶ held
//!    ▲                            │                       │
//!    │        withdraw (swap)     │     release (swap)    │
//!    └────────────────────────────┴───────────────────────┘
//! ```
//!
//! A word that the tree puts into a free slot is held at once. `announced` and `held` are the same
//! word: only its owner knows which it is. So everybody else has to respect an announcement, and
//! its owner has to withdraw it at once if it may not hold. In either state a request that waits
//! for the word may mark it CONTENDED; whoever frees a marked slot then tells the tree.
//!
//! # The protocol
//!
//! ```text
//! narrow request, no mutex               request in the tree, under its mutex
//! ------------------------------------   ----------------------------------------------------
//! 0. header not 0?  go to the tree       a. header += 1 in every shard of its range
//! 1. CAS: free slot -> word              b. does a node conflict?  link as waiting
//! 2. header not 0?  withdraw             c. does a slot's word conflict?  mark it, link as waiting
//! 3. does another slot's word            d. narrow and a slot free?  put the word there,
//!    conflict?  withdraw                    header -= 1
//! 4. held                                e. otherwise link as granted
//!
//! release, or withdrawal before going to the tree
//! 5. swap: slot -> free.  Was it marked?  Under the mutex, do (c) again for every node that
//!    conflicts with the word and waits for no other node; grant those that find nothing
//!
//! a node leaves: unlink, header -= 1, do (c) for every node whose last node ahead this was
//! ```
//!
//! # Invariants
//!
//! 1. The word of a granted or announced narrow request stands in a slot of its granule's shard
//!    from before the request is granted until after it has used the range for the last time. Only
//!    the swap of its owner frees it; others set the mark and change nothing else.
//! 2. A shard's header is the number of linked nodes whose range concerns it, plus those requests
//!    that are under the mutex between (a) and the end of their admission.
//! 3. A newcomer looks at the header after its announcement and at the other slots after the
//!    header.
//! 4. A node that waits while no node is ahead of it has marked a conflicting word; until that word
//!    is freed and its owner has been under the mutex, the node need not look again.
//! 5. A word is put into a slot for the tree while the header is not zero for that very request.
//!
//! # Why two that conflict never hold together
//!
//! Everybody writes first and looks afterwards, as in Dekker's algorithm (E. W. Dijkstra,
//! "Cooperating sequential processes", 1965).
//!
//! *Two in slots, both by announcement.* Steps 1 and 3 of both are sequentially consistent. The one
//! whose announcement comes second in that order sees the first one's word, or a later content of
//! that slot, and then the first has left.
//!
//! *One announced, one in the tree.* Steps 1 and 2 of the one, (a) and (c) of the other. If the
//! announcement comes before (a) or between (a) and (c), then (c) sees it. If it comes after (c),
//! step 2 comes after (a) and finds the header raised, unless the node has left already.
//!
//! *One announced, one put into a slot by (d).* As before, except that the header may have been
//! lowered again when step 2 reads it. But then the word was in its slot before the header was
//! lowered, and step 3, which comes after step 2, sees it. This is why the order of Invariant 3
//! matters: whoever looked at the slots first could miss the word, and then find the header at
//! zero.
//!
//! *Two in the tree, or one there and one put into a slot:* all under the mutex.
//!
//! # Why nobody waits for ever
//!
//! The mark and the freeing swap are read-modify-writes of one word, so one comes first: either the
//! swap returns the mark, or the attempt to mark fails and the waiter reads the slot again. The
//! owner who finds the mark takes the mutex afterwards, so it finds the waiter linked (Invariant
//! 4). Two that withdraw before each other both go to the tree, where one of them is first.
//!
//! # Order, and how far it can be overtaken
//!
//! Among the requests in the tree the order is that of the tree. A waiting request keeps its shards
//! closed, so whoever could overtake it must have announced itself before they were closed: at most
//! seven in each shard, each once. After that all newcomers queue behind it if they conflict. A
//! request that was granted by a release stays in the tree until it leaves, and its shards stay
//! closed, because those behind it have counted it as a node. They are served by the tree
//! meanwhile; the fast path is back when the last one has left.
//!
//! A try that meets an announcement that is going to be withdrawn fails, although nobody holds the
//! range. It fails because of a request that conflicts and is being made at the same time, and of
//! several that conflict and try at once, at least one succeeds if nothing else is in its way.
//!
//! # Memory orderings
//!
//! The order of announcements, closings and looks is `SeqCst` (`sync/atomic.rs` says why that is
//! enough and costs nothing). The rest is hand-over of the data in the range: who frees a slot
//! releases it, who finds it free, or finds the word of somebody who found it free, acquires it;
//! who lowers a header releases, who reads it in step 2 acquires. Each place in `shard.rs` names
//! its partner. `lock/tests/loom` has the models, and canaries that leave out the barrier, the
//! second look at the header, its place before the slots, the telling after a withdrawal, and the
//! mark.
//!
//! # What it does not do
//!
//! * The table does not grow. Requests that find their shard full are served by the tree.
//! * A granule used by all threads is one cache line, as a plain reader/writer lock would be.
//! * The pointer to the table shares a cache line with the tree's mutex, so a stream of wide
//!   requests slows narrow ones down a little.

mod granule;
mod shard;
mod table;
mod word;

#[cfg(all(test, not(loom)))]
#[path = "tests/model.rs"]
mod model_tests;

pub use self::granule::Granule;
pub(crate) use self::table::{Departure, FastPath, SlotIndex, SlotTable};

/// The number of shards is 2 to this power. Models use few, to meet often.
const SHARD_BITS: u32 = if cfg!(loom) { 1 } else { 4 };

/// Slots in a shard: with the header they fill 64 bytes.
const SLOTS: usize = if cfg!(loom) { 2 } else { 7 };
