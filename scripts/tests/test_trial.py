#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of scripts/trial.py with stubs for kernels, builds and VMs."""

import contextlib
import io
import json
import os
import pathlib
import tempfile
import unittest
from unittest import mock

os.environ.setdefault("XDG_CACHE_HOME", "/nowhere")
import trial  # pylint: disable=wrong-import-position

PATCH = """Subject: [PATCH] a: change a line

--- a/a.c
+++ b/a.c
@@ -1 +1 @@
-old
+new
"""
RING = "ring_rw on io_uring"


class Stubs:
    """Stands for the kernels `try-base` and `try-base-KEY`, their builds and their VMs."""

    def __init__(self, top):
        self.top = top
        (top / "cache/try-base/tree").mkdir(parents=True)
        (top / "cache/try-base/tree/a.c").write_text("old\n")
        self.fails = {}
        self.commands = []
        self.silent = set()
        self.failing_tests = set()
        self.failing_once = set()

    def logged(self, _text, _log, *argv, **environment):
        words = [str(word) for word in argv]
        kernel = environment.get("KERNEL", "")
        self.commands.append((words[0:2], kernel))
        if words[0] == "cp":
            tree = pathlib.Path(words[-1])
            tree.mkdir()
            (tree / "a.c").write_text("old\n")
        if words[:2] == ["scripts/build", "stage"]:
            stage = trial.BUILD / kernel / "stage"
            stage.mkdir(parents=True, exist_ok=True)
            (stage / "miniring.ko").write_text("module")
            (stage / "program").write_text("program")
        if words[0] == "scripts/bench":
            figure = {"peer": "io_uring", "better": "lower",
                      "boots": [{"value": 1, "peer_value": 2}]}
            made = {"results": [{"id": "nop", "unit": "instructions", **figure},
                                {"id": "time", "unit": "ns", **figure}]}
            pathlib.Path(words[2]).write_text(json.dumps(made), encoding="utf-8")
        return self.fails.get((words[1], kernel != "try-base"))

    def vm_of(self, kernel, name, command, _module, _limit, _also=None):
        if kernel in self.silent:
            return "", "vm: the guest died"
        if name == "boot":
            return f"::release {kernel}\n" + ("::loaded\n" if "insmod" in command else ""), ""
        failing = kernel in self.failing_tests or kernel in self.failing_once and name != "again"
        if "liburing.sh" in command:
            return f"::begin nop\n::end nop {int(failing)}\n::done\n", ""
        status = "not ok" if failing else "ok"
        return f"::begin {RING}\n{status} 1 reads\n::end {RING} 0 1\n::done\n", ""


