//! Why a copy of the superblock cannot be used, and how much that says about the image. Pure
//! values, no locks.

use super::error::FormatError;
use super::superblock::IMAGE_VERSION;
use crate::error::Error;

/// Why a copy of the superblock cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SuperblockError {
    /// There is no superblock here.
    #[error("begins with {:02x?}, not with the magic of a daxfs image", found)]
    NotAnImage {
        /// What is where the magic should be.
        found: [u8; 8],
    },
    /// A whole superblock of another version.
    #[error("format version {found}, not {IMAGE_VERSION}")]
    Version {
        /// The version.
        found: u32,
    },
    /// A whole superblock with unknown incompatible features.
    #[error("unknown incompatible features {bits:#x}")]
    Features {
        /// The unknown bits.
        bits: u64,
        /// The checkpoint it describes.
        generation: u64,
    },
    /// Damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl SuperblockError {
    /// The filesystem's error for this copy, which was read from `block`.
    pub(crate) fn at_block(self, block: u64) -> Error {
        match self {
            SuperblockError::NotAnImage { .. } => Error::NotAnImage {
                reason: self.to_string(),
            },
            SuperblockError::Version { found } => Error::UnsupportedVersion {
                found,
                supported: IMAGE_VERSION,
            },
            SuperblockError::Features { bits, .. } => Error::UnsupportedFeatures {
                class: "incompatible",
                bits,
            },
            SuperblockError::Format(error) => error.at_block(block),
        }
    }

    /// Whether the image belongs to a newer program, although its other copy, of the checkpoint
    /// `generation`, is valid.
    pub(super) fn supersedes(&self, valid_generation: u64) -> bool {
        match self {
            SuperblockError::Version { .. } => true,
            SuperblockError::Features { generation, .. } => *generation > valid_generation,
            SuperblockError::NotAnImage { .. } | SuperblockError::Format(_) => false,
        }
    }

    /// How much an error of one copy says about the image when neither copy is usable.
    pub(super) fn weight(&self) -> u8 {
        match self {
            SuperblockError::NotAnImage { .. } => 0,
            SuperblockError::Format(_) => 1,
            SuperblockError::Features { .. } => 2,
            SuperblockError::Version { .. } => 3,
        }
    }
}
