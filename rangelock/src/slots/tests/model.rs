//! Words, granules and levels against plain ranges, and the promises of one shard.

use std::collections::HashSet;

use proptest::prelude::*;

use super::SLOTS;
use super::granule::{Granule, shard_of};
use super::growth::{Division, Growth};
use super::level::{LEAST_SHARD_BITS, Layout, Level, MOST_SHARD_BITS, View};
use super::shard::{Departure, Held, Listed, Place, Request, Shard};
use super::table::SlotTable;
use super::wide::WideHolders;
use super::word::{Format, Word};
use crate::mode::Mode::{self, Read, Write};
use crate::probe::Probe;
use crate::span::Span;
use crate::tree::Notice;

const PAYLOAD_BITS: u32 = 60;

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Read), Just(Write)]
}

fn span(first: u64, len: u64) -> Span {
    Span {
        first,
        last: first.saturating_add(len - 1),
    }
}

/// A number of length bits, and two ranges, most of them short and near each other, at all heights.
fn length_bits_and_spans() -> impl Strategy<Value = (u32, Span, Span)> {
    (0..=21_u32).prop_flat_map(|length_bits| {
        let longest = 1_u64 << length_bits;
        let end = 1_u64 << (PAYLOAD_BITS - length_bits);
        let base = prop_oneof![
            2 => Just(0),
            2 => 0..end,
            2 => Just(end.saturating_sub(2 * longest)),
            1 => Just(u64::MAX - 4 * longest),
        ];
        base.prop_flat_map(move |base| {
            let one = || {
                let len = prop_oneof![8 => 1..=longest, 1 => Just(longest), 1 => 1..=20 * longest];
                (0..3 * longest, len).prop_map(move |(beyond, len)| span(base + beyond, len))
            };
            (Just(length_bits), one(), one())
        })
    })
}

fn request(format: Format, span: Span, mode: Mode) -> Request {
    Request {
        span,
        mode,
        word: format.narrow(span, mode).unwrap_or(Word::FREE),
        format,
    }
}

/// A request for one unit, to write.
fn unit(at: u64) -> Request {
    request(Format::new(4), span(at, 1), Write)
}

fn nobody_listed() -> Listed<'static> {
    static NOBODY: WideHolders = WideHolders::new();
    Listed {
        holders: &NOBODY,
        granule: Granule::from_len(16).unwrap(),
    }
}

fn attempt(shard: &Shard, request: &Request) -> Option<Place> {
    let nobody_cares = |departure| panic!("withdrawn unseen, not {departure:?}");
    shard.attempt(request, nobody_listed(), nobody_cares, &Probe::new())
}

fn release(place: Place) -> Departure {
    // SAFETY: every test releases each place once, while its shard lives.
    unsafe { place.release() }
}

fn replace(place: &mut Place, word: Word) -> Departure {
    // SAFETY: the place is held, and its shard lives.
    unsafe { place.replace(word) }
}

