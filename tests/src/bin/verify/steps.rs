//! Which commands make up a tier. Touches nothing.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::nightly::{self, Tool};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    Usual,
    Slow,
}

/// How much more the slow tier does.
const SLOW_FACTOR: u32 = 10;
/// Random cases of a property that does not say otherwise; proptest's own default is 256.
const SLOW_PROPTEST_CASES: u32 = 256 * SLOW_FACTOR;
/// Random schedules cost little and find more the more there are.
const SLOW_SHUTTLE_FACTOR: u32 = 50;
/// Damaged images that the slow tier makes. It takes hours: on two cores that were busy with much
/// else it was 85 a second.
const SLOW_MUTATED_IMAGES: u32 = 1_000_000;
/// A model of a design has some five times as many orders of steps with each more.
const SLOW_MORE_PREEMPTIONS: u32 = 1;
/// How often the slow tier runs a fuzz target, and for how long at most: on two cores that others
/// use too it was 80 runs a second.
const FUZZ_RUNS: u32 = 300_000;
const FUZZ_SECONDS: u32 = 300;

/// One run of cargo.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) compiler: Compiler,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) proof: Proof,
    /// Without these the step is left out.
    pub(crate) tools: &'static [Tool],
}

/// What counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The tests that the step says it ran.
    Tests,
    /// That the step ends well; it is one test.
    Ending,
}

/// Whose cargo it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// The one that runs this program.
    Own,
    Nightly,
}

pub(crate) fn steps(tier: Tier) -> Vec<Step> {
    let mut steps = vec![
        Step {
            name: "unit tests, integration tests, documentation examples",
            compiler: Compiler::Own,
            arguments: words("test --workspace --no-fail-fast"),
            environment: Vec::new(),
            proof: Proof::Tests,
            tools: &[],
        },
        Step {
            name: "the range lock with its observers",
            compiler: Compiler::Own,
            arguments: words("test --package rangelock --all-features --no-fail-fast"),
            environment: Vec::new(),
            proof: Proof::Tests,
            tools: &[],
        },
        model("models of the range lock", "rangelock", "loom"),
        model("models of the page tables", "daxfs-pmem", "loom"),
        model("models of the designs", "daxfs", "loom"),
        model("random schedules of the range lock", "rangelock", "shuttle"),
    ];
    if tier == Tier::Slow {
        for step in &mut steps {
            let mut set = |name, value: u32| step.environment.push((name, value.to_string()));
            set("PROPTEST_CASES", SLOW_PROPTEST_CASES);
            set("DAXFS_STRESS_FACTOR", SLOW_FACTOR);
            set("RANGELOCK_SHUTTLE_FACTOR", SLOW_SHUTTLE_FACTOR);
            set("DAXFS_MUTATED_IMAGES", SLOW_MUTATED_IMAGES);
            set("DAXFS_MORE_PREEMPTIONS", SLOW_MORE_PREEMPTIONS);
        }
        steps.extend([
            sanitizer("data races in the range lock", "thread"),
            sanitizer("memory errors in the range lock", "address"),
            miri(),
            fuzz_schedules(),
            fuzz_images(),
        ]);
    }
    steps
}

/// The models of one package: optimised, since each of them is run many thousand times, and in a
/// target directory of their own, so that the two builds do not throw each other away.
fn model(name: &'static str, package: &str, checker: &str) -> Step {
    let target = target_directory().join(checker);
    let target = target.display();
    let mut arguments = words("test --release --lib --package");
    arguments.extend([package.to_owned(), format!("--target-dir={target}")]);
    arguments.extend(["--".to_owned(), checker.to_owned()]);
    Step {
        name,
        compiler: Compiler::Own,
        arguments,
        environment: vec![("RUSTFLAGS", flags(&format!("--cfg {checker}")))],
        proof: Proof::Tests,
        tools: &[],
    }
}

