//! From a trace to the states that a crash could leave, one visit each.
//!
//! Touches memory alone; takes no locks.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;

use daxfs::Device;
use daxfs_pmem::{Action, Event, Mark, Moment, Recording, ThreadNumber};

use super::choice::{Choice, CrashPoints, Limits, choices};
use super::medium::{CHUNK_BYTES, LINE_BYTES, Medium, chunk_mask, overlay};
use super::scratch::{ImageHash, Overlay, Scratch};
use super::unit::{Grain, Set, Unit, Units};
use crate::fixture::Numbers;

/// The last mark of each thread that made one.
pub type Progress = BTreeMap<ThreadNumber, Mark>;

/// One image that a crash could leave, and what is known of the moment.
#[derive(Debug)]
pub struct CrashState<'visit> {
    scratch: &'visit Scratch,
    /// The crash happens before this event; the number of events, if at the end.
    pub event: usize,
    /// What the program had done.
    pub progress: &'visit Progress,
    /// The image.
    pub image: ImageHash,
    units: &'visit Units,
    choice: &'visit Choice,
    taken: RefCell<Vec<Event>>,
}

impl CrashState<'_> {
    /// A device that holds the image, for this visit only. It records, like one made by
    /// [`Device::create_recording`], and may be changed: by any means but process page tables.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        self.scratch.device()
    }

    /// Marks for the trace of what the visitor does, crashes of which may then be looked at.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        self.scratch.recording()
    }

    /// What was done to the device in this visit, since the last call.
    #[must_use]
    pub fn take_trace(&self) -> Vec<Event> {
        let trace = self.scratch.recording().take();
        self.taken.borrow_mut().extend(trace.iter().cloned());
        trace
    }
}

impl fmt::Display for CrashState<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (set, all) = (&self.choice.set, &self.units.units);
        let torn = if self.choice.tear.is_some() {
            ", torn"
        } else {
            ""
        };
        let (there, of, event) = (set.len(), all.len(), self.event);
        writeln!(
            formatter,
            "crash before event {event}, {there} of {of} units there{torn}:"
        )?;
        for (thread, mark) in self.progress {
            let Mark { operation, moment } = mark;
            writeln!(formatter, "  thread {}: {operation} {moment:?}", thread.0)?;
        }
        for (number, unit) in all.iter().enumerate() {
            let word = if set.has(number) { "there" } else { "lost" };
            let (first, last) = (&unit.parts[0], &unit.parts[unit.parts.len() - 1]);
            let start = first.line * LINE_BYTES as u64 + u64::from(first.mask.trailing_zeros());
            let end = (last.line + 1) * LINE_BYTES as u64 - u64::from(last.mask.leading_zeros());
            writeln!(
                formatter,
                "  {word}: {start}..{end} of event {}",
                unit.event
            )?;
        }
        Ok(())
    }
}

/// What was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Moments at which the machine may stop.
    pub points: u64,
    /// States built, equal ones included.
    pub states: u64,
    /// Visits: an image is visited again when the program has gone on since.
    pub visits: u64,
    /// Images that differ.
    pub images: u64,
    /// Sets of units that [`Limits::most_sets`] kept from being built.
    pub left_out: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.points += other.points;
        self.states += other.states;
        self.visits += other.visits;
        self.images += other.images;
        self.left_out += other.left_out;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            points,
            states,
            visits,
            images,
            left_out,
        } = self;
        write!(
            formatter,
            "{points} crash points, {states} states, {images} distinct images, {visits} visits"
        )?;
        if *left_out > 0 {
            write!(formatter, ", {left_out} sets left out")?;
        }
        Ok(())
    }
}

/// Visits the states that a crash could leave of a device that held `base`, all of it durable, and
/// to which `trace` was done. An image is visited once for each progress of the program.
///
/// # Panics
/// When a visitor keeps the device, or changes it through process page tables.
pub fn for_each_crash_state(
    base: &[u8],
    trace: &[Event],
    limits: &Limits,
    mut visit: impl FnMut(&CrashState<'_>),
) -> Counts {
    let mut walk = Walk::new(base, limits);
    for (number, event) in trace.iter().enumerate() {
        if number >= limits.from_event && matches!(event.action, Action::Fence) {
            walk.stop_at(number, &mut visit);
        }
        walk.go_on(number, event);
        let is_return =
            matches!(event.action, Action::Mark(mark) if mark.moment == Moment::Returned);
        if is_return
            && number >= limits.from_event
            && limits.points == CrashPoints::FencesAndReturns
        {
            walk.stop_at(number + 1, &mut visit);
        }
    }
    walk.stop_at(trace.len(), &mut visit);
    walk.counts
}

/// How far the walk along a trace is.
struct Walk<'limits> {
    limits: &'limits Limits,
    medium: Medium,
    scratch: Scratch,
    /// Of what is durable for certain.
    durable: ImageHash,
    progress: Progress,
    /// Images visited since the last mark.
    visited: HashSet<ImageHash>,
    images: HashSet<ImageHash>,
    numbers: Numbers,
    counts: Counts,
}

