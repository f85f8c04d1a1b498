//! The log: each change of metadata durable by itself, with one fence.
//!
//! | Submodule | Holds |
//! |---|---|
//! | `ring` | where in the device a position of the log lies |
//! | `reservation` | [`Reservation`]: room that was promised |
//! | `buffered` | records that wait for a sync (`msync`) |
//! | `replay` | [`replay`]: reading the log back |
//!
//! ESSAY
//!
//! # Locking
//! `state`, a latch: held by an append from the choice of its position until its fence, nothing is
//! taken inside it. `syncing`, one sync at a time, taken before `state`. Both are `std`'s, since
//! page faults append from a signal handler. No user memory is touched inside either.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daxfs_pmem::{Device, DeviceError, Persistence, Settled};

use crate::error::{Error, Result};
use crate::format::record::header::{ALIGNMENT_BYTES, encode_skip};
use crate::format::record::{Lsn, Record, Stamp};

mod buffered;
mod replay;
mod reservation;
mod ring;
#[cfg(test)]
mod tests;

#[cfg_attr(
    not(test),
    expect(unused_imports, reason = "images of version 1 have no log")
)]
pub(crate) use replay::replay;
pub(crate) use reservation::Reservation;
pub(crate) use ring::LogRegion;

use buffered::Buffered;
use reservation::Room;
use ring::Ring;

/// The log of a filesystem that is mounted for writing.
pub(crate) struct Log {
    device: Arc<Device>,
    ring: Ring,
    epoch: u64,
    room: Room,
    state: Mutex<State>,
    syncing: Mutex<()>,
}

struct State {
    /// Where replay would begin.
    first: Lsn,
    /// Where the next record, or the skip before it, begins.
    tail: Lsn,
    /// Everything before this is durable: in the log, or by a checkpoint.
    durable: Lsn,
    buffered: Buffered,
    /// The record that is being appended, and the skip before it; kept for their memory.
    record: Vec<u8>,
    skip: Vec<u8>,
    failed: Option<Arc<DeviceError>>,
}

/// Where a record goes.
#[derive(Clone, Copy)]
struct Place {
    /// Where the skip begins, if there is one.
    start: Lsn,
    lsn: Lsn,
    end: Lsn,
}

impl Log {
    /// The log that a mount with the number `epoch` writes: records before `first_lsn` are in a
    /// durable checkpoint, those from there to `tail_lsn` were replayed, and no superblock that
    /// names an earlier epoch counts any more.
    pub(crate) fn new(
        device: Arc<Device>,
        region: LogRegion,
        first_lsn: Lsn,
        tail_lsn: Lsn,
        epoch: u64,
    ) -> Self {
        debug_assert!(first_lsn <= tail_lsn);
        debug_assert!(tail_lsn.get().is_multiple_of(ALIGNMENT_BYTES));
        let ring = Ring::new(region);
        let used_bytes = tail_lsn.since(first_lsn);
        Self {
            device,
            ring,
            epoch,
            room: Room::new(ring.len_bytes().saturating_sub(used_bytes)),
            state: Mutex::new(State {
                first: first_lsn,
                tail: tail_lsn,
                durable: tail_lsn,
                buffered: Buffered::new(tail_lsn),
                record: Vec::new(),
                skip: Vec::new(),
                failed: None,
            }),
            syncing: Mutex::new(()),
        }
    }

