//! Mapping entries of 4 KiB and of 2 MiB under every mapping lock: when which is used, and what
//! they do to each other. Race 3 of the thread of April 2017, forced each time.
//!
//! Both kinds of page tables run. Touches anonymous memory only; takes no locks but the
//! choreography's.
#![forbid(unsafe_code)]

use daxfs::{EntrySizes, Error, File, Mapping, MappingLock, PageTables, Unmapping};
use daxfs_tests::stage::{
    LARGE, NEW, OLD, PAGE, Seen, Stage, TABLES, ZERO, block_of, for_every_design, load, read,
};

const PAGES: u64 = LARGE / PAGE;
/// Somewhere in the middle of 2 MiB.
const MIDDLE: u64 = 77;

fn hole(design: MappingLock, tables: PageTables) -> Stage {
    Stage::new(design, tables, 2 * LARGE)
}

/// Writes two 2 MiB of one word at once, so that their blocks lie together.
fn fill(file: &File, word: [u8; 8]) {
    file.write_all_at(&word.repeat((2 * LARGE / 8) as usize), 0)
        .unwrap();
}

fn load_all(mapping: &Mapping) -> Vec<[u8; 8]> {
    let pages = mapping.len_bytes() / PAGE;
    (0..pages)
        .map(|page| load(mapping, page).unwrap())
        .collect()
}

// ---- When 2 MiB are mapped at once --------------------------------------------------------------

#[test]
fn one_fault_maps_2_mib_of_blocks_or_of_a_hole() {
    for_every_design(|design, tables| {
        for filled in [false, true] {
            let stage = hole(design, tables);
            if filled {
                fill(&stage.file, OLD);
            }
            let mapping = stage.map();
            let word = if filled { OLD } else { ZERO };
            assert_eq!(load_all(&mapping), vec![word; 2 * PAGES as usize]);
            assert_eq!(mapping.counts().faults, 2, "{design}, {tables:?}, {filled}");
            assert_eq!(stage.file.lock_state().entries, 2, "{design}, {filled}");
        }
    });
}

#[test]
fn one_store_into_a_hole_allocates_2_mib_and_maps_them() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let mapping = stage.map();
        mapping.store(MIDDLE * PAGE, &NEW).unwrap();
        mapping.store((MIDDLE + 1) * PAGE, &NEW).unwrap();
        assert_eq!(mapping.counts().faults, 1, "{design}, {tables:?}");
        assert_eq!(stage.file.metadata().allocated_bytes, LARGE, "{design}");
        assert_eq!(stage.seen(&mapping, MIDDLE), Seen::both(NEW), "{design}");
        assert_eq!(stage.seen(&mapping, 3), Seen::both(ZERO), "{design}");
    });
}

#[test]
fn with_small_entries_each_page_faults_and_is_allocated_alone() {
    for_every_design(|design, tables| {
        let stage = Stage::with(tables, LARGE, None, |options| {
            options.mapping_lock = design;
            options.entry_sizes = EntrySizes::Small;
        });
        let mapping = stage.map();
        mapping.store(MIDDLE * PAGE, &NEW).unwrap();
        assert_eq!(stage.file.metadata().allocated_bytes, PAGE, "{design}");
        load_all(&mapping);
        // A page table may drop a translation that it could keep: processes' do, when a block comes
        // among holes.
        let faults = mapping.counts().faults;
        let dropped = if tables == PageTables::Software { 0 } else { 8 };
        assert!(
            (PAGES..=PAGES + dropped).contains(&faults),
            "{design}, {tables:?}: {faults}"
        );
        assert_eq!(stage.file.lock_state().entries, PAGES, "{design}");
    });
}

