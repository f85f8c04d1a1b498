//! Joins, cuts and writes the changed nodes of one parent.
//!
//! Reads neighbours through the reader and writes through the writer. Takes no locks.

use super::change::{Change, Child};
use super::content::{Content, Entries};
use super::split::split;
use crate::error::{Error, Result};
use crate::format::item::Key;
use crate::format::node::{IndexEntry, NodePlace};
use crate::format::{Block, BlockPointer};

/// A child of the parent, in the order of keys.
pub(super) enum Segment<C> {
    /// A node that stays as it is.
    Kept(Child),
    /// What changed nodes hold now; they are no more.
    Changed(C),
}

/// A third: what has less takes a neighbour into it.
fn is_too_small<C: Content>(content: &C) -> bool {
    content.total_len() < C::CAPACITY / 3
}

impl Change<'_, '_> {
    /// Makes nodes at `level` of the changed segments of one parent, and returns the entries of all
    /// of its children.
    pub(super) fn settle<C: Content>(
        &mut self,
        segments: Vec<Segment<C>>,
        level: u16,
    ) -> Result<Entries> {
        let mut entries = Entries::default();
        for segment in self.join(segments)? {
            match segment {
                Segment::Kept(child) => entries.0.push(child.entry()),
                Segment::Changed(content) => entries.append(self.write_nodes(&content, level)?),
            }
        }
        Ok(entries)
    }

    /// Joins adjacent changed segments, and those that are too small with a neighbour. Drops those
    /// that hold nothing.
    fn join<C: Content>(&mut self, segments: Vec<Segment<C>>) -> Result<Vec<Segment<C>>> {
        let mut joined: Vec<Segment<C>> = Vec::with_capacity(segments.len());
        let mut segments = segments.into_iter().peekable();
        while let Some(segment) = segments.next() {
            let mut content = match segment {
                Segment::Changed(content) => content,
                kept @ Segment::Kept(_) => {
                    joined.push(kept);
                    continue;
                }
            };
            let follows = |content: &C, next: &Segment<C>| match next {
                Segment::Changed(_) => true,
                Segment::Kept(_) => content.len() > 0 && is_too_small(content),
            };
            while let Some(next) = segments.next_if(|next| follows(&content, next)) {
                content.append(self.take(next)?);
            }
            if content.len() == 0 {
                continue;
            }
            if is_too_small(&content)
                && let Some(before) = joined.pop()
            {
                let mut start = self.take(before)?;
                start.append(content);
                content = start;
            }
            joined.push(Segment::Changed(content));
        }
        Ok(joined)
    }

    /// What a segment holds; a node that was kept until now is replaced.
    fn take<C: Content>(&mut self, segment: Segment<C>) -> Result<C> {
        match segment {
            Segment::Changed(content) => Ok(content),
            Segment::Kept(child) => {
                let content = C::read(self.nodes, child.pointer, &child.place)?;
                self.writer.replace(child.pointer);
                Ok(content)
            }
        }
    }

    /// Writes `content` as nodes at `level`, and returns the entries for them.
    pub(super) fn write_nodes<C: Content>(&mut self, content: &C, level: u16) -> Result<Entries> {
        let mut entries = Entries::default();
        for elements in split(content) {
            let number = self.writer.allocate()?;
            let generation = self.writer.generation();
            let key = content.key(elements.start);
            let place = NodePlace {
                block: number,
                level,
                first_key: Some(key),
                end: Key::MAX,
            };
            let node = content
                .encode(elements, number, level, generation)
                .map_err(|full| Error::Corrupt {
                    structure: place.structure().name(),
                    block: number,
                    problem: format!("an item of it is too long: {full}"),
                })?;
            let pointer = self.write_node(&node, &place)?;
            entries.0.push(IndexEntry { key, pointer });
        }
        Ok(entries)
    }

    fn write_node(&mut self, node: &Block, place: &NodePlace) -> Result<BlockPointer> {
        self.nodes.forget(place.block);
        let pointer = self.writer.write(place.block, node)?;
        // What is written must be what a reader takes.
        debug_assert!(match place.level {
            0 => self.nodes.leaf(pointer, place).is_ok(),
            _ => self.nodes.index(pointer, place).is_ok(),
        });
        Ok(pointer)
    }
}
