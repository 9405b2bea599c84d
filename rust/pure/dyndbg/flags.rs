// SPDX-License-Identifier: GPL-2.0

//! The flags of a site, and the change of flags by a query.
//!
//! C header: `include/linux/dynamic_debug.h`.

use super::error::Reason;
use core::fmt;
use core::fmt::Write;

/// The flags of a site: the kernel's `_DPRINTK_FLAGS_*`, bit for bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// `_`: no flags.
    pub const NONE: Self = Self(0);
    /// `p`: the site prints.
    pub const PRINT: Self = Self(1 << 0);
    /// `m`: with the module's name.
    pub const MODULE: Self = Self(1 << 1);
    /// `f`: with the function's name.
    pub const FUNCTION: Self = Self(1 << 2);
    /// `l`: with the line number.
    pub const LINE: Self = Self(1 << 3);
    /// `t`: with the thread.
    pub const THREAD: Self = Self(1 << 4);
    /// `s`: with the source file's name.
    pub const SOURCE: Self = Self(1 << 5);
    /// `d`: with the call trace.
    pub const STACK: Self = Self(1 << 6);

    /// Letters in the order of printing, which differs from the order of the bits.
    const LETTERS: [(u8, Self); 7] = [
        (b'p', Self::PRINT),
        (b'm', Self::MODULE),
        (b'f', Self::FUNCTION),
        (b's', Self::SOURCE),
        (b'l', Self::LINE),
        (b't', Self::THREAD),
        (b'd', Self::STACK),
    ];

    /// Makes flags of `bits`. The highest bit has no letter, but is kept.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Returns the bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns whether all of `flags` are set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Returns the union with `flags`.
    pub const fn union(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    fn from_letter(letter: u8) -> Option<Self> {
        if letter == b'_' {
            return Some(Self::NONE);
        }
        let known = Self::LETTERS.iter().find(|(known, _)| *known == letter);
        known.map(|(_, flag)| *flag)
    }
}

impl fmt::Display for Flags {
    /// Writes the letters of the flags, or `_` if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut any = false;
        for (letter, flag) in Self::LETTERS {
            if self.contains(flag) {
                f.write_char(char::from(letter))?;
                any = true;
            }
        }
        if !any {
            f.write_char('_')?;
        }
        Ok(())
    }
}

/// A change to a site's flags: keep the flags in `mask`, then add the flags in `flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The bits that stay as they are.
    pub mask: u8,
    /// The bits that are set.
    pub flags: u8,
}

impl Change {
    /// Parses a word such as `+pmf`, `-p` or `=_`. Without letters there are no flags: `=` clears
    /// all.
    ///
    /// # Errors
    ///
    /// [`Reason::NoOperator`] unless the word starts with `+`, `-` or `=`. [`Reason::UnknownFlag`]
    /// unless each further letter is a flag.
    pub fn parse(word: &[u8]) -> Result<Self, Reason> {
        let Some((operator @ (b'+' | b'-' | b'='), letters)) = word.split_first() else {
            return Err(Reason::NoOperator);
        };
        let mut flags = Flags::NONE;
        for &letter in letters {
            flags = flags.union(Flags::from_letter(letter).ok_or(Reason::UnknownFlag)?);
        }
        let flags = flags.bits();
        Ok(match operator {
            b'+' => Self { mask: !0, flags },
            b'-' => Self {
                mask: !flags,
                flags: 0,
            },
            _ => Self { mask: 0, flags },
        })
    }

    /// Applies the change to `flags`.
    pub const fn apply(self, flags: Flags) -> Flags {
        Flags((flags.0 & self.mask) | self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(word: &str, flags: u8) -> u8 {
        let change = Change::parse(word.as_bytes()).unwrap();
        change.apply(Flags::from_bits(flags)).bits()
    }

    #[test]
    fn flags_print_in_the_kernels_order() {
        assert_eq!(Flags::from_bits(0x7f).to_string(), "pmfsltd");
        assert_eq!(Flags::from_bits(0x28).to_string(), "sl");
    }

    #[test]
    fn no_flags_print_as_underscore() {
        assert_eq!(Flags::NONE.to_string(), "_");
    }

    #[test]
    fn a_bit_without_a_letter_prints_as_no_flag_and_is_kept() {
        assert_eq!(Flags::from_bits(0x80).to_string(), "_");
        assert_eq!(applied("+p", 0x80), 0x81);
        assert_eq!(applied("-pmfsltd", 0xff), 0x80);
    }

    #[test]
    fn plus_adds_minus_removes_equals_sets() {
        assert_eq!(applied("+pm", 0x04), 0x07);
        assert_eq!(applied("-pm", 0x07), 0x04);
        assert_eq!(applied("=pm", 0x04), 0x03);
        assert_eq!(applied("=_", 0x7f), 0);
    }

    #[test]
    fn operator_without_letters_keeps_or_clears_all_flags() {
        assert_eq!(applied("+", 0x15), 0x15);
        assert_eq!(applied("-", 0x15), 0x15);
        assert_eq!(applied("=", 0x15), 0);
    }

    #[test]
    fn underscores_and_repeated_letters_are_accepted() {
        assert_eq!(applied("=p_pt_", 0), 0x11);
        assert_eq!(applied("-_", 0x7f), 0x7f);
    }

    #[test]
    fn flags_without_an_operator_are_refused() {
        assert_eq!(Change::parse(b""), Err(Reason::NoOperator));
        assert_eq!(Change::parse(b"p"), Err(Reason::NoOperator));
        assert_eq!(Change::parse(b"~p"), Err(Reason::NoOperator));
    }

    #[test]
    fn unknown_flag_letters_are_refused() {
        assert_eq!(Change::parse(b"+P"), Err(Reason::UnknownFlag));
        assert_eq!(Change::parse(b"+p+m"), Err(Reason::UnknownFlag));
        assert_eq!(Change::parse(b"+px"), Err(Reason::UnknownFlag));
    }
}
