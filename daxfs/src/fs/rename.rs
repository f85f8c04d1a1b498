//! Moving names: in the place of what is there, only where nothing is, or the one for the other.
//!
//! # Locking
//! Two directories are locked the ancestor first, and otherwise by inode number. Which of two is
//! the ancestor does not change while `Mounted::moves` is held, and every move between directories
//! holds it (Linux's `s_vfs_rename_mutex`; its proof is in the kernel's document on directory
//! locking). A directory that is replaced is locked last: its parent is.

use std::path::Path;
use std::sync::Arc;

use super::mounted::Mounted;
use super::namespace::{MOST_LINKS, check_alive, not_found, vacant};
use super::walk::{Ending, Place};
use crate::directory::{Directory, DirectoryLocked, LoadedDirectory};
use crate::error::{Error, Result};
use crate::format::geometry::ROOT_INODE;
use crate::format::record::{self, Disposition, Record};
use crate::inode::Inode;
use crate::inode::attributes::now;
use crate::lock_order::{Held, Rank};

/// What a rename does when the new name is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RenameMode {
    /// It takes its place, in one step (`rename(2)`, and the default).
    #[default]
    Replace,
    /// It fails (`RENAME_NOREPLACE`).
    NoReplace,
    /// The two exchange names (`RENAME_EXCHANGE`); both must be there.
    Exchange,
}

/// One end of a move.
struct End<'path> {
    place: Place,
    path: &'path Path,
}

impl Mounted {
    /// Moves what `from` names to `to`.
    pub(super) fn rename(&self, from: &Path, to: &Path, mode: RenameMode) -> Result<()> {
        let [from, to] = match (self.ending(from)?, self.ending(to)?) {
            (Ending::Name(source), Ending::Name(target)) => [
                End {
                    place: source,
                    path: from,
                },
                End {
                    place: target,
                    path: to,
                },
            ],
            (Ending::Name(_), _) if mode == RenameMode::NoReplace => {
                return Err(Error::AlreadyExists {
                    path: to.to_path_buf(),
                });
            }
            (Ending::Name(_), _) => {
                return Err(Error::InUse {
                    path: to.to_path_buf(),
                });
            }
            _ => {
                return Err(Error::InUse {
                    path: from.to_path_buf(),
                });
            }
        };
        if from.place.parent.number() == to.place.parent.number() {
            let directory = self.volume.directory(&from.place.parent)?;
            let _locked = directory.lock();
            return self.rename_locked(&from, &to, mode);
        }
        let _rank = Held::take(Rank::Moves);
        let _moves = self.moves.lock();
        let _locked = self.lock_two(&from.place.parent, &to.place.parent)?;
        self.rename_locked(&from, &to, mode)
    }

    fn rename_locked(&self, from: &End<'_>, to: &End<'_>, mode: RenameMode) -> Result<()> {
        let (source, target) = (&from.place, &to.place);
        check_alive(&source.parent, from.path)?;
        check_alive(&target.parent, to.path)?;
        let (from_position, moved) = self
            .look_up(&source.parent, &source.name, from.path)?
            .ok_or_else(|| not_found(from.path))?;
        let replaced = self.look_up(&target.parent, &target.name, to.path)?;
        match (mode, &replaced) {
            (RenameMode::NoReplace, Some(_)) => {
                return Err(Error::AlreadyExists {
                    path: to.path.to_path_buf(),
                });
            }
            (RenameMode::Exchange, None) => return Err(not_found(to.path)),
            _ => {}
        }
        let other = replaced.as_ref().map(|(_, inode)| inode);
        check_slashes(
            from,
            to,
            &moved,
            other.filter(|_| mode == RenameMode::Exchange),
        )?;
        self.check_ancestry(from, to, &moved, other, mode)?;
        match (mode, replaced) {
            (_, Some((_, other))) if other.number() == moved.number() => Ok(()),
            (RenameMode::Exchange, Some((to_position, other))) => {
                // Files do not count.
                if other.directory().is_none() {
                    check_room(from, to, &moved)?;
                }
                if moved.directory().is_none() {
                    check_room(to, from, &other)?;
                }
                self.exchange(
                    record::Entry {
                        directory: source.parent.number(),
                        position: from_position,
                        inode: moved.number(),
                    },
                    record::Entry {
                        directory: target.parent.number(),
                        position: to_position,
                        inode: other.number(),
                    },
                )
            }
            (_, Some((to_position, other))) => {
                self.move_over(from, to, (from_position, &moved), (to_position, &other))
            }
            (_, None) => {
                let directory = self.volume.directory(&target.parent)?;
                let to_position = vacant(&directory, &target.name, to.path)?;
                check_room(from, to, &moved)?;
                self.commit_move(from, to, (from_position, &moved), (to_position, None))
            }
        }
    }

    /// Nothing goes into itself, in whichever direction it moves; and what holds what is moved is
    /// not empty.
    fn check_ancestry(
        &self,
        from: &End<'_>,
        to: &End<'_>,
        moved: &Inode,
        other: Option<&Arc<Inode>>,
        mode: RenameMode,
    ) -> Result<()> {
        let into_itself = |path: &Path| {
            Err(Error::IntoItself {
                path: path.to_path_buf(),
            })
        };
        if from.place.parent.number() == to.place.parent.number() {
            // Neither holds their directory; and `moves` is not held, without which looking upwards
            // might meet a way that never was.
            return Ok(());
        }
        if self.is_within(&to.place.parent, moved)? {
            return into_itself(to.path);
        }
        match other {
            Some(other) if self.is_within(&from.place.parent, other)? => match mode {
                RenameMode::Exchange => into_itself(from.path),
                _ => Err(Error::DirectoryNotEmpty {
                    path: to.path.to_path_buf(),
                }),
            },
            _ => Ok(()),
        }
    }

