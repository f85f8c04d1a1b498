//! The bugs that Linux's `fs/dax.c` has had, forced under every mapping lock: each shows under
//! `none` or when the filesystem is asked to make the mistake, and under no coherent design.
//!
//! | Year | What happened | Found by |
//! |---|---|---|
//! | 2015 | two write faults on one hole: a store is lost | `none` with the mistake |
//! | 2015, 2018 | 2 MiB of zeroes over live pages of 4 KiB | the mistake |
//! | 2017 | a write against a fault: race 1, and claim C3 | `none`; `entry` with the mistake |
//! | 2017 | a 2 MiB hole stays mapped after a write | the mistake |
//! | - | truncation and punch against faults | `none`; the mistake |
//!
//! The missed wake-up of 2019 and the spinlock of 2018 are tested beside the entries themselves
//! (`daxfs/src/dax/entry_tree/tests.rs`, `daxfs/src/dax/wait_table.rs`); the buffer that is a
//! mapping in `mapped_buffer`; races 2 and 3 in `race_2017` and `two_sizes`.
//!
//! Both kinds of page tables run. Touches anonymous memory only; takes no locks but the
//! choreography's.
#![forbid(unsafe_code)]

use daxfs::schedule::{Mistake, Point};
use daxfs::{EntrySizes, MappingLock, PageTables};
use daxfs_tests::choreography::{Actor, Hold};
use daxfs_tests::stage::{
    LARGE, NEW, OLD, PAGE, Seen, Stage, TABLES, ZERO, block_of, for_every_design, load, read,
};

const FILE_BYTES: u64 = 4 * PAGE;

fn with_mistake(
    design: MappingLock,
    tables: PageTables,
    len_bytes: u64,
    mistake: Mistake,
) -> Stage {
    Stage::with(tables, len_bytes, Some(mistake), |options| {
        options.mapping_lock = design;
    })
}

// ---- Claim C3 -----------------------------------------------------------------------------------

/// Race 1: what a load says afterwards of the page that was written meanwhile. The write has looked
/// and found the hole before the fault locks anything, and publishes while the fault is held.
fn loaded_after_race_1(stage: &Stage, len_pages: u64) -> [u8; 8] {
    let mapping = stage.map();
    let holds = [
        Hold {
            actor: Actor::First,
            at: Point::WriteBeforePublish,
            until: Some(Point::FaultLookedUp),
        },
        Hold {
            actor: Actor::Second,
            at: Point::FaultLookedUp,
            until: None,
        },
    ];
    stage.choreography.perform_with(
        &holds,
        || stage.file.write_all_at(&block_of(NEW), PAGE).unwrap(),
        || load(&mapping, 1).unwrap(),
    );
    assert_eq!(read(&stage.file, 1), NEW);
    assert_eq!(mapping.len_bytes(), len_pages * PAGE);
    load(&mapping, 1).unwrap()
}

/// "Moving the look-up under the entry lock alone isn't enough", said Zwisler; "it is, since the
/// invalidation waits for the entry", said Kara. Both are right: it is the waiting that does it.
#[test]
fn a_look_up_under_the_entry_lock_is_enough_only_if_invalidation_waits_for_locked_entries() {
    for design in [MappingLock::Entry, MappingLock::EntryRw] {
        for tables in TABLES {
            for len_pages in [4, LARGE / PAGE] {
                let len_bytes = len_pages * PAGE;
                let waits = Stage::new(design, tables, len_bytes);
                let loaded = loaded_after_race_1(&waits, len_pages);
                assert_eq!(loaded, NEW, "{design}, {tables:?}");
                assert!(waits.choreography.waited(Actor::First));

                let mistake = Mistake::InvalidationSkipsLocked;
                let skips = with_mistake(design, tables, len_bytes, mistake);
                let loaded = loaded_after_race_1(&skips, len_pages);
                assert_eq!(loaded, ZERO, "{design}, {tables:?}: the hole stays");
                assert!(!skips.choreography.waited(Actor::First));
            }
        }
    }
}

/// The designs with a lock of their own do not rest on it.
#[test]
fn inode_and_range_hold_though_invalidation_skips_locked_entries() {
    for design in [MappingLock::Inode, MappingLock::Range] {
        for tables in TABLES {
            let mistake = Mistake::InvalidationSkipsLocked;
            let stage = with_mistake(design, tables, FILE_BYTES, mistake);
            assert_eq!(loaded_after_race_1(&stage, 4), NEW, "{design}, {tables:?}");
        }
    }
}

// ---- 2015: two write faults on one hole ---------------------------------------------------------

/// Both have looked and seen a hole; the second's store is done when the first puts its block
/// there. Whoever lets only one look at a time cannot make the mistake.
#[test]
fn two_write_faults_lose_a_store_only_where_both_have_looked_before_they_lock() {
    for_every_design(|design, tables| {
        let stage = with_mistake(design, tables, FILE_BYTES, Mistake::WriteFaultReplaces);
        let (one, two) = (stage.map(), stage.map());
        stage.choreography.perform(
            || one.store(PAGE, &OLD).unwrap(),
            || two.store(PAGE + 8, &NEW).unwrap(),
        );
        let mut found = [0; 16];
        stage.file.read_at(&mut found, PAGE).unwrap();
        assert_eq!(found[..8], OLD, "{design}");
        let is_lost = found[8..] == ZERO;
        assert_eq!(is_lost, !design.is_coherent(), "{design}, {tables:?}");
    });
}

