//! Which file is which module, as the compiler sees it; and files that it never sees.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::strip;
use crate::workspace::{TextFile, rust_files};
use crate::{Offence, assert_none};

/// A `mod name;`, with the file that its `#[path]` names, if it has one.
#[derive(Debug, PartialEq, Eq)]
struct Declaration {
    name: String,
    path: Option<String>,
}

/// The modules that a file declares and does not contain.
fn declarations(text: &str) -> Vec<Declaration> {
    let code = strip(text);
    let mut path = None;
    let mut found = Vec::new();
    for (line, code) in text.lines().zip(code.lines()) {
        let code = code.trim();
        if let Some(attribute) = line.trim().strip_prefix("#[path = \"") {
            path = attribute.strip_suffix("\"]").map(str::to_owned);
            continue;
        }
        let item = code.rsplit_once(')').map_or(code, |(visibility, item)| {
            if visibility.starts_with("pub(") {
                item.trim()
            } else {
                code
            }
        });
        let item = item.strip_prefix("pub ").unwrap_or(item);
        if let Some(name) = item
            .strip_prefix("mod ")
            .and_then(|name| name.strip_suffix(';'))
        {
            found.push(Declaration {
                name: name.to_owned(),
                path: path.take(),
            });
        } else if !code.starts_with("#[") && !code.is_empty() {
            path = None;
        }
    }
    found
}

/// Whether cargo takes a file for the root of a crate.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "src", "lib.rs" | "main.rs"] | [.., "build.rs"] => true,
        [.., "src", "bin", _] => true,
        [package @ .., "tests" | "benches" | "examples", _] => !package.contains(&"src"),
        [package @ .., "tests" | "benches" | "examples", _, "main.rs"] => !package.contains(&"src"),
        [.., "fuzz_targets", _] => true,
        _ => false,
    }
}

/// The files that `file` can mean by a declaration.
fn targets(file: &str, is_root: bool, declaration: &Declaration) -> Vec<String> {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    if let Some(path) = &declaration.path {
        return vec![format!("{folder}/{path}")];
    }
    let stem = name.trim_end_matches(".rs");
    let own_folder = if is_root || stem == "mod" {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    let module = &declaration.name;
    vec![
        format!("{own_folder}/{module}.rs"),
        format!("{own_folder}/{module}/mod.rs"),
    ]
}

fn dead_files(files: &[TextFile]) -> Vec<Offence> {
    let texts: BTreeMap<&str, &str> = files
        .iter()
        .map(|file| (file.path.as_str(), file.text.as_str()))
        .collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut next: Vec<(String, bool)> = texts
        .keys()
        .filter(|path| is_root(path))
        .map(|path| (path.to_string(), true))
        .collect();
    while let Some((path, root)) = next.pop() {
        let Some(text) = texts.get(path.as_str()) else {
            continue;
        };
        if !reached.insert(path.clone()) {
            continue;
        }
        for declaration in declarations(text) {
            next.extend(
                targets(&path, root, &declaration)
                    .into_iter()
                    .map(|path| (path, false)),
            );
        }
    }
    let dead = files.iter().filter(|file| !reached.contains(&file.path));
    dead.map(|file| Offence {
        path: file.path.clone(),
        line: 1,
        what: "no `mod` leads here".to_owned(),
        why: "what is not compiled is not tested, and rots",
    })
    .collect()
}

#[test]
fn every_file_is_compiled() {
    let files = [
        TextFile::new(
            "a/src/lib.rs",
            "mod b;\n#[cfg(test)]\n#[path = \"x/y.rs\"]\nmod z;\n",
        ),
        TextFile::new("a/src/b.rs", "pub(crate) mod c;\n"),
        TextFile::new("a/src/b/c.rs", ""),
        TextFile::new("a/src/x/y.rs", ""),
        TextFile::new("a/src/dead.rs", "mod too;"),
        TextFile::new("a/src/dead/too.rs", ""),
        TextFile::new("a/src/tests/not_a_root.rs", ""),
        TextFile::new("a/tests/root.rs", ""),
        TextFile::new("a/tests/big/main.rs", "mod part;"),
        TextFile::new("a/tests/big/part.rs", ""),
    ];
    let dead: Vec<_> = dead_files(&files)
        .into_iter()
        .map(|offence| offence.path)
        .collect();
    assert_eq!(
        dead,
        [
            "a/src/dead.rs",
            "a/src/dead/too.rs",
            "a/src/tests/not_a_root.rs"
        ]
    );
    assert_none(&dead_files(&rust_files()));
}
