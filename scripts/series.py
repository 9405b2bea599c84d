#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Read a series of patches and apply it to a source tree, as `git am -3` would.

As a command: scripts/series.py SERIES TREE applies a series to a tree and prints what it
noticed. SERIES is an mbox, a mail or a folder of patches. As a module: read(),
read_commits() and Workspace.

Diffs are applied by git in a small repository that has only the files the series touches. So
the tree needs no history. A three-way merge needs the blobs that a diff names: it works
between the patches of a series, and with the objects of a repository of the user's.
"""

import email
import email.policy
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# The line before each mail of an mbox. A sentence that starts with "From" has no time.
FROM = re.compile(rb"^From \S+ .*\d\d:\d\d:\d\d .*\d{4}\s*$", re.MULTILINE)
NUMBER = re.compile(r"\[[^\]]*?\b(\d+)/(\d+)\s*\]")
VERSION = re.compile(r"\[[^\]]*?\bv(\d+)\b[^\]]*\]", re.IGNORECASE)
HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
GIT_HEADER = re.compile(r"^diff --git a/(\S+) b/(\S+)$")


class Rejected(Exception):
    """A series that cannot be read, or a patch that does not apply."""


class Hunk:
    def __init__(self, header, match):
        self.header = header
        start, count, _, new_count = match.groups()
        self.start = int(start)
        self.left = [int(count or 1), int(new_count or 1)]
        self.lines = []

    def takes(self, line):
        """Adds a line of the diff; returns False if the hunk has ended."""
        if line.startswith("\\"):
            self.lines.append(line)
            return True
        if self.left == [0, 0]:
            return False
        mark = line[:1]
        self.left[0] -= mark != "+"
        self.left[1] -= mark != "-"
        self.lines.append(line)
        return True


class FileDiff:
    """The changes of one file: the lines of its header, and its hunks."""

    def __init__(self):
        self.header = []
        self.hunks = []

    def paths(self):
        """Returns the old and the new path; /dev/null is left out."""
        paths = []
        for line in self.header:
            if line.startswith(("--- a/", "+++ b/")):
                paths.append(line[6:].split("\t")[0])
            elif line.startswith(("rename from ", "copy from ", "rename to ", "copy to ")):
                paths.append(line.split(" ", 2)[2])
            elif GIT_HEADER.match(line):
                paths += GIT_HEADER.match(line).groups()
        return list(dict.fromkeys(paths))


def starts_file(lines, at):
    return lines[at].startswith("diff --git ") or (
        lines[at].startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ "))


def diff_begin(lines):
    """Returns the index of the diff's first line, None without a diff."""
    return next((at for at in range(len(lines)) if starts_file(lines, at)), None)


def damaged(lines):
    """Returns whether a line in a hunk has none of the marks of a diff: a web archive dropped
    the blanks at the start of each line."""
    hunk = None
    for line in lines:
        match = HUNK.match(line)
        if match:
            hunk = Hunk(line, match)
        elif hunk and hunk.left != [0, 0]:
            if line and line[0] not in " +-\\":
                return True
            hunk.takes(line)
    return False


def parse(lines, whole_hunks):
    """Returns the FileDiffs of a diff. `whole_hunks`: the counts of a hunk are right.
    Otherwise, a hunk ends where the next header begins."""
    files, hunk = [], None
    at = 0
    while at < len(lines):
        line = lines[at]
        inside = hunk and whole_hunks and hunk.left != [0, 0]
        match = HUNK.match(line)
        if not inside and starts_file(lines, at):
            files.append(FileDiff())
            hunk = None
            if line.startswith("diff --git "):
                while at < len(lines) and not HUNK.match(lines[at]) and (
                        lines[at] is line or not lines[at].startswith("diff --git ")):
                    files[-1].header.append(lines[at])
                    at += 1
            else:
                files[-1].header += lines[at:at + 2]
                at += 2
            continue
        if not inside and match and files:
            hunk = Hunk(line, match)
            files[-1].hunks.append(hunk)
        elif hunk and not whole_hunks and re.match(r"--\s*$", line):
            hunk = None
        elif hunk and whole_hunks:
            if not hunk.takes(line):
                hunk = None
        elif hunk:
            hunk.lines.append(line)
        at += 1
    return files


