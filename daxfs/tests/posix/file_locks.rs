//! Byte-range locks of daxfs against `fcntl` on a file of the kernel's: one process, which has
//! locks of its own, and some open file descriptions, each of which has others.
//!
//! Needs no root: it has a folder for temporary files and goes nowhere else.

use std::fs::{File as HostFile, OpenOptions};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use daxfs::{
    Device, Error, File, Filesystem, FormatOptions, HeldLock, LockKind, LockOwner, LockRange,
    MapOptions, MountAccess, MountOptions, PersistenceChoice,
};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, flock};
use proptest::prelude::*;
use tempfile::TempDir;

const FILES: usize = 2;
const SLOTS: usize = 4;
/// The test's process, by a number that daxfs does not look into.
const PROCESS: LockOwner = LockOwner::Process(77);

/// Bytes as `struct flock` has them.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    start: i64,
    len: i64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Open {
        slot: usize,
        file: usize,
    },
    Duplicate {
        from: usize,
        to: usize,
    },
    Close {
        slot: usize,
    },
    Use {
        slot: usize,
        owner: LockOwner,
        bytes: Bytes,
        what: Use,
    },
}

#[derive(Clone, Copy, Debug)]
enum Use {
    Lock(LockKind),
    Unlock,
    Look(LockKind),
}

/// What was found, if anything was looked for and is there; or an error number.
type Outcome = Result<Option<HeldLock>, i32>;

fn bytes() -> impl Strategy<Value = Bytes> {
    let start = prop_oneof![16 => 0..40_i64, 2 => i64::MAX - 10..=i64::MAX, 1 => -3..0_i64];
    let len = prop_oneof![
        16 => 1..16_i64,
        3 => Just(0),
        3 => -8..0_i64,
        1 => Just(i64::MAX),
        1 => Just(i64::MIN),
    ];
    (start, len).prop_map(|(start, len)| Bytes { start, len })
}

fn step() -> impl Strategy<Value = Step> {
    let kind = || prop_oneof![Just(LockKind::Shared), Just(LockKind::Exclusive)];
    let owner = prop_oneof![1 => Just(PROCESS), 2 => Just(LockOwner::Description)];
    let what = prop_oneof![
        6 => kind().prop_map(Use::Lock),
        3 => Just(Use::Unlock),
        4 => kind().prop_map(Use::Look),
    ];
    prop_oneof![
        2 => (0..SLOTS, 0..FILES).prop_map(|(slot, file)| Step::Open { slot, file }),
        1 => (0..SLOTS, 0..SLOTS).prop_map(|(from, to)| Step::Duplicate { from, to }),
        1 => (0..SLOTS).prop_map(|slot| Step::Close { slot }),
        24 => (0..SLOTS, owner, bytes(), what)
            .prop_map(|(slot, owner, bytes, what)| Step::Use { slot, owner, bytes, what }),
    ]
}

fn path(file: usize) -> String {
    format!("/{file}")
}

// ---- daxfs ------------------------------------------------------------------------------------

struct Subject {
    fs: Filesystem,
    slots: [Option<File>; SLOTS],
}

impl Subject {
    fn new() -> Self {
        let device = Device::create_memfd(8 << 20, PersistenceChoice::Detect).unwrap();
        Filesystem::format(&device, &FormatOptions::default()).unwrap();
        let fs = Filesystem::mount(Arc::new(device), MountOptions::default()).unwrap();
        for file in 0..FILES {
            fs.create(path(file)).unwrap();
        }
        Self {
            fs,
            slots: Default::default(),
        }
    }

    fn apply(&mut self, step: Step) -> Outcome {
        match step {
            Step::Open { slot, file } => {
                self.close(slot);
                self.slots[slot] = Some(self.fs.open(path(file)).unwrap());
            }
            Step::Duplicate { from, to } => {
                let duplicate = self.slots[from].clone();
                self.close(to);
                self.slots[to] = duplicate;
            }
            Step::Close { slot } => self.close(slot),
            Step::Use {
                slot,
                owner,
                bytes,
                what,
            } => {
                let Some(file) = &self.slots[slot] else {
                    return Ok(None);
                };
                return use_file(file, owner, bytes, what).map_err(|error| error.errno());
            }
        }
        Ok(None)
    }

