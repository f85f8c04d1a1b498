//! The bytes themselves, so that a change of the format is noticed.

use super::round_trip::encoded;
use crate::format::Timestamp;
use crate::format::record::header::HEADER_LEN;
use crate::format::record::{Disposition, Lsn, Record, RecordHeader, Stamp};

const STAMP: Stamp = Stamp {
    lsn: Lsn::new(0x0102_0304_0506_0708),
    epoch: 0x1112_1314_1516_1718,
    durable_lsn: Lsn::new(0x2122_2324_2526_2728),
};

fn unlink() -> Record {
    Record::Unlink {
        directory: 1,
        position: 0x8001,
        inode: 3,
        time: Timestamp {
            seconds: -2,
            nanoseconds: 5,
        },
        disposition: Disposition::Orphaned,
    }
}

#[test]
fn a_record_has_these_bytes() {
    let expected = [
        "44586c67 4d000000 0807060504030201", // magic, length, position
        "1817161514131211 2827262524232221",  // epoch, durable
        "0300 0000 17fa0996",                 // kind, reserved, checksum
        "0100000000000000 0180000000000000 0300000000000000", // directory, position, inode
        "feffffffffffffff 05000000 02",       // time, disposition
        "000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000",
        "0000000000000000 0000000000000000", // padding
    ];
    let hex: String = encoded(&unlink(), STAMP)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, expected.concat().replace(' ', ""));
}

#[test]
fn lengths_come_before_bytes_and_presence_before_attributes() {
    let payload = |record: &Record| {
        let bytes = encoded(record, STAMP);
        let header = RecordHeader::decode(bytes.first_chunk().unwrap()).unwrap();
        bytes[HEADER_LEN..header.len_bytes as usize].to_vec()
    };
    let redo = Record::Redo {
        inode: 1,
        offset_bytes: 2,
        bytes: b"abc".to_vec(),
    };
    let numbers = |numbers: &[u64]| -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    };
    assert_eq!(
        payload(&redo),
        [&numbers(&[1, 2])[..], &[3, 0, 0, 0], b"abc"].concat()
    );
    let attributes = Record::SetAttributes {
        inode: 9,
        mode: Some(0o644),
        uid: None,
        gid: Some(7),
        accessed: None,
        modified: None,
        changed: None,
        access_acl: Some(Vec::new()),
    };
    let rest = [1, 0xa4, 0x01, 0, 1, 7, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(
        payload(&attributes),
        [&numbers(&[9])[..], &rest[..]].concat()
    );
}
