//! Times of the last read and write, which are noted in passing and brought into the log later.
//!
//! Takes the order of attribute changes, inside a transaction.

use super::{Transaction, Volume};
use crate::error::Result;
use crate::format::record::Record;
use crate::inode::Inode;
use crate::inode::attributes::to_timestamp;

/// What the record of an inode's times takes of the log, in bytes.
const TIMES_LOG_BYTES: u64 = 128;

impl Volume {
    /// Begins the transaction of [`Volume::commit_times`].
    ///
    /// # Errors
    /// What the log reports.
    pub(crate) fn begin_times(&self) -> Result<Transaction<'_>> {
        self.begin(TIMES_LOG_BYTES)
    }

    /// Brings the times of the last read and write into the log. The inode is there, and stays.
    ///
    /// # Errors
    /// What the log reports.
    pub(crate) fn commit_times(
        &self,
        transaction: &mut Transaction<'_>,
        inode: &Inode,
    ) -> Result<()> {
        let _order = self.attribute_order();
        let attributes = inode.attributes();
        inode.note_times_logged();
        let record = Record::SetAttributes {
            inode: inode.number(),
            mode: None,
            uid: None,
            gid: None,
            accessed: Some(to_timestamp(attributes.accessed)),
            modified: Some(to_timestamp(attributes.modified)),
            changed: Some(to_timestamp(attributes.changed)),
            access_acl: None,
        };
        transaction.commit(&record)
    }
}
