// SPDX-License-Identifier: GPL-2.0

//! A query: the sites that it selects, and the change of their flags.
//!
//! C source of the syntax of numbers: `lib/kstrtox.c`.

use super::error::{
    ParseError,
    Reason,
    Spec, //
};
use super::flags::Change;
use super::site::{
    Site,
    NO_CLASS, //
};
use super::split::{
    Words,
    MAX_WORDS, //
};
use super::text::{
    cut,
    is_alpha,
    match_wildcard,
    unescape,
    until_nul, //
};
use core::mem::take;

/// The set of sites that a query selects from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The sites of this module and of the modules that use it.
    #[default]
    Own,
    /// The sites of the running kernel: the query starts with the word `kernel`, without quotes.
    Kernel,
}

/// A parsed query. A field that is `None` matches every site, except that a query without a class
/// matches only sites without a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The set of sites to select from.
    pub target: Target,
    /// The function's name, with wildcards.
    pub function: Option<&'a [u8]>,
    /// The source file's name, with wildcards.
    pub filename: Option<&'a [u8]>,
    /// The module's name, with wildcards.
    pub module: Option<&'a [u8]>,
    /// A part of the format, or its start if `^` comes first. Already unescaped.
    pub format: Option<&'a [u8]>,
    /// The name of a class, without wildcards.
    pub class: Option<&'a [u8]>,
    /// The lines.
    pub lines: Lines,
    /// The change of the flags of matching sites.
    pub change: Change,
}

