// SPDX-License-Identifier: GPL-2.0

//! Properties of the query language.

mod persistence;

use miniring_pure::dyndbg::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Generates writes of words of the language and noise, which often pass the first few checks.
fn any_write() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => select(&[
            "func ", "file ", "module ", "format ", "line ", "class ", "kernel ", "a ", "b.c:", "*",
            "?", "12", "-", "+p ", "-p", "=_", ";", "\n", "#", "\"", "'", "\\", "\\n", "\\04", "^",
            " ", "\t", "\u{a0}", "\0",
        ][..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A site that owns its texts.
#[derive(Clone, Debug)]
struct Owned {
    module: String,
    function: String,
    filename: String,
    format: String,
    lineno: u32,
    class: u8,
}

const ROOT: &str = "/s/";

/// The classes: `B` has two numbers, number 1 has two names, and `D` has the number of no class.
const CLASSES: [(i32, &str); 5] = [(0, "A"), (1, "B"), (1, "C"), (2, "B"), (63, "D")];

impl Owned {
    fn site(&self) -> Site<'_> {
        let filename = self.filename.as_bytes();
        Site {
            module: self.module.as_bytes(),
            function: self.function.as_bytes(),
            filename,
            relative: Site::relative_to(ROOT.as_bytes(), filename),
            format: self.format.as_bytes(),
            lineno: self.lineno,
            class: Class {
                id: self.class,
                name: None,
            },
        }
    }

    /// Returns whether `query` selects the site, in a module with the [`CLASSES`].
    fn is_selected(&self, query: &Query<'_>) -> bool {
        let class = query.class_id(CLASSES.map(|(id, name)| (id, name.as_bytes())));
        class.is_some_and(|class| query.matches(class, &self.site()))
    }
}

fn any_site() -> impl Strategy<Value = Owned> {
    (
        ("[ab]{1,3}", "[ab]{1,3}", "(/s/)?([ab]/){0,2}[ab]\\.c"),
        ("[ab ]{0,5}", 0u32..9, select(&[0, 1, 2, 62, NO_CLASS][..])),
    )
        .prop_map(
            |((module, function, filename), (format, lineno, class))| Owned {
                module,
                function,
                filename,
                format,
                lineno,
                class,
            },
        )
}

/// The values of a query's keywords.
#[derive(Clone, Debug)]
struct Specs {
    module: Option<String>,
    function: Option<String>,
    filename: Option<String>,
    format: Option<String>,
    lines: Option<(u32, u32)>,
    class: Option<String>,
}

impl Specs {
    /// Returns the query, which adds `p`; `None` if it has more than the maximum of four pairs.
    fn text(&self) -> Option<String> {
        let mut words = Vec::new();
        let mut push = |keyword: &str, value: Option<String>| {
            words.extend(value.map(|value| format!("{keyword} '{value}'")));
        };
        push("class", self.class.clone());
        push(
            "line",
            self.lines.map(|(first, last)| format!("{first}-{last}")),
        );
        push("format", self.format.clone());
        push("file", self.filename.clone());
        push("func", self.function.clone());
        push("module", self.module.clone());
        (words.len() <= 4).then(|| words.join(" ") + " +p")
    }

    /// Returns for each keyword whether `site` matches it.
    fn each(&self, site: &Owned) -> [bool; 6] {
        let path = site.filename.as_str();
        let base = path.rsplit('/').next().unwrap();
        let relative = path.strip_prefix(ROOT).unwrap_or(path);
        let named = |pattern: &Option<String>, names: &[&str]| {
            pattern.as_ref().is_none_or(|pattern| {
                names
                    .iter()
                    .any(|name| naive(pattern.as_bytes(), name.as_bytes()))
            })
        };
        [
            named(&self.module, &[&site.module]),
            named(&self.function, &[&site.function]),
            named(&self.filename, &[path, base, relative]),
            self.format
                .as_ref()
                .is_none_or(|text| match text.strip_prefix('^') {
                    Some(start) => site.format.starts_with(start),
                    None => site.format.contains(text.as_str()),
                }),
            self.lines.is_none_or(|(first, last)| {
                first <= site.lineno && (last == 0 || site.lineno <= last)
            }),
            match self.class.as_deref() {
                None | Some("D") => site.class == NO_CLASS,
                Some("A") => site.class == 0,
                Some("B" | "C") => site.class == 1,
                Some(_) => false,
            },
        ]
    }
}

fn any_specs() -> impl Strategy<Value = Specs> {
    (
        (
            option::of("[ab*?]{1,3}"),
            option::of("[ab*?]{1,3}"),
            option::of("(/s/)?([ab*]/){0,2}[ab*?]{1,2}(\\.c)?"),
        ),
        (
            option::of("\\^?[ab ]{0,2}"),
            option::of((0u32..9, 0u32..9)),
            option::of("[A-E*]"),
        ),
    )
        .prop_map(
            |((module, function, filename), (format, lines, class))| Specs {
                module,
                function,
                filename,
                format,
                lines: lines.map(|(a, b)| if b == 0 { (a, b) } else { (a.min(b), a.max(b)) }),
                class,
            },
        )
}

/// Matches wildcards in the simplest way, as a reference.
fn naive(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
        ([b'?', pattern @ ..], [_, text @ ..]) => naive(pattern, text),
        ([p, pattern @ ..], [t, text @ ..]) if p == t => naive(pattern, text),
        _ => false,
    }
}

