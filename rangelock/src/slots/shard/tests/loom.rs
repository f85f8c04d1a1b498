//! A shard that is retired while somebody comes, or lets lone holders in again: whatever he does,
//! the shard must be found deserted in the end, or its level is never used again.
//!
//! That those who conflict do not hold together is left to the models of the whole lock.

use std::sync::Arc;

use ::loom::model;
use ::loom::thread;

use crate::mode::Mode;
use crate::slots::shard::Shard;
use crate::slots::word::{Format, Word};
use crate::span::Span;

/// The readers of the first byte: a moved word of theirs looks like a crowded head without a
/// holder.
fn words() -> [Word; 2] {
    let word = |byte, mode| {
        let span = Span {
            first: byte,
            last: byte,
        };
        Format::new(4).narrow(span, mode).expect("narrow")
    };
    [word(0, Mode::Read), word(1, Mode::Write)]
}

fn retire_while(act: impl Fn(&Shard) + Clone + Send + Sync + 'static) {
    model(move || {
        let shard = Arc::new(Shard::new_crowded());
        let other = {
            let (shard, act) = (Arc::clone(&shard), act.clone());
            thread::spawn(move || act(&shard))
        };
        shard.retire(|_| ());
        other.join().unwrap();
        assert!(shard.is_deserted(), "nobody is at home here");
    });
}

#[test]
fn loom_a_shard_retired_while_it_is_uncrowded_is_deserted() {
    retire_while(Shard::uncrowd);
}

#[test]
fn loom_a_shard_retired_while_somebody_comes_and_goes_is_deserted() {
    for word in words() {
        retire_while(move |shard| {
            if let Some(place) = shard.try_alone_if_calm(word) {
                // SAFETY: it was taken just now, and the shard lives.
                unsafe { place.release() };
            }
        });
    }
}

#[test]
fn loom_a_shard_that_two_uncrowd_while_it_is_retired_is_deserted() {
    retire_while(|shard| {
        shard.uncrowd();
        shard.crowd();
        shard.uncrowd();
    });
}
