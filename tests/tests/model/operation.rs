//! What a sequence is made of, and how proptest makes one up.

use daxfs::{PageTables, Protection};
use proptest::prelude::*;

pub(crate) const PAGE: usize = 4096;
/// Handles, and mappings, that a sequence has at a time.
pub(crate) const SLOTS: usize = 3;
/// Few names, so that operations meet.
pub(crate) const PATHS: [&str; 9] = [
    "/", "/a", "/b", "/c", "/a/a", "/a/b", "/a/c", "/a/b/a", "/b/a",
];

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Create {
        path: usize,
        slot: usize,
    },
    Open {
        path: usize,
        slot: usize,
    },
    Close {
        slot: usize,
    },
    Remove {
        path: usize,
    },
    MakeDirectory {
        path: usize,
    },
    RemoveDirectory {
        path: usize,
    },
    ReadDirectory {
        path: usize,
    },
    Write {
        slot: usize,
        at: usize,
        len: usize,
    },
    Append {
        slot: usize,
        len: usize,
    },
    Truncate {
        slot: usize,
        len: usize,
    },
    Punch {
        slot: usize,
        at: usize,
        len: usize,
    },
    ZeroRange {
        slot: usize,
        at: usize,
        len: usize,
    },
    Collapse {
        slot: usize,
        page: usize,
        pages: usize,
    },
    Insert {
        slot: usize,
        page: usize,
        pages: usize,
    },
    Clone {
        slot: usize,
        page: usize,
        len: usize,
        to: usize,
        to_page: usize,
    },
    Copy {
        slot: usize,
        at: usize,
        len: usize,
        to: usize,
        to_at: usize,
    },
    Read {
        slot: usize,
        at: usize,
        len: usize,
    },
    Map {
        slot: usize,
        window: usize,
        view: View,
    },
    Unmap {
        window: usize,
    },
    Store {
        window: usize,
        at: usize,
        len: usize,
    },
    Load {
        window: usize,
        at: usize,
        len: usize,
    },
    Release {
        window: usize,
        at: usize,
        len: usize,
    },
    SyncMapping {
        window: usize,
    },
    SyncFile {
        slot: usize,
    },
    Sync,
    Remount,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) page_tables: PageTables,
    pub(crate) protection: Protection,
    pub(crate) first_page: usize,
    pub(crate) len: usize,
}

/// Offsets: near page boundaries as often as anywhere.
fn offset() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..20 * PAGE,
        (0..20_usize, 0..5_usize).prop_map(|(page, nudge)| (page * PAGE + nudge).max(2) - 2),
    ]
}

/// Lengths: a few bytes, about a page, many pages.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0..9_usize, PAGE - 2..=PAGE + 2, 1..=6 * PAGE]
}

fn view() -> impl Strategy<Value = View> {
    let page_tables = prop_oneof![Just(PageTables::Software), Just(PageTables::Process)];
    let protection = prop_oneof![4 => Just(Protection::ReadWrite), 1 => Just(Protection::ReadOnly)];
    (page_tables, protection, 0..4_usize, 1..=24 * PAGE).prop_map(
        |(page_tables, protection, first_page, len)| View {
            page_tables,
            protection,
            first_page,
            len,
        },
    )
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let (path, slot, window) = (|| 0..PATHS.len(), || 0..SLOTS, || 0..SLOTS);
    let names = prop_oneof![
        3 => (path(), slot()).prop_map(|(path, slot)| Create { path, slot }),
        3 => (path(), slot()).prop_map(|(path, slot)| Open { path, slot }),
        1 => slot().prop_map(|slot| Close { slot }),
        1 => path().prop_map(|path| Remove { path }),
        2 => path().prop_map(|path| MakeDirectory { path }),
        1 => path().prop_map(|path| RemoveDirectory { path }),
        1 => path().prop_map(|path| ReadDirectory { path }),
    ];
    let content = prop_oneof![
        4 => (slot(), offset(), length()).prop_map(|(slot, at, len)| Write { slot, at, len }),
        2 => (slot(), length()).prop_map(|(slot, len)| Append { slot, len }),
        2 => (slot(), offset()).prop_map(|(slot, len)| Truncate { slot, len }),
        2 => (slot(), offset(), length()).prop_map(|(slot, at, len)| Punch { slot, at, len }),
        2 => (slot(), offset(), length()).prop_map(|(slot, at, len)| Read { slot, at, len }),
    ];
    let page = || 0..20_usize;
    let few = || 1..6_usize;
    let pages = prop_oneof![Just(0), few().prop_map(|pages| pages * PAGE), length()];
    // To where it came from as often as elsewhere: then a copy is a matter of blocks.
    let place = prop_oneof![
        offset().prop_map(|at| (at, at)),
        (offset(), page()).prop_map(|(at, page)| (at, at % PAGE + page * PAGE)),
        (offset(), offset()),
    ];
    let ranges = prop_oneof![
        1 => (slot(), offset(), length())
            .prop_map(|(slot, at, len)| ZeroRange { slot, at, len }),
        1 => (slot(), page(), few())
            .prop_map(|(slot, page, pages)| Collapse { slot, page, pages }),
        1 => (slot(), page(), few())
            .prop_map(|(slot, page, pages)| Insert { slot, page, pages }),
        5 => (slot(), page(), pages, slot(), page()).prop_map(
            |(slot, page, len, to, to_page)| Clone { slot, page, len, to, to_page }),
        2 => (slot(), length(), slot(), place).prop_map(
            |(slot, len, to, (at, to_at))| Copy { slot, at, len, to, to_at }),
    ];
    let mapped = prop_oneof![
        3 => (slot(), window(), view())
            .prop_map(|(slot, window, view)| Map { slot, window, view }),
        1 => window().prop_map(|window| Unmap { window }),
        5 => (window(), offset(), length())
            .prop_map(|(window, at, len)| Store { window, at, len }),
        5 => (window(), offset(), length())
            .prop_map(|(window, at, len)| Load { window, at, len }),
        1 => (window(), offset(), length())
            .prop_map(|(window, at, len)| Release { window, at, len }),
        1 => window().prop_map(|window| SyncMapping { window }),
    ];
    let whole = prop_oneof![
        slot().prop_map(|slot| SyncFile { slot }),
        Just(Sync),
        Just(Remount),
    ];
    prop_oneof![8 => names, 12 => content, 6 => ranges, 12 => mapped, 2 => whole]
}

/// What every sequence begins with, so that most of its operations find something to do.
pub(crate) fn opening() -> [Operation; 4] {
    let view = |page_tables| View {
        page_tables,
        protection: Protection::ReadWrite,
        first_page: 0,
        len: 24 * PAGE,
    };
    [
        Operation::MakeDirectory { path: 1 },
        Operation::Create { path: 5, slot: 0 },
        Operation::Map {
            slot: 0,
            window: 0,
            view: view(PageTables::Software),
        },
        Operation::Map {
            slot: 0,
            window: 1,
            view: view(PageTables::Process),
        },
    ]
}
