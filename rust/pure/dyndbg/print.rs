// SPDX-License-Identifier: GPL-2.0

//! The lines of the control file.
//!
//! They are written to a closure that takes bytes, not to a [`core::fmt::Write`]: names and formats
//! need not be UTF-8, and must come out as they are.

use super::flags::Flags;
use super::site::{Class, Site, NO_CLASS};
use core::fmt;
use core::fmt::Write;

/// The first line.
pub const HEADER: &[u8] = b"# filename:lineno [module]function flags format\n";

impl Site<'_> {
    /// Writes the line of this site, which has `flags`, to `emit`, piece by piece.
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
/// Nothing else is, not even quotes and backslashes: dynamic debug asks for quotes to be escaped
/// too, but for the escape sequences of white space only, and a quote has none of those.
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

    // It cannot fail: neither `Emit` nor what is formatted here does.
    let _ = Emit(emit).write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_line_is_the_kernels() {
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
    fn classes_are_listed_by_name_or_number() {
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
    fn bytes_that_are_not_utf8_come_out_as_they_are() {
        let site = Site {
            function: b"\xff\xfe",
            ..SITE
        };
        assert!(line(site, 0).windows(2).any(|bytes| bytes == b"\xff\xfe"));
    }
}
