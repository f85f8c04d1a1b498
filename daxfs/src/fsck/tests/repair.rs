//! A repair makes every kind of damage good, says what it did, and leaves what is healthy as it
//! was, byte for byte.

use std::collections::BTreeMap;

use super::builder::{Builder, ROOT, TIME, run, settled};
use super::device::{TestImage, bytes_of, device_of};
use super::tree::tree_of;
use super::whole::everything;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::item::{ItemKind, Key};
use crate::format::record::Record;
use crate::format::{FileType, ImageGeometry};
use crate::fsck::{Action, NoProgress, Outcome, Refusal, Repair, check, repair};

const BLOCKS: u64 = 4096;
/// Numbers that [`everything`] gives.
const DIRECTORY: u64 = 2;
const BELOW: u64 = 3;
const FILE: u64 = 4;
const LARGE: u64 = 6;
const FRAGMENTED: u64 = 7;
const SYMLINK: u64 = 8;
const SECOND: u64 = 11;

fn base() -> Builder<'static> {
    everything(Builder::new(BLOCKS))
}

/// Repairs an image and checks that it is clean then. Gives back what is in it.
fn repaired(image: &TestImage) -> (Repair, BTreeMap<String, Vec<u8>>) {
    let device = image.device();
    let done = repair(&device, &NoProgress).unwrap();
    assert_eq!(done.outcome, Outcome::Repaired, "{:?}", done.before.issues);
    assert!(!done.before.is_clean() && !done.actions.is_empty());
    let after = done.after.as_ref().unwrap();
    assert_eq!(after.issues, [], "after {:?}", done.actions);
    assert_eq!(&check(&device, &NoProgress).unwrap(), after);
    // A second repair finds nothing to do.
    let again = repair(&device, &NoProgress).unwrap();
    assert_eq!((again.outcome, again.actions), (Outcome::Clean, vec![]));
    (done, tree_of(&device))
}

