#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of scripts/series.py with made-up mails and a small tree. Needs git."""

import base64
import pathlib
import quopri
import re
import subprocess
import tempfile
import unittest

import series

BEFORE = "".join(f"\tline {n};\n" if n % 4 else "\n" for n in range(1, 25))
FROM = b"From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n"


def diff(path, old, new):
    """Returns a diff of git's between two contents of a file."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        series.git(folder, "init", "-q")
        for content in (old, new):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                target.unlink(missing_ok=True)
            else:
                target.write_text(content)
            series.git(folder, "add", "-A")
            series.git(folder, "commit", "-q", "--allow-empty", "-m", "content")
        return series.git(folder, "diff", "HEAD^", "HEAD")


def mail(subject, body, headers=""):
    return (f"From: A <a@localhost>\nSubject: {subject}\n{headers}\n").encode() + (
        body if isinstance(body, bytes) else body.encode())


def changed(number, text):
    """Returns BEFORE with one line changed."""
    return BEFORE.replace(f"line {number};", text)


class Tree(unittest.TestCase):
    """A tree of one file, and a file with the series."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        self.tree = self.top / "tree"
        (self.tree / "fs").mkdir(parents=True)
        self.file = self.tree / "fs/a.c"
        self.file.write_text(BEFORE)

    def read(self, *raw):
        path = self.top / "series"
        path.write_bytes(b"".join(FROM + one + b"\n" for one in raw) if len(raw) > 1 else raw[0])
        return series.read(path)

    def apply(self, read, **settings):
        return series.apply(read, self.tree, self.tree, **settings)


class Reading(Tree):
    def test_mbox_is_read_in_order_of_numbers_without_cover_letter(self):
        first = diff("fs/a.c", BEFORE, changed(5, "one"))
        second = diff("fs/a.c", changed(5, "one"), changed(5, "two"))
        read = self.read(mail("[PATCH 2/2] second", f"text\n---\n{second}"),
                         mail("[PATCH 0/2] cover", "From here on, no diff.\n"),
                         mail("[PATCH 1/2] first", f"text\n---\n{first}-- \n2.1\n"))
        self.assertEqual([p.number for p in read.patches], [1, 2])
        self.assertEqual(read.notes, ["skipped 1 mail(s) without a diff"])
        self.apply(read)
        self.assertEqual(self.file.read_text(), changed(5, "two"))

    def test_single_mail_without_from_line_is_read(self):
        read = self.read(mail("[PATCH] one", diff("fs/a.c", BEFORE, changed(5, "one"))))
        self.apply(read)
        self.assertEqual(self.file.read_text(), changed(5, "one"))

    def test_quoted_printable_is_decoded(self):
        new = changed(5, "a = b; /* \u00fc */" + "x" * 90)
        body = quopri.encodestring(diff("fs/a.c", BEFORE, new).encode())
        self.assertIn(b"=3D", body)
        self.apply(self.read(mail("[PATCH] one", body, "Content-Type: text/plain; charset=utf-8\n"
                                  "Content-Transfer-Encoding: quoted-printable\n")))
        self.assertEqual(self.file.read_text(), new)

    def test_base64_with_crlf_is_decoded(self):
        crlf = diff("fs/a.c", BEFORE, changed(5, "one")).replace("\n", "\r\n").encode()
        self.apply(self.read(mail("[PATCH] one", base64.encodebytes(crlf),
                                  "Content-Transfer-Encoding: base64\n")))
        self.assertEqual(self.file.read_text(), changed(5, "one"))

    def test_mail_with_crlf_throughout_is_read(self):
        raw = mail("[PATCH] one", diff("fs/a.c", BEFORE, changed(5, "one")))
        self.apply(self.read(raw.replace(b"\n", b"\r\n")))
        self.assertEqual(self.file.read_text(), changed(5, "one"))

    def test_attachments_are_patches_in_their_order(self):
        first = diff("fs/a.c", BEFORE, changed(5, "one"))
        second = diff("fs/a.c", changed(5, "one"), changed(5, "two"))
        parts = "".join(
            f"--b\nContent-Type: text/x-patch\nContent-Transfer-Encoding: base64\n"
            f"Content-Disposition: attachment; filename={name}\n\n"
            f"{base64.encodebytes(text.encode()).decode()}\n"
            for name, text in (("1.patch", first), ("2.patch", second)))
        read = self.read(mail("two", f"--b\n\nHello.\n{parts}--b--\n",
                              "Content-Type: multipart/mixed; boundary=b\n"))
        self.assertEqual([p.subject for p in read.patches], ["1.patch", "2.patch"])
        self.apply(read)
        self.assertEqual(self.file.read_text(), changed(5, "two"))

    def test_newest_version_of_thread_is_used_and_replies_are_not(self):
        old = diff("fs/a.c", BEFORE, changed(5, "old"))
        new = diff("fs/a.c", BEFORE, changed(5, "new"))
        read = self.read(mail("[PATCH] one", old), mail("[PATCH v2] one", new),
                         mail("Re: [PATCH v2] one", f"What about this?\n{old}"))
        self.apply(read)
        self.assertEqual(self.file.read_text(), changed(5, "new"))
        self.assertEqual(read.notes, ["skipped a reply that has a diff: Re: [PATCH v2] one",
                                      "the mbox has several versions: v2 was used"])

    def test_missing_patch_is_noted(self):
        read = self.read(mail("[PATCH 2/3] one", diff("fs/a.c", BEFORE, changed(5, "one"))))
        self.assertEqual(read.notes, ["the mbox has no patch 1, 3 of 3"])

    def test_line_that_starts_with_from_does_not_split_a_mail(self):
        body = "Text.\n\nFrom 10:20 on it is slow.\n\n" + diff("fs/a.c", BEFORE, changed(5, "x"))
        read = self.read(mail("[PATCH 1/2] one", "\n>From me.\n" + body),
                         mail("[PATCH 2/2] two", diff("fs/a.c", changed(5, "x"), BEFORE)))
        self.assertEqual(len(read.patches), 2)

    def test_folder_is_read_in_order_of_names(self):
        folder = self.top / "folder"
        folder.mkdir()
        (folder / "0002-b.patch").write_text(diff("fs/a.c", changed(5, "one"), changed(5, "two")))
        (folder / "0001-a.patch").write_text(diff("fs/a.c", BEFORE, changed(5, "one")))
        self.apply(series.read(folder))
        self.assertEqual(self.file.read_text(), changed(5, "two"))

    def test_file_without_diff_is_rejected(self):
        with self.assertRaisesRegex(series.Rejected, "series has no diff"):
            self.read(mail("[PATCH] one", "There is nothing here.\n"))

    def test_removed_line_with_two_dashes_does_not_end_a_hunk(self):
        old = changed(5, "-- comment")
        self.file.write_text(old)
        text = diff("fs/a.c", old.replace("\t-- comment", "-- comment"),
                    old.replace("\t-- comment", "++ other"))
        patch = series.Patch("one", text)
        self.assertEqual(len(patch.files), 1)
        self.assertEqual(len(patch.files[0].hunks), 1)