class Patch:
    """One patch: its diff, and the notes that belong into the report."""

    def __init__(self, subject, text):
        self.subject = subject or "(no subject)"
        lines = text.split("\n")
        self.lines = lines[diff_begin(lines):]
        self.damaged = damaged(self.lines)
        self.files = parse(self.lines, not self.damaged)
        number = NUMBER.search(self.subject)
        self.number, self.total = map(int, number.groups()) if number else (None, None)
        version = VERSION.search(self.subject)
        self.version = int(version.group(1)) if version else 1

    def paths(self):
        return [path for file in self.files for path in file.paths()]


def text_of(part):
    """Returns the text of a part of a mail: decoded, with the line ends of Unix."""
    raw = part.get_payload(decode=True) or b""
    for charset in (part.get_content_charset() or "utf-8", "utf-8", "latin-1"):
        try:
            return raw.decode(charset).replace("\r\n", "\n")
        except (LookupError, UnicodeDecodeError):
            continue
    return raw.decode("latin-1")


def patches_of(raw, name, notes):
    """Returns the patches of a mail: that of its text, else one for each attachment."""
    mail = email.message_from_bytes(raw, policy=email.policy.compat32)
    subject = str(email.header.make_header(email.header.decode_header(mail.get("Subject") or "")))
    subject = re.sub(r"\s+", " ", subject).strip()
    if not subject:
        # A page of a web archive, saved as text.
        text = raw.decode("latin-1")
        title = re.search(r"^Subject:?\s*(.+)", text, re.MULTILINE) or re.search(r"(\S.*)", text)
        subject = title.group(1).strip() if title else name
    bodies, attached = [], []
    for part in mail.walk():
        if part.is_multipart():
            continue
        text = text_of(part)
        if diff_begin(text.split("\n")) is None:
            continue
        inline = part.get_content_disposition() != "attachment" and not part.get_filename()
        (bodies if inline else attached).append((part.get_filename(), text))
    if bodies and attached:
        notes.append(f"{subject}: the mail's text has a diff; its attachments were not used")
    if bodies:
        return [Patch(subject, "\n".join(text for _, text in bodies))]
    return [Patch(subject if len(attached) == 1 else file or subject, text)
            for file, text in attached]


def mails(raw):
    """Splits an mbox. A file without a From line is one mail."""
    begins = [match for match in FROM.finditer(raw)
              if match.start() == 0 or raw[:match.start()].endswith((b"\n\n", b"\r\n\r\n"))]
    if not begins:
        return [raw]
    ends = [match.start() for match in begins[1:]] + [len(raw)]
    return [re.sub(rb"(?m)^>(>*From )", rb"\1", raw[match.end():end].lstrip(b"\r\n"))
            for match, end in zip(begins, ends)]


class Series:
    """The patches of a series in their order, and notes on how it was read."""

    def __init__(self, patches, notes):
        self.patches = patches
        self.notes = notes

    def key(self):
        """Returns a short name of what the series changes."""
        digest = hashlib.sha256()
        for patch in self.patches:
            digest.update("\n".join(patch.lines).encode() + b"\0")
        return digest.hexdigest()[:12]


def is_reply(patch):
    return bool(re.match(r"(re|aw|fwd?):", patch.subject, re.IGNORECASE))


def in_order(patches, notes):
    """Sorts the patches of an mbox, which may hold a thread: the newest version counts."""
    if any(not is_reply(patch) for patch in patches):
        for patch in patches:
            if is_reply(patch):
                notes.append(f"skipped a reply that has a diff: {patch.subject}")
        patches = [patch for patch in patches if not is_reply(patch)]
    newest = max((patch.version for patch in patches), default=1)
    if any(patch.version != newest for patch in patches):
        notes.append(f"the mbox has several versions: v{newest} was used")
    patches = [patch for patch in patches if patch.version == newest]
    if not patches or any(patch.number is None for patch in patches):
        return patches
    first = {}
    for patch in patches:
        if first.setdefault(patch.number, patch) is not patch:
            notes.append(f"skipped a second patch {patch.number}: {patch.subject}")
    missing = [str(n) for n in range(1, patches[0].total + 1) if n not in first]
    if missing:
        notes.append(f"the mbox has no patch {', '.join(missing)} of {patches[0].total}")
    return [first[number] for number in sorted(first)]


def finished(patches, notes, what):
    if not patches:
        raise Rejected(f"{what} has no diff")
    for patch in patches:
        if patch.damaged:
            notes.append(f"{patch.subject}: a web archive dropped blanks and empty lines; the "
                         "hunks were placed without them")
    return Series(patches, notes)


