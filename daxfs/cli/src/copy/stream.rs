//! Moves one file's bytes from where they are to where they go, 1 MiB at a time.
//!
//! Touches host files, pipes and, through the library, files of images; takes no locks of its
//! own. A host file is written under a temporary name and renamed when it is whole, so that a
//! failed copy loses nothing that was there. An image has no rename yet: there a file that is
//! overwritten is truncated first, as by cp(1).

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use daxfs::{Error, File};
use indicatif::ProgressBar;

use super::tree::{Kind, Place, Tree};

const BUFFER_BYTES: usize = 1 << 20;

/// Where bytes come from.
pub(super) struct Source {
    name: String,
    bytes: SourceBytes,
}

enum SourceBytes {
    Stdin(io::Stdin),
    Host(fs::File),
    Image { file: File, offset_bytes: u64 },
}

impl Source {
    /// Standard input.
    pub(super) fn stdin() -> Self {
        Self {
            name: "standard input".into(),
            bytes: SourceBytes::Stdin(io::stdin()),
        }
    }

    /// The file at `place`.
    pub(super) fn open(place: &Place<'_>) -> Result<Self> {
        let name = place.to_string();
        let bytes = match place.tree {
            Tree::Host => {
                SourceBytes::Host(fs::File::open(&place.path).with_context(|| name.clone())?)
            }
            Tree::Image { filesystem, .. } => {
                let file = filesystem
                    .open(&place.path)
                    .map_err(|error| place.error(error))?;
                SourceBytes::Image {
                    file,
                    offset_bytes: 0,
                }
            }
        };
        Ok(Self { name, bytes })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = match &mut self.bytes {
            SourceBytes::Stdin(stdin) => read_retrying(stdin, buffer),
            SourceBytes::Host(file) => read_retrying(file, buffer),
            SourceBytes::Image { file, offset_bytes } => {
                let read = file
                    .read_at(buffer, *offset_bytes)
                    .with_context(|| self.name.clone())?;
                *offset_bytes += read as u64;
                Ok(read)
            }
        };
        read.with_context(|| self.name.clone())
    }
}

fn read_retrying(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Where bytes go.
pub(super) struct Sink<'a> {
    place: Option<Place<'a>>,
    bytes: SinkBytes,
}

enum SinkBytes {
    Stdout(io::Stdout),
    /// A device, a pipe: what cannot be replaced is written to.
    HostSpecial(fs::File),
    HostFile {
        file: fs::File,
        temporary: PathBuf,
        target: PathBuf,
    },
    Image {
        file: File,
        offset_bytes: u64,
        origin: Origin,
    },
}

/// Whether a file of an image was there before the copy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Existing,
    Created,
}

impl<'a> Sink<'a> {
    /// Standard output.
    pub(super) fn stdout() -> Self {
        Self {
            place: None,
            bytes: SinkBytes::Stdout(io::stdout()),
        }
    }

    /// The file at `place`, created or made empty.
    pub(super) fn create(place: &Place<'a>) -> Result<Self> {
        let kind = place.kind()?;
        if kind == Some(Kind::Directory) {
            bail!("{place}: is a directory, and cannot be overwritten by a file");
        }
        let bytes = match place.tree {
            Tree::Host if kind == Some(Kind::Special) => fs::File::options()
                .write(true)
                .open(&place.path)
                .map(SinkBytes::HostSpecial)
                .with_context(|| place.to_string())?,
            Tree::Host => create_host_file(&place.path).with_context(|| place.to_string())?,
            Tree::Image { filesystem, .. } => match filesystem.create(&place.path) {
                Ok(file) => SinkBytes::Image {
                    file,
                    offset_bytes: 0,
                    origin: Origin::Created,
                },
                Err(Error::AlreadyExists { .. }) => {
                    let open = || {
                        let file = filesystem.open(&place.path)?;
                        file.truncate(0)?;
                        Ok(file)
                    };
                    let file = open().map_err(|error| place.error(error))?;
                    SinkBytes::Image {
                        file,
                        offset_bytes: 0,
                        origin: Origin::Existing,
                    }
                }
                Err(error) => return Err(place.error(error)),
            },
        };
        Ok(Self {
            place: Some(place.clone()),
            bytes,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.bytes {
            SinkBytes::Stdout(stdout) => stdout.write_all(bytes).map_err(Into::into),
            SinkBytes::HostSpecial(file) | SinkBytes::HostFile { file, .. } => {
                file.write_all(bytes).map_err(Into::into)
            }
            SinkBytes::Image {
                file, offset_bytes, ..
            } => {
                let written = file.write_all_at(bytes, *offset_bytes);
                *offset_bytes += bytes.len() as u64;
                written.map_err(anyhow::Error::new)
            }
        };
        written.with_context(|| name(self.place.as_ref()))
    }

    /// Ends the file: puts it in its place if all of it was `copied`, else takes back what can be.
    pub(super) fn finish(self, copied: Result<()>) -> Result<()> {
        let shown = name(self.place.as_ref());
        match self.bytes {
            SinkBytes::Stdout(mut stdout) => copied.and_then(|()| stdout.flush().context(shown)),
            SinkBytes::HostSpecial(_) => copied,
            SinkBytes::HostFile {
                file,
                temporary,
                target,
            } => {
                drop(file);
                let placed =
                    copied.and_then(|()| fs::rename(&temporary, &target).context(shown.clone()));
                if placed.is_err() {
                    // The first failure is the one to report.
                    let _ = fs::remove_file(&temporary);
                }
                placed
            }
            SinkBytes::Image { file, origin, .. } => {
                drop(file);
                match (copied, origin, self.place) {
                    (Ok(()), _, _) => Ok(()),
                    (Err(error), Origin::Existing, _) => {
                        Err(error.context(format!("{shown}: now incomplete")))
                    }
                    (Err(error), Origin::Created, place) => {
                        if let Some(Place {
                            tree: Tree::Image { filesystem, .. },
                            path,
                        }) = place
                        {
                            let _ = filesystem.remove_file(path);
                        }
                        Err(error)
                    }
                }
            }
        }
    }
}

fn name(place: Option<&Place<'_>>) -> String {
    place.map_or_else(|| "standard output".into(), ToString::to_string)
}

/// Opens a temporary file beside `path`, with the permissions of the file that is there.
fn create_host_file(path: &Path) -> io::Result<SinkBytes> {
    static ORDINAL: AtomicU64 = AtomicU64::new(0);
    // Through a symbolic link the file that it leads to is replaced, as cp(1) would write to it.
    let target = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        target => target?,
    };
    let ordinal = ORDINAL.fetch_add(1, Ordering::Relaxed);
    let temporary = target.with_file_name(format!(".daxfs-tmp-{}-{ordinal}", process::id()));
    let file = fs::File::create_new(&temporary)?;
    if let Ok(metadata) = fs::metadata(&target) {
        file.set_permissions(metadata.permissions())?;
    }
    Ok(SinkBytes::HostFile {
        file,
        temporary,
        target,
    })
}

/// The memory that bytes pass through.
pub(super) struct Buffer(Box<[u8]>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![0; BUFFER_BYTES].into_boxed_slice())
    }
}

impl Buffer {
    /// Copies all that `source` has to `sink`.
    pub(super) fn copy(
        &mut self,
        source: &mut Source,
        sink: &mut Sink<'_>,
        bar: &ProgressBar,
    ) -> Result<()> {
        loop {
            let count = source.read(&mut self.0)?;
            if count == 0 {
                return Ok(());
            }
            sink.write(&self.0[..count])?;
            bar.inc(count as u64);
        }
    }
}
