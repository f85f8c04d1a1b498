//! The races of the thread of April 2017, each forced every time, under every mapping lock.
//!
//! One choreography for all ([`Choreography`]): a fault is held where it has looked the block map
//! up and entered nothing; something else happens; the fault goes on. Under `none` and `recheck`
//! the tests **assert the corruption**: they are what shows that the tests of the other designs can
//! fail.
//!
//! Both kinds of page tables run. Touches anonymous memory only; takes no locks but the
//! choreography's.
#![forbid(unsafe_code)]

use daxfs::schedule::Point;
use daxfs::{Error, File, Filesystem, Mapping, MappingLock, PageTables};
use daxfs_tests::choreography::{Actor, Hold, Step};
use daxfs_tests::stage::{
    NEW, OLD, PAGE, Seen, Stage, TABLES, ZERO, block_of, for_every_design, load,
};

const FILE_BYTES: u64 = 4 * PAGE;
const DEVICE_BYTES: u64 = 16 << 20;

/// A mounted filesystem with a file that is a hole of four pages.
fn hole(design: MappingLock, tables: PageTables) -> Stage {
    Stage::new(design, tables, FILE_BYTES)
}

/// Every coherent design makes the second actor wait; the others let it pass.
fn assert_waited(stage: &Stage, design: MappingLock) {
    let steps = stage.choreography.steps();
    assert_eq!(
        stage.choreography.second_waited(),
        design.is_coherent(),
        "{steps:?}"
    );
}

// ---- Race 1: a read fault against a write -------------------------------------------------------

/// The fault is on the middle one of the pages that are written.
fn race_write_against_read_fault(design: MappingLock, tables: PageTables) -> (Stage, Mapping) {
    let stage = hole(design, tables);
    let mapping = stage.map();
    stage.choreography.perform(
        || load(&mapping, 1).unwrap(),
        || {
            stage
                .file
                .write_all_at(&block_of(NEW).repeat(3), 0)
                .unwrap();
        },
    );
    (stage, mapping)
}

#[test]
fn a_write_that_meets_a_read_fault_shows_in_the_mapping_unless_the_design_is_incoherent() {
    for_every_design(|design, tables| {
        let (stage, mapping) = race_write_against_read_fault(design, tables);
        assert_waited(&stage, design);
        if design.is_coherent() {
            assert_eq!(
                stage.seen(&mapping, 1),
                Seen::both(NEW),
                "{design}, {tables:?}"
            );
            return;
        }
        assert_eq!(
            stage.seen(&mapping, 1),
            Seen {
                read: NEW,
                loaded: ZERO
            },
            "{tables:?}"
        );

        // The corruption stays for the life of the mapping, whatever is written and synced; under
        // `recheck` until the next write, which invalidates though it allocates nothing.
        stage.file.write_all_at(&block_of(OLD), PAGE).unwrap();
        stage.file.sync().unwrap();
        let healed = design == MappingLock::Recheck;
        assert_eq!(
            stage.seen(&mapping, 1),
            Seen {
                read: OLD,
                loaded: if healed { OLD } else { ZERO }
            },
            "{design}, {tables:?}"
        );
        assert_eq!(
            stage.seen(&stage.map(), 1),
            Seen::both(OLD),
            "a new mapping, {tables:?}"
        );
    });
}

/// Claim C3's first half: with the look-up under the entry lock, an invalidation that comes after
/// the block map has changed waits for the entry, so it sees what the fault entered.
#[test]
fn under_entry_and_entry_rw_the_invalidation_waits_for_the_fault() {
    use {Actor::First, Actor::Second, Step::Reached};
    let designs = [MappingLock::Entry, MappingLock::EntryRw];
    for (design, tables) in designs
        .into_iter()
        .flat_map(|design| TABLES.map(|t| (design, t)))
    {
        let (stage, _mapping) = race_write_against_read_fault(design, tables);
        let position = |actor, point| stage.choreography.position(actor, Reached(point));
        let order = [
            position(First, Point::FaultLookedUp),
            position(Second, Point::WriteBeforePublish),
            position(Second, Point::WritePublished),
            position(Second, Point::LockWait),
            position(First, Point::FaultInstalled),
            position(Second, Point::Invalidated),
        ];
        assert!(order.is_sorted(), "{:?}", stage.choreography.steps());
    }
}

