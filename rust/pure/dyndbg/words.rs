// SPDX-License-Identifier: GPL-2.0

//! Taking a query apart into words.

use super::ctype::{cut, is_space, skip_spaces};
use super::error::{ParseError, Reason};

/// Most words in a query, not counting the target.
pub(super) const MAX_WORDS: usize = 9;

/// A word, without its quotes.
pub(super) struct Word<'a> {
    pub(super) text: &'a mut [u8],
    pub(super) quoted: bool,
}

/// Iterator over the words of a query.
///
/// Words are separated by spaces, or stand in a pair of either quotation mark, behind which another
/// may follow at once. Within a word neither has a meaning. A `#` where a word would start ends the
/// query.
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
    fn a_quote_must_be_closed() {
        assert_eq!(words(b"a 'b"), Err(Reason::UnclosedQuote));
        assert_eq!(words(b"a \""), Err(Reason::UnclosedQuote));
    }

    #[test]
    fn a_hash_comments_only_where_a_word_would_start() {
        assert_eq!(words(b"a #b 'c"), Ok(vec![b"a".into()]));
        assert_eq!(words(b"'a'#b"), Ok(vec![b"a".into()]));
        assert_eq!(words(b"a#b '#c'"), Ok(vec![b"a#b".into(), b"#c".into()]));
    }
}