def read(path):
    """Reads an mbox, a mail, or a folder of patches in the order of their names."""
    path = pathlib.Path(path)
    notes, found, cover = [], [], 0
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if file.is_file():
                found += patches_of(mails(file.read_bytes())[0], file.name, notes)
        return finished(found, notes, f"the folder {path.name}")
    for raw in mails(path.read_bytes()):
        there = patches_of(raw, path.name, notes)
        found += there
        cover += not there
    if cover:
        notes.append(f"skipped {cover} mail(s) without a diff")
    return finished(in_order(found, notes), notes, path.name)


def read_commits(tree, base, head):
    """Reads the commits of a user's repository."""
    made = git(tree, "format-patch", "--stdout", "--no-signature", f"{base}..{head}")
    notes = []
    found = [patch for raw in mails(made.encode()) if raw.strip()
             for patch in patches_of(raw, head, notes)]
    return finished(found, notes, f"{base}..{head}")


def git(folder, *args, check=True):
    """Runs git without the user's settings; returns what it printed."""
    run = subprocess.run(
        ["git", "-c", "safe.directory=*", "-c", "user.name=try", "-c", "user.email=try@localhost",
         "-c", "core.autocrlf=false", "-c", "gc.auto=0", *args],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"},
        check=False)
    if check and run.returncode:
        raise Rejected(f"git {args[0]}: {run.stderr.strip()}")
    return run.stdout if check else run


def squeezed(line):
    return re.sub(r"\s+", "", line)


def is_context(line):
    return line[:1] not in ("+", "-", "\\")


def place(hunk, lines, shift):
    """Finds a damaged hunk in a file: returns its lines anew, where it starts, and how many
    lines of context were dropped.

    Compares without blanks, and passes over the file's empty lines, since the archive dropped
    those. Of several places the one nearest to the hunk's own line is used. As with patch(1),
    up to three lines of context at one end may be wrong; the place must be the only one then.
    """
    whole = [line for line in hunk.lines
             if line.strip() and not line.startswith("\\")]
    for dropped in range(4):
        for begin, end in dict.fromkeys(((0, dropped), (dropped, 0))):
            edge = whole[:begin] + whole[len(whole) - end:]
            if all(is_context(line) for line in edge):
                placed = placed_at(whole[begin:len(whole) - end], lines, hunk.start + shift,
                                   only=dropped > 0)
                if placed:
                    return (*placed, dropped)
    return None


def placed_at(wanted, lines, near, only):
    """Returns the lines of a hunk with the blanks of the file, and where they start."""
    old = [squeezed(line[1:] if line[:1] == "-" else line) for line in wanted
           if line[:1] != "+"]
    file = [squeezed(line) for line in lines]

    def matches(at):
        for line in old:
            while at < len(file) and not file[at] and line:
                at += 1
            if at == len(file) or file[at] != line:
                return False
            at += 1
        return True

    if not old:
        return None if lines else (wanted, 0)
    starts = [at for at, line in enumerate(file) if line == old[0] and matches(at)]
    if not starts or only and len(starts) > 1:
        return None
    start = at = min(starts, key=lambda start: abs(start + 1 - near))
    made = []
    for line in wanted:
        if line.startswith("+"):
            made.append(line)
            continue
        while not file[at] and squeezed(line[1:] if line[:1] == "-" else line):
            made.append(" " + lines[at])
            at += 1
        made.append(("-" if line.startswith("-") else " ") + lines[at])
        at += 1
    # Without context at its end, a hunk would have to match at the end of the file.
    if made[-1].startswith("+"):
        made += [" " + line for line in lines[at:at + 3]]
    if made[0].startswith("+"):
        begin = max(start - 3, 0)
        made, start = [" " + line for line in lines[begin:start]] + made, begin
    return made, start + 1


def counts(lines):
    return (sum(line[0] in " -" for line in lines), sum(line[0] in " +" for line in lines))


