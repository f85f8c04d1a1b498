//! bench --report: a quick run's page in all its forms. No test here looks at how fast anything
//! was.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::program::Workplace;

/// Every workload, under the usual designs, in as little time as that takes.
const QUICK: [&str; 7] = [
    "bench",
    "--report",
    "out/page",
    "--seconds",
    "0.004",
    "--threads",
    "1,2",
];

struct Page {
    stdout: String,
    html: String,
    markdown: String,
    json: Value,
}

fn make_page() -> Page {
    let place = Workplace::new();
    let stdout = place.run(QUICK).succeeded();
    let text =
        |name: &str| String::from_utf8(place.read(&format!("out/page/{name}"))).expect("UTF-8");
    let page = Page {
        stdout,
        html: text("index.html"),
        markdown: text("results.md"),
        json: serde_json::from_str(&text("results.json")).expect("JSON"),
    };
    assert_eq!(place.names(), ["out"]);
    page
}

#[track_caller]
fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().expect(name)
}

#[track_caller]
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect(name)
}

#[test]
fn a_quick_page_is_whole_in_all_its_forms() {
    let page = make_page();
    assert_well_formed(&page.html);
    assert_needs_nothing_else(&page.html);
    every_claim_and_workload_is_there(&page);
    the_plots_have_a_mark_for_each_number(&page);
    the_forms_agree(&page);
    every_figure_says_how_it_was_made(&page);
}

/// Every tag is closed, in order.
fn assert_well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let body = html
        .strip_prefix("<!DOCTYPE html>")
        .expect("a document type");
    for piece in body.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').expect("a tag that ends");
        let name = tag.trim_start_matches('/').split([' ', '/']).next();
        let name = name.expect("a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closing <{tag}>");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
    }
    assert!(open.is_empty(), "still open: {open:?}");
    let ids: Vec<&str> = html
        .split(" id=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().expect("an id"))
        .collect();
    let distinct: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), ids.len(), "ids are unique");
    for link in html.split("href=\"#").skip(1) {
        let target = link.split('"').next().expect("a target");
        assert!(distinct.contains(target), "#{target} leads nowhere");
    }
}

