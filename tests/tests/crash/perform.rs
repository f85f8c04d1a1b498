//! Does what a workload asks for: to a filesystem, and to its model.

use daxfs::{
    CreateOptions, File, Filesystem, Length, MapOptions, PageTables, RenameMode, SetAttributes,
    SetMode,
};
use daxfs_tests::crash::workload::{self, Means, Operation, Span};
use daxfs_tests::fixture::Numbers;
use daxfs_tests::model::{Failure, FileId, Model};

const ATTRIBUTE: &str = "user.test";
const LARGE_ATTRIBUTE_BYTES: usize = 60_000;
const PUBLISHED_BYTES: usize = 4096;

/// What the operation `seed` puts somewhere.
fn bytes_for(seed: u64, len: usize) -> Vec<u8> {
    Numbers::new(seed).bytes(len)
}

fn owners_for(seed: u64) -> (u16, u32, u32) {
    let seed = seed as u32;
    (0o600 | (seed % 8) as u16, 1000 + seed, 2000 + seed)
}

fn length_of(length: workload::Length) -> Length {
    match length {
        workload::Length::Kept => Length::Keep,
        workload::Length::Extended => Length::Grow,
    }
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// Does an operation. Files that are written stay open, in `open`: closing brings their times into
/// the log, and syncs what was stored through a mapping.
pub(crate) fn perform(
    fs: &Filesystem,
    open: &mut Vec<File>,
    operation: Operation,
    seed: u64,
) -> daxfs::Result<()> {
    match operation {
        Operation::Create(path) => fs.create(path).map(drop),
        Operation::MakeDirectory(path) => fs.create_directory(path),
        Operation::Link(from, to) => fs.hard_link(from, to),
        Operation::SymbolicLink(from, to) => fs.create_symbolic_link(from, to),
        Operation::Unlink(path) | Operation::Remove(path) => fs.remove_file(path),
        Operation::RemoveDirectory(path) => fs.remove_directory(path),
        Operation::Rename(from, to) => fs.rename(from, to),
        Operation::RenameNoReplace(from, to) => fs.rename_with(from, to, RenameMode::NoReplace),
        Operation::Exchange(from, to) => fs.rename_with(from, to, RenameMode::Exchange),
        Operation::SetAttribute(path) => set_extended(fs, path, &bytes_for(seed, 10)),
        Operation::SetLargeAttribute(path) => {
            set_extended(fs, path, &bytes_for(seed, LARGE_ATTRIBUTE_BYTES))
        }
        Operation::RemoveAttribute(path) => fs.remove_extended_attribute(path, ATTRIBUTE),
        Operation::SetOwner(path) => {
            let (mode, uid, gid) = owners_for(seed);
            let mut change = SetAttributes::default();
            (change.mode, change.uid, change.gid) = (Some(mode), Some(uid), Some(gid));
            fs.set_attributes(path, &change)
        }
        Operation::Publish(path) => publish(fs, path, seed),
        Operation::SyncAll => fs.sync(),
        Operation::Checkpoint => fs.checkpoint(),
        Operation::Sync("/A" | "/B") => fs.sync(),
        Operation::Sync(path) => fs.open(path)?.sync(),
        Operation::SyncData(path) => fs.open(path)?.sync_data(),
        Operation::Write(path, span, means) => {
            let file = fs.open(path)?;
            open.push(file.clone());
            write(&file, span, means, seed)
        }
        _ => perform_on_file(fs, operation, seed),
    }
}

fn perform_on_file(fs: &Filesystem, operation: Operation, seed: u64) -> daxfs::Result<()> {
    let file = |path| fs.open(path);
    match operation {
        Operation::Truncate(path, len_bytes) => file(path)?.truncate(len_bytes),
        Operation::Append(path, len_bytes) => {
            let bytes = bytes_for(seed, len_bytes as usize);
            file(path)?.append(&bytes).map(drop)
        }
        Operation::Allocate(path, span, length) => {
            file(path)?.allocate(span.offset_bytes, span.len_bytes, length_of(length))
        }
        Operation::Zero(path, span, length) => {
            file(path)?.zero_range(span.offset_bytes, span.len_bytes, length_of(length))
        }
        Operation::Punch(path, span) => file(path)?.punch_hole(span.offset_bytes, span.len_bytes),
        Operation::Collapse(path, span) => {
            file(path)?.collapse_range(span.offset_bytes, span.len_bytes)
        }
        Operation::Insert(path, span) => {
            file(path)?.insert_range(span.offset_bytes, span.len_bytes)
        }
        Operation::Clone(from, to) => file(from)?.clone_range(0, 0, &file(to)?, 0),
        other => panic!("{other} is about no file"),
    }
}

fn set_extended(fs: &Filesystem, path: &str, value: &[u8]) -> daxfs::Result<()> {
    fs.set_extended_attribute(path, ATTRIBUTE, value, SetMode::CreateOrReplace)
}

fn publish(fs: &Filesystem, path: &str, seed: u64) -> daxfs::Result<()> {
    let file = fs.create_anonymous(parent(path), &CreateOptions::file())?;
    file.write_all_at(&bytes_for(seed, PUBLISHED_BYTES), 0)?;
    fs.link_file(&file, path)
}

fn write(file: &File, span: Span, means: Means, seed: u64) -> daxfs::Result<()> {
    let bytes = bytes_for(seed, span.len_bytes as usize);
    match means {
        Means::Write => file.write_all_at(&bytes, span.offset_bytes),
        Means::Mapping => {
            let mut options = MapOptions::new(span.end_bytes().next_multiple_of(4096));
            options.page_tables = PageTables::Software;
            file.map(options)?.store(span.offset_bytes, &bytes)
        }
    }
}

pub(crate) fn perform_on_model(
    model: &mut Model,
    operation: Operation,
    seed: u64,
) -> Result<(), Failure> {
    match operation {
        Operation::Create(path) => model.create(path).map(drop),
        Operation::MakeDirectory(path) => model.create_directory(path),
        Operation::Link(from, to) => model.hard_link(from, to),
        Operation::SymbolicLink(from, to) => model.create_symbolic_link(from, to),
        Operation::Unlink(path) | Operation::Remove(path) => model.remove_file(path),
        Operation::RemoveDirectory(path) => model.remove_directory(path),
        Operation::Rename(from, to) => model.rename(from, to, RenameMode::Replace),
        Operation::RenameNoReplace(from, to) => model.rename(from, to, RenameMode::NoReplace),
        Operation::Exchange(from, to) => model.rename(from, to, RenameMode::Exchange),
        Operation::SetAttribute(path) => model.set_extended(path, ATTRIBUTE, &bytes_for(seed, 10)),
        Operation::SetLargeAttribute(path) => {
            model.set_extended(path, ATTRIBUTE, &bytes_for(seed, LARGE_ATTRIBUTE_BYTES))
        }
        Operation::RemoveAttribute(path) => model.remove_extended(path, ATTRIBUTE),
        Operation::SetOwner(path) => {
            let (mode, uid, gid) = owners_for(seed);
            model.set_attributes(path, mode, (uid, gid))
        }
        Operation::Publish(path) => {
            let file = model.create_anonymous(parent(path))?;
            model.write_at(file, &bytes_for(seed, PUBLISHED_BYTES), 0);
            model.link_file(file, path)
        }
        Operation::SyncAll | Operation::Checkpoint | Operation::Sync("/A" | "/B") => Ok(()),
        Operation::Sync(path) | Operation::SyncData(path) => model.open(path).map(drop),
        _ => perform_on_file_of_model(model, operation, seed),
    }
}

/// The file whose bytes an operation is about, if it is about bytes.
pub(crate) fn file_of(model: &Model, operation: Operation) -> Option<FileId> {
    match operation {
        Operation::Truncate(path, _)
        | Operation::Append(path, _)
        | Operation::Allocate(path, ..)
        | Operation::Zero(path, ..)
        | Operation::Punch(path, _)
        | Operation::Collapse(path, _)
        | Operation::Insert(path, _)
        | Operation::Clone(_, path)
        | Operation::Write(path, ..)
        | Operation::Sync(path)
        | Operation::SyncData(path) => model.open(path).ok(),
        _ => None,
    }
}

fn perform_on_file_of_model(
    model: &mut Model,
    operation: Operation,
    seed: u64,
) -> Result<(), Failure> {
    let numbers = |span: Span| (span.offset_bytes as usize, span.len_bytes as usize);
    let file = |model: &Model, path| model.open(path);
    match operation {
        Operation::Truncate(path, len_bytes) => {
            let file = file(model, path)?;
            model.truncate(file, len_bytes as usize);
        }
        Operation::Append(path, len_bytes) => {
            let file = file(model, path)?;
            model.append(file, &bytes_for(seed, len_bytes as usize));
        }
        Operation::Allocate(path, span, length) => {
            let (file, (offset, len)) = (file(model, path)?, numbers(span));
            model.allocate(file, offset, len, length_of(length));
        }
        Operation::Zero(path, span, length) => {
            let (file, (offset, len)) = (file(model, path)?, numbers(span));
            model.zero_range(file, offset, len, length_of(length));
        }
        Operation::Punch(path, span) => {
            let (file, (offset, len)) = (file(model, path)?, numbers(span));
            model.punch_hole(file, offset, len);
        }
        Operation::Collapse(path, span) => {
            let (file, (offset, len)) = (file(model, path)?, numbers(span));
            model.collapse_range(file, offset, len)?;
        }
        Operation::Insert(path, span) => {
            let (file, (offset, len)) = (file(model, path)?, numbers(span));
            model.insert_range(file, offset, len)?;
        }
        Operation::Clone(from, to) => {
            let (from, to) = (file(model, from)?, file(model, to)?);
            model.clone_range(from, 0, 0, (to, 0))?;
        }
        Operation::Write(path, span, means) => {
            let (file, (offset, len)) = (file(model, path)?, numbers(span));
            let bytes = bytes_for(seed, len);
            match means {
                Means::Write => model.write_at(file, &bytes, offset),
                Means::Mapping => model.store(file, 0, offset, &bytes)?,
            }
        }
        other => panic!("{other} is about no file"),
    }
    Ok(())
}
