#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Boot a test kernel in QEMU with a busybox initramfs and run one command, or a shell.

As a command: scripts/enter scripts/vm.py [OPTIONS] [COMMAND]. As a module: run(). The
output of `make stage` is /miniring in the VM. The command's output goes to stdout. The
kernel log goes to build/log/KERNEL-NAME.log. A report in the log (BUG, WARNING, Oops,
lockdep, KASAN, RCU stall, ...) fails the run, for any status of the command.

The environment's KERNEL (stock), CPUS (2) and LIMIT (600 seconds) are defaults. Runs in the
toolchain root. KVM is used only if a probe boot with it has worked, else TCG.

Exit status: the command's; 124 at the time limit; 125 when the guest died before the
command ended; 126 when the kernel log has a report.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = TOP / "build"
INIT = TOP / "scripts/guest/init"

TIME_LIMIT, GUEST_DIED, LOG_REPORT = 124, 125, 126

# KASAN, lockdep's wait contexts, sleeping in atomic context, soft lockups and SLUB print BUG;
# most of lockdep and all users of WARN() print WARNING. The other patterns are for other
# reports, and for a checker that turned itself off. The output of fault injection for a
# forced failure, with a trace, is not a report.
REPORT = re.compile(
    r"\bBUG\b|\bWARNING: |\bOops\b|Kernel panic|general protection fault"
    r"|rcu.*(self-)?detected stall|rcu.*\bstall(s|ed)?\b.*(CPU|tasks)"
    r"|rcu.*kthread starved|suspicious RCU usage"
    r"|possible (circular|recursive|irq lock) |possible deadlock"
    r"|inconsistent lock state|bad unlock balance|DEBUG_LOCKS_WARN_ON"
    r"|held lock freed|lock held when returning|register non-static key"
    r"|INFO: task .* blocked|soft lockup|hard LOCKUP|UBSAN|ODEBUG|KASAN: "
    r"|kmemleak: \d+ new suspected|unreferenced object"
    r"|kmemleak: .*(disabled|gave up)|refcount_t: |list_(add|del) corruption"
    r"|kernel stack overflow|stack is corrupted|Fatal kernel bug"
    r"|page allocation failure|rust_kernel: panicked"
)
# Lines of healthy kernels that match the pattern above.
HARMLESS = re.compile(
    r"DEBUG_BUGVERBOSE|Spectre|MDS|kernel BUG numbers"
    r"|WARNING: Spectre|[Nn]o .*BUG"
)

