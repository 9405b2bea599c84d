// SPDX-License-Identifier: GPL-2.0
/*
 * Exports of the Rust code to other Rust modules, under the mangled names.
 * Kbuild makes the list from the object.
 */

#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