/// The designs with a lock around publication wait earlier: before the block map changes.
#[test]
fn under_inode_and_range_the_publication_waits_for_the_fault() {
    use {Actor::First, Actor::Second, Step::Reached};
    for design in [MappingLock::Inode, MappingLock::Range] {
        for tables in TABLES {
            let (stage, _mapping) = race_write_against_read_fault(design, tables);
            let position = |actor, point| stage.choreography.position(actor, Reached(point));
            let order = [
                position(First, Point::FaultLookedUp),
                position(Second, Point::LockWait),
                position(First, Point::FaultInstalled),
                position(Second, Point::WritePublished),
                position(Second, Point::Invalidated),
            ];
            assert!(
                order.is_sorted(),
                "{design}: {:?}",
                stage.choreography.steps()
            );
        }
    }
}

/// The canary's own order: the write is over before the fault goes on.
#[test]
fn under_none_the_write_finds_nothing_to_wait_for() {
    for tables in TABLES {
        let (stage, _mapping) = race_write_against_read_fault(MappingLock::None, tables);
        let finished = stage.choreography.position(Actor::Second, Step::Finished);
        let installed = stage
            .choreography
            .position(Actor::First, Step::Reached(Point::FaultInstalled));
        assert!(finished < installed, "{:?}", stage.choreography.steps());
    }
}

/// What `recheck` narrows: a fault that has entered the hole before the write is over. Under `none`
/// the write has invalidated by then and does not look again.
#[test]
fn a_fault_that_is_over_before_the_write_is_found_by_all_but_none() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let mapping = stage.map();
        let middle_of_the_write = match design {
            MappingLock::None => Point::Invalidated,
            _ => Point::WritePublished,
        };
        let holds = [
            Hold {
                actor: Actor::First,
                at: Point::FaultLookedUp,
                until: Some(middle_of_the_write),
            },
            Hold {
                actor: Actor::Second,
                at: middle_of_the_write,
                until: None,
            },
        ];
        let (loaded, ()) = stage.choreography.perform_with(
            &holds,
            || load(&mapping, 1).unwrap(),
            || stage.file.write_all_at(&block_of(NEW), PAGE).unwrap(),
        );
        assert!(loaded == ZERO || loaded == NEW, "{loaded:?}");
        let loaded = match design {
            MappingLock::None => ZERO,
            _ => NEW,
        };
        let expected = Seen { read: NEW, loaded };
        assert_eq!(stage.seen(&mapping, 1), expected, "{design}, {tables:?}");
    });
}

// ---- Race 2: a read fault against a write fault -------------------------------------------------

#[test]
fn a_store_that_meets_a_read_fault_is_loaded_unless_the_design_is_incoherent() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let mapping = stage.map();
        stage.choreography.perform(
            || load(&mapping, 1).unwrap(),
            || mapping.store(PAGE, &NEW).unwrap(),
        );
        assert_waited(&stage, design);
        let loaded = if design.is_coherent() { NEW } else { ZERO };
        let expected = Seen { read: NEW, loaded };
        assert_eq!(stage.seen(&mapping, 1), expected, "{design}, {tables:?}");
        stage.file.sync().unwrap();
        assert_eq!(
            stage.seen(&mapping, 1),
            expected,
            "{design}, {tables:?}, later"
        );
    });
}

#[test]
fn a_store_in_one_mapping_is_loaded_in_another_unless_the_design_is_incoherent() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let (reader, writer) = (stage.map(), stage.map());
        stage.choreography.perform(
            || load(&reader, 1).unwrap(),
            || writer.store(PAGE, &NEW).unwrap(),
        );
        assert_waited(&stage, design);
        let loaded = if design.is_coherent() { NEW } else { ZERO };
        let expected = Seen { read: NEW, loaded };
        assert_eq!(stage.seen(&reader, 1), expected, "{design}, {tables:?}");
        assert_eq!(
            stage.seen(&writer, 1),
            Seen::both(NEW),
            "{design}, {tables:?}"
        );
    });
}

