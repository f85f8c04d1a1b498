//! Rules about one file at a time.

use crate::code::{lines_with_word, strip, without_tests};
use crate::workspace::{TextFile, files, rust_files};
use crate::{Offence, assert_none};

const MOST_LINES: usize = 600;
const MOST_COLUMNS: usize = 100;
/// Where unsafe code may be. The test is about programs that hand a mapping to a read or a write,
/// which safe code cannot do.
const UNSAFE_HOMES: [&str; 4] = [
    "rangelock/",
    "daxfs/pmem/",
    // To count allocations is to be an allocator.
    "benches/src/allocations.rs",
    "tests/tests/mapped_buffer.rs",
];
/// Crate roots that must forbid it.
const SAFE_ROOTS: [&str; 3] = [
    "daxfs/src/lib.rs",
    "daxfs/cli/src/main.rs",
    "tests/src/lib.rs",
];
/// Where somebody's own folders lie. Taken apart, so that this line does not break the rule.
const PRIVATE_FOLDERS: [&str; 4] = [
    concat!("/", "work"),
    concat!("/", "home"),
    concat!("/", "root"),
    concat!("/", "Users"),
];

fn offence(file: &TextFile, line: usize, what: impl Into<String>, why: &'static str) -> Offence {
    Offence {
        path: file.path.clone(),
        line,
        what: what.into(),
        why,
    }
}

fn too_long(file: &TextFile) -> Vec<Offence> {
    let text = if file.is_test() {
        &file.text
    } else {
        without_tests(&file.text)
    };
    let lines = text.lines().count();
    if lines <= MOST_LINES {
        return Vec::new();
    }
    let why = "a file holds one idea that can be read in one sitting: take it apart";
    vec![offence(
        file,
        MOST_LINES + 1,
        format!("{lines} lines, at most {MOST_LINES}"),
        why,
    )]
}

fn too_wide(file: &TextFile) -> Vec<Offence> {
    let lines = file.text.lines().enumerate();
    let is_wide = |line: &str| line.chars().count() > MOST_COLUMNS && !is_unbreakable(line);
    let wide = lines.filter(|(_, line)| is_wide(line));
    let why = "two files fit beside each other";
    wide.map(|(number, line)| {
        let what = format!("{} columns, at most {MOST_COLUMNS}", line.chars().count());
        offence(file, number + 1, what, why)
    })
    .collect()
}

/// An address, or a row of a table.
fn is_unbreakable(line: &str) -> bool {
    let text = line
        .trim_start()
        .trim_start_matches(['/', '!'])
        .trim_start();
    line.contains("://") || text.starts_with('|')
}

fn without_header(file: &TextFile) -> Vec<Offence> {
    if file.text.starts_with("//!") || file.text.starts_with("#![doc = include_str!") {
        return Vec::new();
    }
    let why = "a reader first wants to know what the file is for and which locks it takes";
    vec![offence(file, 1, "does not begin with `//!`", why)]
}

fn leftovers(file: &TextFile) -> Vec<Offence> {
    let code = strip(&file.text);
    let why = "nothing is left for later: finish it or take it out";
    let words = ["todo!", "unimplemented!", "dbg!"];
    let found = words.into_iter().flat_map(|word| {
        let lines = lines_with_word(&code, word);
        lines
            .into_iter()
            .map(move |line| (line, format!("`{word}`")))
    });
    found
        .map(|(line, what)| offence(file, line, what, why))
        .collect()
}

fn misplaced_unsafe(file: &TextFile) -> Vec<Offence> {
    if UNSAFE_HOMES.iter().any(|home| file.path.starts_with(home)) {
        return Vec::new();
    }
    let why = "unsafe code lives in rangelock and daxfs/pmem only, where its tests are";
    let lines = lines_with_word(&strip(&file.text), "unsafe");
    lines
        .into_iter()
        .map(|line| offence(file, line, "`unsafe`", why))
        .collect()
}

fn allows_unsafe(file: &TextFile) -> Vec<Offence> {
    if !SAFE_ROOTS.contains(&file.path.as_str())
        || strip(&file.text).contains("#![forbid(unsafe_code)]")
    {
        return Vec::new();
    }
    let why = "the compiler then holds the rule about unsafe code";
    vec![offence(file, 1, "no `#![forbid(unsafe_code)]`", why)]
}

/// Code that must run under loom: only its platform layer may name what loom replaces.
const MODELLED: [&str; 6] = [
    "rangelock/src/",
    "daxfs/src/dax/",
    "daxfs/src/file_lock/",
    "daxfs/src/radix.rs",
    "daxfs/src/inode/block_map.rs",
    "daxfs/src/log/rounds.rs",
];

fn beside_the_platform_layer(file: &TextFile) -> Vec<Offence> {
    let is_modelled = MODELLED.iter().any(|place| file.path.starts_with(place));
    if !is_modelled || file.is_test() || file.path.starts_with("rangelock/src/sync/") {
        return Vec::new();
    }
    let code = strip(&file.text);
    let code = without_tests(&code);
    let why = "only the folder `sync` names the platform, so that loom can take its place";
    let words = ["std::sync", "core::sync", "std::thread::yield_now", "libc"];
    let found = words.into_iter().flat_map(|word| {
        lines_with_word(code, word)
            .into_iter()
            .map(move |line| (line, format!("`{word}`")))
    });
    found
        .map(|(line, what)| offence(file, line, what, why))
        .collect()
}

