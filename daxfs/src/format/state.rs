//! Whether an image was unmounted in good order. A plain value, no locks.

/// Whether the image was unmounted in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SuperblockState {
    /// Unmounted: the checkpoint holds everything.
    Clean = 1,
    /// Mounted for writing, now or when the machine stopped.
    InUse = 2,
}
