//! `cargo verify`: the one command that runs every test and counts them.
//!
//! Runs cargo once for the ordinary tests and once for each package with models (those need the
//! whole package built anew, with another library of atomics). Prints what each step prints, how
//! long it took, and at the end `N passed, N failed` over all of them.
//!
//! Needs nothing but Rust. The slow tier also uses what it finds of a nightly toolchain, and says
//! what it left out. Touches cargo's target directory alone; takes no locks.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::count::{Count, Ended};
use crate::steps::{Compiler, Proof, Step, Tier, steps, workspace};

#[path = "verify/count.rs"]
mod count;
#[path = "verify/nightly.rs"]
mod nightly;
#[path = "verify/steps.rs"]
mod steps;

const USAGE: &str = "\
Runs every test of the workspace.

Usage: cargo verify [--slow | --list | --help]

  --slow  also what takes long: ten times as many random cases and stress rounds, fifty times as
          many random schedules, one more preemption in models of designs; and with a nightly
          toolchain, if there is one, the range lock under two sanitizers, under Miri and under a
          fuzzer
  --list  say which commands would be run, and run none
  --help  say this";

enum Request {
    Run(Tier),
    List(Tier),
    Help,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match parse(&arguments) {
        Ok(Request::Help) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Request::List(tier)) => {
            for step in steps(tier) {
                println!("{}:\n    {step}", step.name);
            }
            ExitCode::SUCCESS
        }
        Ok(Request::Run(tier)) => run_all(&steps(tier)),
        Err(unknown) => {
            eprintln!("unknown argument `{unknown}`\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: &[String]) -> Result<Request, String> {
    let mut tier = Tier::Usual;
    let mut list = false;
    for argument in arguments {
        match argument.as_str() {
            "--slow" => tier = Tier::Slow,
            "--list" => list = true,
            "--help" | "-h" => return Ok(Request::Help),
            unknown => return Err(unknown.to_owned()),
        }
    }
    Ok(if list {
        Request::List(tier)
    } else {
        Request::Run(tier)
    })
}

fn run_all(steps: &[Step]) -> ExitCode {
    let mut total = Count::default();
    for (number, step) in (1..).zip(steps) {
        println!("== {number} of {}: {}\n   {step}", steps.len(), step.name);
        let started = Instant::now();
        let count = match step.tools.iter().find_map(|tool| tool.missing()) {
            Some(reason) => {
                println!("   skipped, {reason}");
                Count::SKIPPED
            }
            None => run(step).unwrap_or_else(|error| {
                eprintln!("cannot run cargo: {error}");
                Count::FAILED
            }),
        };
        let elapsed = in_words(started.elapsed());
        println!("== {}: {count} in {elapsed}\n", step.name);
        total += count;
    }
    println!("{total}");
    if total.failed == 0 && total.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs a step, passing on what it prints. Whatever goes wrong counts as a failure, even if no test
/// says so: code that does not compile, a test that takes the whole process down, a filter that
/// leaves no test.
fn run(step: &Step) -> io::Result<Count> {
    let mut child = cargo(step.compiler)
        .args(&step.arguments)
        .envs(step.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(workspace())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut count = match child.stdout.take() {
        Some(output) => pass_on(output, io::stdout())?,
        None => Count::default(),
    };
    let ended = if child.wait()?.success() {
        Ended::Well
    } else {
        Ended::Badly
    };
    if step.proof == Proof::Ending && ended == Ended::Well {
        count += Count::PASSED;
    }
    Ok(count.settled(ended))
}

fn cargo(compiler: Compiler) -> Command {
    match compiler {
        Compiler::Own => Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
        Compiler::Nightly => {
            let mut command = Command::new("rustup");
            command.args(["run", nightly::TOOLCHAIN, "cargo"]);
            command
        }
    }
}

/// Copies every line, and counts those that are results.
fn pass_on(from: impl Read, mut to: impl Write) -> io::Result<Count> {
    let mut count = Count::default();
    for line in BufReader::new(from).split(b'\n') {
        let mut line = line?;
        if let Some(result) = Count::from_line(&String::from_utf8_lossy(&line)) {
            count += result;
        }
        line.push(b'\n');
        to.write_all(&line)?;
    }
    Ok(count)
}

fn in_words(elapsed: Duration) -> String {
    format!("{}.{} s", elapsed.as_secs(), elapsed.subsec_millis() / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_understood_or_refused() {
        let request = |text: &str| {
            parse(
                &text
                    .split_whitespace()
                    .map(String::from)
                    .collect::<Vec<_>>(),
            )
        };
        assert!(matches!(request(""), Ok(Request::Run(Tier::Usual))));
        assert!(matches!(request("--slow"), Ok(Request::Run(Tier::Slow))));
        assert!(matches!(
            request("--list --slow"),
            Ok(Request::List(Tier::Slow))
        ));
        assert!(matches!(request("-h"), Ok(Request::Help)));
        assert!(matches!(request("--fast"), Err(unknown) if unknown == "--fast"));
    }

    #[test]
    fn the_usual_tier_needs_no_tool_beside_rust() {
        for step in steps(Tier::Usual) {
            assert!(step.compiler == Compiler::Own, "{}", step.name);
            assert_eq!(step.tools, [], "{}", step.name);
        }
        let slow = steps(Tier::Slow);
        for step in slow.iter().filter(|step| step.compiler != Compiler::Own) {
            assert_ne!(step.tools, [], "{} asks whether it can be run", step.name);
        }
    }

    #[test]
    fn lines_are_passed_on_as_they_are_and_counted() {
        let text = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\u{1b}[0m\n";
        let mut copy = Vec::new();
        let count = pass_on(text.as_bytes(), &mut copy).expect("memory can be written");
        assert_eq!(copy, text.as_bytes());
        assert_eq!((count.passed, count.failed), (2, 0));
    }
}