/// Without any race: a hole that other mappings have seen is taken from them by a store.
#[test]
fn a_store_replaces_the_zero_page_in_every_mapping() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let (reader, writer) = (stage.map(), stage.map());
        assert_eq!(stage.seen(&reader, 1), Seen::both(ZERO));
        assert_eq!(stage.seen(&writer, 1), Seen::both(ZERO));
        writer.store(PAGE, &NEW).unwrap();
        assert_eq!(
            stage.seen(&reader, 1),
            Seen::both(NEW),
            "{design}, {tables:?}"
        );
    });
}

// ---- Two write faults on one hole ---------------------------------------------------------------

/// The bug that Linux had in 2015: both faults allocate, and the loser's store is lost. Here the
/// block map lets one win, under `none` too.
#[test]
fn no_store_of_two_that_fault_on_one_hole_is_lost() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let (one, two) = (stage.map(), stage.map());
        stage.choreography.perform(
            || one.store(PAGE, &OLD).unwrap(),
            || two.store(PAGE + 8, &NEW).unwrap(),
        );
        assert_waited(&stage, design);
        let mut expected = block_of(ZERO);
        expected[..8].copy_from_slice(&OLD);
        expected[8..16].copy_from_slice(&NEW);
        let mut found = block_of(*b"nothing!");
        stage.file.read_at(&mut found, PAGE).unwrap();
        assert_eq!(found, expected, "read, {design}, {tables:?}");
        for mapping in [&one, &two] {
            mapping.load(PAGE, &mut found).unwrap();
            assert_eq!(found, expected, "loaded, {design}, {tables:?}");
        }
        assert_eq!(
            stage.file.metadata().allocated_bytes,
            PAGE,
            "{design}, {tables:?}"
        );
    });
}

#[test]
fn neither_a_write_nor_a_store_that_meet_on_one_hole_is_lost() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let mapping = stage.map();
        stage.choreography.perform(
            || mapping.store(PAGE, &OLD).unwrap(),
            || stage.file.write_all_at(&NEW, PAGE + 8).unwrap(),
        );
        let mut expected = block_of(ZERO);
        expected[..8].copy_from_slice(&OLD);
        expected[8..16].copy_from_slice(&NEW);
        let mut found = block_of(*b"nothing!");
        stage.file.read_at(&mut found, PAGE).unwrap();
        assert_eq!(found, expected, "read, {design}, {tables:?}");
        mapping.load(PAGE, &mut found).unwrap();
        assert_eq!(found, expected, "loaded, {design}, {tables:?}");
    });
}

// ---- Holes against faults -----------------------------------------------------------------------