    /// Replaces what is there.
    fn move_over(
        &self,
        from: &End<'_>,
        to: &End<'_>,
        moved: (u64, &Arc<Inode>),
        replaced: (u64, &Arc<Inode>),
    ) -> Result<()> {
        let (to_position, other) = replaced;
        match (moved.1.directory(), other.directory()) {
            (Some(_), None) => Err(Error::NotADirectory {
                path: to.path.to_path_buf(),
            }),
            (None, Some(_)) => Err(Error::IsADirectory {
                path: to.path.to_path_buf(),
            }),
            (None, None) => self.commit_move(from, to, moved, (to_position, Some(other))),
            (Some(_), Some(_)) => {
                // Its lock is not held already: it does not hold what is moved.
                let emptied = self.volume.directory(other)?;
                let _locked = emptied.lock();
                if !emptied.is_empty() {
                    return Err(Error::DirectoryNotEmpty {
                        path: to.path.to_path_buf(),
                    });
                }
                self.commit_move(from, to, moved, (to_position, Some(other)))
            }
        }
    }

    fn commit_move(
        &self,
        from: &End<'_>,
        to: &End<'_>,
        (from_position, moved): (u64, &Arc<Inode>),
        (to_position, replaced): (u64, Option<&Arc<Inode>>),
    ) -> Result<()> {
        self.volume.reserve_growth(&to.place.parent)?;
        if let Some(replaced) = replaced {
            self.prepare_removal(replaced)?;
        }
        let record = |disposition| Record::Rename {
            from_directory: from.place.parent.number(),
            from_position,
            to_directory: to.place.parent.number(),
            to_position,
            to_name: to.place.name.clone(),
            inode: moved.number(),
            replaced_inode: replaced.map_or(0, |inode| inode.number()),
            disposition,
            time: now(),
        };
        let log_bytes = record(Disposition::Kept).encoded_len();
        let mut transaction = self.volume.begin(log_bytes)?;
        let open_files = self.open_files.lock();
        let disposition = replaced.map_or(Disposition::Kept, |inode| open_files.disposition(inode));
        transaction.commit(&record(disposition))
    }

    fn exchange(&self, first: record::Entry, second: record::Entry) -> Result<()> {
        let record = Record::Exchange {
            first,
            second,
            time: now(),
        };
        self.volume.begin(record.encoded_len())?.commit(&record)
    }

    // ---- Two directories ----------------------------------------------------------------------

    /// Locks two directories, with `moves` held.
    fn lock_two<'inode>(
        &self,
        one: &'inode Inode,
        other: &'inode Inode,
    ) -> Result<[DirectoryLocked<'inode>; 2]> {
        let one_first = self.is_within(other, one)?
            || (!self.is_within(one, other)? && one.number() < other.number());
        let (first, second) = if one_first {
            (one, other)
        } else {
            (other, one)
        };
        let lock = |directory: LoadedDirectory<'inode>| directory.lock();
        Ok([
            lock(self.volume.directory(first)?),
            lock(self.volume.directory(second)?),
        ])
    }

    /// Whether `inode` is `ancestor` or somewhere below it.
    fn is_within(&self, inode: &Inode, ancestor: &Inode) -> Result<bool> {
        if inode.number() == ancestor.number() {
            return Ok(true);
        }
        let mut below = inode.directory().map_or(ROOT_INODE, Directory::parent);
        while below != ancestor.number() {
            // Nothing is above the root, nor above what has been removed.
            let above = match below {
                ROOT_INODE => None,
                number => self.volume.find_inode(number)?,
            };
            match above.as_ref().and_then(|inode| inode.directory()) {
                Some(directory) => below = directory.parent(),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// A directory that comes to another one is one more link of that, unless it takes the place of
/// one.
fn check_room(from: &End<'_>, to: &End<'_>, moved: &Inode) -> Result<()> {
    let stays = from.place.parent.number() == to.place.parent.number();
    if moved.directory().is_some() && !stays && to.place.parent.links() >= MOST_LINKS {
        return Err(Error::TooManyNames {
            path: to.path.to_path_buf(),
        });
    }
    Ok(())
}

/// A path that ends in a slash must name a directory, on both ends: on the new one what is moved,
/// and in an exchange what is there.
fn check_slashes(
    from: &End<'_>,
    to: &End<'_>,
    moved: &Inode,
    exchanged: Option<&Arc<Inode>>,
) -> Result<()> {
    let not_a_directory = |path: &Path| {
        Err(Error::NotADirectory {
            path: path.to_path_buf(),
        })
    };
    let named = exchanged.map_or(moved, |other| other);
    if to.place.wants_directory && named.directory().is_none() {
        return not_a_directory(to.path);
    }
    if from.place.wants_directory && moved.directory().is_none() {
        return not_a_directory(from.path);
    }
    Ok(())
}
