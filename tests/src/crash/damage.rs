//! Traces with a mistake in them, as a filesystem would leave that forgot a fence or a flush, or
//! made two steps in the wrong order. What does not notice them is no crash test.
//!
//! Touches memory alone; takes no locks.

use daxfs_pmem::{Action, Event};

/// A mistake. Fences and flushes are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// This fence was never executed.
    WithoutFence(usize),
    /// This flush was never executed.
    WithoutFlush(usize),
    /// What this fence makes durable and what the next one does have changed places.
    StepsSwapped(usize),
}

/// The trace with the mistake, or nothing when it has no such place. `base` is what the device held
/// before.
#[must_use]
pub fn damaged(base: &[u8], trace: &[Event], damage: Damage) -> Option<Vec<Event>> {
    match damage {
        Damage::WithoutFence(number) => without(trace, number, is_fence),
        Damage::WithoutFlush(number) => without(trace, number, is_flush),
        Damage::StepsSwapped(number) => swapped(base, trace, number),
    }
}

/// Whether an event is a fence.
#[must_use]
pub fn is_fence(event: &Event) -> bool {
    matches!(event.action, Action::Fence)
}

/// Whether an event is a flush.
#[must_use]
pub fn is_flush(event: &Event) -> bool {
    matches!(event.action, Action::Flush { .. })
}

fn positions(trace: &[Event], is_wanted: impl Fn(&Event) -> bool) -> Vec<usize> {
    let numbered = trace.iter().enumerate();
    let wanted = numbered.filter(|(_, event)| is_wanted(event));
    wanted.map(|(at, _)| at).collect()
}

fn without(
    trace: &[Event],
    number: usize,
    is_wanted: impl Fn(&Event) -> bool,
) -> Option<Vec<Event>> {
    let at = *positions(trace, is_wanted).get(number)?;
    let mut trace = trace.to_vec();
    trace.remove(at);
    Some(trace)
}

/// Marks stay in front: the program does not know of its mistake.
fn swapped(base: &[u8], trace: &[Event], number: usize) -> Option<Vec<Event>> {
    let fences = positions(trace, is_fence);
    let (first_end, second_end) = (*fences.get(number)?, *fences.get(number + 1)?);
    let start = number.checked_sub(1).map_or(0, |before| fences[before] + 1);
    let (first, second) = (
        &trace[start..=first_end],
        &trace[first_end + 1..=second_end],
    );
    if second.iter().any(is_mark) {
        // The second step belongs to another operation, which cannot come before its time.
        return None;
    }
    let (marks, first): (Vec<Event>, Vec<Event>) = first.iter().cloned().partition(is_mark);
    let (before, after) = (&trace[..start], &trace[second_end + 1..]);
    let mut swapped = [before, &marks, second, &first, after].concat();
    see_again(base, &mut swapped);
    Some(swapped)
}

fn is_mark(event: &Event) -> bool {
    matches!(event.action, Action::Mark(_))
}

/// Lets each flush see what is now stored before it, and not what it saw in the right order.
pub(super) fn see_again(base: &[u8], trace: &mut [Event]) {
    let mut image = base.to_vec();
    for event in trace {
        match &mut event.action {
            Action::Store {
                offset_bytes,
                bytes,
            }
            | Action::Stream {
                offset_bytes,
                bytes,
            } => image[*offset_bytes as usize..][..bytes.len()].copy_from_slice(bytes),
            Action::Flush {
                offset_bytes,
                bytes,
            } => bytes.copy_from_slice(&image[*offset_bytes as usize..][..bytes.len()]),
            Action::Fence | Action::Mark(_) => {}
        }
    }
}
