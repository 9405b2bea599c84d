// SPDX-License-Identifier: GPL-2.0

//! Character classes as the kernel has them, which is Latin-1, and what follows from them.
//!
//! C source: `lib/ctype.c`.

/// Whether `c` separates words. 0xa0, the no-break space of Latin-1, does.
pub(super) fn is_space(c: u8) -> bool {
    matches!(c, b'\t'..=b'\r' | b' ' | 0xa0)
}

/// Whether `c` is a letter. Those of Latin-1 are, without its signs for times and division.
pub(super) fn is_alpha(c: u8) -> bool {
    c.is_ascii_alphabetic() || (c >= 0xc0 && c != 0xd7 && c != 0xf7)
}

/// `text` from its first character that is no space.
pub(super) fn skip_spaces(text: &mut [u8]) -> &mut [u8] {
    let spaces = text.iter().take_while(|&&c| is_space(c)).count();
    text.get_mut(spaces..).unwrap_or_default()
}

/// `text` up to where it ends as a C string.
pub(super) fn until_nul(text: &mut [u8]) -> &mut [u8] {
    text.split_mut(|&c| c == 0).next().unwrap_or_default()
}

/// `text` before and after the character at `at`; all of it and nothing if it is shorter.
pub(super) fn cut(text: &mut [u8], at: usize) -> (&mut [u8], &mut [u8]) {
    let at = at.min(text.len());
    let (before, rest) = text.split_at_mut_checked(at).unwrap_or_default();
    (before, rest.get_mut(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_are_those_of_latin_1() {
        let spaces: Vec<u8> = (0..=255).filter(|&c| is_space(c)).collect();
        assert_eq!(spaces, [9, 10, 11, 12, 13, 32, 160]);
    }

    #[test]
    fn letters_are_those_of_latin_1() {
        assert_eq!((0..=255).filter(|&c| is_alpha(c)).count(), 26 + 26 + 62);
        assert!(is_alpha(0xe9) && !is_alpha(0xd7) && !is_alpha(0xf7) && !is_alpha(b'_'));
    }

    #[test]
    fn cut_drops_the_separator() {
        let mut text = *b"ab:cd";
        assert_eq!(
            cut(&mut text, 2),
            (&mut b"ab"[..].to_vec()[..], &mut b"cd"[..].to_vec()[..])
        );
        assert_eq!(cut(&mut text, 9).1, b"");
    }

    #[test]
    fn a_c_string_ends_at_the_first_nul() {
        assert_eq!(until_nul(&mut b"a\0b\0".to_vec()), b"a");
        assert_eq!(until_nul(&mut b"ab".to_vec()), b"ab");
        assert_eq!(until_nul(&mut []), b"");
    }
}
