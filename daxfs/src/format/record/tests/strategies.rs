//! Arbitrary valid records of every kind.

use std::ops::Range;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::format::Timestamp;
use crate::format::geometry::{
    MAXIMUM_BLOCKS, MAXIMUM_FILE_BLOCKS, MAXIMUM_FILE_BYTES, blocks_for_bytes,
};
use crate::format::item::encode_xattrs;
use crate::format::record::{
    Disposition, Entry, FileType, Lsn, Record, SettledRun, ShiftDirection, Stamp,
};
use crate::run::Run;

/// The kinds of record there are.
pub(crate) const KINDS: Range<u16> = 1..20;

pub(crate) fn stamp() -> impl Strategy<Value = Stamp> {
    (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(lsn, epoch, durable_lsn)| Stamp {
        lsn: Lsn::new(lsn),
        epoch,
        durable_lsn: Lsn::new(durable_lsn),
    })
}

pub(crate) fn record() -> BoxedStrategy<Record> {
    KINDS.prop_flat_map(record_of_kind).boxed()
}

pub(crate) fn record_of_kind(kind: u16) -> BoxedStrategy<Record> {
    match kind {
        1 => create().boxed(),
        2..=5 => of_names(kind),
        6..=8 => of_attributes(kind),
        9..=13 => of_blocks(kind),
        _ => of_the_rest(kind),
    }
}

fn create() -> impl Strategy<Value = Record> {
    let numbers = (number(), number(), any::<u32>(), any::<u32>(), any::<u64>());
    let rest = (
        select(&FileType::ALL[..]),
        0..=0o7777_u16,
        time(),
        vec(1..=255_u8, 1..4096),
        any::<bool>(),
    );
    let places = (position(), name());
    (numbers, rest, places, xattrs()).prop_map(|(numbers, rest, (position, name), xattrs)| {
        let (parent, inode, uid, gid, rdev) = numbers;
        let (kind, mode, time, target, has_name) = rest;
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        let links = if kind == FileType::Directory { 2 } else { 1 };
        Record::Create {
            parent,
            position: if has_name { position } else { 0 },
            name: if has_name { name } else { Vec::new() },
            inode,
            kind,
            mode,
            uid,
            gid,
            rdev: if is_device { rdev } else { 0 },
            time,
            target: match kind {
                FileType::Symlink => target,
                _ => Vec::new(),
            },
            links: if has_name { links } else { 0 },
            xattrs: match kind {
                FileType::Symlink => Vec::new(),
                _ => xattrs,
            },
        }
    })
}

/// Attributes that a new inode of any kind but a link can begin with.
fn xattrs() -> impl Strategy<Value = Vec<u8>> {
    let values = btree_map(vec(b'a'..=b'z', 1..20), vec(any::<u8>(), 0..100), 0..4);
    values.prop_map(|values| encode_xattrs(&values))
}

/// An access control list that says no more than a mode; or none.
fn acl() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        (0..8_u8, 0..8_u8, 0..8_u8).prop_map(|(owner, group, others)| {
            let entry = |tag, permissions| [tag, 0, permissions, 0, 255, 255, 255, 255];
            let entries = [entry(1, owner), entry(4, group), entry(32, others)];
            [&[2, 0, 0, 0][..], &entries.concat()].concat()
        }),
    ]
}

fn of_names(kind: u16) -> BoxedStrategy<Record> {
    let values = (entry(), entry(), name(), disposition(), time());
    let replaced = option::of(number());
    (values, replaced)
        .prop_map(move |(values, replaced)| {
            let (first, second, name, disposition, time) = values;
            let Entry {
                directory,
                position,
                inode,
            } = first;
            match kind {
                2 => Record::Link {
                    directory,
                    position,
                    name,
                    inode,
                    time,
                },
                3 => Record::Unlink {
                    directory,
                    position,
                    inode,
                    time,
                    disposition,
                },
                4 => Record::Rename {
                    from_directory: directory,
                    from_position: position,
                    to_directory: second.directory,
                    to_position: second.position,
                    to_name: name,
                    inode,
                    replaced_inode: replaced.unwrap_or_default(),
                    disposition: replaced.map_or(Disposition::Kept, |_| disposition),
                    time,
                },
                _ => Record::Exchange {
                    first,
                    second,
                    time,
                },
            }
        })
        .boxed()
}

fn of_attributes(kind: u16) -> BoxedStrategy<Record> {
    let owners = (
        option::of(0..=0o7777_u16),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
    );
    let times = [option::of(time()), option::of(time()), option::of(time())];
    let xattr = (vec(1..=255_u8, 1..256), vec(any::<u8>(), 0..2000), time());
    (number(), owners, times, xattr, option::of(acl()))
        .prop_map(move |(inode, owners, times, xattr, access_acl)| {
            let ((mode, uid, gid), [accessed, modified, changed]) = (owners, times);
            let (name, value, time) = xattr;
            match kind {
                6 => Record::SetAttributes {
                    inode,
                    mode,
                    uid,
                    gid,
                    accessed,
                    modified,
                    changed,
                    access_acl,
                },
                7 => Record::SetXattr {
                    inode,
                    name,
                    value,
                    time,
                },
                _ => Record::RemoveXattr { inode, name, time },
            }
        })
        .boxed()
}

