// SPDX-License-Identifier: GPL-2.0

#include <linux/percpu-refcount.h>

#include "helpers.h"

bool miniring_percpu_ref_tryget_live(struct percpu_ref *ref)
{
	return percpu_ref_tryget_live(ref);
}

bool miniring_percpu_ref_is_dying(struct percpu_ref *ref)
{
	return percpu_ref_is_dying(ref);
}

void miniring_percpu_ref_put(struct percpu_ref *ref)
{
	percpu_ref_put(ref);
}

void miniring_percpu_ref_get(struct percpu_ref *ref)
{
	percpu_ref_get(ref);
}
