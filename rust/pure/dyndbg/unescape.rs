// SPDX-License-Identifier: GPL-2.0

//! Escape sequences in the value of `format`.
//!
//! C source: `string_unescape()` in `lib/string_helpers.c`.

use core::cell::Cell;

/// Replaces the escape sequences in `text` in place and returns what is left of it.
///
/// Known are `\n \r \t \v \f`, octal numbers of one to three digits, `\" \\ \a \e`; a backslash
/// before anything else stands for itself. A third digit is taken only if the number stays within
/// a byte.
pub(super) fn unescape(text: &mut [u8]) -> &mut [u8] {
    let cells = Cell::from_mut(&mut *text).as_slice_of_cells();
    let mut to = cells.iter();
    let mut from = cells;

    while let Some((c, rest)) = from.split_first() {
        from = rest;
        let c = match c.get() {
            b'\\' => sequence(&mut from),
            c => c,
        };
        if let Some(to) = to.next() {
            to.set(c);
        }
    }
    let length = cells.len().saturating_sub(to.len());
    text.get_mut(..length).unwrap_or_default()
}

/// What a backslash in front of `from` makes of it. Takes as much of `from` as belongs to the
/// sequence, so nothing if there is none.
fn sequence(from: &mut &[Cell<u8>]) -> u8 {
    let Some((c, rest)) = from.split_first() else {
        return b'\\';
    };
    let c = match c.get() {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'a' => 0x07,
        b'e' => 0x1b,
        c @ (b'"' | b'\\') => c,
        b'0'..=b'7' => return octal(from),
        _ => return b'\\',
    };
    *from = rest;
    c
}

/// The octal number at the start of `from`.
fn octal(from: &mut &[Cell<u8>]) -> u8 {
    let mut number = 0;
    for _ in 0..3 {
        match from.split_first() {
            Some((c, rest)) if number < 0o40 && matches!(c.get(), b'0'..=b'7') => {
                number = (number << 3) | (c.get() & 7);
                *from = rest;
            }
            _ => break,
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unescaped(text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        unescape(&mut text).to_vec()
    }

    #[test]
    fn plain_text_is_left_alone() {
        assert_eq!(unescaped(b"nfsd: READ \xff"), b"nfsd: READ \xff");
        assert_eq!(unescaped(b""), b"");
    }

    #[test]
    fn spaces_and_specials_are_known() {
        assert_eq!(
            unescaped(br#"\n\r\t\v\f\a\e\"\\"#),
            b"\n\r\t\x0b\x0c\x07\x1b\"\\"
        );
    }

    #[test]
    fn octal_numbers_have_one_to_three_digits() {
        assert_eq!(unescaped(br"nfsd:\040SETATTR"), b"nfsd: SETATTR");
        assert_eq!(unescaped(br"\7x\12x\1234"), b"\x07x\nxS4");
        assert_eq!(unescaped(br"\8\18"), b"\\8\x018");
        assert_eq!(unescaped(br"\0"), b"\0");
    }

    #[test]
    fn an_octal_number_stays_within_a_byte() {
        assert_eq!(unescaped(br"\377"), b"\xff");
        assert_eq!(unescaped(br"\400"), b" 0");
    }

    #[test]
    fn other_sequences_are_plain() {
        assert_eq!(unescaped(br"\x41\'\d"), br"\x41\'\d");
    }

    #[test]
    fn an_escaped_backslash_escapes_nothing() {
        assert_eq!(unescaped(br"\\n\\\n"), b"\\n\\\n");
    }

    #[test]
    fn a_backslash_at_the_end_is_plain() {
        assert_eq!(unescaped(br"a\"), br"a\");
    }
}
