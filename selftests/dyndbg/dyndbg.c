// SPDX-License-Identifier: GPL-2.0
/*
 * The bulk toggler: the list of its control file, changes by queries, and printed messages.
 * Queries about the kernel's sites leave the kernel's own control file as if the kernel had
 * carried them out, byte for byte. Needs miniring.ko; loads modules/keys_test.c,
 * modules/pr_debug.c and modules/classes.c itself, as static_key does.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "log.h"
#include "modules.h"

#define DIR		DEBUGFS "miniring/"
#define KERNEL		"/proc/dynamic_debug/control"
#define COMMAND		"/sys/kernel/debug/miniring_keys_test/command"
#define SAY		"/sys/module/miniring_pr_debug/parameters/say"
#define HEADER		"# filename:lineno [module]function flags format\n"
#define MAX_SITES	16384

/* Returns the contents of a file, in memory that the caller frees. */
static char *slurp(const char *path)
{
	size_t len = 0, room = 1 << 16;
	char *text = malloc(room);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0 || !text) {
		free(text);
		return NULL;
	}
	while ((got = read(fd, text + len, room - len - 1)) > 0) {
		len += got;
		if (room - len < 4096)
			text = realloc(text, room *= 2);
	}
	close(fd);
	text[len] = '\0';
	return text;
}

/*
 * Returns the flags of the sites with that text in their line of a control file, or "differ" if
 * the flags differ.
 */
static const char *flags_of(const char *path, const char *with)
{
	static char flags[16];
	char *text = slurp(path), *rest = text, *line;
	bool any = false;

	snprintf(flags, sizeof(flags), "none");
	while (text && (line = strsep(&rest, "\n"))) {
		char *equals = strstr(line, " =");
		char these[16];

		if (line[0] == '#' || !equals || !strstr(line, with))
			continue;
		if (sscanf(equals + 2, "%15s", these) != 1)
			continue;
		if (any && strcmp(flags, these)) {
			snprintf(flags, sizeof(flags), "differ");
			break;
		}
		snprintf(flags, sizeof(flags), "%s", these);
		any = true;
	}
	free(text);
	return flags;
}

/* Returns the line of the first site of that function, 0 if there is none. */
static int line_of(const char *function)
{
	char *text = slurp(CONTROL), *rest = text, *line;
	char name[128], found[128];
	int lineno, at = 0;

	snprintf(name, sizeof(name), "%s", function);
	while (text && !at && (line = strsep(&rest, "\n")))
		if (sscanf(line, "%*[^:]:%d [miniring]%127s", &lineno, found) == 2 &&
		    !strcmp(found, name))
			at = lineno;
	free(text);
	return at;
}

FIXTURE(control) {
	int log;
};

FIXTURE_SETUP(control)
{
	if (access(CONTROL, R_OK))
		SKIP(return, "miniring.ko is not loaded, or there is no debugfs");
	ASSERT_EQ(0, put(CONTROL, "=_"));
	self->log = open_log();
	ASSERT_LE(0, self->log);
}

FIXTURE_TEARDOWN(control)
{
	put(CONTROL, "=_");
	close(self->log);
}

TEST_F(control, control_lists_its_sites_behind_a_header)
{
	char *text = slurp(CONTROL);

	ASSERT_NE(NULL, text);
	EXPECT_EQ(0, strncmp(text, HEADER, strlen(HEADER)));
	EXPECT_NE(NULL, strstr(text, "\nrust/dyndbg/control.rs:"));
	EXPECT_NE(NULL, strstr(text, " [miniring]write =_ \"{} queries in {len} bytes\\n\"\n"));
	free(text);
}

TEST_F(control, dyn_debug_sites_are_not_in_the_kernels_list)
{
	EXPECT_STREQ("none", flags_of(KERNEL, "[miniring]"));
}

TEST_F(control, query_turns_all_sites_on_and_off)
{
	EXPECT_EQ(0, put(CONTROL, "+p"));
	EXPECT_STREQ("p", flags_of(CONTROL, ""));
	EXPECT_EQ(0, put(CONTROL, "-p"));
	EXPECT_STREQ("_", flags_of(CONTROL, ""));
}

TEST_F(control, query_selects_sites_by_module)
{
	EXPECT_EQ(0, put(CONTROL, "module other +p"));
	EXPECT_STREQ("_", flags_of(CONTROL, ""));
	EXPECT_EQ(0, put(CONTROL, "module mini* +p"));
	EXPECT_STREQ("p", flags_of(CONTROL, ""));
}

