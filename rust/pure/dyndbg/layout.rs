// SPDX-License-Identifier: GPL-2.0

//! Checks the layout of the kernel's tables of sites.

use core::fmt;
use core::ops::Range;

/// The reason why the layout is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// No site is built in, so the tables cannot be checked.
    NothingBuiltIn,
    /// The tables do not cover the section without gaps.
    Unfamiliar,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingBuiltIn => "no site is built in to check dynamic debug's tables by",
            Self::Unfamiliar => "dynamic debug's tables look unfamiliar",
        })
    }
}

/// Counts the built-in sites, each of `size` bytes, in `section`.
///
/// `tables` yields for each table the address of its first site and its number of sites, in the
/// order of the kernel's list. The first tables are made from the section at boot, so they must
/// cover the section without a gap. Later tables are not read.
///
/// # Errors
///
/// [`Distrust`], also if the section is empty.
pub fn count_built_in(
    section: Range<usize>,
    size: usize,
    tables: impl IntoIterator<Item = (usize, usize)>,
) -> Result<usize, Distrust> {
    if section.is_empty() {
        return Err(Distrust::NothingBuiltIn);
    }
    let mut expected = section.start;
    let mut count = 0_usize;
    for (first, len) in tables {
        let end = len
            .checked_mul(size)
            .and_then(|bytes| expected.checked_add(bytes))
            .filter(|end| first == expected && len != 0 && *end <= section.end);
        expected = end.ok_or(Distrust::Unfamiliar)?;
        count = count.saturating_add(len);
        if expected == section.end {
            return Ok(count);
        }
    }
    Err(Distrust::Unfamiliar)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: Range<usize> = 1000..1060;

    #[test]
    fn tables_that_cover_the_section_are_counted() {
        assert_eq!(count_built_in(SECTION, 10, [(1000, 2), (1020, 4)]), Ok(6));
        assert_eq!(count_built_in(SECTION, 10, [(1000, 6)]), Ok(6));
    }

    #[test]
    fn tables_after_the_built_in_ones_are_not_read() {
        let mut asked = 0;
        let tables = [(1000, 6), (5000, 1)].into_iter().inspect(|_| asked += 1);
        assert_eq!(count_built_in(SECTION, 10, tables), Ok(6));
        assert_eq!(asked, 1);
    }

    #[test]
    fn empty_section_of_sites_is_refused() {
        let section = 1000..1000;
        assert_eq!(
            count_built_in(section.clone(), 10, []),
            Err(Distrust::NothingBuiltIn)
        );
        assert_eq!(
            count_built_in(section, 10, [(1000, 1)]),
            Err(Distrust::NothingBuiltIn)
        );
    }

    #[test]
    fn tables_that_do_not_cover_the_section_are_refused() {
        let rows: [&[(usize, usize)]; 8] = [
            &[],
            &[(1000, 5)],
            &[(1000, 7)],
            &[(1000, 2), (1030, 3)],
            &[(1000, 2), (1010, 5)],
            &[(1000, 0), (1000, 6)],
            &[(1020, 4), (1000, 2)],
            &[(1000, usize::MAX)],
        ];
        for row in rows {
            assert_eq!(
                count_built_in(SECTION, 10, row.iter().copied()),
                Err(Distrust::Unfamiliar),
                "{row:?}"
            );
        }
    }

    #[test]
    fn section_with_part_of_a_site_is_refused() {
        assert_eq!(
            count_built_in(1000..1065, 10, [(1000, 6)]),
            Err(Distrust::Unfamiliar)
        );
    }
}
