// SPDX-License-Identifier: GPL-2.0
/*
 * Queries for the control file, made by a grammar and then damaged. Also the kernel's own sites,
 * whose state is restored when the fuzzer ends.
 */
#include "fuzz.h"

/* Only sites of the kernel in these modules may print. */
static const char * const quiet_modules[] = {
	"initramfs", "kobject", "kobject_uevent", "params",
};

struct text {
	struct rng *rng;
	char *at;
	size_t len;
};

static void add_len(struct text *t, const char *piece, size_t len)
{
	if (t->len + len >= TEXT_MAX)
		return;
	memcpy(t->at + t->len, piece, len);
	t->len += len;
}

static void add(struct text *t, const char *piece)
{
	add_len(t, piece, strlen(piece));
}

/* Adds one of @choices, which are separated by bars. */
static void add_one_of(struct text *t, const char *choices)
{
	unsigned int nr = 1;

	for (const char *at = choices; *at; at++)
		nr += *at == '|';
	for (nr = rng_below(t->rng, nr); nr; nr--)
		choices = strchr(choices, '|') + 1;
	add_len(t, choices, strcspn(choices, "|"));
}

/* Each keyword with valid values, and some invalid values. */
static const struct {
	const char *keyword, *values;
} specs[] = {
	{ "func", "register_eventfd|*|apply*|*_init|init*|k?bj*|a|" },
	{ "file", "rust/ring/call/register.rs|*.rs|lib/*|init/main.c|*/*.c:*|*" },
	{ "file", "lib/kobject.c:139|apply.rs:1-99|apply.rs:apply_*|main.c:" },
	{ "module", "miniring|mini*|kobject|initramfs|params|*|??*|x" },
	{ "format", "requests|\"in %d ns\"|^{len}|\"\\040in\"|'\\n'|%s|\\x41|\"a\\0b\"|^" },
	{ "line", "1|0|1-|-100|1-4294967295|55|50-60|9-1|-|1-x|0x10|010" },
	{ "line", "4294967296|18446744073709551616|-1|1--2" },
	{ "class", "DRM_UT_CORE|x|\"\"|*" },
};

static void add_flags(struct text *t)
{
	add_one_of(t, "+|-|=|+|-|=||*");
	for (unsigned int i = rng_below(t->rng, 4); i; i--)
		add_one_of(t, "p|p|m|f|l|t|s|_");
	if (rng_one_in(t->rng, 100))
		add_one_of(t, "d|x|P|+| ");
}

static void add_query(struct text *t)
{
	if (rng_one_in(t->rng, 4))
		add(t, rng_one_in(t->rng, 16) ? "\"kernel\" " : "kernel ");
	for (unsigned int i = rng_below(t->rng, 4); i; i--) {
		unsigned int spec = rng_below(t->rng, ARRAY_LEN(specs));

		add(t, specs[spec].keyword);
		add_one_of(t, " | | | |\t|  |\"|");
		if (rng_one_in(t->rng, 16))
			spec = rng_below(t->rng, ARRAY_LEN(specs));
		add_one_of(t, specs[spec].values);
		add_one_of(t, " | | | |\t|\r|'|");
	}
	add_flags(t);
}

static void damage(struct text *t)
{
	for (unsigned int i = 1 + rng_below(t->rng, 4); i && t->len; i--) {
		unsigned int at = rng_below(t->rng, t->len);
		unsigned int len = 1 + rng_below(t->rng, 8);

		if (len > t->len - at)
			len = t->len - at;
		switch (rng_below(t->rng, 4)) {
		case 0:
			t->at[at] = rng_next(t->rng);
			break;
		case 1:
			t->at[at] = "\"'\\;\n#*?-+=\0:^ \xa0"[rng_below(t->rng, 16)];
			break;
		case 2:
			memmove(t->at + at, t->at + at + len, t->len - at - len);
			t->len -= len;
			break;
		default:
			if (t->len + len > TEXT_MAX)
				break;
			memmove(t->at + at + len, t->at + at, t->len - at);
			t->len += len;
		}
	}
}

static bool names_quiet_module(const char *query, size_t len)
{
	for (int i = 0; i < ARRAY_LEN(quiet_modules); i++) {
		char spec[32];
		size_t spec_len = sprintf(spec, "module %s ", quiet_modules[i]);
		const char *found = memmem(query, len, spec, spec_len);

		/* Does not match inside of a value. */
		if (found && !memchr(query, '"', len) && !memchr(query, '\'', len) &&
		    !memchr(query, '#', len))
			return true;
	}
	return false;
}

/* Removes print flags that could fill the log: a site may be in any code. */
static void quieten(char *text, size_t len)
{
	for (size_t start = 0, end; start < len; start = end + 1) {
		char *query = text + start;

		for (end = start; end < len && text[end] != ';' && text[end] != '\n';)
			end++;
		if (!memmem(query, end - start, "kernel", 6) ||
		    names_quiet_module(query, end - start))
			continue;
		for (char *p = query; p < text + end; p++)
			if (*p == '+' || *p == '=')
				for (char *flag = p; flag < text + end; flag++)
					if (*flag == 'p')
						*flag = '_';
	}
}

/* Fills @text, of TEXT_MAX bytes. Returns the length. */
size_t text_query(struct rng *rng, char *text)
{
	struct text t = { .rng = rng, .at = text };
	unsigned int queries = rng_one_in(rng, 8) ? rng_below(rng, 12) : 1;

	if (rng_one_in(rng, 500)) {
		/* About the maximal length of a write. */
		size_t len = 4090 + rng_below(rng, 12);

		memset(text, rng_one_in(rng, 2) ? ' ' : '#', len);
		memcpy(text, "-p;", 3);
		return len;
	}
	for (unsigned int i = 0; i < queries; i++) {
		if (i)
			add_one_of(&t, ";|; |\n|\n\n|;;| # x;");
		add_query(&t);
	}
	if (rng_one_in(rng, 4))
		damage(&t);
	quieten(text, t.len);
	return t.len;
}

int text_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : 0;

	if (!ret && write(fd, text, strlen(text)) < 0)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

/* Returns the kernel's list of its sites, NULL if it has none. */
char *sites_read(void)
{
	size_t len = 0, room = 1 << 16;
	char *text = malloc(room);
	int fd = open(KERNEL_CONTROL, O_RDONLY | O_CLOEXEC);
	ssize_t ret = -1;

	while (text && fd >= 0) {
		ret = read(fd, text + len, room - len - 1);
		if (ret <= 0)
			break;
		len += ret;
		if (len + 1 == room) {
			room *= 2;
			text = realloc(text, room);
		}
	}
	if (fd >= 0)
		close(fd);
	if (ret < 0) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

/*
 * Turns every site off, and then the sites on that were on in @before. Returns true if the list
 * then equals @before.
 */
bool sites_restore(const char *before)
{
	char query[512], file[256], flags[16];
	unsigned int line;
	char *after;
	bool same;

	if (text_write(CONTROL, "-p; =_"))
		return false;
	if (!before)
		return true;
	if (text_write(CONTROL, "kernel =_"))
		return false;
	for (const char *at = before; at && *at; at = strchr(at, '\n'), at += !!at) {
		if (sscanf(at, "%255[^:]:%u [%*[^]]]%*s =%15[a-z]", file, &line, flags) != 3)
			continue;
		snprintf(query, sizeof(query), "kernel file %s line %u =%s", file, line, flags);
		if (text_write(CONTROL, query))
			return false;
	}
	after = sites_read();
	same = after && !strcmp(before, after);
	free(after);
	return same;
}
