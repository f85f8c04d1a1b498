//! A mounted filesystem with one file on which threads meet, and what can be seen of it.
//!
//! Everything here panics when it fails: that is the test's failure. Touches anonymous memory;
//! takes no locks but the choreography's.

use std::sync::Arc;

use daxfs::schedule::Mistake;
use daxfs::{File, Filesystem, MapOptions, Mapping, MappingLock, MountOptions, PageTables};

use crate::choreography::Choreography;
use crate::fixture::formatted;

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// Bytes in a huge page.
pub const LARGE: u64 = 2 << 20;
/// What a hole holds.
pub const ZERO: [u8; 8] = [0; 8];
/// What was there before.
pub const OLD: [u8; 8] = *b"old data";
/// What is there afterwards.
pub const NEW: [u8; 8] = *b"new data";

/// Both kinds of page tables.
pub const TABLES: [PageTables; 2] = [PageTables::Software, PageTables::Process];

/// A mounted filesystem with a file that is a hole.
pub struct Stage {
    /// Who is told of each step.
    pub choreography: Arc<Choreography>,
    /// The filesystem.
    pub fs: Filesystem,
    /// The file.
    pub file: File,
    tables: PageTables,
}

impl Stage {
    /// A hole of `len_bytes` under a design.
    #[must_use]
    pub fn new(design: MappingLock, tables: PageTables, len_bytes: u64) -> Self {
        Self::with(tables, len_bytes, None, |options| {
            options.mapping_lock = design;
        })
    }

    /// The same, with a mistake built in and options changed.
    #[must_use]
    pub fn with(
        tables: PageTables,
        len_bytes: u64,
        mistake: Option<Mistake>,
        change: impl FnOnce(&mut MountOptions),
    ) -> Self {
        let choreography = Arc::new(Choreography::with_mistake(mistake));
        let mut options = MountOptions::default();
        options.schedule = Some(Arc::clone(&choreography) as _);
        change(&mut options);
        let device = formatted((16 << 20).max(8 * len_bytes));
        let fs = Filesystem::mount(device, options).expect("it mounts");
        let file = fs.create("/file").expect("a file");
        file.truncate(len_bytes).expect("a hole");
        Self {
            choreography,
            fs,
            file,
            tables,
        }
    }

    /// A mapping of the whole file.
    #[must_use]
    pub fn map(&self) -> Mapping {
        self.map_part(0, self.file.len_bytes())
    }

    /// A mapping of part of the file.
    #[must_use]
    pub fn map_part(&self, offset_bytes: u64, len_bytes: u64) -> Mapping {
        let options = MapOptions {
            page_tables: self.tables,
            offset_bytes,
            ..MapOptions::new(len_bytes)
        };
        self.file.map(options).expect("a mapping")
    }

    /// What `read_at` and a load say of the first bytes of a page. The mapping begins where the
    /// file does.
    #[must_use]
    pub fn seen(&self, mapping: &Mapping, page: u64) -> Seen {
        Seen {
            read: read(&self.file, page),
            loaded: load(mapping, page).expect("within the file"),
        }
    }
}

/// The first bytes of a page, by both ways.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// As they are read.
    pub read: [u8; 8],
    /// As they are mapped.
    pub loaded: [u8; 8],
}

impl Seen {
    /// The same both ways.
    #[must_use]
    pub fn both(bytes: [u8; 8]) -> Self {
        Self {
            read: bytes,
            loaded: bytes,
        }
    }
}

/// The first bytes of a page, as they are read.
#[must_use]
pub fn read(file: &File, page: u64) -> [u8; 8] {
    let mut bytes = [0xEE; 8];
    let len = file.read_at(&mut bytes, page * PAGE).expect("a device");
    assert_eq!(len, 8, "the end of file comes too early");
    bytes
}

/// The first bytes of a page of a mapping.
///
/// # Errors
/// What the load reports.
pub fn load(mapping: &Mapping, page: u64) -> daxfs::Result<[u8; 8]> {
    let mut bytes = [0xEE; 8];
    mapping.load(page * PAGE, &mut bytes).map(|()| bytes)
}

/// A page of one word, over and over.
#[must_use]
pub fn block_of(word: [u8; 8]) -> Vec<u8> {
    word.repeat(PAGE as usize / 8)
}

/// Runs a test under every design with both kinds of page tables.
pub fn for_every_design(test: impl Fn(MappingLock, PageTables)) {
    for design in MappingLock::ALL {
        for tables in TABLES {
            println!("mapping lock {design}, {tables:?} page tables");
            test(design, tables);
        }
    }
}
