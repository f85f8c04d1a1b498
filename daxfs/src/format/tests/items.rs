//! Items read back as they were written, have one form only, and no bytes do harm.

use proptest::collection::vec;
use proptest::prelude::*;

use super::examples::*;
use crate::format::item::chunk::chunks;
use crate::format::item::dirent::{
    DIRENT_POSITION_LIMIT, FIRST_DIRENT_POSITION, dirent_name_problem,
};
use crate::format::item::extents::{decode_extents, encode_extents, segment_keys};
use crate::format::item::orphan::{decode_orphan, orphan_key};
use crate::format::item::symlink::{check_target, target_chunks};
use crate::format::item::xattr::{decode_xattrs, encode_xattrs, xattr_blob_len, xattr_chunks};
use crate::format::item::{
    DirectoryHash, FileType, INODE_LIMIT, ItemKind, Key, MAXIMUM_VALUE_BYTES, Sharing,
    StoredChecksums, StoredDirent, StoredInode, StoredRun, StoredSharedRun,
};
use crate::format::{FormatError, Problem, Structure};

/// Decodes `value` as everything it could be; what decodes must encode to the same bytes again.
fn has_one_form(position: u64, value: &[u8]) {
    if let Ok(inode) = StoredInode::decode(value) {
        assert_eq!(inode.encode().as_slice(), value);
    }
    if let Ok(dirent) = StoredDirent::decode(value) {
        assert_eq!(dirent.encode(), value);
    }
    if let Ok(runs) = decode_extents(position, value) {
        assert_eq!(
            encode_extents(position / 512, &runs),
            [(position, value.to_vec())]
        );
    }
    if let Ok(xattrs) = decode_xattrs(value) {
        assert_eq!(encode_xattrs(&xattrs), value);
    }
    if let Ok(run) = StoredSharedRun::decode(position, value) {
        assert_eq!(
            (run.device_block, run.encode().as_slice()),
            (position, value)
        );
    }
    if let Ok(checksums) = StoredChecksums::decode(position, value) {
        assert_eq!(
            (checksums.first_block, checksums.encode().as_slice()),
            (position, value)
        );
    }
    if let Ok(inode) = decode_orphan(position, value) {
        assert_eq!((orphan_key(inode).position, value), (position, &[][..]));
    }
    let _ = check_target(value);
}

