//! One table from errors to the numbers that system calls fail with, as ext4 has them.
//!
//! Plain values: touches nothing, takes no locks.

use daxfs_pmem::{AccessError, DeviceError};
use rustix::io::Errno;

use super::{AttributeProblem, Error, LockRangeProblem};

impl Error {
    /// The number that a system call would fail with on Linux, where a file server or a mount has
    /// to give one.
    ///
    /// ```
    /// use daxfs::Error;
    ///
    /// let error = Error::NotFound { path: "/nowhere".into() };
    /// assert_eq!(error.errno(), 2); // ENOENT
    /// ```
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.number().raw_os_error()
    }

    fn number(&self) -> Errno {
        match self {
            Self::NotFound { .. } => Errno::NOENT,
            Self::AlreadyExists { .. } | Self::AttributeExists { .. } => Errno::EXIST,
            Self::NotADirectory { .. } => Errno::NOTDIR,
            Self::IsADirectory { .. } => Errno::ISDIR,
            Self::DirectoryNotEmpty { .. } => Errno::NOTEMPTY,
            Self::NameTooLong { .. } => Errno::NAMETOOLONG,
            Self::TooManyLinks { .. } => Errno::LOOP,
            Self::TooManyNames { .. } => Errno::MLINK,
            Self::NotPermitted { .. } => Errno::PERM,
            Self::NoAttribute { .. } => Errno::NODATA,
            Self::InvalidAttribute { reason, .. } => attribute_number(*reason),
            Self::StaleInode { .. } => Errno::STALE,
            Self::InvalidRange { .. } => Errno::FBIG,
            Self::InvalidLockRange { problem, .. } => lock_range_number(*problem),
            Self::LockConflict { .. } => Errno::AGAIN,
            Self::LockDeadlock { .. } => Errno::DEADLK,
            Self::LockInterrupted { .. } => Errno::INTR,
            Self::NotOpenForWriting { .. } => Errno::BADF,
            Self::NoSpace { .. } | Self::LogRecordTooLarge { .. } => Errno::NOSPC,
            Self::ReadOnly { .. } | Self::NeedsRecovery { .. } => Errno::ROFS,
            Self::Busy { .. } | Self::InUse { .. } => Errno::BUSY,
            Self::NotSupported { .. }
            | Self::UnsupportedVersion { .. }
            | Self::UnsupportedFeatures { .. }
            | Self::AlreadyFormatted => Errno::OPNOTSUPP,
            Self::OtherFilesystem { .. } => Errno::XDEV,
            Self::Corrupt { .. } | Self::Truncated { .. } => Errno::UCLEAN,
            Self::LogFailed { .. }
            | Self::Failed { .. }
            | Self::DataCorrupt { .. }
            | Self::PageTable(_) => Errno::IO,
            Self::Device(error) => device_number(error),
            Self::Access(error) => access_number(error),
            Self::IntoItself { .. }
            | Self::InvalidPath { .. }
            | Self::WrongKind { .. }
            | Self::NotAnImage { .. }
            | Self::UnusableDevice { .. }
            | Self::InvalidOption { .. } => Errno::INVAL,
        }
    }
}

fn attribute_number(problem: AttributeProblem) -> Errno {
    match problem {
        AttributeProblem::NameLength => Errno::RANGE,
        AttributeProblem::UnknownPrefix | AttributeProblem::AclVersion => Errno::OPNOTSUPP,
        AttributeProblem::OnlyPrefix | AttributeProblem::MalformedAcl => Errno::INVAL,
        AttributeProblem::NoDefaultAcl => Errno::ACCESS,
        AttributeProblem::ValueLength => Errno::TOOBIG,
        AttributeProblem::NoRoom => Errno::NOSPC,
        AttributeProblem::NoUserAttributes => Errno::PERM,
    }
}

fn lock_range_number(problem: LockRangeProblem) -> Errno {
    match problem {
        LockRangeProblem::PastLargestOffset => Errno::OVERFLOW,
        LockRangeProblem::BeforeStart | LockRangeProblem::Reversed => Errno::INVAL,
    }
}

fn device_number(error: &DeviceError) -> Errno {
    match error {
        DeviceError::NoSpace { .. } => Errno::NOSPC,
        DeviceError::ReadOnly => Errno::ROFS,
        _ => Errno::IO,
    }
}

/// What a system call that is handed such memory fails with.
fn access_number(_error: &AccessError) -> Errno {
    Errno::FAULT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_linux() {
        let path = || "/x".into();
        let table = [
            (Error::NotFound { path: path() }, 2),
            (Error::AlreadyExists { path: path() }, 17),
            (Error::NotADirectory { path: path() }, 20),
            (Error::IsADirectory { path: path() }, 21),
            (Error::DirectoryNotEmpty { path: path() }, 39),
            (Error::NameTooLong { path: path() }, 36),
            (Error::TooManyLinks { path: path() }, 40),
            (Error::TooManyNames { path: path() }, 31),
            (Error::InUse { path: path() }, 16),
            (
                Error::NotSupported {
                    path: path(),
                    reason: "",
                },
                95,
            ),
            (Error::IntoItself { path: path() }, 22),
            (Error::StaleInode { inode: 7 }, 116),
            (Error::OtherFilesystem { operation: "" }, 18),
            (
                Error::LockConflict {
                    first_byte: 0,
                    last_byte: 9,
                },
                11,
            ),
            (
                Error::LockDeadlock {
                    first_byte: 0,
                    last_byte: 9,
                },
                35,
            ),
            (Error::NotOpenForWriting { operation: "" }, 9),
        ];
        for (error, number) in table {
            assert_eq!(error.errno(), number, "{error}");
        }
    }
}
