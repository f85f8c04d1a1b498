//! Flipped bits, in every metadata block and in the superblocks. (Blocks that are wrong although
//! every checksum is right: `mutated_images`.)

use std::collections::BTreeMap;
use std::sync::Arc;

use daxfs::fsck::{self, NoProgress};
use daxfs::{Device, Error, Filesystem, MountOptions};
use daxfs_tests::fixture::{
    Numbers, assert_clean, bytes_of, mount, mount_read_only, overwrite, stress_factor,
};

use crate::image::{BLOCK_LEN, Content, assert_holds, metadata_blocks, rich_image};

/// Bits flipped in each metadata block, beside one in every byte of its header.
const FLIPS_PER_BLOCK: u64 = 40;

/// A device whose bytes can be damaged and put right again.
struct Patient {
    device: Arc<Device>,
    healthy: Vec<u8>,
    content: Content,
}

impl Patient {
    fn new() -> Self {
        let (device, content) = rich_image();
        let healthy = bytes_of(&device);
        Self {
            device,
            healthy,
            content,
        }
    }

    fn flip(&self, at: usize, bit: u64) {
        overwrite(&self.device, at as u64, &[self.healthy[at] ^ (1 << bit)]);
    }

    fn heal(&self, at: usize) {
        overwrite(&self.device, at as u64, &self.healthy[at..=at]);
    }

    /// The first error of whoever mounts it for reading and looks at everything.
    fn first_error(&self) -> Error {
        let fs = match mount_read_only(&self.device) {
            Ok(fs) => fs,
            Err(error) => return error,
        };
        let look = |path: &String| {
            let file = fs.open(path)?;
            file.read_at(&mut [0; 64], 0)
        };
        let names = ["/", "/names"].map(|directory| fs.read_directory(directory).map(drop));
        let looks = self.content.keys().map(|path| look(path).map(drop));
        let mut results = names.into_iter().chain(looks);
        let error = results.find_map(Result::err);
        error.unwrap_or_else(|| panic!("nobody noticed"))
    }

    fn mount_error(&self) -> Error {
        Filesystem::mount(Arc::clone(&self.device), MountOptions::default())
            .expect_err("a damaged image must not mount")
    }
}

/// The bits to flip in 4096 bytes: one in each of the first 32 bytes, and a sample of all.
fn sample(numbers: &mut Numbers) -> Vec<(usize, u64)> {
    let mut bits: Vec<_> = (0..32).map(|byte| (byte, numbers.below(8))).collect();
    for _ in 0..FLIPS_PER_BLOCK * u64::from(stress_factor()) {
        bits.push((numbers.below(BLOCK_LEN as u64) as usize, numbers.below(8)));
    }
    bits
}

#[test]
fn the_image_has_every_metadata_structure() {
    let (device, _) = rich_image();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for found in metadata_blocks(&device) {
        *kinds.entry(found.structure).or_default() += 1;
    }
    println!("metadata blocks: {kinds:?}");
    for (structure, least) in [("tree leaf", 15), ("tree index", 1), ("space map", 1)] {
        let count = kinds.get(structure).copied().unwrap_or_default();
        assert!(
            count >= least,
            "{count} of {structure}, at least {least} wanted"
        );
    }
}

/// A mount reads what it needs, so some damage is found when somebody asks for what it hit; but
/// whoever asks is told, and what lies elsewhere is as it was.
#[test]
fn a_flipped_bit_in_any_metadata_block_is_found_and_located() {
    let patient = Patient::new();
    let mut numbers = Numbers::new(2);
    let mut flips = 0;
    for found in metadata_blocks(&patient.device) {
        for (byte, bit) in sample(&mut numbers) {
            let at = found.block as usize * BLOCK_LEN + byte;
            patient.flip(at, bit);
            match patient.first_error() {
                Error::Corrupt {
                    structure,
                    block,
                    problem,
                } => {
                    let named = (structure, block);
                    let expected = (found.structure, found.block);
                    assert_eq!(named, expected, "byte {byte}: {problem}");
                }
                error => panic!("{found:?} byte {byte} bit {bit}: {error}"),
            }
            patient.heal(at);
            flips += 1;
        }
        // Once a block: whatever was flipped, nobody who only looked has changed anything.
        let unchanged = bytes_of(&patient.device) == patient.healthy;
        assert!(unchanged, "looking wrote to the device");
    }
    println!("{flips} flipped bits, all found");
}

#[test]
fn fsck_finds_a_flipped_bit_in_any_metadata_block() {
    let patient = Patient::new();
    let mut numbers = Numbers::new(6);
    for found in metadata_blocks(&patient.device) {
        for (byte, bit) in sample(&mut numbers).into_iter().step_by(8) {
            let at = found.block as usize * BLOCK_LEN + byte;
            patient.flip(at, bit);
            let report = fsck::check(&patient.device, &NoProgress).expect("superblocks are whole");
            assert!(!report.is_clean(), "{found:?} byte {byte} bit {bit}");
            patient.heal(at);
        }
    }
}

#[test]
fn a_flipped_bit_in_one_superblock_copy_costs_nothing() {
    let patient = Patient::new();
    let mut numbers = Numbers::new(3);
    for copy in [0, 1] {
        for (byte, bit) in sample(&mut numbers) {
            patient.flip(copy * BLOCK_LEN + byte, bit);
            let fs = mount(&patient.device);
            assert_holds(&fs, &patient.content);
            fs.unmount().unwrap();
            // Mounting has written both copies anew.
            assert_clean(&patient.device);
            overwrite(&patient.device, 0, &patient.healthy);
        }
    }
}

#[test]
fn a_flipped_bit_in_both_superblock_copies_is_found_and_located() {
    let patient = Patient::new();
    let mut numbers = Numbers::new(4);
    for (byte, bit) in sample(&mut numbers) {
        patient.flip(byte, bit);
        patient.flip(BLOCK_LEN + byte, bit);
        let before = bytes_of(&patient.device);
        match patient.mount_error() {
            Error::NotAnImage { .. } => assert!(byte < 8, "byte {byte} is not in the magic"),
            Error::Corrupt {
                structure, block, ..
            } => {
                assert_eq!(structure, "superblock", "byte {byte}");
                assert!(block < 2, "block {block}");
            }
            error => panic!("byte {byte} bit {bit}: {error}"),
        }
        assert!(
            bytes_of(&patient.device) == before,
            "a failed mount wrote to the device"
        );
        patient.heal(byte);
        patient.heal(BLOCK_LEN + byte);
    }
}