class Workspace:
    """The repository in which a series is applied."""

    def __init__(self, folder, source, series, objects=None):
        """`source` is the tree that the files come from; `objects` is the folder of a
        repository's objects, for three-way merges."""
        self.folder = pathlib.Path(folder)
        self.source = pathlib.Path(source)
        git(folder, "init", "-q")
        if objects:
            (self.folder / ".git/objects/info/alternates").write_text(f"{objects}\n")
        for patch in series.patches:
            for path in patch.paths():
                self.take(path)
        git(folder, "add", "-A", "-f")
        git(folder, "commit", "-q", "--allow-empty", "-m", "base")
        self.base = git(folder, "rev-parse", "HEAD").strip()

    def take(self, path):
        """Copies a file of the source that a patch touches."""
        parts = pathlib.PurePosixPath(path).parts
        if path.startswith("/") or ".." in parts or parts[0] == ".git":
            raise Rejected(f"a patch writes outside the tree: {path}")
        source, target = self.source / path, self.folder / path
        if source.is_file() or source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)

    def restored(self, number, patch, notes):
        """Returns a damaged diff with the blanks that the files have."""
        made = []
        for file in patch.files:
            made += file.header
            path = self.folder / (file.paths() or ["?"])[0]
            lines = path.read_text(errors="surrogateescape").split("\n") if path.exists() else []
            shift = grown = 0
            for nth, hunk in enumerate(file.hunks, 1):
                placed = place(hunk, lines, shift)
                if not placed:
                    raise Rejected(said(number, patch, file, nth, hunk))
                hunk_lines, start, dropped = placed
                if dropped:
                    notes.append(f"{file.paths()[-1]}, hunk {nth}: placed without {dropped} "
                                 "lines of its context")
                shift = start - hunk.start
                old, new = counts(hunk_lines)
                made.append(f"@@ -{start},{old} +{start + grown if start else 1},{new} @@")
                made += hunk_lines
                grown += new - old
        return made

    def apply(self, number, patch):
        """Applies and commits a patch, and returns notes. Tries git apply, then a three-way
        merge."""
        notes = []
        lines = self.restored(number, patch, notes) if patch.damaged else patch.lines
        with tempfile.NamedTemporaryFile("w", suffix=".patch", errors="surrogateescape") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            first = git(self.folder, "apply", "--index", file.name, check=False)
            run = first
            if first.returncode:
                run = git(self.folder, "apply", "--index", "--3way", file.name, check=False)
        if run.returncode:
            raise Rejected(self.reason(number, patch, first.stderr))
        git(self.folder, "commit", "-q", "--allow-empty", "-m", patch.subject)
        if run is not first:
            notes.append("applied by a three-way merge")
        return [f"{patch.subject}: {note}" for note in notes]

    @staticmethod
    def reason(number, patch, errors):
        """Returns which hunk git could not apply."""
        failed = re.search(r"patch failed: (.*):(\d+)$", errors, re.MULTILINE)
        if failed:
            for file in patch.files:
                for nth, hunk in enumerate(file.hunks, 1):
                    if failed.group(1) in file.paths() and hunk.start == int(failed.group(2)):
                        return said(number, patch, file, nth, hunk)
        detail = re.sub(r"^error: ", "", errors.strip(), flags=re.MULTILINE).replace("\n", "; ")
        return f"patch {number} ({patch.subject}) does not apply: {detail}"

    def changed(self, since=None):
        """Returns the paths that the patches changed."""
        names = git(self.folder, "diff", "--name-only", "--no-renames", "-z", since or self.base,
                    "HEAD")
        return [name for name in names.split("\0") if name]

    def export(self, tree, since=None):
        """Writes the changed files to a tree; a build notices them by their times."""
        changed = self.changed(since)
        for path in changed:
            source, target = self.folder / path, pathlib.Path(tree) / path
            if source.exists() or source.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copy(source, target, follow_symlinks=False)
            else:
                target.unlink(missing_ok=True)
        return changed


def said(number, patch, file, nth, hunk):
    path = (file.paths() or ["?"])[-1]
    return (f"patch {number} ({patch.subject}) does not apply: {path}, "
            f"hunk {nth} of {len(file.hunks)}: {hunk.header}")


def apply(series, source, tree, objects=None):
    """Applies a series to the files of `source` and writes the result to `tree`. Returns
    the changed paths and the notes."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder, source, series, objects)
        notes = []
        for number, patch in enumerate(series.patches, 1):
            notes += workspace.apply(number, patch)
        return workspace.export(tree), notes


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: scripts/series.py SERIES TREE")
    try:
        series = read(sys.argv[1])
        changed, notes = apply(series, sys.argv[2], sys.argv[2])
    except Rejected as rejected:
        sys.exit(f"series: error: {rejected}")
    for note in series.notes + notes:
        print(f"series: {note}")
    print(f"series: {len(series.patches)} patches changed {len(changed)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