fn printed(site: &Site<'_>, flags: u8) -> Vec<u8> {
    let mut line = Vec::new();
    site.print(Flags::from_bits(flags), &mut |bytes| {
        line.extend_from_slice(bytes)
    });
    line
}

proptest! {
    #![proptest_config(persistence::config())]

    #[test]
    fn any_write_parses_without_panic(mut write in any_write(), site in any_site()) {
        for query in queries(&mut write) {
            prop_assert!(!query.iter().any(|c| b";\n\0".contains(c)));
            prop_assert!(!matches!(query.first(), None | Some(b'#' | b' ' | b'\t')));
            match Query::parse(query) {
                Ok(query) => {
                    site.is_selected(&query);
                }
                Err(error) => {
                    let line = error.to_string();
                    prop_assert!(line.bytes().all(|c| matches!(c, b' '..=b'~')), "{}", line);
                }
            }
        }
    }

    #[test]
    fn unsplit_query_parses_without_panic(mut query in any_write()) {
        let _ = Query::parse(&mut query);
    }

    #[test]
    fn site_matches_if_each_keyword_matches(specs in any_specs(), site in any_site()) {
        let Some(text) = specs.text() else {
            return Ok(());
        };
        let mut text = text.into_bytes();
        let query = Query::parse(&mut text).unwrap();
        let each = specs.each(&site);
        prop_assert_eq!(site.is_selected(&query), each == [true; 6], "{:?}", each);
    }

    #[test]
    fn wildcards_match_as_in_the_naive_matcher(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
        let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(match_wildcard(pattern, text), naive(pattern, text));
    }

    #[test]
    fn change_sets_and_clears_the_named_flags(
        flags in any::<u8>(),
        operator in select(&['+', '-', '='][..]),
        letters in "[pmfsltd_]{0,9}",
    ) {
        let change = Change::parse(format!("{operator}{letters}").as_bytes()).unwrap();
        let named = Change::parse(format!("={letters}").as_bytes()).unwrap();
        let named = named.apply(Flags::NONE).bits();
        let expected = match operator {
            '+' => flags | named,
            '-' => flags & !named,
            _ => named,
        };
        prop_assert_eq!(change.apply(Flags::from_bits(flags)).bits(), expected);
    }

    #[test]
    fn printed_flags_parse_as_the_same_flags(flags in 0u8..0x80) {
        let flags = Flags::from_bits(flags);
        let change = Change::parse(format!("={flags}").as_bytes()).unwrap();
        prop_assert_eq!(change.apply(Flags::from_bits(0xff)), flags);
    }

    #[test]
    fn site_prints_as_one_line_for_any_format(format in vec(1u8.., 0..40), flags in any::<u8>()) {
        let site = Site {
            module: b"m",
            function: b"f",
            filename: b"a.c",
            relative: b"a.c",
            format: &format,
            lineno: u32::MAX,
            class: Class {
                id: 0,
                name: Some(b"C"),
            },
        };
        let line = printed(&site, flags);
        let (end, line) = line.split_last().unwrap();
        prop_assert_eq!(*end, b'\n');
        prop_assert!(!line.iter().any(|c| b"\t\r\n".contains(c)));

        let escaped = format.iter().filter(|c| b"\t\r\n".contains(c)).count();
        let bare = printed(&Site { format: b"", ..site }, flags);
        prop_assert_eq!(line.len() + 1, bare.len() + format.len() + escaped);
    }

    #[test]
    fn quoted_printable_text_is_parsed_unchanged(word in "[ !#-&(-\\[\\]-~]{1,9}") {
        let mut query = format!("format '{word}' +p").into_bytes();
        let query = Query::parse(&mut query).unwrap();
        prop_assert_eq!(query.format, Some(word.as_bytes()));
    }
}
