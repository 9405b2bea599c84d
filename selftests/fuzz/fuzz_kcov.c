// SPDX-License-Identifier: GPL-2.0
/*
 * Coverage of the module by KCOV: the basic blocks of its text that the calls of a thread have
 * run.
 */
#include "fuzz.h"

#define KCOV_FILE "/sys/kernel/debug/kcov"
#define KCOV_INIT_TRACE _IOR('c', 1, unsigned long)
#define KCOV_ENABLE _IO('c', 100)
#define KCOV_DISABLE _IO('c', 101)
#define KCOV_TRACE_PC 0

#define COVER_WORDS 65536UL
#define PAGE 4096UL

unsigned long text_start, text_end;
static unsigned char *seen;
static unsigned int covered;

bool kcov_available(void)
{
	return !access(KCOV_FILE, R_OK | W_OK);
}

/* Reads the range from the first to the last function of the module from kallsyms. */
bool kcov_find_text(void)
{
	FILE *symbols = fopen("/proc/kallsyms", "re");
	char line[1024], type;
	unsigned long address;

	if (!symbols)
		return false;
	text_start = -1UL;
	while (fgets(line, sizeof(line), symbols)) {
		if (!strstr(line, "[miniring]") ||
		    sscanf(line, "%lx %c", &address, &type) != 2 ||
		    (type != 't' && type != 'T') || !address)
			continue;
		if (address < text_start)
			text_start = address;
		if (address > text_end)
			text_end = address;
	}
	fclose(symbols);
	if (text_start >= text_end)
		return false;
	text_start &= ~(PAGE - 1);
	/* The last function is at most a page long, or its rest is lost. */
	text_end = (text_end + PAGE) & ~(PAGE - 1);
	seen = calloc(text_end - text_start, 1);
	return seen;
}

/* Starts recording the calls of this thread. */
bool kcov_start(struct kcov *kcov)
{
	size_t size = COVER_WORDS * sizeof(unsigned long);

	kcov->cover = NULL;
	kcov->fd = open(KCOV_FILE, O_RDWR | O_CLOEXEC);
	if (kcov->fd < 0)
		return false;
	if (ioctl(kcov->fd, KCOV_INIT_TRACE, COVER_WORDS))
		goto fail;
	kcov->cover = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, kcov->fd, 0);
	if (kcov->cover == MAP_FAILED)
		goto fail;
	if (ioctl(kcov->fd, KCOV_ENABLE, KCOV_TRACE_PC)) {
		munmap(kcov->cover, size);
		goto fail;
	}
	return true;
fail:
	close(kcov->fd);
	kcov->cover = NULL;
	return false;
}

void kcov_stop(struct kcov *kcov)
{
	if (!kcov->cover)
		return;
	ioctl(kcov->fd, KCOV_DISABLE, 0);
	munmap(kcov->cover, COVER_WORDS * sizeof(unsigned long));
	close(kcov->fd);
	kcov->cover = NULL;
}

/* Takes the record. Returns the number of new blocks in it. */
unsigned int kcov_harvest(struct kcov *kcov)
{
	unsigned long nr;
	unsigned int new = 0;

	if (!kcov->cover)
		return 0;
	nr = __atomic_load_n(&kcov->cover[0], __ATOMIC_RELAXED);
	for (unsigned long i = 1; i <= nr && i < COVER_WORDS; i++) {
		unsigned long pc = kcov->cover[i];

		if (pc < text_start || pc >= text_end || seen[pc - text_start])
			continue;
		if (!__atomic_exchange_n(&seen[pc - text_start], 1, __ATOMIC_RELAXED))
			new++;
	}
	__atomic_store_n(&kcov->cover[0], 0, __ATOMIC_RELAXED);
	__atomic_fetch_add(&covered, new, __ATOMIC_RELAXED);
	return new;
}

unsigned int kcov_covered(void)
{
	return __atomic_load_n(&covered, __ATOMIC_RELAXED);
}

/* Writes the offset of each executed block in the module's text. */
bool kcov_write(const char *path)
{
	FILE *out = fopen(path, "we");

	if (!out)
		return false;
	for (unsigned long at = 0; at < text_end - text_start; at++)
		if (seen[at])
			fprintf(out, "0x%lx\n", at);
	return !fclose(out);
}
