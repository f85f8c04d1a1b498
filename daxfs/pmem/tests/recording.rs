//! The device that records: nothing is left out, nothing is out of order, nobody waits for ever.

mod common;

use std::error::Error;
use std::sync::Arc;
use std::thread;

use common::{KINDS, Kind, PROCESS_KINDS, window};
use daxfs_pmem::{
    Access, Action, Device, Event, Fault, FaultError, FaultHandler, Frame, Mark, Moment,
    PAGE_BYTES, PageTable, Persistence, Protection, Recording, ThreadNumber,
};

const LINE: u64 = 64;

fn recording(pages: u64) -> (Arc<Device>, Recording) {
    let (device, recording) = Device::create_recording(pages * PAGE_BYTES).unwrap();
    (Arc::new(device), recording)
}

/// An action in short: what, where, how many bytes.
fn in_short(event: &Event) -> (&'static str, u64, usize) {
    match &event.action {
        Action::Store {
            offset_bytes,
            bytes,
        } => ("store", *offset_bytes, bytes.len()),
        Action::Stream {
            offset_bytes,
            bytes,
        } => ("stream", *offset_bytes, bytes.len()),
        Action::Flush {
            offset_bytes,
            bytes,
        } => ("flush", *offset_bytes, bytes.len()),
        Action::Fence => ("fence", 0, 0),
        Action::Mark(mark) => ("mark", mark.operation, 0),
    }
}

fn shorts(events: &[Event]) -> Vec<(&'static str, u64, usize)> {
    events.iter().map(in_short).collect()
}

