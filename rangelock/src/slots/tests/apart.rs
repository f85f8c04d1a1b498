//! A level whose readers are apart, against plain ranges.

use std::collections::HashSet;

use proptest::prelude::*;

use super::granule::{Granule, shard_of};
use super::level::{LEAST_APART_BITS, Layout, Level, View};
use crate::mode::Mode::{Read, Write};
use crate::span::Span;

proptest! {
    /// Whoever wants to write looks into every shard where a reader of any thread could be.
    #[test]
    fn where_readers_are_apart_a_range_has_whole_groups(
        shift in 0..=21_u32,
        first in 0..1_u64 << 30,
        len in 1..1_u64 << 24,
        shard_bits in LEAST_APART_BITS..=LEAST_APART_BITS + 2,
    ) {
        let span = Span { first, last: first + len - 1 };
        let granule = Granule::from_len(1 << shift).unwrap();
        let level = Level::new(granule, shard_bits, Layout::ReadersApart);
        // SAFETY: the level lives to the end of this function.
        let view = View::Heap(unsafe { level.ticket().shards() });
        prop_assert_eq!((view.shard_bits(), view.layout()), (shard_bits, Layout::ReadersApart));
        let found: HashSet<_> = view.shards_of(span).map(std::ptr::from_ref).collect();
        let all: Vec<_> = view.shards().map(std::ptr::from_ref).collect();
        let expected: HashSet<_> = (span.first >> shift..=span.last >> shift)
            .map(|number| shard_of(number, shard_bits) / 16)
            .flat_map(|group| &all[16 * group..16 * group + 16])
            .copied()
            .collect();
        prop_assert!(found == expected || found.len() == 1 << shard_bits);
        prop_assert!(found.is_superset(&expected));
        let is_narrow = span.first >> shift == span.last >> shift;
        prop_assert_eq!(view.index_for(span, Write), None);
        let own = view.index_for(span, Read);
        prop_assert_eq!(own.is_some(), is_narrow);
        prop_assert!(own.is_none_or(|own| expected.contains(&all[own])));
    }
}
