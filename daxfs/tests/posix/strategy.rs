//! Random operations on few names, so that they meet.

use std::ops::Range;

use daxfs::{Length, RenameMode, SetMode};
use proptest::prelude::*;

use crate::acl;
use crate::operation::{Last, Operation, Path, SLOTS, Special, Stop, Time};

/// Operations on names and what they lead to.
pub(crate) fn naming() -> impl Strategy<Value = Operation> {
    prop_oneof![
        24 => changing_names(),
        6 => looking(),
        1 => the_whole(),
    ]
}

/// All operations.
pub(crate) fn anything() -> impl Strategy<Value = Operation> {
    prop_oneof![
        16 => changing_names(),
        6 => looking(),
        10 => attributes(),
        3 => access_control(),
        18 => content(),
        2 => the_whole(),
    ]
}

fn changing_names() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (slot(), path(), mode())
            .prop_map(|(slot, path, mode)| Operation::Create { slot, path, mode }),
        1 => (slot(), path(), mode()).prop_map(|(slot, directory, mode)| {
            Operation::CreateAnonymous { slot, directory, mode }
        }),
        5 => (path(), mode()).prop_map(|(path, mode)| Operation::CreateDirectory { path, mode }),
        3 => (target(), path())
            .prop_map(|(target, path)| Operation::CreateSymbolicLink { target, path }),
        1 => (path(), special(), mode())
            .prop_map(|(path, special, mode)| Operation::CreateSpecial { path, special, mode }),
        2 => (path(), path()).prop_map(|(existing, new)| Operation::HardLink { existing, new }),
        1 => (slot(), path()).prop_map(|(slot, new)| Operation::LinkFile { slot, new }),
        6 => (path(), path(), rename_mode())
            .prop_map(|(from, to, mode)| Operation::Rename { from, to, mode }),
        2 => path().prop_map(|path| Operation::RemoveFile { path }),
        2 => path().prop_map(|path| Operation::RemoveDirectory { path }),
    ]
}

fn looking() -> impl Strategy<Value = Operation> {
    prop_oneof![
        path().prop_map(|path| Operation::ReadDirectory { path }),
        path().prop_map(|path| Operation::ReadLink { path }),
        (path(), last()).prop_map(|(path, last)| Operation::Status { path, last }),
        slot().prop_map(|slot| Operation::FileStatus { slot }),
        (slot(), path()).prop_map(|(slot, path)| Operation::Open { slot, path }),
    ]
}

/// Access control lists and what changes them. Where the host has none, there are no operations on
/// names of theirs.
fn access_control() -> impl Strategy<Value = Operation> {
    let name = || prop::sample::select(vec![acl::ACCESS, acl::DEFAULT]);
    let change = prop_oneof![
        6 => (path(), name(), acl::any(), set_mode()).prop_map(|(path, name, value, mode)| {
            Operation::SetExtended { path, name: name.into(), value, mode }
        }),
        2 => (path(), name()).prop_map(|(path, name)| {
            Operation::RemoveExtended { path, name: name.into() }
        }),
        2 => (path(), name()).prop_map(|(path, name)| {
            Operation::GetExtended { path, name: name.into() }
        }),
        3 => (path(), mode())
            .prop_map(|(path, mode)| Operation::SetMode { path, last: Last::Follow, mode }),
        2 => (path(), mode()).prop_map(|(path, mode)| Operation::CreateDirectory { path, mode }),
    ];
    change.prop_map(|operation| {
        if acl::are_kept() {
            operation
        } else {
            Operation::Checkpoint
        }
    })
}

fn attributes() -> impl Strategy<Value = Operation> {
    let owner = || prop_oneof![Just(None), (0..3u32).prop_map(Some), Just(Some(70_000))];
    let some_owner = (owner(), owner()).prop_filter("nothing to set", |(uid, gid)| {
        // `chown(-1, -1)` has no counterpart: nothing is set.
        uid.is_some() || gid.is_some()
    });
    let times = (prop::option::of(time()), prop::option::of(time()))
        .prop_filter("nothing to set", |(accessed, modified)| {
            accessed.is_some() || modified.is_some()
        });
    prop_oneof![
        (path(), last(), mode()).prop_map(|(path, last, mode)| Operation::SetMode {
            path,
            last,
            mode
        }),
        (path(), last(), some_owner).prop_map(|(path, last, (uid, gid))| {
            Operation::SetOwner {
                path,
                last,
                uid,
                gid,
            }
        }),
        (path(), last(), times).prop_map(|(path, last, (accessed, modified))| {
            Operation::SetTimes {
                path,
                last,
                accessed,
                modified,
            }
        }),
        (path(), attribute_name()).prop_map(|(path, name)| Operation::GetExtended { path, name }),
        path().prop_map(|path| Operation::ListExtended { path }),
        (path(), attribute_name(), attribute_value(), set_mode()).prop_map(
            |(path, name, value, mode)| Operation::SetExtended {
                path,
                name,
                value,
                mode
            }
        ),
        (path(), attribute_name())
            .prop_map(|(path, name)| Operation::RemoveExtended { path, name }),
    ]
}

