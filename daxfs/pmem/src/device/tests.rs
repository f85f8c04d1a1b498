//! What only the inside of a device can bring about: a sync that fails.

use std::process::Command;

use super::*;

/// Set in the process that has the test below to itself.
const ALONE: &str = "DAXFS_PMEM_TEST_ALONE";

/// The test makes a hole in a mapping. In a process with other tests one of them may map something
/// there, which the device would take away from it; so the test has a process of its own.
#[test]
fn after_a_failed_sync_no_later_one_is_believed() {
    if std::env::var_os(ALONE).is_some() {
        return a_failed_sync_is_remembered();
    }
    let name = "device::tests::after_a_failed_sync_no_later_one_is_believed";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--test-threads=1"]);
    let output = command.env(ALONE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn a_failed_sync_is_remembered() {
    let choice = PersistenceChoice::Use(Persistence::Msync);
    let device = Device::create_memfd(4 * PAGE_BYTES, choice).unwrap();
    let lost = device.copy(PAGE_BYTES, b"lost").unwrap();
    let kept = device.copy(0, b"kept").unwrap();
    // SAFETY: a page of the device's own mapping, which nothing touches any more; `msync` reports
    // it as missing, and dropping the device unmaps around it.
    unsafe { crate::sys::unmap(device.page_address(PAGE_BYTES), PAGE_BYTES as usize) }.unwrap();
    let error = device.fence(lost).unwrap_err();
    assert!(
        matches!(
            error,
            DeviceError::Sync {
                offset_bytes: PAGE_BYTES,
                len_bytes: 4,
                ..
            }
        ),
        "{error}"
    );
    let error = device.fence(kept).unwrap_err();
    assert!(matches!(error, DeviceError::SyncFailedBefore), "{error}");
}

#[test]
fn every_line_of_a_range_is_written_back_whatever_its_alignment() {
    // The instruction leaves no trace that a program could see, but it faults outside mappings:
    // ranges that end with the mapping must not step past it.
    let choice = PersistenceChoice::Use(Persistence::Hardware);
    let device = Device::create_memfd(PAGE_BYTES, choice).unwrap();
    for offset_bytes in [0, 1, 63, 64, PAGE_BYTES - 65, PAGE_BYTES - 1] {
        let in_flight = device
            .flush_range(offset_bytes, PAGE_BYTES - offset_bytes)
            .unwrap();
        device.fence(in_flight).unwrap();
    }
}
