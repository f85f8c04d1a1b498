//! What random sequences rarely reach.
//!
//! | Module | What it is for |
//! |---|---|
//! | `moves` | directories that move, with what is in them |
//! | `open_files` | files that lose their names while they are open, or never had one |
//! | `limits` | the longest, the most, and one more |
//! | `reading` | reading a directory while it changes |
//! | `access_control` | access control lists, and the permission bits that go with them |

mod access_control;
mod limits;
mod moves;
mod open_files;
mod reading;

use rustix::io::Errno;

use crate::operation::{Operation, Path, Stop, Value};
use crate::pair::Pair;

/// Does `operations` to both, each of which must work.
fn succeed(pair: &mut Pair, operations: &[Operation]) {
    for operation in operations {
        let outcome = pair.apply(operation);
        assert!(outcome.is_ok(), "{operation:?}: {outcome:?}");
    }
}

/// Does `operation` to both, which must fail with `error`.
fn fail(pair: &mut Pair, operation: &Operation, error: Errno) {
    assert_eq!(pair.apply(operation), Err(error), "{operation:?}");
}

/// Stops both, first at once and then in good order: each compares all that there is.
fn stop(pair: &mut Pair) {
    for stop in [Stop::Crash, Stop::Unmount] {
        assert_eq!(pair.apply(&Operation::Stop(stop)), Ok(Value::Done));
    }
}

fn create(slot: usize, path: &str) -> Operation {
    Operation::Create {
        slot,
        path: path.into(),
        mode: 0o644,
    }
}

fn create_directory(path: &str) -> Operation {
    Operation::CreateDirectory {
        path: path.into(),
        mode: 0o755,
    }
}

fn rename(from: &str, to: &str, mode: daxfs::RenameMode) -> Operation {
    Operation::Rename {
        from: from.into(),
        to: to.into(),
        mode,
    }
}

fn remove_file(path: &str) -> Operation {
    Operation::RemoveFile { path: path.into() }
}

fn link_file(slot: usize, new: &str) -> Operation {
    Operation::LinkFile {
        slot,
        new: new.into(),
    }
}

fn write(slot: usize, len: usize, byte: u8) -> Operation {
    Operation::Write {
        slot,
        at: 0,
        len,
        byte,
    }
}

fn follow(path: &str) -> Operation {
    Operation::Status {
        path: path.into(),
        last: crate::operation::Last::Follow,
    }
}

fn link(target: &str, path: &str) -> Operation {
    Operation::CreateSymbolicLink {
        target: Path(target.into()),
        path: path.into(),
    }
}