TEST_F(control, query_selects_sites_by_function)
{
	EXPECT_EQ(0, put(CONTROL, "func write +p"));
	EXPECT_STREQ("p", flags_of(CONTROL, "]write "));
	EXPECT_STREQ("_", flags_of(CONTROL, "]register_eventfd "));
}

TEST_F(control, query_selects_sites_by_file_path_or_base_name)
{
	EXPECT_EQ(0, put(CONTROL, "file control.rs +p"));
	EXPECT_STREQ("p", flags_of(CONTROL, "]write "));
	EXPECT_STREQ("_", flags_of(CONTROL, "]register_eventfd "));
	EXPECT_EQ(0, put(CONTROL, "file rust/ring/* +m"));
	EXPECT_STREQ("p", flags_of(CONTROL, "]write "));
	EXPECT_STREQ("m", flags_of(CONTROL, "]register_eventfd "));
	EXPECT_EQ(0, put(CONTROL, "file trol.rs +f"));
	EXPECT_STREQ("p", flags_of(CONTROL, "]write "));
}

TEST_F(control, query_selects_sites_by_line)
{
	int line = line_of("write");
	char query[128];

	ASSERT_LT(0, line);
	snprintf(query, sizeof(query), "file control.rs line %d +p", line + 1);
	EXPECT_EQ(0, put(CONTROL, query));
	EXPECT_STREQ("_", flags_of(CONTROL, ""));
	snprintf(query, sizeof(query), "file control.rs line %d-%d +p", line, line);
	EXPECT_EQ(0, put(CONTROL, query));
	EXPECT_STREQ("p", flags_of(CONTROL, "]write "));
	EXPECT_STREQ("_", flags_of(CONTROL, "]register_eventfd "));
}

TEST_F(control, query_selects_sites_by_format)
{
	EXPECT_EQ(0, put(CONTROL, "format \"an eventfd is\" +p"));
	EXPECT_STREQ("p", flags_of(CONTROL, "]register_eventfd "));
	EXPECT_STREQ("_", flags_of(CONTROL, "]write "));
}

TEST_F(control, query_replaces_adds_and_removes_flags)
{
	EXPECT_EQ(0, put(CONTROL, "func write =pmflt"));
	EXPECT_STREQ("pmflt", flags_of(CONTROL, "]write "));
	EXPECT_EQ(0, put(CONTROL, "func write -mt"));
	EXPECT_STREQ("pfl", flags_of(CONTROL, "]write "));
	EXPECT_EQ(0, put(CONTROL, "func write +s"));
	EXPECT_STREQ("pfsl", flags_of(CONTROL, "]write "));
	EXPECT_EQ(0, put(CONTROL, "func write =_"));
	EXPECT_STREQ("_", flags_of(CONTROL, "]write "));
}

TEST_F(control, write_of_several_queries_applies_once)
{
	long applies = stat_of("applies"), coalesced = stat_of("coalesced");

	EXPECT_EQ(0, put(CONTROL,
			 "func write +p; func register_eventfd +p\nfunc write -p\n"
			 "# and\nfile register.rs +p;;"));
	EXPECT_EQ(applies + 1, stat_of("applies"));
	EXPECT_LT(coalesced, stat_of("coalesced"));
	EXPECT_STREQ("_", flags_of(CONTROL, "]write "));
	EXPECT_STREQ("p", flags_of(CONTROL, "]register_eventfd "));
}

TEST_F(control, site_prints_nothing_while_it_is_off)
{
	EXPECT_EQ(0, put(CONTROL, "func write +mf"));
	EXPECT_EQ(0, put(CONTROL, "func write +l"));
	EXPECT_FALSE(logged(self->log, "queries in"));
}

TEST_F(control, site_prints_with_the_decorations_of_its_flags)
{
	char expected[256];

	EXPECT_EQ(0, put(CONTROL, "func write +p"));
	EXPECT_EQ(0, put(CONTROL, "# a comment\n "));
	EXPECT_TRUE(logged(self->log, ";miniring: 0 queries in 13 bytes"));

	EXPECT_EQ(0, put(CONTROL, "func write +mfslt"));
	snprintf(expected, sizeof(expected),
		 ";[%d] miniring:write:rust/dyndbg/control.rs:%d: miniring: 0 queries in 1 bytes",
		 getpid(), line_of("write"));
	EXPECT_EQ(0, put(CONTROL, "#"));
	EXPECT_TRUE(logged(self->log, expected))
		TH_LOG("expected in the log: %s", expected);
}

