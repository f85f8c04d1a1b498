//! The page as one HTML file: no script, no font, no picture from anywhere else.
//!
//! Every element is closed, so that the page is well-formed XML but for its first line. Pure
//! functions, no locks.

use std::fmt::Write as _;

use super::content::Content;
use super::figure::{Figure, Table};
use super::plot;
use super::text::{anchor, escaped, with_code};
use crate::bench::claims::{Answered, Verdict};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(super) fn page(content: &Content) -> String {
    let mut html = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n");
    html.push_str("<meta charset=\"utf-8\"/>\n");
    html.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n");
    html.push_str("<meta name=\"color-scheme\" content=\"light dark\"/>\n");
    html.push_str("<title>The thread, settled: daxfs bench</title>\n");
    let _ = write!(html, "<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n");
    heading(&mut html, content);
    summary(&mut html, content);
    for claim in &content.claims {
        answer(&mut html, claim);
    }
    bar(&mut html, content);
    figures(&mut html, content);
    workloads(&mut html, content);
    memory(&mut html, content);
    races(&mut html, content);
    method(&mut html, content);
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn heading(html: &mut String, content: &Content) {
    html.push_str("<header>\n<h1>The thread, settled</h1>\n");
    html.push_str(
        "<p class=\"lead\">In April 2017 two kernel developers found that a write can race with a \
         page fault in Linux's DAX code, named several ways to lock, and wanted \u{201c}some \
         performance numbers before going that way\u{201d}. These are the ways, and the numbers of \
         one run.</p>\n<dl>\n",
    );
    for (name, value) in &content.heading {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(value));
    }
    let _ = writeln!(html, "<dt>version</dt><dd>{}</dd>\n</dl>", content.version);
    html.push_str(
        "<nav><a href=\"#answers\">Answers</a> <a href=\"#bar\">Range against entry</a> ",
    );
    html.push_str("<a href=\"#figures\">Figures</a> <a href=\"#workloads\">Workloads</a> ");
    html.push_str("<a href=\"#memory\">Memory</a> ");
    html.push_str("<a href=\"#races\">Races</a> <a href=\"#method\">Method</a></nav>\n</header>\n");
}

fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::HoldsInPart => "part",
        Verdict::DoesNotHold => "fails",
        Verdict::NotDecided => "open",
    }
}

fn summary(html: &mut String, content: &Content) {
    html.push_str("<section id=\"answers\">\n<h2>Answers</h2>\n<ul class=\"summary\">\n");
    for Answered { claim, answer } in &content.claims {
        let _ = writeln!(
            html,
            "<li><a href=\"#{id}\"><b>{id}</b> <span class=\"verdict {class}\">{verdict}</span> \
             {words}</a></li>",
            id = claim.id,
            class = class_of(answer.verdict),
            verdict = answer.verdict.words(),
            words = with_code(claim.words),
        );
    }
    html.push_str("</ul>\n</section>\n");
}

fn answer(html: &mut String, Answered { claim, answer }: &Answered) {
    let _ = write!(
        html,
        "<section class=\"claim\" id=\"{id}\">\n<h3>{id} <span class=\"verdict {class}\">{verdict}\
         </span></h3>\n<p>{words}</p>\n<p class=\"answer\">{sentence}</p>\n",
        id = claim.id,
        class = class_of(answer.verdict),
        verdict = answer.verdict.words(),
        words = with_code(claim.words),
        sentence = with_code(&answer.sentence),
    );
    if !answer.numbers.is_empty() {
        html.push_str("<details><summary>The numbers</summary>\n<ul>\n");
        for number in &answer.numbers {
            let _ = writeln!(html, "<li>{}</li>", with_code(number));
        }
        html.push_str("</ul></details>\n");
    }
    html.push_str("<dl>\n");
    for (name, words) in [
        ("shown false by", claim.shown_false_by),
        ("experiment", claim.experiment),
        ("rule", claim.rule),
        ("canary", claim.canary),
    ] {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", with_code(words));
    }
    let _ = writeln!(
        html,
        "<dt>command</dt><dd><code>{}</code></dd>\n</dl>\n</section>",
        escaped(claim.command)
    );
}

fn bar(html: &mut String, content: &Content) {
    html.push_str("<section id=\"bar\">\n<h2>Range against entry</h2>\n");
    let _ = writeln!(html, "<p>{}</p>", with_code(content.bar));
    for (title, outcome) in [("Wins", "win"), ("Losses", "loss")] {
        let table = content.comparison_table(|row| row.outcome == outcome);
        let _ = writeln!(html, "<h3>{title}: {}</h3>", table.rows.len());
        write_table(html, &table, "");
    }
    let all = content.comparison_table(|_| true);
    let missed = content
        .comparisons
        .iter()
        .filter(|row| row.met == Some(false))
        .count();
    let _ = writeln!(
        html,
        "<details><summary>All {} comparisons, of which {missed} miss what was wanted</summary>",
        all.rows.len()
    );
    write_table(html, &all, "comparisons");
    let _ = writeln!(
        html,
        "</details>\n<p class=\"remark\">{}</p>\n</section>",
        escaped(&content.remark)
    );
}

