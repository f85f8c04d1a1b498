//! Stage 2: links, parents and paths. Needs every inode and every entry, so it follows the scan.
//!
//! Works on two sorted lists, inodes by number and references by the inode they name, in memory:
//! nothing is read from the device.

use std::collections::VecDeque;

use super::content::Reference;
use super::issue::Issue;
use super::progress::{Progress, Stage};
use super::scan::{InodeRecord, Scan};
use crate::format::InodeKind;
use crate::format::geometry::ROOT_INODE;

/// Checks the namespace that `scan` found.
pub(super) fn check(scan: &Scan, progress: &dyn Progress) -> Vec<Issue> {
    progress.begin(Stage::Namespace, scan.inodes.len() as u64);
    let mut namespace = Namespace::new(&scan.inodes, &scan.references);
    namespace.check_entries();
    namespace.check_root();
    for position in 0..scan.inodes.len() {
        namespace.check_inode(position);
        progress.advance(1);
    }
    namespace.check_reachability();
    namespace.issues
}

struct Namespace<'a> {
    inodes: &'a [InodeRecord],
    /// Entries that name an inode there is, sorted by that inode and then by directory.
    by_inode: Vec<Reference>,
    /// Subdirectories of each inode, by its position in `inodes`.
    subdirectories: Vec<u64>,
    issues: Vec<Issue>,
    all: &'a [Reference],
}

impl<'a> Namespace<'a> {
    fn new(inodes: &'a [InodeRecord], all: &'a [Reference]) -> Self {
        let subdirectories = vec![0; inodes.len()];
        Self {
            inodes,
            by_inode: Vec::new(),
            subdirectories,
            issues: Vec::new(),
            all,
        }
    }

    fn position(&self, inode: u64) -> Option<usize> {
        self.inodes
            .binary_search_by_key(&inode, |record| record.number)
            .ok()
    }

    /// Each entry names an inode there is, and says its kind.
    fn check_entries(&mut self) {
        for reference in self.all {
            let &Reference {
                inode,
                directory,
                says_directory,
            } = reference;
            let Some(position) = self.position(inode) else {
                self.issues.push(Issue::DanglingEntry { directory, inode });
                continue;
            };
            let expected = self.inodes[position].kind;
            let found = if says_directory {
                InodeKind::Directory
            } else {
                InodeKind::File
            };
            if expected != found {
                self.issues.push(Issue::EntryKind {
                    directory,
                    inode,
                    expected,
                    found,
                });
            }
            self.by_inode.push(*reference);
            if expected == InodeKind::Directory
                && inode != ROOT_INODE
                && let Some(holder) = self.position(directory)
            {
                self.subdirectories[holder] += 1;
            }
        }
        self.by_inode.sort_unstable();
    }

    fn check_root(&mut self) {
        match self
            .position(ROOT_INODE)
            .map(|position| self.inodes[position].kind)
        {
            None => self.issues.push(Issue::RootMissing),
            Some(InodeKind::File) => self.issues.push(Issue::RootNotADirectory),
            Some(InodeKind::Directory) => {}
        }
    }

    /// The entries that name `inode`.
    fn named_by(&self, inode: u64) -> &[Reference] {
        let start = self
            .by_inode
            .partition_point(|reference| reference.inode < inode);
        let len = self.by_inode[start..].partition_point(|reference| reference.inode == inode);
        &self.by_inode[start..start + len]
    }

    /// The inode is named as often as it says, and a directory knows who names it.
    fn check_inode(&mut self, position: usize) {
        let InodeRecord {
            number: inode,
            kind,
            links,
            parent,
        } = self.inodes[position];
        let holders = self
            .named_by(inode)
            .iter()
            .map(|reference| reference.directory);
        let holders = holders.collect::<Vec<_>>();
        if inode == ROOT_INODE {
            let named = holders.iter().map(|directory| Issue::RootNamed {
                directory: *directory,
            });
            self.issues.extend(named);
        } else if holders.is_empty() {
            self.issues.push(Issue::Orphan { inode, kind });
            return;
        }
        let expected = match kind {
            InodeKind::File => holders.len() as u64,
            InodeKind::Directory => {
                self.check_parent(inode, parent, &holders);
                2 + self.subdirectories[position]
            }
        };
        if u64::from(links) != expected {
            self.issues.push(Issue::LinkCount {
                inode,
                expected,
                found: links.into(),
            });
        }
    }

    /// A directory has one name, in its parent; the root is its own parent.
    fn check_parent(&mut self, inode: u64, parent: u64, holders: &[u64]) {
        let expected = match holders {
            _ if inode == ROOT_INODE => ROOT_INODE,
            // Of several, the one that the directory itself takes for its parent is right.
            _ if holders.contains(&parent) => parent,
            [first, ..] => *first,
            [] => return,
        };
        if inode != ROOT_INODE && holders.len() > 1 {
            let entries = holders.len() as u64;
            self.issues
                .push(Issue::DirectoryNamedTwice { inode, entries });
        }
        if parent != expected {
            self.issues.push(Issue::Parent {
                inode,
                expected,
                found: parent,
            });
        }
    }

    /// Every directory with a name is below the root. Files need no check: the directory that
    /// names them has been reported.
    fn check_reachability(&mut self) {
        let Some(root) = self.position(ROOT_INODE) else {
            return;
        };
        let mut by_directory = self
            .by_inode
            .iter()
            .filter_map(|reference| {
                let (from, to) = (
                    self.position(reference.directory)?,
                    self.position(reference.inode)?,
                );
                (self.inodes[to].kind == InodeKind::Directory).then_some((from, to))
            })
            .collect::<Vec<_>>();
        by_directory.sort_unstable();
        let mut reached = vec![false; self.inodes.len()];
        reached[root] = true;
        let mut queue = VecDeque::from([root]);
        while let Some(position) = queue.pop_front() {
            let start = by_directory.partition_point(|(from, _)| *from < position);
            let below = by_directory[start..]
                .iter()
                .take_while(|(from, _)| *from == position);
            for (_, to) in below {
                if !std::mem::replace(&mut reached[*to], true) {
                    queue.push_back(*to);
                }
            }
        }
        for (record, reached) in self.inodes.iter().zip(reached) {
            let inode = record.number;
            let is_directory = record.kind == InodeKind::Directory;
            // Without any name it is an orphan, which was reported.
            if is_directory && !reached && !self.named_by(inode).is_empty() {
                self.issues.push(Issue::Unreachable { inode });
            }
        }
    }
}