    /// As a server does it for a process that closes a descriptor.
    fn close(&mut self, slot: usize) {
        if let Some(file) = self.slots[slot].take() {
            file.release_locks(PROCESS);
        }
    }
}

fn use_file(
    file: &File,
    owner: LockOwner,
    bytes: Bytes,
    what: Use,
) -> Result<Option<HeldLock>, Error> {
    let range = LockRange::new(bytes.start, bytes.len)?;
    match what {
        Use::Lock(kind) => file.try_lock_range(owner, kind, range)?,
        Use::Unlock => file.unlock_range(owner, range),
        Use::Look(kind) => return Ok(file.conflicting_lock(owner, kind, range)),
    }
    Ok(None)
}

// ---- The kernel -------------------------------------------------------------------------------

struct Host {
    place: TempDir,
    slots: [Option<HostFile>; SLOTS],
}

impl Host {
    fn new() -> Self {
        let host = Self {
            place: TempDir::new().unwrap(),
            slots: Default::default(),
        };
        for file in 0..FILES {
            HostFile::create(host.path(file)).unwrap();
        }
        host
    }

    fn path(&self, file: usize) -> PathBuf {
        self.place.path().join(file.to_string())
    }

    fn apply(&mut self, step: Step) -> Outcome {
        match step {
            Step::Open { slot, file } => {
                self.slots[slot] = None;
                let opened = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(self.path(file));
                self.slots[slot] = Some(opened.unwrap());
            }
            Step::Duplicate { from, to } => {
                let from = self.slots[from].as_ref();
                let duplicate = from.map(|file| file.try_clone().unwrap());
                self.slots[to] = duplicate;
            }
            Step::Close { slot } => self.slots[slot] = None,
            Step::Use {
                slot,
                owner,
                bytes,
                what,
            } => {
                let Some(file) = &self.slots[slot] else {
                    return Ok(None);
                };
                return ask_kernel(file, owner, bytes, what);
            }
        }
        Ok(None)
    }
}

fn ask_kernel(file: &HostFile, owner: LockOwner, bytes: Bytes, what: Use) -> Outcome {
    let kind = |kind| match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    };
    let (l_type, looks) = match what {
        Use::Lock(wanted) => (kind(wanted), false),
        Use::Unlock => (libc::F_UNLCK, false),
        Use::Look(wanted) => (kind(wanted), true),
    };
    let mut lock = flock {
        l_type: l_type as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: bytes.start,
        l_len: bytes.len,
        l_pid: 0,
    };
    let argument = match (owner, looks) {
        (LockOwner::Process(_), false) => FcntlArg::F_SETLK(&lock),
        (LockOwner::Process(_), true) => FcntlArg::F_GETLK(&mut lock),
        (LockOwner::Description, false) => FcntlArg::F_OFD_SETLK(&lock),
        (LockOwner::Description, true) => FcntlArg::F_OFD_GETLK(&mut lock),
    };
    fcntl(file.as_fd(), argument).map_err(|error| error as i32)?;
    Ok(if looks { found(&lock) } else { None })
}

/// What the kernel says that is in the way.
fn found(lock: &flock) -> Option<HeldLock> {
    let kind = match libc::c_int::from(lock.l_type) {
        libc::F_RDLCK => LockKind::Shared,
        libc::F_WRLCK => LockKind::Exclusive,
        _ => return None,
    };
    Some(HeldLock {
        kind,
        range: LockRange::new(lock.l_start, lock.l_len).unwrap(),
        owner: match lock.l_pid {
            -1 => LockOwner::Description,
            _ => PROCESS,
        },
    })
}

// ---- Both -------------------------------------------------------------------------------------

