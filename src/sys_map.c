/* sys_map.c - memory that is mapped; mmap(2), mremap(2), msync(2), mlock(2), madvise(2).  POSIX; moving a
** mapping and most of the advice are Linux's.
** fork: a shared mapping is the child's too, of a private one it has a copy; locks are not inherited.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

size_t lipcsys_pagesize (void) { return (size_t)sysconf(_SC_PAGESIZE); }

int lipcsys_map (int fd, uint64_t offset, size_t size, unsigned how, void **ret_addr) {
  int flags = how & LIPC_MAP_PRIVATE ? MAP_PRIVATE : MAP_SHARED;
  if (fd < 0) flags |= MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
  if (how & LIPC_MAP_NORESERVE) flags |= MAP_NORESERVE;
#endif
#ifdef MAP_POPULATE
  if (how & LIPC_MAP_POPULATE) flags |= MAP_POPULATE;
#endif
  int prot = how & LIPC_MAP_READONLY ? PROT_READ : PROT_READ | PROT_WRITE;
  void *p = mmap(NULL, size, prot, flags, fd, (off_t)offset);
  if (p == MAP_FAILED) return -errno;
  *ret_addr = p;
  return 0;
}

int lipcsys_mapshared (size_t size, void **ret_addr) {
  return lipcsys_map(-1, 0, size, 0, ret_addr);
}

int lipcsys_unmap (void *addr, size_t size) { return munmap(addr, size) < 0 ? -errno : 0; }

int lipcsys_blank (void *addr, size_t size) {
  void *p = mmap(addr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                 0);
  return p == MAP_FAILED ? -errno : 0;
}

int lipcsys_remap (void *addr, size_t old, size_t size, bool move, void **ret_addr) {
#ifdef MREMAP_MAYMOVE
  void *p = mremap(addr, old, size, move ? MREMAP_MAYMOVE : 0);
  if (p == MAP_FAILED) return -errno;
  *ret_addr = p;
  return 0;
#else
  (void)addr, (void)old, (void)size, (void)move, (void)ret_addr;
  return -ENOSYS;
#endif
}

/* ---- pages of it ---- */

/* The beginning of the page, and the size from there. */
static char *page_of (char *addr, size_t *size) {
  size_t over = (uintptr_t)addr % lipcsys_pagesize();
  *size += over;
  return addr - over;
}

int lipcsys_msync (char *addr, size_t size, bool async) {
  addr = page_of(addr, &size);
  return msync(addr, size, async ? MS_ASYNC : MS_SYNC) < 0 ? -errno : 0;
}

int lipcsys_mlock (char *addr, size_t size, bool on) {
  addr = page_of(addr, &size);
  return (on ? mlock(addr, size) : munlock(addr, size)) < 0 ? -errno : 0;
}

const char *const lipcsys_advices[] = {
  "normal",   "random",        "sequential",     "willneed", "dontneed",
#ifdef __linux__
  "hugepage", "nohugepage",    "dontdump",       "dodump",   "cold",
  "pageout",  "populate_read", "populate_write",
#endif
  NULL,
};

int lipcsys_madvise (char *addr, size_t size, int advice) {
  static const int numbers[] = {
    MADV_NORMAL,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_DONTNEED,
#ifdef __linux__ /* the last ones are younger than some headers */
    MADV_HUGEPAGE,
    MADV_NOHUGEPAGE,
    MADV_DONTDUMP,
    MADV_DODUMP,
    20,
    21,
    22,
    23,
#endif
  };
  addr = page_of(addr, &size);
  return madvise(addr, size, numbers[advice]) < 0 ? -errno : 0;
}
