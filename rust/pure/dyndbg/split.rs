// SPDX-License-Identifier: GPL-2.0

//! Splits a write into queries, and a query into words.

use super::error::{
    ParseError,
    Reason, //
};
use super::text::{
    cut,
    is_space,
    skip_spaces,
    until_nul, //
};

/// Maximum number of bytes in one write; a longer write is `E2BIG`.
pub const WRITE_MAX: usize = 4095;

/// Splits `write` into queries at semicolons and newlines, even within quotes.
///
/// Leading spaces, empty queries and comments are dropped. A comment starts with `#` and ends where
/// a query ends, so another query may follow its semicolon. The write ends at its first NUL.
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

/// Maximum number of words in a query, not counting the target.
pub(super) const MAX_WORDS: usize = 9;

/// A word, without its quotes.
pub(super) struct Word<'a> {
    pub(super) text: &'a mut [u8],
    pub(super) quoted: bool,
}

/// Iterator over the words of a query.
///
/// Words are separated by spaces, or are in a pair of either quotation mark, after which the next
/// word may follow at once. A quotation mark within a word has no meaning. A `#` at the start of a
/// word ends the query.
pub(super) struct Words<'a> {
    rest: &'a mut [u8],
}

impl<'a> Words<'a> {
    pub(super) fn new(query: &'a mut [u8]) -> Self {
        Self { rest: query }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Result<Word<'a>, ParseError<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = skip_spaces(core::mem::take(&mut self.rest));
        let (end, text, quoted) = match *text.first()? {
            b'#' => return None,
            quote @ (b'"' | b'\'') => {
                let (_, text) = cut(text, 0);
                let Some(end) = text.iter().position(|&c| c == quote) else {
                    return Some(Err(ParseError {
                        reason: Reason::UnclosedQuote,
                        word: text,
                    }));
                };
                (end, text, true)
            }
            _ => {
                let end = text.iter().position(|&c| is_space(c));
                (end.unwrap_or(usize::MAX), text, false)
            }
        };
        let (text, rest) = cut(text, end);
        self.rest = rest;
        Some(Ok(Word { text, quoted }))
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
    fn semicolons_and_newlines_separate_queries() {
        assert_eq!(
            split("func a +p; func b -p\n=_"),
            ["func a +p", "func b -p", "=_"]
        );
    }

    #[test]
    fn only_leading_spaces_of_a_query_are_dropped() {
        assert_eq!(split(" \t +p \n"), ["+p "]);
    }

    #[test]
    fn empty_queries_and_comments_are_skipped() {
        assert_eq!(split(";;\n \n# note\n  # note\n+p;"), ["+p"]);
        assert!(split("").is_empty());
    }

    #[test]
    fn a_semicolon_ends_a_comment() {
        assert_eq!(split("# note; +p"), ["+p"]);
    }

    #[test]
    fn quotes_do_not_protect_a_query_separator() {
        assert_eq!(split(r#"format "a;b" +p"#), [r#"format "a"#, r#"b" +p"#]);
    }

    #[test]
    fn the_write_ends_at_the_first_nul() {
        assert_eq!(split("+p;\0-p"), ["+p"]);
        assert_eq!(split("+p\0-p"), ["+p"]);
    }

    fn words(query: &[u8]) -> Result<Vec<Vec<u8>>, Reason> {
        let mut query = query.to_vec();
        Words::new(&mut query)
            .map(|word| word.map(|word| word.text.to_vec()).map_err(|e| e.reason))
            .collect()
    }

    #[test]
    fn spaces_separate_words() {
        assert_eq!(
            words(b"  a\tbc \r d "),
            Ok(vec![b"a".into(), b"bc".into(), b"d".into()])
        );
        assert_eq!(words(b"a\xa0b"), Ok(vec![b"a".into(), b"b".into()]));
        assert_eq!(words(b" "), Ok(vec![]));
    }

    #[test]
    fn quotes_keep_a_word_together() {
        assert_eq!(
            words(br#""a 'b" 'c "d'"#),
            Ok(vec![b"a 'b".into(), br#"c "d"#.into()])
        );
        assert_eq!(words(b"''"), Ok(vec![vec![]]));
    }

    #[test]
    fn a_quoted_word_ends_at_its_quote() {
        assert_eq!(
            words(br#""a"b"c""#),
            Ok(vec![b"a".into(), br#"b"c""#.into()])
        );
    }

    #[test]
    fn a_backslash_does_not_protect_a_quote() {
        assert_eq!(words(br#""a\" b"#), Ok(vec![br"a\".into(), b"b".into()]));
    }

    #[test]
    fn unclosed_quote_is_refused() {
        assert_eq!(words(b"a 'b"), Err(Reason::UnclosedQuote));
        assert_eq!(words(b"a \""), Err(Reason::UnclosedQuote));
    }

    #[test]
    fn hash_starts_a_comment_only_before_a_word() {
        assert_eq!(words(b"a #b 'c"), Ok(vec![b"a".into()]));
        assert_eq!(words(b"'a'#b"), Ok(vec![b"a".into()]));
        assert_eq!(words(b"a#b '#c'"), Ok(vec![b"a#b".into(), b"#c".into()]));
    }
}