TEST_F(control, site_prints_a_call_trace_with_its_flag)
{
	EXPECT_EQ(0, put(CONTROL, "func write +pd"));
	EXPECT_EQ(0, put(CONTROL, "#"));
	EXPECT_EQ(0, put(CONTROL, "=_"));
	EXPECT_TRUE(logged(self->log, "Call Trace:"));
}

TEST_F(control, write_with_a_bad_query_changes_nothing)
{
	static const char * const bad[] = {
		"foo", "func write", "func write p", "func write *p", "func write +x",
		"func +p", "nosuch write +p", "func write func register_eventfd +p",
		"module miniring module miniring +p", "line 5-3 +p", "line x +p",
		"line 1-2-3 +p", "line 4294967296 +p", "line 1 file control.rs:2 +p",
		"func \"write +p", "'", "kernel", "kernel +y", "kernel func +p",
		"func a file b module c format d line 1 +p", "=p extra",
	};
	char *kernel = slurp(KERNEL);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		char query[256];
		char *now;

		EXPECT_EQ(-EINVAL, put(CONTROL, bad[i])) {
			TH_LOG("query: %s", bad[i]);
		}
		snprintf(query, sizeof(query), "+p; kernel +p\n%s", bad[i]);
		EXPECT_EQ(-EINVAL, put(CONTROL, query));
		snprintf(query, sizeof(query), "%s\n+p; kernel +p", bad[i]);
		EXPECT_EQ(-EINVAL, put(CONTROL, query));
		EXPECT_STREQ("_", flags_of(CONTROL, ""));
		now = slurp(KERNEL);
		EXPECT_STREQ(kernel, now);
		free(now);
	}
	free(kernel);
}

TEST_F(control, log_names_the_error_and_the_word_of_a_bad_query)
{
	/* The log is rate limited: what tests before said counts. */
	sleep(6);
	EXPECT_EQ(-EINVAL, put(CONTROL, "func write nosuch thing +p"));
	EXPECT_TRUE(logged(self->log, "unknown keyword: \"nosuch\""));
	EXPECT_EQ(-EINVAL, put(CONTROL, "func write +pz"));
	EXPECT_TRUE(logged(self->log, "unknown flag: \"+pz\""));
}

TEST_F(control, write_of_more_than_4095_bytes_is_refused)
{
	char text[4097];

	memset(text, ' ', sizeof(text));
	memcpy(text, "func write +p;", 14);
	EXPECT_EQ(-E2BIG, put_bytes(CONTROL, text, 4096));
	EXPECT_STREQ("_", flags_of(CONTROL, "]write "));
	EXPECT_EQ(0, put_bytes(CONTROL, text, 4095));
	EXPECT_STREQ("p", flags_of(CONTROL, "]write "));
}

TEST_F(control, empty_write_is_accepted_and_binary_write_is_refused)
{
	char bytes[256];
	int i;

	EXPECT_EQ(0, put_bytes(CONTROL, "", 0));
	for (i = 0; i < 256; i++)
		bytes[i] = 255 - i;
	EXPECT_EQ(-EINVAL, put_bytes(CONTROL, bytes, sizeof(bytes)));
	EXPECT_STREQ("_", flags_of(CONTROL, ""));
}

TEST_F(control, open_control_file_keeps_the_module)
{
	int fd = open(CONTROL, O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, fd);
	EXPECT_GT(0, unload("miniring"));
	close(fd);
}

/* The module must load. The sites of a loading module are off in any case. */
TEST_F(control, module_unloads_with_its_sites_on)
{
	char backend[64] = "", parameters[128];
	char *text = slurp(BACKEND);
	int found;

	ASSERT_NE(NULL, text);
	found = sscanf(text, "%63s", backend);
	ASSERT_EQ(1, found);
	free(text);
	snprintf(parameters, sizeof(parameters), "backend=%s", backend);
	EXPECT_EQ(0, put(CONTROL, "+pmf"));
	EXPECT_STREQ("pmf", flags_of(CONTROL, ""));
	ASSERT_EQ(0, unload("miniring"));
	EXPECT_NE(0, access(DIR, F_OK));
	ASSERT_EQ(0, load("miniring", parameters));
	EXPECT_EQ(0, put(CONTROL, "+p"));
	EXPECT_STREQ("p", flags_of(CONTROL, ""));
}

