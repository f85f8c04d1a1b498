//! What the parts of this crate cost on this machine: copies by length and back end, and faults.
//!
//! ```text
//! cargo run --release -p daxfs-pmem --example pmem_costs
//! ```
//! Each figure is the best of several rounds, in nanoseconds a call; faults by one thread and by
//! two that touch pages of their own. A memfd is DRAM,
//! which is not persistent memory: the hardware back end's figures are those of its instructions.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use daxfs_pmem::MappingMechanism::{Remap, Userfault};
use daxfs_pmem::{
    Access, Device, Fault, FaultError, FaultHandler, Frame, PAGE_BYTES, PageTable, Persistence,
    PersistenceChoice, ProcessPageTable, Protection, SoftwarePageTable,
};

const DEVICE_BYTES: u64 = 256 << 20;
const WARM_BYTES: u64 = 4 << 20;
const ROUNDS: u32 = 5;
const PAGES: u64 = 8192;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    for persistence in [Persistence::Volatile, Persistence::Hardware] {
        let choice = PersistenceChoice::Use(persistence);
        let device = Arc::new(Device::create_memfd(DEVICE_BYTES, choice)?);
        device.populate(0, DEVICE_BYTES)?;
        println!("{}", device.describe());
        copies(&device, "copy and fence, warm", WARM_BYTES)?;
        copies(&device, "copy and fence, cold", DEVICE_BYTES)?;
        println!(
            "  store, flush, fence of 8 bytes: {:.1}",
            best(100_000, |_| commit(&device))?
        );
        if persistence == Persistence::Volatile {
            faults(&device)?;
        }
    }
    Ok(())
}

/// Copies to places spread over the first `span_bytes` of the device.
fn copies(device: &Device, label: &str, span_bytes: u64) -> Outcome<()> {
    print!("  {label}:");
    for len_bytes in [64, 512, 4096, 64 << 10, 2 << 20] {
        let source = vec![7; len_bytes];
        let slots = span_bytes / len_bytes as u64;
        let calls = ((64 << 20) / len_bytes.max(512)) as u64;
        let cost = best(calls, |call| {
            let slot = call.wrapping_mul(0x9e37_79b9_7f4a_7c15) % slots;
            device.fence(device.copy(slot * len_bytes as u64, &source)?)?;
            Ok(())
        })?;
        print!(" {len_bytes} B {cost:.1}");
    }
    println!();
    Ok(())
}

fn commit(device: &Device) -> Outcome<()> {
    device.fence(device.flush(device.store(64, &[1; 8])?))?;
    Ok(())
}

/// Maps the page that it is asked for, and a number of pages behind it.
struct Identity {
    pages: u64,
}

impl FaultHandler for Identity {
    fn fault(&self, table: &dyn PageTable, fault: Fault) -> Result<(), FaultError> {
        let protection = match fault.access {
            Access::Read => Protection::ReadOnly,
            Access::Write => Protection::ReadWrite,
        };
        let first = fault.window_page / self.pages * self.pages;
        let frame = Frame::Device {
            offset_bytes: first * PAGE_BYTES,
            protection,
        };
        table
            .map(first, self.pages, frame)
            .map_err(|_| FaultError::Device)
    }
}

fn faults(device: &Arc<Device>) -> Outcome<()> {
    println!("  faults, ns each by wall clock, and how many a second all threads together have:");
    for pages_each in [1, 16, 512] {
        for threads in [1, 2] {
            for mechanism in [None, Some(Remap), Some(Userfault)] {
                let handler = Arc::new(Identity { pages: pages_each });
                let device = Arc::clone(device);
                let (name, table): (_, Arc<dyn PageTable>) = match mechanism {
                    None => ("software", SoftwarePageTable::new(device, PAGES, handler)?),
                    Some(mechanism) => (
                        mechanism.name(),
                        ProcessPageTable::with_mechanism(
                            device,
                            PAGES,
                            handler,
                            Protection::ReadWrite,
                            mechanism,
                        )?,
                    ),
                };
                print!("  {name:9} {pages_each:3} pages a fault, {threads} threads:");
                fault_costs(&*table, pages_each, threads)?;
            }
        }
    }
    Ok(())
}

fn fault_costs(table: &dyn PageTable, pages_each: u64, threads: u64) -> Outcome<()> {
    let granules = PAGES / pages_each;
    let load = |granule: u64| {
        let offset_bytes = granule * pages_each * PAGE_BYTES;
        table.load(offset_bytes, &mut [0; 8]).unwrap();
    };
    let store = |granule: u64| {
        let offset_bytes = granule * pages_each * PAGE_BYTES;
        table.store(offset_bytes, &[1; 8]).unwrap();
    };
    let unmap = |granule: u64| table.unmap(granule * pages_each, pages_each).unwrap();
    let page = |page: u64| table.store(page * PAGE_BYTES, &[1; 8]).unwrap();
    let mut costs = [f64::MAX; 4];
    for _ in 0..ROUNDS {
        let mut note = |index: usize, cost: f64| costs[index] = costs[index].min(cost);
        table.unmap(0, PAGES)?;
        note(0, side_by_side(granules, threads, &load));
        table.unmap(0, PAGES)?;
        note(1, side_by_side(granules, threads, &store));
        note(2, side_by_side(PAGES, threads, &page));
        note(3, side_by_side(granules, threads, &unmap));
    }
    let rate = |cost: f64| threads as f64 * 1e6 / cost;
    println!(
        " load {:.0} ({:.0} k/s), store {:.0} ({:.0} k/s), then {:.0} a page; unmap {:.0}",
        costs[0],
        rate(costs[0]),
        costs[1],
        rate(costs[1]),
        costs[2],
        costs[3]
    );
    Ok(())
}

/// The mean cost of a call when each thread makes a share of `calls`, one behind the other.
fn side_by_side(calls: u64, threads: u64, call: &(impl Fn(u64) + Sync)) -> f64 {
    let share = calls / threads;
    let barrier = Barrier::new(threads as usize);
    let slowest = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    for index in worker * share..(worker + 1) * share {
                        call(black_box(index));
                    }
                    start.elapsed()
                })
            })
            .collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap());
        ends.max().unwrap_or_default()
    });
    slowest.as_nanos() as f64 / share as f64
}

/// The mean cost of `calls` calls, the best of several rounds.
fn best(calls: u64, mut call: impl FnMut(u64) -> Outcome<()>) -> Outcome<f64> {
    let mut cost = f64::MAX;
    for _ in 0..ROUNDS {
        cost = cost.min(once(calls, &mut call)?);
    }
    Ok(cost)
}

fn once(calls: u64, mut call: impl FnMut(u64) -> Outcome<()>) -> Outcome<f64> {
    let start = Instant::now();
    for index in 0..calls {
        call(black_box(index))?;
    }
    Ok(start.elapsed().as_nanos() as f64 / calls as f64)
}
