//! Applies a batch of replacements: goes down to the leaves it touches, collects what they hold
//! afterwards, and builds the nodes above them.
//!
//! The recursion is as deep as the tree, never as wide. Reads and writes through the reader and the
//! writer it is given. Takes no locks.

use super::content::{Content, Entries, Items};
use super::settle::Segment;
use super::{Replacement, Tree};
use crate::error::Result;
use crate::format::BlockPointer;
use crate::format::item::Key;
use crate::format::node::{IndexEntry, IndexNode, LeafNode, NodePlace};
use crate::metadata::{NodeReader, NodeWriter};

/// A change that is being made.
pub(super) struct Change<'change, 'checkpoint> {
    pub(super) nodes: &'change NodeReader<'change>,
    pub(super) writer: &'change mut NodeWriter<'checkpoint>,
}

/// A node of the old tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    pub(super) pointer: BlockPointer,
    pub(super) place: NodePlace,
    /// The least key that would go into it: its first, or less where nothing is before it.
    from: Key,
    /// Its first key, which the root's parent does not know.
    first_key: Key,
}

impl Child {
    /// The entry that its parent has for it.
    pub(super) fn entry(&self) -> IndexEntry {
        IndexEntry {
            key: self.first_key,
            pointer: self.pointer,
        }
    }

    /// The child `slot` of `node`, which is this one.
    fn child(&self, node: &IndexNode, slot: usize) -> Self {
        let entry = node.entries()[slot];
        Self {
            pointer: entry.pointer,
            place: node.child_place(slot, &self.place),
            from: if slot == 0 { self.from } else { entry.key },
            first_key: entry.key,
        }
    }

    /// The replacements that concern it, of some that ascend.
    fn concerning<'r>(&self, replacements: &'r [Replacement]) -> &'r [Replacement] {
        let start = replacements.partition_point(|r| r.keys.end <= self.from);
        let end = replacements.partition_point(|r| r.keys.start < self.place.end);
        &replacements[start..end.max(start)]
    }

    /// Whether `replacements` delete all of it and put nothing into it.
    fn is_deleted_by(&self, replacements: &[Replacement]) -> bool {
        let [all] = replacements else { return false };
        let covers = all.keys.start <= self.first_key && self.place.end <= all.keys.end;
        covers && self.items_of(all).is_empty()
    }

    /// The items of `replacement` that go into it.
    fn items_of<'r>(&self, replacement: &'r Replacement) -> &'r [(Key, Vec<u8>)] {
        let items = &replacement.items;
        let start = items.partition_point(|(key, _)| *key < self.from);
        let end = items.partition_point(|(key, _)| *key < self.place.end);
        &items[start..end]
    }
}

impl Tree {
    /// The tree in which each range of `replacements` holds that replacement's items and nothing
    /// else. The ranges ascend and do not overlap; values have at most 1024 bytes. This tree stays
    /// as it is; nodes that change are written to blocks from `writer`, which also learns of those
    /// that the new tree does not reach.
    ///
    /// Costs the leaves that hold or receive something different, and the nodes above them. A leaf
    /// that would hold the same stays where it is.
    ///
    /// # Errors
    /// What the reader and the writer report: then no new tree exists, and what `writer` took is to
    /// be given back.
    pub(crate) fn apply(
        &self,
        nodes: &NodeReader<'_>,
        replacements: &[Replacement],
        writer: &mut NodeWriter<'_>,
    ) -> Result<Self> {
        debug_assert!(are_in_order(replacements));
        let (written, replaced) = (writer.written().len(), writer.replaced().len());
        let mut change = Change { nodes, writer };
        let Some((root, level)) = change.root(self, replacements)? else {
            return Ok(*self);
        };
        let more = (writer.written().len() - written) as u64;
        let fewer = (writer.replaced().len() - replaced) as u64;
        Ok(Self {
            root,
            level,
            nodes: (self.nodes + more).saturating_sub(fewer),
        })
    }
}

fn are_in_order(replacements: &[Replacement]) -> bool {
    let is_within = |r: &Replacement| {
        r.keys.start < r.keys.end
            && r.items.iter().all(|(key, _)| r.keys.contains(key))
            && r.items.windows(2).all(|pair| pair[0].0 < pair[1].0)
    };
    replacements.iter().all(is_within)
        && replacements
            .windows(2)
            .all(|pair| pair[0].keys.end <= pair[1].keys.start)
}

impl Change<'_, '_> {
    /// The new root and its level, or nothing when nothing changes.
    fn root(
        &mut self,
        tree: &Tree,
        replacements: &[Replacement],
    ) -> Result<Option<(BlockPointer, u16)>> {
        if tree.root.is_null() {
            let mut items = Items::default();
            for (key, value) in replacements.iter().flat_map(|r| &r.items) {
                items.push(*key, value);
            }
            if items.len() == 0 {
                return Ok(None);
            }
            let leaves = self.write_nodes(&items, 0)?;
            return self.grow(leaves, 0).map(Some);
        }
        let root = Child {
            pointer: tree.root,
            place: tree.root_place(),
            from: Key::MIN,
            first_key: Key::MIN,
        };
        let (children, level) = match tree.level {
            0 => match self.node::<Items>(&root, replacements)? {
                Some(items) => (self.write_nodes(&items, 0)?, 0),
                None => return Ok(None),
            },
            level => match self.node::<Entries>(&root, replacements)? {
                Some(entries) => (entries, level - 1),
                None => return Ok(None),
            },
        };
        self.grow(children, level).map(Some)
    }

