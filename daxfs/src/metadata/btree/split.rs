//! Where to cut what does not fit one node. Pure arithmetic: touches nothing, takes no locks.

use std::ops::Range;

use super::content::Content;

/// Cuts `content` into as few nodes of about the same size as it asks for.
///
/// Of more than one node each is at least about a third full: the sizes differ by no more than an
/// element from half of what two nodes hold, and a leaf's element is at most a quarter of a leaf.
pub(super) fn split<C: Content>(content: &C) -> Vec<Range<usize>> {
    let mut nodes = Vec::new();
    let mut left = content.total_len();
    let mut start = 0;
    while start < content.len() {
        let target = left / left.div_ceil(C::CAPACITY).max(1);
        let (end, taken) = fill(content, start, target);
        nodes.push(start..end);
        left -= taken;
        start = end;
    }
    nodes
}

/// One node from the element `start` on, as near to `target` bytes as it gets: its end, and the
/// bytes it takes.
fn fill<C: Content>(content: &C, start: usize, target: usize) -> (usize, usize) {
    let (mut end, mut taken) = (start, 0);
    while end < content.len() {
        let len = content.element_len(end);
        let is_nearer_without = taken + len / 2 > target;
        if end > start && (taken + len > C::CAPACITY || is_nearer_without) {
            break;
        }
        taken += len;
        end += 1;
    }
    (end, taken)
}
