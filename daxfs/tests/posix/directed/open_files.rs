//! Files that lose their names while they are open, or never had one.

use daxfs::RenameMode;
use rustix::io::Errno;

use super::{create, fail, link_file, remove_file, rename, stop, succeed, write};
use crate::operation::{Operation, Stop, System};
use crate::pair::Pair;
use crate::subject::Subject;

fn anonymous(slot: usize) -> Operation {
    Operation::CreateAnonymous {
        slot,
        directory: "/".into(),
        mode: 0o600,
    }
}

fn read(slot: usize) -> Operation {
    Operation::Read {
        slot,
        at: 0,
        len: 10_000,
    }
}

#[test]
fn a_file_whose_name_is_replaced_lives_on_while_it_is_open() {
    let Some(mut pair) = Pair::new() else { return };
    succeed(
        &mut pair,
        &[
            create(0, "/old"),
            write(0, 9000, 1),
            create(1, "/new"),
            write(1, 5000, 101),
            rename("/new", "/old", RenameMode::Replace),
            Operation::FileStatus { slot: 0 },
            read(0),
            write(0, 12, 55),
            Operation::Truncate { slot: 0, len: 30 },
            read(0),
            read(1),
        ],
    );
    fail(&mut pair, &link_file(0, "/back"), Errno::NOENT);
    stop(&mut pair);
    pair.finish();
}

#[test]
fn a_file_without_a_name_gets_one_once() {
    let Some(mut pair) = Pair::new() else { return };
    succeed(
        &mut pair,
        &[
            anonymous(0),
            write(0, 5000, 3),
            link_file(0, "/named"),
            link_file(0, "/again"),
            remove_file("/again"),
            remove_file("/named"),
        ],
    );
    fail(&mut pair, &link_file(0, "/named"), Errno::NOENT);
    succeed(
        &mut pair,
        &[anonymous(1), write(1, 5000, 9), link_file(1, "/kept")],
    );
    stop(&mut pair);
    pair.finish();
}

#[test]
fn what_has_no_name_when_everything_stops_is_gone_and_its_space_is_free() {
    let mut subject = Subject::new();
    let apply = |subject: &mut Subject, operations: &[Operation]| {
        for operation in operations {
            assert!(subject.apply(operation).is_ok(), "{operation:?}");
        }
    };
    let used = |subject: &mut Subject| {
        // Free in the tree and in memory alike.
        subject.fs().checkpoint().unwrap();
        let space = subject.fs().space();
        let metadata = space.metadata_bytes;
        (
            space.total_bytes - space.free_bytes - metadata,
            space.inodes,
        )
    };
    apply(&mut subject, &[create(0, "/stays"), write(0, 5000, 1)]);
    let before = used(&mut subject);
    let open = [
        create(1, "/removed"),
        write(1, 1 << 20, 2),
        remove_file("/removed"),
        anonymous(2),
        write(2, 1 << 20, 3),
        create(3, "/replaced"),
        write(3, 1 << 20, 4),
        create(0, "/takes its place"),
        rename("/takes its place", "/replaced", RenameMode::Replace),
        remove_file("/replaced"),
    ];
    for checkpointed in [&[][..], &[Operation::Checkpoint]] {
        apply(&mut subject, &open);
        apply(&mut subject, checkpointed);
        assert_eq!(subject.fs().space().inodes, before.1 + 4);
        apply(&mut subject, &[Operation::Stop(Stop::Crash)]);
        assert_eq!(used(&mut subject), before);
        apply(&mut subject, &[Operation::Stop(Stop::Unmount)]);
        assert_eq!(used(&mut subject), before);
    }
}