/// Writes blocks of `word` into a new file until the device is full: whatever was freed is his now.
fn fill_device(fs: &Filesystem, word: [u8; 8]) -> File {
    let file = fs.create("/other").unwrap();
    let chunk = block_of(word).repeat(64);
    let mut end = 0;
    for chunk in [&chunk[..], &chunk[..PAGE as usize]] {
        loop {
            match file.write_at(chunk, end) {
                Ok(written) => end += written as u64,
                Err(Error::NoSpace { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(end > DEVICE_BYTES / 2, "{end} bytes");
    file
}

/// Whether every word of the file is `word`.
fn is_all(file: &File, word: [u8; 8]) -> bool {
    let mut bytes = vec![0; usize::try_from(file.len_bytes()).unwrap()];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes.chunks(8).all(|found| found == &word[..found.len()])
}

/// A fault that looked before the hole was punched must not leave a freed block mapped: it becomes
/// another file's. Under `none` the mapping shows that file's data, and stores into it.
#[test]
fn a_punched_page_never_shows_another_files_data_unless_the_design_is_incoherent() {
    const SECRET: [u8; 8] = *b"secrets!";
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let mapping = stage.map();
        stage.file.write_all_at(&block_of(OLD), PAGE).unwrap();
        let (loaded, ()) = stage.choreography.perform(
            || load(&mapping, 1).unwrap(),
            || stage.file.punch_hole(PAGE, PAGE).unwrap(),
        );
        assert_waited(&stage, design);
        // The load and the punch met: either may have been first.
        assert!(loaded == OLD || loaded == ZERO, "{loaded:?}");

        stage.fs.sync().unwrap();
        let other = fill_device(&stage.fs, SECRET);
        if design.is_coherent() {
            assert_eq!(
                stage.seen(&mapping, 1),
                Seen::both(ZERO),
                "{design}, {tables:?}"
            );
            assert!(is_all(&other, SECRET));
            return;
        }
        assert_eq!(
            stage.seen(&mapping, 1),
            Seen {
                read: ZERO,
                loaded: SECRET
            },
            "{tables:?}"
        );
        mapping.store(PAGE, &NEW).unwrap();
        assert!(!is_all(&other, SECRET), "{tables:?}");
    });
}

#[test]
fn a_page_cut_off_under_a_fault_is_gone_unless_the_design_is_incoherent() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let mapping = stage.map();
        stage.file.write_all_at(&block_of(OLD), PAGE).unwrap();
        let (loaded, ()) = stage
            .choreography
            .perform(|| load(&mapping, 1), || stage.file.truncate(PAGE).unwrap());
        assert_waited(&stage, design);
        // The load and the truncation met: either may have been first.
        assert!(
            matches!(loaded, Ok(OLD) | Err(Error::Access(_))),
            "{loaded:?}"
        );

        let past_the_end = load(&mapping, 1);
        if !design.is_coherent() {
            assert!(
                matches!(past_the_end, Ok(OLD)),
                "{past_the_end:?}, {tables:?}"
            );
        } else {
            assert!(
                matches!(past_the_end, Err(Error::Access(_))),
                "{past_the_end:?}, {design}"
            );
        }
        stage.file.truncate(FILE_BYTES).unwrap();
        let loaded = if design.is_coherent() { ZERO } else { OLD };
        let expected = Seen { read: ZERO, loaded };
        assert_eq!(
            stage.seen(&mapping, 1),
            expected,
            "{design}, {tables:?}, grown again"
        );
    });
}

/// A write fault allocates; what it allocates past a new end of file must not stay there.
#[test]
fn a_store_cut_off_under_its_fault_does_not_come_back_unless_the_design_is_incoherent() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let mapping = stage.map();
        let (stored, ()) = stage.choreography.perform(
            || mapping.store(PAGE, &NEW),
            || stage.file.truncate(PAGE).unwrap(),
        );
        assert_waited(&stage, design);
        assert!(
            matches!(stored, Ok(()) | Err(Error::Access(_))),
            "{stored:?}"
        );

        let is_left = stage.file.metadata().allocated_bytes > 0;
        assert_eq!(is_left, !design.is_coherent(), "{design}, {tables:?}");
        stage.file.truncate(FILE_BYTES).unwrap();
        // Whoever grows a file zeroes what lies past its end, under every design.
        assert_eq!(
            stage.seen(&mapping, 1),
            Seen::both(ZERO),
            "{design}, {tables:?}"
        );
    });
}

/// A hole that is punched while a write fault fills it: afterwards both ways agree.
#[test]
fn a_store_that_meets_a_punch_is_either_there_or_not() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let mapping = stage.map();
        stage.choreography.perform(
            || mapping.store(PAGE, &NEW).unwrap(),
            || stage.file.punch_hole(PAGE, PAGE).unwrap(),
        );
        assert_waited(&stage, design);
        let seen = stage.seen(&mapping, 1);
        assert_eq!(seen.read, seen.loaded, "{design}, {tables:?}");
        assert!([ZERO, NEW].contains(&seen.read), "{seen:?}");
    });
}
