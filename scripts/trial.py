#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Builds a kernel without and with a series, runs both, and compares what they did.

scripts/try runs this in the toolchain root, with these settings in the environment:

  SERIES   an mbox, a mail or a folder of patches
  TREE     instead of SERIES: a git checkout of a kernel, with the commits BASE and HEAD; the
           series is BASE..HEAD, and the kernel without it is BASE
  CONFIG   a file with more options for both kernels
  DEBUG    1: the debug kernel's checkers in both
  EACH     1: also after each patch of the series
  BOOTS    boots for each figure (3)
  ONLY     words: the suites that run; all without it

Prints the report. build/tried has it as report.txt, report.json, and b4.json, which b4 reads
from a check command, with both sides as before.json and after.json. The exit status is 1 for
the verdict fail, 2 if the kernel without the series does not work.

What the base kernel did is used again as long as the kernel, miniring and its tests are the
same, and the kernels stay in the cache.
"""

import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import compare
import series
import suites

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = TOP / "build"
OUT = BUILD / "tried"
CACHE = pathlib.Path(os.environ["XDG_CACHE_HOME"]) / "miniring"
BOOTS = int(os.environ.get("BOOTS") or 3)
TREE = os.environ.get("TREE")
ONLY = (os.environ.get("ONLY") or "").split()
# Limits in seconds for the tests of a VM and for a boot, to end a hang, on a busy host too.
LIMIT, BOOT_LIMIT = 5400, 900
# These test miniring's own loading, whatever the kernel, and take two minutes.
LEFT_OUT = ("fallbacks", "module")
# Limit in seconds for one of liburing's tests: that of its own runner.
LIBURING_LIMIT = 60
LIBURING = "liburing "
UNSEEN = [
    "times: only instructions and interrupts are compared",
    "hardware, file systems, other architectures: the VM has none of them",
    f"suites of miniring's own loading: {', '.join(LEFT_OUT)}",
]
TIMES = ("ns", "us", "ms")


def say(text):
    print(f"try: {text}", file=sys.stderr, flush=True)


def logged(text, log, *argv, **environment):
    """Runs a command with its output in a log; returns its last or its worst lines, None if it
    succeeds."""
    say(f"{text} ...")
    began = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as out:
        status = subprocess.run(argv, cwd=TOP, stdout=out, stderr=subprocess.STDOUT,
                                stdin=subprocess.DEVNULL, env={**os.environ, **environment},
                                check=False).returncode
    say(f"{text}: {'failed' if status else 'done'} in {time.monotonic() - began:.0f} s")
    if not status:
        return None
    lines = log.read_text(errors="replace").splitlines()
    worst = [line for line in lines if re.search(r"\berror\b|undefined|\*\*\*", line)]
    return (worst or lines[-12:]) + [f"the whole log: {log.relative_to(TOP)}"]


def side():
    return {"release": None, "steps": {}, "tests": {}, "log": [], "figures": {},
            "unseen": list(UNSEEN)}


def given():
    """Reads what is to be tried."""
    if not TREE:
        return series.read(os.environ["SERIES"])
    return series.read_commits(TREE, os.environ["BASE"], os.environ.get("HEAD") or "HEAD")


def objects():
    """Returns the folder with the objects of the user's repository; None without one."""
    if not TREE:
        return None
    return series.git(TREE, "rev-parse", "--path-format=absolute", "--git-path",
                      "objects").strip()


def base_kernel():
    """Returns the name of the kernel without the series."""
    kind = "try-debug" if os.environ.get("DEBUG") == "1" else "try"
    made = subprocess.run(["scripts/kernel", kind], cwd=TOP, stdout=subprocess.PIPE, text=True,
                          check=False)
    if made.returncode:
        sys.exit(2)
    return pathlib.Path(made.stdout.strip()).name