/// The window, the file and the blocks each have to cover the 2 MiB.
#[test]
fn what_does_not_cover_2_mib_is_mapped_page_by_page() {
    for_every_design(|design, tables| {
        let faults_of = |mapping: &Mapping| {
            load(mapping, 0).unwrap();
            load(mapping, 1).unwrap();
            mapping.counts().faults
        };
        let stage = hole(design, tables);
        let part = stage.map_part(0, LARGE - PAGE);
        assert_eq!(faults_of(&part), 2, "a window, {design}");
        drop(part);

        let stage = Stage::new(design, tables, LARGE - PAGE);
        let longer = stage.map_part(0, LARGE);
        assert_eq!(faults_of(&longer), 2, "a file, {design}");
        assert!(matches!(load(&longer, PAGES - 1), Err(Error::Access(_))));

        let stage = hole(design, tables);
        stage.file.write_all_at(&block_of(OLD), 9 * PAGE).unwrap();
        assert_eq!(faults_of(&stage.map()), 2, "blocks, {design}");
    });
}

// ---- A 4 KiB entry wins -------------------------------------------------------------------------

#[test]
fn a_4_kib_entry_keeps_2_mib_away_until_all_of_it_is_removed() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let (small, large) = (stage.map_part(0, PAGE), stage.map());
        assert_eq!(load(&small, 0).unwrap(), ZERO);
        assert_eq!(load(&large, MIDDLE).unwrap(), ZERO);
        assert_eq!(load(&large, MIDDLE + 1).unwrap(), ZERO);
        assert_eq!(large.counts().faults, 2, "{design}: it falls back at once");
        fill(&stage.file, OLD);
        stage.file.punch_hole(0, LARGE).unwrap();
        assert_eq!(load(&large, MIDDLE).unwrap(), ZERO);
        assert_eq!(load(&large, MIDDLE + 1).unwrap(), ZERO);
        assert_eq!(large.counts().faults, 3, "{design}: nothing is in the way");
    });
}

// ---- A 2 MiB hole gives way ---------------------------------------------------------------------

/// The "PMD corruption" without a race: every design unmaps the zeroes everywhere.
#[test]
fn a_2_mib_hole_is_broken_up_when_one_of_its_pages_is_written() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let mappings = [stage.map(), stage.map()];
        for mapping in &mappings {
            assert_eq!(load(mapping, MIDDLE).unwrap(), ZERO);
        }
        let byte = MIDDLE * PAGE;
        stage.file.write_all_at(&block_of(NEW), byte).unwrap();
        for mapping in &mappings {
            assert_eq!(stage.seen(mapping, MIDDLE), Seen::both(NEW), "{design}");
            assert_eq!(
                stage.seen(mapping, MIDDLE + 1),
                Seen::both(ZERO),
                "{design}"
            );
        }
    });
}

#[test]
fn a_2_mib_hole_is_broken_up_when_a_small_window_stores() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let (large, small) = (stage.map(), stage.map_part(0, LARGE / 2));
        assert_eq!(load(&large, MIDDLE).unwrap(), ZERO);
        assert_eq!(load(&small, MIDDLE + 1).unwrap(), ZERO);
        small.store(MIDDLE * PAGE, &NEW).unwrap();
        assert_eq!(stage.seen(&large, MIDDLE), Seen::both(NEW), "{design}");
        assert_eq!(stage.seen(&large, MIDDLE + 1), Seen::both(ZERO), "{design}");
        assert_eq!(stage.file.metadata().allocated_bytes, PAGE, "{design}");
    });
}

// ---- 2 MiB of blocks stay -----------------------------------------------------------------------

#[test]
fn a_small_window_shares_the_entry_of_2_mib_of_blocks() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        fill(&stage.file, OLD);
        let (large, small) = (stage.map(), stage.map_part(0, LARGE / 2));
        assert_eq!(load(&large, 0).unwrap(), OLD);
        small.store(MIDDLE * PAGE, &NEW).unwrap();
        assert_eq!(stage.seen(&large, MIDDLE), Seen::both(NEW), "{design}");
        assert_eq!(stage.file.lock_state().entries, 1, "{design}");
        assert_eq!(large.counts().faults, 1, "{design}");
    });
}

/// A hole in the middle divides the entry; the rest stays mapped.
#[test]
fn a_punched_page_leaves_the_rest_of_2_mib_mapped() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        fill(&stage.file, OLD);
        let mapping = stage.map();
        mapping.store(0, &NEW).unwrap();
        stage.file.punch_hole(MIDDLE * PAGE, PAGE).unwrap();
        assert_eq!(stage.file.lock_state().entries, PAGES - 1, "{design}");
        let faults = mapping.counts().faults;
        assert_eq!(load(&mapping, MIDDLE).unwrap(), ZERO, "{design}");
        assert_eq!(load(&mapping, MIDDLE + 1).unwrap(), OLD, "{design}");
        assert_eq!(load(&mapping, 0).unwrap(), NEW, "{design}");
        assert_eq!(
            mapping.counts().faults,
            faults + 1,
            "{design}: just the hole"
        );
    });
}

