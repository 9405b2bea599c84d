#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compare what a kernel did without a series and with it.

As a command: scripts/compare.py BEFORE.json AFTER.json prints the report. As a module:
compare(), and Report. The two files have the form of a Side, which scripts/try writes:

  release    the kernel's release string
  steps      step -> {"ok": bool, "lines": [what it printed, if it failed]}: the steps of STEPS
  tests      suite -> test -> {"status": passed|failed|skipped|unsteady, "lines": [...]}
  log        lines of the kernel log; reports are those of them that scripts/vm.py rejects
  figures    name -> {"unit": ..., "better": lower|higher, "values": [one for each boot]}
  unseen     what was not looked at

The verdict is the worst of the findings: fail if the series breaks something, warn if it costs
more or if something can no longer be seen, pass otherwise.
"""

import dataclasses
import json
import pathlib
import re
import statistics
import sys

import vm

# A step that fails ends the side. The kernel's own steps have to work: then the series fails.
STEPS = {
    "apply": ("fail", "the series does not apply"),
    "build": ("fail", "the kernel does not build"),
    "boot": ("fail", "the kernel does not boot"),
    "module": ("warn", "miniring does not build for the kernel"),
    "load": ("warn", "miniring does not load"),
    "tests": ("fail", "the VM of the tests did not end in order"),
    "figures": ("warn", "the benchmarks did not run"),
}
ORDER = {"fail": 0, "warn": 1, "pass": 2}
# Lines that a kernel prints if its host is busy, with or without the series.
BUSY = re.compile(r"interrupt took (too long|\d+ ns)|hogged CPU for|RT throttling activated"
                  r"|clocksource: .*(skew|watchdog)|callback suppressed"
                  r"|calibrate_delay_direct\(\)|TSC calibration|sched_clock: Marking")
# Interrupts that other code causes, and that differ from boot to boot: a number, and a share.
OTHER_IPIS, OTHER_IPIS_SHARE = 16, 0.01
# Lines that the text prints for a finding, and lines of a report in the kernel log.
MOST_LINES, REPORT_LINES = 12, 40


@dataclasses.dataclass
class Finding:
    """A difference between the two sides."""

    status: str
    kind: str
    subject: str
    change: str
    lines: list = dataclasses.field(default_factory=list)


def normalised(line):
    """Returns a line of the kernel log without what differs between two boots."""
    line = re.sub(r"^(<\d+>)?\[ *\d+\.\d+\]\s*(\[[^\]]*\]\s*)?", "", line.rstrip())
    line = re.sub(r"\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}\b", "*", line)
    return re.sub(r"\d+(\.\d+)?", "N", line)


def is_report(line):
    return bool(vm.REPORT.search(line)) and not vm.HARMLESS.search(line)


def compare_steps(before, after):
    for step, (status, text) in STEPS.items():
        was, now = before["steps"].get(step), after["steps"].get(step)
        if now and not now["ok"]:
            if was and not was["ok"] and step != "apply":
                yield Finding("warn", "step", step, f"{text}, without the series either",
                              now["lines"])
            else:
                yield Finding(status, "step", step, text, now["lines"])
        elif was and not was["ok"]:
            yield Finding("pass", "step", step, f"works with the series; without it, {text}",
                          was["lines"])


def tests_of(side):
    return {(suite, test): result for suite, tests in side["tests"].items()
            for test, result in tests.items()}


def compare_tests(before, after):
    """Yields a finding for each test with another result. A suite that did not run at all is
    one finding."""
    was, now = tests_of(before), tests_of(after)
    for suite in dict.fromkeys(suite for suite, _ in was):
        if suite not in after["tests"]:
            yield Finding("warn", "test", suite, "did not run with the series")
    for name in list(was) + [name for name in now if name not in was]:
        suite, test = name
        if suite not in after["tests"] or suite not in before["tests"]:
            continue
        old = was.get(name, {"status": "missing"})["status"]
        result = now.get(name, {"status": "missing", "lines": []})
        new = result["status"]
        if old == new:
            continue
        status = "pass"
        if new == "failed":
            status = "fail"
        elif old == "passed":
            # Unsteady: it failed, and passed when it was run again. Else the test was lost.
            status = "warn"
        yield Finding(status, "test", f"{suite}: {test}", f"{old} -> {new}",
                      result["lines"] if new in ("failed", "unsteady") else [])


def compare_logs(before, after):
    known = {normalised(line) for line in before["log"]}
    seen = set()
    for at, line in enumerate(after["log"]):
        short = normalised(line)
        if not short or short in known or short in seen or BUSY.search(line):
            continue
        seen.add(short)
        if is_report(line):
            lines = after["log"][at:at + REPORT_LINES]
            # The trace of a report is a part of it.
            seen.update(normalised(line) for line in lines if not is_report(line))
            yield Finding("fail", "log", short, "new report", lines)
        else:
            yield Finding("warn", "log", short, "new line")


def spread(values):
    middle = statistics.median(values)
    if min(values) == max(values):
        return f"{middle:,.1f}"
    return f"{middle:,.1f} [{min(values):,.1f}, {max(values):,.1f}]"


def width(values):
    return max(values) - min(values)


def compare_figures(before, after):
    """Yields a finding for each figure that moved beyond its spread: the two ranges are further
    apart than the wider one is wide, and IPIs further than other code explains. Ranges of three
    boots each are disjoint by chance in one of ten cases."""
    for name, was in before["figures"].items():
        now = after["figures"].get(name)
        if not now:
            # If there are none at all, the step says so.
            if after["figures"]:
                yield Finding("warn", "figure", name, "not measured with the series")
            continue
        up = min(now["values"]) - max(was["values"])
        down = min(was["values"]) - max(now["values"])
        middle = statistics.median(was["values"])
        noise = max(width(was["values"]), width(now["values"]))
        if was["unit"] == "IPIs":
            noise = max(noise, OTHER_IPIS, OTHER_IPIS_SHARE * middle)
        if max(up, down) <= noise:
            continue
        moved = statistics.median(now["values"]) - middle
        percent = f"{100 * moved / middle:+.1f}%" if middle else f"{moved:+,.1f}"
        worse = (up > 0) == (was["better"] == "lower")
        yield Finding("warn" if worse else "pass", "figure", name,
                      f"{spread(was['values'])} -> {spread(now['values'])} {was['unit']} "
                      f"({percent}, {'worse' if worse else 'better'})")


class Report:
    """The findings, the worst ones first, and what was compared."""

    def __init__(self, findings, before, after, series=None):
        self.findings = sorted(findings, key=lambda finding: ORDER[finding.status])
        self.series = series or {"title": "", "notes": []}
        self.releases = (before.get("release"), after.get("release"))
        self.unseen = list(dict.fromkeys(before["unseen"] + after["unseen"]))
        tests = tests_of(before).keys() & tests_of(after).keys()
        figures = before["figures"].keys() & after["figures"].keys()
        differ = {kind: sum(f.kind == kind for f in self.findings) for kind in ("test", "figure")}
        subjects = {f.subject for f in self.findings if f.kind == "test"}
        self.same = {
            "tests": sum(f"{suite}: {test}" not in subjects for suite, test in tests),
            "figures": len(figures) - min(differ["figure"], len(figures)),
        }

    def verdict(self):
        return self.findings[0].status if self.findings else "pass"

    def summary(self):
        """Returns the report in one line."""
        words = []
        for status, one, many in (("fail", "failure", "failures"),
                                  ("warn", "warning", "warnings"),
                                  ("pass", "other change", "other changes")):
            count = sum(f.status == status for f in self.findings)
            if count:
                words.append(f"{count} {one if count == 1 else many}")
        same = ", ".join(f"{count:,} {what}" for what, count in self.same.items())
        return f"{', '.join(words) or 'no difference'}; unchanged: {same}"

    def text(self):
        lines = [f"try: {self.verdict()}: {self.summary()}"]
        if self.series["title"]:
            lines.append(f"series: {self.series['title']}")
        lines += [f"  note: {note}" for note in self.series["notes"]]
        without, with_series = self.releases
        if without:
            lines.append(f"kernel: {without}" + (
                f"; with the series: {with_series}" if with_series != without and with_series
                else ""))
        for finding in self.findings:
            lines.append(f"{finding.status:4}  {finding.kind:6}  {finding.subject}: "
                         f"{finding.change}")
            lines += [f"              | {line}" for line in finding.lines[:MOST_LINES]]
            more = len(finding.lines) - MOST_LINES
            if more > 0:
                lines.append(f"              | ... {more} more lines")
        if self.unseen:
            lines.append("not looked at:")
            lines += [f"  * {what}" for what in self.unseen]
        return "\n".join(lines) + "\n"

    def as_json(self):
        return {
            "verdict": self.verdict(),
            "summary": self.summary(),
            "series": self.series,
            "releases": self.releases,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "unchanged": self.same,
            "unseen": self.unseen,
        }

    def for_b4(self):
        """Returns what b4 reads from a check command: a list with one result. Its details are
        a list of findings, as JSON in a string."""
        details = [{"status": f.status, "context": f.kind,
                    "description": f"{f.subject}: {f.change}"} for f in self.findings]
        details += [{"status": "pass", "context": "unseen", "description": f"not looked at: {what}"}
                    for what in self.unseen]
        return [{"tool": "miniring-try", "status": self.verdict(), "summary": self.summary(),
                 "details": json.dumps(details)}]


def compare(before, after, series=None):
    """Compares two sides. `series` has the title and the notes of the series."""
    findings = []
    for kind in (compare_steps, compare_tests, compare_logs, compare_figures):
        # A kernel that never ran has no tests, no log and no figures: the step says so.
        if kind is not compare_steps and any(
                f.status == "fail" and f.kind == "step" and f.subject in ("apply", "build")
                for f in findings):
            break
        findings += kind(before, after)
    return Report(findings, before, after, series)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: scripts/compare.py BEFORE.json AFTER.json")
    before, after = (json.loads(pathlib.Path(name).read_text("utf-8")) for name in sys.argv[1:])
    report = compare(before, after)
    print(report.text(), end="")
    return int(report.verdict() == "fail")


if __name__ == "__main__":
    sys.exit(main())
