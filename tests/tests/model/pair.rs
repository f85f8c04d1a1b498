//! The filesystem and its model side by side: each operation is done to both, and both must agree.

use std::sync::Arc;

use daxfs::{
    DataChecksums, Device, Error, File, Filesystem, Length, MapOptions, Mapping, MountOptions,
    PageTables, Protection, Result,
};
use daxfs_tests::fixture::{Numbers, assert_clean, formatted, formatted_with, mount_read_only};
use daxfs_tests::model::{Failure, FileId, Model};

use crate::operation::{Operation, PAGE, PATHS, SLOTS};

const DEVICE_BYTES: u64 = 16 << 20;

struct Window {
    mapping: Mapping,
    file: FileId,
    from: usize,
    protection: Protection,
}

/// The filesystem, the model, and what is open in both.
pub(crate) struct Pair {
    device: Arc<Device>,
    options: MountOptions,
    fs: Filesystem,
    model: Model,
    open: [Option<(File, FileId)>; SLOTS],
    windows: [Option<Window>; SLOTS],
    numbers: Numbers,
}

/// The same outcome on both sides; gives what both made.
fn agree<T, M>(real: Result<T>, model: std::result::Result<M, Failure>) -> Option<(T, M)> {
    match (real, model) {
        (Ok(real), Ok(model)) => Some((real, model)),
        (Err(error), Err(failure)) => {
            assert_eq!(Failure::of(&error), failure, "{error}");
            None
        }
        (Ok(_), Err(failure)) => panic!("succeeded, where the model has {failure:?}"),
        (Err(error), Ok(_)) => panic!("failed, where the model succeeded: {error}"),
    }
}

impl Pair {
    pub(crate) fn new(options: MountOptions, checksums: DataChecksums) -> Self {
        let device = formatted_with(DEVICE_BYTES, checksums);
        let fs = Filesystem::mount(Arc::clone(&device), options.clone()).unwrap();
        Self {
            device,
            options,
            fs,
            model: Model::default(),
            open: Default::default(),
            windows: Default::default(),
            numbers: Numbers::new(7),
        }
    }

    pub(crate) fn apply(&mut self, operation: &Operation) {
        use Operation::*;
        match *operation {
            Create { path, slot } => {
                let path = PATHS[path];
                if let Some(both) = agree(self.fs.create(path), self.model.create(path)) {
                    self.open[slot] = Some(both);
                }
            }
            Open { path, slot } => {
                let path = PATHS[path];
                if let Some(both) = agree(self.fs.open(path), self.model.open(path)) {
                    self.open[slot] = Some(both);
                }
            }
            Close { slot } => self.open[slot] = None,
            Remove { path } => {
                let path = PATHS[path];
                agree(self.fs.remove_file(path), self.model.remove_file(path));
            }
            MakeDirectory { path } => {
                let path = PATHS[path];
                agree(
                    self.fs.create_directory(path),
                    self.model.create_directory(path),
                );
            }
            RemoveDirectory { path } => {
                let path = PATHS[path];
                agree(
                    self.fs.remove_directory(path),
                    self.model.remove_directory(path),
                );
            }
            ReadDirectory { path } => self.compare_directory(PATHS[path]),
            Sync => self.fs.sync().unwrap(),
            Remount => self.remount(),
            Write { slot, .. }
            | Append { slot, .. }
            | Truncate { slot, .. }
            | Punch { slot, .. }
            | Read { slot, .. }
            | ZeroRange { slot, .. }
            | Collapse { slot, .. }
            | Insert { slot, .. }
            | SyncFile { slot }
            | Map { slot, .. } => {
                if let Some((file, id)) = self.open[slot].clone() {
                    self.apply_to_file(operation, &file, id);
                    assert_eq!(file.len_bytes(), self.model.content(id).len() as u64);
                }
            }
            Clone { slot, to, .. } | Copy { slot, to, .. } => {
                if let (Some(from), Some(to)) = (self.open[slot].clone(), self.open[to].clone()) {
                    copy_between(operation, &mut self.model, &from, &to);
                    assert_eq!(to.0.len_bytes(), self.model.content(to.1).len() as u64);
                }
            }
            Unmap { window } => self.windows[window] = None,
            Store { window, .. }
            | Load { window, .. }
            | Release { window, .. }
            | SyncMapping { window } => {
                if let Some(window) = &self.windows[window] {
                    apply_to_window(operation, window, &mut self.model, &mut self.numbers);
                }
            }
        }
    }