/* The kernel's sites. */

FIXTURE(kernel_sites) {
	char *start;
};

/* The initial mixture of flags, made by the kernel itself. */
static const char * const mixture[] = {
	"=_", "module p*i +p", "file k* +mf", "line 100-300 +lt", "func *init* +s",
	/* A query without a class does not reach these sites. */
	"class MINIRING_RED =_", "class MINIRING_GREEN =m", "class MINIRING_BLUE =_",
	"class MINIRING_A0 =_", "class MINIRING_A1 =t", "class MINIRING_62 =m",
};

static void reset(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mixture); i++)
		put(KERNEL, mixture[i]);
}

FIXTURE_SETUP(kernel_sites)
{
	if (access(CONTROL, R_OK))
		SKIP(return, "miniring.ko is not loaded, or there is no debugfs");
	if (put(CONTROL, "kernel module no_such_module +p") == -EOPNOTSUPP)
		SKIP(return, "the kernel's sites are out of reach");
	reset();
	self->start = slurp(KERNEL);
}

FIXTURE_TEARDOWN(kernel_sites)
{
	put(KERNEL, "=_");
	free(self->start);
}

/* Returns the number of bytes in which two texts agree, from the start; -1 for all. */
static long differ_at(const char *a, const char *b)
{
	long at;

	for (at = 0; a[at] && a[at] == b[at]; at++)
		;
	return a[at] == b[at] ? -1 : at;
}

/* Makes each query of @queries one about the kernel's sites. */
static void for_kernel(char *ours, size_t room, const char *queries)
{
	size_t len = snprintf(ours, room, "kernel ");

	for (; *queries && len + 16 < room; queries++) {
		ours[len++] = *queries;
		if (*queries == ';' || *queries == '\n')
			len += snprintf(ours + len, room - len, "kernel ");
	}
	ours[len] = '\0';
}

/*
 * Lets the kernel and then miniring carry out queries, from the same flags. Counts queries with an
 * effect.
 */
static bool equal(struct __test_metadata *_metadata, const char *start, const char *query,
		  int *changed)
{
	char ours[4200];
	char *by_kernel, *by_us, *again;
	int kernel_said, we_said;
	bool came_back;
	long at;

	kernel_said = put(KERNEL, query);
	by_kernel = slurp(KERNEL);
	if (differ_at(start, by_kernel) >= 0) {
		(*changed)++;
		reset();
	}
	again = slurp(KERNEL);
	came_back = differ_at(start, again) < 0;
	if (!came_back)
		TH_LOG("the kernel did not come back to the start");
	for_kernel(ours, sizeof(ours), query);
	we_said = put(CONTROL, ours);
	by_us = slurp(KERNEL);

	at = differ_at(by_kernel, by_us);
	if (at >= 0)
		TH_LOG("query: %s\nexpected: %.100s\nseen:     %.100s", query,
		       by_kernel + at, by_us + at);
	if (kernel_said != we_said)
		TH_LOG("query: %s: expected %d, seen %d", query, kernel_said, we_said);
	if (strcmp(by_us, start))
		reset();
	free(by_kernel);
	free(by_us);
	free(again);
	return came_back && at < 0 && kernel_said == we_said;
}