impl<'a> Query<'a> {
    /// Parses one query of [`queries`](super::queries), and replaces escape sequences in place.
    ///
    /// # Errors
    ///
    /// The first error in the kernel's order of checks: quotes and number of words, flags, then
    /// each keyword and its value.
    pub fn parse(query: &'a mut [u8]) -> Result<Self, ParseError<'a>> {
        let mut target = Target::Own;
        let mut words: [&'a mut [u8]; MAX_WORDS] = Default::default();
        let mut free = words.iter_mut();

        for (at, word) in Words::new(until_nul(query)).enumerate() {
            let word = word?;
            if at == 0 && !word.quoted && word.text == b"kernel" {
                target = Target::Kernel;
                continue;
            }
            let Some(slot) = free.next() else {
                return Err(ParseError {
                    reason: Reason::TooManyWords,
                    word: word.text,
                });
            };
            *slot = word.text;
        }

        let unused = free.len();
        let used = words.len().saturating_sub(unused);
        let used = words.get_mut(..used).unwrap_or_default();
        let Some((flags, specs)) = used.split_last_mut() else {
            return Err(ParseError {
                reason: Reason::Empty,
                word: b"",
            });
        };

        let flags: &'a [u8] = &*take(flags);
        let change = Change::parse(flags).map_err(|reason| ParseError {
            reason,
            word: flags,
        })?;
        let mut query = Self {
            target,
            function: None,
            filename: None,
            module: None,
            format: None,
            class: None,
            lines: Lines::ANY,
            change,
        };

        if specs.len() % 2 != 0 {
            return Err(ParseError {
                reason: Reason::NoValue,
                word: specs.last_mut().map(take).unwrap_or_default(),
            });
        }
        for pair in specs.chunks_exact_mut(2) {
            if let [keyword, value] = pair {
                query.add(&*take(keyword), take(value))?;
            }
        }
        Ok(query)
    }

    /// Adds one keyword and its value.
    fn add(&mut self, keyword: &'a [u8], value: &'a mut [u8]) -> Result<(), ParseError<'a>> {
        match keyword {
            b"func" => set(&mut self.function, Spec::Func, value),
            b"file" => self.add_file(value),
            b"module" => set(&mut self.module, Spec::Module, value),
            // The unescaped value is a C string: it ends at a NUL that was written as `\0`.
            b"format" => set(&mut self.format, Spec::Format, until_nul(unescape(value))),
            b"line" => self.add_lines(value),
            b"class" => set(&mut self.class, Spec::Class, value),
            _ => Err(ParseError {
                reason: Reason::UnknownKeyword,
                word: keyword,
            }),
        }
    }

    /// Adds the value of `file`, which may have a function or lines after its first colon.
    fn add_file(&mut self, value: &'a mut [u8]) -> Result<(), ParseError<'a>> {
        let Some(colon) = value.iter().position(|&c| c == b':') else {
            return set(&mut self.filename, Spec::File, value);
        };
        let (filename, tail) = cut(value, colon);
        set(&mut self.filename, Spec::File, filename)?;
        match tail.first() {
            Some(&c) if is_alpha(c) || c == b'*' || c == b'?' => {
                set(&mut self.function, Spec::Func, tail)
            }
            _ => self.add_lines(tail),
        }
    }

    /// Adds lines. A value without a limit, such as `0`, does not count as given.
    fn add_lines(&mut self, word: &'a [u8]) -> Result<(), ParseError<'a>> {
        if self.lines != Lines::ANY {
            return Err(ParseError {
                reason: Reason::Repeated(Spec::Line),
                word,
            });
        }
        self.lines = Lines::parse(word).map_err(|reason| ParseError { reason, word })?;
        Ok(())
    }

    /// Returns the class number that a site of one module must have to match, `None` if no site
    /// matches.
    ///
    /// `classes` are the module's numbers and names, in the order of its maps. The first class with
    /// the name counts. If its number is [`NO_CLASS`], the query matches sites without a class. The
    /// number may also be invalid, so that no site matches.
    pub fn class_id<'n>(&self, classes: impl IntoIterator<Item = (i32, &'n [u8])>) -> Option<i32> {
        let Some(asked) = self.class else {
            return Some(i32::from(NO_CLASS));
        };
        classes
            .into_iter()
            .find(|(_, name)| *name == asked)
            .map(|(id, _)| id)
    }

    /// Returns whether the query selects `site`. `class` comes from [`Query::class_id`] for the
    /// module of the site; the caller compares the target.
    pub fn matches(&self, class: i32, site: &Site<'_>) -> bool {
        let named = |pattern: Option<&[u8]>, names: &[&[u8]]| {
            pattern.is_none_or(|pattern| names.iter().any(|name| match_wildcard(pattern, name)))
        };

        i32::from(site.class.id) == class
            && self.lines.contains(site.lineno)
            && named(self.module, &[site.module])
            && named(self.function, &[site.function])
            && named(
                self.filename,
                &[site.filename, site.basename(), site.relative],
            )
            && self.format.is_none_or(|text| has(site.format, text))
    }
}

/// Sets `spec`, unless it is set already.
fn set<'a>(
    spec: &mut Option<&'a [u8]>,
    which: Spec,
    value: &'a [u8],
) -> Result<(), ParseError<'a>> {
    if spec.is_some() {
        return Err(ParseError {
            reason: Reason::Repeated(which),
            word: value,
        });
    }
    *spec = Some(value);
    Ok(())
}

/// Returns whether `text` is in `format`, or with a `^`, at the start of `format`.
fn has(format: &[u8], text: &[u8]) -> bool {
    match text {
        [] => true,
        [b'^', start @ ..] => format.starts_with(start),
        _ => format.windows(text.len()).any(|window| window == text),
    }
}

/// Lines from `first` to `last`, inclusive; 0 at either end is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The first line, or 0.
    pub first: u32,
    /// The last line, or 0.
    pub last: u32,
}

impl Lines {
    /// The range of all lines.
    pub const ANY: Self = Self { first: 0, last: 0 };

    /// Parses `5`, `5-9`, `5-` or `-9`. An empty number is 0; a 0 at the end of a range is
    /// `u32::MAX`.
    ///
    /// # Errors
    ///
    /// [`Reason::BadLine`] for anything but a number of 32 bits, [`Reason::BackwardRange`] for a
    /// range that ends before it starts.
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

    /// Returns whether line `lineno` is in the range.
    pub const fn contains(self, lineno: u32) -> bool {
        (self.first == 0 || self.first <= lineno) && (self.last == 0 || lineno <= self.last)
    }
}

