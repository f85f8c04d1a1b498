//! Records of the log: one change of metadata each, whole or not at all.
//!
//! | Module | Holds |
//! |---|---|
//! | [`header`] | the 40 bytes before each payload; [`Lsn`] |
//! | `field` | how one field becomes bytes and is read back |
//! | `check` | what a record alone can show to be wrong |
//! | `choice` | the enumerations of one byte |
//! | `settled_run` | [`SettledRun`]: blocks that a record may refer to |
//!
//! A payload is the fields of its record in the order below, without padding, little-endian. Bytes
//! of any length have their length before them as a `u32`; an attribute that may be absent has one
//! byte before it, 0 or 1; a time is seconds (`i64`) and nanoseconds (`u32`); a run and a range are
//! two `u64`; an enumeration is one byte. A record says what things are afterwards, not by how much
//! they differ, wherever it can.
//!
//! Pure: no I/O, no locks, and no allocation but the names and values of decoded records.

use std::ops::Range;

use super::item::FileType;
use super::{FormatError, Timestamp};

mod check;
mod choice;
mod field;
pub(crate) mod header;
mod settled_run;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use choice::{Disposition, ShiftDirection};
pub(crate) use header::{Lsn, RecordHeader, Stamp};
pub(crate) use settled_run::SettledRun;

use field::{FIELDS, Field, Reader};
use header::{HEADER_LEN, padded, seal};

/// Where a directory entry is, and what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The inode of the directory.
    pub(crate) directory: u64,
    /// The position of the entry in it.
    pub(crate) position: u64,
    /// The inode that the entry names.
    pub(crate) inode: u64,
}

