//! The interval tree against a plain vector, with a check of every invariant after every step.

use std::ptr::NonNull;

use proptest::prelude::*;

use super::links::parent;
use super::{Anchor, Anchored, IntervalTree};
use crate::span::Span;

/// A node that is nothing but an anchor.
struct Node(Anchor<Node>);

// SAFETY: there is only one field, which only its own methods write.
unsafe impl Anchored for Node {
    fn anchor(&self) -> &Anchor<Self> {
        &self.0
    }
}

impl std::ops::Deref for Node {
    type Target = Anchor<Node>;

    fn deref(&self) -> &Anchor<Node> {
        &self.0
    }
}

/// One step of a test.
#[derive(Clone, Copy, Debug)]
enum Step {
    Insert {
        first: u64,
        len: u64,
    },
    /// Removes the node at this position of those present, counted round.
    Remove {
        position: usize,
    },
    Search {
        first: u64,
        len: u64,
    },
}

/// Small bounds make ranges meet and keys repeat; the last byte must work too.
fn bounds() -> impl Strategy<Value = (u64, u64)> {
    prop_oneof![
        8 => (0..64_u64, 0..16_u64),
        2 => (0..1_000_000_u64, 0..200_000_u64),
        1 => (u64::MAX - 20..=u64::MAX, 0..40_u64),
        1 => Just((0, u64::MAX)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => bounds().prop_map(|(first, len)| Step::Insert { first, len }),
        3 => any::<usize>().prop_map(|position| Step::Remove { position }),
        3 => bounds().prop_map(|(first, len)| Step::Search { first, len }),
    ]
}

fn span(first: u64, len: u64) -> Span {
    Span {
        first,
        last: first.saturating_add(len),
    }
}

/// A tree and the same set as a vector, in order of insertion.
struct Pair {
    tree: IntervalTree<Node>,
    #[expect(clippy::vec_box, reason = "the tree links nodes by address")]
    present: Vec<Box<Node>>,
    inserted: u64,
}

impl Pair {
    fn new() -> Self {
        Self {
            tree: IntervalTree::new(),
            present: Vec::new(),
            inserted: 0,
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Insert { first, len } => self.insert(span(first, len)),
            Step::Remove { position } if !self.present.is_empty() => {
                self.remove(position % self.present.len());
            }
            Step::Remove { .. } => {}
            Step::Search { first, len } => self.search(span(first, len)),
        }
        check(&self.tree, self.present.len());
    }

    fn insert(&mut self, span: Span) {
        let node = Box::new(Node(Anchor::new()));
        node.set_span(span);
        node.set_sequence(self.inserted);
        self.inserted += 1;
        // SAFETY: the box keeps the node alive and in place until `remove`, or the end of the test.
        unsafe { self.tree.insert(NonNull::from(&*node)) };
        self.present.push(node);
    }

    fn remove(&mut self, position: usize) -> Box<Node> {
        let node = self.present.remove(position);
        // SAFETY: `present` lists the linked nodes.
        unsafe { self.tree.remove(NonNull::from(&*node)) };
        node
    }

    fn search(&self, span: Span) {
        let found: Vec<_> = self
            .tree
            .overlapping(span)
            .map(|node| node.sequence())
            .collect();
        let mut expected: Vec<_> = self
            .present
            .iter()
            .filter(|node| node.first() <= span.last && span.first <= node.last())
            .map(|node| (node.first(), node.sequence()))
            .collect();
        expected.sort_unstable();
        let expected: Vec<_> = expected.into_iter().map(|(_, sequence)| sequence).collect();
        assert_eq!(found, expected, "nodes overlapping {span:?}");
    }
}

/// Checks order, links, colours, black heights and every `max_last`.
fn check(tree: &IntervalTree<Node>, size: usize) {
    let keys: Vec<_> = tree
        .iter()
        .map(|node| (node.first(), node.sequence()))
        .collect();
    assert_eq!(keys.len(), size);
    assert!(keys.is_sorted(), "out of order: {keys:?}");
    assert_eq!(tree.is_empty(), size == 0);
    if let Some(root) = tree.root() {
        assert!(parent(root).is_none());
        assert!(is_black(root), "the root is red");
        check_subtree(root);
    }
}

fn is_black(node: &Node) -> bool {
    node.parent_color.get().addr() & 1 == 1
}

/// Returns the number of black nodes on every path down from `node`, which must be the same.
fn check_subtree(node: &Node) -> usize {
    let mut max_last = node.last();
    let black_heights = [node.left.get(), node.right.get()].map(|child| {
        let Some(child) = child else { return 0 };
        // SAFETY: the children of a linked node are linked, so alive.
        let child = unsafe { child.as_ref() };
        assert_eq!(parent(child), Some(NonNull::from(node)));
        assert!(
            is_black(node) || is_black(child),
            "a red node has a red child"
        );
        let black_height = check_subtree(child);
        max_last = max_last.max(child.max_last.get());
        black_height
    });
    assert_eq!(node.max_last.get(), max_last, "of {:?}", node.span());
    assert_eq!(
        black_heights[0],
        black_heights[1],
        "below {:?}",
        node.span()
    );
    black_heights[0] + usize::from(is_black(node))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn finds_what_a_vector_finds_and_keeps_its_invariants(
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut pair = Pair::new();
        for step in steps {
            pair.apply(step);
        }
    }
}

/// An insertion recomputes `max_last` after it has set the first child and before it has set the
/// second. A node that kept its links from an earlier use then followed one to a node that had been
/// freed meanwhile (found by the address sanitizer).
#[test]
fn a_removed_node_keeps_no_links() {
    let mut pair = Pair::new();
    for first in 0..100 {
        pair.insert(span(first, 3));
    }
    while !pair.present.is_empty() {
        let node = pair.remove(pair.present.len() / 2);
        assert!(node.left.get().is_none() && node.right.get().is_none());
        assert!(node.parent_color.get().is_null());
    }
}

#[test]
fn survives_sorted_insertion_and_removal_from_either_end() {
    for from_front in [true, false] {
        let mut pair = Pair::new();
        for first in 0..500 {
            pair.apply(Step::Insert {
                first,
                len: first % 7,
            });
        }
        while !pair.present.is_empty() {
            let position = if from_front {
                0
            } else {
                pair.present.len() - 1
            };
            pair.apply(Step::Remove { position });
            pair.apply(Step::Search { first: 250, len: 3 });
        }
    }
}
