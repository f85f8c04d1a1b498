//! What the parts of this crate cost on this machine: copies by length and back end, and faults.
//!
//! ```text
//! cargo run --release -p daxfs-pmem --example pmem_costs
//! ```
//! One thread; each figure is the best of several rounds, in nanoseconds a call. A memfd is DRAM,
//! which is not persistent memory: the hardware back end's figures are those of its instructions.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use daxfs_pmem::{
    Access, Device, Fault, FaultError, FaultHandler, Frame, PAGE_BYTES, PageTable, Persistence,
    PersistenceChoice, ProcessPageTable, Protection, SoftwarePageTable,
};

const DEVICE_BYTES: u64 = 256 << 20;
const WARM_BYTES: u64 = 4 << 20;
const ROUNDS: u32 = 5;

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
    let pages = 8192;
    for pages_each in [1, 16, 512] {
        let handler = Arc::new(Identity { pages: pages_each });
        let software = SoftwarePageTable::new(Arc::clone(device), pages, handler.clone())?;
        let process =
            ProcessPageTable::new(Arc::clone(device), pages, handler, Protection::ReadWrite)?;
        fault_costs("software", &*software, pages_each)?;
        fault_costs("process", &*process, pages_each)?;
    }
    Ok(())
}

fn fault_costs(label: &str, table: &dyn PageTable, pages_each: u64) -> Outcome<()> {
    let pages = table.len_pages();
    let granules = pages / pages_each;
    let reset = |table: &dyn PageTable| table.unmap(0, pages);
    let load = |page: u64| {
        table
            .load(page * PAGE_BYTES, &mut [0; 8])
            .map_err(Box::from)
    };
    let store = |page: u64| table.store(page * PAGE_BYTES, &[1; 8]).map_err(Box::from);
    let mut fault = [f64::MAX; 2];
    let mut rest = f64::MAX;
    for _ in 0..ROUNDS {
        reset(table)?;
        fault[0] = fault[0].min(once(granules, |granule| load(granule * pages_each))?);
        reset(table)?;
        fault[1] = fault[1].min(once(granules, |granule| store(granule * pages_each))?);
        rest = rest.min(once(pages, store)?);
    }
    let unmap = once(granules, |granule| {
        table
            .unmap(granule * pages_each, pages_each)
            .map_err(Box::from)
    })?;
    println!(
        "  {label}, {pages_each} pages a fault: load {:.0}, store {:.0}, then {rest:.1} a store; \
         unmap {unmap:.0}",
        fault[0], fault[1]
    );
    Ok(())
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
