//! Everything there is in a filesystem, in order of the paths.

use std::collections::HashMap;

use daxfs::FileKind;

use crate::operation::{Last, Operation, Outcome, Path, System, Value};

/// One name and all that it leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: Path,
    /// Which inode: the how manieth that was met.
    pub(crate) inode: usize,
    pub(crate) status: Outcome,
    /// Content, target, or names.
    pub(crate) content: Outcome,
    /// Extended attributes, each name with its value.
    pub(crate) extended: Vec<(Vec<u8>, Outcome)>,
}

/// All names that there are.
pub(crate) fn take(system: &mut dyn System) -> Vec<Entry> {
    let mut inodes = HashMap::new();
    let mut entries = Vec::new();
    let mut waiting = vec![Path::from("/")];
    while let Some(path) = waiting.pop() {
        let entry = entry(system, &mut inodes, path);
        if let (Some(FileKind::Directory), Ok(Value::Names(names))) =
            (kind(&entry.status), &entry.content)
        {
            let prefix = entry.path.0.trim_end_matches('/');
            let child = |(name, _): &(Vec<u8>, _)| {
                Path(format!("{prefix}/{}", String::from_utf8_lossy(name)))
            };
            waiting.extend(names.iter().rev().map(child));
        }
        entries.push(entry);
    }
    entries
}

fn entry(system: &mut dyn System, inodes: &mut HashMap<u64, usize>, path: Path) -> Entry {
    let status = system.apply(&Operation::Status {
        path: path.clone(),
        last: Last::Keep,
    });
    let next = inodes.len();
    let number = system.inode_number(&path).unwrap_or(0);
    let kind = kind(&status);
    let content = match kind {
        Some(FileKind::File) => system.apply(&Operation::ReadWhole { path: path.clone() }),
        Some(FileKind::Directory) => system.apply(&Operation::ReadDirectory { path: path.clone() }),
        Some(FileKind::SymbolicLink) => system.apply(&Operation::ReadLink { path: path.clone() }),
        _ => Ok(Value::Done),
    };
    let extended = match kind {
        None | Some(FileKind::SymbolicLink) => Vec::new(),
        _ => extended(system, &path),
    };
    Entry {
        inode: *inodes.entry(number).or_insert(next),
        path,
        status,
        content,
        extended,
    }
}

fn extended(system: &mut dyn System, path: &Path) -> Vec<(Vec<u8>, Outcome)> {
    let list = system.apply(&Operation::ListExtended { path: path.clone() });
    let Ok(Value::Names(names)) = list else {
        return vec![(Vec::new(), list)];
    };
    let mut value = |(name, _): (Vec<u8>, _)| {
        let value = system.apply(&Operation::GetExtended {
            path: path.clone(),
            name: Path(String::from_utf8_lossy(&name).into_owned()),
        });
        (name, value)
    };
    names.into_iter().map(&mut value).collect()
}

fn kind(status: &Outcome) -> Option<FileKind> {
    match status {
        Ok(Value::Status(status)) => Some(status.kind),
        _ => None,
    }
}