proptest! {
    #[test]
    fn inodes_read_back(inode in inode()) {
        let value = inode.encode();
        prop_assert_eq!(StoredInode::decode(&value), Ok(inode));
    }

    #[test]
    fn entries_read_back(inode in 1..INODE_LIMIT, kind in file_type(), name in name()) {
        let dirent = StoredDirent { inode, kind, name: &name };
        let value = dirent.encode();
        prop_assert_eq!(StoredDirent::decode(&value), Ok(dirent));
    }

    #[test]
    fn extents_read_back((segment, runs) in runs()) {
        let items = encode_extents(segment, &runs);
        let mut found = Vec::new();
        for (position, value) in &items {
            prop_assert!(value.len() <= MAXIMUM_VALUE_BYTES);
            let key = Key::new(9, ItemKind::Extents, *position);
            prop_assert!(segment_keys(9, segment).contains(&key));
            found.extend(decode_extents(*position, value).unwrap());
        }
        prop_assert_eq!(found, runs);
    }

    #[test]
    fn shared_runs_read_back(run in shared_run()) {
        let found = StoredSharedRun::decode(run.device_block, &run.encode());
        prop_assert_eq!(found, Ok(run));
    }

    #[test]
    fn checksums_read_back(group in 0..1_u64 << 25, bits in 1..=u128::MAX, seed in any::<u32>()) {
        let sums = (0..bits.count_ones()).map(|n| seed.wrapping_mul(n | 1)).collect();
        let stored = StoredChecksums { first_block: group * 128, bits, sums };
        let value = stored.encode();
        prop_assert!(value.len() <= MAXIMUM_VALUE_BYTES);
        let blocks: Vec<_> = stored.blocks().map(|(block, _)| block).collect();
        prop_assert!(blocks.iter().all(|block| bits >> (block - group * 128) & 1 == 1));
        prop_assert_eq!(blocks.len(), bits.count_ones() as usize);
        prop_assert_eq!(StoredChecksums::decode(group * 128, &value), Ok(stored));
    }

    #[test]
    fn attributes_read_back_through_their_chunks(xattrs in xattrs()) {
        let blob = encode_xattrs(&xattrs);
        prop_assert_eq!(blob.len(), xattr_blob_len(&xattrs));
        let mut join = xattr_chunks(blob.len() as u32);
        for (position, chunk) in chunks(&blob) {
            join.push(position, chunk).unwrap();
        }
        prop_assert_eq!(decode_xattrs(&join.finish().unwrap()), Ok(xattrs));
    }

    #[test]
    fn chunks_that_are_missing_twisted_or_too_many_are_found(
        bytes in vec(any::<u8>(), 1..6000),
        which in any::<prop::sample::Index>(),
    ) {
        let all: Vec<_> = chunks(&bytes).collect();
        let which = which.index(all.len());
        let mut join = target_chunks(bytes.len() as u64);
        for (position, chunk) in all[..which].iter() {
            join.push(*position, chunk).unwrap();
        }
        let (position, chunk) = all[which];
        join.push(position + 1, chunk).unwrap_err();
        join.push(position, &chunk[..chunk.len() - 1]).unwrap_err();
        let mut whole = target_chunks(bytes.len() as u64);
        for (position, chunk) in &all {
            whole.push(*position, chunk).unwrap();
        }
        whole.push(all.len() as u64, b"x").unwrap_err();
        prop_assert_eq!(whole.finish().unwrap(), bytes);
        join.finish().unwrap_err();
    }

    #[test]
    fn arbitrary_values_do_no_harm(
        value in vec(any::<u8>(), 0..200),
        position in any::<u64>(),
    ) {
        has_one_form(position, &value);
    }

    /// Values that are nearly right reach further into the decoders than random ones.
    #[test]
    fn damaged_values_do_no_harm(
        inode in inode(),
        name in name(),
        (segment, runs) in runs(),
        xattrs in xattrs(),
        shared in shared_run(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let dirent = StoredDirent { inode: 5, kind: FileType::Fifo, name: &name };
        let extents = encode_extents(segment, &runs).remove(0);
        let values = [
            (0, inode.encode().to_vec()),
            (FIRST_DIRENT_POSITION, dirent.encode()),
            extents,
            (0, encode_xattrs(&xattrs)),
            (shared.device_block, shared.encode().to_vec()),
        ];
        for (position, mut value) in values {
            has_one_form(position, &value);
            has_one_form(position, &value[..cut.index(value.len() + 1)]);
            for (at, byte) in damage.iter().filter(|_| !value.is_empty()).collect::<Vec<_>>() {
                let at = at.index(value.len());
                value[at] = *byte;
                has_one_form(position, &value);
            }
        }
    }

    #[test]
    fn nothing_lies_between_a_key_and_its_successor(a in key(), b in key()) {
        prop_assert!(a < a.successor() && a.alone().contains(&a));
        prop_assert!(b <= a || b >= a.successor());
        prop_assert!(Key::MIN <= a && a < Key::MAX);
        prop_assert_eq!(Key::range_of_inode(a.inode).contains(&b), a.inode == b.inode);
        let same_kind = (a.inode, a.kind) == (b.inode, b.kind);
        prop_assert_eq!(Key::range_of_kind(a.inode, a.kind).contains(&b), same_kind);
    }

    #[test]
    fn keys_are_ordered_by_inode_then_kind_then_position(a in key(), b in key()) {
        let parts = |key: Key| (key.inode, key.kind as u8, key.position);
        prop_assert_eq!(a.cmp(&b), parts(a).cmp(&parts(b)));
    }

    #[test]
    fn names_have_positions_that_no_other_hash_has(
        key in any::<[u8; 16]>(),
        a in name(),
        b in name(),
    ) {
        let hash = DirectoryHash::new(&key);
        let (a, b) = (hash.position_range(&a), hash.position_range(&b));
        prop_assert_eq!(a.end - a.start, 1 << 15);
        prop_assert!(a.start >= FIRST_DIRENT_POSITION && a.end <= DIRENT_POSITION_LIMIT);
        prop_assert!(a == b || a.end <= b.start || b.end <= a.start);
    }
}

/// The hash is part of the format: these are its values for ever.
#[test]
fn positions_of_names_are_those_of_version_2() {
    let hash = DirectoryHash::new(b"0123456789abcdef");
    let starts = [&b"a"[..], b"name", &[0xff; 255]].map(|name| hash.position_range(name).start);
    assert_eq!(starts, GOLDEN_POSITIONS);
    // Another image, other positions.
    let other = DirectoryHash::new(b"0123456789abcdeg");
    assert_ne!(other.position_range(b"name").start, GOLDEN_POSITIONS[1]);
}

const GOLDEN_POSITIONS: [u64; 3] = [
    5_276_369_934_304_706_560,
    8_924_685_198_602_469_376,
    6_168_801_187_596_566_528,
];

#[test]
fn the_last_key_of_a_kind_is_followed_by_the_next_kind() {
    let last = Key::new(7, ItemKind::Dirent, u64::MAX);
    assert_eq!(last.successor(), Key::new(7, ItemKind::Extents, 0));
    let last = Key::new(7, ItemKind::DataChecksums, u64::MAX);
    assert_eq!(last.successor(), Key::first_of(8));
    assert_eq!(Key::MAX.successor(), Key::MAX);
}

fn invalid(structure: Structure, field: &'static str, rule: &'static str) -> FormatError {
    FormatError::new(structure, Problem::Invalid { field, rule })
}

#[test]
fn inodes_whose_fields_do_not_fit_their_kind_are_found() {
    let file = StoredInode::decode(&super::layout::inode().encode()).unwrap();
    let fails = |change: fn(&mut StoredInode), expected: &str| {
        let mut inode = file.clone();
        change(&mut inode);
        let error = StoredInode::decode(&inode.encode())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    fails(|inode| inode.mode = 0o10000, "mode");
    fails(|inode| inode.parent = 1, "parent");
    fails(|inode| inode.rdev = 1, "rdev");
    fails(|inode| inode.flags = 2, "flags");
    fails(|inode| inode.size_bytes = (1 << 44) + 1, "size_bytes");
    fails(|inode| inode.xattr_bytes = 65537, "xattr_bytes");
    fails(
        |inode| inode.modified.nanoseconds = 1_000_000_000,
        "modified",
    );
    fails(|inode| inode.kind = FileType::Directory, "size_bytes");
    fails(|inode| inode.kind = FileType::Fifo, "size_bytes");
    let mut bytes = file.encode();
    bytes[0] = 8;
    let error = StoredInode::decode(&bytes).unwrap_err();
    assert_eq!(
        error,
        invalid(Structure::Inode, "kind", "is no kind of inode (1 to 7)")
    );
    StoredInode::decode(&file.encode()[..119]).unwrap_err();
}

#[test]
fn runs_out_of_order_or_in_two_pieces_are_found() {
    let run = |file_block, device_block| StoredRun {
        file_block,
        device_block,
        len_blocks: 4,
        sharing: Sharing::Exclusive,
    };
    let value_of = |runs: &[StoredRun]| {
        let one = |run: &StoredRun| encode_extents(0, std::slice::from_ref(run)).remove(0).1;
        runs.iter().flat_map(one).collect::<Vec<u8>>()
    };
    decode_extents(8, &value_of(&[run(8, 600), run(12, 700)])).unwrap();
    let errors = [
        (
            8,
            vec![run(8, 600), run(11, 700)],
            "is not past the run before",
        ),
        (
            8,
            vec![run(8, 600), run(12, 604)],
            "continues the one before",
        ),
        (9, vec![run(8, 600)], "position is 0x9, expected 0x8"),
        (8, vec![run(8, 511)], "device_block"),
    ];
    for (position, runs, expected) in errors {
        let error = decode_extents(position, &value_of(&runs))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    let past_the_segment = StoredRun {
        file_block: 8,
        len_blocks: 505,
        ..run(8, 600)
    };
    let mut value = value_of(&[run(8, 600)]);
    value[2..4].copy_from_slice(&(past_the_segment.len_blocks as u16).to_le_bytes());
    let error = decode_extents(8, &value).unwrap_err().to_string();
    assert!(error.contains("len_blocks"), "{error}");
    decode_extents(0, &[]).unwrap_err();
}

#[test]
fn attributes_out_of_order_are_found() {
    let entry = |name: &[u8]| [&[name.len() as u8, 1, 0, 0, 0], name, b"v"].concat();
    decode_xattrs(&[entry(b"a"), entry(b"b")].concat()).unwrap();
    for second in [b"a", b"A"] {
        let error = decode_xattrs(&[entry(b"a"), entry(second)].concat()).unwrap_err();
        assert_eq!(error.entry, Some(1));
        assert!(error.to_string().contains("does not come after"), "{error}");
    }
    let cut = decode_xattrs(&entry(b"a")[..6]).unwrap_err();
    assert!(cut.to_string().contains("runs past the end"), "{cut}");
}

#[test]
fn names_and_targets_that_are_none_are_told_apart() {
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0", &[b'x'; 256]] {
        assert!(dirent_name_problem(name).is_some(), "{name:?}");
    }
    assert_eq!(dirent_name_problem(b"..."), None);
    check_target(b"../a//b").unwrap();
    check_target(&[b'x'; 4095]).unwrap();
    for target in [&b""[..], b"a\0", &[b'x'; 4096]] {
        check_target(target).unwrap_err();
    }
}

#[test]
fn orphans_are_never_the_root() {
    assert_eq!(orphan_key(2), Key::new(0, ItemKind::Orphan, 2));
    assert_eq!(decode_orphan(2, b""), Ok(2));
    decode_orphan(1, b"").unwrap_err();
    decode_orphan(2, b"x").unwrap_err();
}
