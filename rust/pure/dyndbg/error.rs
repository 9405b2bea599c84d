// SPDX-License-Identifier: GPL-2.0

//! Why a query cannot be parsed.

use core::fmt;

/// The part of a query that a keyword introduces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spec {
    /// `func`, or letters behind the colon of a `file`.
    Func,
    /// `file`.
    File,
    /// `module`.
    Module,
    /// `format`.
    Format,
    /// `line`, or anything else behind the colon of a `file`.
    Line,
    /// `class`.
    Class,
}

impl Spec {
    /// The keyword.
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

/// What is wrong with a query. All of it is `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There are no words, or none but the target.
    Empty,
    /// A quotation mark that opens a word has no counterpart.
    UnclosedQuote,
    /// There are more than 9 words, not counting the target.
    TooManyWords,
    /// The last word does not start with `+`, `-` or `=`.
    NoOperator,
    /// The last word has a letter in it that is no flag.
    UnknownFlag,
    /// The words before the last one are not pairs.
    NoValue,
    /// A word in the place of a keyword is none.
    UnknownKeyword,
    /// The same is specified twice.
    Repeated(Spec),
    /// A line number is not one, or exceeds 32 bits.
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

/// Why a query cannot be parsed, and the word where that was noticed.
///
/// Prints as one line fit for the kernel log, whatever bytes the word has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError<'a> {
    /// What is wrong.
    pub reason: Reason,
    /// The word, without its quotes. Of a value with a colon, the part at fault.
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
    fn an_error_is_one_printable_line() {
        let error = ParseError {
            reason: Reason::Repeated(Spec::Func),
            word: b"a\n\"\xff",
        };
        assert_eq!(error.to_string(), r#"func given twice: "a\n\"\xff""#);
    }
}
