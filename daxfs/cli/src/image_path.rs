//! `IMAGE:/path`, the way a path inside an image is written on the command line.
//!
//! Pure parsing: touches nothing, takes no locks. The first `:/` separates the image from the
//! path in it, so an image may have colons in its name, but not lie in a directory whose name
//! ends in one.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use clap::builder::{TypedValueParser, ValueParserFactory};

/// A path inside an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImagePath {
    /// The image file, as a path of the host.
    pub(crate) image: PathBuf,
    /// The path inside it: absolute, without `.`, trailing or doubled slashes.
    pub(crate) path: PathBuf,
}

impl ImagePath {
    /// Splits `IMAGE:/path`; none if `argument` is not of that form.
    pub(crate) fn split(argument: &OsStr) -> Option<Self> {
        let bytes = argument.as_bytes();
        let colon = bytes.windows(2).position(|pair| pair == b":/")?;
        if colon == 0 {
            return None;
        }
        let path = Path::new(OsStr::from_bytes(&bytes[colon + 1..]));
        Some(Self {
            image: PathBuf::from(OsStr::from_bytes(&bytes[..colon])),
            // `..` is kept, for the library to refuse: removing it here would hide a mistake.
            path: path
                .components()
                .filter(|part| *part != Component::CurDir)
                .collect(),
        })
    }

    /// The same image with another path in it.
    pub(crate) fn with_path(&self, path: PathBuf) -> Self {
        Self {
            image: self.image.clone(),
            path,
        }
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}:{}",
            self.image.display(),
            self.path.display()
        )
    }
}

/// What to tell a user whose argument is not of the form that [`ImagePath::split`] reads.
pub(crate) fn hint(argument: &OsStr) -> String {
    let shown = argument.display();
    match argument.as_bytes().iter().position(|&byte| byte == b':') {
        Some(colon) if colon > 0 => {
            let image = OsStr::from_bytes(&argument.as_bytes()[..colon])
                .display()
                .to_string();
            let rest = OsStr::from_bytes(&argument.as_bytes()[colon + 1..])
                .display()
                .to_string();
            format!("a path inside an image begins with a slash: {image}:/{rest}")
        }
        Some(_) => format!("{shown} names no image; write IMAGE:/path"),
        None => format!("{shown} names no path inside an image; write {shown}:/"),
    }
}

/// Reads an [`ImagePath`] for clap from any bytes that an argument may have.
#[derive(Clone, Debug)]
pub(crate) struct ImagePathParser;

impl TypedValueParser for ImagePathParser {
    type Value = ImagePath;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<ImagePath, clap::Error> {
        ImagePath::split(value).ok_or_else(|| {
            let message = format!("{}\n", hint(value));
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

impl ValueParserFactory for ImagePath {
    type Parser = ImagePathParser;

    fn value_parser() -> ImagePathParser {
        ImagePathParser
    }
}

/// One argument of `cp`: a path of the host, a path in an image, or a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// `-`
    Pipe,
    /// A file or directory of the host.
    Host(PathBuf),
    /// `IMAGE:/path`
    Image(ImagePath),
}

impl From<OsString> for Location {
    fn from(argument: OsString) -> Self {
        if argument == "-" {
            return Self::Pipe;
        }
        match ImagePath::split(&argument) {
            Some(path) => Self::Image(path),
            None => Self::Host(argument.into()),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipe => formatter.write_str("-"),
            Self::Host(path) => path.display().fmt(formatter),
            Self::Image(path) => path.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image_path(image: &str, path: &str) -> ImagePath {
        ImagePath {
            image: image.into(),
            path: path.into(),
        }
    }

    #[test]
    fn splits_at_the_first_colon_followed_by_a_slash() {
        let cases = [
            ("a.img:/x/y", image_path("a.img", "/x/y")),
            ("dir/a:b.img:/x", image_path("dir/a:b.img", "/x")),
            ("a.img:/", image_path("a.img", "/")),
            ("a.img:/x:/y", image_path("a.img", "/x:/y")),
            ("a.img://x/./y//z/", image_path("a.img", "/x/y/z")),
            ("a.img:/x/../y", image_path("a.img", "/x/../y")),
        ];
        for (argument, expected) in cases {
            assert_eq!(
                ImagePath::split(OsStr::new(argument)),
                Some(expected),
                "{argument}"
            );
        }
    }

    #[test]
    fn what_has_no_image_or_no_slash_is_no_path_in_an_image() {
        for argument in ["a.img", "a.img:x", ":/x", "", ":", "a.img:"] {
            assert_eq!(ImagePath::split(OsStr::new(argument)), None, "{argument}");
        }
    }

    #[test]
    fn a_hint_shows_how_to_write_it() {
        assert!(hint(OsStr::new("a.img:x")).ends_with("a.img:/x"));
        assert!(hint(OsStr::new("a.img")).ends_with("a.img:/"));
        assert!(hint(OsStr::new(":/x")).contains("IMAGE:/path"));
    }

    #[test]
    fn a_dash_alone_is_a_pipe() {
        assert_eq!(Location::from(OsString::from("-")), Location::Pipe);
        assert_eq!(
            Location::from(OsString::from("./-")),
            Location::Host("./-".into())
        );
    }
}
