//! How bad an issue is. A plain value.

use std::fmt;

/// How bad an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing is lost and the image mounts; what is left of its safety or tidiness is less.
    Warning,
    /// Part of the image is damaged or contradicts another part. Writing to it may do more damage.
    /// The image mounts, unless the log speaks of just that part.
    Error,
    /// The image cannot be mounted.
    Fatal,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Fatal => "fatal",
        })
    }
}