TEST_F_TIMEOUT(kernel_sites, kernel_sites_change_as_by_the_kernel, 600)
{
	static const char * const queries[] = {
		"+p", "-p", "=_", "=p", "=pmfslt", "+mt", "-fl", "=", "+", "-", "+_", "+pd",
		"module workqueue +p", "module * +p", "module acpi* -p", "module ?ci +p",
		"func * =p", "func *_init +pm", "func init_* -p", "func a?pi* +p",
		"file init/main.c +p", "file main.c +p", "file */main.c +p", "file ain.c +p",
		"file drivers/* -p", "file *.c +f", "file drivers/base/core.c +p",
		"file kernel/module/main.c:1-1000 +p", "file main.c:*init* +p",
		"file main.c:500- +p", "file main.c:-500 =t",
		"line 1-100 +p", "line 100- -p", "line -100 +m", "line 50 +p", "line - +p",
		"line 0 +p", "format : +p", "format ^ +p", "format '' +p", "format %s -p",
		"format \"%s: \" +p", "format '^%s' +p", "format \\040 +p",
		"format \"^initcall\" +p", "format \\n +p", "format \"\\tend\" +p",
		"class FOO +p", "class FOO -p", "module drm class DRM_UT_CORE +p",
		"module pci func * file * line 1-9999 +p", "func \"*\" +p # comment",
		"module nonesuch +p",
		/* No keyword has a negation: these are names that nothing has. */
		"module !workqueue +p", "module !* +p", "func !init* +p", "file !main.c -p",
		"format !% =_", "module !workqueue func *init +p",
		/* The examples of dynamic debug's howto. */
		"-p; module main func run* +p", "file svcsock.c line 1603 +p",
		"  file   svcsock.c     line  1603 +p  ", "file svcsock.c +p",
		"func pnpacpi_get_resources +p; func pnp_assign_mem +p",
		"func pnpacpi_get_resources +p\nfunc pnp_assign_mem +p",
		"file \"drivers/usb/*\" +p", "module nfsd +p", "func svc_process +p",
		"func svc_process -p", "format \"nfsd: READ\" +p", "file *usb* +p", "+mf",
		/* Refused by both; as one query each, without effect on either. */
		"mode foo +p", "mod bar +foo",
		"foo +p", "func +p", "func a func b +p", "+x", "p", "line 9-5 +p", "line a +p",
		"!module workqueue +p", "! module workqueue +p", "module ! workqueue +p",
		"module workqueue !p", "module workqueue +!p", "line !5 +p", "!+p", "!",
	};
	int changed = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(queries); i++)
		EXPECT_TRUE(equal(_metadata, self->start, queries[i], &changed));
	EXPECT_LT(30, changed);
}

