//! The metadata tree on a device, against a `BTreeMap`.
//!
//! | Module | What it shows |
//! |---|---|
//! | [`oracle`] | any batches leave what the map holds, and every block accounted for |
//! | [`cost`] | a change costs what it changes; nodes are well filled |
//! | [`damage`] | whatever happens to a node is found, and nothing ever panics |
//! | [`medium`] | the device, the blocks on it, and the map beside the tree |

mod cost;
mod damage;
mod medium;
mod oracle;
