/* sys_map.c - memory that is mapped; mmap(2).  POSIX.
** fork: a shared mapping is the child's too.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <sys/mman.h>

int lipcsys_mapshared (size_t size, void **ret_addr) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return -errno;
  *ret_addr = p;
  return 0;
}

int lipcsys_unmap (void *addr, size_t size) { return munmap(addr, size) < 0 ? -errno : 0; }
