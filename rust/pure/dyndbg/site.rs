// SPDX-License-Identifier: GPL-2.0

//! A site: one place in the code that can print.

/// What a query can ask about a site, and what its line in the control file says.
///
/// None of the text has a NUL in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site<'a> {
    /// The module's name; that of the file for code that is built in.
    pub module: &'a [u8],
    /// The function's name.
    pub function: &'a [u8],
    /// The source file's name as the compiler was given it.
    pub filename: &'a [u8],
    /// The same relative to the root of the source, which is what is listed. See
    /// [`Site::relative_to`].
    pub relative: &'a [u8],
    /// The format string.
    pub format: &'a [u8],
    /// The line number.
    pub lineno: u32,
    /// The class.
    pub class: Class<'a>,
}

impl<'a> Site<'a> {
    /// `filename` without `root`, the prefix that the names of all source files share, which ends
    /// in a slash; `filename` if it has another. For [`Site::relative`].
    pub fn relative_to(root: &[u8], filename: &'a [u8]) -> &'a [u8] {
        filename.strip_prefix(root).unwrap_or(filename)
    }

    /// The name of the source file without its directories.
    pub fn basename(&self) -> &'a [u8] {
        self.filename
            .rsplit(|&c| c == b'/')
            .next()
            .unwrap_or(self.filename)
    }
}

/// The class of a site: a number, and the name by which it is listed.
///
/// Queries compare the number, see [`Query::class_id`](super::Query::class_id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class<'a> {
    /// The number, [`NO_CLASS`] if the site has none.
    pub id: u8,
    /// The name that the module's first map with this number gives it.
    pub name: Option<&'a [u8]>,
}

/// The number of a site without a class (`_DPRINTK_CLASS_DFLT`).
pub const NO_CLASS: u8 = 63;

impl Class<'_> {
    /// No class.
    pub const NONE: Self = Self {
        id: NO_CLASS,
        name: None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basename(filename: &str) -> Vec<u8> {
        let site = Site {
            module: b"",
            function: b"",
            filename: filename.as_bytes(),
            relative: b"",
            format: b"",
            lineno: 0,
            class: Class::NONE,
        };
        site.basename().to_vec()
    }

    #[test]
    fn basename_is_behind_the_last_slash() {
        assert_eq!(basename("/src/init/main.c"), b"main.c");
        assert_eq!(basename("main.c"), b"main.c");
        assert_eq!(basename("init/"), b"");
    }

    #[test]
    fn only_the_root_is_trimmed() {
        assert_eq!(
            Site::relative_to(b"/src/", b"/src/init/main.c"),
            b"init/main.c"
        );
        assert_eq!(Site::relative_to(b"/src/", b"init/main.c"), b"init/main.c");
        assert_eq!(Site::relative_to(b"", b"init/main.c"), b"init/main.c");
    }
}