fn content() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (slot(), path()).prop_map(|(slot, path)| Operation::Open { slot, path }),
        2 => slot().prop_map(|slot| Operation::Close { slot }),
        24 => using(0..SLOTS, &ROOM),
        3 => copying(0..SLOTS),
    ]
}

/// Operations on the content of two files that are open from the start.
pub(crate) fn using_files() -> impl Strategy<Value = Operation> {
    prop_oneof![
        30 => using(0..2, &ROOM),
        5 => copying(0..2),
        1 => Just(Operation::Checkpoint),
    ]
}

/// The same but for those after which the two see holes in different places.
pub(crate) fn making_holes() -> impl Strategy<Value = Operation> {
    prop_oneof![30 => using(0..2, &HOLES), 1 => Just(Operation::Checkpoint)]
}

fn using(slots: Range<usize>, room: &'static [Room]) -> impl Strategy<Value = Operation> {
    let slot = || slots.clone();
    prop_oneof![
        4 => (slot(), offset(), len(), 1..=255u8)
            .prop_map(|(slot, at, len, byte)| Operation::Write { slot, at, len, byte }),
        2 => (slot(), len(), 1..=255u8)
            .prop_map(|(slot, len, byte)| Operation::Append { slot, len, byte }),
        3 => (slot(), offset(), len())
            .prop_map(|(slot, at, len)| Operation::Read { slot, at, len }),
        2 => (slot(), offset(), lens(), 1..=255u8)
            .prop_map(|(slot, at, lens, byte)| Operation::WriteVectored { slot, at, lens, byte }),
        1 => (slot(), lens(), 1..=255u8)
            .prop_map(|(slot, lens, byte)| Operation::AppendVectored { slot, lens, byte }),
        2 => (slot(), offset(), lens())
            .prop_map(|(slot, at, lens)| Operation::ReadVectored { slot, at, lens }),
        2 => (slot(), offset()).prop_map(|(slot, len)| Operation::Truncate { slot, len }),
        7 => (slot(), place(), prop::sample::select(room))
            .prop_map(|(slot, (at, len), room)| room(slot, at, len)),
        2 => (slot(), offset()).prop_map(|(slot, at)| Operation::SeekData { slot, at }),
        2 => (slot(), offset()).prop_map(|(slot, at)| Operation::SeekHole { slot, at }),
        1 => slot().prop_map(|slot| Operation::FileStatus { slot }),
        1 => slot().prop_map(|slot| Operation::Sync { slot }),
    ]
}

/// From one file to another or to itself: as often as not to the same place within a block.
fn copying(slots: Range<usize>) -> impl Strategy<Value = Operation> {
    let block = || (0..8u64).prop_map(|block| block * 4096);
    let places = prop_oneof![
        (block(), block()),
        offset().prop_map(|at| (at, at)),
        (offset(), offset()),
    ];
    let lens = prop_oneof![len(), Just(5 * 4096)];
    (slots.clone(), places, slots, lens).prop_map(|(slot, (at, to_at), to, len)| {
        Operation::CopyRange {
            slot,
            at,
            to,
            to_at,
            len,
        }
    })
}

/// Where room is made or taken away: often whole blocks, as much of it demands.
fn place() -> impl Strategy<Value = (u64, u64)> {
    let blocks = || (0..8u64).prop_map(|block| block * 4096);
    prop_oneof![
        2 => (blocks(), blocks()),
        1 => (offset(), len().prop_map(|len| len as u64)),
    ]
}

type Room = fn(usize, u64, u64) -> Operation;

const ROOM: [Room; 7] = [
    |slot, at, len| Operation::Allocate {
        slot,
        at,
        len,
        length: Length::Grow,
    },
    |slot, at, len| Operation::Allocate {
        slot,
        at,
        len,
        length: Length::Keep,
    },
    |slot, at, len| Operation::ZeroRange {
        slot,
        at,
        len,
        length: Length::Grow,
    },
    |slot, at, len| Operation::ZeroRange {
        slot,
        at,
        len,
        length: Length::Keep,
    },
    HOLES[0],
    HOLES[1],
    HOLES[2],
];

const HOLES: [Room; 3] = [
    |slot, at, len| Operation::PunchHole { slot, at, len },
    |slot, at, len| Operation::CollapseRange { slot, at, len },
    |slot, at, len| Operation::InsertRange { slot, at, len },
];

fn the_whole() -> impl Strategy<Value = Operation> {
    prop_oneof![
        Just(Operation::Checkpoint),
        Just(Operation::Stop(Stop::Unmount)),
        Just(Operation::Stop(Stop::Drop)),
        Just(Operation::Stop(Stop::Crash)),
    ]
}

