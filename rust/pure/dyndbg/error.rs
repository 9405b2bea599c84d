// SPDX-License-Identifier: GPL-2.0

//! Errors of parsing a query.

use core::fmt;

/// The part of a query that a keyword introduces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spec {
    /// `func`, or letters after the colon of a `file`.
    Func,
    /// `file`.
    File,
    /// `module`.
    Module,
    /// `format`.
    Format,
    /// `line`, or anything else after the colon of a `file`.
    Line,
    /// `class`.
    Class,
}

impl Spec {
    /// Returns the keyword.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Func => "func",
            Self::File => "file",
            Self::Module => "module",
            Self::Format => "format",
            Self::Line => "line",
            Self::Class => "class",
        }
    }
}

/// The reason why a query is bad. Userspace sees `EINVAL` for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The query has no words, or only the target.
    Empty,
    /// A quotation mark that opens a word is not closed.
    UnclosedQuote,
    /// There are more than 9 words, not counting the target.
    TooManyWords,
    /// The last word does not start with `+`, `-` or `=`.
    NoOperator,
    /// The last word has a letter that is not a flag.
    UnknownFlag,
    /// The words before the last one are not pairs.
    NoValue,
    /// A word in the place of a keyword is not a keyword.
    UnknownKeyword,
    /// A keyword is given twice.
    Repeated(Spec),
    /// A line number is not a number, or exceeds 32 bits.
    BadLine,
    /// A range of lines ends before it starts.
    BackwardRange,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no words in query",
            Self::UnclosedQuote => "quote is not closed",
            Self::TooManyWords => "too many words",
            Self::NoOperator => "flags do not start with +, - or =",
            Self::UnknownFlag => "unknown flag",
            Self::NoValue => "keyword without a value",
            Self::UnknownKeyword => "unknown keyword",
            Self::Repeated(spec) => return write!(f, "{} given twice", spec.name()),
            Self::BadLine => "bad line number",
            Self::BackwardRange => "last line is before the first",
        })
    }
}

/// The reason why a query is bad, and the word where the parser noticed it.
///
/// Prints as one line for the kernel log, for any bytes in the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError<'a> {
    /// The reason.
    pub reason: Reason,
    /// The word, without its quotes. For a value with a colon, only the bad part.
    pub word: &'a [u8],
}

impl fmt::Display for ParseError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: \"{}\"", self.reason, self.word.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_prints_as_one_line_for_any_bytes() {
        let error = ParseError {
            reason: Reason::Repeated(Spec::Func),
            word: b"a\n\"\xff",
        };
        assert_eq!(error.to_string(), r#"func given twice: "a\n\"\xff""#);
    }
}
