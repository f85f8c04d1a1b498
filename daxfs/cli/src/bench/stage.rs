//! The images that a benchmark runs on.
//!
//! A design is chosen when an image is mounted, and the designs take turns all the time. In
//! memory each design therefore has an image of its own, and all are mounted at once. An image
//! file (`--image`) is one device: there the mount changes hands between slices, and the files of
//! the benchmark lie in a directory of their own, which is removed at the end.
//!
//! Touches images through the library. An image file stays locked for the whole run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use bytesize::ByteSize;
use daxfs::{
    Device, Error, FileKind, Filesystem, FormatOptions, IoLock, MountOptions, PersistenceChoice,
};

use super::design::Design;
use super::plan::Plan;
use super::workload;
use crate::image::{self, Purpose};

/// Beside the files themselves: metadata, and blocks that were freed and wait for a checkpoint.
const SLACK_BYTES: u64 = 192 << 20;

/// Where the designs run.
pub(crate) struct Stage {
    /// The directory of the benchmark in every image.
    directory: PathBuf,
    images: Images,
}

enum Images {
    /// One image in memory for each design.
    Separate(Vec<(Design, Filesystem)>),
    /// One device for all, with the design that it is mounted with now.
    Shared {
        device: Arc<Device>,
        mounted: Option<(Design, Filesystem)>,
        first: Design,
    },
}

impl Stage {
    /// Makes or opens the images for `plan`, and makes the directory of the benchmark in them.
    ///
    /// # Errors
    /// If an image cannot be made or opened, or has too little space.
    pub(crate) fn set_up(image: Option<&Path>, plan: &Plan) -> Result<Self> {
        let designs = plan.designs();
        let needed_bytes = plan
            .workloads()
            .into_iter()
            .map(|kind| workload::needed_bytes(kind, plan.threads_max()))
            .max()
            .unwrap_or(0)
            + SLACK_BYTES;
        let directory = PathBuf::from(format!("/daxfs-bench-{}", process::id()));
        let images = match image {
            None => Images::Separate(
                designs
                    .into_iter()
                    .map(|design| in_memory(design, needed_bytes))
                    .collect::<Result<_>>()?,
            ),
            Some(path) => {
                let first = *designs.first().context("nothing to measure")?;
                let device = Arc::new(open_or_create(path, needed_bytes)?);
                Images::Shared {
                    device,
                    mounted: None,
                    first,
                }
            }
        };
        let mut stage = Self { directory, images };
        let prepared = stage.for_each_store(|filesystem, directory| {
            let available_bytes = filesystem.space().available_bytes;
            if available_bytes < needed_bytes {
                bail!(
                    "{} free, {} needed; give fewer --threads or a larger image",
                    ByteSize::b(available_bytes),
                    ByteSize::b(needed_bytes)
                );
            }
            Ok(filesystem.create_directory(directory)?)
        });
        if let Err(error) = prepared {
            // The first failure is the one to report.
            let _ = stage.take_down();
            return Err(match image {
                Some(path) => error.context(path.display().to_string()),
                None => error.context("image in memory"),
            });
        }
        Ok(stage)
    }

    /// The device, or one of the devices, that the benchmark runs on.
    pub(crate) fn device(&self) -> Result<&Device> {
        match &self.images {
            Images::Separate(images) => {
                let (_, image) = images.first().context("nothing to measure")?;
                Ok(image.device())
            }
            Images::Shared { device, .. } => Ok(device),
        }
    }

    /// Does `work` once for every image that there is.
    pub(crate) fn for_each_store(
        &mut self,
        mut work: impl FnMut(&Filesystem, &Path) -> Result<()>,
    ) -> Result<()> {
        match &mut self.images {
            Images::Separate(images) => images
                .iter()
                .try_for_each(|(_, filesystem)| work(filesystem, &self.directory)),
            Images::Shared {
                device,
                mounted,
                first,
            } => {
                let design = mounted.as_ref().map_or(*first, |(design, _)| *design);
                work(mounted_with(device, mounted, design)?, &self.directory)
            }
        }
    }

