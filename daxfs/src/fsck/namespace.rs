//! Links, parents and paths. Needs every inode and every entry, so it follows the scan.
//!
//! Works on two sorted lists, inodes by number and references by the inode they name, in memory:
//! nothing is read from the device. Takes no locks.

use std::collections::VecDeque;

use super::issue::Issue;
use super::owner::InodeKind;
use super::progress::{Progress, Stage};
use super::scan::{InodeRecord, Reference, Scan};
use crate::format::FileType;
use crate::format::geometry::ROOT_INODE;

/// Checks the namespace that `scan` found.
pub(super) fn check(scan: &Scan, progress: &dyn Progress) -> Vec<Issue> {
    progress.begin(Stage::Namespace, scan.inodes.len() as u64);
    let mut namespace = Namespace {
        inodes: &scan.inodes,
        orphans: &scan.orphans,
        by_inode: Vec::new(),
        subdirectories: vec![0; scan.inodes.len()],
        issues: Vec::new(),
    };
    namespace.check_entries(&scan.references);
    namespace.check_root();
    namespace.check_orphans();
    for at in 0..scan.inodes.len() {
        namespace.check_inode(at);
        progress.advance(1);
    }
    namespace.check_reachability();
    namespace.issues
}

struct Namespace<'a> {
    inodes: &'a [InodeRecord],
    orphans: &'a [u64],
    /// Entries that name an inode there is, sorted by that inode, then directory and position.
    by_inode: Vec<Reference>,
    /// Subdirectories of each inode, in the order of `inodes`.
    subdirectories: Vec<u64>,
    issues: Vec<Issue>,
}

impl Namespace<'_> {
    fn find(&self, inode: u64) -> Option<usize> {
        self.inodes
            .binary_search_by_key(&inode, |record| record.number)
            .ok()
    }

    fn is_orphan(&self, inode: u64) -> bool {
        self.orphans.binary_search(&inode).is_ok()
    }

    /// Each entry names an inode there is, and says its kind. What names the root is no name.
    fn check_entries(&mut self, all: &[Reference]) {
        for reference in all {
            let &Reference {
                inode,
                directory,
                position,
                kind,
            } = reference;
            let Some(at) = self.find(inode) else {
                self.issues.push(Issue::DanglingEntry {
                    directory,
                    position,
                    inode,
                });
                continue;
            };
            if inode == ROOT_INODE {
                self.issues.push(Issue::RootNamed {
                    directory,
                    position,
                });
                continue;
            }
            let expected = self.inodes[at].kind;
            if expected != kind {
                self.issues.push(Issue::EntryKind {
                    directory,
                    position,
                    inode,
                    expected: InodeKind::of(expected),
                    found: InodeKind::of(kind),
                });
            }
            self.by_inode.push(*reference);
            if expected == FileType::Directory
                && let Some(holder) = self.find(directory)
            {
                self.subdirectories[holder] += 1;
            }
        }
        self.by_inode
            .sort_unstable_by_key(|r| (r.inode, r.directory, r.position));
    }

    fn check_root(&mut self) {
        match self.find(ROOT_INODE).map(|at| self.inodes[at].kind) {
            None => self.issues.push(Issue::RootMissing),
            Some(FileType::Directory) => {}
            Some(kind) => self.issues.push(Issue::RootNotADirectory {
                kind: InodeKind::of(kind),
            }),
        }
    }

    /// Whatever is to be removed exists and has no name.
    fn check_orphans(&mut self) {
        for inode in self.orphans.iter().copied() {
            let names = self.named_by(inode).len() as u64;
            if self.find(inode).is_none() {
                self.issues.push(Issue::OrphanMissing { inode });
            } else if names > 0 {
                self.issues.push(Issue::OrphanNamed { inode, names });
            }
        }
    }

    /// The entries that name `inode`.
    fn named_by(&self, inode: u64) -> &[Reference] {
        let start = self.by_inode.partition_point(|r| r.inode < inode);
        let len = self.by_inode[start..].partition_point(|r| r.inode == inode);
        &self.by_inode[start..start + len]
    }

    /// The inode is named as often as it says, and a directory knows who names it.
    fn check_inode(&mut self, at: usize) {
        let InodeRecord {
            number: inode,
            kind,
            links,
            parent,
        } = self.inodes[at];
        let holders = self.named_by(inode).iter().map(|r| r.directory);
        let holders = holders.collect::<Vec<_>>();
        let is_nameless = holders.is_empty() && inode != ROOT_INODE;
        if is_nameless && !self.is_orphan(inode) {
            self.issues.push(Issue::Unnamed {
                inode,
                kind: InodeKind::of(kind),
            });
            return;
        }
        let expected = match kind {
            FileType::Directory if !is_nameless => {
                self.check_parent(inode, parent, &holders);
                2 + self.subdirectories[at]
            }
            _ => holders.len() as u64,
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
        if holders.len() > 1 {
            self.issues.push(Issue::DirectoryNamedTwice {
                inode,
                entries: holders.len() as u64,
            });
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
        let Some(root) = self.find(ROOT_INODE) else {
            return;
        };
        let edge = |reference: &Reference| {
            let from = self.find(reference.directory)?;
            let to = self.find(reference.inode)?;
            (self.inodes[to].kind == FileType::Directory).then_some((from, to))
        };
        let mut edges = self.by_inode.iter().filter_map(edge).collect::<Vec<_>>();
        edges.sort_unstable();
        let mut reached = vec![false; self.inodes.len()];
        reached[root] = true;
        let mut queue = VecDeque::from([root]);
        while let Some(at) = queue.pop_front() {
            let start = edges.partition_point(|(from, _)| *from < at);
            let below = edges[start..].iter().take_while(|(from, _)| *from == at);
            for (_, to) in below {
                if !std::mem::replace(&mut reached[*to], true) {
                    queue.push_back(*to);
                }
            }
        }
        for (record, reached) in self.inodes.iter().zip(reached) {
            let inode = record.number;
            let is_directory = record.kind == FileType::Directory;
            // Without any name it was reported, or is to be removed.
            if is_directory && !reached && !self.named_by(inode).is_empty() {
                self.issues.push(Issue::Unreachable { inode });
            }
        }
    }
}
