//! No bytes do harm: whole images with random damage, below right checksums too.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use super::builder::{Builder, ROOT, TestImage};
use super::whole::report;
use crate::format::geometry::{BLOCK_LEN, block_offset_bytes};
use crate::format::{Block, Identity};
use crate::fsck::{Issue, NoProgress, check};

/// An image with some of everything, in blocks where damage is likely to matter.
fn builder<'a>() -> Builder<'a> {
    let mut builder = Builder::new(1024).extents_per_leaf(2);
    let directory = builder.directory(ROOT, "directory");
    let below = builder.directory(directory, "below");
    let extents = (0..12).map(|n| (n * 3, 2)).collect::<Vec<_>>();
    let fragmented = builder.file(below, "fragmented", &extents);
    builder.link(ROOT, "link", fragmented);
    for n in 0..20 {
        builder.file(directory, &format!("file {n}"), &[(0, n + 1), (50, 1)]);
    }
    builder
}

static IMAGE: LazyLock<TestImage> = LazyLock::new(|| {
    let image = builder().build();
    assert_eq!(report(&image).issues, []);
    image
});

/// Every message can be written.
fn print(issues: &[Issue]) {
    issues
        .iter()
        .for_each(|issue| drop(format!("{}: {issue}", issue.severity())));
}

proptest! {
    #[test]
    fn a_flipped_bit_of_any_metadata_block_is_found(
        which in any::<prop::sample::Index>(),
        bit in 0..BLOCK_LEN * 8,
    ) {
        let mut image = IMAGE.clone();
        let (block, _) = *which.get(&image.metadata);
        image.bytes[block_offset_bytes(block) as usize + bit / 8] ^= 1 << (bit % 8);
        let issues = report(&image).issues;
        let is_found = issues.iter().any(|issue| match issue {
            Issue::BadBlock { block: bad, .. } => *bad == block,
            _ => false,
        });
        prop_assert!(is_found, "{:?}", issues);
    }

    #[test]
    fn random_damage_anywhere_does_no_harm(
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut image = IMAGE.clone();
        for (at, byte) in damage {
            let len = image.bytes.len();
            image.bytes[at.index(len)] = byte;
        }
        if let Ok(report) = check(&image.device(), &NoProgress) {
            print(&report.issues);
        }
    }

    /// With right checksums damage reaches every check behind them, and the same image gives the
    /// same report.
    #[test]
    fn damage_below_right_checksums_does_no_harm(
        which in any::<prop::sample::Index>(),
        damage in vec((0..BLOCK_LEN, any::<u8>()), 1..40),
        more in vec((any::<prop::sample::Index>(), 0..700_usize, any::<u8>()), 0..10),
    ) {
        let identity = which.get(&IMAGE.metadata).1;
        let edit = |found: Identity, block: &mut Block| {
            if found == identity {
                damage.iter().for_each(|(at, byte)| block.bytes_mut()[*at] = *byte);
            }
            for (which, at, byte) in &more {
                if found == which.get(&IMAGE.metadata).1 {
                    block.bytes_mut()[*at] = *byte;
                }
            }
        };
        let image = builder().on_block(edit).build();
        let first = report(&image);
        print(&first.issues);
        prop_assert_eq!(report(&image), first);
    }

    /// Small changes of single fields, with right checksums: extents, counts, numbers, pointers.
    #[test]
    fn small_changes_of_fields_do_no_harm(
        changes in vec((any::<prop::sample::Index>(), 3_usize..200, 0..8_u32), 1..4),
    ) {
        let edit = |found: Identity, block: &mut Block| {
            for (which, word, bit) in &changes {
                if found == which.get(&IMAGE.metadata).1 {
                    block.bytes_mut()[word * 8] ^= 1 << bit;
                }
            }
        };
        let image = builder().on_block(edit).build();
        let first = report(&image);
        print(&first.issues);
        prop_assert_eq!(report(&image), first);
    }
}
