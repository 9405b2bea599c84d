#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# In the second VM of `make rfc-crash`: makes the RFC's order of calls through miniring.

insmod miniring.ko && insmod miniring_rfc_order.ko via=miniring || exit 1
dmesg | grep '\] rfc_order: '
rmmod miniring_rfc_order && rmmod miniring
