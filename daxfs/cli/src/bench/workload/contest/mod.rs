//! What is done in the rounds of [`rounds`](super::rounds).
//!
//! | Module | Workload | Half of the threads, or all | the other half |
//! |---|---|---|---|
//! | [`write`] | DWFM | write a page that is a hole | load from it |
//! | [`punch`] | DWPM | punch a page out | load from it |
//! | [`truncate`] | DTRF | truncate the file to nothing | load from it |
//! | [`append`] | DWAM | append blocks | - |
//!
//! In the first three a fault looks the page up, the other side changes what there is and drops
//! what is mapped, and then the fault maps what it saw: from then on loads and reads differ. The
//! locking designs that are coherent must never let this happen. [`page`] is the page that the
//! three are about. Touches files through the library; takes no locks.

pub(super) mod append;
mod page;
pub(super) mod punch;
pub(super) mod truncate;
pub(super) mod write;
