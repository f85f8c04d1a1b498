//! What a thread says that finds itself in a circle. Touches nothing; takes no lock.

use std::fmt::Write;
use std::thread::Thread;

use super::registry::{Cause, Claim, Edge};
use crate::mode::Mode;

/// Tells of a circle, beginning with the thread that closes it.
pub(crate) fn of(circle: &[Edge<'_>]) -> String {
    let mut text = String::new();
    match circle {
        [alone] => tell_of_one(&mut text, alone),
        _ => tell_of_many(&mut text, circle),
    }
    .expect("a string takes everything");
    text
}

fn tell_of_one(text: &mut String, edge: &Edge<'_>) -> std::fmt::Result {
    let Edge {
        waiter, blocker, ..
    } = edge;
    writeln!(text, "deadlock: a thread waits for itself")?;
    writeln!(
        text,
        "  {} asks for {} at {}",
        name(&waiter.owner),
        what(waiter),
        waiter.place
    )?;
    writeln!(text, "  but {}", whereas(edge.cause, blocker))?;
    write!(text, "the request was withdrawn")
}

fn tell_of_many(text: &mut String, circle: &[Edge<'_>]) -> std::fmt::Result {
    writeln!(
        text,
        "deadlock: {} threads wait for each other",
        circle.len()
    )?;
    for (index, edge) in circle.iter().enumerate() {
        let Edge {
            waiter, blocker, ..
        } = edge;
        writeln!(
            text,
            "  {}. {} waits for {}, asked for at {}",
            index + 1,
            name(&waiter.owner),
            what(waiter),
            waiter.place
        )?;
        writeln!(
            text,
            "     behind {}, which {}",
            name(&blocker.owner),
            whereas(edge.cause, blocker)
        )?;
    }
    write!(
        text,
        "the request of {}, which came last, was withdrawn",
        name(&circle[0].waiter.owner)
    )
}

/// What the one in the way does there.
fn whereas(cause: Cause, blocker: &Claim) -> String {
    match cause {
        Cause::Holds => format!("holds {} since {}", what(blocker), blocker.place),
        Cause::CameEarlier => format!("asked earlier for {} at {}", what(blocker), blocker.place),
    }
}

fn what(claim: &Claim) -> String {
    let verb = match claim.mode {
        Mode::Read => "read",
        Mode::Write => "write",
    };
    let (first, last) = (claim.span.first, claim.span.last);
    format!("{first}..={last} of {} to {verb}", claim.lock)
}

fn name(thread: &Thread) -> String {
    let id = thread.id();
    match thread.name() {
        Some(name) => format!("thread '{name}' ({id:?})"),
        None => format!("a thread without a name ({id:?})"),
    }
}
