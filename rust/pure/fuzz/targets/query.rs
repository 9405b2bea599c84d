// SPDX-License-Identifier: GPL-2.0

//! Fuzzes queries: any write is split, parsed and matched without a panic. A parsed query that is
//! written in another way parses as the same query.

#![no_main]

use libfuzzer_sys::fuzz_target;
use miniring_pure::dyndbg::*;

const MAX_PAIRS: usize = 4;

/// Appends `value` as a word that parses as `value`. Returns false if there is no such word.
fn word(text: &mut Vec<u8>, value: &[u8]) -> bool {
    let quote = [b'"', b'\''].into_iter().find(|c| !value.contains(c));
    if let Some(quote) = quote {
        text.push(quote);
        text.extend(value);
        text.push(quote);
        return true;
    }
    let space = |c: &u8| matches!(c, b'\t'..=b'\r' | b' ' | 0xa0);
    text.extend(value);
    !value.iter().any(space) && !value.starts_with(b"#") && !b"\"'".contains(&value[0])
}

/// Writes the query in another way; `None` if the query has too many words, or a value that no word
/// can express.
fn rewrite(query: &Query<'_>) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut pairs = 0;
    let mut pair = |keyword: &[u8], value: Option<&[u8]>| {
        let Some(value) = value else { return true };
        pairs += 1;
        text.extend(keyword);
        text.push(b' ');
        let possible = word(&mut text, value);
        text.push(b' ');
        possible
    };

    // Write each byte as an octal number. A NUL would end the format, but a format has no NUL.
    let format = query.format.map(|format| {
        let escaped = format.iter().map(|byte| format!("\\{byte:03o}"));
        escaped.collect::<String>().into_bytes()
    });
    let Lines { first, last } = query.lines;
    let lines = (query.lines != Lines::ANY).then(|| format!("{first}-{last}").into_bytes());
    let possible = pair(b"class", query.class)
        && pair(b"line", lines.as_deref())
        && pair(b"format", format.as_deref())
        && pair(b"file", query.filename)
        && pair(b"module", query.module)
        && pair(b"func", query.function);
    if !possible || pairs > MAX_PAIRS {
        return None;
    }

    let Change { mask, flags } = query.change;
    let (operator, flags) = match mask {
        0 => ('=', flags),
        0xff => ('+', flags),
        _ => ('-', !mask),
    };
    text.extend(format!("{operator}{}", Flags::from_bits(flags)).into_bytes());
    let target: &[u8] = match query.target {
        Target::Own => b"",
        Target::Kernel => b"kernel\t",
    };
    Some([target, &text[..]].concat())
}

fuzz_target!(|data: &[u8]| {
    // The input begins with a site: for each text, a byte with its length and the text.
    let mut texts = [&b""[..]; 5];
    let mut rest = data;
    for text in &mut texts {
        let Some((&len, tail)) = rest.split_first() else {
            return;
        };
        (*text, rest) = tail.split_at(usize::from(len % 16).min(tail.len()));
    }
    let [module, function, filename, format, class] = texts;
    let site = Site {
        module,
        function,
        filename,
        relative: Site::relative_to(b"/s/", filename),
        format,
        lineno: rest.len() as u32,
        class: Class {
            id: class.first().map_or(NO_CLASS, |id| id % 64),
            name: class.split_first().map(|(_, name)| name),
        },
    };

    let mut write = rest.to_vec();
    for query in queries(&mut write) {
        assert!(!query.iter().any(|c| b";\n\0".contains(c)));
        let query = match Query::parse(query) {
            Ok(query) => query,
            Err(error) => {
                let line = error.to_string();
                assert!(line.bytes().all(|c| matches!(c, b' '..=b'~')), "{line:?}");
                continue;
            }
        };
        let names = class.chunks(2).map(|name| (name.len() as i32 * 31, name));
        let selects = |query: &Query<'_>| {
            let class = query.class_id(names.clone());
            class.is_some_and(|class| query.matches(class, &site))
        };
        let matched = selects(&query);
        if let Some(mut text) = rewrite(&query) {
            let shown = String::from_utf8_lossy(&text).into_owned();
            assert_eq!(Query::parse(&mut text), Ok(query), "{shown:?}");
            assert_eq!(selects(&query), matched);
        }
        let flags = query.change.apply(Flags::from_bits(module.len() as u8));
        let mut line = Vec::new();
        site.print(flags, &mut |bytes| line.extend_from_slice(bytes));
        assert_eq!(line.last(), Some(&b'\n'));
    }
});