fn held(shard: &Shard) -> usize {
    shard.held().count()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn a_narrow_request_is_read_back_from_its_word(
        (length_bits, span, _) in length_bits_and_spans(),
        mode in mode(),
    ) {
        let format = Format::new(length_bits);
        let fits = span.last - span.first < 1 << length_bits
            && span.first < 1 << (PAYLOAD_BITS - length_bits);
        let Some(word) = format.narrow(span, mode) else {
            prop_assert!(!fits);
            return Ok(());
        };
        prop_assert!(fits);
        prop_assert!(word.is_held() && !word.is_flagged());
        prop_assert!(!word.moved().is_held() && word.moved().is_flagged());
        let left = word.moved().bits().wrapping_sub(word.bits());
        prop_assert_eq!(Word::from_bits(left), Word::LEFT, "taken away as if it were not moved");
        prop_assert_ne!(word.moved(), Word::LEFT);
        prop_assert_eq!(word.flagged().unflagged(), word);
        for word in [word, word.flagged(), word.standing_in(), word.standing_in().flagged()] {
            prop_assert_eq!(format.span_in_slot(word), span);
            prop_assert_eq!(word.mode(), mode);
        }
        for word in [word, word.flagged()] {
            prop_assert_eq!(format.span_in_head(word), span);
        }
    }

    #[test]
    fn an_open_ended_request_is_read_back_from_the_word_of_a_head(
        length_bits in 0..=21_u32,
        first in prop_oneof![0..100_u64, (1 << 60) - 2..(1 << 60) + 2_u64, any::<u64>()],
        mode in mode(),
    ) {
        let format = Format::new(length_bits);
        let tail = Span { first, last: u64::MAX };
        let word = Format::open_ended(tail, mode);
        prop_assert_eq!(word.is_some(), first < 1 << PAYLOAD_BITS);
        if let Some(word) = word {
            prop_assert_eq!(format.span_in_head(word), tail);
            prop_assert_eq!(format.span_in_head(word.flagged()), tail);
            prop_assert_eq!(word.mode(), mode);
        }
        prop_assert_eq!(Format::open_ended(Span { first: 0, last: first / 2 }, mode), None);
    }

    /// Whether it stands in the head or in a slot, marked or not.
    #[test]
    fn words_conflict_exactly_if_their_requests_do(
        (length_bits, one, other) in length_bits_and_spans(),
        one_mode in mode(),
        other_mode in mode(),
    ) {
        let format = Format::new(length_bits);
        let wanted = request(format, one, one_mode);
        let standing = request(format, other, other_mode);
        if standing.word != Word::FREE {
            let expected = one.overlaps(other) && one_mode.conflicts_with(other_mode);
            let (in_head, in_slot) = (Shard::new(), Shard::new());
            prop_assert!(in_head.try_alone(standing.word).is_some());
            prop_assert!(in_slot.settle(&standing).is_some());
            for shard in [&in_head, &in_slot] {
                for notice in [Notice::None, Notice::Leave, Notice::Leave] {
                    prop_assert_eq!(shard.blocks(&wanted, notice, &Probe::new()), expected);
                }
                shard.close();
                prop_assert_eq!(shard.blocks(&wanted, Notice::None, &Probe::new()), expected);
                shard.reopen();
                if wanted.word != Word::FREE {
                    let let_in = shard
                        .attempt(&wanted, nobody_listed(), |_| {}, &Probe::new())
                        .is_some();
                    prop_assert_eq!(let_in, !expected);
                }
            }
        }
    }

    #[test]
    fn the_open_ended_conflict_in_the_head_exactly_if_their_requests_do(
        (length_bits, one, other) in length_bits_and_spans(),
        one_mode in mode(),
        other_mode in mode(),
    ) {
        let tail = Span { first: other.first, last: u64::MAX };
        if let Some(word) = Format::open_ended(tail, other_mode) {
            let shard = Shard::new();
            prop_assert!(shard.try_alone(word).is_some());
            let wanted = request(Format::new(length_bits), one, one_mode);
            let expected = one.overlaps(tail) && one_mode.conflicts_with(other_mode);
            prop_assert_eq!(shard.blocks(&wanted, Notice::None, &Probe::new()), expected);
        }
    }

    /// A wide request looks into every shard where a narrow one could be that overlaps it.
    #[test]
    fn the_shards_of_a_range_are_those_of_its_granules(
        (shift, span, _) in length_bits_and_spans(),
        shard_bits in LEAST_SHARD_BITS..=LEAST_SHARD_BITS + 3,
    ) {
        let granule = Granule::from_len(1 << shift).unwrap();
        let level = Level::new(granule, shard_bits, Layout::Together);
        // SAFETY: the level lives to the end of this function.
        let view = View::Heap(unsafe { level.ticket().shards() });
        let found: HashSet<_> = view.shards_of(span).map(std::ptr::from_ref).collect();
        let expected: HashSet<_> = (span.first >> shift..=span.last >> shift)
            .map(|number| Span { first: number << shift, last: number << shift })
            .map(|start| std::ptr::from_ref(view.shard(view.index_for(start, Read).unwrap())))
            .collect();
        prop_assert!(found.is_superset(&expected), "{:?} lacks some of {:?}", found, expected);
        prop_assert!(found == expected || found.len() == 1 << shard_bits);
        let is_narrow = span.first >> shift == span.last >> shift;
        prop_assert_eq!(view.index_for(span, Write).is_some(), is_narrow);

        view.shards_of(span).for_each(Shard::close);
        let closed: HashSet<_> = view
            .shards()
            .filter(|shard| shard.nodes() != 0)
            .map(std::ptr::from_ref)
            .collect();
        prop_assert_eq!(closed, found);
        view.shards_of(span).for_each(Shard::reopen);
        prop_assert_eq!(view.shards().map(Shard::nodes).sum::<u32>(), 0);
    }
}