// ---- 2015, 2018: 2 MiB over live 4 KiB ----------------------------------------------------------

/// A page is live, with what was stored into it; a fault on a hole beside it maps 2 MiB of zeroes.
fn zeroes_beside_a_live_page(stage: &Stage) -> Seen {
    let mapping = stage.map();
    stage.file.write_all_at(&block_of(NEW), PAGE).unwrap();
    assert_eq!(load(&mapping, 1).unwrap(), NEW);
    assert_eq!(load(&mapping, 3).unwrap(), ZERO);
    stage.seen(&mapping, 1)
}

#[test]
fn a_live_page_is_not_mapped_over_by_2_mib_of_zeroes() {
    for_every_design(|design, tables| {
        let right = Stage::new(design, tables, LARGE);
        assert_eq!(
            zeroes_beside_a_live_page(&right),
            Seen::both(NEW),
            "{design}"
        );
        let wrong = with_mistake(design, tables, LARGE, Mistake::LargeOverSmall);
        let expected = Seen {
            read: NEW,
            loaded: ZERO,
        };
        assert_eq!(zeroes_beside_a_live_page(&wrong), expected, "{design}");
    });
}

// ---- 2017: 2 MiB of zeroes stay -----------------------------------------------------------------

fn a_write_into_a_mapped_2_mib_hole(stage: &Stage) -> Seen {
    let mapping = stage.map();
    assert_eq!(load(&mapping, 1).unwrap(), ZERO);
    stage.file.write_all_at(&block_of(NEW), PAGE).unwrap();
    stage.seen(&mapping, 1)
}

#[test]
fn a_2_mib_hole_that_is_written_into_does_not_stay_mapped() {
    for_every_design(|design, tables| {
        let right = Stage::new(design, tables, LARGE);
        let seen = a_write_into_a_mapped_2_mib_hole(&right);
        assert_eq!(seen, Seen::both(NEW), "{design}");
        let wrong = with_mistake(design, tables, LARGE, Mistake::BreakUpLeavesMapped);
        let seen = a_write_into_a_mapped_2_mib_hole(&wrong);
        assert_ne!(seen, Seen::both(NEW), "{design}");
    });
}

// ---- Truncation and punch against faults --------------------------------------------------------

/// The race itself is in `race_2017`; this is the order in which blocks and translations go.
#[test]
fn blocks_go_only_when_nothing_maps_them() {
    for_every_design(|design, tables| {
        for punch in [true, false] {
            for mistake in [None, Some(Mistake::RemovalLeavesMapped)] {
                let stage = Stage::with(tables, FILE_BYTES, mistake, |options| {
                    options.mapping_lock = design;
                });
                stage.file.write_all_at(&block_of(OLD), PAGE).unwrap();
                let mapping = stage.map();
                assert_eq!(load(&mapping, 1).unwrap(), OLD);
                if punch {
                    stage.file.punch_hole(PAGE, PAGE).unwrap();
                } else {
                    stage.file.truncate(PAGE).unwrap();
                    stage.file.truncate(FILE_BYTES).unwrap();
                }
                let loaded = if mistake.is_some() { OLD } else { ZERO };
                let expected = Seen { read: ZERO, loaded };
                assert_eq!(stage.seen(&mapping, 1), expected, "{design}, {punch}");
            }
        }
    });
}

// ---- Between removal and unmapping --------------------------------------------------------------

/// A write has removed the entries of a hole and not yet unmapped it. A store through one window
/// must show in the other at once, though that still has the zero page.
#[test]
fn a_store_during_an_invalidation_shows_in_every_window() {
    for_every_design(|design, tables| {
        for entry_sizes in EntrySizes::ALL {
            let stage = Stage::with(tables, LARGE, None, |options| {
                options.mapping_lock = design;
                options.entry_sizes = entry_sizes;
            });
            let (one, two) = (stage.map(), stage.map());
            for page in 0..3 {
                assert_eq!(load(&one, page).unwrap(), ZERO);
                assert_eq!(load(&two, page).unwrap(), ZERO);
            }
            let removed = Hold {
                actor: Actor::First,
                at: Point::EntriesRemoved,
                until: None,
            };
            let ((), loaded) = stage.choreography.perform_with(
                &[removed],
                || {
                    stage
                        .file
                        .write_all_at(&block_of(OLD).repeat(3), 0)
                        .unwrap();
                },
                || {
                    one.store(PAGE, &NEW).unwrap();
                    load(&two, 1).unwrap()
                },
            );
            assert_eq!(loaded, NEW, "{design}, {tables:?}, {entry_sizes}");
        }
    });
}
