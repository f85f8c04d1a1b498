//! The sets are whole, and every operation finds what it needs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::*;

#[test]
fn the_sets_have_as_many_workloads_as_ace_has() {
    let ace = ace();
    assert_eq!(ace.iter().collect::<HashSet<_>>().len(), 56);
    assert_eq!(one_operation(&ace).iter().collect::<HashSet<_>>().len(), 56);
    assert_eq!(two_operations(&ace).len(), 3136);
    let more = more();
    assert_eq!(more.iter().collect::<HashSet<_>>().len(), more.len());
    assert_eq!(more.iter().filter(|core| ace.contains(core)).count(), 0);
}

#[test]
fn ace_has_each_operation_as_often_as_its_authors_say() {
    let mut kinds = BTreeMap::new();
    for workload in one_operation(&ace()) {
        let text = workload.steps[workload.last_core()].operation.to_string();
        let kind = text.split(' ').next().unwrap_or_default().to_owned();
        *kinds.entry(kind).or_insert(0) += 1;
    }
    let expected = [
        ("creat", 2),
        ("fallocate", 6),
        ("link", 12),
        ("mkdir", 1),
        ("remove", 5),
        ("rename", 16),
        ("rmdir", 1),
        ("truncate", 4),
        ("unlink", 5),
        ("write", 4),
    ];
    assert!(
        kinds
            .iter()
            .map(|(kind, count)| (kind.as_str(), *count))
            .eq(expected)
    );
}

#[test]
fn what_an_operation_needs_comes_before_it() {
    let text = |cores: &[Core]| Workload::of(cores).to_string();
    let truncate = Core::Plain(Operation::Truncate("/A/foo", 256));
    assert_eq!(
        text(&[truncate]),
        "(mkdir /A), (creat /A/foo), (write /A/foo 0..4096), truncate /A/foo 256"
    );
    let append = Core::Write("/A/foo", Place::End, Means::Write);
    assert_eq!(
        text(&[truncate, append]),
        "(mkdir /A), (creat /A/foo), (write /A/foo 0..4096), truncate /A/foo 256, \
         write /A/foo 256..4352"
    );
    let make = Core::Plain(Operation::MakeDirectory("/A"));
    assert_eq!(
        text(&[append, make]),
        "(mkdir /A), (creat /A/foo), write /A/foo 0..4096, (unlink /A/foo), (rmdir /A), mkdir /A"
    );
    let link = Core::Plain(Operation::Link("/foo", "/A/C/bar"));
    let unlink = Core::Plain(Operation::Unlink("/A/C/bar"));
    assert_eq!(
        text(&[link, unlink]),
        "(creat /foo), (mkdir /A), (mkdir /A/C), link /foo /A/C/bar, unlink /A/C/bar"
    );
}

/// Runs each workload on nothing but names: whatever it does, it finds what it needs.
#[test]
fn no_operation_fails_for_want_of_what_should_be_there() {
    let cores = [ace(), more()].concat();
    let mut workloads = two_operations(&cores);
    workloads.extend((0..300).map(|seed| random(&cores, 12, seed)));
    for workload in workloads {
        let mut names: BTreeSet<String> = BTreeSet::from([String::new()]);
        for step in &workload.steps {
            check(step.operation, &mut names).unwrap_or_else(|what| {
                panic!("{}: {what}, in {workload}", step.operation);
            });
        }
    }
}

fn check(operation: Operation, names: &mut BTreeSet<String>) -> Result<(), &'static str> {
    let there = |names: &BTreeSet<String>, path: Path| match names.contains(path) {
        true => Ok(()),
        false => Err("missing"),
    };
    let make = |names: &mut BTreeSet<String>, path: Path| {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if !names.contains(parent) {
            return Err("no parent");
        }
        match names.insert(path.to_owned()) {
            true => Ok(()),
            false => Err("already there"),
        }
    };
    match operation {
        Operation::Create(path) | Operation::Publish(path) | Operation::MakeDirectory(path) => {
            make(names, path)
        }
        Operation::Link(from, to) => there(names, from).and_then(|()| make(names, to)),
        Operation::Clone(from, to) => there(names, from).and_then(|()| there(names, to)),
        Operation::SymbolicLink(_, to) => make(names, to),
        Operation::Unlink(path) | Operation::Remove(path) | Operation::RemoveDirectory(path) => {
            there(names, path)?;
            names.remove(path);
            let below = format!("{path}/");
            match names.iter().any(|name| name.starts_with(&below)) {
                true => Err("not empty"),
                false => Ok(()),
            }
        }
        Operation::Rename(from, to) => {
            there(names, from)?;
            rename(from, to, names);
            Ok(())
        }
        Operation::RenameNoReplace(from, to) => {
            there(names, from)?;
            if names.contains(to) {
                return Err("already there");
            }
            rename(from, to, names);
            Ok(())
        }
        Operation::Exchange(from, to) => {
            there(names, from).and_then(|()| there(names, to))?;
            const ASIDE: Path = "/aside";
            for (from, to) in [(from, ASIDE), (to, from), (ASIDE, to)] {
                rename(from, to, names);
            }
            Ok(())
        }
        Operation::SyncAll | Operation::Checkpoint => Ok(()),
        Operation::Allocate(path, ..)
        | Operation::Punch(path, _)
        | Operation::Write(path, ..)
        | Operation::Truncate(path, _)
        | Operation::SetAttribute(path)
        | Operation::SetLargeAttribute(path)
        | Operation::RemoveAttribute(path)
        | Operation::SetOwner(path)
        | Operation::Append(path, _)
        | Operation::Zero(path, ..)
        | Operation::Collapse(path, _)
        | Operation::Insert(path, _)
        | Operation::Sync(path)
        | Operation::SyncData(path) => there(names, path),
    }
}

/// With all below it, unless it cannot be.
fn rename(from: Path, to: Path, names: &mut BTreeSet<String>) {
    let below = |path: Path| format!("{path}/");
    let is_full = names.iter().any(|name| name.starts_with(&below(to)));
    if to.starts_with(&below(from)) || is_full {
        return;
    }
    let (inside, exact) = (below(from), from.to_owned());
    let (moved, stay): (BTreeSet<String>, BTreeSet<String>) = names
        .iter()
        .cloned()
        .partition(|name| *name == exact || name.starts_with(&inside));
    *names = stay;
    names.extend(
        moved
            .iter()
            .map(|name| format!("{to}{}", &name[from.len()..])),
    );
}

#[test]
fn random_workloads_differ_by_seed_and_by_nothing_else() {
    let cores = [ace(), more()].concat();
    assert_eq!(random(&cores, 20, 7), random(&cores, 20, 7));
    assert_ne!(random(&cores, 20, 7), random(&cores, 20, 8));
    let last = random(&cores, 20, 7).synced();
    assert_eq!(last.last_core(), last.steps.len() - 1);
}
