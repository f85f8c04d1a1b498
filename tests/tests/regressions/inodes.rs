//! A number that is another inode's by now: whoever looks one up, or gives one back, must mean the
//! inode and not its number.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use daxfs::{
    Device, Error, FileKind, Filesystem, FormatOptions, MapOptions, PageTables, Persistence,
    PersistenceChoice,
};
use daxfs_tests::fixture::{assert_clean, formatted, mount, stress_factor};

const DEVICE_BYTES: u64 = 32 << 20;
const PAGE: u64 = 4096;

/// A filesystem whose files take a while to close: what was stored through mappings is flushed,
/// cache line by cache line, where the processor has an instruction for it.
fn slow_to_close() -> (Arc<Device>, Filesystem) {
    let flushed = PersistenceChoice::Use(Persistence::Hardware);
    let device = Device::create_memfd(DEVICE_BYTES, flushed)
        .or_else(|_| Device::create_memfd(DEVICE_BYTES, PersistenceChoice::Detect))
        .expect("a memfd");
    Filesystem::format(&device, &FormatOptions::default()).expect("an empty filesystem");
    let device = Arc::new(device);
    let fs = mount(&device);
    (device, fs)
}

fn remount_and_check(device: &Arc<Device>, fs: Filesystem) {
    fs.unmount().unwrap();
    assert_clean(device);
    mount(device).unmount().unwrap();
    assert_clean(device);
}

/// **Symptom.** A file just made was gone, its name left behind; the image no longer mounted.
/// **Cause.** A file without names is removed by whoever is last, the remover or the one that
/// closes it. With the last handle already going, both removed the inode by its number, the second
/// time when it was another's. **Fix.** Only the inode itself is removed, not whatever has its
/// number.
///
/// Here the file takes long to close; it is removed and its number given to another meanwhile.
#[test]
fn a_file_removed_while_it_closes_takes_no_other_file_along() {
    const PAGES: u64 = 1 << 11;
    let (device, fs) = slow_to_close();
    for round in 0..20 * stress_factor() {
        let file = fs.create("/a").unwrap();
        file.truncate(PAGES * PAGE).unwrap();
        let options = MapOptions {
            page_tables: PageTables::Software,
            ..MapOptions::new(PAGES * PAGE)
        };
        let mapping = file.map(options).unwrap();
        for page in 0..PAGES {
            mapping.store(page * PAGE, &[1]).unwrap();
        }
        drop(mapping);
        let closing = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                closing.store(true, Ordering::Release);
                drop(file);
            });
            while !closing.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            thread::sleep(Duration::from_micros(u64::from(round % 4) * 50));
            fs.remove_file("/a").unwrap();
            drop(fs.create("/b").unwrap());
        });
        assert_eq!(fs.space().inodes, 2, "round {round}: the root and /b");
        fs.remove_file("/b").unwrap();
    }
    remount_and_check(&device, fs);
}

/// The same by chance: a file is opened and closed by two threads until somebody removes it, who
/// then makes another.
#[test]
fn files_that_come_and_go_while_others_close_them_stay_what_they_are() {
    let device = formatted(DEVICE_BYTES);
    let fs = mount(&device);
    let rounds = 300 * stress_factor();
    let (start, end) = (Barrier::new(3), Barrier::new(3));
    let over = AtomicBool::new(false);
    let open_and_close = || {
        loop {
            start.wait();
            if over.load(Ordering::Relaxed) {
                return;
            }
            while let Ok(file) = fs.open("/a") {
                file.write_at(b"a", 0).unwrap();
            }
            end.wait();
        }
    };
    let lost = thread::scope(|scope| {
        scope.spawn(open_and_close);
        scope.spawn(open_and_close);
        let lost = (0..rounds).find(|round| {
            drop(fs.create("/a"));
            start.wait();
            for _ in 0..round % 8 {
                thread::yield_now();
            }
            let removed = fs.remove_file("/a");
            let made = fs.create("/b").map(drop);
            end.wait();
            // Nobody looks /b up unless its inode is there.
            let is_whole = fs.space().inodes == 2 && removed.is_ok() && made.is_ok();
            !is_whole || fs.remove_file("/b").is_err()
        });
        over.store(true, Ordering::Relaxed);
        start.wait();
        lost
    });
    assert_eq!(lost, None, "the round in which /b was lost, of {rounds}");
    remount_and_check(&device, fs);
}

/// How often a file was found, and how often something else in its place.
#[derive(Debug, Default)]
struct Found {
    right: AtomicU64,
    wrong: AtomicU64,
}

impl Found {
    fn note(&self, is_right: bool) {
        let count = if is_right { &self.right } else { &self.wrong };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sets a flag when it goes, also when a panic takes it.
struct SetOnDrop<'flag>(&'flag AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes the file `/a`, removes it and lets something else have its number, over and over, while
/// there is a thread for each processor that does `look` for it. This one wakes up in between, and
/// so interrupts a look-up between two of its steps every now and then.
fn look_for_a_while_it_comes_and_goes(fs: &Filesystem, look: impl Fn() + Sync, replace: impl Fn()) {
    const MOST_LOOKERS: usize = 16;
    let nap = || thread::sleep(Duration::from_micros(10));
    let stop = AtomicBool::new(false);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors.min(MOST_LOOKERS) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    look();
                }
            });
        }
        let _stop = SetOnDrop(&stop);
        for _ in 0..1_500 * stress_factor() {
            drop(fs.create("/a").unwrap());
            nap();
            fs.remove_file("/a").unwrap();
            // Whoever has it open is about to close it, unless interrupted.
            for _ in 0..100 {
                if fs.space().inodes > 1 {
                    std::hint::spin_loop();
                }
            }
            replace();
        }
    });
}

/// **Symptom.** The metadata of a file were at times those of a directory with another name.
/// **Cause.** A path leads to a number and the number to an inode; in between, the file was removed
/// and its number given away. **Fix.** The walk looks at the name again once it has the inode, and
/// starts over if that is not what it was.
#[test]
fn a_path_leads_to_no_inode_of_another_name() {
    let device = formatted(DEVICE_BYTES);
    let fs = mount(&device);
    let found = Found::default();
    let look = || {
        if let Ok(metadata) = fs.metadata("/a") {
            found.note(metadata.kind == FileKind::File);
        }
    };
    look_for_a_while_it_comes_and_goes(&fs, look, || {
        fs.create_directory("/b").unwrap();
        thread::sleep(Duration::from_micros(10));
        fs.remove_directory("/b").unwrap();
    });
    assert_eq!(found.wrong.load(Ordering::Relaxed), 0, "{found:?}");
    remount_and_check(&device, fs);
}

/// **Symptom.** Opening one file gave another. **Cause.** Open files are found by number as well:
/// between the walk and that look-up, the number became that of a file that was open. **Fix.** The
/// open file must be the inode that the path led to.
#[test]
fn opening_gives_no_file_of_another_name() {
    let device = formatted(DEVICE_BYTES);
    let fs = mount(&device);
    let found = Found::default();
    let look = || match fs.open("/a") {
        Ok(file) => found.note(file.is_empty()),
        Err(Error::NotFound { .. }) => {}
        Err(error) => panic!("{error}"),
    };
    look_for_a_while_it_comes_and_goes(&fs, look, || {
        let other = fs.create("/b").unwrap();
        other.truncate(1).unwrap();
        thread::sleep(Duration::from_micros(10));
        fs.remove_file("/b").unwrap();
    });
    assert_eq!(found.wrong.load(Ordering::Relaxed), 0, "{found:?}");
    remount_and_check(&device, fs);
}
