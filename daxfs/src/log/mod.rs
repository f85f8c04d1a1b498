//! The log: each change of metadata durable by itself, at the cost of one fence.
//!
//! | Submodule | Holds |
//! |---|---|
//! | `ring` | where in the device a position of the log lies |
//! | `reservation` | [`Reservation`]: room that was promised |
//! | `state` | what the latch protects |
//! | `buffered` | records that wait for a sync (`msync`) |
//! | `rounds` | who does a sync for whom (`msync`) |
//! | `replay` | [`replay()`]: reading the log back |
//!
//! # Why
//! A checkpoint costs as much as there has changed; whoever renames one file and wants that to be
//! durable should not pay for it. So each operation appends one *record* of what it did, a line or
//! two of 64 bytes, to a ring on the device. A mount applies the records since the last checkpoint
//! to what that holds. A checkpoint folds them into the tree, and their room is free again.
//!
//! # States
//! A position (*lsn*) counts bytes since the first record ever and never wraps; it lies at
//! `lsn % L` of a ring of `L` bytes. Records begin at whole lines and are not cut by the end of the
//! ring: where one would be, a *skip* sends the reader on to the start.
//!
//! ```text
//!             first                       tail                      first + L
//!        .....|===========================|.........................|.....
//!             | records since the last    | free, or promised       |
//!             | durable checkpoint        | to reservations         |
//!
//!   free --reserve--> promised --append--> in flight --fence--> durable --release--> free
//!                        |                                         ^
//!                        +--append (msync)--> buffered ----sync----+
//!                        +--drop--> free
//! ```
//!
//! # Why one fence is enough
//! A journal of blocks writes its blocks, fences, writes a commit block, and fences again. Here a
//! record is its own commit block: its checksum is over all of it, and a record that became durable
//! in part has not got it. So nothing within a record needs an order, nor do a skip and the record
//! behind it: whichever is missing, the log ends there. What must come before the record, the
//! content of the blocks it names, had its fence before: records of new blocks hold a
//! [`SettledRun`](crate::format::record::SettledRun), which cannot be had otherwise.
//!
//! # Why the log is a prefix of history
//! The latch is held from the choice of a position until the fence. So a record is stored when all
//! before it are durable; a crash leaves those, the one in flight or not, and nothing behind it. An
//! operation appends before it lets anybody see what it did; so whoever builds on it appends later,
//! and a crash that has the second operation has the first.
//!
//! # Why nothing stale is taken for a record
//! The ring is never erased. What may lie where a replay looks for the record at `lsn`?
//! - *A record of an earlier lap.* It holds its own lsn, smaller by a multiple of `L`.
//! - *A torn record.* It has not got its checksum.
//! - *A record that a crash cut off.* Of three records in one sync a crash may lose the second. The
//!   log ends before it. The next mount writes there, and if its record is as long as the lost one,
//!   the third fits behind it by place, lsn and checksum. But each record holds the *epoch* of the
//!   mount that wrote it, and each mount has the next one.
//! - *What a mount wrote that crashed before it had recovered.* A replay writes nothing. Before the
//!   first record of a new epoch is stored, a superblock is durable that names this epoch, and the
//!   end of the replayed log as the start of the new one; until then the old epoch counts, and its
//!   log is as it was.
//! - *Bytes that only look like a record*: of an image that was on the device before, or within the
//!   names and values of other records. The first position of an image's log is a random number of
//!   56 bits, times 64, so nobody meets it by accident or, without reading the device, on purpose.
//!
//! # What is told as damage
//! A torn end and a damaged medium look alike: no record where one is expected. But each record
//! says up to which lsn everything was durable when it was written. Where a later one of the same
//! epoch says that of a place after the end, the medium has lost what it had, and a replay is an
//! error instead of a filesystem that silently forgot. So is it where a whole record of a later
//! epoch lies where the log goes on: then the superblock is not the newest. Nothing vouches for the
//! newest record (with `msync`, for those of the newest sync): damage there is taken for a crash.
//!
//! # Why a full log cannot stop everybody
//! Who meets a full log in the middle of a change could neither go on nor go back. So room for all
//! records of an operation is promised before its first change, and a promise is always kept: what
//! is promised is not given to anybody else, and is enough at any position (see `reservation`).
//! Then three rules for those who use the log make sure that room comes: who has no room waits for
//! a checkpoint, or makes one, while it holds no reservation and no lock that a checkpoint takes; a
//! checkpoint appends nothing; who has a reservation waits for no room any more. So operations
//! under way end, a checkpoint can always be made, and it frees all that was appended before it.
//!
//! # When the device fails
//! The log stops. The first error is kept and every later append and sync returns it: after a
//! failed fence nobody knows what is durable, and a record behind a gap would never be replayed,
//! so none may be acknowledged. What was acknowledged before stays.
//!
//! # With `msync`
//! Syncing each record would cost as much as syncing everything. So records wait in memory, and
//! [`Log::sync`] writes them. The kernel may write back a page at any time once bytes are stored in
//! it, in any order. Hence: the tail is read; all data is synced, and with it whatever the records
//! before that tail refer to; only then are they stored in the ring; then the ring is synced. A
//! crash in the middle tears the batch, and what is left of it up to the first gap is a prefix.
//!
//! These steps are a *round*, and whoever asks for a sync while one runs shares the next: two
//! rounds for any number of threads (see `rounds`, which also says why nobody is served too early).
//!
//! ```text
//!   begin --> read the tail --> sync all data --> store records --> sync them --> end
//!     ^                                                                            |
//!     | written before: the data and records of whoever this round serves          +--> served
//! ```
//!
//! All data is synced, whatever was written since the last round: the kernel knows the dirty pages
//! and looks at no others. A note of our own would have to know of stores through mappings, too.
//!
//! # Invariants
//! 1. Within an epoch at most one record is ever stored at an lsn.
//! 2. What is stored lies between `first` and `first + L`: a live record is never overwritten.
//! 3. `first <= durable <= tail`, and what is before `durable` is durable. Except with `msync` the
//!    last two are equal whenever the latch is free.
//! 4. Whatever blocks a record gives to a file were settled before it was appended.
//! 5. A superblock with the epoch of a record was durable before the record was stored (whoever
//!    mounts sees to it, before [`Log::new`]).
//! 6. `first` passes a record when a checkpoint that has it is durable in both superblocks (whoever
//!    makes checkpoints sees to it, before [`Log::release_before`]).
//! 7. Free, held and used bytes together are at most `L`.
//! 8. After the first error nothing is acknowledged, not even to whom a round served before.
//! 9. With `msync`, what is stored in the ring was appended before a sync of all data began that
//!    has ended ([`Durable`](daxfs_pmem::Durable) proves it to `Buffered::write`).
//!
//! # Locking
//! `state`, a latch: held by an append up to and with its fence; nothing is taken inside it.
//! `rounds`: one sync at a time; who does it holds no lock between its steps, and who waits for it
//! holds none of the log's. All are `std`'s, since page faults append from a signal handler. No
//! user memory is touched inside any, and an append of the records of a page fault allocates
//! nothing on hardware.
//!
//! The count of free bytes is an atomic: giving releases, taking acquires. All else is ordered by
//! the latch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daxfs_pmem::{Device, DeviceError, Persistence, Settled};

