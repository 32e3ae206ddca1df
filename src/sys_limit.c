/* sys_limit.c - limits of the kernel and of this process as text, for messages.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const char *lipcsys_limit (const char *name, char *buf, size_t size) {
  snprintf(buf, size, "/proc/sys/%s", name);
  int fd = open(buf, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : 0;
  if (fd >= 0) close(fd);
  if (n <= 0) return "?";
  buf[n] = '\0';
  buf[strcspn(buf, "\n")] = '\0';
  return buf;
}

int lipcsys_rlimitnow (const char *name, uint64_t *ret_n) {
  struct rlimit lim;
  int resource, r = lipcsys_rlimit(name, &resource);
  if (r < 0) return r;
  if (getrlimit((unsigned)resource, &lim) < 0) return -errno;
  *ret_n = lim.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)lim.rlim_cur;
  return 0;
}

const char *lipcsys_filelimit (int err, char *buf, size_t size) {
  char value[64];
  uint64_t n;
  if (err == -ENFILE)
    snprintf(buf, size, "fs.file-max is %s: see sysctl",
             lipcsys_limit("fs/file-max", value, sizeof value));
  else if (err == -EMFILE && lipcsys_rlimitnow("nofile", &n) == 0)
    snprintf(buf, size, "RLIMIT_NOFILE is %llu: see ulimit -n", (unsigned long long)n);
  else return NULL;
  return buf;
}
