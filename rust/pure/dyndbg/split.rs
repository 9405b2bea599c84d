// SPDX-License-Identifier: GPL-2.0

//! Taking a write apart into queries.

use super::ctype::{cut, skip_spaces, until_nul};

/// Most bytes that dynamic debug takes in one write; beyond it is `E2BIG`.
pub const WRITE_MAX: usize = 4095;

/// The queries in `write`, which are what is between semicolons and newlines, in quotes or not.
///
/// Spaces in front are dropped, and so are pieces with nothing else in them and comments: a comment
/// starts with `#` and, as it ends where any query does, may have a query behind its semicolon. The
/// write ends at its first NUL.
pub fn queries(write: &mut [u8]) -> Queries<'_> {
    Queries {
        rest: until_nul(write),
    }
}

/// Iterator over the queries in a write, made by [`queries`].
#[derive(Debug)]
pub struct Queries<'a> {
    rest: &'a mut [u8],
}

impl<'a> Iterator for Queries<'a> {
    type Item = &'a mut [u8];

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let rest = core::mem::take(&mut self.rest);
            let end = rest.iter().position(|&c| c == b';' || c == b'\n');
            let (query, rest) = cut(rest, end.unwrap_or(usize::MAX));
            self.rest = rest;

            let query = skip_spaces(query);
            if query.first().is_some_and(|&c| c != b'#') {
                return Some(query);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(write: &str) -> Vec<String> {
        let mut write = write.as_bytes().to_vec();
        queries(&mut write)
            .map(|query| String::from_utf8(query.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn semicolons_and_newlines_separate() {
        assert_eq!(
            split("func a +p; func b -p\n=_"),
            ["func a +p", "func b -p", "=_"]
        );
    }

    #[test]
    fn only_leading_spaces_are_dropped() {
        assert_eq!(split(" \t +p \n"), ["+p "]);
    }

    #[test]
    fn empty_pieces_and_comments_are_skipped() {
        assert_eq!(split(";;\n \n# note\n  # note\n+p;"), ["+p"]);
        assert!(split("").is_empty());
    }

    #[test]
    fn a_semicolon_ends_a_comment() {
        assert_eq!(split("# note; +p"), ["+p"]);
    }

    #[test]
    fn quotes_do_not_protect_a_separator() {
        assert_eq!(split(r#"format "a;b" +p"#), [r#"format "a"#, r#"b" +p"#]);
    }

    #[test]
    fn the_write_ends_at_the_first_nul() {
        assert_eq!(split("+p;\0-p"), ["+p"]);
        assert_eq!(split("+p\0-p"), ["+p"]);
    }
}
