//! Flipped bits, and blocks that are wrong although every checksum is right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daxfs::fsck::{self, NoProgress};
use daxfs::{
    Device, Error, FileKind, Filesystem, MapOptions, MountAccess, MountOptions, PageTables,
    Protection,
};
use daxfs_tests::fixture::{
    Numbers, assert_clean, bytes_of, memory_device, mount, mount_read_only, overwrite,
    stress_factor,
};

use crate::image::{
    BLOCK_LEN, Content, Found, IMAGE_BYTES, assert_holds, metadata_blocks, reseal, rich_image,
};

/// Bits flipped in each metadata block, beside one in every byte of its header.
const FLIPS_PER_BLOCK: u64 = 40;
/// Forged versions of each metadata block.
const FORGERIES_PER_BLOCK: u32 = 15;

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
    let least = [
        ("directory leaf", 3),
        ("extent leaf", 4),
        ("index block", 3),
        ("inode leaf", 20),
    ];
    for (structure, least) in least {
        let count = kinds.get(structure).copied().unwrap_or_default();
        assert!(
            count >= least,
            "{count} of {structure}, at least {least} wanted"
        );
    }
}

#[test]
fn a_flipped_bit_in_any_metadata_block_is_found_and_located() {
    let patient = Patient::new();
    let mut numbers = Numbers::new(2);
    let mut flips = 0;
    for found in metadata_blocks(&patient.device) {
        for (byte, bit) in sample(&mut numbers) {
            let at = found.block as usize * BLOCK_LEN + byte;
            patient.flip(at, bit);
            match patient.mount_error() {
                Error::Corrupt {
                    structure,
                    block,
                    problem,
                } => {
                    let named = (structure, block);
                    assert_eq!(
                        named,
                        (found.structure, found.block),
                        "byte {byte}: {problem}"
                    );
                }
                error => panic!("{found:?} byte {byte} bit {bit}: {error}"),
            }
            patient.heal(at);
            flips += 1;
        }
        // Once a block: whatever was flipped, all failed mounts together have changed nothing.
        let unchanged = bytes_of(&patient.device) == patient.healthy;
        assert!(unchanged, "failed mounts wrote to the device");
    }
    println!("{flips} flipped bits, all found");
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

/// What a checksum cannot find: the writer itself was wrong. Any outcome is right but a panic, an
/// endless loop, or an image that was changed although it could not be mounted, or only read.
#[test]
fn forged_blocks_with_right_checksums_neither_panic_nor_write() {
    let patient = Patient::new();
    let blocks = metadata_blocks(&patient.device);
    let device = memory_device(IMAGE_BYTES);
    let mut numbers = Numbers::new(5);
    let (mut refused, mut mounted) = (0, 0);
    for &found in &blocks {
        for _ in 0..FORGERIES_PER_BLOCK * stress_factor() {
            let mut forged = patient.healthy.clone();
            forge(&mut forged, found, &mut numbers);
            reseal(&mut forged, &blocks, found);
            overwrite(&device, 0, &forged);
            let _ = fsck::check(&device, &NoProgress).expect("the superblock is whole");
            let result = mount_read_only(&device);
            let is_refused = result.is_err();
            match result {
                Err(error) => assert_located(&error),
                Ok(fs) => visit_everything(&fs, read_file),
            }
            assert!(
                bytes_of(&device) == forged,
                "a read-only mount wrote to the device"
            );
            let result = Filesystem::mount(Arc::clone(&device), MountOptions::default());
            assert_eq!(result.is_err(), is_refused, "{result:?}");
            if let Ok(fs) = result {
                visit_everything(&fs, change_file);
                fs.unmount().unwrap();
                mounted += 1;
            } else {
                assert!(
                    bytes_of(&device) == forged,
                    "a failed mount wrote to the device"
                );
                refused += 1;
            }
        }
    }
    println!("{refused} forgeries refused, {mounted} mounted, read and changed");
    assert!(refused > 0 && mounted > 0);
}

fn assert_located(error: &Error) {
    let Error::Corrupt {
        structure,
        block,
        problem,
    } = error
    else {
        panic!("{error}")
    };
    assert!(!structure.is_empty() && !problem.is_empty());
    // A pointer that leads outside is named by where it leads.
    let inside = *block < IMAGE_BYTES / BLOCK_LEN as u64;
    assert!(inside || problem.contains("outside"), "{error}");
}

/// Changes one to three fields: to an extreme, to a neighbouring value, to anything.
fn forge(bytes: &mut [u8], found: Found, numbers: &mut Numbers) {
    let start = found.block as usize * BLOCK_LEN;
    for _ in 0..=numbers.below(3) {
        let len = [1, 2, 4, 8][numbers.below(4) as usize];
        // Mostly where there is something: headers and the first entries.
        let limit = [64, 512, BLOCK_LEN][numbers.below(3) as usize];
        let at = start + numbers.below((limit / len) as u64) as usize * len;
        let field = &mut bytes[at..at + len];
        match numbers.below(5) {
            0 => field.fill(0xff),
            1 => field.fill(0),
            2 => field[0] = field[0].wrapping_add(1),
            3 => field[0] = field[0].wrapping_sub(1),
            _ => field.copy_from_slice(&numbers.next_number().to_le_bytes()[..len]),
        }
    }
}

/// Calls `visit` with all files, and then tries to make and remove a name in each directory.
fn visit_everything(fs: &Filesystem, visit: fn(&Filesystem, &Path)) {
    let mut directories = vec![PathBuf::from("/")];
    let mut seen = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs.read_directory(&directory).unwrap() {
            let path = directory.join(&entry.name);
            match entry.kind {
                FileKind::Directory => directories.push(path),
                _ => visit(fs, &path),
            }
        }
        seen.push(directory);
        assert!(seen.len() < 100, "the image has two directories");
    }
    if fs.options().access == MountAccess::ReadWrite {
        for directory in seen.iter().rev() {
            fs.create_directory(directory.join("new")).unwrap();
            fs.remove_directory(directory.join("new")).unwrap();
            let _ = fs.remove_directory(directory);
        }
    }
}

/// Reads the first and the last bytes of a file, directly and mapped.
fn read_file(fs: &Filesystem, path: &Path) {
    let file = fs.open(path).unwrap();
    let mut buffer = [0; 3 * BLOCK_LEN];
    let _ = file.metadata();
    for offset_bytes in [0, file.len_bytes().saturating_sub(5000)] {
        let len = file.read_at(&mut buffer, offset_bytes).unwrap();
        if len == 0 {
            continue;
        }
        let mapping = file
            .map(MapOptions {
                page_tables: PageTables::Software,
                protection: Protection::ReadOnly,
                offset_bytes: offset_bytes / 4096 * 4096,
                len_bytes: 4096,
            })
            .unwrap();
        let mut loaded = [0; 1];
        mapping.load(offset_bytes % 4096, &mut loaded).unwrap();
        assert_eq!(loaded[0], buffer[0]);
    }
}

/// Writes over the start of a file, makes a hole, and removes every other file.
fn change_file(fs: &Filesystem, path: &Path) {
    let file = fs.open(path).unwrap();
    file.write_at(b"changed", 0).unwrap();
    file.punch_hole(4096, 8192).unwrap();
    if path.as_os_str().len().is_multiple_of(2) {
        file.truncate(3).unwrap();
    } else {
        fs.remove_file(path).unwrap();
    }
}