static unsigned int next_random(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

/* Makes a query from parts of a random line of the control file. */
static void generate(char *query, size_t room, unsigned int *seed, char *lines[], int count)
{
	char file[256], module[64], function[128], part[512];
	static const char operators[] = "+-=", letters[] = "pmfslt_";
	char *query_end = query + room;
	unsigned int which;
	int lineno, i;

	do {
		i = next_random(seed) % count;
	} while (sscanf(lines[i], "%255[^:]:%d [%63[^]]]%127s", file, &lineno, module,
			function) != 4);

	which = next_random(seed);
	*query = '\0';
	if (which & 1) {
		if (which & 2 && strlen(module) > 2)
			memcpy(module + 1 + next_random(seed) % (strlen(module) - 1), "*", 2);
		query += snprintf(query, query_end - query, "module %s ", module);
	}
	if (which & 4) {
		const char *slash = strrchr(file, '/');
		const char *name = (which & 8) && slash ? slash + 1 : file;

		query += snprintf(query, query_end - query, "file %s", name);
		if (which & 16)
			query += snprintf(query, query_end - query, ":%d-%d", lineno / 2, lineno);
		query += snprintf(query, query_end - query, " ");
	}
	if (which & 32) {
		if (which & 64)
			function[next_random(seed) % strlen(function)] = '?';
		query += snprintf(query, query_end - query, "func %s ", function);
	}
	if ((which & 128) && !(which & 16)) {
		query += snprintf(query, query_end - query, "line %d-%s ", lineno,
				  which & 256 ? "" : "99999");
	}
	if (which & 512) {
		char *format = strchr(lines[i], '"');

		snprintf(part, sizeof(part), "%.*s", 1 + next_random(seed) % 12,
			 format ? format + 1 : "x");
		if (!strpbrk(part, "\"';"))
			query += snprintf(query, query_end - query, "format \"%s%s\" ",
					  which & 1024 ? "^" : "", part);
	}
	query += snprintf(query, query_end - query, "%c", operators[next_random(seed) % 3]);
	for (i = next_random(seed) % 4; i >= 0; i--)
		query += snprintf(query, query_end - query, "%c", letters[next_random(seed) % 7]);
}

TEST_F_TIMEOUT(kernel_sites, kernel_sites_change_as_by_the_kernel_for_300_generated_queries, 900)
{
	static char *lines[MAX_SITES];
	char *text = strdup(self->start), *rest = text, *line;
	unsigned int seed = 20260305;
	int count = 0, i, same = 0, changed = 0;

	while (count < MAX_SITES && (line = strsep(&rest, "\n")))
		if (*line && *line != '#')
			lines[count++] = line;
	ASSERT_LT(0, count);
	for (i = 0; i < 300; i++) {
		char query[2048];

		generate(query, sizeof(query), &seed, lines, count);
		same += equal(_metadata, self->start, query, &changed);
	}
	EXPECT_EQ(300, same);
	EXPECT_LT(100, changed);
	TH_LOG("%d of 300 queries changed something", changed);
	free(text);
}

/* Resets all sites, and reads them again after a module was loaded. */
static void restart(char **start)
{
	reset();
	free(*start);
	*start = slurp(KERNEL);
}

/* Sites with a class. No module in the kernel of a test VM has such sites. */
TEST_F_TIMEOUT(kernel_sites, class_sites_change_as_by_the_kernel, 120)
{
	static const char * const queries[] = {
		"class MINIRING_RED +p", "class MINIRING_RED =pmfslt", "class MINIRING_RED -m",
		"class MINIRING_GREEN +p", "class MINIRING_GREEN -m", "class MINIRING_BLUE +pt",
		"class MINIRING_BLUE func say_in_colours +p", "class MINIRING_RED func say +p",
		"class MINIRING_RED module miniring_pr_debug +p",
		"class MINIRING_RED module pci +p", "class MINIRING_RED file pr_debug.c +p",
		"class MINIRING_GREEN format said +f", "class MINIRING_GREEN format green +p",
		"class MINIRING_* +p", "class MINIRING_RE +p", "class * +p", "class 30 +p",
		"class '' +p", "class miniring_red +p", "module miniring_pr_debug +p",
		"module miniring_pr_debug =_", "+p",
		"class MINIRING_RED +p; class MINIRING_BLUE +p; class MINIRING_GREEN =_",
		"class MINIRING_RED class MINIRING_BLUE +p",
	};
	int changed = 0;
	size_t i;

	ASSERT_EQ(0, load("miniring_pr_debug", ""));
	restart(&self->start);
	EXPECT_NE(NULL, strstr(self->start, "red said %s\\n\" class:MINIRING_RED\n"));
	EXPECT_NE(NULL, strstr(self->start, "nameless said %s\\n\" class unknown, _id:30\n"));
	for (i = 0; i < ARRAY_SIZE(queries); i++)
		EXPECT_TRUE(equal(_metadata, self->start, queries[i], &changed));
	EXPECT_LT(10, changed);

	/* The query changed exactly the sites of the class. */
	EXPECT_EQ(0, put(CONTROL, "kernel class MINIRING_BLUE =p"));
	EXPECT_STREQ("p", flags_of(KERNEL, "\"blue said"));
	EXPECT_STREQ("_", flags_of(KERNEL, "\"red said"));
	/* Of two classes with one name, the kernel takes the class of its first map. */
	EXPECT_EQ(0, put(CONTROL, "kernel class MINIRING_GREEN =p"));
	EXPECT_STREQ("differ", flags_of(KERNEL, "green said"));
	EXPECT_EQ(0, unload("miniring_pr_debug"));
}

/* A query names a class, and sites have numbers. A number has names, or is 63. */
TEST_F_TIMEOUT(kernel_sites, sites_of_overlapping_class_maps_change_as_by_the_kernel, 120)
{
	static const char * const queries[] = {
		"class MINIRING_A0 +p", "class MINIRING_B0 +p", "class MINIRING_A1 =pf",
		"class MINIRING_B1 -t", "class MINIRING_62 +p", "class MINIRING_63 =pmf",
		"class MINIRING_319 +p", "module miniring_classes +p", "class MINIRING_63 =_",
		"class MINIRING_63 func say_in_classes +l", "class MINIRING_64 +p",
		"class MINIRING_63 module pci +p",
		"class MINIRING_A1 +p; class MINIRING_B1 -p; class MINIRING_63 +t",
	};
	int changed = 0;
	size_t i;

	ASSERT_EQ(0, load("miniring_classes", ""));
	restart(&self->start);
	EXPECT_NE(NULL, strstr(self->start, "\"class 62\\n\" class:MINIRING_62\n"));
	for (i = 0; i < ARRAY_SIZE(queries); i++)
		EXPECT_TRUE(equal(_metadata, self->start, queries[i], &changed));
	EXPECT_LE(9, changed);

	EXPECT_EQ(0, put(CONTROL, "kernel class MINIRING_63 =pl"));
	EXPECT_STREQ("pl", flags_of(KERNEL, "\"class none"));
	EXPECT_STREQ("m", flags_of(KERNEL, "\"class 62"));
	EXPECT_EQ(0, unload("miniring_classes"));
}

/* A module that does not use miniring, loaded before it. */
TEST_F(kernel_sites, sites_of_a_module_loaded_before_miniring_change)
{
	int log = open_log(), changed = 0;
	char *text;

	ASSERT_LE(0, log);
	ASSERT_EQ(0, unload("miniring"));
	ASSERT_EQ(0, load("miniring_pr_debug", ""));
	ASSERT_EQ(0, load("miniring", ""));
	restart(&self->start);
	EXPECT_TRUE(equal(_metadata, self->start, "module miniring_pr_debug +pm", &changed));
	EXPECT_TRUE(equal(_metadata, self->start, "class MINIRING_RED +p", &changed));
	EXPECT_EQ(2, changed);

	EXPECT_EQ(0, put(SAY, "one"));
	EXPECT_EQ(0, put(CONTROL, "kernel module miniring_pr_debug +p\n"
			 "kernel class MINIRING_RED +p"));
	EXPECT_EQ(0, put(SAY, "two"));
	/* The unload of miniring does not change the sites. */
	ASSERT_EQ(0, unload("miniring"));
	EXPECT_EQ(0, put(SAY, "three"));
	ASSERT_EQ(0, unload("miniring_pr_debug"));
	ASSERT_EQ(0, load("miniring", ""));
	text = read_log(log);
	EXPECT_EQ(NULL, strstr(text, "said one"));
	EXPECT_NE(NULL, strstr(text, "plainly said two"));
	EXPECT_NE(NULL, strstr(text, "red said two"));
	EXPECT_EQ(NULL, strstr(text, "green said"));
	EXPECT_NE(NULL, strstr(text, "plainly said three"));
	EXPECT_NE(NULL, strstr(text, "red said three"));
	free(text);
	close(log);
}

TEST_F(kernel_sites, kernel_sites_change_query_by_query_in_one_apply)
{
	long applies = stat_of("applies");
	char *by_kernel, *by_us;

	put(KERNEL, "module p* +m; file *.c -p\nfunc *init* +pt; module pci =f");
	by_kernel = slurp(KERNEL);
	reset();
	EXPECT_EQ(0, put(CONTROL,
			 "kernel module p* +m; kernel file *.c -p\n"
			 "kernel func *init* +pt;kernel module pci =f"));
	by_us = slurp(KERNEL);
	EXPECT_EQ(-1, differ_at(by_kernel, by_us));
	EXPECT_EQ(applies + 1, stat_of("applies"));
	free(by_kernel);
	free(by_us);
}

TEST_F(kernel_sites, sites_of_a_module_print_when_turned_on)
{
	int log = open_log();
	char *text;

	ASSERT_LE(0, log);
	ASSERT_EQ(0, load("miniring_keys_test", ""));
	EXPECT_EQ(0, put(COMMAND, "say one"));
	EXPECT_EQ(0, put(CONTROL, "kernel module miniring_keys_test +pm"));
	EXPECT_STREQ("pm", flags_of(KERNEL, "[miniring_keys_test]"));
	EXPECT_EQ(0, put(COMMAND, "say two"));
	EXPECT_EQ(0, put(CONTROL, "kernel module miniring_keys_test -p"));
	EXPECT_EQ(0, put(COMMAND, "say three"));
	text = read_log(log);
	EXPECT_EQ(NULL, strstr(text, "said one"));
	EXPECT_NE(NULL, strstr(text, ";miniring_keys_test: said two"));
	EXPECT_EQ(NULL, strstr(text, "said three"));
	free(text);
	EXPECT_EQ(0, put(CONTROL, "kernel module miniring_keys_test +p"));
	EXPECT_EQ(0, unload("miniring_keys_test"));
	EXPECT_STREQ("none", flags_of(KERNEL, "[miniring_keys_test]"));
	close(log);
}

TEST_F(kernel_sites, kernel_query_leaves_dyn_debug_sites_alone)
{
	EXPECT_EQ(0, put(CONTROL, "kernel +p"));
	EXPECT_STREQ("_", flags_of(CONTROL, ""));
	EXPECT_EQ(0, put(CONTROL, "kernel -p; +p"));
	EXPECT_STREQ("p", flags_of(CONTROL, ""));
	EXPECT_EQ(0, put(CONTROL, "=_"));
}

TEST_HARNESS_MAIN