def series_kernel(base, patches):
    """Builds the kernel with the series from a copy of the base's tree and its objects.
    Returns its name, the failed step, and notes."""
    name = f"{base}-{patches.key()}"
    target, partial = CACHE / name, CACHE / f"{name}.partial"
    with open(CACHE / f"lock-{name}", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (target / ".complete").exists():
            return name, {}, (target / "notes").read_text().splitlines()
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)
        partial.mkdir()
        lines = logged("copying the kernel's tree", OUT / "copy.log",
                       "cp", "-a", "--reflink=auto", CACHE / base / "tree", partial / "tree")
        if lines:
            sys.exit("\n".join(lines))
        _, notes = series.apply(patches, CACHE / base / "tree", partial / "tree", objects())
        lines = logged("building the kernel with the series", OUT / "build.log",
                       "scripts/kernel", "--build-copy", partial)
        if lines:
            shutil.rmtree(partial)
            return name, {"build": {"ok": False, "lines": lines}}, notes
        (partial / "notes").write_text("".join(f"{note}\n" for note in notes))
        (partial / ".complete").touch()
        partial.rename(target)
    return name, {}, notes


def staged_digest(kernel):
    digest = hashlib.sha256(f"{kernel} {BOOTS} {ONLY}".encode())
    for folder in (BUILD / kernel / "stage", TOP / "scripts"):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def copy_stage(kernel, other, *left_out):
    folder = BUILD / kernel / "stage"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(BUILD / other / "stage", folder, symlinks=True,
                    ignore=shutil.ignore_patterns(*left_out))


def build_stage(kernel, result, fallback, same):
    """Builds what the VM runs. Without the module, the programs are those of `fallback`; if
    it would be the `same`, the module too. Returns whether there is a module."""
    if same:
        copy_stage(kernel, fallback)
        result["steps"]["module"] = {"ok": True, "lines": []}
        return True
    for step, what in (("module", "module"), ("programs", "stage")):
        lines = logged(f"building the {step} for {kernel}", OUT / f"{step}.log",
                       "scripts/build", what, KERNEL=kernel)
        if not lines:
            continue
        result["steps"]["module"] = {"ok": False, "lines": lines}
        if not fallback:
            return False
        copy_stage(kernel, fallback, "*.ko")
        result["unseen"].append("all that needs the module, which does not build")
        return False
    result["steps"]["module"] = {"ok": True, "lines": []}
    return True


def vm_of(kernel, name, command, module, limit, also=None):
    """Starts a VM; it ends with this script."""
    argv = ["setpriv", "--pdeathsig", "TERM", "scripts/vm.py", "--name", f"try-{name}",
            "--limit", str(limit), "--kmemleak"]
    if not module:
        argv.append("--no-module")
    if also:
        argv += ["--also", also]
    return subprocess.Popen(argv + [command], cwd=TOP, text=True, errors="replace",
                            stdout=open(OUT / f"{name}.out", "w", encoding="utf-8"),
                            stderr=subprocess.PIPE, env={**os.environ, "KERNEL": kernel})


def output_of(process, name):
    _, reason = process.communicate()
    return (OUT / f"{name}.out").read_text(errors="replace").replace("\r", ""), reason


def log_of(kernel, name):
    log = BUILD / "log" / f"{kernel}-try-{name}.log"
    return log.read_text(errors="replace").splitlines() if log.exists() else []


def boot(kernel, result, module):
    """Boots once, and loads the module. Returns whether the kernel works and the module loads."""
    load = "insmod miniring.ko && echo ::loaded && rmmod miniring" if module else "true"
    output, reason = output_of(
        vm_of(kernel, "boot", f"echo \"::release $(uname -r)\"; {load}", module,
              BOOT_LIMIT), "boot")
    release = re.search(r"^::release (\S+)$", output, re.MULTILINE)
    result["steps"]["boot"] = {"ok": bool(release),
                               "lines": [] if release else reason.splitlines()}
    if not release:
        return False, False
    result["release"] = release.group(1)
    result["log"] += log_of(kernel, "boot")
    loaded = "::loaded" in output
    if module:
        result["steps"]["load"] = {"ok": loaded, "lines": [] if loaded else
                                   output.splitlines() + log_of(kernel, "boot")[-12:]}
        if not loaded:
            result["unseen"].append("all that needs the module, which does not load")
    return True, loaded


