//! Records that say what none may say, though every byte is as it was written.

use daxfs_pmem::{Device, PersistenceChoice};

use super::round_trip::{encoded, header};
use super::strategies::{example, record_of_kind, stamp};
use crate::format::acl::{ACCESS_ACL, DEFAULT_ACL};
use crate::format::geometry::{BLOCK_BYTES, MAXIMUM_FILE_BLOCKS, MAXIMUM_FILE_BYTES};
use crate::format::item::encode_xattrs;
use crate::format::record::header::HEADER_LEN;
use crate::format::record::{Disposition, FileType, Record, RecordHeader, SettledRun};
use crate::format::{Problem, Structure, Timestamp};
use crate::run::Run;

const TIME: Timestamp = Timestamp {
    seconds: 0,
    nanoseconds: 0,
};
const POSITION: u64 = 1 << 15;

/// What is wrong with a record that was written although it should not have been.
fn refused(record: &Record) -> &'static str {
    let bytes = encoded(record, example(stamp()));
    let header = header(&bytes);
    assert_eq!(header.verify(&bytes), Ok(()));
    let error = Record::decode(header.kind, header.payload(&bytes)).unwrap_err();
    assert_eq!(record.check(), Err(error), "an append would refuse it, too");
    assert_eq!(error.structure, Structure::LogRecord);
    match error.problem {
        Problem::OutOfRange { field, .. }
        | Problem::Mismatch { field, .. }
        | Problem::Invalid { field, .. } => field,
        other => panic!("{other}"),
    }
}

fn link(name: &[u8]) -> Record {
    Record::Link {
        directory: 1,
        position: POSITION,
        name: name.to_vec(),
        inode: 2,
        time: TIME,
    }
}

fn create(kind: FileType) -> Record {
    Record::Create {
        parent: 1,
        position: POSITION,
        name: b"a".to_vec(),
        inode: 2,
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        rdev: 0,
        time: TIME,
        target: Vec::new(),
        links: if kind == FileType::Directory { 2 } else { 1 },
        xattrs: Vec::new(),
    }
}

/// A `Create` with some fields changed; the values must not name the fields.
macro_rules! create_with {
    ($kind:ident, $($field:ident: $value:expr),*) => {{
        let mut record = create(FileType::$kind);
        if let Record::Create { $($field,)* .. } = &mut record {
            $(*$field = $value;)*
        }
        record
    }};
}

#[test]
fn names_that_are_none() {
    assert_eq!(link(b"a").check(), Ok(()));
    for bad in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
        assert_eq!(refused(&link(bad)), "name", "{bad:?}");
        let create = create_with!(File, name: bad.to_vec());
        assert_eq!(refused(&create), "name", "{bad:?}");
    }
    let xattr = |name: &[u8]| Record::RemoveXattr {
        inode: 1,
        name: name.to_vec(),
        time: TIME,
    };
    assert_eq!(xattr(b"user.a/b").check(), Ok(()));
    for name in [&b""[..], b"a\0", &[b'x'; 256]] {
        assert_eq!(refused(&xattr(name)), "name");
    }
}

#[test]
fn new_inodes_that_contradict_themselves() {
    for kind in FileType::ALL {
        let record = create(kind);
        if kind == FileType::Symlink {
            assert_eq!(refused(&record), "target");
            create_with!(Symlink, target: b"x".to_vec())
                .check()
                .unwrap();
            for bad in [vec![b'x'; 4096], b"a\0".to_vec()] {
                assert_eq!(refused(&create_with!(Symlink, target: bad)), "target");
            }
        } else {
            assert_eq!(record.check(), Ok(()));
        }
    }
    assert_eq!(
        refused(&create_with!(File, target: b"x".to_vec())),
        "length of target"
    );
    assert_eq!(refused(&create_with!(Fifo, rdev: 5)), "rdev of no device");
    create_with!(BlockDevice, rdev: 5).check().unwrap();
    assert_eq!(refused(&create_with!(File, mode: 0o10000)), "mode");
    assert_eq!(refused(&create_with!(File, links: 2)), "links");
    assert_eq!(refused(&create_with!(Directory, links: 1)), "links");
    assert_eq!(refused(&create_with!(File, position: 5)), "position");
    assert_eq!(refused(&create_with!(File, inode: 0)), "inode");
    assert_eq!(
        refused(&create_with!(File, links: 0)),
        "position without a name"
    );
    assert_eq!(
        refused(&create_with!(File, links: 0, position: 0)),
        "length of name without links"
    );
    create_with!(File, links: 0, position: 0, name: Vec::new())
        .check()
        .unwrap();
}

