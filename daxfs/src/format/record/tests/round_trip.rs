//! What is written reads back.

use proptest::prelude::*;

use super::strategies::{KINDS, example, record, record_of_kind, stamp};
use crate::format::record::header::{ALIGNMENT_BYTES, HEADER_LEN, SKIP, encode_skip};
use crate::format::record::{Record, RecordHeader, Stamp};

pub(super) fn encoded(record: &Record, stamp: Stamp) -> Vec<u8> {
    let mut buffer = Vec::new();
    record.encode(stamp, &mut buffer);
    buffer
}

pub(super) fn header(bytes: &[u8]) -> RecordHeader {
    RecordHeader::decode(bytes.first_chunk().unwrap()).unwrap()
}

proptest! {
    #[test]
    fn a_record_reads_back(record in record(), stamp in stamp(), before in 0..100_usize) {
        let mut buffer = vec![0xAA; before];
        record.encode(stamp, &mut buffer);
        let (untouched, bytes) = buffer.split_at(before);
        prop_assert!(untouched.iter().all(|byte| *byte == 0xAA));
        prop_assert_eq!(bytes.len() as u64, record.encoded_len());
        prop_assert!(record.encoded_len().is_multiple_of(ALIGNMENT_BYTES));

        let header = header(bytes);
        prop_assert_eq!(header.stamp, stamp);
        prop_assert_eq!(header.kind, record.kind());
        prop_assert_eq!(header.padded_bytes(), record.encoded_len());
        prop_assert_eq!(header.verify(bytes), Ok(()));
        prop_assert_eq!(Record::decode(header.kind, header.payload(bytes)), Ok(record));
    }

    #[test]
    fn a_skip_reads_back(stamp in stamp()) {
        let mut bytes = Vec::new();
        encode_skip(stamp, &mut bytes);
        prop_assert_eq!(bytes.len() as u64, ALIGNMENT_BYTES);
        let header = header(&bytes);
        prop_assert_eq!((header.kind, header.stamp), (SKIP, stamp));
        prop_assert_eq!(header.len_bytes as usize, HEADER_LEN);
        prop_assert_eq!(header.verify(&bytes), Ok(()));
    }
}

#[test]
fn there_is_a_record_of_every_kind() {
    for kind in KINDS {
        let record = example(record_of_kind(kind));
        assert_eq!(record.kind(), kind);
        let bytes = encoded(&record, example(stamp()));
        let found = Record::decode(kind, header(&bytes).payload(&bytes));
        assert_eq!(found, Ok(record));
    }
    for kind in [SKIP, KINDS.end, u16::MAX] {
        Record::decode(kind, &[]).unwrap_err();
    }
}
