//! Random sequences of operations against a model, under every pair of designs, shrunk to the
//! shortest that fails.
//!
//! One thread only, so even the mapping lock `none` must be right here: it has nobody to race with.

mod operation;
mod pair;

use daxfs::{DataChecksums, DataMode, MappingLock, MountOptions, PageTables, Protection};
use daxfs_tests::fixture::{designs, stress_factor};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use operation::{Operation, PAGE, View, opening, operation};
use pair::Pair;

fn run(options: MountOptions, checksums: DataChecksums, operations: &[Operation]) {
    let mut pair = Pair::new(options, checksums);
    for operation in &opening() {
        pair.apply(operation);
    }
    for operation in operations {
        pair.apply(operation);
    }
    pair.compare_everything();
    pair.remount();
}

/// Found by the sequences below: eight bytes were loaded by one instruction, so that nothing of
/// them arrived when only the second of their pages was past the end of file.
#[test]
fn an_access_of_eight_bytes_ends_at_the_page_that_is_past_the_end() {
    let view = |page_tables| View {
        page_tables,
        protection: Protection::ReadWrite,
        first_page: 0,
        len: 2 * PAGE,
    };
    for page_tables in [PageTables::Software, PageTables::Process] {
        let operations = [
            Operation::Write {
                slot: 0,
                at: PAGE - 8,
                len: 8,
            },
            Operation::Map {
                slot: 0,
                window: 2,
                view: view(page_tables),
            },
            Operation::Load {
                window: 2,
                at: PAGE - 2,
                len: 8,
            },
            Operation::Store {
                window: 2,
                at: PAGE - 2,
                len: 8,
            },
        ];
        run(MountOptions::default(), DataChecksums::Off, &operations);
    }
}

fn data() -> impl Strategy<Value = (DataMode, DataChecksums)> {
    (
        prop_oneof![Just(DataMode::InPlace), Just(DataMode::Atomic)],
        prop_oneof![Just(DataChecksums::Off), Just(DataChecksums::On)],
    )
}

fn options(mapping_lock: MappingLock, io_lock: usize, data: DataMode) -> MountOptions {
    let mut options = designs(&[mapping_lock])[io_lock].clone();
    options.data = data;
    options
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2500 * stress_factor(),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        max_shrink_iters: 4000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn behaves_as_the_model_under_none(
        io_lock in 0..3_usize,
        (data, checksums) in data(),
        operations in prop::collection::vec(operation(), 1..100),
    ) {
        run(options(MappingLock::None, io_lock, data), checksums, &operations);
    }

    #[test]
    fn behaves_as_the_model_under_entry(
        io_lock in 0..3_usize,
        (data, checksums) in data(),
        operations in prop::collection::vec(operation(), 1..100),
    ) {
        run(options(MappingLock::Entry, io_lock, data), checksums, &operations);
    }

    #[test]
    fn behaves_as_the_model_under_inode(
        io_lock in 0..3_usize,
        (data, checksums) in data(),
        operations in prop::collection::vec(operation(), 1..100),
    ) {
        run(options(MappingLock::Inode, io_lock, data), checksums, &operations);
    }

    #[test]
    fn behaves_as_the_model_under_range(
        io_lock in 0..3_usize,
        (data, checksums) in data(),
        operations in prop::collection::vec(operation(), 1..100),
    ) {
        run(options(MappingLock::Range, io_lock, data), checksums, &operations);
    }

    #[test]
    fn behaves_as_the_model_under_entry_rw(
        io_lock in 0..3_usize,
        (data, checksums) in data(),
        operations in prop::collection::vec(operation(), 1..100),
    ) {
        run(options(MappingLock::EntryRw, io_lock, data), checksums, &operations);
    }

    #[test]
    fn behaves_as_the_model_under_recheck(
        io_lock in 0..3_usize,
        (data, checksums) in data(),
        operations in prop::collection::vec(operation(), 1..100),
    ) {
        run(options(MappingLock::Recheck, io_lock, data), checksums, &operations);
    }
}