/// An access control list with one named user, whose class has `mask`.
fn acl(mask: u8) -> Vec<u8> {
    let entry = |tag, permissions, id: u32| {
        let mut entry = vec![tag, 0, permissions, 0];
        entry.extend_from_slice(&id.to_le_bytes());
        entry
    };
    let entries = [
        entry(1, 6, u32::MAX),
        entry(2, 7, 5),
        entry(4, 4, u32::MAX),
        entry(16, mask, u32::MAX),
        entry(32, 4, u32::MAX),
    ];
    [vec![2, 0, 0, 0], entries.concat()].concat()
}

#[test]
fn access_control_lists_that_are_none() {
    let set = |access_acl: Vec<u8>| Record::SetAttributes {
        inode: 1,
        mode: None,
        uid: None,
        gid: None,
        accessed: None,
        modified: None,
        changed: None,
        access_acl: Some(access_acl),
    };
    assert_eq!(set(Vec::new()).check(), Ok(()));
    assert_eq!(set(acl(4)).check(), Ok(()));
    let mut long = acl(4);
    long.push(0);
    for bad in [vec![2, 0, 0, 0], vec![1], long, acl(8)] {
        assert_eq!(refused(&set(bad)), "access_acl");
    }
    let set = |name: &[u8], value: Vec<u8>| Record::SetXattr {
        inode: 1,
        name: name.to_vec(),
        value,
        time: TIME,
    };
    assert_eq!(set(DEFAULT_ACL, acl(4)).check(), Ok(()));
    assert_eq!(refused(&set(DEFAULT_ACL, vec![1])), "value");
    assert_eq!(refused(&set(ACCESS_ACL, acl(4))), "name");
}

#[test]
fn attributes_that_no_new_inode_has() {
    let blob = |name: &[u8], value| encode_xattrs(&[(name.to_vec(), value)].into());
    let acls = blob(ACCESS_ACL, acl(4));
    create_with!(File, xattrs: acls.clone()).check().unwrap();
    assert_eq!(
        refused(&create_with!(File, xattrs: blob(ACCESS_ACL, acl(6)))),
        "xattrs"
    );
    assert_eq!(
        refused(&create_with!(File, xattrs: acls[1..].to_vec())),
        "xattrs"
    );
    let default = blob(DEFAULT_ACL, acl(7));
    create_with!(Directory, xattrs: default.clone())
        .check()
        .unwrap();
    assert_eq!(refused(&create_with!(Fifo, xattrs: default)), "xattrs");
    let link = create_with!(Symlink, target: b"x".to_vec(), xattrs: acls);
    assert_eq!(refused(&link), "xattrs");
}

#[test]
fn a_fate_of_nobody() {
    let rename = |replaced_inode, disposition| Record::Rename {
        from_directory: 1,
        from_position: POSITION,
        to_directory: 1,
        to_position: POSITION + 1,
        to_name: b"b".to_vec(),
        inode: 2,
        replaced_inode,
        disposition,
        time: TIME,
    };
    assert_eq!(rename(0, Disposition::Kept).check(), Ok(()));
    assert_eq!(rename(3, Disposition::Freed).check(), Ok(()));
    assert_eq!(refused(&rename(0, Disposition::Freed)), "disposition");
}