class Applying(Tree):
    def test_patch_that_does_not_apply_names_patch_and_hunk(self):
        text = diff("fs/a.c", changed(22, "other"),
                    changed(22, "new").replace("line 2;", "fine"))
        read = self.read(mail("[PATCH] one", text))
        with self.assertRaises(series.Rejected) as caught:
            self.apply(read)
        self.assertRegex(str(caught.exception),
                         r"patch 1 \(\[PATCH\] one\) does not apply: fs/a.c, hunk 2 of 2: @@ -19")
        self.assertEqual(self.file.read_text(), BEFORE)

    def test_three_way_merge_uses_the_objects_of_a_repository(self):
        series.git(self.tree, "init", "-q")
        series.git(self.tree, "add", "-A")
        series.git(self.tree, "commit", "-q", "-m", "base")
        text = diff("fs/a.c", BEFORE, changed(9, "series"))
        self.file.write_text(changed(7, "meanwhile"))
        read = self.read(mail("[PATCH] one", text))
        with self.assertRaises(series.Rejected):
            self.apply(read)
        _, notes = self.apply(read, objects=self.tree / ".git/objects")
        self.assertEqual(notes, ["[PATCH] one: applied by a three-way merge"])
        self.assertEqual(self.file.read_text(),
                         changed(7, "meanwhile").replace("line 9;", "series"))

    def test_files_are_created_renamed_and_deleted(self):
        (self.tree / "fs/old.c").write_text("old\n" * 9)
        created = diff("new/b.c", None, "one\n")
        deleted = diff("fs/a.c", BEFORE, None)
        renamed = ("diff --git a/fs/old.c b/fs/new.c\nsimilarity index 100%\n"
                   "rename from fs/old.c\nrename to fs/new.c\n")
        names, _ = self.apply(self.read(mail("[PATCH] one", created + deleted + renamed)))
        self.assertEqual(sorted(names), ["fs/a.c", "fs/new.c", "fs/old.c", "new/b.c"])
        there = {str(p.relative_to(self.tree)) for p in self.tree.rglob("*") if p.is_file()}
        self.assertEqual(there, {"fs/new.c", "new/b.c"})

    def test_patch_cannot_write_outside_the_tree(self):
        text = diff("fs/a.c", None, "one\n").replace("fs/a.c", "../../a.c")
        with self.assertRaisesRegex(series.Rejected, "outside the tree"):
            self.apply(self.read(mail("[PATCH] one", text)))

    def test_commits_of_a_repository_are_read(self):
        series.git(self.tree, "init", "-q")
        for text, subject in ((BEFORE, "base"), (changed(5, "one"), "first"),
                              (changed(5, "two"), "second")):
            self.file.write_text(text)
            series.git(self.tree, "add", "-A")
            series.git(self.tree, "commit", "-q", "-m", subject)
        read = series.read_commits(self.tree, "HEAD~2", "HEAD")
        self.assertEqual([p.subject for p in read.patches],
                         ["[PATCH 1/2] first", "[PATCH 2/2] second"])

    def test_unchanged_files_keep_their_times(self):
        other = self.tree / "fs/b.c"
        other.write_text("b\n")
        before = other.stat().st_mtime_ns
        self.apply(self.read(mail("[PATCH] one", diff("fs/a.c", BEFORE, changed(5, "one")))))
        self.assertEqual(other.stat().st_mtime_ns, before)


