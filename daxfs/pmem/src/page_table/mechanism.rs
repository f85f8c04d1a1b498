//! The ways of putting frames under the pages of the process.
//!
//! Touches nothing. Takes no locks.

/// How a [`ProcessPageTable`](super::ProcessPageTable) puts frames under its pages.
///
/// All keep the same promises and differ in cost. [`ProcessPageTable::new`](
/// super::ProcessPageTable::new) takes the fastest that the device and the kernel allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MappingMechanism {
    /// Every frame is a mapping of its own, placed with `mmap`. Works everywhere; each change takes
    /// the kernel's lock of the address space exclusive, so that threads do not change windows
    /// side by side.
    Remap,
    /// Mappings of 512 frames, of which `userfaultfd` shows one after the other. Changes on
    /// different pages run side by side. For memory devices, on Linux 6.6 or later.
    Userfault,
}

impl MappingMechanism {
    /// The mechanism in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Remap => "remap",
            Self::Userfault => "userfault",
        }
    }
}