    /// Does `work` on an image that is mounted with `design`.
    pub(crate) fn with_design<T>(
        &mut self,
        design: Design,
        work: impl FnOnce(&Filesystem, &Path) -> Result<T>,
    ) -> Result<T> {
        let filesystem = match &mut self.images {
            Images::Separate(images) => images
                .iter()
                .find_map(|(found, filesystem)| (*found == design).then_some(filesystem))
                .ok_or_else(|| anyhow!("no image for {design}"))?,
            Images::Shared {
                device, mounted, ..
            } => mounted_with(device, mounted, design)?,
        };
        work(filesystem, &self.directory)
    }

    /// Removes what the benchmark made, and unmounts.
    pub(crate) fn take_down(mut self) -> Result<()> {
        let removed = self.for_each_store(remove_directory);
        let unmounted = match self.images {
            Images::Separate(images) => images
                .into_iter()
                .map(|(_, filesystem)| filesystem.unmount())
                .fold(Ok(()), daxfs::Result::and),
            Images::Shared { mounted, .. } => {
                mounted.map_or(Ok(()), |(_, filesystem)| filesystem.unmount())
            }
        };
        removed?;
        Ok(unmounted?)
    }
}

fn mount(device: Arc<Device>, design: Design) -> Result<Filesystem> {
    let mut options = MountOptions::default();
    options.mapping_lock = design.mapping_lock;
    let options = match design.io_lock {
        IoLock::Range => options,
        IoLock::Inode => options.with_inode_io_lock(),
        IoLock::Segment => options.with_segment_io_lock_for_benchmark(),
        IoLock::None => options.without_io_lock_for_benchmark(),
        other => bail!("the I/O lock {other} cannot be measured yet"),
    };
    Ok(Filesystem::mount(device, options)?)
}

/// The filesystem on `device`, mounted with `design`, after unmounting any other.
fn mounted_with<'a>(
    device: &Arc<Device>,
    mounted: &'a mut Option<(Design, Filesystem)>,
    design: Design,
) -> Result<&'a Filesystem> {
    let filesystem = match mounted.take() {
        Some((current, filesystem)) if current == design => filesystem,
        other => {
            if let Some((_, filesystem)) = other {
                filesystem.unmount()?;
            }
            mount(device.clone(), design)?
        }
    };
    let (_, filesystem) = mounted.insert((design, filesystem));
    Ok(filesystem)
}

fn in_memory(design: Design, len_bytes: u64) -> Result<(Design, Filesystem)> {
    let device = Device::create_memfd(image_bytes(len_bytes), PersistenceChoice::Detect)?;
    Filesystem::format(&device, &FormatOptions::default())?;
    Ok((design, mount(Arc::new(device), design)?))
}

/// The size of an image that has `needed_bytes` of space, in bytes.
fn image_bytes(needed_bytes: u64) -> u64 {
    // The head of an image and its metadata are a small part of it.
    (needed_bytes + needed_bytes / 16).next_multiple_of(2 << 20) + (8 << 20)
}

/// Opens the image at `path`, or makes one that vanishes with the benchmark.
fn open_or_create(path: &Path, needed_bytes: u64) -> Result<Device> {
    let name = || path.display().to_string();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let len_bytes = image_bytes(needed_bytes);
            let device = Device::create_file(path, len_bytes, PersistenceChoice::Detect)
                .with_context(name)?;
            // The open file outlives its name, and needs no removal however the benchmark ends.
            fs::remove_file(path).with_context(name)?;
            Filesystem::format(&device, &FormatOptions::default()).with_context(name)?;
            Ok(device)
        }
        Err(error) => Err(error).with_context(name),
        Ok(_) => image::open_device(path, Purpose::Change),
    }
}

/// Removes the benchmark's directory and the files in it.
fn remove_directory(filesystem: &Filesystem, directory: &Path) -> Result<()> {
    let entries = match filesystem.read_directory(directory) {
        Err(Error::NotFound { .. }) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        debug_assert_eq!(entry.kind, FileKind::File, "workloads make files only");
        filesystem.remove_file(directory.join(&entry.name))?;
    }
    Ok(filesystem.remove_directory(directory)?)
}
