//! Damage of the log, and logs that make a checkpoint wrong: each kind is named.

use super::builder::{Builder, EPOCH, ROOT, TIME, settled};
use crate::format::Structure;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::record::{Disposition, Record, ShiftDirection};
use crate::fsck::{Issue, NoProgress, Outcome, repair};

fn issues(builder: Builder<'_>) -> Vec<Issue> {
    builder.build().report().issues
}

/// The one issue of an image.
fn issue(builder: Builder<'_>) -> Issue {
    let found = issues(builder);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

fn with_log() -> (Builder<'static>, Vec<u64>) {
    let mut builder = Builder::new(1024);
    let mut lsns = Vec::new();
    for inode in 2..6 {
        let create = builder.create(ROOT, &format!("file {inode}"), inode);
        lsns.push(builder.record(&create));
    }
    (builder, lsns)
}

#[test]
fn a_log_that_ends_too_early_is_found() {
    let (mut builder, lsns) = with_log();
    builder.flip_log(lsns[1] + 50);
    let expected = Issue::LogCut {
        lsn: lsns[1],
        proof_lsn: lsns[2],
        durable_lsn: lsns[2],
    };
    assert_eq!(issue(builder), expected);
}

#[test]
fn a_log_that_begins_where_none_can_is_found() {
    let mut image = Builder::new(1024).build();
    image.edit_superblock(|superblock| superblock.log_first_lsn = 1 << 63);
    let expected = Issue::LogPosition { lsn: 1 << 63 };
    assert_eq!(image.report().issues, [expected]);
}

#[test]
fn a_record_that_knows_the_future_is_no_part_of_the_log() {
    let (mut builder, _) = with_log();
    let create = builder.create(ROOT, "prophet", 6);
    let lsn = builder.lsn();
    builder.record_with(&create, EPOCH, lsn + 64);
    let report = builder.build().report();
    assert_eq!((report.issues, report.log_records), (vec![], 4));
}

#[test]
fn a_torn_end_of_the_log_is_no_issue() {
    let (mut builder, lsns) = with_log();
    builder.flip_log(lsns[3] + 50);
    let report = builder.build().report();
    assert_eq!((report.issues, report.log_records), (vec![], 3));
}

#[test]
fn records_of_an_earlier_mount_are_no_part_of_the_log() {
    let (mut builder, _) = with_log();
    let stale = builder.create(ROOT, "stale", 2);
    let lsn = builder.lsn();
    builder.record_with(&stale, EPOCH - 1, lsn);
    builder.record_with(&stale, EPOCH - 1, lsn + 64);
    let report = builder.build().report();
    assert_eq!((report.issues, report.log_records), (vec![], 4));
}

#[test]
fn records_of_a_mount_that_the_superblock_does_not_know_are_found() {
    let (mut builder, _) = with_log();
    let late = builder.create(ROOT, "late", 6);
    let lsn = builder.lsn();
    builder.record_with(&late, EPOCH + 1, lsn);
    let expected = Issue::RecordOfFuture {
        lsn,
        most: EPOCH,
        found: EPOCH + 1,
    };
    let image = builder.build();
    assert_eq!(image.report().issues, [expected]);
    let device = image.device();
    let done = repair(&device, &NoProgress).unwrap();
    assert_eq!(done.outcome, Outcome::Repaired);
    assert_eq!(done.after.unwrap().issues, []);
}

#[test]
fn a_record_that_none_may_write_is_found() {
    let (mut builder, _) = with_log();
    let lsn = builder.record(&Record::Extend {
        inode: 2,
        len_bytes: u64::MAX,
        time: TIME,
    });
    let found = issue(builder);
    assert!(
        matches!(&found, Issue::BadRecord { lsn: at, error }
            if *at == lsn && error.structure == Structure::LogRecord),
        "{found:?}"
    );
}

#[test]
fn records_that_speak_of_what_is_not_there_are_found() {
    let unlink = |position| Record::Unlink {
        directory: ROOT,
        position,
        inode: 2,
        time: TIME,
        disposition: Disposition::Freed,
    };
    let map = |inode| Record::Map {
        inode,
        file_block: 0,
        run: settled(600, 2),
        flags: 0,
        len_bytes: BLOCK_BYTES,
        time: TIME,
    };
    let (builder, _) = with_log();
    let wrong = [
        builder.create(ROOT, "again", 2),
        builder.create(ROOT, "file 2", 9),
        builder.create(2, "below a file", 9),
        unlink(1 << 20),
        map(1),
        map(77),
        Record::RemoveInode { inode: 77 },
        Record::Redo {
            inode: 2,
            offset_bytes: 5,
            bytes: vec![1],
        },
    ];
    for record in wrong {
        let (mut builder, _) = with_log();
        let lsn = builder.record(&record);
        let found = issues(builder);
        assert!(
            found.iter().any(
                |issue| matches!(issue, Issue::RecordDoesNotApply { lsn: at, .. }
                if *at == lsn)
            ),
            "{record:?}: {found:?}"
        );
    }
}

#[test]
fn blocks_that_the_log_gives_away_twice_are_found() {
    // The first are a file's by the checkpoint, the second by the log.
    for block in [514, 600] {
        let mut builder = Builder::new(1024);
        builder.file(ROOT, "file", &[(0, 8)]);
        let create = builder.create(ROOT, "new", 3);
        builder.record(&create);
        let map = |file_block, block| Record::Map {
            inode: 3,
            file_block,
            run: settled(block, 2),
            flags: 0,
            len_bytes: BLOCK_BYTES,
            time: TIME,
        };
        builder.record(&map(7, 601));
        let lsn = builder.record(&map(0, block));
        let found = issue(builder);
        assert!(
            matches!(found, Issue::RecordDoesNotApply { lsn: at, .. } if at == lsn),
            "{found:?}"
        );
    }
}

/// Maps block 0 of an inode.
fn map_first(inode: u64, block: u64) -> Record {
    Record::Map {
        inode,
        file_block: 0,
        run: settled(block, 1),
        flags: 0,
        len_bytes: BLOCK_BYTES,
        time: TIME,
    }
}

/// All ways to take its only block from inode 3.
fn ways_to_take_a_block(builder: &Builder<'_>) -> Vec<Record> {
    vec![
        Record::Unmap {
            inode: 3,
            file_blocks: 0..1,
            time: TIME,
        },
        Record::SetLength {
            inode: 3,
            len_bytes: 0,
            kept_blocks: 0,
            time: TIME,
        },
        Record::Shift {
            inode: 3,
            file_block: 0,
            len_blocks: 1,
            direction: ShiftDirection::TowardsStart,
            len_bytes: 0,
            time: TIME,
        },
        Record::Unlink {
            directory: ROOT,
            position: builder.position(ROOT, "old"),
            inode: 3,
            time: TIME,
            disposition: Disposition::Freed,
        },
    ]
}

#[test]
fn a_block_that_the_log_gave_and_took_may_be_given_again() {
    let ways = ways_to_take_a_block(&Builder::new(1024)).len();
    for way in 0..ways {
        let mut builder = Builder::new(1024);
        let taken = ways_to_take_a_block(&builder).swap_remove(way);
        let old = builder.create(ROOT, "old", 3);
        let new = builder.create(ROOT, "new", 4);
        for record in [old, new, map_first(3, 600), taken, map_first(4, 600)] {
            builder.record(&record);
        }
        assert_eq!(issues(builder), [], "way {way}");
    }
}

#[test]
fn a_block_of_the_checkpoint_may_not_be_given_again_before_the_next() {
    let mut builder = Builder::new(1024);
    let file = builder.file(ROOT, "file", &[(0, 8)]);
    builder.record(&Record::Unmap {
        inode: file,
        file_blocks: 0..8,
        time: TIME,
    });
    let lsn = builder.record(&map_first(file, 514));
    let found = issue(builder);
    assert!(
        matches!(found, Issue::RecordDoesNotApply { lsn: at, .. } if at == lsn),
        "{found:?}"
    );
}

#[test]
fn a_name_that_the_log_puts_in_the_wrong_place_is_found() {
    let mut builder = Builder::new(1024);
    let position = builder.position(ROOT, "another name");
    let mut create = builder.create(ROOT, "new", 2);
    if let Record::Create { position: at, .. } = &mut create {
        *at = position;
    }
    builder.record(&create);
    let found = issue(builder);
    assert!(
        matches!(&found, Issue::AfterReplay { issue }
            if matches!(**issue, Issue::NamePosition { directory: ROOT, .. })),
        "{found:?}"
    );
}
