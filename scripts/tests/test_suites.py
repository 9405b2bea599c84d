#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of scripts/suites.py with made-up output of a VM."""

import unittest

import suites

OUTPUT = """::begin ring_rw on io_uring
TAP version 13
1..3
# Starting 3 tests from 1 test cases.
#  RUN           rw.reads ...
#            OK  rw.reads
ok 1 rw.reads
#  RUN           rw.writes ...
# ring/ring_rw.c:12:writes:Expected -22 (-22) == res (-5)
# writes: Test failed
#          FAIL  rw.writes
not ok 2 rw.writes
#  RUN           rw.splices ...
#      SKIP      no such feature
#            OK  rw.splices
ok 3 rw.splices # SKIP no such feature
# FAILED: 2 / 3 tests passed.
# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:1 error:0
::end ring_rw on io_uring 1 3
"""


class Results(unittest.TestCase):
    def test_each_test_has_its_status_and_its_lines(self):
        tests = suites.results(OUTPUT)["ring_rw on io_uring"]
        self.assertEqual({name: test["status"] for name, test in tests.items()},
                         {"rw.reads": "passed", "rw.writes": "failed", "rw.splices": "skipped"})
        self.assertEqual(tests["rw.writes"]["lines"][0],
                         "# ring/ring_rw.c:12:writes:Expected -22 (-22) == res (-5)")
        self.assertEqual(tests["rw.reads"]["lines"], [])

    def test_suite_that_did_not_end_has_a_failed_test_of_that_name(self):
        cut = OUTPUT[:OUTPUT.index("# FAILED")]
        tests = suites.results("::begin other\nok 1 a\n::end other 0 1\n" + cut)
        self.assertEqual(list(tests["other"]), ["a"])
        self.assertEqual(tests["ring_rw on io_uring"]["(did not end)"]["status"], "failed")

    def test_bad_exit_status_without_failed_test_is_a_failure(self):
        tests = suites.results("::begin a\nok 1 b\nSegmentation fault\n::end a 139 1\n")["a"]
        self.assertEqual(tests["(exit status)"]["lines"], ["Segmentation fault", "status 139"])

    def test_suite_that_was_killed_after_a_failed_test_says_so(self):
        tests = suites.results("::begin a\nnot ok 1 b\nTerminated\n::end a 143 1\n")["a"]
        self.assertEqual([test["status"] for test in tests.values()], ["failed", "failed"])
        self.assertIn("(exit status)", tests)

    def test_exit_status_of_skipped_suite_is_no_failure(self):
        self.assertEqual(suites.results("::begin a\nok 1 b # SKIP c\n::end a 4 1\n"),
                         {"a": {"b": {"status": "skipped", "lines": []}}})

    def test_program_without_tests_has_its_exit_status(self):
        found = suites.results("::begin a\n\n::end a 0\n::begin b\nno\n::end b 77\n"
                               "::begin c\nbad\n::end c 1\n")
        self.assertEqual([tests["(exit status)"]["status"] for tests in found.values()],
                         ["passed", "skipped", "failed"])


class Script(unittest.TestCase):
    def test_module_is_loaded_only_if_there_is_one(self):
        chosen = {"ring_rw on io_uring": ("ring_rw", "io_uring")}
        chosen["dyndbg"] = ("dyndbg", "miniring")
        self.assertEqual(suites.vm_script(chosen, "true").count("insmod miniring.ko"), 2)
        without = suites.vm_script(chosen, "true", module=False)
        self.assertNotIn("miniring.ko", without)
        self.assertIn("MINIRING_BACKEND=io_uring", without)


if __name__ == "__main__":
    unittest.main()
