//! Runs the built program in a temporary directory of its own.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// A temporary directory to run the program in.
pub(crate) struct Workplace(TempDir);

/// What a run of the program left.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Workplace {
    /// An empty directory.
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    /// A directory with an empty image `a.img` of 16 MiB.
    pub(crate) fn with_image() -> Self {
        let place = Self::new();
        place.run(["mkfs", "a.img", "16MiB"]).succeeded();
        place
    }

    /// The path of `name` in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file of the host.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, bytes).expect("a file");
    }

    /// Reads a file of the host.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("a readable file")
    }

    /// The names in the directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("a directory");
        let name = |entry: Result<fs::DirEntry, _>| entry.expect("an entry").file_name();
        let mut names: Vec<String> = entries
            .map(name)
            .map(|name| name.into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    /// Runs the program.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.run_with_input(args, b"")
    }

    /// Runs the program with something on its standard input.
    pub(crate) fn run_with_input<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Run {
        let mut child = self.command(args).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let output = thread::scope(|scope| {
            // A program that does not read its input closes the pipe, and that is no fault.
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output().expect("the program ends")
        });
        Run::of(output)
    }

    /// Runs the program, and hands it its standard input piece by piece.
    pub(crate) fn run_with_pieces<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        pieces: &[&[u8]],
    ) -> Run {
        let mut child = self.command(args).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        for piece in pieces {
            stdin.write_all(piece).expect("the program reads");
            // Time to read this piece alone; without it the test would be weaker, not wrong.
            thread::sleep(Duration::from_millis(30));
        }
        drop(stdin);
        Run::of(child.wait_with_output().expect("the program ends"))
    }

    /// The program, ready to start, with all its pipes to us.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daxfs"));
        command.args(args).current_dir(self.0.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = &self.stdout[..self.stdout.len().min(10_000)];
        let stdout = String::from_utf8_lossy(start);
        write!(
            formatter,
            "exit code {}\n{stdout}\n{}",
            self.code, self.stderr
        )
    }
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal ended the program"),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts that the run succeeded without complaint, and gives its output.
    #[track_caller]
    pub(crate) fn succeeded(&self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Asserts that the run failed with `code`, and said all of `words`.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(
                self.stderr.contains(word),
                "`{word}` is missing in: {}",
                self.stderr
            );
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// `len_bytes` bytes that repeat nowhere soon.
pub(crate) fn noise(len_bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..len_bytes.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(len_bytes);
    bytes
}
