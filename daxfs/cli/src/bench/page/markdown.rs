//! The page as Markdown, for places where HTML is not shown: what is short first, the tables behind
//! the figures last. Pure functions, no locks.

use std::fmt::Write as _;

use super::content::Content;
use super::figure::Table;
use crate::bench::claims::Answered;

/// The whole page.
pub(super) fn page(content: &Content) -> String {
    let mut text = String::from("# The thread, settled\n\n");
    for (name, value) in &content.heading {
        let _ = writeln!(text, "* {name}: {value}");
    }
    let _ = writeln!(text, "* version: {}\n\n## Answers\n", content.version);
    for Answered { claim, answer } in &content.claims {
        let _ = writeln!(
            text,
            "### {}: {}\n\n{}\n\n**{}**\n",
            claim.id,
            answer.verdict.words(),
            claim.words,
            answer.sentence
        );
        for number in &answer.numbers {
            let _ = writeln!(text, "* {number}");
        }
        if !answer.numbers.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "Shown false by: {}\nExperiment: {}\nRule: {}\nCanary: {}\nCommand: `{}`\n",
            claim.shown_false_by, claim.experiment, claim.rule, claim.canary, claim.command
        );
    }
    let _ = writeln!(text, "## Range against entry\n\n{}\n", content.bar);
    write_table(&mut text, &content.comparison_table(|_| true));
    text.push_str("\n## Workloads\n\n");
    for workload in &content.workloads {
        let _ = writeln!(text, "* **{}**: {}", workload.name, workload.measures);
    }
    text.push_str("\n## Memory: lock state of every design\n\n");
    write_table(&mut text, &content.memory_table());
    text.push_str("\nThe I/O lock of an open file comes to that:\n\n");
    write_table(&mut text, &content.io_memory_table());
    text.push_str("\n## Races, forced\n\n");
    write_table(&mut text, &content.trial_table());
    text.push_str("\n## Figures\n");
    for figure in &content.figures {
        let _ = writeln!(
            text,
            "\n### {}\n\n{}\n\n`{}`; {}\n",
            figure.title, figure.about, figure.command, content.remark
        );
        write_table(&mut text, &figure.table);
    }
    text
}

fn write_table(text: &mut String, table: &Table) {
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut names = table.header.iter().map(|name| (*name).to_owned());
    text.push_str(&line(&mut names));
    text.push_str(&line(&mut table.header.iter().map(|_| "---".to_owned())));
    for row in &table.rows {
        text.push_str(&line(&mut row.iter().map(|cell| cell.replace('|', "/"))));
    }
}
