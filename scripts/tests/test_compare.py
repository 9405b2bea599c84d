#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of scripts/compare.py with made-up results."""

import copy
import json
import pathlib
import subprocess
import tempfile
import unittest

import compare

LOG = ["[    0.000000] Linux version 7.3.4", "[    1.204000][  T812] miniring: loaded at 0xffff88",
       "[    1.300000] Freeing unused memory: 1234K"]


def side(**changes):
    made = {
        "release": "7.3.4-try",
        "steps": {step: {"ok": True, "lines": []} for step in compare.STEPS},
        "tests": {"ring_rw": {"reads": {"status": "passed", "lines": []},
                              "writes": {"status": "passed", "lines": []},
                              "splices": {"status": "skipped", "lines": []}}},
        "log": list(LOG),
        "figures": {
            "nop (io_uring)": {"unit": "instructions", "better": "lower",
                               "values": [971, 971, 972]},
            "rate": {"unit": "1/s", "better": "higher", "values": [100, 101, 102]},
        },
        "unseen": ["liburing's tests"],
    }
    made.update(changes)
    return copy.deepcopy(made)


def with_test(test, status, lines=()):
    made = side()
    made["tests"]["ring_rw"][test] = {"status": status, "lines": list(lines)}
    return made


def with_figure(name, values):
    made = side()
    made["figures"][name]["values"] = values
    return made


def failed_step(step, *lines):
    made = side()
    made["steps"][step] = {"ok": False, "lines": list(lines)}
    return made


class Verdicts(unittest.TestCase):
    def report(self, after, before=None):
        return compare.compare(before or side(), after)

    def only(self, after, before=None):
        """Returns the only finding."""
        report = self.report(after, before)
        self.assertEqual(len(report.findings), 1, report.text())
        return report.findings[0]

    def test_equal_sides_pass(self):
        report = self.report(side())
        self.assertEqual(report.findings, [])
        self.assertEqual(report.verdict(), "pass")
        self.assertEqual(report.summary(), "no difference; unchanged: 3 tests, 2 figures")

    def test_test_that_fails_after_is_a_failure_with_its_lines(self):
        finding = self.only(with_test("reads", "failed", ["Expected -22 == -5"]))
        self.assertEqual((finding.status, finding.subject, finding.change),
                         ("fail", "ring_rw: reads", "passed -> failed"))
        self.assertEqual(finding.lines, ["Expected -22 == -5"])

    def test_new_test_that_fails_is_a_failure(self):
        self.assertEqual(self.only(with_test("new", "failed")).status, "fail")

    def test_test_that_failed_before_is_no_finding(self):
        failing = with_test("reads", "failed")
        self.assertEqual(self.report(failing, failing).findings, [])

    def test_test_that_passes_only_after_is_no_warning(self):
        self.assertEqual(self.only(side(), with_test("reads", "failed")).status, "pass")

    def test_lost_test_is_a_warning(self):
        self.assertEqual(self.only(with_test("reads", "skipped")).status, "warn")
        lost = side()
        del lost["tests"]["ring_rw"]["reads"]
        self.assertEqual(self.only(lost).change, "passed -> missing")

    def test_suite_that_did_not_run_is_one_warning(self):
        finding = self.only(side(tests={}))
        self.assertEqual((finding.status, finding.subject), ("warn", "ring_rw"))

    def test_new_report_in_log_is_a_failure_with_what_follows(self):
        finding = self.only(side(log=LOG + ["[ 9.1] WARNING: a.c:12 at f+0x1/0x2", "[ 9.1] RIP"]))
        self.assertEqual(finding.status, "fail")
        self.assertEqual(len(finding.lines), 2)

    def test_report_of_both_sides_is_no_finding(self):
        before = side(log=LOG + ["[ 9.1] WARNING: a.c:12 at f+0x1/0x2"])
        after = side(log=LOG + ["[ 7.5] WARNING: a.c:14 at f+0x9/0x2"])
        self.assertEqual(self.report(after, before).findings, [])

    def test_new_line_of_log_is_one_warning(self):
        finding = self.only(side(log=LOG + ["[ 2.0] new: 17", "[ 3.0] new: 18"]))
        self.assertEqual((finding.status, finding.subject), ("warn", "new: N"))

    def test_times_addresses_and_numbers_of_log_do_not_count(self):
        after = side(log=["[    0.100000] Linux version 7.3.4",
                          "[   11.000000][   T99] miniring: loaded at 0xffff99",
                          "[    1.300000] Freeing unused memory: 1236K"])
        self.assertEqual(self.report(after).findings, [])

    def test_lines_of_busy_hosts_do_not_count(self):
        after = side(log=LOG + ["[ 9.0] hrtimer: interrupt took 12345 ns",
                                "[ 9.0] workqueue: f hogged CPU for >10000us 4 times",
                                "[ 0.1] calibrate_delay_direct() dropping min bogoMips "
                                "estimate 3 = 4000000",
                                "[ 0.2] sched_clock: Marking stable (1, 2)->(3, -4)"])
        self.assertEqual(self.report(after).findings, [])

    def test_figure_beyond_its_spread_is_a_warning(self):
        finding = self.only(with_figure("nop (io_uring)", [980, 981, 981]))
        self.assertEqual(finding.status, "warn")
        self.assertEqual(finding.change, "971.0 [971.0, 972.0] -> 981.0 [980.0, 981.0] "
                         "instructions (+1.0%, worse)")

    def test_figure_inside_its_spread_is_no_finding(self):
        self.assertEqual(self.report(with_figure("nop (io_uring)", [972, 980, 981])).findings, [])

    def test_ranges_that_are_close_for_their_width_are_no_finding(self):
        before = with_figure("rate", [50, 53, 55])
        self.assertEqual(self.report(with_figure("rate", [56, 57, 58]), before).findings, [])
        self.assertEqual(self.only(with_figure("rate", [61, 62, 63]), before).status, "pass")

    def test_interrupts_of_other_code_are_no_finding(self):
        def ipis(value):
            return side(figures={"on": {"unit": "IPIs", "better": "lower", "values": [value]}})

        self.assertEqual(self.report(ipis(12), ipis(28)).findings, [])
        self.assertEqual(self.report(ipis(24576), ipis(24400)).findings, [])
        self.assertEqual(self.only(ipis(30), ipis(13)).status, "warn")
        self.assertEqual(self.only(ipis(24000), ipis(24576)).status, "pass")

    def test_direction_of_a_figure_counts(self):
        self.assertEqual(self.only(with_figure("nop (io_uring)", [900])).status, "pass")
        self.assertEqual(self.only(with_figure("rate", [90])).status, "warn")
        self.assertEqual(self.only(with_figure("rate", [110])).status, "pass")

    def test_figure_of_zero_before_has_no_percentage(self):
        before = with_figure("rate", [0])
        self.assertIn("(+5.0, better)", self.only(with_figure("rate", [5]), before).change)

    def test_figure_that_is_gone_is_a_warning(self):
        after = side()
        del after["figures"]["rate"]
        self.assertEqual(self.only(after).change, "not measured with the series")

    def test_each_step_has_its_verdict(self):
        for step, (status, text) in compare.STEPS.items():
            finding = self.only(failed_step(step, "because"))
            self.assertEqual((finding.status, finding.change, finding.lines),
                             (status, text, ["because"]))

    def test_kernel_that_does_not_build_is_one_finding(self):
        after = failed_step("build", "error: x")
        after.update(tests={}, log=[], figures={})
        self.assertEqual(self.only(after).subject, "build")

    def test_step_that_fails_on_both_sides_is_a_warning(self):
        failing = failed_step("module")
        self.assertIn("without the series either", self.only(failing, failing).change)

    def test_step_that_only_works_with_the_series_is_no_warning(self):
        self.assertEqual(self.only(side(), failed_step("module")).status, "pass")


