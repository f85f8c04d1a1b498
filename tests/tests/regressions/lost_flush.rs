//! What was stored through a mapping is flushed by the next sync, whatever invalidated its page in
//! between: the bug that Linux commit c6dcf52c23d2 fixed.

use std::sync::Arc;

use daxfs::schedule::Point;
use daxfs::{
    Device, DeviceError, File, Filesystem, FormatOptions, MapOptions, MappingLock, MountOptions,
    Persistence, PersistenceChoice,
};
use daxfs_tests::choreography::{Actor, Choreography, Hold};

const PAGE: u64 = 4096;

/// A device that is made durable by flush instructions; `None` where there are none.
fn flushed_device() -> Option<Arc<Device>> {
    let choice = PersistenceChoice::Use(Persistence::Hardware);
    let device = match Device::create_memfd(16 << 20, choice) {
        Err(error @ DeviceError::NoFlushInstruction) => {
            println!("skipped: {error}");
            return None;
        }
        created => Arc::new(created.unwrap()),
    };
    Filesystem::format(&device, &FormatOptions::default()).unwrap();
    Some(device)
}

/// How much a sync flushes that has no metadata to write.
fn flushes_of_a_sync(device: &Device, file: &File) -> u64 {
    file.sync().unwrap();
    let before = device.counts().flushes;
    file.sync().unwrap();
    device.counts().flushes - before
}

/// A store finds the block that a write has just published; the write then invalidates the page.
#[test]
fn a_store_between_publication_and_invalidation_is_flushed() {
    for design in MappingLock::ALL {
        let Some(device) = flushed_device() else {
            return;
        };
        let choreography = Arc::new(Choreography::default());
        let mut options = MountOptions::default();
        options.mapping_lock = design;
        options.schedule = Some(Arc::clone(&choreography) as _);
        let fs = Filesystem::mount(Arc::clone(&device), options).unwrap();
        let file = fs.create("/file").unwrap();
        file.truncate(4 * PAGE).unwrap();
        let mapping = file.map(MapOptions::new(4 * PAGE)).unwrap();
        let published = Hold {
            actor: Actor::First,
            at: Point::WritePublished,
            until: None,
        };
        choreography.perform_with(
            &[published],
            || file.write_all_at(&[1; PAGE as usize], PAGE).unwrap(),
            || mapping.store(PAGE, &[2; 8]).unwrap(),
        );
        let mut read = [0; 9];
        file.read_at(&mut read, PAGE).unwrap();
        assert_eq!(read, [2, 2, 2, 2, 2, 2, 2, 2, 1], "{design}");

        let with_the_page = flushes_of_a_sync(&device, &file);
        file.punch_hole(PAGE, PAGE).unwrap();
        let without = flushes_of_a_sync(&device, &file);
        assert_eq!(with_the_page, without + 1, "{design}");
    }
}
