// SPDX-License-Identifier: GPL-2.0

//! Wildcards.

/// Whether `text` as a whole matches `pattern`, in which `*` stands for any number of characters
/// and `?` for one. Takes time in proportion to the product of their lengths at worst.
///
/// C source: `match_wildcard()` in `lib/parser.c`.
pub fn match_wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // What follows the last `*`, and where in the text that was last tried. An earlier `*` need
    // not be tried again: the last one can take what it would have given up.
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

    fn matches(pattern: &str, text: &str) -> bool {
        match_wildcard(pattern.as_bytes(), text.as_bytes())
    }

    #[test]
    fn without_wildcards_all_of_it_must_match() {
        assert!(matches("main", "main"));
        assert!(!matches("main", "mainly"));
        assert!(!matches("main", "mai"));
        assert!(matches("", ""));
        assert!(!matches("", "a"));
    }

    #[test]
    fn star_is_any_number_of_characters() {
        assert!(matches("*", "") && matches("*", "abc") && matches("**", "a"));
        assert!(matches("run*", "run") && matches("run*", "run_init"));
        assert!(matches("*recv*", "tcp_recvmsg") && !matches("*recv*", "tcp_sendmsg"));
        assert!(matches("drivers/usb/*", "drivers/usb/core/hub.c"));
    }

    #[test]
    fn question_mark_is_one_character() {
        assert!(matches("?", "a") && !matches("?", "") && !matches("?", "ab"));
        assert!(matches("a?c*?", "abcd") && !matches("a?c*?", "abc"));
    }

    #[test]
    fn a_star_takes_back_what_it_gave() {
        assert!(matches("*ab", "aab"));
        assert!(matches("a*bc*cd", "abcbccd"));
        assert!(!matches("*ab*cd", "abc"));
    }

    #[test]
    fn brackets_and_backslashes_are_plain() {
        assert!(matches("[a]", "[a]") && !matches("[a]", "a"));
        assert!(!matches(r"\*", "*") && matches(r"\*", r"\x"));
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!matches(&pattern, &"a".repeat(4000)));
    }
}
