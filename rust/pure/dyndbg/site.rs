// SPDX-License-Identifier: GPL-2.0

//! A site, which is a statement that can print, and its line in the control file.
//!
//! The line is written to a closure that takes bytes, not to a [`core::fmt::Write`]. Names and
//! formats need not be UTF-8, and are written unchanged.

use super::flags::Flags;
use core::fmt;
use core::fmt::Write;

/// The properties of a site that queries match and that its line in the control file shows.
///
/// None of the text has a NUL in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site<'a> {
    /// The module's name; the name of the file for built-in code.
    pub module: &'a [u8],
    /// The function's name.
    pub function: &'a [u8],
    /// The source file's name as passed to the compiler.
    pub filename: &'a [u8],
    /// The source file's name relative to the root of the source, for the list. See
    /// [`Site::relative_to`].
    pub relative: &'a [u8],
    /// The format string.
    pub format: &'a [u8],
    /// The line number.
    pub lineno: u32,
    /// The class.
    pub class: Class<'a>,
}

impl<'a> Site<'a> {
    /// Strips `root`, which ends in a slash, from `filename`, for [`Site::relative`].
    ///
    /// Returns `filename` unchanged if it does not start with `root`.
    pub fn relative_to(root: &[u8], filename: &'a [u8]) -> &'a [u8] {
        filename.strip_prefix(root).unwrap_or(filename)
    }

    /// Returns the name of the source file without its directories.
    pub fn basename(&self) -> &'a [u8] {
        self.filename
            .rsplit(|&c| c == b'/')
            .next()
            .unwrap_or(self.filename)
    }
}

/// The class of a site: a number, and the name by which it is listed.
///
/// Queries compare the number, see [`Query::class_id`](super::Query::class_id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class<'a> {
    /// The number, [`NO_CLASS`] if the site has none.
    pub id: u8,
    /// The name in the first map of the module that has this number.
    pub name: Option<&'a [u8]>,
}

/// The number of a site without a class (`_DPRINTK_CLASS_DFLT`).
pub const NO_CLASS: u8 = 63;

impl Class<'_> {
    /// No class.
    pub const NONE: Self = Self {
        id: NO_CLASS,
        name: None,
    };
}

/// The first line of the control file.
pub const HEADER: &[u8] = b"# filename:lineno [module]function flags format\n";

impl Site<'_> {
    /// Writes the line of this site with `flags` to `emit`, piece by piece.
    pub fn print(&self, flags: Flags, emit: &mut dyn FnMut(&[u8])) {
        emit(self.relative);
        text(emit, format_args!(":{} [", self.lineno));
        emit(self.module);
        emit(b"]");
        emit(self.function);
        text(emit, format_args!(" ={flags} \""));
        escaped(emit, self.format);
        emit(b"\"");
        match self.class {
            Class { id: NO_CLASS, .. } => {}
            Class {
                name: Some(name), ..
            } => {
                emit(b" class:");
                emit(name);
            }
            Class { id, name: None } => text(emit, format_args!(" class unknown, _id:{id}")),
        }
        emit(b"\n");
    }
}

/// Writes `format` with its tabs, carriage returns and newlines escaped.
///
/// No other character is escaped, not even quotes and backslashes. Dynamic debug asks for escaped
/// quotes too, but only in the class of white space, which has no escape sequence for quotes.
fn escaped(emit: &mut dyn FnMut(&[u8]), format: &[u8]) {
    for piece in format.split_inclusive(|c| matches!(c, b'\t' | b'\r' | b'\n')) {
        let (plain, escape): (_, &[u8]) = match piece.split_last() {
            Some((b'\t', plain)) => (plain, b"\\t"),
            Some((b'\r', plain)) => (plain, b"\\r"),
            Some((b'\n', plain)) => (plain, b"\\n"),
            _ => (piece, b""),
        };
        emit(plain);
        emit(escape);
    }
}

/// Writes formatted text.
fn text(emit: &mut dyn FnMut(&[u8]), text: fmt::Arguments<'_>) {
    struct Emit<'a>(&'a mut dyn FnMut(&[u8]));

    impl Write for Emit<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            (self.0)(text.as_bytes());
            Ok(())
        }
    }

    // Cannot fail: neither `Emit` nor the formatted values return an error.
    let _ = Emit(emit).write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basename(filename: &str) -> Vec<u8> {
        let site = Site {
            module: b"",
            function: b"",
            filename: filename.as_bytes(),
            relative: b"",
            format: b"",
            lineno: 0,
            class: Class::NONE,
        };
        site.basename().to_vec()
    }

    #[test]
    fn basename_follows_the_last_slash() {
        assert_eq!(basename("/src/init/main.c"), b"main.c");
        assert_eq!(basename("main.c"), b"main.c");
        assert_eq!(basename("init/"), b"");
    }

    #[test]
    fn only_the_root_is_stripped_from_a_file_name() {
        assert_eq!(
            Site::relative_to(b"/src/", b"/src/init/main.c"),
            b"init/main.c"
        );
        assert_eq!(Site::relative_to(b"/src/", b"init/main.c"), b"init/main.c");
        assert_eq!(Site::relative_to(b"", b"init/main.c"), b"init/main.c");
    }

    const SITE: Site<'_> = Site {
        module: b"main",
        function: b"run_init_process",
        filename: b"/src/init/main.c",
        relative: b"init/main.c",
        format: b"    %s\n",
        lineno: 1426,
        class: Class::NONE,
    };

    fn line(site: Site<'_>, flags: u8) -> Vec<u8> {
        let mut line = Vec::new();
        site.print(Flags::from_bits(flags), &mut |bytes| {
            line.extend_from_slice(bytes)
        });
        line
    }

    #[test]
    fn site_line_equals_that_of_the_kernel() {
        assert_eq!(
            String::from_utf8(line(SITE, 0)).unwrap(),
            "init/main.c:1426 [main]run_init_process =_ \"    %s\\n\"\n"
        );
        assert_eq!(
            String::from_utf8(line(SITE, 3)).unwrap(),
            "init/main.c:1426 [main]run_init_process =pm \"    %s\\n\"\n"
        );
    }

    #[test]
    fn class_is_listed_by_name_or_number() {
        let named = Class {
            id: 2,
            name: Some(b"DRM_UT_KMS"),
        };
        let named = line(
            Site {
                class: named,
                ..SITE
            },
            0,
        );
        assert!(named.ends_with(b"\\n\" class:DRM_UT_KMS\n"));
        let unknown = line(
            Site {
                class: Class { id: 7, name: None },
                ..SITE
            },
            0,
        );
        assert!(unknown.ends_with(b"\\n\" class unknown, _id:7\n"));
        let none = Class {
            id: NO_CLASS,
            name: Some(b"DRM_UT_KMS"),
        };
        assert!(line(
            Site {
                class: none,
                ..SITE
            },
            0
        )
        .ends_with(b"%s\\n\"\n"));
    }

    #[test]
    fn only_tab_return_and_newline_are_escaped() {
        let mut out = Vec::new();
        escaped(
            &mut |bytes| out.extend_from_slice(bytes),
            b"\t\r\n\"\\\x0b\x0c\x07\xff%",
        );
        assert_eq!(out, b"\\t\\r\\n\"\\\x0b\x0c\x07\xff%");
    }

    #[test]
    fn bytes_outside_utf8_print_unchanged() {
        let site = Site {
            function: b"\xff\xfe",
            ..SITE
        };
        assert!(line(site, 0).windows(2).any(|bytes| bytes == b"\xff\xfe"));
    }
}
