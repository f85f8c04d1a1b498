//! Requests that cannot be met: each is refused with a typed error and changes nothing.

use daxfs::{Error, File, Filesystem, MapOptions, Mapping, PageTables, Result};
use daxfs_tests::fixture::{assert_clean, formatted, mount};

use crate::image::IMAGE_BYTES;

const MAX_FILE_BYTES: u64 = daxfs::MAX_FILE_BYTES;
/// Offsets and lengths at every edge there is.
const EXTREMES: [u64; 8] = [
    1,
    4095,
    1 << 32,
    MAX_FILE_BYTES,
    MAX_FILE_BYTES + 1,
    i64::MAX as u64,
    u64::MAX - 4095,
    u64::MAX,
];

/// A file of three pages with a mapping of each kind.
fn small_file(fs: &Filesystem) -> (File, Vec<Mapping>) {
    let file = fs.create("/file").unwrap();
    file.write_all_at(&[5; 3 * 4096], 0).unwrap();
    let map = |page_tables| {
        file.map(MapOptions {
            page_tables,
            ..MapOptions::new(3 * 4096)
        })
        .unwrap()
    };
    let mappings = [PageTables::Software, PageTables::Process].map(map);
    (file, Vec::from(mappings))
}

fn assert_invalid_range<T>(result: Result<T>, offset_bytes: u64, len_bytes: u64) {
    match result {
        Err(Error::InvalidRange {
            offset_bytes: at,
            len_bytes: len,
            ..
        }) => {
            assert_eq!((at, len), (offset_bytes, len_bytes));
        }
        Err(error) => panic!("{len_bytes} bytes at {offset_bytes}: {error}"),
        Ok(_) => panic!("{len_bytes} bytes at {offset_bytes}: no error"),
    }
}

#[test]
fn ranges_no_file_can_have_are_refused_by_every_call() {
    let device = formatted(IMAGE_BYTES);
    let fs = mount(&device);
    let (file, mappings) = small_file(&fs);
    for offset in EXTREMES
        .into_iter()
        .filter(|offset| *offset >= MAX_FILE_BYTES)
    {
        assert_invalid_range(file.write_at(b"12", offset), offset, 2);
        assert_eq!(
            file.read_at(&mut [0; 2], offset).unwrap(),
            0,
            "past the end is empty"
        );
        for len in EXTREMES {
            assert_invalid_range(file.punch_hole(offset, len), offset, len);
        }
        if offset > MAX_FILE_BYTES {
            assert_invalid_range(file.truncate(offset), 0, offset);
        }
    }
    for offset in [0, 1, 4096, MAX_FILE_BYTES, u64::MAX] {
        for len in EXTREMES.into_iter().filter(|len| *len > MAX_FILE_BYTES) {
            assert_invalid_range(file.punch_hole(offset, len), offset, len);
            let options = MapOptions {
                offset_bytes: offset,
                ..MapOptions::new(len)
            };
            assert_invalid_range(file.map(options), offset, len);
        }
    }
    for mapping in &mappings {
        for offset in EXTREMES
            .into_iter()
            .filter(|offset| *offset >= 3 * 4096 - 1)
        {
            assert_invalid_range(mapping.load(offset, &mut [0; 2]), offset, 2);
            assert_invalid_range(mapping.store(offset, &[0; 2]), offset, 2);
            assert_invalid_range(mapping.release(offset, 2), offset, 2);
            assert_invalid_range(mapping.sync(offset, 2), offset, 2);
        }
        assert_invalid_range(mapping.release(2, u64::MAX), 2, u64::MAX);
        assert_invalid_range(mapping.sync(u64::MAX, u64::MAX), u64::MAX, u64::MAX);
    }
    // None of that had an effect.
    let mut bytes = vec![0; 3 * 4096 + 1];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 3 * 4096);
    assert!(bytes[..3 * 4096].iter().all(|byte| *byte == 5));
    drop((file, mappings));
    fs.unmount().unwrap();
    assert_clean(&device);
}

#[test]
fn the_largest_file_works_to_its_last_byte() {
    let device = formatted(IMAGE_BYTES);
    let fs = mount(&device);
    let file = fs.create("/largest").unwrap();
    file.truncate(MAX_FILE_BYTES).unwrap();
    assert_eq!(file.write_at(b"end", MAX_FILE_BYTES - 3).unwrap(), 3);
    assert_invalid_range(file.append(b"!"), MAX_FILE_BYTES, 1);
    assert_invalid_range(
        file.write_at(b"end", MAX_FILE_BYTES - 2),
        MAX_FILE_BYTES - 2,
        3,
    );
    file.punch_hole(0, MAX_FILE_BYTES - 4096).unwrap();
    let mapping = file
        .map(MapOptions {
            offset_bytes: MAX_FILE_BYTES - 4096,
            ..MapOptions::new(4096)
        })
        .unwrap();
    let mut end = [0; 3];
    mapping.load(4093, &mut end).unwrap();
    assert_eq!(&end, b"end");
    drop((file, mapping));
    fs.unmount().unwrap();
    assert_clean(&device);
    let fs = mount(&device);
    let file = fs.open("/largest").unwrap();
    let mut tail = [1; 6];
    assert_eq!(file.read_at(&mut tail, MAX_FILE_BYTES - 6).unwrap(), 6);
    assert_eq!(&tail, b"\0\0\0end");
}

