//! Images held open while a subcommand runs: opened once each, always unmounted at the end.
//!
//! Touches image files through the library only. Each open image holds the advisory lock of its
//! file (shared for reading, exclusive for changing) until it is closed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use daxfs::{
    Device, DeviceAccess, DeviceError, Filesystem, MountAccess, MountOptions, PersistenceChoice,
};

use crate::image_path::ImagePath;

/// What a subcommand wants an image for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// To read from it; others may read meanwhile.
    Read,
    /// To change it; nobody else may open it.
    Change,
}

/// Which host file an image is, whatever path led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostFile {
    device: u64,
    inode: u64,
}

impl HostFile {
    /// The identity of the file that `metadata` describes.
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// The images that one subcommand has open, found by the path that the user gave.
pub(crate) struct Images {
    /// The path of an image as the user gave it, and which file that is.
    names: BTreeMap<PathBuf, HostFile>,
    mounts: BTreeMap<HostFile, Mount>,
}

struct Mount {
    image: PathBuf,
    filesystem: Filesystem,
}

impl Images {
    /// Opens every image that `wanted` names, each once, for the most that it is wanted for.
    fn open<'a>(wanted: impl IntoIterator<Item = (&'a Path, Purpose)>) -> Result<Self> {
        let mut names = BTreeMap::new();
        let mut purposes: BTreeMap<HostFile, (PathBuf, Purpose)> = BTreeMap::new();
        for (image, purpose) in wanted {
            let metadata = fs::metadata(image).with_context(|| image.display().to_string())?;
            let file = HostFile::of(&metadata);
            names.insert(image.to_path_buf(), file);
            let entry = purposes
                .entry(file)
                .or_insert_with(|| (image.to_path_buf(), purpose));
            entry.1 = entry.1.max(purpose);
        }
        let mut images = Self {
            names,
            mounts: BTreeMap::new(),
        };
        for (file, (image, purpose)) in purposes {
            match mount(&image, purpose) {
                Ok(filesystem) => {
                    images.mounts.insert(file, Mount { image, filesystem });
                }
                Err(error) => {
                    // The first failure is the one to report.
                    let _ = images.close();
                    return Err(error);
                }
            }
        }
        Ok(images)
    }

    /// The filesystem in `image`.
    ///
    /// # Errors
    /// If `image` is none of those that were asked for.
    pub(crate) fn get(&self, image: &Path) -> Result<&Filesystem> {
        self.names
            .get(image)
            .and_then(|file| self.mounts.get(file))
            .map(|mount| &mount.filesystem)
            .ok_or_else(|| anyhow!("{}: not open", image.display()))
    }

    /// Whether the host file with this identity is one of the open images.
    pub(crate) fn contains(&self, file: HostFile) -> bool {
        self.mounts.contains_key(&file)
    }

    fn close(self) -> Result<()> {
        let mut result = Ok(());
        for Mount { image, filesystem } in self.mounts.into_values() {
            let unmounted = filesystem.unmount().map_err(|error| about(&image, error));
            result = result.and(unmounted);
        }
        result
    }
}

/// Opens the images that `wanted` names, does `work`, and unmounts them whatever came of it.
///
/// # Errors
/// That of opening, else that of `work`, else that of unmounting.
pub(crate) fn with_images<'a, T>(
    wanted: impl IntoIterator<Item = (&'a Path, Purpose)>,
    work: impl FnOnce(&Images) -> Result<T>,
) -> Result<T> {
    let images = Images::open(wanted)?;
    let result = work(&images);
    let closed = images.close();
    result.and_then(|value| closed.map(|()| value))
}

/// Opens and mounts one image.
fn mount(image: &Path, purpose: Purpose) -> Result<Filesystem> {
    let device = open_device(image, purpose)?;
    let access = match purpose {
        Purpose::Read => MountAccess::ReadOnly,
        Purpose::Change => MountAccess::ReadWrite,
    };
    let mut options = MountOptions::default();
    options.access = access;
    Filesystem::mount(Arc::new(device), options).map_err(|error| about(image, error))
}

/// Opens the device of an image, and says what to do when somebody else has it.
pub(crate) fn open_device(image: &Path, purpose: Purpose) -> Result<Device> {
    let access = match purpose {
        Purpose::Read => DeviceAccess::ReadOnly,
        Purpose::Change => DeviceAccess::ReadWrite,
    };
    Device::open_file(image, access, PersistenceChoice::Detect).map_err(|error| {
        let busy = matches!(error, DeviceError::Busy { .. });
        let error = about(image, error);
        match busy {
            false => error,
            true => error.context(format!(
                "{name}: in use by another program; `fuser -v {name}` shows by which",
                name = image.display()
            )),
        }
    })
}

/// Names the image that `error` is about, unless it names it itself.
pub(crate) fn about(
    image: &Path,
    error: impl std::error::Error + Send + Sync + 'static,
) -> anyhow::Error {
    let name = image.display().to_string();
    let error = anyhow::Error::new(error);
    match error.to_string().contains(&name) {
        true => error,
        false => error.context(name),
    }
}

/// Names the path in its image that `error` is about, once.
pub(crate) fn at(path: &ImagePath) -> impl FnOnce(daxfs::Error) -> anyhow::Error {
    move |error| {
        let text = error.to_string();
        // Errors about a path begin with it, without the image.
        match text.strip_prefix(&format!("{}: ", path.path.display())) {
            Some(problem) => anyhow!("{path}: {problem}"),
            None => anyhow::Error::new(error).context(path.to_string()),
        }
    }
}
