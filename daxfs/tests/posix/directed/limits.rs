//! The longest, the most, and one more.

use daxfs::{RenameMode, SetMode};
use rustix::io::Errno;

use super::{create, create_directory, fail, follow, link, rename, stop, succeed};
use crate::operation::{Operation, Stop, System, Value};
use crate::pair::Pair;
use crate::subject::Subject;

#[test]
fn forty_symbolic_links_lead_somewhere_and_forty_one_do_not() {
    let Some(mut pair) = Pair::new() else { return };
    succeed(&mut pair, &[create_directory("/0"), create(0, "/0/file")]);
    for number in 1..=41 {
        let target = (number - 1).to_string();
        succeed(&mut pair, &[link(&target, &format!("/{number}"))]);
    }
    succeed(&mut pair, &[follow("/40"), follow("/40/file")]);
    fail(&mut pair, &follow("/41"), Errno::LOOP);
    fail(&mut pair, &follow("/41/file"), Errno::LOOP);
    // All links of a path count together.
    succeed(&mut pair, &[follow("/20/../20/file")]);
    fail(&mut pair, &follow("/20/../21/file"), Errno::LOOP);
    pair.finish();
}

#[test]
fn names_of_255_bytes_are_names_and_one_more_byte_is_too_much() {
    let Some(mut pair) = Pair::new() else { return };
    let longest = format!("/{}", "n".repeat(255));
    let too_long = format!("{longest}n");
    succeed(&mut pair, &[create(0, &longest), create(1, "/a")]);
    stop(&mut pair);
    let hard_link = Operation::HardLink {
        existing: "/a".into(),
        new: too_long.as_str().into(),
    };
    for operation in [
        create(0, &too_long),
        create_directory(&too_long),
        link("a", &too_long),
        hard_link,
        rename("/a", &too_long, RenameMode::Replace),
        rename(&too_long, "/a", RenameMode::Replace),
        follow(&too_long),
        super::remove_file(&too_long),
    ] {
        fail(&mut pair, &operation, Errno::NAMETOOLONG);
    }
    // What is not there, or no directory, is noticed before what would be in it.
    fail(&mut pair, &follow(&format!("/b{too_long}")), Errno::NOENT);
    fail(&mut pair, &follow(&format!("/a{too_long}")), Errno::NOTDIR);
    pair.finish();
}

#[test]
fn paths_of_4095_bytes_are_walked_and_one_more_byte_is_too_much() {
    let Some(mut pair) = Pair::new() else { return };
    let name = "d".repeat(199);
    let mut path = String::new();
    for _ in 0..20 {
        path = format!("{path}/{name}");
        succeed(&mut pair, &[create_directory(&path)]);
    }
    let longest = format!("{path}/{}", "f".repeat(4095 - path.len() - 1));
    assert_eq!(longest.len(), 4095);
    succeed(&mut pair, &[create(0, &longest), follow(&longest)]);
    fail(
        &mut pair,
        &follow(&format!("{longest}f")),
        Errno::NAMETOOLONG,
    );
    pair.finish();
}

#[test]
fn targets_of_4095_bytes_are_kept_and_others_refused() {
    let Some(mut pair) = Pair::new() else { return };
    let longest = "t/".repeat(2047) + "t";
    assert_eq!(longest.len(), 4095);
    succeed(&mut pair, &[link(&longest, "/link")]);
    fail(
        &mut pair,
        &link(&format!("{longest}t"), "/other"),
        Errno::NAMETOOLONG,
    );
    fail(&mut pair, &link("", "/other"), Errno::NOENT);
    fail(&mut pair, &follow("/link"), Errno::NOENT);
    stop(&mut pair);
    pair.finish();
}

/// ext4 has less room: daxfs alone.
#[test]
fn extended_attributes_take_up_to_64_kib_together() {
    let mut subject = Subject::new();
    assert!(subject.apply(&create(0, "/a")).is_ok());
    let set = |name: &str, len: usize| Operation::SetExtended {
        path: "/a".into(),
        name: name.into(),
        value: crate::operation::pattern(len, 7),
        mode: SetMode::CreateOrReplace,
    };
    assert_eq!(subject.apply(&set("user.a", 40_000)), Ok(Value::Done));
    assert_eq!(subject.apply(&set("user.b", 20_000)), Ok(Value::Done));
    assert_eq!(subject.apply(&set("user.c", 6_000)), Err(Errno::NOSPC));
    assert_eq!(subject.apply(&set("user.c", 65_536)), Err(Errno::NOSPC));
    assert_eq!(subject.apply(&set("user.c", 65_537)), Err(Errno::TOOBIG));
    for stop in [Stop::Crash, Stop::Unmount] {
        assert_eq!(subject.apply(&Operation::Stop(stop)), Ok(Value::Done));
        let fs = subject.fs();
        for (name, len) in [("user.a", 40_000), ("user.b", 20_000)] {
            let value = fs.extended_attribute("/a", name).unwrap();
            assert_eq!(value, crate::operation::pattern(len, 7));
        }
        assert_eq!(fs.extended_attributes("/a").unwrap().len(), 2);
    }
}

/// Found by the sequences: it counted as an access.
#[test]
fn a_read_past_what_files_can_have_is_no_access() {
    let Some(mut pair) = Pair::new() else { return };
    let long_ago = crate::operation::Time {
        seconds: 0,
        nanoseconds: 0,
    };
    succeed(
        &mut pair,
        &[
            create(0, "/a"),
            Operation::SetTimes {
                path: "/a".into(),
                last: crate::operation::Last::Follow,
                accessed: Some(long_ago),
                modified: None,
            },
            Operation::Read {
                slot: 0,
                at: 1 << 45,
                len: 1,
            },
            Operation::FileStatus { slot: 0 },
            Operation::Read {
                slot: 0,
                at: 1 << 40,
                len: 1,
            },
            Operation::FileStatus { slot: 0 },
        ],
    );
    pair.finish();
}
