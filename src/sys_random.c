/* sys_random.c - bytes that nobody can guess; getentropy(3).  POSIX.
** SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <unistd.h>

int lipcsys_random (void *buf, size_t size) { return getentropy(buf, size) < 0 ? -errno : 0; }