    fn apply_to_file(&mut self, operation: &Operation, file: &File, id: FileId) {
        use Operation::*;
        match *operation {
            Write { at, len, .. } => {
                let bytes = self.numbers.bytes(len);
                assert_eq!(file.write_at(&bytes, at as u64).unwrap(), len);
                self.model.write_at(id, &bytes, at);
            }
            Append { len, .. } => {
                let bytes = self.numbers.bytes(len);
                let at = self.model.content(id).len();
                assert_eq!(file.append(&bytes).unwrap(), at as u64);
                self.model.write_at(id, &bytes, at);
            }
            Truncate { len, .. } => {
                file.truncate(len as u64).unwrap();
                self.model.truncate(id, len);
            }
            Punch { at, len, .. } => {
                let punched = file.punch_hole(at as u64, len as u64);
                match len {
                    0 => assert!(matches!(punched, Err(Error::InvalidOption { .. }))),
                    _ => {
                        punched.unwrap();
                        self.model.punch_hole(id, at, len);
                    }
                }
            }
            ZeroRange { at, len, .. } => {
                let zeroed = file.zero_range(at as u64, len as u64, Length::Grow);
                match len {
                    0 => assert!(matches!(zeroed, Err(Error::InvalidOption { .. }))),
                    _ => {
                        zeroed.unwrap();
                        self.model.zero_range(id, at, len, Length::Grow);
                    }
                }
            }
            Collapse { page, pages, .. } => {
                let (at, len) = (page * PAGE, pages * PAGE);
                let real = file.collapse_range(at as u64, len as u64);
                agree(real, self.model.collapse_range(id, at, len));
            }
            Insert { page, pages, .. } => {
                let (at, len) = (page * PAGE, pages * PAGE);
                let real = file.insert_range(at as u64, len as u64);
                agree(real, self.model.insert_range(id, at, len));
            }
            Read { at, len, .. } => {
                let mut bytes = vec![0xee; len];
                let read = file.read_at(&mut bytes, at as u64).unwrap();
                assert_eq!(bytes[..read], *self.model.read_at(id, at, len));
            }
            SyncFile { .. } => file.sync().unwrap(),
            Map { window, view, .. } => {
                let from = view.first_page * PAGE;
                let mapping = file.map(MapOptions {
                    page_tables: view.page_tables,
                    protection: view.protection,
                    offset_bytes: from as u64,
                    len_bytes: view.len as u64,
                });
                let (mapping, protection) = (mapping.unwrap(), view.protection);
                self.windows[window] = Some(Window {
                    mapping,
                    file: id,
                    from,
                    protection,
                });
            }
            _ => unreachable!("{operation:?} is not about an open file"),
        }
    }

    pub(crate) fn remount(&mut self) {
        self.open = Default::default();
        self.windows = Default::default();
        // There is always a filesystem in `self.fs`: a read-only one while the real one is away.
        let real = std::mem::replace(&mut self.fs, stand_in());
        real.unmount().unwrap();
        assert_clean(&self.device);
        self.fs = Filesystem::mount(Arc::clone(&self.device), self.options.clone()).unwrap();
        self.compare_everything();
    }

    fn compare_directory(&self, path: &str) {
        let Some((real, model)) = agree(
            self.fs.read_directory(path),
            self.model.read_directory(path),
        ) else {
            return;
        };
        let real: Vec<_> = real
            .into_iter()
            .map(|entry| (entry.name.into_string().unwrap(), entry.kind))
            .collect();
        assert_eq!(real, model, "names in {path}");
    }