/// The range lock's own tests under one of LLVM's sanitizers. That for threads must see the
/// standard library too, or it takes what is synchronised there for a race.
fn sanitizer(name: &'static str, sanitizer: &str) -> Step {
    let target = target_directory().join(sanitizer).display().to_string();
    let mut arguments = words("test --package rangelock --lib --tests --no-fail-fast");
    arguments.push(format!("--target-dir={target}"));
    let machine = nightly::target().unwrap_or_else(|| "x86_64-unknown-linux-gnu".to_owned());
    arguments.push(format!("--target={machine}"));
    let tools: &[Tool] = match sanitizer {
        "thread" => {
            arguments.push("-Zbuild-std".to_owned());
            &[Tool::Compiler, Tool::Source]
        }
        _ => &[Tool::Compiler],
    };
    arguments.push("--".to_owned());
    arguments.extend(without(&LEAKS_ON_PURPOSE));
    Step {
        name,
        compiler: Compiler::Nightly,
        arguments,
        environment: vec![("RUSTFLAGS", flags(&format!("-Zsanitizer={sanitizer}")))],
        proof: Proof::Tests,
        tools,
    }
}

/// The range lock's own tests under Miri, some thousand times slower than the machine.
fn miri() -> Step {
    let target = target_directory().join("miri").display().to_string();
    let mut arguments = words("miri test --package rangelock --lib --tests --no-fail-fast");
    arguments.extend([format!("--target-dir={target}"), "--".to_owned()]);
    arguments.extend(without(&LEAKS_ON_PURPOSE));
    arguments.extend(without(&TOO_LONG_FOR_MIRI));
    Step {
        name: "the range lock by the rules of the language",
        compiler: Compiler::Nightly,
        arguments,
        environment: vec![
            // The lock reads the clock and asks the environment how much to do.
            ("MIRIFLAGS", "-Zmiri-disable-isolation".to_owned()),
            ("PROPTEST_CASES", 2.to_string()),
        ],
        proof: Proof::Tests,
        tools: &[Tool::Compiler, Tool::Miri],
    }
}

const LEAKS_ON_PURPOSE: [&str; 1] = ["a_leaked_node"];
/// They are for the machine: thousands of cases, or files to read.
const TOO_LONG_FOR_MIRI: [&str; 7] = [
    "model",
    "canary",
    "corpus",
    "many_ranges",
    "stream",
    "under_contention",
    "all_pairs",
];

fn without(tests: &[&str]) -> impl Iterator<Item = String> {
    tests
        .iter()
        .flat_map(|test| ["--skip".to_owned(), (*test).to_owned()])
}

/// The fuzz target of the range lock for a while, from the corpus that is kept.
fn fuzz_schedules() -> Step {
    let corpus = "rangelock/tests/differential/corpus";
    let mut step = fuzz("rangelock/fuzz", "operations");
    step.name = "the range lock with chosen schedules";
    // After the folder that what is found goes to.
    step.arguments.insert(6, corpus.to_owned());
    step.arguments.push("-max_len=600".to_owned());
    step
}

/// The fuzz target of images for a while.
fn fuzz_images() -> Step {
    let mut step = fuzz("daxfs/fuzz", "images");
    step.name = "images with chosen damage";
    step.arguments.push("-max_len=400".to_owned());
    step
}

/// A fuzz target; what it finds interesting is left in the target directory.
fn fuzz(folder: &str, target_name: &str) -> Step {
    let found = target_directory().join("fuzz-corpus").join(target_name);
    let mut arguments = words(&format!("fuzz run --fuzz-dir {folder} {target_name}"));
    arguments.extend([
        found.display().to_string(),
        "--".to_owned(),
        format!("-runs={FUZZ_RUNS}"),
        format!("-max_total_time={FUZZ_SECONDS}"),
        "-create_missing_dirs=1".to_owned(),
    ]);
    let target = target_directory().join("fuzz").display().to_string();
    Step {
        name: "a fuzz target",
        compiler: Compiler::Nightly,
        arguments,
        environment: vec![("CARGO_TARGET_DIR", target)],
        proof: Proof::Ending,
        tools: &[Tool::Compiler, Tool::Fuzzer],
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// The caller's flags for the compiler, and one more.
fn flags(more: &str) -> String {
    let inherited = env::var("RUSTFLAGS").unwrap_or_default();
    format!("{inherited} {more}").trim_start().to_owned()
}

fn target_directory() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    // Steps run in the workspace's folder, wherever the caller is.
    let own = workspace().join("target");
    named.map_or(own, |named| workspace().join(named))
}

pub(crate) fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(formatter, "{name}='{value}' ")?;
        }
        let cargo = match self.compiler {
            Compiler::Own => "cargo",
            Compiler::Nightly => "cargo +nightly",
        };
        write!(formatter, "{cargo} {}", self.arguments.join(" "))
    }
}
