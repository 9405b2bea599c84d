// SPDX-License-Identifier: GPL-2.0
/* Operations on the module's files in debugfs, and on the files of rings in proc. */
#include "fuzz_ops.h"

static void read_file(struct worker *w, const char *path, unsigned int gene)
{
	static __thread char buffer[1 << 16];
	int fd = CALL(w, open(path, O_RDONLY | O_CLOEXEC));

	if (fd < 0)
		return;
	if (gene % 4 == 0)
		CALL(w, read(fd, buffer, gene / 4 % 200));
	if (gene % 8 == 1)
		CALL(w, lseek(fd, number(gene / 8), SEEK_SET));
	CALL(w, read(fd, buffer, sizeof(buffer)));
	CALL(w, close(fd));
}

void do_fdinfo(struct worker *w, const struct op *op)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", slot_fd(slot_of(w, op)));
	read_file(w, path, op->gene[0]);
}

void do_control_read(struct worker *w, const struct op *op)
{
	static const char *const paths[] = { CONTROL, STATS, BACKEND, REACH };

	read_file(w, paths[op->gene[1] % ARRAY_LEN(paths)], op->gene[0]);
}

void do_control(struct worker *w, const struct op *op)
{
	static __thread char text[TEXT_MAX];
	struct rng rng = { .state = op->gene[0] };
	size_t len = text_query(&rng, text);
	int fd = CALL(w, open(CONTROL, O_WRONLY | O_CLOEXEC));
	unsigned long where = (unsigned long)text;
	int ret;

	if (fd < 0)
		return;
	if (op->gene[1] % 64 == 0)
		where = place(w, op->gene[1] / 64, text, len > 64 ? 64 : len);
	if (where != (unsigned long)text && len > 64)
		len = 64;
	ret = result(CALL(w, write(fd, (void *)where, len)));
	expect(w, "control", ret, ALLOWED(EINVAL, E2BIG, EFAULT, ENOMEM, EOPNOTSUPP));
	if (ret >= 0 && ret != len)
		expect(w, "control took a part of the write", -ERANGE, ALLOWED(EINVAL));
	CALL(w, close(fd));
}
