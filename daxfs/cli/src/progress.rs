//! Progress bars on standard error, hidden when that is no terminal.
//!
//! Touches standard error only; indicatif's own lock serialises the drawing.

use std::fmt::Display;

use indicatif::{ProgressBar, ProgressStyle};

use crate::exit;

/// A bar over `total_bytes`, or a counter of bytes where nobody knows how many will come.
pub(crate) fn of_bytes(total_bytes: Option<u64>) -> ProgressBar {
    match total_bytes {
        Some(total_bytes) => ProgressBar::new(total_bytes).with_style(style(
            "{wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        )),
        None => ProgressBar::new_spinner()
            .with_style(style("{spinner} {binary_bytes} {binary_bytes_per_sec}")),
    }
}

/// A bar over `total` steps, with the name of the present one.
pub(crate) fn of_steps(total: u64) -> ProgressBar {
    ProgressBar::new(total).with_style(style("{wide_bar} {pos}/{len} {elapsed} {msg:<40}"))
}

/// Writes a line for the user to standard error without tearing the bar.
pub(crate) fn complain(bar: &ProgressBar, message: impl Display) {
    bar.suspend(|| exit::complain(message));
}

fn style(template: &str) -> ProgressStyle {
    // A template of ours that does not parse costs its looks, not the operation.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_parses() {
        for bar in [of_bytes(Some(10)), of_bytes(None), of_steps(3)] {
            bar.inc(1);
            assert_eq!(bar.position(), 1);
        }
        for template in [
            "{wide_bar} {binary_bytes}/{binary_total_bytes}",
            "{msg:<40}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