#[test]
fn empty_requests_change_nothing() {
    let fs = mount(&formatted(IMAGE_BYTES));
    let (file, mappings) = small_file(&fs);
    assert_eq!(file.write_at(b"", 1 << 30).unwrap(), 0);
    assert_eq!(file.append(b"").unwrap(), 3 * 4096);
    assert_eq!(file.read_at(&mut [], 0).unwrap(), 0);
    let refused = file.punch_hole(4096, 0);
    assert!(matches!(refused, Err(Error::InvalidOption { .. })));
    for mapping in &mappings {
        mapping.load(3 * 4096, &mut []).unwrap();
        mapping.store(3 * 4096, &[]).unwrap();
        mapping.release(3 * 4096, 0).unwrap();
    }
    assert_eq!(file.len_bytes(), 3 * 4096);
    let unaligned = MapOptions {
        offset_bytes: 5,
        ..MapOptions::new(4096)
    };
    for options in [MapOptions::new(0), unaligned] {
        let error = file.map(options).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    }
}

#[test]
fn access_past_the_end_of_file_is_an_error_until_the_file_grows() {
    let fs = mount(&formatted(IMAGE_BYTES));
    for page_tables in [PageTables::Software, PageTables::Process] {
        let file = fs.create(format!("/{page_tables:?}")).unwrap();
        file.write_all_at(b"short", 0).unwrap();
        let mapping = file
            .map(MapOptions {
                page_tables,
                ..MapOptions::new(3 * 4096)
            })
            .unwrap();
        for result in [mapping.load(4096, &mut [0]), mapping.store(4096, &[1])] {
            let Err(Error::Access(error)) = result else {
                panic!("{result:?}")
            };
            assert_eq!(error.offset_bytes, 4096);
        }
        file.truncate(2 * 4096).unwrap();
        mapping.store(4096, &[1]).unwrap();
        assert!(matches!(
            mapping.load(8192, &mut [0]),
            Err(Error::Access(_))
        ));
    }
}

#[test]
fn paths_that_name_nothing_or_the_wrong_kind_are_told_apart() {
    let fs = mount(&formatted(IMAGE_BYTES));
    fs.create_directory("/directory").unwrap();
    fs.create("/directory/file").unwrap();
    let long = format!("/{}", "n".repeat(256));
    for path in ["relative", "/a\0b", long.as_str()] {
        let results = [
            fs.create(path).map(drop),
            fs.open(path).map(drop),
            fs.create_directory(path),
            fs.remove_file(path),
            fs.remove_directory(path),
            fs.read_directory(path).map(drop),
            fs.metadata(path).map(drop),
        ];
        for result in results {
            let is_refused = match result {
                Err(Error::InvalidPath { .. }) => path.len() < 256,
                Err(Error::NameTooLong { .. }) => path.len() > 256,
                _ => false,
            };
            assert!(is_refused, "{path:?}: {result:?}");
        }
    }
    let kind = |result: Result<()>| match result {
        Ok(()) => "ok",
        Err(Error::NotFound { .. }) => "not found",
        Err(Error::AlreadyExists { .. }) => "exists",
        Err(Error::NotADirectory { .. }) => "not a directory",
        Err(Error::IsADirectory { .. }) => "is a directory",
        Err(Error::DirectoryNotEmpty { .. }) => "not empty",
        Err(Error::InvalidPath { .. }) => "invalid path",
        Err(Error::InUse { .. }) => "in use",
        Err(error) => panic!("{error}"),
    };
    assert_eq!(kind(fs.open("/missing").map(drop)), "not found");
    assert_eq!(kind(fs.create("/missing/file").map(drop)), "not found");
    assert_eq!(
        kind(fs.open("/directory/file/x").map(drop)),
        "not a directory"
    );
    assert_eq!(
        kind(fs.create("/directory/file/x").map(drop)),
        "not a directory"
    );
    assert_eq!(kind(fs.create("/directory").map(drop)), "exists");
    assert_eq!(kind(fs.create_directory("/directory/file")), "exists");
    assert_eq!(kind(fs.open("/directory").map(drop)), "is a directory");
    assert_eq!(kind(fs.remove_file("/directory")), "is a directory");
    assert_eq!(
        kind(fs.remove_directory("/directory/file")),
        "not a directory"
    );
    assert_eq!(
        kind(fs.read_directory("/directory/file").map(drop)),
        "not a directory"
    );
    assert_eq!(kind(fs.remove_directory("/directory")), "not empty");
    assert_eq!(kind(fs.remove_directory("/")), "in use");
    assert_eq!(kind(fs.create("/").map(drop)), "exists");
}
