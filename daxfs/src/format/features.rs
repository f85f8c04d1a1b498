//! Feature bits: what an image uses beyond the version of its format. Plain numbers, no locks.

/// Bits for what an image uses beyond its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Features {
    /// Unknown bits may be ignored.
    pub(crate) compatible: u64,
    /// With unknown bits the image may be read and not written.
    pub(crate) read_only_compatible: u64,
    /// With unknown bits the image may not be used at all.
    pub(crate) incompatible: u64,
}

impl Features {
    /// Files may have checksums of their blocks. Whoever does not know of them may read, but would
    /// change blocks and leave the old checksums.
    pub(crate) const DATA_CHECKSUMS: u64 = 1;

    /// The bits this library knows, in each class.
    pub(crate) const KNOWN: Self = Self {
        compatible: 0,
        read_only_compatible: Self::DATA_CHECKSUMS,
        incompatible: 0,
    };

    /// Whether files may have checksums of their blocks.
    pub(crate) fn has_data_checksums(&self) -> bool {
        self.read_only_compatible & Self::DATA_CHECKSUMS != 0
    }

    /// The read-only compatible bits that this library does not know: with any, mount read-only.
    pub(crate) fn unknown_read_only_compatible(&self) -> u64 {
        self.read_only_compatible & !Self::KNOWN.read_only_compatible
    }

    /// The incompatible bits that this library does not know.
    pub(super) fn unknown_incompatible(&self) -> u64 {
        self.incompatible & !Self::KNOWN.incompatible
    }
}
