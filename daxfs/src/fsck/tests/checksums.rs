//! Checksums of data: what is wrong with them, and with what they are of.

use super::builder::{Builder, ROOT, TIME, content_of, settled};
use super::device::TestImage;
use crate::format::geometry::{BLOCK_BYTES, DATA_START_BLOCK};
use crate::format::item::{StoredChecksums, checksum_key, data_checksum};
use crate::format::record::{Record, ShiftDirection};
use crate::fsck::{Action, Issue, NoProgress, Outcome, Refusal, Repair, repair};

const BLOCKS: u64 = 4096;
/// The file of [`image`], the first that has blocks.
const FILE: u64 = 2;
const BAD: u64 = 5;

/// The item of the first group: of these blocks, all right but one of [`BAD`].
fn sums(blocks: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut stored = StoredChecksums {
        first_block: 0,
        bits: 0,
        sums: Vec::new(),
    };
    for block in blocks {
        let right = data_checksum(&content_of(DATA_START_BLOCK + block));
        stored.bits |= 1 << block;
        stored.sums.push(if block == BAD { !right } else { right });
    }
    stored.encode()
}

/// A file of 10 blocks, with checksums of some.
fn image(blocks: impl IntoIterator<Item = u64>) -> Builder<'static> {
    let mut builder = Builder::new(BLOCKS).with_data_checksums();
    assert_eq!(builder.file(ROOT, "file", &[(0, 10)]), FILE);
    builder.put(checksum_key(FILE, 0), sums(blocks));
    builder
}

fn repaired(image: &TestImage) -> Repair {
    repair(&image.device(), &NoProgress).unwrap()
}

#[test]
fn what_holds_what_it_did_is_clean() {
    assert_eq!(
        image((0..10).filter(|block| *block != BAD))
            .build()
            .report()
            .issues,
        []
    );
}

#[test]
fn a_damaged_block_is_named_and_no_repair_makes_it_right() {
    let image = image(0..10).build();
    let found = image.report().issues;
    let is_bad = |issue: &Issue| {
        matches!(issue, Issue::DataDamaged { inode: FILE, file_block: BAD, expected, found, .. }
            if *expected == !*found)
    };
    assert!(found.len() == 1 && is_bad(&found[0]), "{found:?}");
    let done = repaired(&image);
    assert_eq!(done.outcome, Outcome::Refused(Refusal::DamagedData));
}

/// What else is wrong is made right all the same.
#[test]
fn a_repair_leaves_damaged_data_as_it_is() {
    let mut builder = image(0..10);
    builder.edit_inode(FILE, |stored| stored.links = 7);
    let done = repaired(&builder.build());
    assert_eq!(done.outcome, Outcome::Repaired);
    let left = done.after.unwrap().issues;
    assert!(matches!(left[..], [Issue::DataDamaged { .. }]), "{left:?}");
}

#[test]
fn a_checksum_of_a_hole_is_found_and_goes_alone() {
    let image = image([0, 9, 10, 100]).build();
    let expected = Issue::ChecksumOfHole {
        inode: FILE,
        file_block: 10,
        position: 0,
    };
    assert_eq!(image.report().issues, [expected]);
    let device = image.device();
    let done = repair(&device, &NoProgress).unwrap();
    let removed = Action::RemovedChecksums {
        inode: FILE,
        position: 0,
    };
    assert!(done.actions.contains(&removed), "{:?}", done.actions);
    assert_eq!(done.after.unwrap().issues, []);
}

#[test]
fn an_image_without_the_feature_has_none() {
    let mut builder = image(0..5);
    builder.features.read_only_compatible = 0;
    let image = builder.build();
    let found = image.report().issues;
    assert!(
        matches!(
            found[..],
            [Issue::BadItem {
                inode: FILE,
                kind: 8,
                position: 0,
                ..
            }]
        ),
        "{found:?}"
    );
    let done = repaired(&image);
    assert_eq!(done.after.unwrap().issues, []);
}