use crate::error::{Error, Result};
use crate::format::record::header::ALIGNMENT_BYTES;
use crate::format::record::{Lsn, Record};

mod buffered;
mod replay;
mod reservation;
mod ring;
mod rounds;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use replay::replay;
pub(crate) use reservation::Reservation;
pub(crate) use ring::LogRegion;

use reservation::Room;
use ring::Ring;
use rounds::Rounds;
use state::{Place, State};

/// The log of a filesystem that is mounted for writing.
pub(crate) struct Log {
    device: Arc<Device>,
    ring: Ring,
    epoch: u64,
    room: Room,
    state: Mutex<State>,
    rounds: Rounds,
}

impl Log {
    /// The log of the mount `epoch`. Records before `first_lsn` are in a durable checkpoint, and
    /// those from there to `tail_lsn`, if any, were written with the same epoch. A superblock that
    /// names the epoch and `first_lsn` is durable, and no record of this epoch lies behind
    /// `tail_lsn`.
    ///
    /// So a mount replays from what the superblock names, makes a checkpoint whose superblock has
    /// the next epoch and the end of the replay, and begins with that end for both positions.
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
            state: Mutex::new(State::new(first_lsn, tail_lsn)),
            rounds: Rounds::default(),
        }
    }

    /// Promises room for records of `bytes` in all, as [`Record::encoded_len`] gives them; `None`
    /// while the log has too little. Waits for nobody.
    ///
    /// In an empty log without other reservations it is never `None` for
    /// half of the ring or less.
    pub(crate) fn try_reserve(&self, bytes: u64) -> Option<Reservation<'_>> {
        self.room.try_reserve(bytes)
    }

    /// Appends `record` in room that was promised, and returns its position. On hardware it is
    /// durable then, after exactly one fence; with `msync` the next [`Log::sync`] makes it so.
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
        let place = state.place(self.ring, len_bytes);
        record
            .check()
            .map_err(|error| error.at_block(self.ring.block(place.lsn)))?;
        state.encode(record, place, self.epoch);
        match self.device.persistence() {
            Persistence::Msync => state.buffer(place),
            Persistence::Hardware | Persistence::Volatile => {
                let written = self.write(&state, place);
                let written = written.map_err(|error| state.fail(error))?;
                state.acknowledge(place, &written);
            }
        }
        reservation.spend(len_bytes, place.skip_bytes());
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
        let freed_bytes = self.state().release_before(lsn);
        self.room.give(freed_bytes);
    }

    /// Makes every record that was appended before the call durable. With `msync` it syncs the
    /// whole device first, so that whatever the records refer to comes before them; elsewhere there
    /// is nothing to do, since each append has done it. Whoever comes while another thread does
    /// that waits, and shares the next time with all who came meanwhile.
    ///
    /// # Errors
    /// [`Error::LogFailed`] when the device failed, now or earlier.
    pub(crate) fn sync(&self) -> Result<()> {
        if self.device.persistence() == Persistence::Msync {
            self.rounds.join(|| self.sync_round())?;
        }
        self.state().check_working()
    }

    /// Whether half of the log, or more, is used or promised. Every operation asks: no latch.
    pub(crate) fn is_half_full(&self) -> bool {
        self.room.free_bytes() < self.ring.len_bytes() / 2
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

    /// The largest record that the log takes, in bytes of the log: a quarter of it.
    pub(crate) fn max_record_bytes(&self) -> u64 {
        self.ring.max_record_bytes()
    }

    /// The largest reservation that an empty log can promise, in bytes: half of it.
    #[cfg(test)]
    pub(crate) fn max_reservation_bytes(&self) -> u64 {
        self.ring.len_bytes() / 2
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

    /// Makes durable whatever was written and appended before it began. One at a time.
    fn sync_round(&self) -> Result<()> {
        let until = {
            let state = self.state();
            state.check_working()?;
            state.tail
        };
        let synced = self.sync_up_to(until);
        let mut state = self.state();
        synced.map_err(|error| state.fail(error))?;
        state.synced(until);
        Ok(())
    }

    /// Data, then records, each durable before the next begins.
    fn sync_up_to(&self, until: Lsn) -> Result<(), DeviceError> {
        let device = &self.device;
        let data = device.fence(device.flush_range(0, device.usable_bytes())?)?;
        let pieces = {
            let state = self.state();
            state.buffered.write(until, self.ring, device, &data)?
        };
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