#[test]
fn the_whole_range_concerns_every_shard() {
    let all = Span {
        first: 0,
        last: u64::MAX,
    };
    for len in [1, 1 << 10, Granule::MAX_LEN] {
        let granule = Granule::from_len(len).unwrap();
        let level = Level::new(granule, LEAST_SHARD_BITS + 2, Layout::Together);
        // SAFETY: the level lives to the end of this block.
        let view = View::Heap(unsafe { level.ticket().shards() });
        let found: HashSet<_> = view.shards_of(all).map(std::ptr::from_ref).collect();
        assert_eq!(found.len(), view.shards().count());
        assert_eq!(found.len(), 1 << (LEAST_SHARD_BITS + 2));
    }
    let inline = Shard::new();
    for some in [all, span(7, 1)] {
        assert_eq!(View::Inline(&inline).shards_of(some).count(), 1);
    }
}

#[test]
fn neighbouring_granules_have_different_shards() {
    for shard_bits in LEAST_SHARD_BITS..=MOST_SHARD_BITS {
        for first in (0..1 << 23).step_by(9_973) {
            let shards: HashSet<_> = (first..first + 8)
                .map(|number| shard_of(number, shard_bits))
                .collect();
            assert_eq!(shards.len(), 8, "of 2^{shard_bits}, from granule {first}");
            assert!(shards.iter().all(|&shard| shard < 1 << shard_bits));
        }
    }
}

#[test]
fn a_granule_is_a_power_of_two_of_at_most_two_to_the_21() {
    for len in [0, 3, 1 << 22, (1 << 21) + 1, u64::MAX] {
        assert_eq!(Granule::from_len(len), None);
    }
    for shift in 0..=21 {
        assert_eq!(
            Granule::from_len(1 << shift).map(Granule::len),
            Some(1 << shift)
        );
    }
}

// ---- One shard ----------------------------------------------------------------------------------

/// At most so many can overtake a request that waits, in each shard: those in it when it closed.
#[test]
fn a_closed_shard_admits_nobody_until_it_is_open_again() {
    let shard = Shard::new();
    assert!(attempt(&shard, &unit(0)).is_some());
    shard.close();
    shard.close();
    assert!(attempt(&shard, &unit(1)).is_none());
    assert!(shard.try_alone(unit(1).word).is_none());
    shard.reopen();
    assert_eq!(shard.nodes(), 1);
    assert!(attempt(&shard, &unit(1)).is_none());
    assert_eq!(held(&shard), 1, "a refused request leaves nothing behind");
    shard.reopen();
    assert!(attempt(&shard, &unit(1)).is_some());
    assert_eq!(held(&shard), 2);
}

#[test]
fn a_closed_shard_that_was_never_used_admits_nobody_alone() {
    let shard = Shard::new();
    shard.close();
    assert!(shard.try_alone(unit(1).word).is_none());
    assert!(attempt(&shard, &unit(1)).is_none());
    shard.uncrowd();
    assert!(shard.try_alone(unit(1).word).is_none());
    shard.reopen();
    shard.uncrowd();
    assert!(shard.try_alone(unit(1).word).is_some());
}

#[test]
fn a_full_shard_refuses_and_a_conflict_is_withdrawn() {
    let shard = Shard::new();
    let first = attempt(&shard, &unit(0)).expect("nobody is there");
    assert!(attempt(&shard, &unit(0)).is_none(), "in the way");
    assert_eq!(held(&shard), 1, "and withdrawn");
    let mut places: Vec<_> = (1..SLOTS as u64)
        .map(|at| attempt(&shard, &unit(at)).expect("a free slot"))
        .collect();
    assert!(attempt(&shard, &unit(99)).is_none());
    assert!(shard.settle(&unit(99)).is_none());
    assert_eq!(held(&shard), SLOTS);
    assert_eq!(release(places.remove(2)), Departure::Unnoticed);
    assert!(attempt(&shard, &unit(99)).is_some());
    assert!(attempt(&shard, &unit(3)).is_none(), "full again");
    assert_eq!(release(first), Departure::Unnoticed);
    assert!(attempt(&shard, &unit(3)).is_some());
}

