//! Random operations on a few names, most of which succeed.

use daxfs_tests::crash::workload::{Length, Means, Operation, Path, Span};
use daxfs_tests::fixture::Numbers;
use daxfs_tests::model::Model;

const MOST_BYTES: u64 = 12_000;
const BLOCK_BYTES: u64 = 4096;

/// An operation on one of `names`, or two of them.
pub(crate) fn choose(model: &Model, names: &[Path], numbers: &mut Numbers) -> Operation {
    let mut pick = || names[numbers.below(names.len() as u64) as usize];
    let (path, other) = (pick(), pick());
    match model.open(path) {
        Err(_) => make(path, other, numbers),
        Ok(_) => match numbers.below(3) {
            0 => change_names(path, other, numbers),
            _ => change_content(path, numbers),
        },
    }
}

fn make(path: Path, other: Path, numbers: &mut Numbers) -> Operation {
    match numbers.below(6) {
        0 => Operation::SymbolicLink(other, path),
        1 => Operation::Link(other, path),
        2 => Operation::Unlink(path),
        3 => Operation::Publish(path),
        _ => Operation::Create(path),
    }
}

fn change_names(path: Path, other: Path, numbers: &mut Numbers) -> Operation {
    match numbers.below(8) {
        0 => Operation::Rename(path, other),
        1 => Operation::Exchange(path, other),
        2 => Operation::RenameNoReplace(path, other),
        3 => Operation::Link(path, other),
        4 | 5 => Operation::Clone(path, other),
        _ => Operation::Unlink(path),
    }
}

fn change_content(path: Path, numbers: &mut Numbers) -> Operation {
    let span = Span {
        offset_bytes: numbers.below(MOST_BYTES),
        len_bytes: 1 + numbers.below(MOST_BYTES),
    };
    let block = Span {
        offset_bytes: numbers.below(3) * BLOCK_BYTES,
        len_bytes: BLOCK_BYTES,
    };
    match numbers.below(14) {
        0 => Operation::Truncate(path, span.offset_bytes),
        1 => Operation::Append(path, span.len_bytes),
        2 => Operation::Punch(path, span),
        3 => Operation::Zero(path, span, Length::Extended),
        4 => Operation::Allocate(path, span, Length::Kept),
        5 => Operation::Collapse(path, block),
        6 => Operation::Insert(path, block),
        7 => Operation::SetAttribute(path),
        8 => Operation::RemoveAttribute(path),
        9 => Operation::SetOwner(path),
        10 => Operation::Checkpoint,
        11 => Operation::Write(path, span, Means::Mapping),
        _ => Operation::Write(path, span, Means::Write),
    }
}
