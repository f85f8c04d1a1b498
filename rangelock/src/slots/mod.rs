//! The slots: a way past the tree, without a mutex, for ranges inside one granule.
//!
//! # Why
//!
//! The tree serves every request under one mutex, so threads that use disjoint ranges still pass
//! one cache line from hand to hand. What they need instead is a place of their own to announce
//! themselves, and a way to see all those they may conflict with, and nobody else. Dividing the
//! range into granules gives both: two ranges inside different granules cannot overlap, and a range
//! that crosses a boundary is rare enough to be left to the tree.
//!
//! The granules are spread over shards, by a hash. A shard is one cache line: a head, a count of
//! nodes, and six slots. A word in a head or a slot says exactly who uses what (`word.rs`), so two
//! granules that share a shard are never taken for each other. Whoever is *alone* in a shard is
//! held in its head: one compare-and-swap to lock, one subtraction to release, nothing to look at.
//! Only where several meet are the slots used.
//!
//! # Levels
//!
//! A lock begins with one shard, inline, in which nothing is wide, and which even holds open-ended
//! ranges (`n..`) in its head. When requests meet there again and again, or find no slot, a level
//! with more shards or shorter granules is allocated (`growth.rs`), and takes in all newcomers. The
//! holders stay where they are, and for each a *stand-in* is put into the new level. So nobody ever
//! has to look into two levels.
//!
//! Where many read the same bytes, neither more shards nor shorter granules help. Then the lock
//! gets a level whose *readers are apart*: a granule has a group of shards there, a reader uses
//! that of his thread, and a writer visits all, however short his range is. So a writer is *wide*
//! in such a level: to the protocol it is a level like any other. Some writes later the lock leaves
//! it again (`turn.rs`).
//!
//! A wide request visits all shards. When such requests come again and again and few ranges are
//! held, the lock goes back to a smaller level (`rebuild.rs`): one that was left, as soon as nobody
//! is at home there any more. So it costs no memory to change to and fro.
//!
//! # States of a shard's head
//!
//! ```text
//!            try_alone (CAS)                      crowd (or)
//!   IDLE ──────────────────▶ one alone ────────────────────────▶ one, CROWDED
//!    ▲ ▲                        │                                     │
//!    │ └────────────────────────┘ release (sub)                       │ release (sub)
//!    │                                                                ▼
//!    └─────────── SETTLING ◀────────────────────────────────────── CROWDED ◀── crowd (or)
//!       quiet (CAS)   │           uncrowd (CAS)                       ▲
//!                     └───────────────────────────────────────────────┘
//!                            not quiet
//! ```
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
//! for the word may set its FLAG; whoever frees a flagged slot then tells the tree.
//!
//! # The protocol
//!
//! ```text
//! narrow request, no mutex               request in the tree, under its mutex
//! ------------------------------------   ----------------------------------------------------
//! 1. CAS head: IDLE -> word.  held       a. nodes += 1, crowd, in every shard of its range
//! 2. crowd the shard                     b. does a node conflict?  link as waiting
//! 3. CAS: free slot -> word              c. does a word conflict?  flag it, link as waiting
//! 4. nodes not 0?  withdraw *            d. narrow and a slot free?  put the word there,
//! 5. not crowded, or settling, or           nodes -= 1
//!    head or a slot conflicts?  withdraw e. otherwise link as granted
//! 6. nodes not 0?  withdraw.  held
//!
//! release, or withdrawal before going to the tree
//! 7. sub head, or swap slot -> free.  Was a slot flagged?  Or the head crowded, and are there
//!    nodes now?  Then, under the mutex, (c) again for every node that conflicts with the word
//!    and waits for no other node; grant those that find nothing
//!
//! a node leaves: unlink, nodes -= 1, do (c) for every node whose last node ahead this was
//!
//! * unless all of them are listed (wide.rs), and none is in the way
//!
//! listing, under the mutex: enter a granted wide node in the list; nodes - 1 + LISTED in each of
//! its shards.  Before the node changes or leaves: nodes + 1 - LISTED; take it out of the list.
//!
//! to another level, under the mutex: close it for all nodes; in each shard of the old one set
//! RETIRED among the nodes, crowd, and move each word: mark it as moved, put a stand-in into the
//! other level, or link one into the tree; send newcomers to the other level, and take RETIRED away
//! there.  Who releases a moved word has its stand-in dismissed, under the mutex.
//! ```
//!
//! # Invariants
//!
//! 1. The word of a granted or announced request stands in the head or a slot of its shard from
//!    before the request is granted until after it has used the range for the last time; or
//!    somebody stands in for it in the level that takes in newcomers, in a slot or as a node.
//! 2. The count of nodes of a shard is the number of linked nodes whose range concerns it, plus
//!    those requests that are under the mutex between (a) and the end of their admission; or
//!    RETIRED is set in it. There is one level at most in which it is not set, and it is not taken
//!    away before all who were at home in that level have left.
//! 3. While a head is IDLE or holds an uncrowded word, no slot of its shard holds a granted word
//!    and no linked node concerns it, but for nodes between the two halves of (a).
//! 4. A newcomer looks at the count after its announcement, at the head and the other slots after
//!    that, and at the count once more.
//! 5. A node that waits while no node is ahead of it has seen a conflicting word whose owner will
//!    tell the tree; until then the node need not look again.
//! 6. A word is put into a slot for the tree while the count is not zero for that very request.
//!
//! # Why two that conflict never hold together
//!
//! Everybody writes first and looks afterwards, as in Dekker's algorithm (E. W. Dijkstra,
//! "Cooperating sequential processes", 1965).
//!
//! *Two alone:* there is one head, and a CAS from IDLE.
//!
//! *One alone, one in a slot.* To crowd a shard is a step on its head. If it comes before the CAS
//! of the one who wants to be alone, that fails. If after, step 5 of the other reads the head and
//! finds him, or that he has left. Whoever takes the crowding away first makes the head SETTLING,
//! then looks at the count and the slots, and then makes it IDLE. An announcement that comes before
//! that look is seen; one that comes after is followed by step 5, which finds the head SETTLING or
//! no longer crowded.
//!
//! *Two in slots, both by announcement.* Steps 3 and 5 of both are sequentially consistent. The one
//! whose announcement comes second in that order sees the first one's word, or a later content of
//! that slot, and then the first has left, or was moved.
//!
//! *One announced, one in the tree.* Steps 3 and 4 of the one, (a) and (c) of the other. If the
//! announcement comes before (c), then (c) sees it. If it comes after, step 4 finds the count
//! raised, unless the node has left already.
//!
//! *One announced, one put into a slot by (d).* As before, except that the count may have been
//! lowered again when step 4 reads it. But then the word was in its slot before that, and step 5,
//! which comes after step 4, sees it.
//!
//! *One announced, one moved out of a slot* to another level or into the tree. The announcer may
//! look at the slot after the word has left it. But the count was raised before, and stays raised
//! as long as the range is held (by the node, or by RETIRED, which stays while the announcer's own
//! word stands there), so step 6 finds it.
//!
//! *One announced, one listed.* A node is counted as one that is not listed from (a) on. If step 4
//! finds it so, or misses it, all is as before. If it finds the node listed, then the list says
//! what the node holds, unless it has been taken out since. Then it has left, or it counts as not
//! listed for as long as it stays, for no node is listed twice in one level; and step 6 finds that.
//! What it gains by a change (`try_upgrade`), it looks for after it has been taken out.
//!
//! *Two where readers are apart:* readers do not conflict, and a writer is in the tree. His node
//! concerns all shards of his granule's group, so one of the above applies in that of each reader.
//! A reader who is alone in his shard may not become a writer in place (`try_upgrade_alone`), and
//! nobody stands in for a writer in a shard.
//!
//! *Two in the tree, or one there and one put into a slot:* all under the mutex. *A stand-in:* was
//! put into the other level before that took in anybody, and leaves after the one it stands in for.
//! If that is a node, the other level was closed for it before.
//!
//! # Why nobody waits for ever
//!
//! The flag and the freeing swap are read-modify-writes of one word, so one comes first: either the
//! swap returns the flag, or the attempt to set it fails and the waiter reads the slot again. A
//! head needs no flag of its own: (a) raises the count before it crowds, and step 7 looks at the
//! count after it has found the head crowded. The owner takes the mutex afterwards, so it finds the
//! waiter linked (Invariant 5). Two that withdraw before each other both go to the tree, where one
//! of them is first. Whoever was moved goes under the mutex when he leaves, and everybody who may
//! have waited for him is reconsidered.
//!
//! # Order, and how far it can be overtaken
//!
//! Among the requests in the tree the order is that of the tree. A waiting request keeps its shards
//! closed, so whoever could overtake it must have announced itself before they were closed: at most
//! seven in each shard (the head and six slots), each once. After that all newcomers queue behind
//! it if they conflict. A request that was granted by a release stays in the tree until it leaves,
//! and its shards stay closed, because those behind it have counted it as a node. They are served
//! by the tree meanwhile; the fast path is back when the last one has left.
//!
//! A try that meets an announcement that is going to be withdrawn fails, although nobody holds the
//! range. It fails because of a request that conflicts and is being made at the same time, and of
//! several that conflict and try at once, at least one succeeds if nothing else is in its way.
//!
//! # Memory orderings
//!
//! The order of announcements, closings and looks is `SeqCst` (`sync/atomic.rs` says why that is
//! enough and costs nothing). The rest is hand-over of the data in the range: who frees a word
//! releases it, who finds it free, or finds the word of somebody who found it free, acquires it;
//! who lowers a count releases, who reads it in steps 4 and 6 acquires. Each place in `shard.rs`
//! names its partner. `lock/tests/loom` has the models, and canaries that leave out the barrier,
//! either look at the count, the look at the head, the telling after a withdrawal, and the flag.
//!
//! # What it does not do
//!
//! * A wide request on a table of many shards visits all of them.
//! * Beside more than two wide holders, those who come to their shards pass through the tree's
//!   mutex before they get a slot.
//! * A granule written by all threads is one cache line, as a plain reader/writer lock would be.
//! * Pinned nodes carry out no change of level, so where only they are used readers stay together.

mod granule;
mod growth;
mod level;
mod rebuild;
mod shard;
mod table;
mod turn;
mod wide;
mod word;

#[cfg(all(test, not(loom)))]
#[path = "tests/apart.rs"]
mod apart_tests;
#[cfg(all(test, not(loom)))]
#[path = "tests/model.rs"]
mod model_tests;

pub use self::granule::Granule;
pub(crate) use self::growth::{Division, Growth};
pub(crate) use self::rebuild::Rebuild;
pub(crate) use self::shard::{Departure, Place};
pub(crate) use self::table::SlotTable;

/// Slots in a shard: with what else it has they fill a cache line.
const SLOTS: usize = if cfg!(loom) { 2 } else { 6 };
