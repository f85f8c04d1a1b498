//! The table at the end: what was measured, the bar, and whether it holds. Takes no lock.

use std::fmt;

/// A number that a result is held to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bar {
    AtMost(f64),
    LessThan(f64),
    AtLeast(f64),
    Exactly(f64),
}

/// The rows so far.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    measured: String,
    bar: String,
    verdict: &'static str,
}

impl Report {
    /// A result in `unit`, and its bar.
    pub(crate) fn judge(&mut self, what: &str, value: f64, bar: Bar, unit: &str) {
        // A count that misses its bar by little must be seen to.
        let decimals = if let Bar::Exactly(_) = bar { 4 } else { 2 };
        self.rows.push(Row {
            what: what.to_owned(),
            measured: format!("{value:.decimals$} {unit}"),
            bar: bar.to_string(),
            verdict: if bar.admits(value) { "yes" } else { "MISSED" },
        });
    }

    /// A result that is only shown.
    pub(crate) fn show(&mut self, what: &str, measured: impl Into<String>) {
        self.rows.push(Row {
            what: what.to_owned(),
            measured: measured.into(),
            bar: "shown".to_owned(),
            verdict: "",
        });
    }

    pub(crate) fn print(&self) {
        let width = |cell: fn(&Row) -> &str| {
            let cells = self.rows.iter().map(cell);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let what = width(|row| &row.what);
        let measured = width(|row| &row.measured).max("measured".len());
        let bar = width(|row| &row.bar);
        println!(
            "{:what$}  {:measured$}  {:bar$}  holds?",
            "what", "measured", "bar"
        );
        println!("{}", "-".repeat(what + measured + bar + "holds?".len() + 6));
        for row in &self.rows {
            let Row {
                what: cell,
                measured: value,
                bar: limit,
                verdict,
            } = row;
            let line = format!("{cell:what$}  {value:measured$}  {limit:bar$}  {verdict}");
            println!("{}", line.trim_end());
        }
    }
}

impl Bar {
    fn admits(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::LessThan(limit) => value < limit,
            Self::AtLeast(limit) => value >= limit,
            Self::Exactly(limit) => value == limit,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::LessThan(limit) => write!(f, "less than {limit}"),
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
            Self::Exactly(limit) => write!(f, "exactly {limit}"),
        }
    }
}