    /// Promises room for records of `bytes` in all, as [`Record::encoded_len`] gives them; `None`
    /// while the log has too little. Waits for nobody.
    ///
    /// As long as no other reservation is kept and everything was released, it is never `None` for
    /// [`Self::max_reservation_bytes`] or less.
    pub(crate) fn try_reserve(&self, bytes: u64) -> Option<Reservation<'_>> {
        self.room.try_reserve(bytes)
    }

    /// Appends `record` in room that was promised, and returns its position. On hardware it is
    /// durable then, after one fence; with `msync` the next [`Log::sync`] makes it so.
    ///
    /// # Errors
    /// [`Error::LogRecordTooLarge`] beyond [`Self::max_record_bytes`] or what is left of the
    /// reservation, and [`Error::Corrupt`] for a record that could not be read back: the log is as
    /// before. [`Error::LogFailed`] when the device failed, now or earlier.
    pub(crate) fn append(&self, reservation: &mut Reservation<'_>, record: &Record) -> Result<Lsn> {
        debug_assert!(reservation.is_of(&self.room), "room of another log");
        let len_bytes = record.encoded_len();
        let max_bytes = self.max_record_bytes().min(reservation.left_bytes());
        if len_bytes > max_bytes {
            return Err(Error::LogRecordTooLarge {
                len_bytes,
                max_bytes,
            });
        }
        let mut state = self.state();
        state.check_working()?;
        let place = self.place(state.tail, len_bytes);
        record
            .check()
            .map_err(|error| error.at_block(self.ring.block(place.lsn)))?;
        state.encode(record, place, self.epoch);
        match self.device.persistence() {
            Persistence::Msync => {
                let state = &mut *state;
                let skip_bytes = place.lsn.since(place.start);
                state.buffered.push(&state.skip, skip_bytes, &state.record);
                state.tail = place.end;
            }
            Persistence::Hardware | Persistence::Volatile => {
                let written = self.write(&state, place);
                let written = written.map_err(|error| state.fail(error))?;
                state.acknowledge(place, &written);
            }
        }
        reservation.spend(len_bytes, place.lsn.since(place.start));
        Ok(place.lsn)
    }

    /// The position after the last record that was appended.
    pub(crate) fn tail(&self) -> Lsn {
        self.state().tail
    }

    /// Says that a checkpoint of everything before `lsn` is durable, in both copies of the
    /// superblock: what is before it may be overwritten. `lsn` was the [tail](Log::tail) at some
    /// time, or the position of a record.
    pub(crate) fn release_before(&self, lsn: Lsn) {
        let mut state = self.state();
        debug_assert!(lsn <= state.tail, "nobody has checkpointed the future");
        let lsn = lsn.min(state.tail);
        let freed_bytes = lsn.since(state.first);
        state.first = state.first.max(lsn);
        state.durable = state.durable.max(lsn);
        state.buffered.drop_before(lsn);
        drop(state);
        self.room.give(freed_bytes);
    }

    /// Makes every record that was appended before the call durable. With `msync` it syncs the
    /// whole device first, so that whatever the records refer to comes before them; elsewhere there
    /// is nothing to do, since each append has done it.
    ///
    /// # Errors
    /// [`Error::LogFailed`] when the device failed, now or earlier.
    pub(crate) fn sync(&self) -> Result<()> {
        if self.device.persistence() != Persistence::Msync {
            return self.state().check_working();
        }
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let until = {
            let state = self.state();
            state.check_working()?;
            state.tail
        };
        self.sync_up_to(until)
            .map_err(|error| self.state().fail(error))?;
        let mut state = self.state();
        state.durable = state.durable.max(until);
        state.buffered.drop_before(until);
        Ok(())
    }

    /// How many bytes of the log hold records that no checkpoint has, skips included.
    pub(crate) fn used_bytes(&self) -> u64 {
        let state = self.state();
        state.tail.since(state.first)
    }

    /// How many bytes the log has.
    pub(crate) fn capacity_bytes(&self) -> u64 {
        self.ring.len_bytes()
    }

    /// The largest record that the log takes, in bytes of the log.
    pub(crate) fn max_record_bytes(&self) -> u64 {
        self.ring.max_record_bytes()
    }

    /// The largest reservation that an empty log can promise, in bytes: half of it.
    pub(crate) fn max_reservation_bytes(&self) -> u64 {
        self.ring.len_bytes() / 2
    }

    fn place(&self, tail: Lsn, len_bytes: u64) -> Place {
        let lsn = tail.plus(self.ring.skip_bytes(tail, len_bytes));
        Place {
            start: tail,
            lsn,
            end: lsn.plus(len_bytes),
        }
    }

    /// Writes what `state` has encoded: one fence for the record and its skip.
    fn write(&self, state: &State, place: Place) -> Result<Settled, DeviceError> {
        let device = &self.device;
        let mut in_flight = device.copy(self.ring.offset_bytes(place.lsn), &state.record)?;
        if !state.skip.is_empty() {
            let skip = device.copy(self.ring.offset_bytes(place.start), &state.skip)?;
            in_flight = in_flight.and(skip);
        }
        device.settle(in_flight)
    }

    /// Data, then records, each durable before the next begins.
    fn sync_up_to(&self, until: Lsn) -> Result<(), DeviceError> {
        let device = &self.device;
        let data = device.fence(device.flush_range(0, device.usable_bytes())?)?;
        let pieces = self
            .state()
            .buffered
            .write(until, self.ring, device, &data)?;
        for piece in pieces {
            let _durable = device.fence(piece)?;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in there is left half done by a panic: a record counts once `tail` has passed it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_working(&self) -> Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(first) => Err(Error::LogFailed {
                source: Arc::clone(first),
            }),
        }
    }

    /// Keeps the first error, and gives it to whoever asks from now on.
    fn fail(&mut self, error: DeviceError) -> Error {
        let first = self.failed.get_or_insert_with(|| Arc::new(error));
        Error::LogFailed {
            source: Arc::clone(first),
        }
    }

    fn encode(&mut self, record: &Record, place: Place, epoch: u64) {
        let stamp = |lsn| Stamp {
            lsn,
            epoch,
            durable_lsn: self.durable,
        };
        self.record.clear();
        self.skip.clear();
        if place.lsn > place.start {
            encode_skip(stamp(place.start), &mut self.skip);
        }
        record.encode(stamp(place.lsn), &mut self.record);
    }

    /// The record counts from now on.
    fn acknowledge(&mut self, place: Place, _written: &Settled) {
        self.tail = place.end;
        self.durable = place.end;
    }
}
