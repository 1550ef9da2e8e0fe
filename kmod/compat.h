/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which kernels the module is for. Kbuild includes this file before each
 * source; no other one may ask for the kernel's version.
 *
 * 6.12.95 is the first of the series whose backing_file_open() takes the
 * user's file instead of its path.
 */
#ifndef _ORCHFS_COMPAT_H
#define _ORCHFS_COMPAT_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 95) || \
	LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#error orchfs is for Linux 6.12 from 6.12.95 on: install such a kernel and its headers (Debian 13, or backports of Debian 12), or name them by KDIR=
#endif

#endif
