//! The `daxfs` program, run as its users run it. Touches temporary directories only.

mod bad_input;
mod bench;
mod copying;
mod images;
mod program;
mod report;