/// A kind of damage, and the paths that it may cost.
type Case = (fn(&mut Builder<'_>), &'static [&'static str]);

fn inode_key(inode: u64) -> Key {
    Key::new(inode, ItemKind::Inode, 0)
}

const CASES: &[Case] = &[
    // Items that do not decode.
    (
        |builder| builder.put(Key::new(DIRECTORY, ItemKind::Dirent, 1 << 20), vec![1]),
        &[],
    ),
    (
        |builder| builder.put(Key::new(FILE, ItemKind::DataChecksums, 1), vec![1]),
        &[],
    ),
    (
        |builder| builder.put(Key::new(0, ItemKind::Orphan, 1), vec![]),
        &[],
    ),
    // An inode that is lost comes back around its blocks, without its attributes.
    (
        |builder| builder.edit(inode_key(LARGE), |value| value[0] = 9),
        &[],
    ),
    (
        |builder| builder.edit(inode_key(FILE), |value| value[0] = 9),
        // Its attributes were in it, as far as their length goes; the content is whole.
        &[],
    ),
    (|builder| builder.remove(inode_key(DIRECTORY)), &[]),
    (|builder| builder.remove(inode_key(SYMLINK)), &[]),
    // The root.
    (|builder| builder.remove(inode_key(ROOT)), &[]),
    // Items of other kinds.
    (
        |builder| builder.put(Key::new(FILE, ItemKind::SymlinkChunk, 0), vec![b'a']),
        &[],
    ),
    // Attributes and targets.
    (
        |builder| builder.remove(Key::new(FILE, ItemKind::XattrChunk, 1)),
        &["/directory/file", "/link", "/directory/below/another link"],
    ),
    (
        |builder| builder.remove(Key::new(SYMLINK, ItemKind::SymlinkChunk, 1)),
        &["/symlink"],
    ),
    // Runs.
    (
        |builder| {
            let runs = [run(0, BLOCKS - 2, 5)];
            builder.set_runs(LARGE, &runs);
        },
        &["/large"],
    ),
    (
        |builder| {
            let value = builder.keys(FRAGMENTED, ItemKind::Extents);
            builder.edit(value[0], |value| {
                // The second item of the segment begins within the first.
                let last = value.len() - 16;
                value[last + 2..last + 4].copy_from_slice(&40_u16.to_le_bytes());
            });
        },
        &["/fragmented"],
    ),
    (
        |builder| builder.edit_inode(LARGE, |stored| stored.allocated_blocks = 1),
        &[],
    ),
    // Owners.
    (
        // All of it is used by another file, too: both keep it.
        |builder| {
            let file = builder.file(ROOT, "thief", &[]);
            builder.set_runs(file, &[run(0, 512, 3), run(7, 516, 5)]);
        },
        &[],
    ),
    (
        |builder| {
            let file = builder.file(ROOT, "thief", &[]);
            builder.set_runs(file, &[run(0, 512, 3), run(3, 512, 3)]);
        },
        &[],
    ),
    (
        |builder| {
            let keys = builder.keys(0, ItemKind::Shared);
            builder.remove(keys[0]);
        },
        &[],
    ),
    (
        |builder| {
            let key = builder.keys(SECOND, ItemKind::Extents)[0];
            // No longer marked as shared.
            builder.edit(key, |value| value[4] = 0);
        },
        &[],
    ),
    (
        |builder| {
            let key = builder.keys(0, ItemKind::Shared)[0];
            builder.count(key.position + 1, 2, 9);
        },
        &[],
    ),
    // Names.
    (
        |builder| {
            let position = builder.position(ROOT, "elsewhere");
            builder.entry_at(ROOT, position, "misplaced", FILE, FileType::File);
            builder.edit_inode(FILE, |stored| stored.links += 1);
        },
        &[],
    ),
    (
        |builder| {
            builder.link(ROOT, "large", FILE);
        },
        &[],
    ),
    (
        |builder| {
            builder.entry(ROOT, "nothing", 99, FileType::File);
        },
        &["/nothing"],
    ),
    (
        |builder| {
            builder.entry(BELOW, "root", ROOT, FileType::Directory);
        },
        &["/directory/below/root"],
    ),
    (
        |builder| {
            builder.entry(ROOT, "wrong kind", FILE, FileType::Socket);
            builder.edit_inode(FILE, |stored| stored.links += 1);
        },
        &[],
    ),
    (
        |builder| {
            builder.entry(ROOT, "second", BELOW, FileType::Directory);
        },
        &["/second"],
    ),
    (|builder| builder.orphan(99), &[]),
    (|builder| builder.orphan(FILE), &[]),
    // Links and parents.
    (
        |builder| builder.edit_inode(FILE, |stored| stored.links = 1),
        &[],
    ),
    (
        |builder| builder.edit_inode(BELOW, |stored| stored.parent = ROOT),
        &[],
    ),
];

/// The paths of `before` are in `after` with the same content, but for some.
fn assert_kept(
    before: &BTreeMap<String, Vec<u8>>,
    after: &BTreeMap<String, Vec<u8>>,
    lost: &[&str],
    what: &str,
) {
    for (path, content) in before {
        if !lost.contains(&path.as_str()) {
            let kept = after.get(path);
            assert!(kept == Some(content), "{what}: {path} is another");
        }
    }
}

#[test]
fn every_kind_of_damage_is_made_good_and_nothing_else_changes() {
    let whole = tree_of(&base().build().device());
    assert_eq!(whole.len(), 12);
    for (number, (damage, lost)) in CASES.iter().enumerate() {
        let mut builder = base();
        damage(&mut builder);
        let (_, after) = repaired(&builder.build());
        assert_kept(&whole, &after, lost, &format!("case {number}"));
    }
}

#[test]
fn what_has_no_name_goes_to_lost_and_found() {
    let mut builder = base();
    for key in builder.keys(ROOT, ItemKind::Dirent) {
        builder.remove(key);
    }
    let whole = tree_of(&base().build().device());
    let (done, after) = repaired(&builder.build());
    assert!(after["/lost+found/#6"] == whole["/large"]);
    assert!(after["/lost+found/#2/file"] == whole["/directory/file"]);
    assert!(done.actions.contains(&Action::PutIntoLostFound {
        inode: LARGE,
        name: "#6".into()
    }));
    let made = |action: &&Action| matches!(action, Action::MadeLostFound { .. });
    assert_eq!(done.actions.iter().filter(made).count(), 1);
}

#[test]
fn directories_below_themselves_come_to_lost_and_found_once() {
    let mut builder = base();
    let position = builder.position(ROOT, "directory");
    // The root names it no more; what is below it does.
    let key = Key::new(ROOT, ItemKind::Dirent, position - 1);
    builder.remove(key);
    builder.entry(BELOW, "directory", DIRECTORY, FileType::Directory);
    let (_, after) = repaired(&builder.build());
    let paths = after.keys().filter(|path| path.ends_with("/file"));
    assert_eq!(paths.count(), 1, "{:?}", after.keys());
}

#[test]
fn a_root_that_is_no_directory_gives_way() {
    let mut builder = base();
    builder.edit_inode(ROOT, |stored| {
        stored.kind = FileType::Fifo;
        stored.parent = 0;
    });
    let (_, after) = repaired(&builder.build());
    assert!(after.contains_key("/lost+found/#2/file"));
}

fn deep() -> TestImage {
    let mut builder = everything(Builder::new(BLOCKS).small_nodes());
    for file in 0..60 {
        builder.file(BELOW, &format!("file {file}"), &[(0, 1)]);
    }
    builder.build()
}

#[test]
fn a_lost_index_node_costs_nothing() {
    let image = deep();
    let whole = tree_of(&image.device());
    for node in image.nodes.iter().filter(|node| node.level > 0) {
        let mut damaged = image.clone();
        damaged.flip(node.block, 40);
        let (done, after) = repaired(&damaged);
        let salvaged = |action: &Action| matches!(action, Action::Salvaged { .. });
        assert!(done.actions.iter().any(salvaged));
        assert!(whole == after, "level {} at {}", node.level, node.block);
    }
}

#[test]
fn a_lost_index_node_costs_nothing_without_a_space_map() {
    let image = deep();
    let whole = tree_of(&image.device());
    let mut damaged = image.clone();
    let root = image.nodes.last().unwrap();
    damaged.flip(root.block, 40);
    damaged.flip(image.superblock.space_root.block, 40);
    let (_, after) = repaired(&damaged);
    assert!(whole == after);
}

#[test]
fn a_lost_leaf_costs_what_was_in_it() {
    let image = deep();
    let whole = tree_of(&image.device());
    for node in image.nodes.iter().filter(|node| node.level == 0) {
        let mut damaged = image.clone();
        // No leaf any more.
        damaged.flip(node.block, 0);
        let (_, after) = repaired(&damaged);
        // Three items are in it: at most as many inodes lose their contents or names; whatever
        // else there is is somewhere.
        let contents = after.values().collect::<Vec<_>>();
        let gone = whole.values().filter(|content| !contents.contains(content));
        assert!(gone.count() <= 3, "{node:?}");
    }
}

#[test]
fn a_damaged_space_map_is_written_anew() {
    let whole = tree_of(&base().build().device());
    for damage in 0..3 {
        let mut builder = Builder::new(BLOCKS).on_map(move |words| match damage {
            0 => words[8] = 0,
            1 => words[60] = u64::MAX,
            _ => {}
        });
        builder = everything(builder);
        let mut image = builder.build();
        if damage == 2 {
            image.flip(image.superblock.space_root.block, 40);
        }
        let (_, after) = repaired(&image);
        assert!(whole == after);
    }
}

#[test]
fn wrong_counts_and_copies_of_the_superblock_are_written_anew() {
    let mut image = base().build();
    image.edit_superblock(|superblock| {
        superblock.tree_nodes += 1;
        superblock.live_inodes -= 1;
        superblock.next_inode -= 1;
    });
    repaired(&image);
    let mut image = base().build();
    image.flip(1, 30);
    let (done, _) = repaired(&image);
    assert_eq!(done.actions, [Action::WroteSuperblock]);
}

#[test]
fn a_log_is_kept_as_far_as_it_is_whole() {
    let mut builder = base();
    let first = builder.create(ROOT, "first of the log", 20);
    builder.record(&first);
    builder.record(&Record::Map {
        inode: 20,
        file_block: 0,
        run: settled(1700, 1),
        flags: 0,
        len_bytes: 10,
        time: TIME,
    });
    builder.record(&Record::Redo {
        inode: 20,
        offset_bytes: 3,
        bytes: b"again".to_vec(),
    });
    let cut = builder.create(ROOT, "cut", 21);
    let lsn = builder.record(&cut);
    let last = builder.create(ROOT, "last", 22);
    builder.record(&last);
    builder.flip_log(lsn + 60);
    let (done, after) = repaired(&builder.build());
    assert_eq!(after["/first of the log"], b"\0\0\0again\0\0");
    assert!(!after.contains_key("/cut") && !after.contains_key("/last"));
    assert!(done.actions.contains(&Action::Replayed { records: 3 }));
    assert!(done.actions.contains(&Action::CutLog { lsn }));
}

#[test]
fn without_a_superblock_nothing_is_touched() {
    let mut image = base().build();
    image.flip(0, 30);
    image.flip(1, 30);
    let device = image.device();
    let done = repair(&device, &NoProgress).unwrap();
    assert_eq!(done.outcome, Outcome::Refused(Refusal::NoSuperblock));
    assert!(bytes_of(&device) == image.bytes);
}

#[test]
fn an_image_that_may_only_be_read_is_not_touched() {
    let mut builder = base();
    builder.edit_inode(FILE, |stored| stored.links = 1);
    let mut image = builder.build();
    image.edit_superblock(|superblock| superblock.features.read_only_compatible = 2);
    let device = image.device();
    let done = repair(&device, &NoProgress).unwrap();
    assert_eq!(done.outcome, Outcome::Refused(Refusal::UnknownFeatures));
    assert!(bytes_of(&device) == image.bytes);
}

#[test]
fn without_room_for_new_metadata_nothing_is_touched() {
    let mut builder = Builder::new(1024);
    builder.file(ROOT, "file", &[(0, 510)]);
    // All but the block of the one leaf.
    builder.set_runs(2, &[run(0, 512, 511)]);
    builder.edit_inode(2, |stored| stored.links = 7);
    let image = builder.build();
    let device = image.device();
    let done = repair(&device, &NoProgress).unwrap();
    assert_eq!(done.outcome, Outcome::Refused(Refusal::NoSpace));
    assert!(bytes_of(&device) == image.bytes);
}

#[test]
fn a_crash_within_a_repair_leaves_the_old_image_or_the_new() {
    let mut builder = base();
    builder.edit_inode(FILE, |stored| stored.links = 1);
    let image = builder.build();
    let before = image.report();
    let device = image.device();
    let done = repair(&device, &NoProgress).unwrap();
    let after = bytes_of(&device);
    let superblocks = 2 * BLOCK_BYTES as usize;
    // All but the superblocks was written: the old image, with the very same issues.
    let mut crashed = after.clone();
    crashed[..superblocks].copy_from_slice(&image.bytes[..superblocks]);
    let found = check(&device_of(&crashed), &NoProgress).unwrap();
    assert_eq!(found, before);
    // The first copy was written as well: the new image.
    crashed[..superblocks / 2].copy_from_slice(&after[..superblocks / 2]);
    let found = check(&device_of(&crashed), &NoProgress).unwrap();
    assert_eq!(found, done.after.unwrap());
}

#[test]
fn the_space_map_has_two_places() {
    let geometry = ImageGeometry::for_blocks(BLOCKS);
    let mut builder = base();
    builder.edit_inode(FILE, |stored| stored.links = 1);
    let image = builder.build();
    let device = image.device();
    repair(&device, &NoProgress).unwrap();
    let [first, _] = geometry.space_slots(0, 0);
    let at = (first * BLOCK_BYTES) as usize;
    let old = at..at + BLOCK_BYTES as usize;
    assert!(bytes_of(&device)[old.clone()] == image.bytes[old]);
}
