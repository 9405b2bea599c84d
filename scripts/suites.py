# SPDX-License-Identifier: GPL-2.0
"""The selftests: which there are, how a VM runs them, and what each of their tests said."""

import pathlib
import re
import subprocess

TOP = pathlib.Path(__file__).resolve().parent.parent
# Limit in seconds for one program, to end a hang, on a busy host too.
PROGRAM_LIMIT = 2400


def programs(kernel, tree):
    """Returns the tests that the selftests' Makefile lists."""
    listed = subprocess.run(
        ["make", "-s", "-C", "selftests", f"KSFT={tree}/tools/testing/selftests",
         f"OUTPUT={TOP}/build/{kernel}/stage/selftests", "COLLECTION=miniring",
         "emit_tests"],
        cwd=TOP, stdout=subprocess.PIPE, text=True, check=True,
    )
    return re.findall(r"^miniring:(\S+)$", listed.stdout, re.MULTILINE)


def vm_script(suites, last, module=True):
    """Returns the command that runs the suites and marks the begin and end of each."""
    # A suite that was ended at its limit may have left the module unloaded.
    load = "[ -e /sys/module/miniring ] || insmod miniring.ko || exit 1"
    lines = []
    for suite, (program, backend) in suites.items():
        if module:
            lines.append(load)
        lines.append(
            f"echo '::begin {suite}'; t=$(date +%s); MINIRING_BACKEND={backend} "
            f"timeout {PROGRAM_LIMIT} ./selftests/{program}; "
            f"echo \"::end {suite} $? $(($(date +%s) - t))\""
        )
    lines.append(last)
    if module:
        lines.append("rmmod miniring || exit 1")
    return "\n".join(lines)


def results(output):
    """Returns suite -> test -> {"status", "lines"} of what a VM with vm_script() printed.

    A suite that did not end, or that failed without a failed test, has a failed test of the
    name of what went wrong. A program without tests, as liburing's are, has its exit status as
    its only one. The lines of a test are those since the test before it.
    """
    found = {}
    for part in re.split(r"^::begin ", output, flags=re.MULTILINE)[1:]:
        suite, _, rest = part.partition("\n")
        said, mark, end = rest.partition(f"::end {suite} ")
        tests, lines = {}, []
        for line in said.splitlines():
            match = re.match(r"(not )?ok \d+ (?:- )?([^#]*?)\s*(?:# (SKIP)\b.*)?$", line)
            if not match:
                if not re.match(r"#\s+(RUN|OK|SKIP)\b|TAP version|1\.\.\d+$|# (Starting|Totals)",
                                line):
                    lines.append(line)
                continue
            fails, test, skip = match.groups()
            status = "failed" if fails else "skipped" if skip else "passed"
            tests[test] = {"status": status, "lines": lines}
            lines = []
        status = re.match(r"\d+", end)
        failed = any(test["status"] == "failed" for test in tests.values())
        if not mark or not status:
            tests["(did not end)"] = {"status": "failed", "lines": lines[-12:]}
        elif status.group() not in ("0", "4", "77") and not (failed and status.group() == "1"):
            tests["(exit status)"] = {"status": "failed",
                                      "lines": lines[-12:] + [f"status {status.group()}"]}
        elif not tests:
            passed = status.group() == "0"
            tests["(exit status)"] = {"status": "passed" if passed else "skipped", "lines": []}
        found[suite] = tests
    return found