    /// Compares all names, all files as they are read and as they are mapped, and all windows.
    pub(crate) fn compare_everything(&self) {
        self.model
            .directories()
            .for_each(|path| self.compare_directory(path));
        for (path, expected) in self.model.files() {
            let file = self.fs.open(path).unwrap();
            assert_eq!(
                self.fs.metadata(path).unwrap().len_bytes,
                expected.len() as u64
            );
            let mut bytes = vec![0xee; expected.len() + 1];
            assert_eq!(file.read_at(&mut bytes, 0).unwrap(), expected.len());
            assert!(bytes[..expected.len()] == *expected, "{path} as it is read");
            if expected.is_empty() {
                continue;
            }
            for page_tables in [PageTables::Software, PageTables::Process] {
                let options = MapOptions::new(expected.len() as u64);
                let mapping = file
                    .map(MapOptions {
                        page_tables,
                        ..options
                    })
                    .unwrap();
                let mut bytes = vec![0xee; expected.len()];
                mapping.load(0, &mut bytes).unwrap();
                assert!(
                    bytes == *expected,
                    "{path} as it is mapped, {page_tables:?}"
                );
            }
        }
        for window in self.windows.iter().flatten() {
            let len = window.mapping.len_bytes() as usize;
            let expected = self.model.read_at(window.file, window.from, len);
            let mut bytes = vec![0xee; expected.len()];
            window.mapping.load(0, &mut bytes).unwrap();
            assert!(bytes == *expected, "a window as it is at the end");
        }
    }
}

/// From one open file to another, or to itself.
fn copy_between(
    operation: &Operation,
    model: &mut Model,
    (file, id): &(File, FileId),
    (to, to_id): &(File, FileId),
) {
    match *operation {
        Operation::Clone {
            page, len, to_page, ..
        } => {
            let (at, to_at) = (page * PAGE, to_page * PAGE);
            let real = file.clone_range(at as u64, len as u64, to, to_at as u64);
            agree(real, model.clone_range(*id, at, len, (*to_id, to_at)));
        }
        Operation::Copy { at, len, to_at, .. } => {
            let real = file.copy_range(at as u64, to, to_at as u64, len as u64);
            let expected = model.copy_range(*id, at, len, (*to_id, to_at));
            if let Some((real, expected)) = agree(real, expected) {
                assert_eq!(real, expected as u64);
            }
        }
        _ => unreachable!("{operation:?} is not about two files"),
    }
}

fn stand_in() -> Filesystem {
    mount_read_only(&formatted(4 << 20)).unwrap()
}

fn apply_to_window(
    operation: &Operation,
    window: &Window,
    model: &mut Model,
    numbers: &mut Numbers,
) {
    use Operation::*;
    let mapping = &window.mapping;
    let mapped_len = mapping.len_bytes() as usize;
    let clip = |at: usize, len: usize| (at.min(mapped_len), len.min(mapped_len.saturating_sub(at)));
    match *operation {
        Store { at, len, .. } => {
            let (at, len) = clip(at, len);
            let bytes = numbers.bytes(len);
            let real = mapping.store(at as u64, &bytes);
            let refused = window.protection == Protection::ReadOnly && len > 0;
            let expected = if refused {
                Err(Failure::Access {
                    offset_bytes: at as u64,
                })
            } else {
                model.store(window.file, window.from, at, &bytes)
            };
            agree(real, expected);
        }
        Load { at, len, .. } => {
            let (at, len) = clip(at, len);
            let mut bytes = vec![0xee; len];
            let real = mapping.load(at as u64, &mut bytes);
            let (expected, outcome) = model.load(window.file, window.from, at, len);
            agree(real, outcome);
            // What lies past the end, in the last page, may be anything.
            assert_eq!(bytes[..expected.len()], *expected);
        }
        Release { at, len, .. } => {
            let (at, len) = clip(at, len);
            mapping.release(at as u64, len as u64).unwrap();
        }
        SyncMapping { .. } => mapping.sync(0, mapped_len as u64).unwrap(),
        _ => unreachable!("{operation:?} is not about a window"),
    }
}