/// No address, no script, nothing to load.
fn assert_needs_nothing_else(html: &str) {
    for outside in ["://", "src=", "<script", "<link", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
    for needed in ["width=device-width", "prefers-color-scheme: dark"] {
        assert!(html.contains(needed), "{needed}");
    }
}

fn every_claim_and_workload_is_there(page: &Page) {
    let claims = array(&page.json, "claims");
    assert_eq!(claims.len(), 10);
    for claim in claims {
        let id = text(claim, "id");
        assert!(page.html.contains(&format!("id=\"{id}\"")), "{id}");
        assert!(page.markdown.contains(&format!("\n### {id}: ")), "{id}");
        assert!(page.stdout.contains(&format!("{id} ")), "{id}");
        assert!(!text(claim, "sentence").is_empty(), "{id}");
        let verdict = text(claim, "verdict");
        let verdicts = ["holds", "holds_in_part", "does_not_hold", "not_decided"];
        assert!(verdicts.contains(&verdict), "{id}: {verdict}");
    }
    // What does not depend on time.
    for (id, verdict) in [("C1", "holds"), ("C2", "holds"), ("C3", "does_not_hold")] {
        let claim = claims.iter().find(|claim| claim["id"] == id).expect(id);
        assert_eq!(text(claim, "verdict"), verdict, "{claim}");
    }
    let names = [
        "DRBL", "DRBM", "DRBH", "DWOL", "DWOM", "DWOH", "DWAL", "DWAM", "DWTL", "DWSL", "DWRM-50",
        "DWRM-95", "DMFL", "DMFM", "DMFH", "DMFP", "DMWM", "DMWH", "DWUM", "DWFM", "DWPM", "DTRF",
    ];
    let workloads = array(&page.json, "workloads");
    let listed: Vec<&str> = workloads
        .iter()
        .map(|workload| text(workload, "name"))
        .collect();
    assert_eq!(listed, names);
    for name in names {
        assert!(
            page.html
                .contains(&format!("<dt id=\"w-{}\">", name.to_lowercase()))
        );
        assert!(page.markdown.contains(&format!("* **{name}**: ")), "{name}");
        let measured = |result: &&Value| result["workload"] == name;
        let results = array(&page.json, "results").iter().filter(measured);
        for result in results {
            assert!(result["ops"].as_u64().expect("ops") > 0, "{result}");
        }
    }
}

fn the_plots_have_a_mark_for_each_number(page: &Page) {
    let plots: Vec<&str> = page.html.split("<figure ").skip(1).collect();
    let figures = array(&page.json, "figures");
    assert_eq!(plots.len(), figures.len());
    assert!(figures.len() > 21, "{}", figures.len());
    for (plot, figure) in plots.iter().zip(figures) {
        let id = text(figure, "id");
        assert!(plot.starts_with(&format!("id=\"{id}\"")), "{id}");
        let series = array(figure, "series");
        let bars: usize = series
            .iter()
            .flat_map(|series| array(series, "bars"))
            .filter(|bar| !bar.is_null())
            .count();
        assert!(bars >= series.len() && series.len() > 1, "{id}");
        assert_eq!(plot.matches("class=\"bar ").count(), bars, "{id}");
        assert_eq!(plot.matches("class=\"whisker\"").count(), bars, "{id}");
        assert_eq!(
            plot.matches("class=\"group\"").count(),
            array(figure, "groups").len()
        );
        let lock = text(&series[0], "lock");
        assert!(
            page.html.contains(&format!("--{lock}: #")),
            "{lock} has a colour"
        );
    }
}

/// Every number of the Markdown's tables is one of the JSON's results, and the other way round.
fn the_forms_agree(page: &Page) {
    let cost = |ns: f64| match ns {
        ns if ns >= 100.0 => format!("{ns:.0}"),
        ns => format!("{ns:.1}"),
    };
    let row = |cells: &[&str]| format!("| {} ", cells.join(" | "));
    let mut expected = BTreeSet::new();
    for result in array(&page.json, "results") {
        let number = |name: &str| result[name].as_f64().expect(name);
        let whole = |name: &str| result[name].as_u64().expect(name).to_string();
        let ns = cost(number("ns_per_op"));
        let tail = [ns, whole("p50_ns"), whole("p99_ns"), whole("p999_ns")];
        let tail: Vec<&str> = tail.iter().map(String::as_str).collect();
        expected.insert(row(&tail));
        let contained = |text: &str| text.contains(&row(&tail));
        assert!(contained(&page.markdown), "{}", row(&tail));
        let cells: String = tail.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        assert!(page.html.contains(&cells), "{cells}");
    }
    let tables = page.markdown.split("## Figures").nth(1).expect("figures");
    let mut rows = 0;
    for line in tables
        .lines()
        .filter(|line| line.starts_with("| io ") || line.starts_with("| mapping "))
    {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert!(expected.contains(&row(&cells[4..8])), "{line}");
        rows += 1;
    }
    assert!(rows >= expected.len(), "{rows} rows");
}

fn every_figure_says_how_it_was_made(page: &Page) {
    let remark = text(&page.json, "remark");
    assert!(remark.contains("not persistent memory"));
    for figure in array(&page.json, "figures") {
        let command = text(figure, "command");
        assert!(command.starts_with("daxfs bench --workload "), "{command}");
        assert!(
            page.html.contains(&format!("<code>{command}</code>")),
            "{command}"
        );
    }
    assert!(page.html.matches(remark).count() > array(&page.json, "figures").len());
}

#[test]
fn the_command_of_a_figure_measures_it_again() {
    let place = Workplace::new();
    let command = "bench --workload DRBM --threads 1 --every-lock --seconds 0.004 --json out.json";
    place.run(command.split(' ')).succeeded();
    let json: Value = serde_json::from_slice(&place.read("out.json")).expect("JSON");
    let locks: BTreeSet<&str> = array(&json, "results")
        .iter()
        .map(|result| text(result, "mapping_lock"))
        .collect();
    assert_eq!(locks.len(), daxfs::MappingLock::ALL.len());
}

#[test]
fn a_directory_that_cannot_be_made_is_refused_before_anything_is_measured() {
    let place = Workplace::new();
    place.write("taken", "a file");
    let run = place.run(["bench", "--report", "taken/page"]);
    run.failed(1, &["taken/page"]);
    assert!(run.stdout.is_empty());
}
