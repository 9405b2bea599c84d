// SPDX-License-Identifier: GPL-2.0
/*
 * Exports of the Rust code to other modules in Rust, under the names that the
 * compiler gave the functions. Kbuild has the list made from the object.
 */

#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