    /// Puts as many levels over `nodes`, which are at `level`, as it takes to have one root.
    fn grow(&mut self, mut nodes: Entries, mut level: u16) -> Result<(BlockPointer, u16)> {
        if let [only] = nodes.0.as_slice() {
            return self.shrink(only.pointer, level);
        }
        while nodes.len() > 1 {
            level += 1;
            nodes = self.write_nodes(&nodes, level)?;
        }
        match nodes.0.first() {
            Some(root) => Ok((root.pointer, level)),
            None => Ok((BlockPointer::NULL, 0)),
        }
    }

    /// The root of what `pointer` leads to, without the levels that have a single node.
    fn shrink(&mut self, mut pointer: BlockPointer, mut level: u16) -> Result<(BlockPointer, u16)> {
        while level > 0 {
            let node = self
                .nodes
                .index(pointer, &NodePlace::of_root(pointer.block, level))?;
            let [only] = node.entries() else { break };
            self.writer.replace(pointer);
            pointer = only.pointer;
            level -= 1;
        }
        Ok((pointer, level))
    }

    /// What `child` holds after the change: nothing when it does not change. Its block is replaced
    /// when it does.
    fn node<C: ChangedContent>(
        &mut self,
        child: &Child,
        replacements: &[Replacement],
    ) -> Result<Option<C>> {
        let replacements = child.concerning(replacements);
        if replacements.is_empty() {
            return Ok(None);
        }
        let changed = if child.is_deleted_by(replacements) {
            self.drop_below(child)?;
            Some(C::default())
        } else {
            C::after(self, child, replacements)?
        };
        if changed.is_some() {
            self.writer.replace(child.pointer);
        }
        Ok(changed)
    }

    /// Notes that all nodes below `child` are no longer reached. Reads no leaves.
    fn drop_below(&mut self, child: &Child) -> Result<()> {
        if child.place.level == 0 {
            return Ok(());
        }
        let node = self.nodes.index(child.pointer, &child.place)?;
        for slot in 0..node.entries().len() {
            let below = child.child(&node, slot);
            self.drop_below(&below)?;
            self.writer.replace(below.pointer);
        }
        Ok(())
    }

    /// The children of `parent`, changed or not, or nothing when none changes.
    fn children<C: ChangedContent>(
        &mut self,
        parent: &Child,
        node: &IndexNode,
        replacements: &[Replacement],
    ) -> Result<Option<Vec<Segment<C>>>> {
        let mut is_changed = false;
        let mut segments = Vec::with_capacity(node.entries().len());
        for slot in 0..node.entries().len() {
            let child = parent.child(node, slot);
            segments.push(match self.node(&child, replacements)? {
                Some(content) => {
                    is_changed = true;
                    Segment::Changed(content)
                }
                None => Segment::Kept(child),
            });
        }
        Ok(is_changed.then_some(segments))
    }
}

/// Content that knows how replacements change it.
trait ChangedContent: Content {
    /// What `child` holds after `replacements`, all of which concern it: nothing when that is what
    /// it holds already.
    fn after(
        change: &mut Change<'_, '_>,
        child: &Child,
        replacements: &[Replacement],
    ) -> Result<Option<Self>>;
}

impl ChangedContent for Items {
    fn after(
        change: &mut Change<'_, '_>,
        child: &Child,
        replacements: &[Replacement],
    ) -> Result<Option<Self>> {
        let leaf = change.nodes.leaf(child.pointer, &child.place)?;
        let items = merge(&leaf, child, replacements);
        Ok((!items.are_those_of(&leaf)).then_some(items))
    }
}

/// The items of `leaf` outside the ranges, and those of the replacements.
fn merge(leaf: &LeafNode, child: &Child, replacements: &[Replacement]) -> Items {
    let mut merged = Items::default();
    let mut old = leaf.items().peekable();
    for replacement in replacements {
        let range = &replacement.keys;
        while let Some((key, value)) = old.next_if(|(key, _)| *key < range.start) {
            merged.push(key, value);
        }
        while old.next_if(|(key, _)| *key < range.end).is_some() {}
        for (key, value) in child.items_of(replacement) {
            merged.push(*key, value);
        }
    }
    for (key, value) in old {
        merged.push(key, value);
    }
    merged
}

impl ChangedContent for Entries {
    fn after(
        change: &mut Change<'_, '_>,
        child: &Child,
        replacements: &[Replacement],
    ) -> Result<Option<Self>> {
        let node = change.nodes.index(child.pointer, &child.place)?;
        let level = child.place.level - 1;
        if level == 0 {
            let segments = change.children::<Items>(child, &node, replacements)?;
            return segments
                .map(|segments| change.settle(segments, level))
                .transpose();
        }
        let segments = change.children::<Entries>(child, &node, replacements)?;
        segments
            .map(|segments| change.settle(segments, level))
            .transpose()
    }
}
