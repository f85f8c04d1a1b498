//! What is there while a workload is written down: enough to put before each operation what it
//! needs, and to know which bytes it is about.
//!
//! Touches nothing. Takes one lock, around the names that it made up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::core::{APPENDED_BYTES, Core, Place};
use super::operation::{Length, Means, Operation, Path, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File {
        len_bytes: u64,
        attribute: Attribute,
    },
    SymbolicLink,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Absent,
    Present,
}

const EMPTY: Node = Node::File {
    len_bytes: 0,
    attribute: Attribute::Absent,
};

/// The names that are there. Names of one file that has several are taken for files of their own:
/// what is then known of their lengths, or of which is gone after a rename onto another, may be out
/// of date, and an operation fail: which is as good a workload as any.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    nodes: BTreeMap<Path, Node>,
}

impl Sketch {
    /// What has to be done before `core`, so that it is about something.
    pub(super) fn prepare(&mut self, core: Core) -> Vec<Operation> {
        let mut setup = Vec::new();
        match core {
            Core::Allocate(path, place, _) | Core::Punch(path, place) => {
                self.need_bytes(path, place, &mut setup);
            }
            Core::Write(path, place, _) | Core::Zero(path, place, _) => {
                self.need_bytes(path, place, &mut setup);
            }
            Core::Collapse(path) | Core::Insert(path) => {
                self.need_bytes(path, Place::MiddleBlock, &mut setup);
            }
            Core::Plain(operation) => self.prepare_plain(operation, &mut setup),
        }
        setup
    }

    /// The operation, its bytes filled in.
    pub(super) fn fill_in(&self, core: Core) -> Operation {
        match core {
            Core::Plain(operation) => operation,
            Core::Allocate(path, place, length) => {
                Operation::Allocate(path, place.span(self.len_bytes(path)), length)
            }
            Core::Punch(path, place) => Operation::Punch(path, place.span(self.len_bytes(path))),
            Core::Write(path, place, means) => {
                Operation::Write(path, place.span(self.len_bytes(path)), means)
            }
            Core::Zero(path, place, length) => {
                Operation::Zero(path, place.span(self.len_bytes(path)), length)
            }
            Core::Collapse(path) => Operation::Collapse(path, Place::MiddleBlock.span(0)),
            Core::Insert(path) => Operation::Insert(path, Place::MiddleBlock.span(0)),
        }
    }

