//! `cargo verify`: the one command that runs every test and counts them.
//!
//! Runs cargo once for the ordinary tests and once for each package with loom models (those need
//! the whole package built anew, with another standard library of atomics). Prints what each step
//! prints, how long it took, and at the end `N passed, N failed` over all of them.
//!
//! Needs nothing but Rust. Touches cargo's target directory alone; takes no locks.

use std::env;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const USAGE: &str = "\
Runs every test of the workspace.

Usage: cargo verify [--slow | --list | --help]

  --slow  also what takes long: ten times as many random cases and stress rounds
  --list  say which commands would be run, and run none
  --help  say this";

/// How much more the slow tier does.
const SLOW_FACTOR: u32 = 10;
/// Random cases of a property that does not say otherwise; proptest's own default is 256.
const SLOW_PROPTEST_CASES: u32 = 256 * SLOW_FACTOR;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tier {
    Usual,
    Slow,
}

enum Request {
    Run(Tier),
    List(Tier),
    Help,
}

/// One run of cargo.
struct Step {
    name: &'static str,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

/// How cargo says that a step ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    Badly,
}

/// What a step, or all of them, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
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

fn steps(tier: Tier) -> Vec<Step> {
    let ordinary = ["test", "--workspace", "--no-fail-fast"]
        .map(String::from)
        .to_vec();
    let mut steps = vec![
        Step {
            name: "unit tests, integration tests, documentation examples",
            arguments: ordinary,
            environment: Vec::new(),
        },
        loom("models of the range lock", "rangelock"),
        loom("models of the page tables", "daxfs-pmem"),
    ];
    if tier == Tier::Slow {
        for step in &mut steps {
            step.environment
                .push(("PROPTEST_CASES", SLOW_PROPTEST_CASES.to_string()));
            step.environment
                .push(("DAXFS_STRESS_FACTOR", SLOW_FACTOR.to_string()));
        }
    }
    steps
}

/// The models of one package: optimised, since loom runs each of them many thousand times, and in a
/// target directory of their own, so that the two builds do not throw each other away.
fn loom(name: &'static str, package: &str) -> Step {
    let target = target_directory().join("loom");
    let arguments = [
        "test",
        "--package",
        package,
        "--release",
        "--lib",
        "--target-dir",
    ];
    let mut arguments: Vec<String> = arguments.map(String::from).to_vec();
    arguments.extend([
        target.display().to_string(),
        "--".to_owned(),
        "loom".to_owned(),
    ]);
    let inherited = env::var("RUSTFLAGS").unwrap_or_default();
    let flags = format!("{inherited} --cfg loom").trim_start().to_owned();
    Step {
        name,
        arguments,
        environment: vec![("RUSTFLAGS", flags)],
    }
}

fn target_directory() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

fn run_all(steps: &[Step]) -> ExitCode {
    let mut total = Count::default();
    for (number, step) in (1..).zip(steps) {
        println!("== {number} of {}: {}\n   {step}", steps.len(), step.name);
        let started = Instant::now();
        let count = step.run().unwrap_or_else(|error| {
            eprintln!("cannot run cargo: {error}");
            Count {
                passed: 0,
                failed: 1,
            }
        });
        println!(
            "== {}: {count} in {}\n",
            step.name,
            in_words(started.elapsed())
        );
        total.passed += count.passed;
        total.failed += count.failed;
    }
    println!("{total}");
    if total.failed == 0 && total.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Step {
    /// Runs it, passing on what it prints. Whatever goes wrong counts as a failure, even if no test
    /// says so: code that does not compile, a test that takes the whole process down, a filter that
    /// leaves no test.
    fn run(&self) -> io::Result<Count> {
        let mut child = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(workspace())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut count = Count::default();
        if let Some(output) = child.stdout.take() {
            let mut terminal = io::stdout().lock();
            for line in BufReader::new(output).split(b'\n') {
                let line = line?;
                terminal.write_all(&line)?;
                terminal.write_all(b"\n")?;
                if let Some(result) = Count::from_line(&String::from_utf8_lossy(&line)) {
                    count.passed += result.passed;
                    count.failed += result.failed;
                }
            }
        }
        let ended = if child.wait()?.success() {
            Ended::Well
        } else {
            Ended::Badly
        };
        Ok(count.settled(ended))
    }
}

impl Count {
    /// The count of a run that has ended. One that failed without a failed test, or ran no test,
    /// counts as a failure.
    fn settled(mut self, status: Ended) -> Self {
        let is_bad = status == Ended::Badly || self.passed == 0;
        if self.failed == 0 && is_bad {
            self.failed = 1;
        }
        self
    }

    /// The numbers of a line like `test result: ok. 12 passed; 0 failed; 0 ignored; ...`.
    fn from_line(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let number = |what: &str| {
            let count = counts
                .split("; ")
                .find_map(|part| part.strip_suffix(what))?;
            count.trim().parse().ok()
        };
        Some(Self {
            passed: number(" passed")?,
            failed: number(" failed")?,
        })
    }
}

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(formatter, "{name}='{value}' ")?;
        }
        write!(formatter, "cargo {}", self.arguments.join(" "))
    }
}

fn in_words(elapsed: Duration) -> String {
    format!("{}.{} s", elapsed.as_secs(), elapsed.subsec_millis() / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_test_runs_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; \
                    0 filtered out; finished in 0.10s";
        assert_eq!(
            Count::from_line(line),
            Some(Count {
                passed: 12,
                failed: 3
            })
        );
        let line = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out";
        assert_eq!(
            Count::from_line(line),
            Some(Count {
                passed: 1,
                failed: 0
            })
        );
        for other in [
            "",
            "test a ... ok",
            "test result: ",
            "test result: ok. many passed",
        ] {
            assert_eq!(Count::from_line(other), None, "{other}");
        }
    }

    #[test]
    fn the_last_line_is_the_sum() {
        assert_eq!(
            Count {
                passed: 7,
                failed: 0
            }
            .to_string(),
            "7 passed, 0 failed"
        );
    }

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
    fn a_run_that_fails_without_a_failed_test_is_a_failure() {
        let count = |passed, failed| Count { passed, failed };
        assert_eq!(count(3, 0).settled(Ended::Well), count(3, 0));
        assert_eq!(count(3, 0).settled(Ended::Badly), count(3, 1));
        assert_eq!(count(0, 0).settled(Ended::Well), count(0, 1));
        assert_eq!(count(3, 2).settled(Ended::Badly), count(3, 2));
    }
}
