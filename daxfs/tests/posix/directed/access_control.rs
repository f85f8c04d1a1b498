//! Access control lists, and the permission bits that go with them.

use daxfs::SetMode;
use rustix::io::Errno;

use super::{create, create_directory, fail, follow, link, stop, succeed};
use crate::acl::{
    self, ACCESS, DEFAULT, GROUP, MASK, NOBODY, OTHERS, OWNER, OWNING_GROUP, USER, list, naming,
    plain,
};
use crate::operation::{Last, Operation, Special, Value};
use crate::pair::Pair;

/// Both, where both keep lists.
fn pair() -> Option<Pair> {
    acl::are_kept().then(Pair::new).flatten()
}

fn set(path: &str, name: &str, value: Vec<u8>) -> Operation {
    Operation::SetExtended {
        path: path.into(),
        name: name.into(),
        value,
        mode: SetMode::CreateOrReplace,
    }
}

fn get(path: &str, name: &str) -> Operation {
    Operation::GetExtended {
        path: path.into(),
        name: name.into(),
    }
}

fn remove(path: &str, name: &str) -> Operation {
    Operation::RemoveExtended {
        path: path.into(),
        name: name.into(),
    }
}

fn set_mode(path: &str, mode: u16) -> Operation {
    Operation::SetMode {
        path: path.into(),
        last: Last::Follow,
        mode,
    }
}

/// The permission bits, which are the same on both.
fn mode(pair: &mut Pair, path: &str) -> u16 {
    match pair.apply(&follow(path)) {
        Ok(Value::Status(status)) => status.mode,
        other => panic!("{path}: {other:?}"),
    }
}

fn value(pair: &mut Pair, path: &str, name: &str) -> Vec<u8> {
    match pair.apply(&get(path, name)) {
        Ok(Value::Bytes(bytes)) => bytes,
        other => panic!("{path} {name}: {other:?}"),
    }
}

#[test]
fn the_mode_follows_the_list_and_the_list_the_mode() {
    let Some(mut pair) = pair() else { return };
    succeed(&mut pair, &[create(0, "/a"), set_mode("/a", 0o4644)]);
    succeed(&mut pair, &[set("/a", ACCESS, naming(6, 3))]);
    // The group's bits are the mask, not what the group itself may do.
    assert_eq!(mode(&mut pair, "/a"), 0o4731);
    stop(&mut pair);
    succeed(&mut pair, &[set_mode("/a", 0o460)]);
    let followed = list(&[
        (OWNER, 4, NOBODY),
        (USER, 6, 5),
        (OWNING_GROUP, 5, NOBODY),
        (MASK, 6, NOBODY),
        (OTHERS, 0, NOBODY),
    ]);
    assert_eq!(value(&mut pair, "/a", ACCESS), followed);
    stop(&mut pair);
    // Without the list the mode stays as the mask had it.
    succeed(&mut pair, &[remove("/a", ACCESS)]);
    assert_eq!(mode(&mut pair, "/a"), 0o460);
    fail(&mut pair, &get("/a", ACCESS), Errno::NODATA);
    succeed(&mut pair, &[remove("/a", ACCESS), remove("/a", DEFAULT)]);
    pair.finish();
}

#[test]
fn a_list_that_says_no_more_than_the_mode_is_not_kept() {
    let Some(mut pair) = pair() else { return };
    succeed(
        &mut pair,
        &[create(0, "/a"), set("/a", ACCESS, plain(6, 1, 2))],
    );
    assert_eq!(mode(&mut pair, "/a"), 0o612);
    fail(&mut pair, &get("/a", ACCESS), Errno::NODATA);
    // It takes the place of one that said more; none does, too.
    succeed(&mut pair, &[set("/a", ACCESS, naming(6, 3))]);
    succeed(&mut pair, &[set("/a", ACCESS, plain(7, 7, 7))]);
    fail(&mut pair, &get("/a", ACCESS), Errno::NODATA);
    for none in [vec![], vec![2, 0, 0, 0]] {
        succeed(
            &mut pair,
            &[set("/a", ACCESS, naming(6, 3)), set("/a", ACCESS, none)],
        );
        fail(&mut pair, &get("/a", ACCESS), Errno::NODATA);
        assert_eq!(mode(&mut pair, "/a"), 0o731);
    }
    stop(&mut pair);
    // A mask says more, though it names nobody.
    let masked = [
        (OWNER, 7, 0),
        (OWNING_GROUP, 7, 1),
        (MASK, 5, 2),
        (OTHERS, 0, 3),
    ];
    succeed(&mut pair, &[set("/a", ACCESS, list(&masked))]);
    // Ids of those without names are not kept.
    let kept = masked.map(|(tag, permissions, _)| (tag, permissions, NOBODY));
    assert_eq!(value(&mut pair, "/a", ACCESS), list(&kept));
    pair.finish();
}