/// A block that is damaged, and a record after which its checksum counts no longer.
#[test]
fn records_take_checksums_with_what_they_change() {
    let records: [fn(&mut Builder<'_>) -> Record; 5] = [
        |_| Record::ForgetChecksums {
            inode: FILE,
            file_blocks: 4..6,
        },
        |_| Record::Unmap {
            inode: FILE,
            file_blocks: BAD..BAD + 1,
            time: TIME,
        },
        |_| Record::SetLength {
            inode: FILE,
            len_bytes: 100,
            kept_blocks: BAD,
            time: TIME,
        },
        |_| Record::Replace {
            inode: FILE,
            file_block: BAD,
            runs: vec![settled(1700, 1)],
            len_bytes: 0,
            time: TIME,
        },
        |builder| Record::Share {
            from_inode: builder.file(ROOT, "other", &[(0, 1)]),
            from_block: 0,
            to_inode: FILE,
            to_block: BAD,
            len_blocks: 1,
            len_bytes: 0,
            time: TIME,
        },
    ];
    for record in records {
        let mut builder = image(0..10);
        let record = record(&mut builder);
        builder.record(&record);
        assert_eq!(builder.build().report().issues, [], "{record:?}");
    }
}

/// A record that moves a damaged block, or gives it to another file as well.
#[test]
fn records_take_checksums_along_with_what_they_move() {
    let shift = |direction, file_block, len_blocks| Record::Shift {
        inode: FILE,
        file_block,
        len_blocks,
        direction,
        len_bytes: 300 * BLOCK_BYTES,
        time: TIME,
    };
    let other = FILE + 1;
    let share = Record::Share {
        from_inode: FILE,
        from_block: BAD - 1,
        to_inode: other,
        to_block: 127,
        len_blocks: 3,
        len_bytes: 0,
        time: TIME,
    };
    let cases = [
        (
            shift(ShiftDirection::TowardsEnd, 1, 1),
            vec![(FILE, BAD + 1)],
        ),
        (
            shift(ShiftDirection::TowardsEnd, 3, 124),
            vec![(FILE, BAD + 124)],
        ),
        (
            shift(ShiftDirection::TowardsStart, 1, 2),
            vec![(FILE, BAD - 2)],
        ),
        (shift(ShiftDirection::TowardsStart, BAD - 1, 3), vec![]),
        (share, vec![(FILE, BAD), (other, 128)]),
    ];
    for (record, expected) in cases {
        let mut builder = image(0..10);
        assert_eq!(builder.file(ROOT, "other", &[(0, 1)]), other);
        builder.record(&record);
        let issues = builder.build().report().issues;
        let found: Vec<(u64, u64)> = issues
            .iter()
            .filter_map(|issue| match issue {
                Issue::DataDamaged {
                    inode, file_block, ..
                } => Some((*inode, *file_block)),
                _ => None,
            })
            .collect();
        assert_eq!(
            (found.len(), found),
            (issues.len(), expected),
            "{record:?}: {issues:?}"
        );
    }
}

/// What came after might have said that they count no longer.
#[test]
fn a_log_that_is_cut_costs_all_checksums() {
    let mut builder = image(0..10);
    let cut = builder.create(ROOT, "cut", 21);
    let lsn = builder.record(&cut);
    let last = Record::ForgetChecksums {
        inode: FILE,
        file_blocks: 0..10,
    };
    builder.record(&last);
    builder.flip_log(lsn + 60);
    let image = builder.build();
    let found = image.report().issues;
    assert!(matches!(found[..], [Issue::LogCut { .. }]), "{found:?}");
    let done = repaired(&image);
    let removed = Action::RemovedAllChecksums { items: 1 };
    assert!(done.actions.contains(&removed), "{:?}", done.actions);
    assert_eq!(done.after.unwrap().issues, []);
}
