//! The name of an image, as its superblock holds it. Plain bytes, no locks.

use std::fmt;

use super::error::{Fields, FormatError, Structure};

const LABEL_LEN: usize = 64;

/// A label as it lies on the medium: the text, and zeroes up to its end.
pub(super) type RawLabel = [u8; LABEL_LEN];

/// The name of an image: at most 64 bytes of UTF-8 without NUL.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Label(RawLabel);

impl Label {
    /// A label, or `None` when `text` is too long or has a NUL.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; LABEL_LEN];
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        (!text.contains('\0')).then_some(Self(bytes))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        let len = self
            .0
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(LABEL_LEN);
        // Both constructors took UTF-8.
        std::str::from_utf8(&self.0[..len]).unwrap_or_default()
    }

    /// The bytes, with zeroes after the text.
    pub(super) fn encode(&self) -> RawLabel {
        self.0
    }

    pub(super) fn decode(bytes: &RawLabel) -> Result<Self, FormatError> {
        let fields = Fields(Structure::Superblock);
        let text =
            std::str::from_utf8(bytes).map_err(|_| fields.invalid("label", "is not UTF-8"))?;
        Self::new(text.trim_end_matches('\0'))
            .ok_or_else(|| fields.invalid("label", "has a NUL byte inside"))
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Label({:?})", self.as_str())
    }
}