#[test]
fn only_a_request_that_will_wait_marks_the_word_in_its_way() {
    let (shard, probe) = (Shard::new(), Probe::new());
    let places = [0, 1, 2].map(|at| attempt(&shard, &unit(at)).unwrap());
    assert!(shard.blocks(&unit(1), Notice::None, &probe));
    assert!(shard.blocks(&unit(2), Notice::None, &probe));
    assert!(shard.blocks(&unit(1), Notice::Leave, &probe));
    assert!(
        shard.blocks(&unit(1), Notice::Leave, &probe),
        "marked already"
    );
    assert_eq!(release(places[1]), Departure::Noticed);
    assert_eq!(release(places[0]), Departure::Unnoticed, "not in the way");
    assert_eq!(release(places[2]), Departure::Unnoticed, "nobody waits");
    assert!(!shard.blocks(&unit(1), Notice::Leave, &probe));
}

#[test]
fn a_lone_holder_is_told_of_if_somebody_came_to_the_tree_meanwhile() {
    let shard = Shard::new();
    let alone = || shard.try_alone(unit(0).word).expect("nobody is there");
    assert_eq!(release(alone()), Departure::Unnoticed);

    let place = alone();
    assert!(shard.try_alone(unit(1).word).is_none(), "he is not alone");
    shard.close();
    assert_eq!(release(place), Departure::Noticed);
    shard.reopen();
    shard.uncrowd();

    let place = alone();
    shard.close();
    shard.reopen();
    assert_eq!(release(place), Departure::Unnoticed, "who came has left");
}

#[test]
fn a_lone_holder_is_joined_by_others_and_none_is_alone_until_it_is_quiet() {
    let shard = Shard::new();
    let alone = shard.try_alone(unit(0).word).unwrap();
    assert!(attempt(&shard, &unit(0)).is_none(), "excluded by the head");
    let beside = attempt(&shard, &unit(1)).expect("disjoint");
    assert_eq!(held(&shard), 2);
    assert_eq!(release(alone), Departure::Unnoticed);
    assert!(shard.try_alone(unit(0).word).is_none(), "it is crowded");
    shard.uncrowd();
    assert!(shard.try_alone(unit(0).word).is_none(), "somebody is here");
    assert!(attempt(&shard, &unit(1)).is_none(), "and still held");
    assert_eq!(release(beside), Departure::Unnoticed);
    assert!(shard.try_alone(unit(0).word).is_none(), "nobody looked yet");
    shard.uncrowd();
    let again = shard.try_alone(unit(0).word).expect("quiet");
    assert!(matches!(
        shard.held().collect::<Vec<_>>()[..],
        [Held::InHead(word)] if word == unit(0).word
    ));
    assert_eq!(release(again), Departure::Unnoticed);
}

/// A shard remembers: pairs in a row without company make it calm, one with company undoes that.
#[test]
fn a_shard_is_calm_after_many_arrivals_without_company() {
    let shard = Shard::new();
    let pairs_until_calm = || {
        (0..1_000)
            .take_while(|_| {
                let was_calm = shard.is_calm();
                release(attempt(&shard, &unit(0)).unwrap());
                !was_calm
            })
            .count()
    };
    let pairs = pairs_until_calm();
    assert!((2..1_000).contains(&pairs), "calm after {pairs}");
    let company = attempt(&shard, &unit(1)).unwrap();
    release(attempt(&shard, &unit(2)).unwrap());
    assert!(!shard.is_calm());
    release(company);
    assert_eq!(pairs_until_calm(), pairs);
    shard.uncrowd();
    assert!(!shard.is_calm(), "forgotten");
    assert!(shard.try_alone(unit(0).word).is_some());
}

