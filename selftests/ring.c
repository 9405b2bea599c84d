// SPDX-License-Identifier: GPL-2.0
#include <linux/io_uring.h>
#include <linux/miniring.h>
#include "kselftest_harness.h"

TEST(header)
{
	EXPECT_EQ(16, sizeof(struct miniring_setup));
}

TEST_HARNESS_MAIN
