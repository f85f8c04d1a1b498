//! Where daxfs and the kernel's filesystems differ on purpose, all of it in one place.
//!
//! | What | Why | What the tests do |
//! |---|---|---|
//! | Paths are absolute | there is no current folder | try no others |
//! | No permissions, no mask | there are no users: whoever has an image may do all | be root |
//! | New files belong to whom the caller says | as above | say user and group 0 |
//! | Special files are not opened | what they are is elsewhere | [`OPENING_A_SPECIAL_FILE`] |
//! | Offsets are unsigned | they cannot be negative | try none above `i64::MAX` |
//! | A directory's length | is the filesystem's affair | do not compare it |
//! | Blocks that a file takes | as above | do not compare them |
//! | Blocks allocated ahead are data | they are zeroed, ext4 notes the lack | [`may_seek`] |
//! | Copies share blocks and keep holes | ext4 cannot; see [`may_seek`] | seek no more |
//! | 64,998 subdirectories at most | ext4 goes on, uncounted | look in the library |
//! | Times before 1901, after 2446 | ext4 cannot store them | try none |
//! | 64 KiB of extended attributes | ext4 has one block for them | store little |
//! | Access control lists stop nobody | there are no users | be root |
//! | Circles of waits for file locks | found at any length, Linux looks ten steps far | compare no waits |
//! | A refused collapse or insert changes nothing | ext4 of late sets the times first | [`refused_but_timed`] |
//! | Set-ID bits of a file that is written | root keeps them | be root |

use rustix::io::Errno;

use crate::operation::Operation;

/// What opening a special file comes to, on both sides: the host is not asked to.
pub(crate) const OPENING_A_SPECIAL_FILE: Errno = Errno::INVAL;

/// Whether the two agree after `operation` on what is data and what a hole.
pub(crate) fn may_seek(operation: &Operation) -> bool {
    !matches!(
        operation,
        Operation::Allocate { .. } | Operation::ZeroRange { .. } | Operation::CopyRange { .. }
    )
}

/// The slot of the file whose times the kernel may have set though it refused `operation`.
///
/// Linux 6.16 and later note the modification before they look at what they were asked for.
pub(crate) fn refused_but_timed(operation: &Operation) -> Option<usize> {
    match operation {
        Operation::CollapseRange { slot, .. } | Operation::InsertRange { slot, .. } => Some(*slot),
        _ => None,
    }
}
