//! Tests of the log.

use super::*;
use daxfs_pmem::PersistenceChoice;

#[test]
fn smoke() {
    let device = Arc::new(
        Device::create_memfd(2 << 20, PersistenceChoice::Use(Persistence::Hardware)).unwrap(),
    );
    let region = LogRegion {
        start_block: 2,
        blocks: 256,
    };
    let log = Log::new(device.clone(), region, Lsn::new(0), Lsn::new(0), 7);
    let record = Record::RemoveInode { inode: 5 };
    let mut r = log.try_reserve(128).unwrap();
    log.append(&mut r, &record).unwrap();
    log.append(&mut r, &record).unwrap();
    drop(r);
    let mut seen = Vec::new();
    let tail = replay(&device, region, Lsn::new(0), 7, &mut |lsn, record| {
        seen.push((lsn, record));
        Ok(())
    })
    .unwrap();
    assert_eq!(tail, log.tail());
    assert_eq!(seen.len(), 2);
}