fn of_blocks(kind: u16) -> BoxedStrategy<Record> {
    let numbers = (number(), file_blocks(), 1..1_u64 << 39, 0..=1_u32);
    (numbers, len_bytes(), time())
        .prop_map(
            move |((inode, file_blocks, block, flags), len_bytes, time)| {
                let file_block = file_blocks.start;
                let run = Run::new(block, file_blocks.end - file_block);
                assert!(run.end() <= MAXIMUM_BLOCKS);
                let run = SettledRun::recorded(run);
                match kind {
                    9 => Record::Map {
                        inode,
                        file_block,
                        run,
                        flags,
                        len_bytes,
                        time,
                    },
                    10 => Record::Unmap {
                        inode,
                        file_blocks,
                        time,
                    },
                    11 => Record::SetLength {
                        inode,
                        len_bytes,
                        kept_blocks: blocks_for_bytes(len_bytes).next_multiple_of(512),
                        time,
                    },
                    12 => Record::Extend {
                        inode,
                        len_bytes,
                        time,
                    },
                    _ => Record::Replace {
                        inode,
                        file_block,
                        runs: cut(run, flags),
                        len_bytes,
                        time,
                    },
                }
            },
        )
        .boxed()
}

/// The run in one part or in two.
fn cut(run: SettledRun, parts: u32) -> Vec<SettledRun> {
    let (first, rest) = run.split_at(run.run().len_blocks / 2);
    match parts {
        1 if first.run().len_blocks > 0 => vec![rest, first],
        _ => vec![run],
    }
}

fn of_the_rest(kind: u16) -> BoxedStrategy<Record> {
    let numbers = (number(), number(), file_blocks(), any::<u64>());
    let rest = (
        len_bytes(),
        time(),
        vec(any::<u8>(), 1..5000),
        select(&ShiftDirection::ALL[..]),
    );
    (numbers, rest)
        .prop_map(move |(numbers, (len_bytes, time, bytes, direction))| {
            let (inode, other, file_blocks, seed) = numbers;
            let file_block = file_blocks.start;
            let len_blocks = file_blocks.end - file_block;
            match kind {
                14 => Record::Share {
                    from_inode: inode,
                    from_block: file_block,
                    to_inode: other,
                    to_block: seed % (MAXIMUM_FILE_BLOCKS - len_blocks + 1),
                    len_blocks,
                    len_bytes,
                    time,
                },
                15 => Record::Shift {
                    inode,
                    file_block,
                    len_blocks,
                    direction,
                    len_bytes,
                    time,
                },
                16 => Record::RemoveInode { inode },
                18 => Record::RedoDone { inode },
                19 => Record::ForgetChecksums {
                    inode,
                    file_blocks: file_block..file_block + len_blocks,
                },
                _ => Record::Redo {
                    inode,
                    offset_bytes: seed % (MAXIMUM_FILE_BYTES - bytes.len() as u64 + 1),
                    bytes,
                },
            }
        })
        .boxed()
}

/// A number of an inode.
fn number() -> impl Strategy<Value = u64> {
    1..=u64::MAX
}

fn position() -> impl Strategy<Value = u64> {
    1_u64 << 15..1 << 63
}

fn entry() -> impl Strategy<Value = Entry> {
    (number(), position(), number()).prop_map(|(directory, position, inode)| Entry {
        directory,
        position,
        inode,
    })
}

fn disposition() -> impl Strategy<Value = Disposition> {
    select(&Disposition::ALL[..])
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no NUL, no slash", |b| *b != 0 && *b != b'/');
    vec(byte, 1..=255).prop_filter("not . or ..", |name| name != b"." && name != b"..")
}

fn len_bytes() -> impl Strategy<Value = u64> {
    0..=MAXIMUM_FILE_BYTES
}

fn file_blocks() -> impl Strategy<Value = Range<u64>> {
    (0..MAXIMUM_FILE_BLOCKS)
        .prop_flat_map(|start| (Just(start), start + 1..=MAXIMUM_FILE_BLOCKS))
        .prop_map(|(start, end)| start..end)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| Timestamp {
        seconds,
        nanoseconds,
    })
}

/// One value, the same in every run.
pub(crate) fn example<T>(strategy: impl Strategy<Value = T>) -> T {
    let mut runner = TestRunner::deterministic();
    let tree = strategy.new_tree(&mut runner);
    tree.expect("no filters that reject all").current()
}