#[test]
fn a_shard_is_pressing_once_requests_have_met_there_again_and_again() {
    let shard = Shard::new();
    let company = attempt(&shard, &unit(1)).unwrap();
    let meetings = (0..10_000)
        .take_while(|_| {
            release(attempt(&shard, &unit(2)).unwrap());
            !shard.is_pressing()
        })
        .count();
    assert!((10..10_000).contains(&meetings), "after {meetings}");
    assert!(!shard.is_pressing(), "asked once, forgotten");
    release(company);
}

/// Two threads in a loop find each other about half of the time: that must not be a matter of luck.
#[test]
fn a_shard_is_pressing_if_others_are_met_now_and_then_and_not_if_rarely() {
    let is_pressing_after = |alone: usize| {
        let shard = Shard::new();
        (0..10_000).any(|_| {
            for _ in 0..alone {
                release(attempt(&shard, &unit(1)).unwrap());
            }
            let company = attempt(&shard, &unit(1)).unwrap();
            release(attempt(&shard, &unit(2)).unwrap());
            release(company);
            shard.is_pressing()
        })
    };
    assert!(is_pressing_after(0));
    assert!(is_pressing_after(3));
    assert!(!is_pressing_after(30));
}

#[test]
fn a_table_lets_a_lone_holder_in_again_when_its_crowd_is_gone() {
    let granule = Granule::from_len(16).unwrap();
    let table = SlotTable::new(Growth::new(Division::Fixed(granule)), Probe::new());
    let beside = |at| table.attempt(span(at, 1), Write, |_| {}).expect("free");
    // SAFETY: each place is held, and released once.
    let release = |place| assert_eq!(unsafe { table.release(place) }, Departure::Unnoticed);
    release(beside(0));
    assert!(table.alone(span(0, 1), Write).is_none(), "crowded");
    for at in 0..100 {
        release(
            table
                .alone(span(at, 1), Write)
                .unwrap_or_else(|| beside(at)),
        );
    }
    assert!(table.alone(span(0, 1), Write).is_some());
    assert_eq!(table.taken(), 1);
}

// ---- Retirement ---------------------------------------------------------------------------------

#[test]
fn a_retired_shard_hands_over_every_word_once_and_tells_its_holders() {
    let (shard, probe) = (Shard::new(), Probe::new());
    let format = Format::new(4);
    let mut places = vec![shard.try_alone(unit(0).word).unwrap()];
    places.extend((1..=SLOTS as u64).map(|at| attempt(&shard, &unit(at)).unwrap()));
    assert!(shard.blocks(&unit(2), Notice::Leave, &probe), "marked");
    let mut moved = Vec::new();
    shard.retire(|held| moved.push((held.span(format), held.word().mode())));
    moved.sort_by_key(|(span, _)| span.first);
    let expected: Vec<_> = (0..=SLOTS as u64).map(|at| (span(at, 1), Write)).collect();
    assert_eq!(moved, expected);
    assert_eq!(held(&shard), 0);
    assert!(shard.try_alone(unit(50).word).is_none());
    assert!(
        shard
            .attempt(&unit(50), nobody_listed(), |_| {}, &probe)
            .is_none()
    );
    for place in places {
        assert_eq!(release(place), Departure::Moved);
    }
    assert!(shard.try_alone(unit(50).word).is_none(), "for good");
    assert!(
        shard
            .attempt(&unit(50), nobody_listed(), |_| {}, &probe)
            .is_none()
    );
    shard.uncrowd();
    assert!(shard.try_alone(unit(50).word).is_none());
}

#[test]
fn who_has_left_before_is_not_moved() {
    let shard = Shard::new();
    let places = [0, 1].map(|at| attempt(&shard, &unit(at)).unwrap());
    assert_eq!(release(places[0]), Departure::Unnoticed);
    let mut moved = 0;
    shard.retire(|_| moved += 1);
    assert_eq!(moved, 1);
    assert_eq!(release(places[1]), Departure::Moved);
    Shard::new_retired().retire(|_| panic!("nobody was there"));
}