def archived(text):
    """Returns a diff as web archives print it: no blanks at the start of a line, one for each
    run of others, and no empty lines."""
    lines = [re.sub(r"[ \t]+", " ", line).strip() for line in text.split("\n")]
    return "\n".join(line for line in lines if line) + "\n"


class Archives(Tree):
    def test_hunks_without_blanks_are_placed(self):
        new = changed(6, "one").replace("line 21;", "two;\n\n\tthree")
        read = self.read(mail("[PATCH] one", archived(diff("fs/a.c", BEFORE, new))))
        self.assertTrue(read.patches[0].damaged)
        self.assertEqual(len(read.notes), 1)
        self.assertIn("a web archive dropped blanks", read.notes[0])
        self.apply(read)
        self.assertEqual(archived(self.file.read_text()), archived(new))
        unchanged = [line for line in BEFORE.split("\n") if line not in ("\tline 6;", "\tline 21;")]
        self.assertTrue(set(unchanged) <= set(self.file.read_text().split("\n")))

    def test_hunk_moved_by_other_changes_is_placed(self):
        text = archived(diff("fs/a.c", BEFORE, changed(18, "one")))
        self.file.write_text("first\n" * 30 + BEFORE)
        self.apply(self.read(mail("[PATCH] one", text)))
        self.assertEqual(archived(self.file.read_text()),
                         archived("first\n" * 30 + changed(18, "one")))

    def test_nearest_of_several_places_is_used(self):
        text = archived(diff("fs/a.c", BEFORE * 3, BEFORE + changed(14, "one") + BEFORE))
        self.file.write_text(BEFORE * 3)
        self.apply(self.read(mail("[PATCH] one", text)))
        self.assertEqual(archived(self.file.read_text()),
                         archived(BEFORE + changed(14, "one") + BEFORE))

    def test_wrong_context_at_one_end_is_dropped_and_noted(self):
        text = archived(diff("fs/a.c", BEFORE, changed(14, "one")))
        self.file.write_text(changed(17, "other"))
        _, notes = self.apply(self.read(mail("[PATCH] one", text)))
        self.assertEqual(notes, ["[PATCH] one: fs/a.c, hunk 1: placed without 1 lines of its "
                                 "context"])
        self.assertIn("one", self.file.read_text())

    def test_hunk_that_fits_nowhere_is_named(self):
        text = archived(diff("fs/a.c", BEFORE, changed(14, "one")))
        self.file.write_text(changed(14, "other"))
        with self.assertRaisesRegex(series.Rejected, r"fs/a.c, hunk 1 of 1: @@ -11,7 \+11,7 @@"):
            self.apply(self.read(mail("[PATCH] one", text)))


class Command(Tree):
    def test_command_applies_and_prints_notes(self):
        path = self.top / "a.patch"
        path.write_bytes(mail("[PATCH 1/2] one", diff("fs/a.c", BEFORE, changed(5, "one"))))
        run = subprocess.run([series.__file__, path, self.tree], stdout=subprocess.PIPE, text=True,
                             check=False)
        self.assertEqual(run.returncode, 0)
        self.assertEqual(run.stdout, "series: the mbox has no patch 2 of 2\n"
                         "series: 1 patches changed 1 files\n")


if __name__ == "__main__":
    unittest.main()