fn run(steps: &[Step]) {
    let (mut subject, mut host) = (Subject::new(), Host::new());
    let opening = (0..SLOTS).map(|slot| Step::Open {
        slot,
        file: slot % FILES,
    });
    for (number, step) in opening.chain(steps.iter().copied()).enumerate() {
        let (of_subject, of_host) = (subject.apply(step), host.apply(step));
        assert_eq!(
            of_subject, of_host,
            "(daxfs left, the kernel right) step {number}: {step:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400 * crate::stress_factor(),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn file_locks_are_as_the_kernel_has_them(steps in prop::collection::vec(step(), 1..100)) {
        run(&steps);
    }
}

const ALL: Bytes = Bytes { start: 0, len: 0 };

#[test]
fn an_exclusive_lock_needs_a_file_open_for_writing() {
    const EBADF: Outcome = Err(9);
    let subject = Subject::new();
    let device = Arc::clone(subject.fs.device());
    subject.fs.unmount().unwrap();
    let mut options = MountOptions::default();
    options.access = MountAccess::ReadOnly;
    let fs = Filesystem::mount(device, options).unwrap();
    let file = fs.open(path(0)).unwrap();
    let host = Host::new();
    let host_file = HostFile::open(host.path(0)).unwrap();
    for owner in [PROCESS, LockOwner::Description] {
        let ask = |what| {
            let of_subject = use_file(&file, owner, ALL, what).map_err(|error| error.errno());
            let of_host = ask_kernel(&host_file, owner, ALL, what);
            assert_eq!(of_subject, of_host, "{owner:?}: {what:?}");
            of_subject
        };
        assert_eq!(ask(Use::Lock(LockKind::Exclusive)), EBADF);
        assert_eq!(ask(Use::Lock(LockKind::Shared)), Ok(None));
        assert_eq!(ask(Use::Unlock), Ok(None));
        assert_eq!(ask(Use::Look(LockKind::Exclusive)), Ok(None));
    }
}

/// As the kernel's do, whose mappings refer to the description.
#[test]
fn locks_of_a_description_last_as_long_as_its_mappings() {
    let subject = Subject::new();
    let file = subject.fs.open(path(0)).unwrap();
    file.truncate(4096).unwrap();
    let mapping = file.map(MapOptions::new(4096)).unwrap();
    let description = LockOwner::Description;
    file.try_lock_range(description, LockKind::Exclusive, LockRange::ALL)
        .unwrap();
    let (clone, other) = (file.clone(), subject.fs.open(path(0)).unwrap());
    let is_locked = || {
        let found = other.conflicting_lock(description, LockKind::Shared, LockRange::ALL);
        found.is_some()
    };
    drop(file);
    assert!(is_locked());
    drop(clone);
    assert!(is_locked());
    drop(mapping);
    assert!(!is_locked());
}

/// One process waits in one file for another that waits in another: the graph of waits is the
/// filesystem's, not the file's.
#[test]
fn deadlocks_are_found_over_files() {
    let subject = Subject::new();
    let [one, other] = [0, 1].map(|file| subject.fs.open(path(file)).unwrap());
    let [first, second] = [LockOwner::Process(1), LockOwner::Process(2)];
    one.lock_range(first, LockKind::Exclusive, LockRange::ALL)
        .unwrap();
    other
        .lock_range(second, LockKind::Exclusive, LockRange::ALL)
        .unwrap();
    let cross = |file: &File, back: &File, owner| {
        let outcome = file.lock_range(owner, LockKind::Shared, LockRange::ALL);
        back.release_locks(owner);
        outcome.map_err(|error| error.errno())
    };
    let outcomes = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| cross(&other, &one, first));
        let here = cross(&one, &other, second);
        [waiting.join().unwrap(), here]
    });
    // Whoever came second was refused, and let the other go on.
    assert!(
        outcomes.contains(&Ok(())) && outcomes.contains(&Err(35)),
        "{outcomes:?}"
    );
}