fn private_folders(file: &TextFile) -> Vec<Offence> {
    let why = "nobody else has that folder";
    let mut offences = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for folder in PRIVATE_FOLDERS {
            let stands_alone = line.match_indices(folder).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + folder.len()..].chars().next();
                let is_part = |c: char| c.is_alphanumeric() || "_-.}*".contains(c);
                // A folder of that name deeper down, or a longer name, is another one.
                !before.is_some_and(is_part) && after == Some('/')
            });
            if stands_alone {
                offences.push(offence(file, number + 1, format!("`{folder}/`"), why));
            }
        }
    }
    offences
}

fn check(rule: fn(&TextFile) -> Vec<Offence>, files: &[TextFile]) {
    assert_none(&files.iter().flat_map(rule).collect::<Vec<_>>());
}

#[test]
fn files_are_short() {
    let long = TextFile::new("daxfs/src/a.rs", &"fn a() {}\n".repeat(MOST_LINES + 1));
    assert_eq!(too_long(&long).len(), 1);
    let tested = format!(
        "fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n",
        "a();\n".repeat(700)
    );
    assert_eq!(too_long(&TextFile::new("daxfs/src/a.rs", &tested)), []);
    check(too_long, &rust_files());
}

#[test]
fn lines_are_narrow() {
    let wide = TextFile::new("a.rs", &format!("fn a() {{}}\n// {}\n", "é".repeat(98)));
    assert_eq!(too_wide(&wide)[0].line, 2);
    assert_eq!(
        too_wide(&TextFile::new("a.rs", &format!("// {}\n", "é".repeat(97)))),
        []
    );
    assert_eq!(
        too_wide(&TextFile::new(
            "a.rs",
            &format!("//! | {} |\n", "é".repeat(97))
        )),
        []
    );
    check(too_wide, &rust_files());
}

#[test]
fn files_say_what_they_are_for() {
    assert_eq!(
        without_header(&TextFile::new("a.rs", "// A module.\n")).len(),
        1
    );
    check(without_header, &rust_files());
}

#[test]
fn nothing_is_left_for_later() {
    let file = TextFile::new("a.rs", "// todo!\nfn a() {\n    todo!()\n}\n");
    let offences = leftovers(&file);
    assert_eq!(
        offences
            .iter()
            .map(|offence| offence.line)
            .collect::<Vec<_>>(),
        [3]
    );
    check(leftovers, &rust_files());
}

#[test]
fn unsafe_code_is_at_home() {
    let code = "// unsafe\n#![forbid(unsafe_code)]\nfn a() { unsafe { b() } }\n";
    assert_eq!(
        misplaced_unsafe(&TextFile::new("daxfs/src/a.rs", code))[0].line,
        3
    );
    assert_eq!(
        misplaced_unsafe(&TextFile::new("daxfs/pmem/src/a.rs", code)),
        []
    );
    check(misplaced_unsafe, &rust_files());
}

#[test]
fn safe_crates_say_so() {
    for root in SAFE_ROOTS {
        assert_eq!(
            allows_unsafe(&TextFile::new(root, "//! A crate.\n")).len(),
            1
        );
    }
    let files = rust_files();
    let is_root = |file: &&TextFile| SAFE_ROOTS.contains(&file.path.as_str());
    assert_eq!(files.iter().filter(is_root).count(), SAFE_ROOTS.len());
    check(allows_unsafe, &files);
}

#[test]
fn what_models_run_names_its_platform_in_one_place() {
    let code = "//! Not std::sync.\nuse std::sync::Arc;\nfn a() { libc::abort() }\n";
    let lines = |path| {
        let offences = beside_the_platform_layer(&TextFile::new(path, code));
        offences
            .into_iter()
            .map(|offence| offence.line)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines("rangelock/src/tree/mod.rs"), [2, 3]);
    assert_eq!(lines("daxfs/src/dax/wait_table.rs"), [2, 3]);
    assert!(lines("rangelock/src/sync/linux.rs").is_empty());
    assert!(lines("daxfs/src/sync/mod.rs").is_empty());
    assert!(lines("daxfs/src/gate.rs").is_empty());
    check(beside_the_platform_layer, &rust_files());
}

#[test]
fn no_file_knows_somebodys_folders() {
    let path = format!("cd {}/me\n", PRIVATE_FOLDERS[1]);
    assert_eq!(private_folders(&TextFile::new("README.md", &path)).len(), 1);
    let harmless = format!(
        "bench{}/load\n{}load/x\n",
        PRIVATE_FOLDERS[0], PRIVATE_FOLDERS[0]
    );
    assert_eq!(private_folders(&TextFile::new("README.md", &harmless)), []);
    check(private_folders, &files());
}