/// The table of records becomes the enumeration, its encoder and its decoder.
macro_rules! records {
    ($($(#[$about:meta])* $number:literal $name:ident {
        $($(#[$about_field:meta])* $field:ident: $type:ty,)*
    })*) => {
        /// A change of metadata.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) enum Record {
            $($(#[$about])* $name { $($(#[$about_field])* $field: $type,)* },)*
        }

        impl Record {
            /// The number of the record's kind on the medium.
            pub(crate) fn kind(&self) -> u16 {
                match self {
                    $(Self::$name { .. } => $number,)*
                }
            }

            fn payload_len(&self) -> usize {
                match self {
                    $(Self::$name { $($field),* } => 0 $(+ $field.len_bytes())*,)*
                }
            }

            fn encode_payload(&self, buffer: &mut Vec<u8>) {
                match self {
                    $(Self::$name { $($field),* } => { $($field.put(buffer);)* })*
                }
            }

            fn decode_payload(kind: u16, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
                match kind {
                    $($number => Ok(Self::$name {
                        $($field: Field::take(reader, stringify!($field))?,)*
                    }),)*
                    _ => Err(FIELDS.invalid("kind", "is none that this version knows")),
                }
            }
        }
    };
}

records! {
    /// A new inode, with its first name unless it has none (`links` 0).
    1 Create {
        /// The directory that holds the name; the one that was asked where there is none.
        parent: u64,
        /// The position of the entry; 0 without a name.
        position: u64,
        /// The name; empty without one.
        name: Vec<u8>,
        /// The new inode's number.
        inode: u64,
        /// What it is.
        kind: FileType,
        /// Permission bits.
        mode: u16,
        /// The owning user.
        uid: u32,
        /// The owning group.
        gid: u32,
        /// Which device, for devices.
        rdev: u64,
        /// All its times, and the directory's times of change.
        time: Timestamp,
        /// What a symbolic link points to; empty for anything else.
        target: Vec<u8>,
        /// Its links: 1, or 2 for a directory; 0 for a file without a name.
        links: u32,
        /// The extended attributes it begins with, as their item has them; empty for none.
        xattrs: Vec<u8>,
    }
    /// One more name of an inode.
    2 Link {
        /// The directory that holds the name.
        directory: u64,
        /// The position of the entry.
        position: u64,
        /// The name.
        name: Vec<u8>,
        /// The inode.
        inode: u64,
        /// When.
        time: Timestamp,
    }
    /// One name less.
    3 Unlink {
        /// The directory that held the name.
        directory: u64,
        /// The position of the entry.
        position: u64,
        /// The inode that it named.
        inode: u64,
        /// When.
        time: Timestamp,
        /// What became of the inode.
        disposition: Disposition,
    }
    /// A name moved, in the place of another or not.
    4 Rename {
        /// The directory that held the name.
        from_directory: u64,
        /// The position it had there.
        from_position: u64,
        /// The directory that holds it now.
        to_directory: u64,
        /// The position it has there: that of the replaced entry, if there is one.
        to_position: u64,
        /// The name it has there.
        to_name: Vec<u8>,
        /// The inode.
        inode: u64,
        /// The inode that lost the name; 0 for none.
        replaced_inode: u64,
        /// What became of that; kept if there is none.
        disposition: Disposition,
        /// When.
        time: Timestamp,
    }
    /// Two names exchanged what they name.
    5 Exchange {
        /// One entry, as it was before.
        first: Entry,
        /// The other.
        second: Entry,
        /// When.
        time: Timestamp,
    }
    /// New attributes; those that are absent stay.
    6 SetAttributes {
        /// The inode.
        inode: u64,
        /// Permission bits.
        mode: Option<u16>,
        /// The owning user.
        uid: Option<u32>,
        /// The owning group.
        gid: Option<u32>,
        /// Last read.
        accessed: Option<Timestamp>,
        /// Last change of the content.
        modified: Option<Timestamp>,
        /// Last change of content or attributes.
        changed: Option<Timestamp>,
        /// The access control list that goes with the permission bits; empty for none.
        access_acl: Option<Vec<u8>>,
    }
    /// An extended attribute, new or in the place of the one of that name.
    7 SetXattr {
        /// The inode.
        inode: u64,
        /// The attribute's name.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
        /// When.
        time: Timestamp,
    }
    /// An extended attribute less.
    8 RemoveXattr {
        /// The inode.
        inode: u64,
        /// The attribute's name.
        name: Vec<u8>,
        /// When.
        time: Timestamp,
    }
    /// Blocks for what was a hole.
    9 Map {
        /// The file.
        inode: u64,
        /// The first block within the file.
        file_block: u64,
        /// The blocks.
        run: SettledRun,
        /// Flags of the extent.
        flags: u32,
        /// The size of the file afterwards.
        len_bytes: u64,
        /// When.
        time: Timestamp,
    }
    /// A hole for what had blocks; the size stays.
    10 Unmap {
        /// The file.
        inode: u64,
        /// The blocks within the file.
        file_blocks: Range<u64>,
        /// When.
        time: Timestamp,
    }
    /// Another size; blocks past a smaller one go.
    11 SetLength {
        /// The file.
        inode: u64,
        /// Its size afterwards.
        len_bytes: u64,
        /// All blocks from this one of the file on go: more may stay than the size needs, where a
        /// device hands out blocks by the 512.
        kept_blocks: u64,
        /// When.
        time: Timestamp,
    }
    /// A larger size, by a write that needed no blocks.
    12 Extend {
        /// The file.
        inode: u64,
        /// Its size afterwards.
        len_bytes: u64,
        /// When.
        time: Timestamp,
    }
    /// Other blocks in the place of those that were there, which go: copy on write.
    13 Replace {
        /// The file.
        inode: u64,
        /// The first block within the file.
        file_block: u64,
        /// The new blocks, one run behind the other in the file.
        runs: Vec<SettledRun>,
        /// The size of the file afterwards.
        len_bytes: u64,
        /// When.
        time: Timestamp,
    }
    /// The same blocks for two places: what was in the second place goes.
    14 Share {
        /// The file that has the blocks.
        from_inode: u64,
        /// The first block within it.
        from_block: u64,
        /// The file that gets them, too.
        to_inode: u64,
        /// The first block within that.
        to_block: u64,
        /// How many blocks.
        len_blocks: u64,
        /// The size of the second file afterwards.
        len_bytes: u64,
        /// When.
        time: Timestamp,
    }
    /// Everything from a place in the file on moved.
    15 Shift {
        /// The file.
        inode: u64,
        /// The first block of the range that is taken out or put in.
        file_block: u64,
        /// How many blocks that range has.
        len_blocks: u64,
        /// Which of the two.
        direction: ShiftDirection,
        /// The size of the file afterwards.
        len_bytes: u64,
        /// When.
        time: Timestamp,
    }
    /// An orphan is gone, with its blocks.
    16 RemoveInode {
        /// The inode.
        inode: u64,
    }
    /// Bytes that are to be written again, in case a crash tore them.
    17 Redo {
        /// The file.
        inode: u64,
        /// Where in the file, in bytes.
        offset_bytes: u64,
        /// What.
        bytes: Vec<u8>,
    }
    /// What earlier records want written again into a file is written: forget them.
    18 RedoDone {
        /// The file.
        inode: u64,
    }
    /// Blocks of a file are about to change in place: their checksums say nothing any longer.
    19 ForgetChecksums {
        /// The file.
        inode: u64,
        /// The blocks within the file.
        file_blocks: Range<u64>,
    }
}

impl Record {
    /// Bytes that the record takes of the log: a multiple of 64.
    pub(crate) fn encoded_len(&self) -> u64 {
        padded((HEADER_LEN + self.payload_len()) as u64)
    }

    /// Appends the record to `buffer`: header, payload, and zeroes up to [`Self::encoded_len`].
    pub(crate) fn encode(&self, stamp: Stamp, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.resize(start + HEADER_LEN, 0);
        self.encode_payload(buffer);
        seal(buffer, start, self.kind(), stamp);
    }

    /// Reads the payload of a record of `kind`.
    ///
    /// # Errors
    /// What is wrong with it, whatever the bytes are.
    pub(crate) fn decode(kind: u16, payload: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(payload);
        let record = Self::decode_payload(kind, &mut reader)?;
        reader.finish()?;
        record.check()?;
        Ok(record)
    }
}

impl Field for Entry {
    fn len_bytes(&self) -> usize {
        3 * size_of::<u64>()
    }

    fn put(&self, buffer: &mut Vec<u8>) {
        self.directory.put(buffer);
        self.position.put(buffer);
        self.inode.put(buffer);
    }

    fn take(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, FormatError> {
        Ok(Self {
            directory: Field::take(reader, name)?,
            position: Field::take(reader, name)?,
            inode: Field::take(reader, name)?,
        })
    }
}
