//! Looks up items: one by its key, or all of a range in order.
//!
//! Reads the nodes on the way and no others. Takes no locks but the node cache's latch.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::Tree;
use crate::error::Result;
use crate::format::BlockPointer;
use crate::format::item::Key;
use crate::format::node::{IndexNode, NodePlace};
use crate::metadata::NodeReader;

/// What is called with each item of a range, and says whether to go on.
pub(crate) type Visit<'a> = dyn FnMut(Key, &[u8]) -> Result<ControlFlow<()>> + 'a;

/// An index node on the way down, and the child that the walk is in.
struct Step {
    node: Arc<IndexNode>,
    place: NodePlace,
    slot: usize,
}

impl Step {
    fn child(&self) -> (BlockPointer, NodePlace) {
        let pointer = self.node.entries()[self.slot].pointer;
        (pointer, self.node.child_place(self.slot, &self.place))
    }

    /// Goes on to the next child, if it can have keys below `end`.
    fn advance(&mut self, end: Key) -> bool {
        self.slot += 1;
        let next = self.node.entries().get(self.slot);
        next.is_some_and(|entry| entry.key < end)
    }
}

impl Tree {
    /// The value of the item with this key, if there is one.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a node on the way is not what it must be.
    pub(crate) fn get(&self, nodes: &NodeReader<'_>, key: Key) -> Result<Option<Vec<u8>>> {
        if self.root.is_null() {
            return Ok(None);
        }
        let (mut pointer, mut place) = (self.root, self.root_place());
        while place.level > 0 {
            let node = nodes.index(pointer, &place)?;
            let Some(slot) = node.slot_of(key) else {
                return Ok(None);
            };
            pointer = node.entries()[slot].pointer;
            place = node.child_place(slot, &place);
        }
        Ok(nodes.leaf(pointer, &place)?.get(key).map(<[u8]>::to_vec))
    }

    /// Calls `visit` with each item whose key is in `keys`, in order, until it says to stop.
    ///
    /// # Errors
    /// As [`Tree::get`], and whatever `visit` returns.
    pub(crate) fn range(
        &self,
        nodes: &NodeReader<'_>,
        keys: Range<Key>,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        if self.root.is_null() || keys.is_empty() {
            return Ok(());
        }
        let mut path: Vec<Step> = Vec::with_capacity(usize::from(self.level));
        let (mut pointer, mut place) = (self.root, self.root_place());
        loop {
            while place.level > 0 {
                let node = nodes.index(pointer, &place)?;
                let slot = node.slot_of(keys.start).unwrap_or(0);
                let step = Step { node, place, slot };
                (pointer, place) = step.child();
                path.push(step);
            }
            let leaf = nodes.leaf(pointer, &place)?;
            let items = leaf.items_from(keys.start);
            for (key, value) in items.take_while(|(key, _)| *key < keys.end) {
                if visit(key, value)?.is_break() {
                    return Ok(());
                }
            }
            while path.last_mut().is_some_and(|step| !step.advance(keys.end)) {
                path.pop();
            }
            let Some(step) = path.last() else {
                return Ok(());
            };
            (pointer, place) = step.child();
        }
    }
}
