//! daxfs against a filesystem of the kernel: the same operations on both, and the same results.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`operation`] | what can be done, and what comes of it |
//! | [`strategy`] | random operations on few names, so that they meet |
//! | [`acl`] | access control lists, right and wrong |
//! | [`host`] | doing it to the kernel's filesystem, in a folder that is its root |
//! | [`subject`] | doing it to daxfs, which also stops and starts again |
//! | [`differences`] | where the two differ on purpose |
//! | [`pair`] | doing it to both, and comparing |
//! | [`snapshot`] | everything there is, to compare it |
//! | `directed` | what random sequences rarely reach |
//! | `file_locks` | locks of bytes, by processes and open file descriptions, on a pair of their own |
//!
//! The kernel's filesystem is the one that holds the folder for temporary files: ext4 where that is
//! ext4. Root alone may change its root, so for anybody else these tests are skipped.

mod acl;
mod differences;
mod directed;
mod file_locks;
mod host;
mod operation;
mod pair;
mod snapshot;
mod strategy;
mod subject;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use operation::Operation;
use pair::Pair;

/// Runs `operations` on both, and compares each result, then everything, then everything again as
/// it is found by the next mount.
fn run(operations: &[Operation]) {
    let Some(mut pair) = Pair::new() else { return };
    for operation in operations {
        let _same = pair.apply(operation);
    }
    pair.finish();
}

/// Opens `/a` and `/b` first.
fn with_two_files(operations: Vec<Operation>) -> Vec<Operation> {
    let files = ["/a", "/b"].into_iter().enumerate();
    let opening = files.map(|(slot, path)| Operation::Create {
        slot,
        path: path.into(),
        mode: 0o644,
    });
    opening.chain(operations).collect()
}

/// How many times as many cases as usual: `DAXFS_STRESS`, if it is set.
fn stress_factor() -> u32 {
    let factor = std::env::var("DAXFS_STRESS").ok();
    factor.and_then(|text| text.parse().ok()).unwrap_or(1)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150 * stress_factor(),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn names_are_as_the_kernel_has_them(
        operations in prop::collection::vec(strategy::naming(), 1..60),
    ) {
        run(&operations);
    }

    #[test]
    fn everything_is_as_the_kernel_has_it(
        operations in prop::collection::vec(strategy::anything(), 1..80),
    ) {
        run(&operations);
    }

    #[test]
    fn content_is_as_the_kernel_has_it(
        operations in prop::collection::vec(strategy::using_files(), 1..60),
    ) {
        run(&with_two_files(operations));
    }

    #[test]
    fn holes_are_where_the_kernel_has_them(
        operations in prop::collection::vec(strategy::making_holes(), 1..60),
    ) {
        run(&with_two_files(operations));
    }
}
