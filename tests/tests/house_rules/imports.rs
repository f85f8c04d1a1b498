//! Who may import whom inside the filesystem: one way only, from the format upwards.

use crate::code::{strip, without_tests};
use crate::workspace::{TextFile, rust_files};
use crate::{Offence, assert_none};

/// The layers, lowest first. A module imports from layers below its own.
const LAYERS: [&[&str]; 9] = [
    &["sync"],
    &[
        "clock",
        "error",
        "run",
        "radix",
        "schedule",
        "gate",
        "lock_order",
    ],
    &["format"],
    &["allocation", "directory", "file_lock", "log", "metadata"],
    &["inode"],
    &["volume"],
    &["dax"],
    &["fs"],
    &["fsck"],
];
/// The judge of an image shares nothing with those who write it.
const FSCK_MAY_IMPORT: [&str; 4] = ["clock", "error", "format", "run"];
const SOURCE: &str = "daxfs/src/";

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The modules of the crate that `code` names by way of `crate::`, with their lines. Names of
/// types, which the crate's root re-exports, come as they are.
fn named_modules(code: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let part_of_a_name = code[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
        if part_of_a_name {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + prefix.len()..];
        for path in group(rest) {
            let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
            named.push((line, path.chars().take_while(is_name).collect()));
        }
    }
    named
}

/// The paths of `{a::b, c}`, or the one path that is there.
fn group(rest: &str) -> Vec<&str> {
    let Some(inside) = rest.strip_prefix('{') else {
        return vec![rest];
    };
    let (mut paths, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                paths.push(inside[start..at].trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

fn wrong_way(file: &TextFile) -> Vec<Offence> {
    let Some(inner) = file.path.strip_prefix(SOURCE) else {
        return Vec::new();
    };
    let module = inner
        .split('/')
        .next()
        .unwrap_or(inner)
        .trim_end_matches(".rs");
    if module == "lib" || file.is_test() {
        return Vec::new();
    }
    let offence = |line, what, why| Offence {
        path: file.path.clone(),
        line,
        what,
        why,
    };
    let Some(own) = layer(module) else {
        let what = format!("`{module}` has no place in the order of imports");
        return vec![offence(1, what, "put it into a layer of the house rules")];
    };
    let code = strip(&file.text);
    let mut offences = Vec::new();
    for (line, named) in named_modules(without_tests(&code)) {
        let through_root = named.starts_with(char::is_uppercase);
        let allowed = if through_root {
            // What the root re-exports comes from below `fs`, or from outside.
            module == "fs"
        } else if module == "fsck" {
            named == module || FSCK_MAY_IMPORT.contains(&named.as_str())
        } else {
            named == module || layer(&named).is_some_and(|other| other < own)
        };
        if !allowed {
            let why = "imports run one way, so that each layer can be read without those above";
            offences.push(offence(
                line,
                format!("`{module}` imports `crate::{named}`"),
                why,
            ));
        }
    }
    offences
}

#[test]
fn imports_run_one_way() {
    let lines = |path: &str, text: &str| {
        let offences = wrong_way(&TextFile::new(path, text));
        offences
            .into_iter()
            .map(|offence| offence.line)
            .collect::<Vec<_>>()
    };
    let text = "//! crate::fs\nuse crate::{error::Error, dax::{io, Mapping}, format};\n\
                fn a() -> crate::fs::B {}\nuse crate::Protection;\n";
    assert_eq!(lines("daxfs/src/inode/mod.rs", text), [2, 3, 4]);
    assert!(lines("daxfs/src/fs/mod.rs", text).is_empty());
    assert_eq!(
        lines(
            "daxfs/src/fsck/mod.rs",
            "use crate::inode::Inode;\nuse crate::{format, run};"
        ),
        [1]
    );
    assert_eq!(
        lines("daxfs/src/new.rs", ""),
        [1],
        "a module that nobody has placed"
    );
    assert!(lines("daxfs/src/dax/tests.rs", "use crate::fs::File;").is_empty());

    let files = rust_files();
    assert!(
        files
            .iter()
            .filter(|file| file.path.starts_with(SOURCE))
            .count()
            > 40
    );
    assert_none(&files.iter().flat_map(wrong_way).collect::<Vec<_>>());
}
