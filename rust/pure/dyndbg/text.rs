// SPDX-License-Identifier: GPL-2.0

//! Text functions like those of the kernel's `lib/`: character classes, escape sequences,
//! wildcards.
//!
//! C sources: `lib/ctype.c`, whose classes are those of Latin-1; `string_unescape()` in
//! `lib/string_helpers.c`; `match_wildcard()` in `lib/parser.c`.

use core::cell::Cell;

/// Returns whether `c` separates words. 0xa0, the no-break space of Latin-1, does.
pub(super) fn is_space(c: u8) -> bool {
    matches!(c, b'\t'..=b'\r' | b' ' | 0xa0)
}

/// Returns whether `c` is a letter of Latin-1, which excludes its signs for times and division.
pub(super) fn is_alpha(c: u8) -> bool {
    c.is_ascii_alphabetic() || (c >= 0xc0 && c != 0xd7 && c != 0xf7)
}

/// Returns `text` from its first character that is not a space.
pub(super) fn skip_spaces(text: &mut [u8]) -> &mut [u8] {
    let spaces = text.iter().take_while(|&&c| is_space(c)).count();
    text.get_mut(spaces..).unwrap_or_default()
}

/// Returns `text` up to its first NUL.
pub(super) fn until_nul(text: &mut [u8]) -> &mut [u8] {
    text.split_mut(|&c| c == 0).next().unwrap_or_default()
}

/// Returns `text` before and after the character at `at`; all text and no text if `text` is
/// shorter.
pub(super) fn cut(text: &mut [u8], at: usize) -> (&mut [u8], &mut [u8]) {
    let at = at.min(text.len());
    let (before, rest) = text.split_at_mut_checked(at).unwrap_or_default();
    (before, rest.get_mut(1..).unwrap_or_default())
}

/// Replaces the escape sequences in `text` in place and returns the shortened text.
///
/// Known are `\n \r \t \v \f`, octal numbers of one to three digits, `\" \\ \a \e`. Any other
/// backslash stands for itself. A third digit is taken only if the number fits in a byte.
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

/// Returns the character of the escape sequence whose backslash comes before `from`.
///
/// Consumes the rest of the sequence from `from`. Without a sequence, consumes nothing and returns
/// a backslash.
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

/// Consumes the octal number at the start of `from`.
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

/// Returns whether all of `text` matches `pattern`: `*` matches any number of characters, `?` one.
///
/// The time is at worst proportional to the product of the lengths.
///
/// C source: `match_wildcard()` in `lib/parser.c`.
pub fn match_wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // The pattern after the last `*`, and the text where it was last tried. An earlier `*` need not
    // be tried again: the last `*` can match any characters that the earlier `*` would release.
    let mut retry: Option<(&[u8], &[u8])> = None;

    loop {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', rest)), _) => {
                pattern = rest;
                retry = Some((rest, text));
            }
            (Some(_), None) => return false,
            (Some((p, pattern_rest)), Some((t, text_rest))) if *p == b'?' || p == t => {
                pattern = pattern_rest;
                text = text_rest;
            }
            _ => {
                let Some((after_star, tried)) = retry else {
                    return false;
                };
                let Some((_, next)) = tried.split_first() else {
                    return false;
                };
                pattern = after_star;
                text = next;
                retry = Some((after_star, next));
            }
        }
    }
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

    fn unescaped(text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        unescape(&mut text).to_vec()
    }

    #[test]
    fn plain_text_is_not_changed_by_unescape() {
        assert_eq!(unescaped(b"nfsd: READ \xff"), b"nfsd: READ \xff");
        assert_eq!(unescaped(b""), b"");
    }

    #[test]
    fn escapes_of_spaces_and_specials_are_decoded() {
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
    fn octal_number_stays_within_a_byte() {
        assert_eq!(unescaped(br"\377"), b"\xff");
        assert_eq!(unescaped(br"\400"), b" 0");
    }

    #[test]
    fn unknown_escape_is_plain_text() {
        assert_eq!(unescaped(br"\x41\'\d"), br"\x41\'\d");
    }

    #[test]
    fn escaped_backslash_does_not_escape_the_next_character() {
        assert_eq!(unescaped(br"\\n\\\n"), b"\\n\\\n");
    }

    #[test]
    fn final_backslash_is_plain_text() {
        assert_eq!(unescaped(br"a\"), br"a\");
    }

    fn matches(pattern: &str, text: &str) -> bool {
        match_wildcard(pattern.as_bytes(), text.as_bytes())
    }

    #[test]
    fn pattern_without_wildcards_matches_only_the_whole_text() {
        assert!(matches("main", "main"));
        assert!(!matches("main", "mainly"));
        assert!(!matches("main", "mai"));
        assert!(matches("", ""));
        assert!(!matches("", "a"));
    }

    #[test]
    fn star_matches_any_number_of_characters() {
        assert!(matches("*", "") && matches("*", "abc") && matches("**", "a"));
        assert!(matches("run*", "run") && matches("run*", "run_init"));
        assert!(matches("*recv*", "tcp_recvmsg") && !matches("*recv*", "tcp_sendmsg"));
        assert!(matches("drivers/usb/*", "drivers/usb/core/hub.c"));
    }

    #[test]
    fn question_mark_matches_one_character() {
        assert!(matches("?", "a") && !matches("?", "") && !matches("?", "ab"));
        assert!(matches("a?c*?", "abcd") && !matches("a?c*?", "abc"));
    }

    #[test]
    fn star_backtracks_until_the_rest_matches() {
        assert!(matches("*ab", "aab"));
        assert!(matches("a*bc*cd", "abcbccd"));
        assert!(!matches("*ab*cd", "abc"));
    }

    #[test]
    fn brackets_and_backslashes_match_themselves() {
        assert!(matches("[a]", "[a]") && !matches("[a]", "a"));
        assert!(!matches(r"\*", "*") && matches(r"\*", r"\x"));
    }

    #[test]
    fn pattern_of_many_stars_ends_in_bounded_time() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!matches(&pattern, &"a".repeat(4000)));
    }
}