    /// Notes what `operation` does, if it does it: some are expected to fail.
    pub(super) fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Create(path) => drop(self.nodes.insert(path, EMPTY)),
            Operation::MakeDirectory(path) => drop(self.nodes.insert(path, Node::Directory)),
            Operation::Write(path, span, _) => self.extend(path, span),
            Operation::Allocate(path, span, Length::Extended)
            | Operation::Zero(path, span, Length::Extended) => self.extend(path, span),
            Operation::Append(path, len_bytes) => {
                self.set_len_bytes(path, self.len_bytes(path) + len_bytes);
            }
            Operation::Collapse(path, span) => {
                self.set_len_bytes(path, self.len_bytes(path) - span.len_bytes);
            }
            Operation::Insert(path, span) => {
                self.set_len_bytes(path, self.len_bytes(path) + span.len_bytes);
            }
            Operation::Publish(path) => {
                self.nodes.insert(path, EMPTY);
                self.set_len_bytes(path, APPENDED_BYTES);
            }
            Operation::Clone(from, to) => {
                self.set_len_bytes(to, self.len_bytes(from).max(self.len_bytes(to)));
            }
            Operation::Truncate(path, len_bytes) => self.set_len_bytes(path, len_bytes),
            Operation::Link(from, to) => drop(self.nodes.insert(to, self.nodes[from])),
            Operation::SymbolicLink(_, to) => drop(self.nodes.insert(to, Node::SymbolicLink)),
            Operation::Unlink(path)
            | Operation::Remove(path)
            | Operation::RemoveDirectory(path) => drop(self.nodes.remove(path)),
            Operation::Rename(from, to) | Operation::RenameNoReplace(from, to) => {
                self.rename(from, to);
            }
            Operation::Exchange(from, to) => self.exchange(from, to),
            Operation::SetAttribute(path) | Operation::SetLargeAttribute(path) => {
                self.set_attribute(path, Attribute::Present);
            }
            Operation::RemoveAttribute(path) => self.set_attribute(path, Attribute::Absent),
            Operation::Allocate(..)
            | Operation::Punch(..)
            | Operation::Zero(..)
            | Operation::SetOwner(_)
            | Operation::Sync(_)
            | Operation::SyncData(_)
            | Operation::SyncAll
            | Operation::Checkpoint => {}
        }
    }

    fn prepare_plain(&mut self, operation: Operation, setup: &mut Vec<Operation>) {
        match operation {
            Operation::Create(path) | Operation::Publish(path) | Operation::MakeDirectory(path) => {
                self.need_parent(path, setup);
                self.need_absent(path, setup);
            }
            Operation::Link(from, to) | Operation::SymbolicLink(from, to) => {
                self.need_file(from, setup);
                self.need_parent(to, setup);
                self.need_absent(to, setup);
            }
            Operation::Clone(from, to) => {
                self.need_bytes(from, Place::MiddleBlock, setup);
                self.need_file(to, setup);
            }
            Operation::Rename(from, to) if is_directory_name(from) => {
                self.need_directory(from, setup);
                self.need_parent(to, setup);
            }
            Operation::RenameNoReplace(from, to) => {
                self.need_name_of_kind(from, setup);
                self.need_parent(to, setup);
                self.need_absent(to, setup);
            }
            Operation::Exchange(from, to) => {
                self.need_name_of_kind(from, setup);
                self.need_name_of_kind(to, setup);
            }
            Operation::Rename(from, to) => {
                self.need_file(from, setup);
                self.need_parent(to, setup);
            }
            Operation::RemoveDirectory(path) => {
                self.need_directory(path, setup);
                self.need_empty(path, setup);
            }
            Operation::Sync(path) if is_directory_name(path) => self.need_directory(path, setup),
            Operation::Truncate(path, _) => self.need_bytes(path, Place::Start, setup),
            Operation::RemoveAttribute(path) => {
                self.need_file(path, setup);
                let attributed = |node: &Node| {
                    matches!(
                        node,
                        Node::File {
                            attribute: Attribute::Present,
                            ..
                        }
                    )
                };
                if !self.nodes.get(path).is_some_and(attributed) {
                    self.set_up(Operation::SetAttribute(path), setup);
                }
            }
            Operation::Unlink(path) | Operation::Remove(path) => self.need_name(path, setup),
            Operation::SetAttribute(path)
            | Operation::SetLargeAttribute(path)
            | Operation::SetOwner(path)
            | Operation::Append(path, _)
            | Operation::Sync(path)
            | Operation::SyncData(path) => self.need_file(path, setup),
            Operation::Allocate(..)
            | Operation::Punch(..)
            | Operation::Write(..)
            | Operation::Zero(..)
            | Operation::Collapse(..)
            | Operation::Insert(..)
            | Operation::SyncAll
            | Operation::Checkpoint => {}
        }
    }

    fn set_up(&mut self, operation: Operation, setup: &mut Vec<Operation>) {
        self.apply(operation);
        setup.push(operation);
    }

    fn need_parent(&mut self, path: Path, setup: &mut Vec<Operation>) {
        if let Some((parent, _)) = path.rsplit_once('/')
            && !parent.is_empty()
        {
            self.need_directory(parent, setup);
        }
    }

    fn need_directory(&mut self, path: Path, setup: &mut Vec<Operation>) {
        self.need_parent(path, setup);
        if !self.nodes.contains_key(path) {
            self.set_up(Operation::MakeDirectory(path), setup);
        }
    }

    /// A file, whatever else had the name.
    fn need_file(&mut self, path: Path, setup: &mut Vec<Operation>) {
        if self.nodes.get(path) == Some(&Node::SymbolicLink) {
            self.need_absent(path, setup);
        }
        self.need_name(path, setup);
    }

    fn need_name(&mut self, path: Path, setup: &mut Vec<Operation>) {
        self.need_parent(path, setup);
        if !self.nodes.contains_key(path) {
            self.set_up(Operation::Create(path), setup);
        }
    }

    /// What is moved and what it is exchanged with: a file or a directory, as its name says.
    fn need_name_of_kind(&mut self, path: Path, setup: &mut Vec<Operation>) {
        match is_directory_name(path) {
            true => self.need_directory(path, setup),
            false => self.need_file(path, setup),
        }
    }

    fn need_bytes(&mut self, path: Path, place: Place, setup: &mut Vec<Operation>) {
        self.need_file(path, setup);
        let len_bytes = place.needs_bytes();
        if self.len_bytes(path) < len_bytes {
            let span = Span {
                offset_bytes: 0,
                len_bytes,
            };
            self.set_up(Operation::Write(path, span, Means::Write), setup);
        }
    }

    fn need_absent(&mut self, path: Path, setup: &mut Vec<Operation>) {
        match self.nodes.get(path) {
            None => {}
            Some(Node::Directory) => {
                self.need_empty(path, setup);
                self.set_up(Operation::RemoveDirectory(path), setup);
            }
            Some(_) => self.set_up(Operation::Unlink(path), setup),
        }
    }

    fn need_empty(&mut self, path: Path, setup: &mut Vec<Operation>) {
        // Deepest first: a name sorts behind its prefixes.
        for below in self.below(path).into_iter().rev() {
            let remove = match self.nodes[below] {
                Node::Directory => Operation::RemoveDirectory(below),
                _ => Operation::Unlink(below),
            };
            self.set_up(remove, setup);
        }
    }

    fn below(&self, path: Path) -> Vec<Path> {
        let is_below = |name: &&Path| {
            let rest = name.strip_prefix(path);
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        self.nodes
            .keys()
            .copied()
            .filter(|name| is_below(&name))
            .collect()
    }

    /// A directory goes with all below it; one does not go below itself, nor over one that is not
    /// empty.
    fn rename(&mut self, from: Path, to: Path) {
        let is_below_itself = to
            .strip_prefix(from)
            .is_some_and(|rest| rest.starts_with('/'));
        let is_directory = self.nodes[from] == Node::Directory;
        if is_directory && (is_below_itself || !self.below(to).is_empty()) {
            return;
        }
        for below in self.below(from) {
            if let Some(node) = self.nodes.remove(below) {
                let moved = format!("{to}{}", &below[from.len()..]);
                self.nodes.insert(kept(moved), node);
            }
        }
        if let Some(node) = self.nodes.remove(from) {
            self.nodes.insert(to, node);
        }
    }

    /// Both go with all below them.
    fn exchange(&mut self, from: Path, to: Path) {
        let ends = [(from, to), (to, from)];
        let moves = ends.map(|(from, to)| (self.take_tree(from), to));
        for (tree, to) in moves {
            for (below, node) in tree {
                self.nodes.insert(kept(format!("{to}{below}")), node);
            }
        }
    }

    fn take_tree(&mut self, path: Path) -> Vec<(&'static str, Node)> {
        let mut names = self.below(path);
        names.push(path);
        let take = |name: Path| Some((&name[path.len()..], self.nodes.remove(name)?));
        names.into_iter().filter_map(take).collect()
    }

    fn len_bytes(&self, path: Path) -> u64 {
        match self.nodes.get(path) {
            Some(Node::File { len_bytes, .. }) => *len_bytes,
            _ => 0,
        }
    }

    fn extend(&mut self, path: Path, span: Span) {
        self.set_len_bytes(path, self.len_bytes(path).max(span.end_bytes()));
    }

    fn set_len_bytes(&mut self, path: Path, new: u64) {
        if let Some(Node::File { len_bytes, .. }) = self.nodes.get_mut(path) {
            *len_bytes = new;
        }
    }

    fn set_attribute(&mut self, path: Path, new: Attribute) {
        if let Some(Node::File { attribute, .. }) = self.nodes.get_mut(path) {
            *attribute = new;
        }
    }
}

/// A name for ever. They are few: the names of one handful of files below one of directories.
fn kept(name: String) -> Path {
    static NAMES: Mutex<BTreeSet<Path>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name.as_str()) {
        return known;
    }
    let name: Path = name.leak();
    names.insert(name);
    name
}

fn is_directory_name(path: Path) -> bool {
    path.ends_with(|last: char| last.is_ascii_uppercase())
}
