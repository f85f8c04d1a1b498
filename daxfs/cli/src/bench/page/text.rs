//! How numbers and words are written on the page: rates, costs, ratios, and what HTML and Markdown
//! need escaped.
//!
//! Pure functions, no locks.

use crate::bench::cell::Ratio;

/// A rate in three or four digits.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{rate:.0} /s"),
    }
}

/// A cost in nanoseconds, whole where that says enough.
pub(super) fn cost(ns: f64) -> String {
    match ns {
        ns if ns >= 100.0 => format!("{ns:.0}"),
        ns => format!("{ns:.1}"),
    }
}

/// A small number of events an operation.
pub(super) fn count(events: f64) -> String {
    match events {
        0.0 => "0".to_owned(),
        events if events < 0.01 => format!("{events:.4}"),
        events => format!("{events:.2}"),
    }
}

/// A ratio with its quartiles.
pub(super) fn ratio(ratio: Ratio) -> String {
    let Ratio {
        median, low, high, ..
    } = ratio;
    format!("{median:.2} ({low:.2} to {high:.2})")
}

/// Text as it may stand between tags and in attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Escaped text in which what stands between backquotes is code.
pub(super) fn with_code(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces
        .map(|(index, piece)| match index % 2 {
            0 => escaped(piece),
            _ => format!("<code>{}</code>", escaped(piece)),
        })
        .collect()
}

/// A name for a place on the page.
pub(super) fn anchor(text: &str) -> String {
    let mut anchor = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            anchor.push(character.to_ascii_lowercase());
        } else if !anchor.ends_with('-') {
            anchor.push('-');
        }
    }
    anchor.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_stays_text() {
        assert_eq!(escaped("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
        assert_eq!(with_code("under `a<b` it"), "under <code>a&lt;b</code> it");
    }

    #[test]
    fn anchors_have_no_spaces() {
        assert_eq!(
            anchor("DWRM-50 on process page tables"),
            "dwrm-50-on-process-page-tables"
        );
        assert_eq!(anchor("(a)"), "a");
    }

    #[test]
    fn numbers_have_as_many_digits_as_they_are_worth() {
        assert_eq!(rate(8_940_000.0), "8.94 M/s");
        assert_eq!(rate(98_040.0), "98.0 k/s");
        assert_eq!(
            (cost(12_345.6), cost(12.34)),
            ("12346".into(), "12.3".into())
        );
        assert_eq!((count(0.0), count(0.0012)), ("0".into(), "0.0012".into()));
    }
}