class Trial(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        top = pathlib.Path(folder.name)
        self.stubs = Stubs(top)
        self.file = top / "a.patch"
        self.file.write_text(PATCH)
        for name, value in {
                "CACHE": top / "cache", "BUILD": top / "build", "OUT": top / "build/tried",
                "base_kernel": lambda: "try-base", "logged": self.stubs.logged,
                "vm_of": self.stubs.vm_of, "output_of": lambda said, _name: said,
                "log_of": lambda *_: [], "say": lambda _: None}.items():
            patch = mock.patch.object(trial, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        for name, value in (("liburing", lambda: ""), ("liburing_tests", lambda: ["nop"])):
            patch = mock.patch.object(trial, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        patch = mock.patch.object(trial.suites, "programs", lambda *_: ["ring_rw"])
        patch.start()
        self.addCleanup(patch.stop)

    def run_it(self, **environment):
        """Returns the exit status and the report."""
        said = io.StringIO()
        with mock.patch.dict(os.environ, {"SERIES": str(self.file), **environment}), \
                contextlib.redirect_stdout(said):
            status = trial.main()
        return status, said.getvalue()

    def after(self):
        key = trial.series.read(self.file).key()
        return f"try-base-{key}"

    def test_series_without_effect_passes(self):
        status, report = self.run_it()
        self.assertEqual(status, 0)
        self.assertTrue(report.startswith("try: pass: no difference; unchanged: 2 tests, "
                                          "2 figures\n"), report)
        self.assertEqual((trial.CACHE / self.after() / "tree/a.c").read_text(), "new\n")
        self.assertEqual((trial.CACHE / "try-base/tree/a.c").read_text(), "old\n")

    def test_series_that_does_not_apply_builds_nothing(self):
        self.file.write_text(PATCH.replace("-old", "-other"))
        status, report = self.run_it()
        self.assertEqual(status, 1)
        self.assertIn("patch 1 ([PATCH] a: change a line) does not apply: a.c, hunk 1 of 1", report)
        self.assertEqual(self.stubs.commands, [])

    def test_kernel_that_does_not_build_is_not_kept(self):
        self.stubs.fails["--build-copy", True] = ["a.c: error: no"]
        status, report = self.run_it()
        self.assertEqual(status, 1)
        self.assertIn("| a.c: error: no", report)
        self.assertEqual([path.name for path in trial.CACHE.iterdir() if path.is_dir()],
                         ["try-base"])

    def test_kernel_that_does_not_boot_fails(self):
        self.stubs.silent.add(self.after())
        status, report = self.run_it()
        self.assertEqual(status, 1)
        self.assertIn("the kernel does not boot", report)
        self.assertIn("| vm: the guest died", report)

    def test_test_that_fails_with_the_series_fails(self):
        self.stubs.failing_tests.add(self.after())
        self.assertIn(f"{RING}: reads: passed -> failed", self.run_it()[1])

    def test_test_that_passes_when_it_runs_again_is_a_warning(self):
        self.stubs.failing_once.add(self.after())
        status, report = self.run_it()
        self.assertEqual(status, 0)
        self.assertIn(f"{RING}: reads: passed -> unsteady", report)
        self.assertIn("liburing nop: (exit status): passed -> unsteady", report)

    def test_module_is_built_again_only_for_more_than_c_files(self):
        self.run_it()
        self.assertNotIn((["scripts/build", "module"], self.after()), self.stubs.commands)
        self.file.write_text(PATCH + "--- /dev/null\n+++ b/a.h\n@@ -0,0 +1 @@\n+new\n")
        self.run_it()
        self.assertIn((["scripts/build", "module"], self.after()), self.stubs.commands)

    def test_module_that_does_not_build_leaves_the_tests_of_io_uring(self):
        self.file.write_text(PATCH + "--- /dev/null\n+++ b/a.h\n@@ -0,0 +1 @@\n+new\n")
        self.stubs.fails["module", True] = ["conflicting types"]
        status, report = self.run_it()
        self.assertEqual(status, 0)
        self.assertTrue(report.startswith("try: warn: "), report)
        self.assertIn("miniring does not build for the kernel", report)
        self.assertIn("  * all that needs the module, which does not build\n", report)
        stage = trial.BUILD / self.after() / "stage"
        self.assertEqual([path.name for path in stage.iterdir()], ["program"])
        self.assertEqual(list(json.loads((trial.OUT / "after.json").read_text())["tests"]),
                         ["liburing nop", RING])

    def test_kernel_without_the_series_that_does_not_work_is_no_verdict(self):
        self.stubs.silent.add("try-base")
        status, report = self.run_it()
        self.assertEqual(status, 2)
        self.assertNotIn("try:", report)

    def test_first_kernel_and_its_results_are_used_again(self):
        self.run_it()
        self.stubs.commands.clear()
        self.stubs.silent.add("try-base")
        self.assertEqual(self.run_it()[0], 0)
        self.assertNotIn((["scripts/kernel", "--build-copy"], ""), self.stubs.commands)

    def test_each_patch_has_a_line(self):
        second = PATCH.replace("-old\n+new", "-new\n+newer").replace("PATCH", "PATCH 2/2")
        self.file.write_text("From a Mon Sep 17 00:00:00 2001\n"
                             + PATCH.replace("PATCH", "PATCH 1/2")
                             + "\nFrom a Mon Sep 17 00:00:00 2001\n" + second)
        report = self.run_it(EACH="1")[1]
        self.assertIn("note: after patch 1 ([PATCH 1/2] a: change a line): pass: no difference",
                      report)

    def test_b4_reads_the_verdict(self):
        self.run_it()
        result, = json.loads((trial.OUT / "b4.json").read_text())
        self.assertEqual(result["status"], "pass")


if __name__ == "__main__":
    unittest.main()