#[test]
fn a_file_that_is_cut_off_within_2_mib_ends_there() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        fill(&stage.file, OLD);
        let mapping = stage.map();
        load_all(&mapping);
        stage.file.truncate(MIDDLE * PAGE).unwrap();
        assert_eq!(load(&mapping, MIDDLE - 1).unwrap(), OLD, "{design}");
        for page in [MIDDLE, PAGES - 1, PAGES] {
            let loaded = load(&mapping, page);
            assert!(matches!(loaded, Err(Error::Access(_))), "{design}, {page}");
        }
        stage.file.truncate(2 * LARGE).unwrap();
        assert_eq!(stage.seen(&mapping, MIDDLE), Seen::both(ZERO), "{design}");
        assert_eq!(stage.seen(&mapping, PAGES), Seen::both(ZERO), "{design}");
    });
}

// ---- Race 3 -------------------------------------------------------------------------------------

/// A read fault has seen a hole of 2 MiB; a write allocates one of its pages. (The "PMD corruption"
/// of 2017: the zeroes stay mapped over the page that was written.)
#[test]
fn a_write_that_meets_a_2_mib_fault_shows_unless_the_design_is_incoherent() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let mapping = stage.map();
        let byte = MIDDLE * PAGE;
        stage.choreography.perform(
            || load(&mapping, 3).unwrap(),
            || stage.file.write_all_at(&block_of(NEW), byte).unwrap(),
        );
        assert_eq!(stage.choreography.second_waited(), design.is_coherent());
        let loaded = if design.is_coherent() { NEW } else { ZERO };
        let expected = Seen { read: NEW, loaded };
        assert_eq!(
            stage.seen(&mapping, MIDDLE),
            expected,
            "{design}, {tables:?}"
        );
    });
}

/// The same with a store through a window of a page, whose fault is of 4 KiB. The fault of 2 MiB
/// finds the 4 KiB entry and falls back, under every design.
#[test]
fn a_store_that_meets_a_2_mib_fault_is_seen_by_all() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        let (large, small) = (stage.map(), stage.map_part(0, LARGE / 2));
        stage.choreography.perform(
            || load(&large, 3).unwrap(),
            || small.store(MIDDLE * PAGE, &NEW).unwrap(),
        );
        assert_eq!(stage.choreography.second_waited(), design.is_coherent());
        assert_eq!(stage.seen(&large, MIDDLE), Seen::both(NEW), "{design}");
        assert_eq!(stage.seen(&small, MIDDLE), Seen::both(NEW), "{design}");
    });
}

/// A fault has seen 2 MiB of blocks; one of them is punched out.
#[test]
fn a_punch_that_meets_a_2_mib_fault_is_seen_unless_the_design_is_incoherent() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        fill(&stage.file, OLD);
        let mapping = stage.map();
        stage.choreography.perform(
            || load(&mapping, 3).unwrap(),
            || stage.file.punch_hole(MIDDLE * PAGE, PAGE).unwrap(),
        );
        assert_eq!(stage.choreography.second_waited(), design.is_coherent());
        let loaded = if design.is_coherent() { ZERO } else { OLD };
        let expected = Seen { read: ZERO, loaded };
        assert_eq!(
            stage.seen(&mapping, MIDDLE),
            expected,
            "{design}, {tables:?}"
        );
        assert_eq!(
            stage.seen(&mapping, MIDDLE + 1),
            Seen::both(OLD),
            "{design}"
        );
    });
}

