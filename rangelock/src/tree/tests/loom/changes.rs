//! Changes to what is held, with others waiting for it or coming.

use super::waiting::Tally;
use super::{
    Node, NonNull, Read, Setting, Shared, Span, Write, models, span, spawn, three_threads,
    two_threads,
};

models! {
    a_downgrade_lets_readers_in
    a_downgrade_lets_no_writer_between
    one_of_two_readers_becomes_a_writer
    a_waiting_reader_waits_for_an_upgraded_one_too
    what_is_given_back_can_be_had
    what_is_kept_can_not_be_had
    both_parts_of_a_split_range_are_waited_for
    each_part_of_a_split_range_can_be_had
    a_newcomer_meets_a_range_that_is_taken_over
    a_waiter_is_woken_by_a_range_that_was_taken_over
}

impl Shared {
    fn unlock(&self, node: NonNull<Node>) {
        // SAFETY: held by the model, which forgets the node.
        unsafe { self.tree.unlock_pooled(&self.outsiders, node) };
    }

    fn downgrade(&self, node: NonNull<Node>) {
        // SAFETY: held by the model, for writing.
        unsafe { self.tree.downgrade(&self.outsiders, node) };
    }

    fn try_upgrade(&self, node: NonNull<Node>) -> bool {
        // SAFETY: held by the model, for reading.
        unsafe { self.tree.try_upgrade(&self.outsiders, node) }
    }

    fn shrink(&self, node: NonNull<Node>, part: Span) {
        // SAFETY: held by the model, and more than `part`.
        unsafe { self.tree.shrink(&self.outsiders, node, part) };
    }

    fn split(&self, node: NonNull<Node>, at: u64) -> NonNull<Node> {
        // SAFETY: held by the model, from below `at` on.
        unsafe { self.tree.split_pooled(&self.outsiders, node, at) }
    }
}

/// The first holder leaves only after the reader.
pub(super) fn a_downgrade_lets_readers_in(setting: Setting) {
    two_threads(setting, |shared| {
        let node = shared.take_linked(span(0, 1), Write);
        let reader = spawn(shared, |shared| shared.hold(span(0, 0), Read));
        shared.use_bytes(span(0, 1), Write);
        shared.downgrade(node);
        reader.join().unwrap();
        shared.unlock(node);
    });
}

pub(super) fn a_downgrade_lets_no_writer_between(setting: Setting) {
    three_threads(setting, |shared| {
        let node = shared.take_linked(span(0, 1), Write);
        let writer = spawn(shared, |shared| shared.hold(span(0, 0), Write));
        let reader = spawn(shared, |shared| shared.hold(span(0, 1), Read));
        shared.downgrade(node);
        shared.use_bytes(span(0, 1), Read);
        shared.unlock(node);
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

pub(super) fn one_of_two_readers_becomes_a_writer(setting: Setting) {
    let tally = Tally::default();
    let counted = tally.clone();
    two_threads(setting, move |shared| {
        let read_then_write = |shared: &Shared, tally: &Tally| {
            let node = shared.take_linked(span(0, 0), Read);
            shared.use_bytes(span(0, 0), Read);
            let upgraded = shared.try_upgrade(node);
            tally.count(upgraded);
            if upgraded {
                shared.use_bytes(span(0, 0), Write);
            }
            shared.unlock(node);
        };
        let tally = counted.clone();
        let other = spawn(shared, move |shared| read_then_write(shared, &tally));
        read_then_write(shared, &counted);
        other.join().unwrap();
    });
    tally.assert_both_happened();
}

/// A reader of two bytes waits for a writer of one; then a reader of the other becomes a writer.
pub(super) fn a_waiting_reader_waits_for_an_upgraded_one_too(setting: Setting) {
    two_threads(setting, |shared| {
        let low = shared.take_linked(span(0, 0), Read);
        let high = shared.take_linked(span(1, 1), Write);
        let reader = spawn(shared, |shared| shared.hold(span(0, 1), Read));
        // An outsider that is on its way to the tree may be in the way.
        let upgraded = shared.try_upgrade(low);
        shared.unlock(high);
        if upgraded {
            shared.use_bytes(span(0, 0), Write);
        }
        shared.unlock(low);
        reader.join().unwrap();
    });
}

/// The first holder leaves only after the writer of what was given back.
pub(super) fn what_is_given_back_can_be_had(setting: Setting) {
    two_threads(setting, |shared| {
        let node = shared.take_linked(span(0, 1), Write);
        let writer = spawn(shared, |shared| shared.hold(span(0, 0), Write));
        shared.use_bytes(span(0, 1), Write);
        shared.shrink(node, span(1, 1));
        writer.join().unwrap();
        shared.use_bytes(span(1, 1), Write);
        shared.unlock(node);
    });
}

pub(super) fn what_is_kept_can_not_be_had(setting: Setting) {
    two_threads(setting, |shared| {
        let node = shared.take_linked(span(0, 1), Write);
        let writer = spawn(shared, |shared| shared.hold(span(0, 1), Write));
        shared.shrink(node, span(1, 1));
        shared.use_bytes(span(1, 1), Write);
        shared.unlock(node);
        writer.join().unwrap();
    });
}

pub(super) fn both_parts_of_a_split_range_are_waited_for(setting: Setting) {
    two_threads(setting, |shared| {
        let low = shared.take_linked(span(0, 1), Write);
        let writer = spawn(shared, |shared| shared.hold(span(0, 1), Write));
        let high = shared.split(low, 1);
        shared.unlock(high);
        shared.use_bytes(span(0, 0), Write);
        shared.unlock(low);
        writer.join().unwrap();
    });
}

/// The first holder leaves the other part only after the writer.
pub(super) fn each_part_of_a_split_range_can_be_had(setting: Setting) {
    for (byte, first_to_leave) in [(0, 0), (1, 1)] {
        two_threads(setting, move |shared| {
            let low = shared.take_linked(span(0, 1), Write);
            let writer = spawn(shared, move |shared| shared.hold(span(byte, byte), Write));
            let parts = [low, shared.split(low, 1)];
            shared.unlock(parts[first_to_leave]);
            writer.join().unwrap();
            shared.unlock(parts[1 - first_to_leave]);
        });
    }
}

/// The newcomer may have looked for nodes before there was one, and look for outsiders after there
/// is none.
pub(super) fn a_newcomer_meets_a_range_that_is_taken_over(setting: Setting) {
    two_threads(setting, |shared| {
        let other = spawn(shared, |shared| shared.hold(span(0, 0), Write));
        let node = shared.take_linked(span(0, 0), Write);
        shared.use_bytes(span(0, 0), Write);
        shared.unlock(node);
        other.join().unwrap();
    });
}

pub(super) fn a_waiter_is_woken_by_a_range_that_was_taken_over(setting: Setting) {
    two_threads(setting, |shared| {
        let holding = shared.take(span(0, 1), Write);
        let other = spawn(shared, |shared| shared.hold(span(0, 1), Write));
        let node = shared.outsiders.linked(&shared.tree, holding);
        shared.use_bytes(span(0, 1), Write);
        shared.unlock(node);
        other.join().unwrap();
    });
}
