//! Random damage: no panic and no end of it, and after a repair an image is clean or untouched.

use proptest::prelude::*;

use super::builder::{Builder, ROOT};
use super::device::{TestImage, bytes_of};
use super::whole::everything;
use crate::format::geometry::{BLOCK_LEN, block_offset_bytes};
use crate::fsck::{NoProgress, Outcome, check, repair};

const BLOCKS: u64 = 2048;

fn image() -> TestImage {
    let mut builder = everything(Builder::new(BLOCKS).small_nodes());
    for inode in 13..20 {
        let create = builder.create(ROOT, &format!("file {inode}"), inode);
        builder.record(&create);
    }
    builder.build()
}

/// Where a byte is changed: mostly where metadata is.
fn place() -> impl Strategy<Value = (usize, u8)> {
    let image = image();
    let geometry = image.superblock.geometry;
    let nodes = image.nodes.iter().map(|node| node.block);
    let nodes = nodes.collect::<Vec<_>>();
    let in_block = |block: u64, byte: usize| block_offset_bytes(block) as usize + byte;
    let byte = 0..BLOCK_LEN;
    prop_oneof![
        1 => (0..512_usize).prop_map(move |byte| in_block(0, byte)),
        4 => (prop::sample::select(nodes), byte.clone()).prop_map(move |(b, o)| in_block(b, o)),
        1 => byte.clone().prop_map(move |byte| in_block(geometry.space_map_block, byte)),
        2 => byte.prop_map(move |byte| in_block(geometry.log_start_block, byte)),
        1 => 0..(BLOCKS as usize * BLOCK_LEN),
    ]
    .prop_flat_map(|at| (Just(at), 1..=255_u8))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_bytes_changed_anywhere(changes in prop::collection::vec(place(), 1..12)) {
        let mut image = image();
        for (at, change) in &changes {
            image.bytes[*at] ^= change;
        }
        let device = image.device();
        let Ok(found) = check(&device, &NoProgress) else {
            // No image of ours any more.
            prop_assert!(repair(&device, &NoProgress).is_err());
            prop_assert!(bytes_of(&device) == image.bytes);
            return Ok(());
        };
        let done = repair(&device, &NoProgress).unwrap();
        prop_assert_eq!(&done.before, &found);
        match done.outcome {
            Outcome::Repaired => {
                prop_assert_eq!(done.after.unwrap().issues, vec![]);
            }
            Outcome::Clean => prop_assert!(found.is_clean()),
            Outcome::Refused(_) => {}
        }
        if done.outcome != Outcome::Repaired {
            prop_assert!(bytes_of(&device) == image.bytes);
        }
    }
}
