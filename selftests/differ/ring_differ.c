// SPDX-License-Identifier: GPL-2.0
/*
 * A short run of the differential fuzzer (differ.h): random programs have the same effect on
 * io_uring and on miniring, in one boot. The seeds are always the same.
 */
#include "differ.h"
#include "ring_test.h"

#define CONTROL		10	/* programs, from seed 1 */
#define PROGRAMS	80

static struct judge judge;

/* Returns 0 if the kernel has io_uring, else the error: the kernel lacks or disables it. */
static int no_io_uring(void)
{
	struct io_uring_params params = {};
	int fd = uring_setup(URING_IO_URING, 1, 0, &params);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

/* Counts @nr programs by verdict, and prints those that @report selects. */
static void run(unsigned int nr, bool report, unsigned int counts[4])
{
	struct program program;

	for (unsigned int seed = 1; seed <= nr; seed++) {
		enum verdict verdict;

		program_make(&program, seed);
		verdict = judge_program(&judge, &program);
		counts[verdict]++;
		if (verdict == DISAGREE && report)
			judge_report(&judge, seed);
	}
}

FIXTURE(differ)
{
	unsigned int counts[4];
};

FIXTURE_SETUP(differ)
{
	if (no_io_uring())
		SKIP(return, "no io_uring: %s", result_name(no_io_uring()));
	if (on_io_uring())
		SKIP(return, "each run is on both backends");
	judge.reference = URING_IO_URING;
	judge.tested = URING_MINIRING;
}

FIXTURE_TEARDOWN(differ)
{
}

TEST_F_TIMEOUT(differ, io_uring_agrees_with_itself, 600)
{
	judge.tested = URING_IO_URING;
	run(CONTROL, true, self->counts);
	EXPECT_EQ(0, self->counts[BROKEN]);
	EXPECT_EQ(0, self->counts[DISAGREE]);
	/* Most programs must be compared. */
	EXPECT_LE(self->counts[UNSTABLE] * 10, CONTROL);
}

TEST_F_TIMEOUT(differ, miniring_agrees_with_io_uring, 900)
{
	run(PROGRAMS, true, self->counts);
	EXPECT_EQ(0, self->counts[BROKEN]);
	EXPECT_EQ(0, self->counts[DISAGREE]);
	EXPECT_LE(self->counts[UNSTABLE] * 10, PROGRAMS);
}

/* Change one result of io_uring, in a program of several steps. */
TEST_F_TIMEOUT(differ, changed_result_is_found_in_a_reduced_program, 300)
{
	struct program program;
	unsigned int made, ops = 0;

	judge.tested = URING_IO_URING;
	judge.planted = 1;
	program_make(&program, 1);
	made = program.nr;
	ASSERT_EQ(DISAGREE, judge_program(&judge, &program));
	judge_shrink(&judge, &program);
	EXPECT_EQ(DISAGREE, judge_program(&judge, &program));
	EXPECT_GT(made, program.nr);
	for (int i = 0; i < program.nr; i++)
		ops += program.steps[i].nr;
	EXPECT_EQ(1, ops);
}

TEST_HARNESS_MAIN
