//! Claims C1 to C3 of the thread, and race 3, in models.
//!
//! Each claim has the designs under which a stale zero page must be found, and those under which
//! there must be none. What a model that must fail does not find, one that must hold cannot be
//! trusted to.

use super::{History, MappingLock, Mistake, Model, Race, more_preemptions};

/// The designs of which the thread, or this filesystem, says that they are not coherent.
const RACY: [MappingLock; 2] = [MappingLock::None, MappingLock::Recheck];

/// A race in a file that has been used before.
fn used(race: Race, design: MappingLock) -> Model {
    Model {
        race,
        design,
        mistake: None,
        history: History::Used,
        most_preemptions: 3 + more_preemptions(),
    }
}

/// A race in a file that is all hole.
fn fresh(race: Race, design: MappingLock) -> Model {
    Model {
        history: History::Fresh,
        most_preemptions: more_preemptions()
            + match race {
                Race::WriteFault => 1,
                Race::Write | Race::LargeHole => 2,
            },
        ..used(race, design)
    }
}

fn by_mistake(mistake: Mistake, model: Model) -> Model {
    Model {
        mistake: Some(mistake),
        ..model
    }
}

// ---- C1: a write that allocates, against a read fault -------------------------------------------

#[test]
fn c1_race_1_is_caught_under_the_racy_designs() {
    for design in RACY {
        used(Race::Write, design).is_caught();
        fresh(Race::Write, design).is_caught();
    }
}

#[test]
fn c1_race_1_does_not_happen_under_the_coherent_designs() {
    for design in MappingLock::COHERENT {
        used(Race::Write, design).holds();
        fresh(Race::Write, design).holds();
    }
}

// ---- C2: a write fault that allocates, against a read fault -------------------------------------

#[test]
fn c2_race_2_is_caught_under_the_racy_designs() {
    for design in RACY {
        used(Race::WriteFault, design).is_caught();
    }
}

#[test]
fn c2_race_2_does_not_happen_under_the_coherent_designs() {
    for design in MappingLock::COHERENT {
        used(Race::WriteFault, design).holds();
        fresh(Race::WriteFault, design).holds();
    }
}

// ---- C3: the look-up under the entry lock, with an invalidation that waits or not ---------------

/// The designs with the look-up under the entry lock.
const UNDER_THE_ENTRY_LOCK: [MappingLock; 2] = [MappingLock::Entry, MappingLock::EntryRw];

#[test]
fn c3_an_invalidation_that_skips_locked_entries_is_caught() {
    for design in UNDER_THE_ENTRY_LOCK {
        for model in [used(Race::Write, design), fresh(Race::Write, design)] {
            by_mistake(Mistake::InvalidationSkipsLocked, model).is_caught();
        }
    }
}

/// The other half of the claim is C1 under `entry` and `entry-rw`: the same models, with an
/// invalidation that waits. Here it is once more, by its name.
#[test]
fn c3_an_invalidation_that_waits_for_the_entry_is_enough() {
    for design in UNDER_THE_ENTRY_LOCK {
        used(Race::Write, design).holds();
    }
}

// ---- Race 3: a large entry of a hole, against a write of one of its pages -----------------------

#[test]
fn race_3_is_caught_under_the_racy_designs() {
    for design in RACY {
        fresh(Race::LargeHole, design).is_caught();
    }
}

#[test]
fn race_3_does_not_happen_under_the_coherent_designs() {
    for design in MappingLock::COHERENT {
        fresh(Race::LargeHole, design).holds();
    }
}

/// Linux before commit cd656375f946 (2017): the large entry goes, and what it mapped stays.
#[test]
fn race_3_a_large_entry_that_stays_mapped_is_caught() {
    for design in MappingLock::COHERENT {
        let model = fresh(Race::LargeHole, design);
        by_mistake(Mistake::BreakUpLeavesMapped, model).is_caught();
    }
}
