// SPDX-License-Identifier: GPL-2.0
/*
 * Runs random programs on io_uring and on miniring, and compares their effects:
 *
 *	differ [--seed N] [--programs N] [--seconds N] [--control] [--print]
 *
 * The seeds count up from the first. A disagreement is printed, made smaller, and fails the
 * run. --control runs io_uring on both sides, --print prints each program and its transcript.
 */
#include <getopt.h>
#include "differ.h"
#include "kselftest.h"
#include "ring_base.h"

static unsigned long long seed = 1, programs = 1000, seconds = 600;
static bool control, print;

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "programs", required_argument, NULL, 'p' },
		{ "seconds", required_argument, NULL, 't' },
		{ "control", no_argument, NULL, 'c' },
		{ "print", no_argument, NULL, 'v' },
		{},
	};

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			programs = strtoull(optarg, NULL, 0);
			break;
		case 't':
			seconds = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			control = true;
			break;
		case 'v':
			print = true;
			break;
		default:
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	static struct judge judge = { .reference = URING_IO_URING, .tested = URING_MINIRING };
	static const char *const names[] = { "agree", "disagree", "unstable", "broken" };
	unsigned int counts[4] = {};
	struct program program;
	long long start, end;

	parse(argc, argv);
	if (control)
		judge.tested = URING_IO_URING;
	ksft_print_header();
	ksft_set_plan(2);
	start = now_ms();
	end = start + seconds * 1000;
	for (unsigned long long nr = 0; nr < programs && now_ms() < end; nr++) {
		enum verdict verdict;

		program_make(&program, seed + nr);
		verdict = judge_program(&judge, &program);
		counts[verdict]++;
		if (print || verdict == UNSTABLE) {
			printf("# seed %llu: %s\n", seed + nr, names[verdict]);
			program_print(&program);
			transcripts_print(&judge.expected, &judge.got);
		}
		if (verdict == BROKEN)
			ksft_exit_skip("no ring: %s, %s\n", result_name(judge.expected.error),
				       result_name(judge.got.error));
		if (verdict == DISAGREE)
			judge_report(&judge, seed + nr);
		fflush(stdout);
	}
	ksft_print_msg("%u programs agree, %u of them with more time; %u disagree; %u unstable\n",
		       counts[AGREE], judge.late, counts[DISAGREE], counts[UNSTABLE]);
	ksft_print_msg("%lld ms\n", now_ms() - start);
	ksft_test_result(!counts[DISAGREE], "io_uring and miniring agree\n");
	ksft_test_result(counts[UNSTABLE] * 10 <= counts[AGREE], "io_uring agrees with itself\n");
	ksft_finished();
}
