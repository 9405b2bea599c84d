# SPDX-License-Identifier: GPL-2.0
# miniring's commands; Kbuild describes the module.
#
#   make              the module, for the stock test kernel
#   make KDIR=DIR     the module only, for a prepared kernel tree of your own
#   make run          the demonstration in a VM
#   make test         host tests, then every selftest in the VM
#   make bench        every benchmark, each beside its peer, in BOOTS boots; BENCH=rings,
#                     toggles, instructions or nolsm for some of them
#   make profile      where the time of a toggle of all sites goes
#   make profile-keys what a key costs in an apply, in instructions
#   make check        format, lints, checkpatch, documentation
#   make vm [CMD=..]  a shell, or one command, in a VM
#   make stage        what a VM has as /miniring
#   make fuzz         CALLS calls made up from SEED, on the debug kernel
#   make differ       PROGRAMS programs made up from SEED, on io_uring and on miniring
#   make planted      whether the tests catch the bugs of selftests/planted
#   make rfc-crash    two VMs: the RFC's order of calls kills one, miniring's does not
#   make try          the kernel without and with SERIES, or BASE and HEAD of TREE: what changes
#   make clean
#
# KERNEL=stock or debug picks the test kernel; CPUS= and LIMIT= (seconds) go to the VM, but
# make test has limits of its own, and a VM that counts instructions has one CPU.

KERNEL ?= stock
CPUS ?= 2
LIMIT ?= 600
CALLS ?= 500000
SEED ?= 1
THREADS ?= 4
BOOTS ?= 3
PROGRAMS ?= 2000

export KERNEL CPUS LIMIT BOOTS SERIES TREE BASE HEAD CONFIG DEBUG EACH ONLY

ifneq ($(KDIR),)
all:
	@scripts/build module $(abspath $(KDIR)) build/kdir
else
all:
	@scripts/build module
endif

stage:
	@scripts/build stage

run: stage
	@exec scripts/enter scripts/vm.py --name run --script scripts/guest/run.sh
	@echo "miniring: the demonstration worked, and the kernel log is clean:" \
		"build/log/$(KERNEL)-run.log"
test: stage
	@scripts/enter scripts/test
bench: stage
	@scripts/enter scripts/bench $(BENCH)
profile: stage
	@exec scripts/enter scripts/vm.py --name profile --script scripts/guest/profile.sh
profile-keys: stage
	@exec scripts/enter scripts/vm.py --name profile-keys --icount --script scripts/guest/profile-keys.sh
check:
	@scripts/enter scripts/check
vm: override export CMD := $(value CMD)
vm: stage
	@exec scripts/enter scripts/vm.py $${APPEND:+--append "$$APPEND"} $${ALSO:+--also "$$ALSO"} \
		$${CMD:+-- "$$CMD"}
fuzz: export override KERNEL := debug
# kmemleak would take most of the time; make test KERNEL=debug fuzzes with it.
fuzz: stage
	@exec scripts/enter scripts/vm.py --name fuzz --limit $$(($(LIMIT) + 120)) --append kmemleak=off \
		"insmod miniring.ko && ./selftests/fuzz --calls $(CALLS) --seed $(SEED) \
		--seconds $(LIMIT) --threads $(THREADS)"
differ: stage
	@exec scripts/enter scripts/vm.py --name differ --limit $$(($(LIMIT) + 120)) \
		"insmod miniring.ko && ./selftests/differ --seed $(SEED) --programs $(PROGRAMS) \
		--seconds $(LIMIT)"
planted:
	@scripts/planted
rfc-crash: stage
	@scripts/rfc-crash
try:
	@scripts/try
clean:
	@# The folder itself may be a mount point or a link.
	[ ! -d build ] || find -H build -mindepth 1 -delete

.PHONY: all stage run test bench profile profile-keys check vm fuzz differ planted rfc-crash try clean
