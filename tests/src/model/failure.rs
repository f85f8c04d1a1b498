//! What a failed operation is called. Plain values.

use daxfs::Error;

/// What a failed operation is called, whatever else its error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No such path.
    NotFound,
    /// The path is taken.
    AlreadyExists,
    /// A file where a directory is needed.
    NotADirectory,
    /// A directory where a file is needed.
    IsADirectory,
    /// A directory that has names.
    DirectoryNotEmpty,
    /// The root, which cannot be moved or removed.
    InUse,
    /// A directory would come below itself.
    IntoItself,
    /// A second name for a directory.
    NotPermitted,
    /// Something else than a file, a directory or a symbolic link, as is needed.
    WrongKind,
    /// Symbolic links that lead in a circle.
    TooManyLinks,
    /// No extended attribute of that name.
    NoAttribute,
    /// A range that is not whole blocks, or not within the file.
    InvalidOption,
    /// An access through a mapping ended at this byte of the mapping.
    Access {
        /// Counted from the start of the mapping.
        offset_bytes: u64,
    },
}

impl Failure {
    /// The failure that a real error is.
    ///
    /// # Panics
    /// When it is one that no operation of the model has.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::NotFound,
            Error::AlreadyExists { .. } => Self::AlreadyExists,
            Error::NotADirectory { .. } => Self::NotADirectory,
            Error::IsADirectory { .. } => Self::IsADirectory,
            Error::DirectoryNotEmpty { .. } => Self::DirectoryNotEmpty,
            Error::InUse { .. } => Self::InUse,
            Error::IntoItself { .. } => Self::IntoItself,
            Error::NotPermitted { .. } => Self::NotPermitted,
            Error::WrongKind { .. } => Self::WrongKind,
            Error::TooManyLinks { .. } => Self::TooManyLinks,
            Error::NoAttribute { .. } => Self::NoAttribute,
            Error::InvalidOption { .. } => Self::InvalidOption,
            Error::Access(access) => Self::Access {
                offset_bytes: access.offset_bytes,
            },
            other => panic!("unexpected error: {other}"),
        }
    }
}
