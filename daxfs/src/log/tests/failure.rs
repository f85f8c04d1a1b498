//! A device that fails: the log stops at the first error, and stays stopped.

use std::sync::Arc;

use daxfs_pmem::{DeviceError, Persistence};

use super::fixture::{Medium, append, record_of};
use crate::error::{Error, Result};
use crate::format::record::Lsn;
use crate::log::{Log, Reservation};

/// A log of eight blocks on a device that has only two for it.
fn failing(persistence: Persistence) -> (Medium, Log) {
    let mut medium = Medium::with(1, persistence);
    medium.region.blocks = 8;
    let log = medium.log_from(0);
    (medium, log)
}

fn fill(log: &Log) -> Reservation<'_> {
    for seed in 0..7 {
        append(log, &record_of(16, seed));
    }
    log.try_reserve(64 * 64).unwrap()
}

fn first_error<T: std::fmt::Debug>(result: Result<T>) -> Arc<DeviceError> {
    match result {
        Err(Error::LogFailed { source }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_taken_after_an_append_that_failed() {
    let (medium, log) = failing(Persistence::Hardware);
    let mut reservation = fill(&log);
    let tail = log.tail();
    let image = medium.bytes_there();
    let first = first_error(log.append(&mut reservation, &record_of(32, 9)));
    assert!(matches!(*first, DeviceError::OutOfBounds { .. }));

    // This one would fit on the device.
    for _ in 0..2 {
        let again = first_error(log.append(&mut reservation, &record_of(1, 10)));
        assert!(Arc::ptr_eq(&first, &again));
    }
    assert!(Arc::ptr_eq(&first, &first_error(log.sync())));
    assert_eq!(log.tail(), tail);
    assert_eq!(medium.bytes_there(), image, "nothing was written, either");
}

#[test]
fn a_record_that_is_refused_does_not_stop_the_log() {
    let (_medium, log) = failing(Persistence::Hardware);
    let mut reservation = log.try_reserve(64).unwrap();
    log.append(&mut reservation, &record_of(2, 0)).unwrap_err();
    log.append(&mut reservation, &record_of(1, 0)).unwrap();
    assert_eq!(log.tail(), Lsn::new(64));
}

#[test]
fn nothing_is_taken_after_a_sync_that_failed() {
    let (_medium, log) = failing(Persistence::Msync);
    let mut reservation = fill(&log);
    log.append(&mut reservation, &record_of(32, 9)).unwrap();
    let first = first_error(log.sync());
    assert!(matches!(*first, DeviceError::OutOfBounds { .. }));
    let again = first_error(log.append(&mut reservation, &record_of(1, 10)));
    assert!(Arc::ptr_eq(&first, &again));
    assert!(Arc::ptr_eq(&first, &first_error(log.sync())));
}

impl Medium {
    /// The bytes of the region that the device has.
    fn bytes_there(&self) -> Vec<u8> {
        let mut there = self.clone();
        there.region.blocks = 2;
        there.bytes()
    }
}