fn figures(html: &mut String, content: &Content) {
    html.push_str("<section id=\"figures\">\n<h2>Figures</h2>\n<div class=\"figures\">\n");
    for figure in &content.figures {
        write_figure(html, figure, &content.remark);
    }
    html.push_str("</div>\n</section>\n");
}

fn write_figure(html: &mut String, figure: &Figure, remark: &str) {
    let _ = writeln!(
        html,
        "<figure id=\"{}\">\n<h3>{}</h3>\n<p>{}</p>",
        figure.id,
        escaped(&figure.title),
        with_code(&figure.about)
    );
    html.push_str("<p class=\"legend\">");
    for series in &figure.series {
        let _ = write!(
            html,
            "<span><i class=\"{}\" style=\"background:var(--{})\"></i>{}</span> ",
            if series.is_variant {
                "variant"
            } else {
                "usual"
            },
            escaped(&series.lock),
            escaped(&series.name)
        );
    }
    let _ = writeln!(html, "</p>\n<p class=\"unit\">{}</p>", figure.unit);
    html.push_str(&plot::svg(figure));
    html.push_str("\n<details><summary>Table</summary>\n");
    write_table(html, &figure.table, "cells");
    let _ = writeln!(
        html,
        "</details>\n<figcaption><code>{}</code><br/>{}</figcaption>\n</figure>",
        escaped(&figure.command),
        escaped(remark)
    );
}

fn write_table(html: &mut String, table: &Table, class: &str) {
    let _ = write!(
        html,
        "<div class=\"scroll\"><table class=\"{class}\">\n<thead><tr>"
    );
    for name in &table.header {
        let _ = write!(html, "<th>{}</th>", escaped(name));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        html.push_str("<tr>");
        for cell in row {
            let class = match cell.as_str() {
                "loss" | "NO" => " class=\"bad\"",
                "win" => " class=\"good\"",
                cell if cell.starts_with("no (") || cell.starts_with("NO: ") => " class=\"bad\"",
                _ => "",
            };
            let _ = write!(html, "<td{class}>{}</td>", escaped(cell));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table></div>\n");
}

fn workloads(html: &mut String, content: &Content) {
    html.push_str("<section id=\"workloads\">\n<h2>Workloads</h2>\n<dl>\n");
    for workload in &content.workloads {
        let _ = writeln!(
            html,
            "<dt id=\"w-{}\">{}</dt><dd>{}</dd>",
            anchor(&workload.name),
            escaped(&workload.name),
            escaped(workload.measures)
        );
    }
    html.push_str("</dl>\n</section>\n");
}

fn memory(html: &mut String, content: &Content) {
    html.push_str("<section id=\"memory\">\n<h2>Memory</h2>\n");
    html.push_str(
        "<p>Lock state is what a file\u{2019}s mapping entries and its mapping lock take, as the \
         filesystem counts it. Every page of a file is mapped on software page tables. The table \
         of wait queues that all files share is not in it.</p>\n",
    );
    write_table(html, &content.memory_table(), "memory");
    html.push_str("<p>The I/O lock of an open file comes to that:</p>\n");
    write_table(html, &content.io_memory_table(), "memory");
    html.push_str(
        "<p><code>daxfs bench --report DIR</code> (each report measures it)</p>\n</section>\n",
    );
}

fn races(html: &mut String, content: &Content) {
    html.push_str("<section id=\"races\">\n<h2>Races, forced</h2>\n");
    html.push_str(
        "<p>A read fault is held after it found a hole; the hole is filled; the fault goes on. \
         Stale zeroes are corruption, and expected of the designs that are kept to show it, and of \
         entry locks whose invalidation skips locked entries on purpose.</p>\n",
    );
    write_table(html, &content.trial_table(), "trials");
    html.push_str("</section>\n");
}

fn method(html: &mut String, content: &Content) {
    html.push_str("<section id=\"method\">\n<h2>Method</h2>\n<p>");
    html.push_str(
        "The designs that are compared take turns in slices of some milliseconds, in rotating \
         order, so that what disturbs the machine disturbs all of them. A ratio is the median of \
         the ratios of slices that were neighbours; its quartiles say how far to trust it. Bars \
         are totals over all slices, whiskers the quartiles of the slices. Threads are pinned to \
         the cores in turn; more threads than cores measure waiting, not scaling. Every workload \
         checks what it read while it runs; a design that is wrong is marked so, however fast. \
         Wake-ups are the threads\u{2019} voluntary sleeps as the kernel counts them.",
    );
    let _ = writeln!(
        html,
        "</p>\n<p class=\"remark\">{}</p>\n</section>",
        escaped(&content.remark)
    );
}
