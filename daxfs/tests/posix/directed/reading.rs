//! Reading a directory while it changes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use daxfs::Filesystem;

use crate::subject::Subject;

const STAYING: usize = 300;
const COMING_AND_GOING: usize = 200;
/// How often these come and go.
const ROUNDS: usize = 30;

/// How often each name is told by a reader that takes a few at a time.
fn read_by_pieces(fs: &Filesystem, limit: usize) -> HashMap<String, usize> {
    let mut told = HashMap::new();
    let mut position = 0;
    loop {
        let entries = fs.read_directory_from("/", position, limit).unwrap();
        let Some(last) = entries.last() else {
            return told;
        };
        position = last.position + 1;
        for entry in entries {
            *told.entry(entry.name.into_string().unwrap()).or_default() += 1;
        }
    }
}

#[test]
fn names_that_stay_are_told_exactly_once_whatever_comes_and_goes() {
    let subject = Subject::new();
    let fs = subject.fs();
    for number in 0..STAYING {
        drop(fs.create(format!("/stays {number}")).unwrap());
    }
    let rounds = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while rounds.load(Ordering::Relaxed) < ROUNDS {
                for number in 0..COMING_AND_GOING {
                    drop(fs.create(format!("/{number}")).unwrap());
                }
                for number in 0..COMING_AND_GOING {
                    let (name, other) = (format!("/{number}"), format!("/{number} moved"));
                    fs.rename(&name, &other).unwrap();
                    fs.remove_file(&other).unwrap();
                }
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        for limit in [1, 2, 7, 64].into_iter().cycle() {
            let told = read_by_pieces(fs, limit);
            for number in 0..STAYING {
                let name = format!("stays {number}");
                assert_eq!(told.get(&name), Some(&1), "{name}, {limit} at a time");
            }
            if rounds.load(Ordering::Relaxed) == ROUNDS {
                break;
            }
        }
    });
}

#[test]
fn a_position_stays_valid_when_its_name_is_gone() {
    let subject = Subject::new();
    let fs = subject.fs();
    for number in 0..50 {
        drop(fs.create(format!("/{number}")).unwrap());
    }
    let all = fs.read_directory_from("/", 0, 100).unwrap();
    let (before, after) = all.split_at(20);
    for entry in before {
        fs.remove_file(std::path::Path::new("/").join(&entry.name))
            .unwrap();
    }
    let rest = fs.read_directory_from("/", before[19].position + 1, 100);
    assert_eq!(rest.unwrap(), after);
}