#[test]
fn what_is_made_in_a_directory_begins_with_its_default() {
    let Some(mut pair) = pair() else { return };
    succeed(
        &mut pair,
        &[
            create_directory("/d"),
            set("/d", DEFAULT, naming(6, 7)),
            create(0, "/d/file"),
            create_directory("/d/d"),
            link("file", "/d/link"),
            Operation::CreateSpecial {
                path: "/d/fifo".into(),
                special: Special::Fifo,
                mode: 0o666,
            },
            Operation::CreateAnonymous {
                slot: 1,
                directory: "/d".into(),
                mode: 0o640,
            },
            super::link_file(1, "/d/named"),
            create(2, "/d/d/deep"),
        ],
    );
    // The default has 7 for the owner, the mask and 1 for others; the file was made with 0644.
    assert_eq!(mode(&mut pair, "/d/file"), 0o640);
    assert_eq!(mode(&mut pair, "/d/d"), 0o751);
    assert_eq!(value(&mut pair, "/d/d", DEFAULT), naming(6, 7));
    fail(&mut pair, &get("/d/file", DEFAULT), Errno::NODATA);
    stop(&mut pair);
    // A default that says no more than a mode makes one.
    succeed(
        &mut pair,
        &[
            set("/d/d", DEFAULT, plain(6, 2, 0)),
            create(0, "/d/d/plain"),
            create_directory("/d/d/d"),
        ],
    );
    assert_eq!(mode(&mut pair, "/d/d/plain"), 0o600);
    fail(&mut pair, &get("/d/d/plain", ACCESS), Errno::NODATA);
    assert_eq!(value(&mut pair, "/d/d/d", DEFAULT), plain(6, 2, 0));
    succeed(
        &mut pair,
        &[remove("/d/d", DEFAULT), create(0, "/d/d/free")],
    );
    assert_eq!(mode(&mut pair, "/d/d/free"), 0o644);
    pair.finish();
}

#[test]
fn lists_that_are_none_are_refused() {
    let Some(mut pair) = pair() else { return };
    succeed(
        &mut pair,
        &[create(0, "/a"), create_directory("/d"), link("a", "/l")],
    );
    let three = |rest: &[acl::Entry]| {
        let mut entries = vec![(OWNER, 7, NOBODY), (OWNING_GROUP, 7, NOBODY)];
        entries.extend_from_slice(rest);
        list(&entries)
    };
    let mut too_long = plain(7, 7, 7);
    too_long.push(0);
    let invalid = [
        vec![2],
        vec![2, 0, 0, 0, 1],
        too_long,
        three(&[]),
        three(&[(OTHERS, 8, NOBODY)]),
        three(&[(64, 7, NOBODY), (OTHERS, 7, NOBODY)]),
        three(&[(OTHERS, 7, NOBODY), (OTHERS, 7, NOBODY)]),
        three(&[(OTHERS, 7, NOBODY), (MASK, 7, NOBODY)]),
        three(&[(MASK, 7, NOBODY), (MASK, 7, NOBODY), (OTHERS, 7, NOBODY)]),
        // Who is named needs a mask, and an id.
        three(&[(GROUP, 7, 5), (OTHERS, 7, NOBODY)]),
        three(&[(GROUP, 7, NOBODY), (MASK, 7, NOBODY), (OTHERS, 7, NOBODY)]),
        three(&[(USER, 7, 5), (MASK, 7, NOBODY), (OTHERS, 7, NOBODY)]),
    ];
    for value in invalid {
        fail(&mut pair, &set("/a", ACCESS, value.clone()), Errno::INVAL);
        fail(&mut pair, &set("/d", DEFAULT, value), Errno::INVAL);
    }
    fail(
        &mut pair,
        &set("/a", ACCESS, vec![1, 0, 0, 0]),
        Errno::OPNOTSUPP,
    );
    fail(
        &mut pair,
        &set("/a", ACCESS, vec![3, 0, 0, 0, 0]),
        Errno::OPNOTSUPP,
    );
    // Files have no default; nobody says what is made in them.
    fail(
        &mut pair,
        &set("/a", DEFAULT, plain(7, 7, 7)),
        Errno::ACCESS,
    );
    // Whose it is comes before what it says, and after its form.
    let without_mask = three(&[(GROUP, 7, 5), (OTHERS, 7, NOBODY)]);
    fail(&mut pair, &set("/a", DEFAULT, without_mask), Errno::ACCESS);
    let of_nobody = three(&[(USER, 7, NOBODY)]);
    fail(&mut pair, &set("/a", DEFAULT, of_nobody), Errno::INVAL);
    fail(&mut pair, &set("/a", DEFAULT, vec![1]), Errno::INVAL);
    succeed(
        &mut pair,
        &[set("/a", DEFAULT, vec![]), set("/l", ACCESS, naming(1, 1))],
    );
    fail(
        &mut pair,
        &set("/d", "system.posix_acl_", vec![]),
        Errno::OPNOTSUPP,
    );
    fail(
        &mut pair,
        &get("/d", "system.posix_acl_other"),
        Errno::OPNOTSUPP,
    );
    // Whether there was one before is not asked.
    for mode in [SetMode::Create, SetMode::Replace] {
        for value in [naming(7, 7), vec![], naming(6, 6)] {
            let path = "/d".into();
            let name = DEFAULT.into();
            succeed(
                &mut pair,
                &[Operation::SetExtended {
                    path,
                    name,
                    value,
                    mode,
                }],
            );
        }
    }
    pair.finish();
}
