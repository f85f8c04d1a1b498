//! Plots as inline SVG: groups of bars from zero, with a whisker from quartile to quartile.
//!
//! Colours are the page's own (`var(--...)`), so that a plot follows light and dark; every bar says
//! its value when pointed at, and the table below the plot has them all. Pure functions, no locks.

use std::fmt::Write as _;

use super::figure::{Bar, Figure, Series};
use super::text::escaped;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 28.0;
/// Between groups, in parts of a group; between bars, in user units.
const GROUP_GAP: f64 = 0.18;
const BAR_GAP: f64 = 2.0;
const BAR_WIDTH_MAX: f64 = 44.0;

/// Where the plot's values lie on the page.
struct Scale {
    top: f64,
}

impl Scale {
    fn y(&self, value: f64) -> f64 {
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (value / self.top).clamp(0.0, 1.0))
    }
}

/// The figure's bars as an SVG element.
pub(super) fn svg(figure: &Figure) -> String {
    let bars = || {
        figure
            .series
            .iter()
            .flat_map(|series| series.bars.iter().flatten())
    };
    let highest = bars()
        .map(|bar| bar.value.max(bar.high))
        .fold(0.0, f64::max);
    let step = step(highest);
    let scale = Scale {
        top: (highest / step).ceil().max(1.0) * step,
    };
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}: {}\">",
        escaped(&figure.title),
        figure.unit
    );
    grid(&mut svg, &scale, step);
    let group_width = (WIDTH - LEFT - RIGHT) / figure.groups.len().max(1) as f64;
    let inner = group_width * (1.0 - GROUP_GAP);
    let bar_width = (inner / figure.series.len().max(1) as f64).min(BAR_WIDTH_MAX);
    for (index, group) in figure.groups.iter().enumerate() {
        let middle = LEFT + group_width * (index as f64 + 0.5);
        let _ = write!(
            svg,
            "<text class=\"group\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
            HEIGHT - 8.0,
            escaped(group)
        );
        let mut x = middle - bar_width * figure.series.len() as f64 / 2.0;
        for series in &figure.series {
            if let Some(bar) = series.bars.get(index).and_then(Option::as_ref) {
                let name = format!("{}, {group}", series.name);
                draw(&mut svg, &scale, bar, series, &name, (x, bar_width));
            }
            x += bar_width;
        }
    }
    svg.push_str("</svg>");
    svg
}

fn grid(svg: &mut String, scale: &Scale, step: f64) {
    let lines = (scale.top / step).round() as usize;
    for line in 0..=lines {
        let value = step * line as f64;
        let y = scale.y(value);
        let class = if line == 0 { "axis" } else { "grid" };
        let _ = write!(
            svg,
            "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" x=\"{}\" y=\"{:.1}\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
            tick(value)
        );
    }
}

fn draw(
    svg: &mut String,
    scale: &Scale,
    bar: &Bar,
    series: &Series,
    name: &str,
    (x, width): (f64, f64),
) {
    let (y, base) = (scale.y(bar.value), scale.y(0.0));
    let middle = x + width / 2.0;
    let _ = write!(
        svg,
        "<g><title>{}: {}</title><rect class=\"bar {}\" style=\"fill:var(--{})\" x=\"{:.1}\" \
         y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\"/><path class=\"whisker\" \
         d=\"M{middle:.1} {:.1}V{:.1}\"/></g>",
        escaped(name),
        escaped(&bar.words),
        if series.is_variant {
            "variant"
        } else {
            "usual"
        },
        escaped(&series.lock),
        x + BAR_GAP / 2.0,
        (width - BAR_GAP).max(1.0),
        (base - y).max(0.5),
        scale.y(bar.low),
        scale.y(bar.high),
    );
}

/// The distance of grid lines: 1, 2 or 5 times a power of ten, for about four of them.
fn step(highest: f64) -> f64 {
    if highest <= 0.0 {
        return 1.0;
    }
    let rough = highest / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0];
    let fits = times.into_iter().find(|times| times * power >= rough);
    fits.unwrap_or(10.0) * power
}

fn tick(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value >= 1e6 => format!("{} M", trimmed(value / 1e6)),
        value if value >= 1e3 => format!("{} k", trimmed(value / 1e3)),
        value => trimmed(value),
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::figure::Table;
    use super::*;

    fn figure(values: &[&[Option<f64>]]) -> Figure {
        let bar = |value: f64| Bar {
            value,
            low: value * 0.9,
            high: value * 1.2,
            words: format!("{value}"),
        };
        let series = |(index, values): (usize, &&[Option<f64>])| Series {
            name: format!("<design {index}>"),
            lock: "range".to_owned(),
            is_variant: false,
            bars: values.iter().map(|value| value.map(bar)).collect(),
        };
        Figure {
            id: String::new(),
            title: "a & b".to_owned(),
            about: String::new(),
            command: String::new(),
            unit: "ops",
            groups: vec!["1".to_owned(), "2".to_owned()],
            series: values.iter().enumerate().map(series).collect(),
            table: Table {
                header: Vec::new(),
                rows: Vec::new(),
            },
        }
    }

    #[test]
    fn there_is_a_bar_for_each_value_as_high_as_the_value() {
        let svg = svg(&figure(&[&[Some(100.0), Some(50.0)], &[None, Some(0.0)]]));
        assert_eq!(svg.matches("class=\"bar ").count(), 3);
        let heights: Vec<f64> = svg
            .split("height=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().expect("a number"))
            .map(|number| number.parse().expect("a number"))
            .collect();
        assert!((heights[0] / heights[1] - 2.0).abs() < 0.01, "{heights:?}");
        assert!(heights[2] < 1.0, "{heights:?}");
        assert!(svg.contains("a &amp; b") && svg.contains("&lt;design 0&gt;"));
    }

    #[test]
    fn grid_lines_are_round_numbers() {
        for (highest, expected) in [(7.0, 2.0), (18.0, 5.0), (0.9, 0.5), (1e6, 5e5), (0.0, 1.0)] {
            assert!((step(highest) - expected).abs() < 1e-9, "{highest}");
        }
        assert_eq!(tick(2_500_000.0), "2.5 M");
        assert_eq!(tick(0.05), "0.05");
    }
}
