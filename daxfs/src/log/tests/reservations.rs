//! Promises of room: always kept, never more than there is, and given when there is enough.

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{Medium, record_of};
use crate::format::record::{Lsn, Record};
use crate::log::reservation::held_bytes;
use crate::log::{Log, Reservation};

#[derive(Clone, Debug)]
enum Step {
    /// Asks for room for so many lines.
    Reserve(u64),
    /// Appends so many lines, in one of the reservations, as far as it goes.
    Append(prop::sample::Index, u64),
    /// Gives one back.
    Drop(prop::sample::Index),
    /// A checkpoint of everything before one of the live records, or all of them.
    Release(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => (1..40_u64).prop_map(Step::Reserve),
        6 => (index(), 1..=16_u64).prop_map(|(which, lines)| Step::Append(which, lines)),
        2 => index().prop_map(Step::Drop),
        1 => index().prop_map(Step::Release),
    ]
}

/// The log, and what the test knows of it.
struct Checked<'log> {
    medium: &'log Medium,
    log: &'log Log,
    reservations: Vec<Reservation<'log>>,
    live: Vec<(Lsn, Record)>,
    first: Lsn,
    seed: u64,
}

impl Checked<'_> {
    fn held(&self) -> u64 {
        let held = |reservation: &Reservation<'_>| held_bytes(reservation.left_bytes()).unwrap();
        self.reservations.iter().map(held).sum()
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Reserve(lines) => {
                let room = self.log.capacity_bytes() - self.log.used_bytes() - self.held();
                let reservation = self.log.try_reserve(lines * 64);
                let fits = held_bytes(lines * 64).unwrap() <= room;
                prop_assert_eq!(reservation.is_some(), fits);
                self.reservations.extend(reservation);
            }
            Step::Append(which, lines) if !self.reservations.is_empty() => {
                let which = which.index(self.reservations.len());
                let reservation = &mut self.reservations[which];
                let lines = (*lines).min(reservation.left_bytes() / 64);
                if lines > 0 {
                    self.seed += 1;
                    let record = record_of(lines, self.seed);
                    // The promise.
                    let lsn = self.log.append(reservation, &record).unwrap();
                    self.live.push((lsn, record));
                }
            }
            Step::Drop(which) if !self.reservations.is_empty() => {
                let which = which.index(self.reservations.len());
                drop(self.reservations.swap_remove(which));
            }
            Step::Release(which) => {
                let which = which.index(self.live.len() + 1);
                self.first = self
                    .live
                    .get(which)
                    .map_or(self.log.tail(), |(lsn, _)| *lsn);
                self.live.drain(..which);
                self.log.release_before(self.first);
            }
            Step::Append(..) | Step::Drop(_) => {}
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let used = self.log.used_bytes();
        prop_assert_eq!(used, self.log.tail().since(self.first));
        prop_assert!(used + self.held() <= self.log.capacity_bytes());
        let free = self.log.capacity_bytes() - used - self.held();
        prop_assert_eq!(self.log.room.free_bytes(), free);
        // Nothing live was overwritten.
        let replayed = self.medium.replay_from(self.first.get()).unwrap();
        prop_assert_eq!(&replayed.records, &self.live);
        prop_assert_eq!(replayed.tail, self.log.tail());
        Ok(())
    }
}

proptest! {
    #[test]
    fn promises_are_kept_whatever_happens(line in 0..64_u64, steps in vec(step(), 1..150)) {
        let medium = Medium::new(1);
        let first = 4096 + line * 64;
        let log = medium.log_from(first);
        let mut checked = Checked {
            medium: &medium,
            log: &log,
            reservations: Vec::new(),
            live: Vec::new(),
            first: Lsn::new(first),
            seed: 0,
        };
        for step in &steps {
            checked.take(step)?;
            checked.check()?;
        }
        checked.reservations.clear();
        log.release_before(log.tail());
        prop_assert_eq!(log.room.free_bytes(), log.capacity_bytes());
    }
}

#[test]
fn an_empty_log_promises_half_of_itself_wherever_it_begins() {
    let medium = Medium::new(1);
    for line in 0..64 {
        let log = medium.log_from(line * 64);
        let mut reservation = log.try_reserve(log.max_reservation_bytes()).unwrap();
        assert!(log.try_reserve(128).is_none());
        // The worst: three longest records that do not fit before the end, then small ones.
        for lines in [15, 16, 1] {
            log.append(&mut reservation, &record_of(lines, lines))
                .unwrap();
        }
        assert_eq!(reservation.left_bytes(), 0);
    }
}

#[test]
fn nonsense_is_not_promised() {
    let medium = Medium::new(1);
    let log = medium.log_from(0);
    for bytes in [4096, 1 << 40, u64::MAX - 63, u64::MAX] {
        assert!(log.try_reserve(bytes).is_none());
    }
    assert_eq!(log.room.free_bytes(), log.capacity_bytes());
    assert_eq!(log.try_reserve(0).unwrap().left_bytes(), 0);
}