impl<'limits> Walk<'limits> {
    fn new(base: &[u8], limits: &'limits Limits) -> Self {
        Self {
            limits,
            medium: Medium::new(base),
            scratch: Scratch::new(base),
            durable: ImageHash::START,
            progress: Progress::new(),
            visited: HashSet::new(),
            images: HashSet::new(),
            numbers: Numbers::new(limits.seed),
            counts: Counts::default(),
        }
    }

    fn go_on(&mut self, number: usize, event: &Event) {
        for (line, old) in self.medium.apply(number, event) {
            let new = self.medium.durable_line(line);
            self.durable = self.durable.with(line, &old, &new);
            self.scratch.set_line(line, &new);
        }
        if let Action::Mark(mark) = event.action {
            self.progress.insert(event.thread, mark);
            self.visited.clear();
        }
    }

    fn stop_at(&mut self, event: usize, visit: &mut impl FnMut(&CrashState<'_>)) {
        self.counts.points += 1;
        let units = self.units();
        let (choices, left_out) = choices(&units, self.limits, &mut self.numbers);
        self.counts.left_out += left_out;
        for choice in &choices {
            self.counts.states += 1;
            let overlay = overlay_of(&self.medium, &units, choice);
            let hash = |hash: ImageHash, (line, new): (&u64, &_)| {
                hash.with(*line, &self.medium.durable_line(*line), new)
            };
            let image = overlay.iter().fold(self.durable, hash);
            if !self.visited.insert(image) {
                continue;
            }
            self.images.insert(image);
            self.counts.visits += 1;
            self.scratch.show(&overlay);
            let state = CrashState {
                scratch: &self.scratch,
                event,
                progress: &self.progress,
                image,
                units: &units,
                choice,
                taken: RefCell::default(),
            };
            visit(&state);
            let taken = state.taken.into_inner();
            self.scratch.restore(&self.medium, &overlay, &taken);
        }
        self.scratch.check(&self.medium);
        self.counts.images = self.images.len() as u64;
    }

    fn units(&self) -> Units {
        let fine = Units::of(&self.medium, Grain::Fine);
        if fine.len() <= self.limits.pairs_up_to_units {
            return fine;
        }
        // Fewer units, of which pairs can be taken, show more than single ones of many.
        let coarse = Units::of(&self.medium, Grain::Coarse);
        if coarse.len() <= self.limits.pairs_up_to_units {
            coarse
        } else {
            fine
        }
    }
}

/// What a choice shows where it differs from what is durable for certain.
fn overlay_of(medium: &Medium, units: &Units, choice: &Choice) -> Overlay {
    let mut tear = choice.tear.map(Numbers::new);
    let mut lines = Overlay::new();
    for (number, unit) in units.units.iter().enumerate() {
        if !choice.set.has(number) {
            continue;
        }
        let tear = tear
            .as_mut()
            .filter(|_| can_be_torn(units, number, &choice.set));
        show(medium, unit, tear, &mut lines);
    }
    lines.retain(|line, bytes| *bytes != medium.durable_line(*line));
    lines
}

fn can_be_torn(units: &Units, number: usize, set: &Set) -> bool {
    !units.units[number].is_one_chunk() && units.is_last(number, set)
}

/// Lays a unit over the lines; with numbers, a random half of its chunks.
fn show(medium: &Medium, unit: &Unit, mut tear: Option<&mut Numbers>, lines: &mut Overlay) {
    for part in &unit.parts {
        let mut mask = part.mask;
        if let Some(numbers) = &mut tear {
            for chunk in 0..LINE_BYTES / CHUNK_BYTES {
                if numbers.below(2) == 0 {
                    mask &= !chunk_mask(chunk);
                }
            }
        }
        let durable = || medium.durable_line(part.line);
        overlay(
            lines.entry(part.line).or_insert_with(durable),
            &part.bytes,
            mask,
        );
    }
}