#[test]
fn a_stand_in_excludes_like_its_holder_and_is_dismissed_once() {
    let (shard, probe) = (Shard::new_crowded(), Probe::new());
    let word = request(Format::new(4), span(3, 1), Read).word;
    assert!(shard.stand_in(word) && shard.stand_in(word));
    let same = attempt(&shard, &request(Format::new(4), span(3, 1), Read)).expect("readers share");
    assert!(shard.blocks(&unit(3), Notice::Leave, &probe));
    assert!(!shard.blocks(&unit(4), Notice::Leave, &probe));
    assert!(!shard.dismiss(unit(3).word), "of another mode");
    assert!(!shard.dismiss(request(Format::new(4), span(3, 2), Read).word));
    assert!(shard.dismiss(word));
    assert!(attempt(&shard, &unit(3)).is_none());
    assert!(shard.dismiss(word));
    assert!(!shard.dismiss(word), "both have left");
    assert_eq!(held(&shard), 1, "he who is at home here stays");
    release(same);
    assert!(attempt(&shard, &unit(3)).is_some());
}

// ---- Replacing ----------------------------------------------------------------------------------

#[test]
fn a_replaced_word_holds_what_it_says_and_keeps_the_marks_of_others() {
    let (format, probe) = (Format::new(4), Probe::new());
    let narrower = request(format, span(2, 3), Read);
    for in_head in [true, false] {
        let shard = Shard::new();
        let wide = request(format, span(0, 10), Write);
        let hold = || match in_head {
            true => shard.try_alone(wide.word).unwrap(),
            false => attempt(&shard, &wide).unwrap(),
        };
        let mut place = hold();
        assert_eq!(replace(&mut place, narrower.word), Departure::Unnoticed);
        assert_eq!(place.held().span(format), narrower.span);
        assert!(!shard.blocks(&unit(0), Notice::None, &probe));
        assert!(shard.blocks(&unit(4), Notice::None, &probe));
        let reader = request(format, span(2, 1), Read);
        assert!(!shard.blocks(&reader, Notice::None, &probe));
        assert_eq!(release(place), Departure::Unnoticed);
        assert_eq!(held(&shard), 0);

        let mut place = hold();
        shard.close();
        assert!(shard.blocks(&unit(4), Notice::Leave, &probe));
        assert_eq!(replace(&mut place, narrower.word), Departure::Noticed);
        assert!(shard.blocks(&unit(4), Notice::Leave, &probe), "still waits");
        assert_eq!(release(place), Departure::Noticed);
        assert_eq!(held(&shard), 0);
        shard.reopen();
        shard.uncrowd();
        let mut place = hold();
        let mut moved = 0;
        shard.retire(|_| moved += 1);
        assert_eq!(replace(&mut place, narrower.word), Departure::Moved);
        assert_eq!(place.held().span(format), wide.span, "nothing has changed");
        assert_eq!((moved, release(place)), (1, Departure::Moved));
    }
}

#[test]
fn an_open_ended_word_is_replaced_in_the_head_only() {
    let growth = Growth::new(Division::Fixed(Granule::from_len(16).unwrap()));
    let table = SlotTable::new(growth, Probe::new());
    let tail = |first| Span {
        first,
        last: u64::MAX,
    };
    let mut place = table.alone(tail(0), Write).unwrap();
    for (span, mode) in [(tail(5), Write), (tail(5), Read), (span(7, 3), Read)] {
        // SAFETY: held since above.
        let departure = unsafe { table.replace(&mut place, span, mode) };
        assert_eq!(departure, Some(Departure::Unnoticed));
        assert_eq!((table.span_of(place), table.mode_of(place)), (span, mode));
        let mut seen = Vec::new();
        table.visit(|span, mode| seen.push((span, mode)));
        assert_eq!(seen, [(span, mode)]);
    }
    let mut slot = table.attempt(span(100, 16), Write, |_| {}).unwrap();
    // SAFETY: held since the line above.
    let departure = unsafe { table.replace(&mut slot, tail(100), Write) };
    assert_eq!(departure, None, "no word of a slot can say it");
    assert_eq!(table.span_of(slot), span(100, 16));
    for place in [place, slot] {
        // SAFETY: held, and released once.
        unsafe { table.release(place) };
    }
    assert_eq!(table.taken(), 0);
}
