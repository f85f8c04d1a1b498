//! Every length and alignment of a copy, with a guard of bytes on either side.

use super::*;

const GUARD: u8 = 0xee;
const SPAN_BYTES: usize = 512;

fn pattern(len_bytes: usize) -> Vec<u8> {
    (0..len_bytes)
        .map(|index| (index % 251) as u8 + 1)
        .collect()
}

/// Runs `copy` for many lengths and offsets and checks each byte in and around the target.
fn check(copy: impl Fn(*mut u8, *const u8, usize) -> Option<CachedEdges>, expected: fn(u8) -> u8) {
    let source = pattern(SPAN_BYTES);
    for target_offset in 0..CACHE_LINE_BYTES + 1 {
        for len_bytes in (0..=200).chain([255, 256, 300]) {
            let mut target = vec![GUARD; SPAN_BYTES];
            let source_offset = len_bytes % 17;
            let edges = copy(
                target[target_offset..][..len_bytes].as_mut_ptr(),
                source[source_offset..][..len_bytes].as_ptr(),
                len_bytes,
            );
            for (index, &byte) in target.iter().enumerate() {
                let inside = (target_offset..target_offset + len_bytes).contains(&index);
                let wanted = if inside {
                    expected(source[source_offset + index - target_offset])
                } else {
                    GUARD
                };
                assert_eq!(byte, wanted, "byte {index}, {len_bytes} at {target_offset}");
            }
            if let Some(edges) = edges {
                check_edges(&target[target_offset..], len_bytes, edges);
            }
        }
    }
}

/// What lies between the edges must be whole lines, or it would not be durable after a fence.
fn check_edges(target: &[u8], len_bytes: usize, edges: CachedEdges) {
    let middle = len_bytes - edges.head_bytes - edges.tail_bytes;
    assert_eq!(middle % CACHE_LINE_BYTES, 0);
    if middle > 0 {
        assert_eq!(
            (target.as_ptr().addr() + edges.head_bytes) % CACHE_LINE_BYTES,
            0
        );
    }
}

#[test]
fn a_cached_copy_writes_its_range_and_nothing_else() {
    check(
        |target, source, len_bytes| {
            // SAFETY: `check` passes slices of that length.
            unsafe { cached(target, source, len_bytes) };
            None
        },
        |byte| byte,
    );
}

#[test]
fn a_streaming_copy_writes_its_range_and_names_its_cached_edges() {
    check(
        // SAFETY: `check` passes slices of that length.
        |target, source, len_bytes| Some(unsafe { streaming(target, source, len_bytes) }),
        |byte| byte,
    );
}

#[test]
fn cached_zeroing_writes_its_range_and_nothing_else() {
    check(
        |target, _, len_bytes| {
            // SAFETY: `check` passes slices of that length.
            unsafe { cached_zero(target, len_bytes) };
            None
        },
        |_| 0,
    );
}

#[test]
fn streaming_zeroing_writes_its_range_and_names_its_cached_edges() {
    check(
        // SAFETY: `check` passes slices of that length.
        |target, _, len_bytes| Some(unsafe { streaming_zero(target, len_bytes) }),
        |_| 0,
    );
}