class Forms(unittest.TestCase):
    def setUp(self):
        after = with_test("reads", "failed", [f"line {n}" for n in range(20)])
        after["figures"]["rate"]["values"] = [90]
        after["figures"]["nop (io_uring)"]["values"] = [9]
        self.report = compare.compare(side(), after, {"title": "[PATCH] x", "notes": ["a note"]})

    def test_text_has_the_worst_findings_first(self):
        text = self.report.text()
        self.assertTrue(text.startswith("try: fail: 1 failure, 1 warning, 1 other change; "
                                        "unchanged: 2 tests, 0 figures\n"), text)
        self.assertLess(text.index("\nfail "), text.index("\nwarn "))
        self.assertLess(text.index("\nwarn "), text.index("\npass "))
        self.assertIn("note: a note", text)
        self.assertIn("| ... 8 more lines", text)
        self.assertTrue(text.endswith("not looked at:\n  * liburing's tests\n"))

    def test_json_has_all_lines(self):
        made = json.loads(json.dumps(self.report.as_json()))
        self.assertEqual(made["verdict"], "fail")
        self.assertEqual(len(made["findings"][0]["lines"]), 20)
        self.assertEqual(made["unchanged"], {"tests": 2, "figures": 0})

    def test_b4_gets_one_result_with_findings_in_a_string(self):
        result, = self.report.for_b4()
        self.assertEqual((result["tool"], result["status"]), ("miniring-try", "fail"))
        details = json.loads(result["details"])
        self.assertEqual([d["status"] for d in details], ["fail", "warn", "pass", "pass"])
        self.assertIn("ring_rw: reads: passed -> failed", details[0]["description"])

    def test_command_fails_only_if_the_series_does(self):
        with tempfile.TemporaryDirectory() as folder:
            names = []
            for name, made in (("a", side()), ("b", with_test("reads", "failed"))):
                names.append(pathlib.Path(folder) / name)
                names[-1].write_text(json.dumps(made))
            for after, status in ((names[0], 0), (names[1], 1)):
                run = subprocess.run([compare.__file__, names[0], after], stdout=subprocess.PIPE,
                                     text=True, check=False)
                self.assertEqual(run.returncode, status, run.stdout)
                self.assertTrue(run.stdout.startswith("try: "))


if __name__ == "__main__":
    unittest.main()
