//! A transaction: one operation's changes to metadata, whole in the log and whole in memory.
//!
//! ```text
//!   begin:   gate passed, log space reserved      (waits for a checkpoint when the log is full)
//!   commit:  record into the log, fence, memory   (cannot run out of space)
//!   drop:    gate left
//!   then the operation's locks are let go
//! ```
//! # Why nothing waits inside
//! A full log is emptied by a checkpoint, and a checkpoint waits for the transactions under way.
//! So whoever is inside one must come to its end without waiting for anybody who may be waiting for
//! the log: it takes latches and entry locks, whose holders are inside a transaction already or
//! need none. The other way round, an entry lock held while a transaction begins, is the deadlock
//! of the thread's claim C10: [`Mistake::EntryBeforeTransaction`] makes it, and the lock-order
//! check names it.
//!
//! # Why the record comes first
//! What memory shows, others act on, and their records come later in the log. With the record
//! durable before memory changes (or before the locks that hide the change are let go), nobody acts
//! on what a crash can take back: the log is a history, and a crash leaves a prefix of it.
//!
//! # Locking
//! The gate, shared. Begun with any locks that rank before it held, never inside another.
//!
//! [`Mistake::EntryBeforeTransaction`]: crate::schedule::Mistake::EntryBeforeTransaction

use super::{Volume, apply};
use crate::error::Result;
use crate::format::record::Record;
use crate::gate::Inside;
use crate::lock_order::{Held, Rank};
use crate::log::Reservation;

/// One operation's changes to metadata. Functions that change metadata ask for one.
pub(crate) struct Transaction<'volume> {
    volume: &'volume Volume,
    reservation: Reservation<'volume>,
    _inside: Inside<'volume>,
    _rank: Held,
}

impl Volume {
    /// Begins a transaction whose records take at most `log_bytes`. Waits while a checkpoint
    /// copies; makes one when the log is full.
    ///
    /// # Errors
    /// What a checkpoint reports.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn begin(&self, log_bytes: u64) -> Result<Transaction<'_>> {
        loop {
            self.note_log_use();
            let rank = Held::take(Rank::Gate);
            let inside = self.gate.enter();
            if let Some(reservation) = self.log.try_reserve(log_bytes) {
                return Ok(Transaction {
                    volume: self,
                    reservation,
                    _inside: inside,
                    _rank: rank,
                });
            }
            drop((inside, rank));
            self.make_log_space()?;
        }
    }
}

impl Transaction<'_> {
    /// Makes `record` durable, and then true in memory.
    ///
    /// # Errors
    /// What the device reports; nothing is changed in memory then, and the filesystem accepts no
    /// further changes.
    pub(crate) fn commit(&mut self, record: &Record) -> Result<()> {
        self.log(record)?;
        apply::apply(self.volume, record)
    }

    /// Makes a record durable that is true in memory already, behind locks that are still held.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub(crate) fn log(&mut self, record: &Record) -> Result<()> {
        self.volume.log.append(&mut self.reservation, record)?;
        Ok(())
    }
}
