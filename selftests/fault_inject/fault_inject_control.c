// SPDX-License-Identifier: GPL-2.0
/*
 * Failed allocations and faulting addresses, in reads of the files in proc and debugfs, in
 * queries, and in their applies.
 */
#include "fault_inject.h"

/* Reads a file into @text. */
static int read_into(const char *path, char *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	ssize_t len = 0, ret;

	if (fd < 0)
		return -errno;
	do {
		ret = read(fd, text + len, LIST_MAX - 1 - len);
		if (ret < 0)
			err = -errno;
		else
			len += ret;
	} while (ret > 0);
	text[len] = '\0';
	close(fd);
	return err;
}

static int read_path(struct state *s)
{
	return read_into(s->path, s->after);
}

static const char *reads_otherwise(struct state *s, int ret)
{
	return ret || strcmp(s->before, s->after) ? "does not read as before" : NULL;
}

static bool lists_init(struct state *s)
{
	s->before = malloc(LIST_MAX);
	s->after = malloc(LIST_MAX);
	s->wanted = malloc(LIST_MAX);
	return s->before && s->after && s->wanted;
}

TEST_F(fault, files_read_survives_faults)
{
	static const struct call call = { .make = read_path, .wrong = reads_otherwise };
	const char *const paths[] = { CONTROL, STATS, BACKEND, REACH, NULL };
	struct state *s = &self->state;
	char fdinfo[64];

	ASSERT_TRUE(lists_init(s));
	ASSERT_EQ(0, uring_open(&s->ring, ENTRIES));
	/* State to show: entries, and completions without room in the CQ. */
	for (int i = 0; i < 3 * ENTRIES; i++) {
		uring_nop(&s->ring, i);
		ASSERT_EQ(1, uring_submit(&s->ring));
	}
	uring_nop(&s->ring, 1);
	uring_publish(&s->ring);
	snprintf(fdinfo, sizeof(fdinfo), "/proc/self/fdinfo/%d", s->ring.fd);
	for (int i = 0; i < ARRAY_SIZE(paths); i++) {
		s->path = paths[i] ?: fdinfo;
		ASSERT_EQ(0, read_into(s->path, s->before));
		FAIL_EACH(s, &call);
	}
	EXPECT_LT(0, self->state.count.nomem);
	EXPECT_LT(0, self->state.count.fault);
}

/* Queries, and their apply. */

static int query(struct state *s)
{
	return put(CONTROL, s->query);
}

/* The lists of sites: miniring's, then the kernel's. */
static int lists_read(char *text)
{
	int err = read_into(CONTROL, text);

	if (!err && !access(KERNEL_CONTROL, F_OK))
		err = read_into(KERNEL_CONTROL, text + strlen(text));
	return err;
}

static const char *sites_changed(struct state *s)
{
	if (lists_read(s->after))
		return "the sites cannot be read";
	return strcmp(s->before, s->after) ? "sites have changed" : NULL;
}

static const char *sites_wrong(struct state *s, int ret)
{
	if (ret || lists_read(s->after))
		return "the sites cannot be read";
	return strcmp(s->wanted, s->after) ? "sites are not as asked for" : NULL;
}

static void undo_query(struct state *s)
{
	put(CONTROL, s->undo);
}

static void fail_queries(struct __test_metadata *_metadata, struct state *s,
			 const char *query_, const char *undo)
{
	static const struct call call = {
		.make = query, .changed = sites_changed, .wrong = sites_wrong, .undo = undo_query,
	};

	s->query = query_;
	s->undo = undo;
	ASSERT_TRUE(lists_init(s));
	/* The expected state, made without faults. */
	ASSERT_EQ(0, lists_read(s->before));
	ASSERT_EQ(0, put(CONTROL, query_));
	ASSERT_EQ(0, lists_read(s->wanted));
	ASSERT_EQ(0, put(CONTROL, undo));
	ASSERT_EQ(NULL, sites_changed(s));
	FAIL_EACH(s, &call);
	EXPECT_EQ(NULL, sites_changed(s));
}

TEST_F(fault, query_of_own_sites_survives_faults)
{
	fail_queries(_metadata, &self->state, "+p", "-p");
	EXPECT_LT(0, self->state.count.nomem);
	EXPECT_LT(0, self->state.count.fault);
}

TEST_F(fault, queries_that_build_on_each_other_survives_faults)
{
	fail_queries(_metadata, &self->state, "+p; +m\n-p; func apply_queued +fl; line 1- =pl",
		     "=_");
	EXPECT_LT(0, self->state.count.nomem);
}

TEST_F(fault, query_of_the_kernels_sites_survives_faults)
{
	if (access(KERNEL_CONTROL, F_OK))
		SKIP(return, "the kernel has no CONFIG_DYNAMIC_DEBUG");
	fail_queries(_metadata, &self->state, "kernel file lib/kobject*.c +p",
		     "kernel file lib/kobject*.c -p");
	EXPECT_LT(0, self->state.count.nomem);
}

TEST_F(fault, queries_of_both_survives_faults)
{
	if (access(KERNEL_CONTROL, F_OK))
		SKIP(return, "the kernel has no CONFIG_DYNAMIC_DEBUG");
	fail_queries(_metadata, &self->state,
		     "+p; kernel module kobject +pm; kernel module params +p",
		     "=_; kernel module kobject =_; kernel module params =_");
	EXPECT_LT(0, self->state.count.nomem);
}

static int bad_query(struct state *s)
{
	int ret = put(CONTROL, "+p; kernel module kobject +p; nonsense");

	(void)s;
	return ret == -EINVAL ? 0 : ret ?: -EIO;
}

static const char *changed_after_all(struct state *s, int ret)
{
	return ret ? "was not refused" : sites_changed(s);
}

TEST_F(fault, bad_query_survives_faults)
{
	ASSERT_TRUE(lists_init(&self->state));
	ASSERT_EQ(0, lists_read(self->state.before));
	FAIL_EACH(&self->state, (&(struct call){
		.make = bad_query, .changed = sites_changed, .wrong = changed_after_all,
	}));
	EXPECT_LT(0, self->state.count.nomem);
}

int main(int argc, char **argv)
{
	return fault_main(argc, argv);
}