/// Parses a decimal number like `kstrtouint()`: a plus sign may precede it, and a newline may
/// follow. An empty text is 0.
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
    use super::super::flags::Flags;
    use super::super::site::Class;
    use super::*;

    const SITE: Site<'_> = Site {
        module: b"nfsd",
        function: b"nfsd_setattr",
        filename: b"/src/fs/nfsd/vfs.c",
        relative: b"fs/nfsd/vfs.c",
        format: b"nfsd: SETATTR  %s\n",
        lineno: 100,
        class: Class::NONE,
    };

    fn matches(query: &[u8], site: &Site<'_>) -> bool {
        matches_in(&[], query, site)
    }

    /// Returns whether the query selects `site` of a module that has `classes`.
    fn matches_in(classes: &[(i32, &[u8])], query: &[u8], site: &Site<'_>) -> bool {
        let mut query = query.to_vec();
        let query = Query::parse(&mut query).unwrap();
        let class = query.class_id(classes.iter().copied());
        class.is_some_and(|class| query.matches(class, site))
    }

    fn of_class(id: u8) -> Site<'static> {
        Site {
            class: Class { id, name: None },
            ..SITE
        }
    }

    #[track_caller]
    fn assert_error(query: &str, reason: Reason, word: &str) {
        let mut text = query.as_bytes().to_vec();
        let error = ParseError {
            reason,
            word: word.as_bytes(),
        };
        assert_eq!(Query::parse(&mut text), Err(error), "{query:?}");
    }

    #[test]
    fn query_of_flags_alone_matches_sites_without_a_class() {
        assert!(matches(b"+p", &SITE));
    }

    #[test]
    fn each_keyword_narrows_the_query() {
        for spec in [
            "func nfsd_*",
            "module nfs?",
            "file vfs.c",
            "file fs/nfsd/*",
            "file /src/*",
            "format SETATTR",
            "format \"nfsd: SETATTR\"",
            r"format nfsd:\040SETATTR",
            "line 100",
            "line 99-101",
        ] {
            let query = format!("{spec} +p");
            assert!(matches(query.as_bytes(), &SITE), "{query}");
        }
        for spec in [
            "func nfsd",
            "module nfs",
            "file nfsd",
            "file nfsd/vfs.c",
            "format setattr",
            "line 99",
            "line 101-",
            "line -99",
            "func nfsd_* module x",
        ] {
            let query = format!("{spec} +p");
            assert!(!matches(query.as_bytes(), &SITE), "{query}");
        }
    }

    #[test]
    fn letters_and_wildcards_after_a_colon_are_a_function() {
        assert!(matches(b"file vfs.c:nfsd_set* +p", &SITE));
        assert!(!matches(b"file vfs.c:nfsd +p", &SITE));
        assert!(matches(b"file vfs.c:*attr +p", &SITE));
        assert!(matches(b"file vfs.c:?fsd* +p", &SITE));
    }

    #[test]
    fn other_text_after_a_colon_is_lines() {
        assert!(matches(b"file vfs.c:100 +p", &SITE));
        assert!(matches(b"file vfs.c:-100 +p", &SITE));
        assert!(!matches(b"file vfs.c:101- +p", &SITE));
        assert!(matches(b"file vfs.c: +p", &SITE));
        assert_error("file vfs.c:_f +p", Reason::BadLine, "_f");
        assert_error(
            "file vfs.c:a:b func c +p",
            Reason::Repeated(Spec::Func),
            "c",
        );
    }

    #[test]
    fn a_caret_anchors_the_format() {
        assert!(matches(b"format ^nfsd +p", &SITE));
        assert!(!matches(b"format ^SETATTR +p", &SITE));
        assert!(matches(br"format \136nfsd +p", &SITE));
        assert!(matches(b"format ^ +p", &SITE));
    }

    #[test]
    fn formats_have_no_wildcards() {
        assert!(!matches(b"format nfsd* +p", &SITE));
    }

    #[test]
    fn a_format_ends_at_an_escaped_nul() {
        assert!(matches(br"format nfsd\0xyz +p", &SITE));
        assert!(matches(br"format \0 +p", &SITE));
        assert!(matches(b"format '' +p", &SITE));
    }

    #[test]
    fn empty_name_matches_no_site_with_a_name() {
        assert!(!matches(b"func '' +p", &SITE));
        assert!(!matches(b"file :nfsd_setattr +p", &SITE));
    }

    #[test]
    fn class_query_matches_the_exact_name_only() {
        let classes: &[(i32, &[u8])] = &[(0, b"DRM_UT_CORE"), (2, b"DRM_UT_KMS")];
        let matches = |query, id| matches_in(classes, query, &of_class(id));
        assert!(matches(b"class DRM_UT_KMS +p", 2));
        assert!(!matches(b"class DRM_UT_* +p", 2));
        assert!(!matches(b"class DRM_UT_KMS +p", NO_CLASS));
        assert!(!matches(b"class DRM_UT_KMS +p", 0));
        assert!(!matches(b"class DRM_UT_KMS +p", 3));
        assert!(!matches(b"+p", 2));
        assert!(!matches(b"+p", 3));
        assert!(matches(b"+p", NO_CLASS));
    }

    #[test]
    fn every_name_of_a_class_number_selects_its_sites() {
        let classes: &[(i32, &[u8])] = &[(0, b"X0"), (1, b"X1"), (0, b"Y0"), (1, b"Y1")];
        for query in [&b"class X1 +p"[..], b"class Y1 +p"] {
            assert!(matches_in(classes, query, &of_class(1)));
            assert!(!matches_in(classes, query, &of_class(0)));
        }
    }

    #[test]
    fn first_class_number_of_a_name_counts() {
        let classes: &[(i32, &[u8])] = &[(4, b"X"), (1, b"X")];
        assert!(matches_in(classes, b"class X +p", &of_class(4)));
        assert!(!matches_in(classes, b"class X +p", &of_class(1)));
    }

    #[test]
    fn class_number_63_selects_sites_without_a_class() {
        let classes: &[(i32, &[u8])] = &[(62, b"X62"), (63, b"X63")];
        assert!(matches_in(classes, b"class X63 +p", &SITE));
        assert!(!matches_in(classes, b"class X62 +p", &SITE));
        assert!(matches_in(classes, b"class X62 +p", &of_class(62)));
        assert!(!matches_in(classes, b"class X63 +p", &of_class(62)));
    }

    #[test]
    fn impossible_class_number_selects_no_site() {
        let classes: &[(i32, &[u8])] = &[(319, b"X"), (-193, b"Y")];
        for query in [&b"class X +p"[..], b"class Y +p"] {
            assert!(!matches_in(classes, query, &SITE));
        }
    }

    #[test]
    fn word_kernel_before_a_query_is_its_target() {
        let parsed = |query: &str| {
            let mut query = query.as_bytes().to_vec();
            Query::parse(&mut query).map(|query| query.target).ok()
        };
        assert_eq!(parsed("+p"), Some(Target::Own));
        assert_eq!(parsed(" kernel +p"), Some(Target::Kernel));
        assert_eq!(parsed("kernel module kernel +p"), Some(Target::Kernel));
        assert_eq!(parsed("module kernel +p"), Some(Target::Own));
        assert_error("'kernel' +p", Reason::NoValue, "kernel");
        assert_error("kernel kernel +p", Reason::NoValue, "kernel");
        assert_error("kernel", Reason::Empty, "");
        assert_error("kernel # +p", Reason::Empty, "");
    }

    #[test]
    fn tenth_word_without_the_target_is_refused() {
        let nine = "func a file b module c line 1 +p";
        assert!(Query::parse(&mut nine.as_bytes().to_vec()).is_ok());
        let ten = format!("kernel {nine}");
        assert!(Query::parse(&mut ten.into_bytes()).is_ok());
        assert_error(&format!("{nine} x"), Reason::TooManyWords, "x");
    }

    #[test]
    fn flags_are_checked_before_keywords() {
        assert_error("mod bar +foo", Reason::UnknownFlag, "+foo");
        assert_error("mod bar", Reason::NoOperator, "bar");
        assert_error("\"\"", Reason::NoOperator, "");
        assert_error("mod bar +p", Reason::UnknownKeyword, "mod");
        assert_error("mod +p", Reason::NoValue, "mod");
    }

    #[test]
    fn repeated_keyword_is_refused() {
        assert_error("func a func b +p", Reason::Repeated(Spec::Func), "b");
        assert_error("func a file b:c +p", Reason::Repeated(Spec::Func), "c");
        assert_error("file a file b +p", Reason::Repeated(Spec::File), "b");
        assert_error("file '' file b +p", Reason::Repeated(Spec::File), "b");
        assert_error("module a module b +p", Reason::Repeated(Spec::Module), "b");
        assert_error("format a format b +p", Reason::Repeated(Spec::Format), "b");
        assert_error("class a class b +p", Reason::Repeated(Spec::Class), "b");
        assert_error("line 1 line 2 +p", Reason::Repeated(Spec::Line), "2");
        assert_error("file a:1- line 2 +p", Reason::Repeated(Spec::Line), "2");
    }

    #[test]
    fn lines_without_a_limit_may_be_repeated() {
        assert!(matches(b"line 0 line 100 +p", &SITE));
        assert!(matches(b"file vfs.c: line 100 +p", &SITE));
        assert_error("line - line 100 +p", Reason::Repeated(Spec::Line), "100");
    }

    #[test]
    fn a_query_ends_at_a_nul_or_comment() {
        assert!(matches(b"+p\0 x", &SITE));
        assert!(matches(b"+p # x", &SITE));
    }

    #[test]
    fn last_word_of_a_query_is_the_change() {
        let mut text = *b"module +m =pt";
        let query = Query::parse(&mut text).unwrap();
        assert_eq!(query.module, Some(&b"+m"[..]));
        let set = Flags::PRINT.union(Flags::THREAD);
        assert_eq!(query.change.apply(Flags::STACK), set);
    }

    fn lines(first: u32, last: u32) -> Result<Lines, Reason> {
        Ok(Lines { first, last })
    }

    #[test]
    fn single_number_selects_one_line() {
        assert_eq!(Lines::parse(b"1603"), lines(1603, 1603));
        let line = Lines::parse(b"1603").unwrap();
        assert!(!line.contains(1602) && line.contains(1603) && !line.contains(1604));
    }

    #[test]
    fn empty_end_of_a_range_is_no_limit() {
        assert_eq!(Lines::parse(b"1600-1605"), lines(1600, 1605));
        assert_eq!(Lines::parse(b"-1605"), lines(0, 1605));
        assert_eq!(Lines::parse(b"1600-"), lines(1600, u32::MAX));
        assert_eq!(Lines::parse(b"-"), lines(0, u32::MAX));
        assert!(Lines::parse(b"-1605").unwrap().contains(1));
        assert!(Lines::parse(b"1600-").unwrap().contains(u32::MAX));
    }

    #[test]
    fn line_zero_is_no_limit() {
        assert_eq!(Lines::parse(b"0"), Ok(Lines::ANY));
        assert_eq!(Lines::parse(b""), Ok(Lines::ANY));
        assert_eq!(Lines::parse(b"5-0"), lines(5, u32::MAX));
    }

    #[test]
    fn line_numbers_parse_as_in_kstrtouint() {
        assert_eq!(Lines::parse(b"+5-+6"), lines(5, 6));
        assert_eq!(Lines::parse(b"00000000000000000000007"), lines(7, 7));
        assert_eq!(Lines::parse(b"4294967295"), lines(u32::MAX, u32::MAX));
        assert_eq!(Lines::parse(b"3\n"), lines(3, 3));
    }

    #[test]
    fn invalid_line_number_is_refused() {
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
    fn backward_range_of_lines_is_refused() {
        assert_eq!(Lines::parse(b"9-5"), Err(Reason::BackwardRange));
        assert_eq!(Lines::parse(b"5-5"), lines(5, 5));
    }
}
