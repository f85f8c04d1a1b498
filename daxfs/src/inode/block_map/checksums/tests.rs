//! What a group of checksums goes through.

use super::*;

fn summed(blocks: Range<u64>) -> Checksums {
    let checksums = Checksums::default();
    checksums.keep(
        &(0..REGION_BLOCKS),
        blocks.map(|block| (block, block as u32)),
    );
    checksums
}

fn begin_forgetting(checksums: &Checksums, blocks: Range<u64>) -> Ticket {
    checksums.begin_forgetting(&(0..REGION_BLOCKS), std::slice::from_ref(&blocks))
}

#[test]
fn what_is_kept_is_there_and_what_is_forgotten_is_not() {
    let checksums = summed(100..300);
    assert_eq!((checksums.of(99), checksums.of(100)), (None, Some(100)));
    checksums.forget(&(127..257));
    let found: Vec<_> = (90..310)
        .filter(|block| checksums.of(*block).is_some())
        .collect();
    assert_eq!(found, (100..127).chain(257..300).collect::<Vec<_>>());
    assert_eq!(checksums.summed_blocks(), 27 + 43);
    checksums.forget(&(0..u64::MAX));
    assert!(!checksums.has_any());
}

#[test]
fn a_change_needs_what_the_summed_blocks_among_it_need() {
    let checksums = summed(100..130);
    let forget = |blocks: Range<u64>| checksums.forget_unless_stored(&[blocks]);
    assert_eq!(forget(0..100), None);
    assert_eq!(forget(0..101), Some(Standing::Stored));
    assert_eq!(checksums.of(100), Some(100), "not yet");
    let region = Checksums::region_of(&(0..101));
    assert_eq!(region, 0..REGION_BLOCKS);
    let ticket = begin_forgetting(&checksums, 0..101);
    assert_eq!(checksums.of(100), None);
    assert_eq!(forget(129..500), Some(Standing::Forgetting(ticket)));
    checksums.end_forgetting(&region, ticket);
    assert_eq!(forget(128..500), Some(Standing::Forgotten));
    assert_eq!((checksums.of(127), checksums.of(128)), (Some(127), None));
}

/// One has waited for his own record, and not for that of another.
#[test]
fn a_record_that_came_later_is_not_durable_with_the_first() {
    let checksums = summed(100..130);
    let region = 0..REGION_BLOCKS;
    let first = begin_forgetting(&checksums, 100..101);
    checksums.bring(&summed(0..1), &(0..1), 110);
    let second = begin_forgetting(&checksums, 101..102);
    checksums.end_forgetting(&region, first);
    let standing = checksums.forget_unless_stored(&[110..111, 129..130]);
    assert_eq!(standing, Some(Standing::Forgetting(second)));
}

/// One has forgotten all of a group and waits for the log; another has to wait as well, though
/// there is nothing left to forget.
#[test]
fn a_group_without_checksums_is_pending_until_its_record_is_durable() {
    let checksums = summed(100..130);
    let ticket = begin_forgetting(&checksums, 0..500);
    assert_eq!((checksums.summed_blocks(), checksums.has_any()), (0, true));
    let forget = |block| {
        let blocks = block..block + 1;
        checksums.forget_unless_stored(std::slice::from_ref(&blocks))
    };
    assert_eq!(forget(101), Some(Standing::Forgetting(ticket)));
    assert!(checksums.are_stored(&(0..500)), "there is nothing to store");
    // Not even what comes from elsewhere changes that.
    checksums.bring(&summed(0..1), &(0..1), 110);
    assert_eq!(forget(101), Some(Standing::Forgetting(ticket)));
    assert_eq!(forget(110), Some(Standing::Stored));
    checksums.forget(&(110..111));
    checksums.end_forgetting(&(0..REGION_BLOCKS), ticket);
    assert_eq!((forget(101), checksums.has_any()), (None, false));
}

#[test]
fn blocks_that_come_bring_theirs_and_are_stored() {
    let checksums = summed(100..130);
    checksums.take_changed();
    begin_forgetting(&checksums, 100..120);
    checksums.bring(&summed(5..8), &(4..7), 200);
    assert_eq!(
        [200, 201, 202, 203].map(|block| checksums.of(block)),
        [None, Some(5), Some(6), None]
    );
    assert_eq!(
        checksums.to_store(1).map(|stored| stored.sums),
        Some(vec![128, 129, 5, 6])
    );
    assert_eq!(checksums.to_store(0), None);
}

#[test]
fn a_checkpoint_stores_what_stands_and_nothing_of_what_is_forgotten() {
    let checksums = summed(100..130);
    assert_eq!(checksums.take_changed(), BTreeSet::from([0, 1]));
    assert_eq!(
        checksums.to_store(1).map(|stored| stored.sums),
        Some(vec![128, 129])
    );
    checksums.begin_forgetting(&(0..REGION_BLOCKS), &[]);
    assert_eq!(checksums.to_store(1), None);
    assert_eq!(checksums.take_changed(), BTreeSet::from([0, 1]));
    assert!(!checksums.are_stored(&(0..500)));
    checksums.keep(&(0..REGION_BLOCKS), [(131, 7)]);
    assert!(checksums.are_stored(&(0..500)));
    assert_eq!(
        checksums.to_store(1).map(|stored| stored.sums),
        Some(vec![128, 129, 7])
    );
    // Blocks that go are stored without, by the record that takes them.
    checksums.take_changed();
    checksums.forget(&(128..200));
    assert_eq!(checksums.take_changed(), BTreeSet::from([1]));
    assert_eq!(checksums.to_store(1), None);
}

#[test]
fn what_is_loaded_is_what_the_medium_has() {
    let before = summed(120..140);
    let after = Checksums::default();
    for group in [0, 1] {
        after.load(&before.to_store(group).unwrap());
    }
    assert!((120..140).all(|block| after.of(block) == Some(block as u32)));
    assert_eq!(
        (after.summed_blocks(), after.take_changed()),
        (20, BTreeSet::new())
    );
}