#[test]
fn a_truncation_that_meets_a_2_mib_fault_is_seen_unless_the_design_is_incoherent() {
    for_every_design(|design, tables| {
        let stage = hole(design, tables);
        fill(&stage.file, OLD);
        let mapping = stage.map();
        stage.choreography.perform(
            || load(&mapping, 3).unwrap(),
            || stage.file.truncate(MIDDLE * PAGE).unwrap(),
        );
        assert_eq!(stage.choreography.second_waited(), design.is_coherent());
        let cut_off = load(&mapping, MIDDLE);
        let is_gone = matches!(cut_off, Err(Error::Access(_)));
        assert_eq!(is_gone, design.is_coherent(), "{design}, {tables:?}");
        assert_eq!(load(&mapping, 3).unwrap(), OLD, "{design}");
    });
}

// ---- Unmapping once, or entry by entry ----------------------------------------------------------

#[test]
fn an_invalidation_unmaps_once_or_as_often_as_there_were_entries() {
    const FAULTS: u64 = 10;
    for design in MappingLock::COHERENT {
        for tables in TABLES {
            for unmapping in Unmapping::ALL {
                let stage = Stage::with(tables, LARGE, None, |options| {
                    options.mapping_lock = design;
                    options.unmapping = unmapping;
                    options.entry_sizes = EntrySizes::Small;
                });
                let mapping = stage.map();
                for page in 0..FAULTS {
                    assert_eq!(load(&mapping, 2 * page).unwrap(), ZERO);
                }
                let before = stage.file.lock_state().unmaps;
                fill_part(&stage.file);
                let unmaps = stage.file.lock_state().unmaps - before;
                let expected = match unmapping {
                    Unmapping::EachEntry => FAULTS,
                    _ => 1,
                };
                assert_eq!(unmaps, expected, "{design}, {unmapping}");
                for page in 0..2 * FAULTS {
                    assert_eq!(stage.seen(&mapping, page), Seen::both(NEW), "{design}");
                }
            }
        }
    }
}

fn fill_part(file: &File) {
    file.write_all_at(&NEW.repeat((LARGE / 16) as usize), 0)
        .unwrap();
}

// ---- Entries as a cache -------------------------------------------------------------------------

/// Under `entry-rw` a read caches what it looked up, in entries as large as can be; under the other
/// designs there is an entry only where something was mapped.
#[test]
fn reads_and_writes_cache_blocks_in_entries_under_entry_rw_alone() {
    for design in MappingLock::ALL {
        let stage = hole(design, PageTables::Software);
        fill(&stage.file, OLD);
        for (page, entries) in [(MIDDLE, 1), (MIDDLE + 1, 1), (PAGES, 2)] {
            assert_eq!(read(&stage.file, page), OLD);
            let expected = if design == MappingLock::EntryRw {
                entries
            } else {
                0
            };
            assert_eq!(stage.file.lock_state().entries, expected, "{design}");
        }
        stage.file.punch_hole(MIDDLE * PAGE, PAGE).unwrap();
        assert_eq!(read(&stage.file, MIDDLE), ZERO, "{design}");
        assert_eq!(read(&stage.file, MIDDLE + 1), OLD, "{design}");
        stage.file.truncate(PAGE).unwrap();
        stage.file.truncate(2 * LARGE).unwrap();
        assert_eq!(read(&stage.file, MIDDLE + 1), ZERO, "{design}");
    }
}

// ---- What it takes ------------------------------------------------------------------------------

/// What `daxfs/docs/designs.md` says of the memory of each design.
#[test]
fn an_idle_file_takes_little_and_a_mapped_one_little_more() {
    for design in MappingLock::ALL {
        let stage = hole(design, PageTables::Software);
        let idle = stage.file.lock_state();
        println!("{design}: {idle:?}");
        let most = match design {
            MappingLock::Range => 512,
            _ => 128,
        };
        assert!(idle.bytes <= most, "{design}: {idle:?}");
        load_all(&stage.map());
        let mapped = stage.file.lock_state();
        assert_eq!(mapped.entries, 2, "{design}");
        // A range lock has its table from the first mapping on: faults cannot make it grow.
        let expected = match design {
            MappingLock::Range => 2048..8192,
            _ => 16..4096,
        };
        let more = mapped.bytes - idle.bytes;
        assert!(expected.contains(&more), "{design}: {mapped:?}");
        assert_eq!((mapped.waits, mapped.wakes), (0, 0), "{design}");
    }
}
