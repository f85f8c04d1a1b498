//! What it takes to settle bytes, on each back end.

use daxfs_pmem::{Device, DeviceError, Persistence, PersistenceChoice, Settled};

fn device(persistence: Persistence) -> Device {
    Device::create_memfd(1 << 20, PersistenceChoice::Use(persistence)).unwrap()
}

#[test]
fn settling_fences_where_a_fence_is_enough_and_defers_where_it_is_a_sync() {
    for (persistence, fences) in [
        (Persistence::Hardware, 1),
        (Persistence::Volatile, 1),
        (Persistence::Msync, 0),
    ] {
        let device = device(persistence);
        let settled = device.settle(device.copy(4096, b"bytes").unwrap()).unwrap();
        assert_eq!(device.counts().fences, fences, "{persistence}");
        assert_eq!((settled.offset_bytes(), settled.len_bytes()), (4096, 5));
    }
}

#[test]
fn bytes_of_another_device_are_not_settled_here() {
    for persistence in [
        Persistence::Hardware,
        Persistence::Volatile,
        Persistence::Msync,
    ] {
        let (device, other) = (device(persistence), device(persistence));
        let refused = device.settle(other.copy(0, b"bytes").unwrap());
        assert!(
            matches!(refused, Err(DeviceError::ForeignToken)),
            "{persistence}: {refused:?}"
        );
    }
}

#[test]
fn what_is_durable_is_settled() {
    let device = device(Persistence::Msync);
    let durable = device.fence(device.zero(4096, 8192).unwrap()).unwrap();
    let settled = Settled::from(durable);
    assert_eq!((settled.offset_bytes(), settled.len_bytes()), (4096, 8192));
}

#[test]
fn settled_bytes_cover_their_parts_and_no_more() {
    let device = device(Persistence::Volatile);
    let settled = device.settle(device.zero(4096, 8192).unwrap()).unwrap();
    for (offset_bytes, len_bytes, covered) in [
        (4096, 8192, true),
        (8192, 4096, true),
        (12288, 0, true),
        (4095, 2, false),
        (4096, 8193, false),
        (12288, 1, false),
        (8192, u64::MAX, false),
    ] {
        let covers = settled.covers(offset_bytes, len_bytes);
        assert_eq!(covers, covered, "{len_bytes} bytes at {offset_bytes}");
    }
}
