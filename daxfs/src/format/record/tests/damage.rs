//! Any bytes may lie in the log: nothing panics, and no damage is taken for a record.

use proptest::collection::vec;
use proptest::prelude::*;

use super::round_trip::{encoded, header};
use super::strategies::{KINDS, example, record, stamp};
use crate::format::record::header::HEADER_LEN;
use crate::format::record::{Record, RecordHeader};

/// Whether `bytes` are a whole record, wherever it belongs.
fn is_record(bytes: &[u8]) -> bool {
    RecordHeader::decode(bytes.first_chunk().unwrap())
        .is_ok_and(|header| header.verify(bytes).is_ok())
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        kind in 0..KINDS.end + 2,
        payload in vec(any::<u8>(), 0..300),
    ) {
        if let Ok(record) = Record::decode(kind, &payload) {
            // Whatever is accepted is what its own encoding says.
            let bytes = encoded(&record, example(stamp()));
            prop_assert_eq!(header(&bytes).payload(&bytes), &payload[..]);
        }
    }

    #[test]
    fn any_header_is_read_without_a_panic(bytes in vec(any::<u8>(), HEADER_LEN..200)) {
        prop_assert!(!is_record(&bytes));
    }

    #[test]
    fn any_flipped_bits_are_found(
        record in record(),
        stamp in stamp(),
        flips in vec(any::<prop::sample::Index>(), 1..=3),
    ) {
        let good = encoded(&record, stamp);
        let mut bytes = good.clone();
        for flip in flips {
            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        prop_assume!(bytes != good);
        prop_assert!(!is_record(&bytes));
    }

    #[test]
    fn a_payload_is_neither_shorter_nor_longer(
        record in record(),
        stamp in stamp(),
        cut in any::<prop::sample::Index>(),
        more in vec(any::<u8>(), 1..10),
    ) {
        let bytes = encoded(&record, stamp);
        let payload = header(&bytes).payload(&bytes);
        let shorter = &payload[..cut.index(payload.len())];
        prop_assert!(Record::decode(record.kind(), shorter).is_err());
        let longer = [payload, &more[..]].concat();
        prop_assert!(Record::decode(record.kind(), &longer).is_err());
    }
}
