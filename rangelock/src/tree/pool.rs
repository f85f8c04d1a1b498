//! The nodes of movable guards: a free list fed by chunks that live as long as the lock.
//!
//! Why a pool. A movable guard can be forgotten, and then its node stays linked for the rest of the
//! lock's life, while the lock itself may be moved. So the node can be neither in the guard nor in
//! the lock. Chunks double in size, so a lock allocates O(log n) times on the way to `n` ranges
//! held at once, and never again. A lock that only ever used pinned nodes owns no chunk.
//!
//! Guarded by the tree's mutex. Chunks are made outside it ([`Chunk::new`]), because an allocator
//! may take long, and may wait for a thread that waits for the tree.

use std::ptr::NonNull;

use super::node::{Link, Node};

/// How many nodes the first chunk has. Models use few, to explore growth as well.
const FIRST_CHUNK_NODES: usize = if cfg!(loom) { 1 } else { 8 };

/// Free nodes, and the chunks that own all nodes.
pub(super) struct Pool {
    free: Link,
    chunks: Option<Box<Chunk>>,
}

/// A slab of nodes. Held by raw pointer, because others point into it while its owner moves.
pub(super) struct Chunk {
    nodes: NonNull<[Node]>,
    next: Option<Box<Chunk>>,
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self {
            free: None,
            chunks: None,
        }
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<NonNull<Node>> {
        let node = self.free?;
        // SAFETY: nodes of the pool live as long as the pool.
        self.free = unsafe { node.as_ref() }.chain.get();
        Some(node)
    }

    /// Like `take`, but allocates if it must, under the mutex. For what cannot be undone.
    pub(super) fn take_or_grow(&mut self) -> NonNull<Node> {
        loop {
            match self.take() {
                Some(node) => return node,
                None => self.add(Chunk::new(self.next_chunk_nodes())),
            }
        }
    }

    /// Puts a node on the free list.
    ///
    /// # Safety
    ///
    /// The node came from [`take`](Self::take) of this pool, is not linked, and nobody uses it.
    #[inline]
    pub(super) unsafe fn give_back(&mut self, node: NonNull<Node>) {
        // SAFETY: nodes of the pool live as long as the pool.
        unsafe { node.as_ref() }.chain.set(self.free);
        self.free = Some(node);
    }

    /// How many of `nodes` are not free. Walks the free list, so far at most.
    pub(super) fn missing(&self, nodes: usize) -> usize {
        let mut next = self.free;
        for found in 0..nodes {
            let Some(node) = next else {
                return nodes - found;
            };
            // SAFETY: nodes of the pool live as long as the pool.
            next = unsafe { node.as_ref() }.chain.get();
        }
        0
    }

    /// What all chunks take.
    pub(super) fn heap_bytes(&self) -> usize {
        std::iter::successors(self.chunks.as_deref(), |chunk| chunk.next.as_deref())
            .map(|chunk| size_of::<Chunk>() + chunk.nodes.len() * size_of::<Node>())
            .sum()
    }

    /// How many nodes the next chunk should have.
    pub(super) fn next_chunk_nodes(&self) -> usize {
        self.chunks
            .as_ref()
            .map_or(FIRST_CHUNK_NODES, |chunk| chunk.nodes.len() * 2)
    }

    /// Adds a chunk; its nodes become free.
    pub(super) fn add(&mut self, mut chunk: Box<Chunk>) {
        let first = chunk.nodes.cast::<Node>();
        for index in (0..chunk.nodes.len()).rev() {
            // SAFETY: the index is within the chunk.
            let node = unsafe { first.add(index) };
            // SAFETY: the node belongs to this pool from here on and has not been used yet.
            unsafe { self.give_back(node) };
        }
        chunk.next = self.chunks.take();
        self.chunks = Some(chunk);
    }
}

impl Chunk {
    /// Allocates `nodes` fresh nodes. Call it without the tree's mutex.
    pub(super) fn new(nodes: usize) -> Box<Self> {
        let nodes: Box<[Node]> = (0..nodes).map(|_| Node::new()).collect();
        Box::new(Self {
            nodes: NonNull::from(Box::leak(nodes)),
            next: None,
        })
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: `new` leaked this box, and only here is it taken back. The lock is going away, so
        // no guard or waiter borrows it, and the tree never looks at leaked nodes again.
        drop(unsafe { Box::from_raw(self.nodes.as_ptr()) });
    }
}
