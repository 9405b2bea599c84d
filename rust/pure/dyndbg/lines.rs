// SPDX-License-Identifier: GPL-2.0

//! Ranges of line numbers.
//!
//! C source: `lib/kstrtox.c`, for what a number may look like.

use super::error::Reason;

/// Lines from `first` to `last`, inclusive; 0 at either end is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The first line, or 0.
    pub first: u32,
    /// The last line, or 0.
    pub last: u32,
}

impl Lines {
    /// Every line.
    pub const ANY: Self = Self { first: 0, last: 0 };

    /// Parses `5`, `5-9`, `5-` or `-9`. An empty number is 0, and one that is 0 at the end of a
    /// range is `u32::MAX`.
    ///
    /// # Errors
    ///
    /// [`Reason::BadLine`] for what is no number of 32 bits, [`Reason::BackwardRange`] for a range
    /// that ends before it starts.
    pub fn parse(word: &[u8]) -> Result<Self, Reason> {
        let mut ends = word.splitn(2, |&c| c == b'-');
        let first = number(ends.next().unwrap_or_default())?;
        let Some(last) = ends.next() else {
            return Ok(Self { first, last: first });
        };
        let last = match number(last)? {
            0 => u32::MAX,
            last => last,
        };
        if last < first {
            return Err(Reason::BackwardRange);
        }
        Ok(Self { first, last })
    }

    /// Whether line `lineno` is in the range.
    pub const fn contains(self, lineno: u32) -> bool {
        (self.first == 0 || self.first <= lineno) && (self.last == 0 || lineno <= self.last)
    }
}

/// A decimal number as `kstrtouint()` takes it: one plus sign may precede it and one newline
/// follow. Nothing at all is 0.
fn number(text: &[u8]) -> Result<u32, Reason> {
    if text.is_empty() {
        return Ok(0);
    }
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    if digits.is_empty() {
        return Err(Reason::BadLine);
    }
    digits.iter().try_fold(0u32, |number, &c| {
        let digit = char::from(c).to_digit(10).ok_or(Reason::BadLine)?;
        let tens = number.checked_mul(10).ok_or(Reason::BadLine)?;
        tens.checked_add(digit).ok_or(Reason::BadLine)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(first: u32, last: u32) -> Result<Lines, Reason> {
        Ok(Lines { first, last })
    }

    #[test]
    fn a_number_is_that_line() {
        assert_eq!(Lines::parse(b"1603"), lines(1603, 1603));
        let line = Lines::parse(b"1603").unwrap();
        assert!(!line.contains(1602) && line.contains(1603) && !line.contains(1604));
    }

    #[test]
    fn an_empty_end_is_no_limit() {
        assert_eq!(Lines::parse(b"1600-1605"), lines(1600, 1605));
        assert_eq!(Lines::parse(b"-1605"), lines(0, 1605));
        assert_eq!(Lines::parse(b"1600-"), lines(1600, u32::MAX));
        assert_eq!(Lines::parse(b"-"), lines(0, u32::MAX));
        assert!(Lines::parse(b"-1605").unwrap().contains(1));
        assert!(Lines::parse(b"1600-").unwrap().contains(u32::MAX));
    }

    #[test]
    fn zero_is_no_limit_either() {
        assert_eq!(Lines::parse(b"0"), Ok(Lines::ANY));
        assert_eq!(Lines::parse(b""), Ok(Lines::ANY));
        assert_eq!(Lines::parse(b"5-0"), lines(5, u32::MAX));
    }

    #[test]
    fn numbers_are_what_kstrtouint_takes() {
        assert_eq!(Lines::parse(b"+5-+6"), lines(5, 6));
        assert_eq!(Lines::parse(b"00000000000000000000007"), lines(7, 7));
        assert_eq!(Lines::parse(b"4294967295"), lines(u32::MAX, u32::MAX));
        assert_eq!(Lines::parse(b"3\n"), lines(3, 3));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for word in [
            "x",
            "+",
            "++1",
            "1x",
            "1 ",
            " 1",
            "0x10",
            "1-2-3",
            "--1",
            "4294967296",
            "\n",
        ] {
            assert_eq!(
                Lines::parse(word.as_bytes()),
                Err(Reason::BadLine),
                "{word:?}"
            );
        }
    }

    #[test]
    fn a_backward_range_is_refused() {
        assert_eq!(Lines::parse(b"9-5"), Err(Reason::BackwardRange));
        assert_eq!(Lines::parse(b"5-5"), lines(5, 5));
    }
}
