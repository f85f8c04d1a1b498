//! Enumerations that are numbers on the medium. Pure values.

/// The one of `all` with this number on the medium, as `number_of` gives it; `None` for a number of
/// nothing.
pub(in crate::format) fn numbered<T: Copy>(
    all: impl IntoIterator<Item = T>,
    number: u8,
    number_of: impl Fn(T) -> u8,
) -> Option<T> {
    all.into_iter().find(|one| number_of(*one) == number)
}