def initramfs(target, staged, command, marks):
    """Write a newc archive of busybox, the staged files, the command and empty files."""
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for folder in ("bin", "sbin", "proc", "sys", "dev", "tmp", "etc"):
            (root / folder).mkdir()
        shutil.copy("/usr/bin/busybox", root / "bin/busybox")
        os.symlink("busybox", root / "bin/sh")
        shutil.copy(INIT, root / "init")
        size = shutil.get_terminal_size()
        (root / "settings").write_text(
            f"ROWS={size.lines}\nCOLUMNS={size.columns}\n"
            f"TERM={shlex.quote(os.environ.get('TERM', 'dumb'))}\n"
        )
        # For tests as a user without privileges.
        (root / "etc/passwd").write_text(
            "root:x:0:0::/miniring:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n"
        )
        (root / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
        (root / "miniring").mkdir()
        for folder in staged:
            shutil.copytree(folder, root / "miniring", symlinks=True, dirs_exist_ok=True)
        # The folder of the interpreter and the libraries of dynamic programs.
        os.symlink("miniring/lib", root / "lib")
        os.symlink("miniring/lib", root / "lib64")
        for mark in marks:
            (root / mark).touch()
        if command is not None:
            (root / "command").write_text(command + "\n")
        # The temporary folder becomes /, but its mode excludes other users.
        subprocess.run(["chmod", "-R", "a+rX", root], check=True)
        with open(target, "wb") as out:
            subprocess.run(
                "find . | cpio -o -H newc --quiet -R 0:0",
                shell=True, cwd=root, stdout=out, check=True,
            )


@dataclasses.dataclass
class Options:
    """The options of a run."""

    kernel: str = os.environ.get("KERNEL") or "stock"
    # A part of the file name of the kernel log.
    name: str = "vm"
    cpus: int = int(os.environ.get("CPUS") or 2)
    # Seconds until the VM is ended. A shell has no limit.
    limit: int = int(os.environ.get("LIMIT") or 600)
    # Kernel parameters.
    append: str = ""
    # A folder whose files are added to /miniring.
    also: str = ""
    # The stage has the module. Without it, another script vouches for a whole stage.
    module: bool = True
    # Check for memory leaks of the command, if the kernel has kmemleak.
    kmemleak: bool = False
    # One CPU, whose time stamp counter counts instructions: times can be repeated exactly.
    icount: bool = False
    # The output goes to Result.output instead of stdout.
    capture: bool = False
    accel: str = ""


@dataclasses.dataclass
class Result:
    """The result of a run."""

    status: int
    # The output of the command, if `capture` was set.
    output: str
    # The reason if the status is not the command's, with the lines of the kernel log.
    reason: str


def accelerator(image):
    """Returns KVM if a kernel boots with it here; tried once per boot of the machine."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg,thread=multi"
    machine = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    cache = pathlib.Path(os.environ["XDG_CACHE_HOME"]) / "miniring"
    kernel = pathlib.Path(image).resolve().parent.name
    answer = cache / f"kvm-{kernel}-{machine}"
    if not answer.exists():
        with tempfile.TemporaryDirectory() as name:
            boot = Boot(pathlib.Path(name), image, Options(accel="kvm", limit=30, capture=True))
            boot.run([], "exit 0")
            answer.write_text("yes" if boot.status() == 0 else "no")
    return "kvm" if answer.read_text() == "yes" else "tcg,thread=multi"


class Boot:
    """One boot: its files, and how it ended."""

    def __init__(self, folder, image, options):
        self.folder = folder
        self.image = image
        self.options = options
        self.log = folder / "kernel.log"
        self.output = folder / "output"
        self.status_file = folder / "status"

    def arguments(self, archive):
        """Returns QEMU's command line."""
        options = self.options
        argv = [
            "qemu-system-x86_64", "-accel", options.accel,
            # Linux writes the protection keys' register for each signal. TCG then drops all
            # address translations: a signal took four times as long.
            "-cpu", "host" if options.accel == "kvm" else "max,-pku",
            "-smp", str(options.cpus), "-m", "2G", "-display", "none",
            "-nodefaults", "-no-reboot", "-kernel", str(self.image),
            "-initrd", str(archive),
            "-append",
            # no5lvl: with 5-level paging, KASAN reports a wild access in an interrupt while
            # identify_cpu() has the features of the CPU cleared.
            "console=ttyS0 loglevel=7 panic=-1 oops=panic reboot=t no5lvl "
            # All CPUs have one TSC under TCG. If an emulated CPU has to wait, the watchdog
            # marks the TSC as unstable, and the other clock sources are slow to read.
            "tsc=reliable "
            # SLUB's per-CPU sheaves keep the addresses of allocated objects, and kmemleak
            # takes these for references. A cache with any SLUB debugging has no sheaves.
            + ("slab_debug=F " if options.kmemleak else "")
            + "rdinit=/init " + options.append,
            "-serial", f"file:{self.log}",
        ]
        if options.capture:
            argv += ["-serial", f"file:{self.output}"]
        else:
            argv += ["-chardev", "stdio,id=out,signal=off", "-serial", "chardev:out"]
        argv += ["-serial", f"file:{self.status_file}"]
        if options.icount:
            argv += ["-icount", "shift=0,sleep=off"]
        return argv

    def run(self, staged, command):
        """Runs QEMU to its end; returns False if it was ended at the limit."""
        archive = self.folder / "initramfs"
        marks = [mark for mark, there in (("kmemleak", self.options.kmemleak),
                                          ("tcg", self.options.accel != "kvm")) if there]
        initramfs(archive, staged, command, marks)
        interactive = command is None
        process = None
        try:
            # A signal between the start of QEMU and the assignment would not end QEMU.
            with signals_held():
                process = subprocess.Popen(
                    # QEMU does not outlive this script, even if the script is killed.
                    ["setpriv", "--pdeathsig", "KILL"] + self.arguments(archive),
                    stdin=None if interactive else subprocess.DEVNULL,
                )
            process.wait(None if interactive else self.options.limit)
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process:
                end(process)
            archive.unlink()
        return True

    def status(self):
        """Returns the command's exit status, None if the guest died first."""
        if not self.status_file.exists():
            return None
        said = re.search(r"status=(\d+)", self.status_file.read_text())
        return int(said.group(1)) if said else None

    def died_of_stale_int3(self):
        """Whether QEMU executed a breakpoint that was gone, before init ran. No module was
        loaded: the kernel had changed code of its own (building.rst)."""
        started = self.status_file.exists() and "started" in self.status_file.read_text()
        return (self.options.accel != "kvm" and not started and self.log.exists()
                and "Oops: int3" in self.log.read_text(errors="replace"))

    def reports(self):
        """Returns the reports in the kernel log."""
        lines = self.log.read_text(errors="replace").splitlines()
        if "kmemleak=off" in self.options.append:
            lines = [l for l in lines if "kmemleak: Kernel memory leak detector disabled" not in l]
        return [l for l in lines if REPORT.search(l) and not HARMLESS.search(l)]


def end(process):
    """Ends QEMU if it still runs, by SIGTERM first: then QEMU restores the terminal."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def told_to_end(number, _frame):
    """Ends a script at a signal after its QEMU and its files are gone."""
    sys.exit(128 + number)


@contextlib.contextmanager
def signals_held():
    """Delivers signals after the block instead of in it."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    held = []
    handlers = {number: signal.signal(number, lambda number, _frame: held.append(number))
                for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in held:
            signal.raise_signal(number)


@contextlib.contextmanager
def signals_end_vm():
    """Makes signals that would end this script at once end it in order."""
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP)
               if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, told_to_end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def last_lines(log, lines):
    """Formats lines of the kernel log, to be printed with a verdict."""
    return "\n".join([f"{log}:", *(f"  {line}" for line in lines)])


def judge(boot, in_time, log):
    """Returns (status, reason) of a run."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    reports = boot.reports() if lines else []
    if reports:
        first = lines.index(reports[0])
        return LOG_REPORT, (
            "vm: the kernel log has reports, " + last_lines(log, reports[:20])
            + "\nvm: and around the first of them, "
            + last_lines(log, lines[max(first - 3, 0):first + 40]))
    if not in_time:
        return TIME_LIMIT, f"vm: not done after {boot.options.limit} s ({log})"
    status = boot.status()
    if status is None:
        return GUEST_DIED, "vm: the guest died; the end of " + last_lines(log, lines[-20:])
    return status, ""


def run(command, **options):
    """Runs a command (None: a shell) in a VM; `options` as in Options.

    Ends the program if nothing is staged.
    """
    options = Options(**options)
    stage = BUILD / options.kernel / "stage"
    if not (stage / "miniring.ko").exists() and (options.module or not stage.is_dir()):
        sys.exit("miniring: error: nothing is staged for the VM: run make stage "
                 f"KERNEL={options.kernel}")
    if options.also and not pathlib.Path(options.also).is_dir():
        sys.exit(f"miniring: error: ALSO={options.also} is no folder")
    made = subprocess.run([TOP / "scripts/kernel", options.kernel], stdout=subprocess.PIPE,
                          text=True, check=False)
    if made.returncode:
        sys.exit(made.returncode)
    kernel = pathlib.Path(made.stdout.strip())
    config = (kernel / "tree/include/config/auto.conf").read_text()
    options.kmemleak = options.kmemleak and "CONFIG_DEBUG_KMEMLEAK=y" in config
    log = BUILD / "log" / f"{options.kernel}-{options.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    staged = [stage] + ([options.also] if options.also else [])
    with signals_end_vm(), tempfile.TemporaryDirectory() as name:
        if options.icount:
            # A clock that ticks once for each instruction of the only CPU.
            options.accel, options.cpus = "tcg,thread=single", 1
        else:
            options.accel = accelerator(kernel / "image")
        boot = Boot(pathlib.Path(name), kernel / "image", options)
        sys.stdout.flush()
        for last in (False, False, True):
            in_time = boot.run(staged, command)
            if last or not boot.died_of_stale_int3():
                break
            print("vm: QEMU killed the kernel before init ran (Oops: int3); booting again",
                  file=sys.stderr)
        if boot.log.exists():
            shutil.copy(boot.log, log)
        output = ""
        if options.capture and boot.output.exists():
            output = boot.output.read_text(errors="replace").replace("\r", "")
        status, reason = judge(boot, in_time, log)
        return Result(status, output, reason)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default=Options.name, help="names the file of the kernel log")
    parser.add_argument("--cpus", type=int, default=Options.cpus)
    parser.add_argument("--limit", type=int, default=Options.limit, help="seconds")
    parser.add_argument("--append", default="", help="kernel parameters")
    parser.add_argument("--also", default="", help="a folder whose content is in /miniring too")
    parser.add_argument("--no-module", dest="module", action="store_false",
                        help="the stage has no module")
    parser.add_argument("--kmemleak", action="store_true",
                        help="look for leaks of what the command made, if the kernel can")
    parser.add_argument("--icount", action="store_true",
                        help="one CPU, whose time stamp counter counts instructions")
    parser.add_argument("--script", type=argparse.FileType(), help="a file with the command")
    parser.add_argument("command", nargs="?", help="default: a shell")
    options = vars(parser.parse_args())
    command, script = options.pop("command"), options.pop("script")
    result = run(script.read() if script else command, **options)
    if result.reason:
        print(result.reason, file=sys.stderr)
    return result.status


if __name__ == "__main__":
    sys.exit(main())