def liburing_tests():
    return sorted(path.stem for path in pathlib.Path(liburing()).glob("tests/*.t"))


def liburing():
    """Returns the folder of liburing's tests."""
    return subprocess.run(["scripts/liburing"], cwd=TOP, stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()


def liburing_vm(kernel, chosen, module, name="liburing"):
    """Starts a VM that runs tests of liburing on io_uring."""
    return vm_of(kernel, name, f"./liburing.sh io_uring {LIBURING_LIMIT} {' '.join(chosen)}\n"
                 "echo ::done", module, LIMIT, liburing())


def tests(kernel, result, module):
    """Runs the selftests in two VMs side by side."""
    rings, others = {}, {}
    for name in suites.programs(kernel, CACHE / kernel / "tree"):
        if name in LEFT_OUT or ONLY and name not in ONLY:
            continue
        ring = name.startswith("ring_")
        if module:
            (rings if ring else others)[name] = (name, "miniring")
        if ring and name != "ring_ioctl":
            rings[f"{name} on io_uring"] = (name, "io_uring")
    say(f"running {len(rings) + len(others)} suites on {kernel} ...")
    began, ended, lines = time.monotonic(), True, []
    vms = {name: vm_of(kernel, name, suites.vm_script(chosen, "echo ::done", module), module,
                       LIMIT)
           for name, chosen in (("rings", rings), ("others", others)) if chosen}
    # The VM of the others ends first: liburing's tests begin then.
    for name in ("others", "liburing", "rings"):
        if name == "liburing" and not ONLY:
            vms[name] = liburing_vm(kernel, liburing_tests(), module)
        if name not in vms:
            continue
        output, reason = output_of(vms[name], name)
        found = suites.results(output)
        if name == "liburing":
            found = {LIBURING + test: results for test, results in found.items()}
        result["tests"].update(found)
        result["log"] += log_of(kernel, name)
        if "::done" not in output:
            ended = False
            lines += reason.splitlines()
    if ONLY:
        result["unseen"].append(f"all suites but {', '.join(ONLY)}")
    result["steps"]["tests"] = {"ok": ended, "lines": lines}
    say(f"the tests took {time.monotonic() - began:.0f} s")


def again(kernel, result, before, module):
    """Runs the suites again in which tests fail that do not fail without the series. A test
    that passes then is unsteady: it may fail because the host is busy."""
    failed = [(suite, test) for suite, test in newly_failed(before, result)
              if test != "(did not end)"]
    own = {suite: (suite.removesuffix(" on io_uring"),
                   "io_uring" if suite.endswith(" on io_uring") else "miniring")
           for suite, _ in failed if not suite.startswith(LIBURING)}
    others = [suite.removeprefix(LIBURING) for suite, _ in failed if suite.startswith(LIBURING)]
    repeated = {}
    if own:
        say(f"running {len(own)} suites again, in which tests failed ...")
        vm = vm_of(kernel, "again", suites.vm_script(own, "echo ::done", module), module, LIMIT)
        repeated.update(suites.results(output_of(vm, "again")[0]))
    if others:
        say(f"running {len(others)} of liburing's tests again, which failed ...")
        output, _ = output_of(liburing_vm(kernel, others, module, "again"), "again")
        repeated.update({LIBURING + test: results
                         for test, results in suites.results(output).items()})
    for suite, test in failed:
        if repeated.get(suite, {}).get(test, {}).get("status") == "passed":
            result["tests"][suite][test]["status"] = "unsteady"


def newly_failed(before, result):
    for suite, found in result["tests"].items():
        for test, now in found.items():
            was = before["tests"].get(suite, {}).get(test, {"status": "passed"})
            if now["status"] == "failed" and was["status"] != "failed":
                yield suite, test


def figures(kernel, result):
    """Runs the benchmarks that count instructions and interrupts."""
    made = OUT / "bench.json"
    made.unlink(missing_ok=True)
    lines = logged(f"counting in {BOOTS} boots of {kernel}", OUT / "bench.log", "scripts/bench",
                   "--output", made, "instructions", "toggles", KERNEL=kernel,
                   BOOTS=str(BOOTS), LIMIT=str(LIMIT))
    result["steps"]["figures"] = {"ok": not lines, "lines": lines or []}
    if lines or not made.exists():
        return
    for figure in json.loads(made.read_text())["results"]:
        if figure["unit"] in TIMES:
            continue
        for who, value in (("miniring", "value"), (figure["peer"], "peer_value")):
            result["figures"][f"{figure['id']} ({who})"] = {
                "unit": figure["unit"], "better": figure["better"],
                "values": [boot[value] for boot in figure["boots"]]}


def run(kernel, fallback=None, before=None, same=False):
    """Returns the side of a kernel; that of the kernel without the series may be known. With
    a series, `fallback` is the other kernel, `before` its side, and `same` says that the module
    and the programs are the same."""
    result = side()
    module = build_stage(kernel, result, fallback, same)
    if not module and not fallback:
        return result
    known = CACHE / f"tried-{kernel}-{staged_digest(kernel)}.json"
    if not fallback and known.exists():
        say("the kernel without the series was run before: see before.json")
        return json.loads(known.read_text())
    works, loaded = boot(kernel, result, module)
    if works:
        tests(kernel, result, loaded)
        if before:
            again(kernel, result, before, loaded)
        if loaded:
            figures(kernel, result)
        if not fallback and loaded and result["steps"]["tests"]["ok"]:
            known.write_text(json.dumps(result))
    return result


def write(name, made):
    (OUT / name).write_text(made if isinstance(made, str) else json.dumps(made, indent=1) + "\n")


def try_series(patches, before, base):
    """Returns the side of the kernel with the series, and notes on how it was applied."""
    name, failed, notes = series_kernel(base, patches)
    if not failed:
        # All that the module is compiled with are headers, options and Rust's metadata.
        same = all(path.endswith(".c") for patch in patches.patches for path in patch.paths())
        return run(name, base, before, same), notes
    after = side()
    after["steps"] = failed
    # Nothing ran: there is nothing to compare.
    after["unseen"] = before["unseen"]
    return after, notes


def try_each(patches, before, base):
    """Returns a note for each patch but the last: what the series does up to there."""
    notes = []
    for count in range(1, len(patches.patches)):
        part = series.Series(patches.patches[:count], [])
        report = compare.compare(before, try_series(part, before, base)[0])
        notes.append(f"after patch {count} ({patches.patches[count - 1].subject}): "
                     f"{report.verdict()}: {report.summary()}")
        notes += [f"    {finding.subject}: {finding.change}" for finding in report.findings
                  if finding.status != "pass"]
    return notes


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    title = {"title": os.environ.get("SERIES") or TREE, "notes": []}
    before, after = side(), side()
    try:
        patches = given()
    except series.Rejected as rejected:
        after["steps"]["apply"] = {"ok": False, "lines": [str(rejected)]}
    else:
        title = {"title": f"{patches.patches[0].subject} (patches: {len(patches.patches)})",
                 "notes": patches.notes}
        base = base_kernel()
        try:
            with tempfile.TemporaryDirectory() as folder:
                series.apply(patches, CACHE / base / "tree", folder, objects())
        except series.Rejected as rejected:
            after["steps"]["apply"] = {"ok": False, "lines": [str(rejected)]}
        else:
            before = run(base)
            if not before["release"]:
                print(json.dumps(before["steps"], indent=1))
                return 2
            after, notes = try_series(patches, before, base)
            title["notes"] += notes
            if os.environ.get("EACH") == "1":
                title["notes"] += try_each(patches, before, base)
    report = compare.compare(before, after, title)
    write("before.json", before)
    write("after.json", after)
    write("report.json", report.as_json())
    write("b4.json", report.for_b4())
    write("report.txt", report.text())
    print(report.text(), end="")
    return int(report.verdict() == "fail")


if __name__ == "__main__":
    sys.exit(main())