fn slot() -> impl Strategy<Value = usize> {
    0..SLOTS
}

/// A path that is often there: few names, few steps.
fn path() -> impl Strategy<Value = Path> {
    let steps = prop_oneof![
        12 => prop::collection::vec(plain_name(), 1..2),
        10 => prop::collection::vec(plain_name(), 2..4),
        6 => prop::collection::vec(any_name(), 0..6),
    ];
    let end = prop_oneof![24 => Just(""), 2 => Just("/"), 1 => Just("/."), 1 => Just("/..")];
    let whole = (steps, end).prop_map(|(steps, end)| format!("/{}{end}", steps.join("/")));
    prop_oneof![100 => whole, 1 => Just(String::new())].prop_map(Path)
}

fn plain_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(String::from)
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => plain_name(),
        3 => Just("..".into()),
        1 => Just(".".into()),
        1 => Just(String::new()),
        1 => Just("n".repeat(255)),
        1 => Just("n".repeat(256)),
        1 => Just("\u{e9}t\u{e9} 1".into()),
    ]
}

/// Where a symbolic link leads.
fn target() -> impl Strategy<Value = Path> {
    let relative = path().prop_map(|Path(path)| Path(path.trim_start_matches('/').into()));
    prop_oneof![
        20 => relative,
        10 => path(),
        1 => Just("x".repeat(4095)).prop_map(Path),
        1 => Just("x".repeat(4096)).prop_map(Path),
    ]
}

fn mode() -> impl Strategy<Value = u16> {
    prop_oneof![
        4 => Just(0o755),
        2 => Just(0o640),
        2 => Just(0o2775),
        1 => Just(0o4711),
        1 => Just(0o6755),
        1 => Just(0o1777),
        1 => 0..0o10000u16,
    ]
}

fn special() -> impl Strategy<Value = Special> {
    prop_oneof![
        Just(Special::Fifo),
        Just(Special::Socket),
        (0..4096u32, 0..(1u32 << 20))
            .prop_map(|(major, minor)| Special::Character { major, minor }),
        (0..4096u32, 0..(1u32 << 20)).prop_map(|(major, minor)| Special::Block { major, minor }),
    ]
}

fn rename_mode() -> impl Strategy<Value = RenameMode> {
    prop_oneof![
        3 => Just(RenameMode::Replace),
        1 => Just(RenameMode::NoReplace),
        1 => Just(RenameMode::Exchange),
    ]
}

fn last() -> impl Strategy<Value = Last> {
    prop_oneof![Just(Last::Follow), Just(Last::Keep)]
}

/// Never in the years around the test.
fn time() -> impl Strategy<Value = Time> {
    let seconds = prop_oneof![
        Just(0),
        Just(-1),
        Just(-2_000_000_000),
        -2_000_000_000..1_000_000_000i64,
        Just(5_000_000_000),
    ];
    let nanoseconds = prop_oneof![Just(0), Just(1), Just(999_999_999), 0..1_000_000_000u32];
    (seconds, nanoseconds).prop_map(|(seconds, nanoseconds)| Time {
        seconds,
        nanoseconds,
    })
}

fn attribute_name() -> impl Strategy<Value = Path> {
    prop_oneof![
        8 => Just("user.a".into()),
        4 => Just("user.b".into()),
        2 => Just("trusted.a".into()),
        2 => Just("security.test".into()),
        1 => Just(format!("user.{}", "n".repeat(250))),
        1 => Just(format!("user.{}", "n".repeat(251))),
        1 => Just("user.".into()),
        1 => Just("nobodys.a".into()),
        1 => Just("plain".into()),
        1 => Just("system.posix_acl_".into()),
        1 => Just("system.posix_acl_others".into()),
        1 => Just(String::new()),
    ]
    .prop_map(Path)
}

fn attribute_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..20),
        2 => prop::collection::vec(any::<u8>(), 100..300),
        1 => Just(vec![7; (64 << 10) + 1]),
    ]
}

fn set_mode() -> impl Strategy<Value = SetMode> {
    prop_oneof![
        Just(SetMode::CreateOrReplace),
        Just(SetMode::Create),
        Just(SetMode::Replace),
    ]
}

/// Where in a file, or how long it is.
fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..20_000u64,
        3 => (0..8u64).prop_map(|block| block * 4096),
        1 => 0..3_000_000u64,
        1 => Just(1 << 45),
    ]
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..6_000usize, 1 => (0..8usize).prop_map(|blocks| blocks * 4096)]
}

/// The buffers of one read or write: few large ones, or many that are small or empty.
fn lens() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        3 => prop::collection::vec(len(), 0..5),
        1 => prop::collection::vec(0..40usize, 0..200),
    ]
}
