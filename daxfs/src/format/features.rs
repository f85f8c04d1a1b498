//! Feature bits: what an image uses beyond the version of its format. Plain numbers, no locks.

/// Bits for what an image uses beyond its version. None is defined yet.
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
    /// The bits this library knows, in each class.
    pub(crate) const KNOWN: Self = Self {
        compatible: 0,
        read_only_compatible: 0,
        incompatible: 0,
    };

    /// The read-only compatible bits that this library does not know: with any, mount read-only.
    pub(crate) fn unknown_read_only_compatible(&self) -> u64 {
        self.read_only_compatible & !Self::KNOWN.read_only_compatible
    }

    /// The incompatible bits that this library does not know.
    pub(super) fn unknown_incompatible(&self) -> u64 {
        self.incompatible & !Self::KNOWN.incompatible
    }
}
