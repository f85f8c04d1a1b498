//! The images that a benchmark runs on.
//!
//! A design is chosen when an image is mounted, and the designs take turns all the time. In
//! memory each pair of locks therefore has an image of its own, and all are mounted at once; only
//! what else there is to a design is chosen by mounting the image anew, and which pair has which
//! image when they change places ([`Stage::rotate`]). An image file (`--image`)
//! is one device for all: its mount changes hands between slices. The files of the benchmark lie
//! in a directory of their own, which is removed at the end.
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
    /// One for each pair of locks, or one for all.
    images: Vec<Image>,
}

/// A device, and what it is mounted with now.
struct Image {
    /// A design with the locks that it is for, unless it is for all.
    home: Design,
    device: Arc<Device>,
    mounted: Option<(Design, Filesystem)>,
}

impl Stage {
    /// Makes or opens the images for `plan`, and makes the directory of the benchmark in them.
    ///
    /// # Errors
    /// If an image cannot be made or opened, or has too little space.
    pub(crate) fn set_up(image: Option<&Path>, plan: &Plan) -> Result<Self> {
        let needed_bytes = plan
            .workloads()
            .into_iter()
            .map(|kind| workload::needed_bytes(kind, plan.threads_max()))
            .max()
            .unwrap_or(0)
            + SLACK_BYTES;
        let images = match image {
            None => in_memory(plan.designs(), needed_bytes)?,
            Some(path) => {
                let home = *plan.designs().first().context("nothing to measure")?;
                let device = open_or_create(path, needed_bytes)?;
                vec![Image::new(home, device)]
            }
        };
        let directory = PathBuf::from(format!("/daxfs-bench-{}", process::id()));
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
        let image = self.images.first().context("nothing to measure")?;
        Ok(&image.device)
    }

    /// Does `work` once for every image that there is.
    pub(crate) fn for_each_store(
        &mut self,
        mut work: impl FnMut(&Filesystem, &Path) -> Result<()>,
    ) -> Result<()> {
        for image in &mut self.images {
            let design = image.mounted.as_ref().map(|(design, _)| *design);
            let filesystem = image.mounted_with(design.unwrap_or(image.home))?;
            work(filesystem, &self.directory)?;
        }
        Ok(())
    }

    /// Does `work` on an image that is mounted with `design`.
    pub(crate) fn with_design<T>(
        &mut self,
        design: Design,
        work: impl FnOnce(&Filesystem, &Path) -> Result<T>,
    ) -> Result<T> {
        let image = match self.images.as_mut_slice() {
            [one_for_all] => one_for_all,
            images => images
                .iter_mut()
                .find(|image| image.home.has_the_locks_of(design))
                .ok_or_else(|| anyhow!("no image for {design}"))?,
        };
        work(image.mounted_with(design)?, &self.directory)
    }

    /// Gives each pair of locks the image that another had: some lie in memory that is dearer to
    /// map than others', and that is no design's merit.
    pub(crate) fn rotate(&mut self) {
        let homes: Vec<Design> = self.images.iter().map(|image| image.home).collect();
        let next = homes.iter().cycle().skip(1);
        for (image, home) in self.images.iter_mut().zip(next) {
            image.home = *home;
        }
    }

    /// How many images there are.
    pub(crate) fn images(&self) -> usize {
        self.images.len()
    }

    /// Removes what the benchmark made, and unmounts.
    pub(crate) fn take_down(mut self) -> Result<()> {
        let removed = self.for_each_store(remove_directory);
        let unmounted = self
            .images
            .into_iter()
            .filter_map(|image| image.mounted)
            .map(|(_, filesystem)| filesystem.unmount())
            .fold(Ok(()), daxfs::Result::and);
        removed?;
        Ok(unmounted?)
    }
}

impl Image {
    fn new(home: Design, device: Device) -> Self {
        Self {
            home,
            device: Arc::new(device),
            mounted: None,
        }
    }

    /// The filesystem mounted with `design`, after unmounting any other.
    fn mounted_with(&mut self, design: Design) -> Result<&Filesystem> {
        let filesystem = match self.mounted.take() {
            Some((current, filesystem)) if current == design => filesystem,
            other => {
                if let Some((_, filesystem)) = other {
                    filesystem.unmount()?;
                }
                mount(Arc::clone(&self.device), design)?
            }
        };
        let (_, filesystem) = self.mounted.insert((design, filesystem));
        Ok(filesystem)
    }
}

fn mount(device: Arc<Device>, design: Design) -> Result<Filesystem> {
    let mut options = MountOptions::default();
    options.mapping_lock = design.mapping_lock;
    options.unmapping = design.unmapping;
    options.entry_sizes = design.entry_sizes;
    let options = match design.io_lock {
        IoLock::Range => options,
        IoLock::Inode => options.with_inode_io_lock(),
        IoLock::Segment => options.with_segment_io_lock_for_benchmark(),
        IoLock::None => options.without_io_lock_for_benchmark(),
        other => bail!("the I/O lock {other} cannot be measured yet"),
    };
    Ok(Filesystem::mount(device, options)?)
}

/// An image for each pair of locks.
fn in_memory(designs: Vec<Design>, needed_bytes: u64) -> Result<Vec<Image>> {
    let mut images: Vec<Image> = Vec::new();
    for design in designs {
        if !images
            .iter()
            .any(|image| image.home.has_the_locks_of(design))
        {
            let len_bytes = image_bytes(needed_bytes);
            let device = Device::create_memfd(len_bytes, PersistenceChoice::Detect)?;
            Filesystem::format(&device, &FormatOptions::default())?;
            images.push(Image::new(design, device));
        }
    }
    Ok(images)
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