#[test]
fn files_that_are_too_large() {
    let map = |file_block, run, flags, len_bytes| Record::Map {
        inode: 1,
        file_block,
        run: SettledRun::recorded(run),
        flags,
        len_bytes,
        time: TIME,
    };
    let run = Run::new(600, 2);
    let last = MAXIMUM_FILE_BLOCKS - 2;
    assert_eq!(map(last, run, 1, MAXIMUM_FILE_BYTES).check(), Ok(()));
    assert_eq!(refused(&map(last + 1, run, 0, 0)), "file_block");
    assert_eq!(refused(&map(0, run, 2, 0)), "flags");
    assert_eq!(
        refused(&map(0, run, 0, MAXIMUM_FILE_BYTES + 1)),
        "len_bytes"
    );
    assert_eq!(refused(&map(0, Run::new(600, 0), 0, 0)), "len_blocks");
    assert_eq!(refused(&map(0, Run::new(0, 1), 0, 0)), "run");
    assert_eq!(refused(&map(0, Run::new(u64::MAX, 1), 0, 0)), "run");
    assert_eq!(
        refused(&map(0, Run::new(600, u64::MAX), 0, 0)),
        "len_blocks"
    );

    let unmap = |file_blocks| Record::Unmap {
        inode: 1,
        file_blocks,
        time: TIME,
    };
    assert_eq!(refused(&unmap(5..5)), "len_blocks");
    #[expect(clippy::reversed_empty_ranges, reason = "it is what the test is about")]
    let reversed = 6..5;
    assert_eq!(refused(&unmap(reversed)), "len_blocks");
    let set_length = |len_bytes, kept_blocks| Record::SetLength {
        inode: 1,
        len_bytes,
        kept_blocks,
        time: TIME,
    };
    assert_eq!(set_length(4097, 2).check(), Ok(()));
    assert_eq!(set_length(4097, 512).check(), Ok(()));
    assert_eq!(refused(&set_length(4097, 1)), "kept_blocks");
    assert_eq!(
        refused(&set_length(0, MAXIMUM_FILE_BLOCKS + 1)),
        "kept_blocks"
    );
    let redo = |offset_bytes, len| Record::Redo {
        inode: 1,
        offset_bytes,
        bytes: vec![0; len],
    };
    assert_eq!(redo(MAXIMUM_FILE_BYTES - 1, 1).check(), Ok(()));
    assert_eq!(refused(&redo(MAXIMUM_FILE_BYTES, 1)), "len_bytes");
    assert_eq!(refused(&redo(u64::MAX, 1)), "len_bytes");
    assert_eq!(refused(&redo(0, 0)), "bytes");
}

#[test]
fn a_time_with_more_than_a_second_of_nanoseconds() {
    let time = Timestamp {
        seconds: 0,
        nanoseconds: 1_000_000_000,
    };
    let record = Record::Extend {
        inode: 1,
        len_bytes: 1,
        time,
    };
    let bytes = encoded(&record, example(stamp()));
    Record::decode(record.kind(), header(&bytes).payload(&bytes)).unwrap_err();
}

#[test]
fn reserved_bytes_and_lengths_of_headers() {
    let bytes = encoded(&example(record_of_kind(16)), example(stamp()));
    let decode = |at: usize, byte: u8| {
        let mut header: [u8; HEADER_LEN] = *bytes.first_chunk().unwrap();
        header[at] = byte;
        RecordHeader::decode(&header)
    };
    assert!(decode(4, bytes[4]).is_ok());
    assert!(decode(0, 0).is_err(), "magic");
    assert!(decode(4, 39).is_err(), "shorter than its header");
    assert!(decode(34, 1).is_err(), "reserved");
    assert!(decode(32, 0).is_err(), "a skip has no payload");
}

#[test]
fn a_run_is_settled_only_as_far_as_its_content_is() {
    let device = Device::create_memfd(1 << 20, PersistenceChoice::Detect).unwrap();
    let zeroed = device.zero(3 * BLOCK_BYTES, 2 * BLOCK_BYTES).unwrap();
    let settled = device.settle(zeroed).unwrap();
    let run = SettledRun::new(Run::new(3, 2), &settled).unwrap();
    assert_eq!(run.run(), Run::new(3, 2));
    let (first, rest) = run.split_at(1);
    assert_eq!((first.run(), rest.run()), (Run::new(3, 1), Run::new(4, 1)));
    for run in [
        Run::new(2, 2),
        Run::new(3, 3),
        Run::new(5, 1),
        Run::new(u64::MAX, 1),
        Run::new(3, u64::MAX),
    ] {
        assert_eq!(SettledRun::new(run, &settled), None);
    }
}
