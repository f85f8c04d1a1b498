//! Directories that move, with what is in them.

use daxfs::RenameMode;
use rustix::io::Errno;

use super::{create, create_directory, fail, follow, rename, stop, succeed};
use crate::operation::{Status, Value};
use crate::pair::Pair;

/// Which inode `path` leads to on daxfs.
fn inode(pair: &Pair, path: &str) -> u64 {
    pair.subject().fs().metadata(path).unwrap().inode
}

fn links(pair: &mut Pair, path: &str) -> u32 {
    match pair.apply(&follow(path)) {
        Ok(Value::Status(Status { links, .. })) => links,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn a_directory_that_moves_takes_its_way_back_and_its_link_along() {
    let Some(mut pair) = Pair::new() else { return };
    let directories = ["/from", "/to", "/from/moved", "/from/moved/child"];
    succeed(&mut pair, &directories.map(create_directory));
    assert_eq!((links(&mut pair, "/from"), links(&mut pair, "/to")), (3, 2));
    succeed(
        &mut pair,
        &[rename("/from/moved", "/to/it", RenameMode::Replace)],
    );
    for _ in 0..2 {
        assert_eq!((links(&mut pair, "/from"), links(&mut pair, "/to")), (2, 3));
        assert_eq!(inode(&pair, "/to/it/.."), inode(&pair, "/to"));
        assert_eq!(inode(&pair, "/to/it/child/../.."), inode(&pair, "/to"));
        stop(&mut pair);
    }
    // Whoever asks for `..` of what came does not get where it was.
    let through = rename("/to/it/child/../../it", "/to/again", RenameMode::Replace);
    succeed(&mut pair, &[through]);
    pair.finish();
}

#[test]
fn an_exchange_of_directories_exchanges_their_ways_back() {
    let Some(mut pair) = Pair::new() else { return };
    succeed(
        &mut pair,
        &["/a", "/b", "/a/one", "/b/two", "/b/two/child"].map(create_directory),
    );
    succeed(&mut pair, &[create(0, "/a/file")]);
    let exchanges = [("/a/one", "/b/two"), ("/a/file", "/b/two")];
    for (one, other) in exchanges {
        succeed(&mut pair, &[rename(one, other, RenameMode::Exchange)]);
        stop(&mut pair);
    }
    // A file and a directory: only one of the parents gained a link.
    assert_eq!((links(&mut pair, "/a"), links(&mut pair, "/b")), (4, 2));
    assert_eq!(inode(&pair, "/a/one/.."), inode(&pair, "/a"));
    assert_eq!(inode(&pair, "/a/file/.."), inode(&pair, "/a"));
    pair.finish();
}

#[test]
fn nothing_moves_into_itself_or_over_what_holds_it() {
    let Some(mut pair) = Pair::new() else { return };
    let directories = ["/a", "/a/b", "/a/b/c", "/a/b/c/d", "/other"];
    succeed(&mut pair, &directories.map(create_directory));
    succeed(&mut pair, &[create(0, "/a/b/c/file")]);
    let (replace, exchange) = (RenameMode::Replace, RenameMode::Exchange);
    for (from, to, mode, error) in [
        ("/a", "/a/b/c/new", replace, Errno::INVAL),
        ("/a", "/a/b", replace, Errno::INVAL),
        ("/a/b", "/a/b/c/d", exchange, Errno::INVAL),
        ("/a/b/c", "/a", replace, Errno::NOTEMPTY),
        // Not `EISDIR`: what holds it is looked at first.
        ("/a/b/c/file", "/a", replace, Errno::NOTEMPTY),
        ("/a/b/c/file", "/a/b", exchange, Errno::INVAL),
        ("/other", "/a/b", replace, Errno::NOTEMPTY),
        ("/a/b/c/file", "/other", replace, Errno::ISDIR),
        ("/other", "/a/b/c/file", replace, Errno::NOTDIR),
        ("/other", "/", replace, Errno::BUSY),
        ("/other/..", "/new", replace, Errno::BUSY),
        ("/other", "/a/..", RenameMode::NoReplace, Errno::EXIST),
    ] {
        fail(&mut pair, &rename(from, to, mode), error);
    }
    pair.finish();
}

#[test]
fn many_names_come_and_go_and_are_found_again() {
    const NAMES: usize = 1500;
    let Some(mut pair) = Pair::new() else { return };
    succeed(&mut pair, &["/a", "/b"].map(create_directory));
    let name = |directory: &str, number: usize| format!("/{directory}/file number {number}");
    for number in 0..NAMES {
        succeed(&mut pair, &[create(0, &name("a", number))]);
    }
    stop(&mut pair);
    for number in (0..NAMES).step_by(3) {
        succeed(&mut pair, &[super::remove_file(&name("a", number))]);
    }
    for number in (1..NAMES).step_by(3) {
        let to = name("b", number);
        succeed(
            &mut pair,
            &[rename(&name("a", number), &to, RenameMode::NoReplace)],
        );
    }
    fail(&mut pair, &follow(&name("a", 0)), Errno::NOENT);
    stop(&mut pair);
    pair.finish();
}
