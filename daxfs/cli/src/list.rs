//! `daxfs ls`: lists directories and files inside images.
//!
//! Touches images through the library, read-only, and standard output; takes no locks of its own.

use std::ffi::OsStr;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use daxfs::{FileKind, Filesystem, Metadata};

use crate::args::LsArgs;
use crate::exit::Outcome;
use crate::image::{self, Purpose, with_images};
use crate::image_path::ImagePath;

/// One line of a listing.
struct Line {
    name: Vec<u8>,
    metadata: Option<Metadata>,
}

/// Runs `daxfs ls`.
pub(crate) fn run(args: &LsArgs) -> Result<Outcome> {
    let wanted = args
        .paths
        .iter()
        .map(|path| (path.image.as_path(), Purpose::Read));
    with_images(wanted, |images| {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut outcome = Outcome::Done;
        for (ordinal, path) in args.paths.iter().enumerate() {
            match lines(images.get(&path.image)?, path, args) {
                Ok(lines) => {
                    if args.paths.len() > 1 {
                        let gap = if ordinal > 0 { "\n" } else { "" };
                        writeln!(out, "{gap}{path}:")?;
                    }
                    write_lines(&mut out, &lines)?;
                }
                Err(error) => outcome = Outcome::of_error(&error),
            }
        }
        out.flush()?;
        Ok(outcome)
    })
}

/// What `ls` shows of `path`: a directory's entries, or the file itself.
fn lines(filesystem: &Filesystem, path: &ImagePath, args: &LsArgs) -> Result<Vec<Line>> {
    let metadata = filesystem.metadata(&path.path).map_err(image::at(path))?;
    if metadata.kind != FileKind::Directory {
        let name = path.path.as_os_str();
        return Ok(vec![Line {
            name: shown(name),
            metadata: args.long.then_some(metadata),
        }]);
    }
    let entries = filesystem
        .read_directory(&path.path)
        .map_err(image::at(path))?;
    let line = |entry: daxfs::DirectoryEntry| {
        let child = path.with_path(path.path.join(&entry.name));
        let metadata = match args.long {
            true => Some(
                filesystem
                    .metadata(&child.path)
                    .map_err(image::at(&child))?,
            ),
            false => None,
        };
        Ok(Line {
            name: shown(&entry.name),
            metadata,
        })
    };
    entries.into_iter().map(line).collect()
}

fn write_lines(out: &mut impl Write, lines: &[Line]) -> io::Result<()> {
    let long = || lines.iter().filter_map(|line| line.metadata.as_ref());
    let width = |number: u64| number.max(1).ilog10() as usize + 1;
    let size_width = width(long().map(|metadata| metadata.len_bytes).max().unwrap_or(0));
    let links_width = width(
        long()
            .map(|metadata| u64::from(metadata.links))
            .max()
            .unwrap_or(0),
    );
    for line in lines {
        if let Some(metadata) = &line.metadata {
            write!(
                out,
                "{} {:>links_width$} {:>size_width$} {} ",
                mode(metadata),
                metadata.links,
                metadata.len_bytes,
                utc(metadata.modified),
            )?;
        }
        out.write_all(&line.name)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// A name as it is written out: as it is to a pipe, without control characters to a terminal,
/// where a name could otherwise move the cursor or worse.
fn shown(name: &OsStr) -> Vec<u8> {
    if io::stdout().is_terminal() {
        printable(name)
    } else {
        name.as_bytes().to_vec()
    }
}

fn printable(name: &OsStr) -> Vec<u8> {
    let replaced = |character: char| {
        if character.is_control() {
            '?'
        } else {
            character
        }
    };
    name.to_string_lossy()
        .chars()
        .map(replaced)
        .collect::<String>()
        .into_bytes()
}

/// Kind and permissions in the nine letters that ls(1) uses.
fn mode(metadata: &Metadata) -> String {
    let kind = match metadata.kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        _ => '?',
    };
    let letters = "rwxrwxrwx".chars().enumerate();
    let bits = letters.map(|(index, letter)| match metadata.mode & (0o400 >> index) {
        0 => '-',
        _ => letter,
    });
    std::iter::once(kind).chain(bits).collect()
}

/// `time` in UTC, to the minute.
fn utc(time: SystemTime) -> String {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            -whole - i64::from(before.subsec_nanos() > 0)
        }
    };
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let minutes = seconds.rem_euclid(86_400) / 60;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        minutes / 60,
        minutes % 60
    )
}

/// The Gregorian date `days` days after 1970-01-01.
///
/// Counts in eras of 400 years (146097 days) that begin on 1 March, so that a leap day comes
/// last in its year and a month's first day is a linear function of its number.
fn date(days: i64) -> (i64, i64, i64) {
    // 719468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_agree_with_the_calendar() {
        let known = [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (951_868_800, "2000-03-01 00:00"),
            (1_735_689_599, "2024-12-31 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
        ];
        for (seconds, expected) in known {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
        assert_eq!(
            utc(UNIX_EPOCH - Duration::from_millis(1)),
            "1969-12-31 23:59"
        );
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..292_194 {
            assert_eq!(date(days), (year, month, day));
            let last = match month {
                2 => 28 + i64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn a_name_cannot_send_control_characters_to_a_terminal() {
        assert_eq!(printable(OsStr::new("a\u{1b}[2Jb\n")), b"a?[2Jb?");
    }
}