/// What the device would hold had the events happened to zeroes.
fn replay(events: &[Event], len_bytes: u64) -> Vec<u8> {
    let mut image = vec![0; len_bytes as usize];
    for event in events {
        let stored = match &event.action {
            Action::Store {
                offset_bytes,
                bytes,
            }
            | Action::Stream {
                offset_bytes,
                bytes,
            } => Some((*offset_bytes, bytes)),
            Action::Flush {
                offset_bytes,
                bytes,
            } => {
                let start = *offset_bytes as usize;
                assert_eq!(image[start..][..bytes.len()], bytes[..], "an unseen store");
                None
            }
            Action::Fence | Action::Mark(_) => None,
        };
        if let Some((offset_bytes, bytes)) = stored {
            image[offset_bytes as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }
    image
}

fn bytes_of(device: &Device) -> Vec<u8> {
    let mut bytes = vec![0; device.usable_bytes() as usize];
    device.read(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn it_passes_for_the_hardware_and_says_what_it_is() {
    let (device, _recording) = recording(1);
    assert_eq!(device.persistence(), Persistence::Hardware);
    assert!(!device.survives_power_failure());
    assert!(
        device.describe().contains("recorded"),
        "{}",
        device.describe()
    );
    device.flush(device.store(0, b"x").unwrap()).defer();
    device.fence(device.copy(0, b"x").unwrap()).unwrap();
    let counts = device.counts();
    assert_eq!((counts.stores, counts.flushes, counts.fences), (1, 1, 1));
}

#[test]
fn events_are_what_the_hardware_is_asked_for() {
    let (device, recording) = recording(1);
    let dirty = device.store(100, b"record").unwrap();
    device.fence(device.flush(dirty)).unwrap();
    recording.mark(Mark {
        operation: 7,
        moment: Moment::Returned,
    });
    device.fence(device.copy(8, b"small").unwrap()).unwrap();
    assert_eq!(
        shorts(&recording.take()),
        [
            ("store", 100, 6),
            ("flush", 64, 64),
            ("fence", 0, 0),
            ("mark", 7, 0),
            ("store", 8, 5),
            ("flush", 0, 64),
            ("fence", 0, 0),
        ]
    );
    assert_eq!(recording.take(), []);
    device.copy(0, b"").unwrap().defer();
    assert_eq!(
        shorts(&recording.take()),
        [("fence", 0, 0)],
        "a deferral is a store fence"
    );
}

#[test]
fn every_byte_of_a_bulk_copy_is_streamed_or_flushed() {
    let (device, recording) = recording(16);
    for offset_bytes in [0, 1, 8, 60, 64, 4095] {
        for len_bytes in [0, 1, 63, 64, 65, 127, 128, 4096, 10_001] {
            let bytes: Vec<u8> = (0..len_bytes)
                .map(|index| (index % 250) as u8 + 1)
                .collect();
            let copied = device.copy(offset_bytes, &bytes).unwrap();
            device.fence(copied).unwrap();
            let events = recording.take();
            assert_covered(&events, offset_bytes, &bytes);
            let zeroed = device.zero(offset_bytes, len_bytes as u64).unwrap();
            device.fence(zeroed).unwrap();
            let zeroes = vec![0; len_bytes];
            assert_covered(&recording.take(), offset_bytes, &zeroes);
        }
    }
    assert!(bytes_of(&device).iter().all(|byte| *byte == 0));
}

/// The bytes are stored once, in whole lines where they are streamed, and flushed where not.
fn assert_covered(events: &[Event], offset_bytes: u64, bytes: &[u8]) {
    let mut at = offset_bytes;
    let mut unflushed = None;
    for event in events {
        match &event.action {
            Action::Store {
                offset_bytes,
                bytes,
            } => {
                assert_eq!((*offset_bytes, unflushed), (at, None));
                at += bytes.len() as u64;
                unflushed = Some((*offset_bytes, at));
            }
            Action::Stream {
                offset_bytes,
                bytes,
            } => {
                assert_eq!((*offset_bytes, unflushed), (at, None));
                assert_eq!((at % LINE, bytes.len() as u64 % LINE), (0, 0));
                at += bytes.len() as u64;
            }
            Action::Flush {
                offset_bytes,
                bytes,
            } => {
                let (start, end) = unflushed.take().expect("something was stored");
                assert_eq!(*offset_bytes, start - start % LINE);
                assert_eq!(
                    *offset_bytes + bytes.len() as u64,
                    end.next_multiple_of(LINE)
                );
            }
            Action::Fence => assert_eq!(unflushed, None),
            Action::Mark(_) => panic!("nobody made a mark"),
        }
    }
    assert_eq!(at, offset_bytes + bytes.len() as u64);
    let end = (offset_bytes + bytes.len() as u64).next_multiple_of(PAGE_BYTES);
    let stored: Vec<Event> = events
        .iter()
        .filter(|event| !is_flush(event))
        .cloned()
        .collect();
    assert_eq!(
        replay(&stored, end)[offset_bytes as usize..][..bytes.len()],
        *bytes
    );
}

fn is_flush(event: &Event) -> bool {
    matches!(event.action, Action::Flush { .. })
}

/// Threads race for the same lines; the list is in the order in which the bytes changed, and no
/// thread's own events are out of order.
#[test]
fn the_events_of_many_threads_are_in_the_order_in_which_they_happened() {
    const ROUNDS: u64 = 300;
    let (device, recording) = recording(1);
    thread::scope(|scope| {
        for seed in 1..=4 {
            let (device, recording) = (&device, &recording);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    recording.mark(Mark {
                        operation: seed << 32 | round,
                        moment: Moment::Begins,
                    });
                    let bytes = [(seed * 50 + round % 50) as u8; 200];
                    let dirty = device.store(round % 64, &bytes[..60]).unwrap();
                    let copied = device.copy(round % 128, &bytes).unwrap();
                    device.fence(device.flush(dirty).and(copied)).unwrap();
                }
            });
        }
    });
    let events = recording.take();
    assert_eq!(replay(&events, device.usable_bytes()), bytes_of(&device));
    let mut threads: Vec<ThreadNumber> = events.iter().map(|event| event.thread).collect();
    threads.sort_unstable();
    threads.dedup();
    assert_eq!(threads.len(), 4);
    for thread in threads {
        let own = events.iter().filter(|event| event.thread == thread);
        let rounds = own.filter_map(|event| match event.action {
            Action::Mark(mark) => Some(mark.operation & u64::from(u32::MAX)),
            _ => None,
        });
        assert!(rounds.eq(0..ROUNDS));
    }
}

/// A file whose pages are in order on the device. Its handler works as a filesystem's does: it
/// makes something durable before it maps a page, a zeroed block for a store, a note for a load.
struct Filesystem {
    device: Arc<Device>,
}

impl Filesystem {
    fn answer(&self, table: &dyn PageTable, fault: Fault) -> Result<(), Box<dyn Error>> {
        let offset_bytes = fault.window_page * PAGE_BYTES;
        let in_flight = match fault.access {
            Access::Write => self.device.zero(offset_bytes, PAGE_BYTES)?,
            Access::Read => {
                let note = self.device.usable_bytes() - LINE;
                self.device.flush(self.device.store(note, b"read")?)
            }
        };
        self.device.fence(in_flight)?;
        let protection = Protection::ReadWrite;
        let frame = Frame::Device {
            offset_bytes,
            protection,
        };
        Ok(table.map(fault.window_page, 1, frame)?)
    }
}

impl FaultHandler for Filesystem {
    fn fault(&self, table: &dyn PageTable, fault: Fault) -> Result<(), FaultError> {
        self.answer(table, fault).map_err(|_| FaultError::Device)
    }
}

#[test]
fn a_store_through_a_software_window_is_recorded_when_it_is_made() {
    let (device, recording) = recording(4);
    let handler = Filesystem {
        device: Arc::clone(&device),
    };
    let table = window(Kind::Software, &device, 4, Arc::new(handler));
    table.store(PAGE_BYTES + 10, b"stored").unwrap();
    let events = recording.take();
    // The handler zeroes and fences, in whatever way the processor has; then comes the store.
    let shorts = shorts(&events);
    let last_two = &shorts[shorts.len() - 2..];
    assert_eq!(last_two, [("fence", 0, 0), ("store", PAGE_BYTES + 10, 6)]);
    assert_eq!(replay(&events, device.usable_bytes()), bytes_of(&device));
}

#[test]
fn a_store_through_a_window_of_the_process_is_seen_when_it_is_flushed() {
    for kind in PROCESS_KINDS {
        let (device, recording) = recording(4);
        let handler = Filesystem {
            device: Arc::clone(&device),
        };
        let table = window(kind, &device, 4, Arc::new(handler));
        table.store(PAGE_BYTES + 10, b"stored").unwrap();
        let _before = recording.take();
        device
            .fence(device.flush_range(PAGE_BYTES + 12, 1).unwrap())
            .unwrap();
        let events = recording.take();
        assert_eq!(
            shorts(&events),
            [("flush", PAGE_BYTES, 64), ("fence", 0, 0)]
        );
        let Action::Flush { bytes, .. } = &events[0].action else {
            panic!("just seen");
        };
        assert_eq!(&bytes[8..18], b"\0\0stored\0\0", "{kind:?}");
    }
}

/// The copy's own thread takes the recorder's mutex in the fault handler: a copy must not hold it.
#[test]
fn a_copy_from_a_window_may_fault_into_a_handler_that_stores() {
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Software) {
        let (device, recording) = recording(16);
        let handler = Filesystem {
            device: Arc::clone(&device),
        };
        let table = window(kind, &device, 4, Arc::new(handler));
        let len_bytes = 2 * PAGE_BYTES as usize;
        // SAFETY: the window lives longer than the slice, and nothing else touches its pages.
        let buffer =
            unsafe { std::slice::from_raw_parts(table.as_ptr().unwrap().as_ptr(), len_bytes) };
        device.store(5, b"from the window").map(drop).unwrap();
        let copied = device.copy(8 * PAGE_BYTES, buffer).unwrap();
        device.fence(copied).unwrap();
        let mut back = [0; 15];
        device.read(8 * PAGE_BYTES + 5, &mut back).unwrap();
        assert_eq!(&back, b"from the window", "{kind:?}");
        assert_eq!(
            replay(&recording.take(), device.usable_bytes()),
            bytes_of(&device)
        );
    }
}
