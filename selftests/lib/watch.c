// SPDX-License-Identifier: GPL-2.0
/* Watchpoints of perf. */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "watch.h"

static int write_number(const char *path, int number)
{
	FILE *file = fopen(path, "w");
	int ret;

	if (!file)
		return -errno;
	ret = fprintf(file, "%d", number) < 0 ? -EIO : 0;
	return fclose(file) ? -errno : ret;
}

/*
 * Returns whether an area may belong to the module. Debian's compiler ends the helper of Rust's
 * vrealloc() with a jump, so the area's caller is the module. With the debug kernel's it is the
 * helper.
 */
static bool is_of_module(const char *line)
{
	return strstr(line, "[miniring]") || strstr(line, "rust_helper_vrealloc");
}

unsigned long kernel_address(size_t size)
{
	const size_t page = getpagesize();
	unsigned long start, end, found = 0;
	char line[512];
	FILE *file;

	size = (size + page - 1) & ~(page - 1);
	if (write_number("/proc/sys/kernel/kptr_restrict", 1))
		return 0;
	file = fopen("/proc/vmallocinfo", "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "0x%lx-0x%lx", &start, &end) != 2)
			continue;
		if (is_of_module(line) && end - start == size + page)
			found = found ? 1 : start;
	}
	if (file)
		fclose(file);
	write_number("/proc/sys/kernel/kptr_restrict", 0);
	return found == 1 ? 0 : found;
}

int watch_open(struct watch *watch, unsigned long addr, unsigned int len, int type)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = type,
		.bp_addr = addr,
		.bp_len = len,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	};

	watch->nr = sysconf(_SC_NPROCESSORS_ONLN);
	if (watch->nr > WATCH_CPUS)
		return -E2BIG;
	for (int i = 0; i < watch->nr; i++) {
		watch->fds[i] = syscall(SYS_perf_event_open, &attr, -1, i, -1, 0);
		if (watch->fds[i] < 0)
			return -errno;
	}
	return 0;
}

long long watch_close(struct watch *watch)
{
	struct {
		unsigned long long count, enabled, running;
	} seen;
	long long sum = 0;

	for (int i = 0; i < watch->nr; i++) {
		if (read(watch->fds[i], &seen, sizeof(seen)) != sizeof(seen) ||
		    !seen.enabled || seen.running != seen.enabled)
			sum = -EIO;
		if (sum >= 0)
			sum += seen.count;
		close(watch->fds[i]);
	}
	return sum;
}
