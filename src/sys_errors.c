/* sys_errors.c - names and texts of errors: the C library's, and those that are conditions to lipc and
** not to the kernel.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lipc_sys.h"

static const struct {
  int err;
  const char *code, *text;
} own[] = {
  {LIPC_EEOF, "EOF", "end of stream"},
  {LIPC_ENUMBER, "EINVAL", "malformed number"},
  {LIPC_EUNSAFE, "EPERM", "not a directory of this user alone (mode 0700)"},
  {LIPC_ENOTFIFO, "EINVAL", "not a FIFO"},
  {LIPC_ESYMLINK, "ELOOP", "a symbolic link, not a FIFO"},
  {LIPC_EMSGBIG, "E2BIG", "message too large"}, /* the C library's text speaks of arguments */
  {ETIMEDOUT, "ETIMEDOUT", "timed out"}, /* the C library's text speaks of a connection */
};
#define NOWN (sizeof own / sizeof *own)

#define E(name) \
  { name, #name }

/* clang-format off */
static const struct {
  int err;
  const char *name;
} names[] = {
  E(E2BIG), E(EACCES), E(EADDRINUSE), E(EADDRNOTAVAIL), E(EAFNOSUPPORT), E(EAGAIN), E(EALREADY),
  E(EBADF), E(EBADMSG), E(EBUSY), E(ECANCELED), E(ECHILD), E(ECONNABORTED), E(ECONNREFUSED),
  E(ECONNRESET), E(EDEADLK), E(EDESTADDRREQ), E(EDOM), E(EDQUOT), E(EEXIST), E(EFAULT), E(EFBIG),
  E(EHOSTUNREACH), E(EIDRM), E(EILSEQ), E(EINPROGRESS), E(EINTR), E(EINVAL), E(EIO), E(EISCONN),
  E(EISDIR), E(ELOOP), E(EMFILE), E(EMLINK), E(EMSGSIZE), E(ENAMETOOLONG), E(ENETDOWN),
  E(ENETRESET), E(ENETUNREACH), E(ENFILE), E(ENOBUFS), E(ENODEV), E(ENOENT), E(ENOEXEC),
  E(ENOLCK), E(ENOMEM), E(ENOMSG), E(ENOPROTOOPT), E(ENOSPC), E(ENOSYS), E(ENOTBLK), E(ENOTCONN),
  E(ENOTDIR), E(ENOTEMPTY), E(ENOTRECOVERABLE), E(ENOTSOCK), E(ENOTSUP), E(ENOTTY), E(ENXIO),
  E(EOVERFLOW), E(EOWNERDEAD), E(EPERM), E(EPIPE), E(EPROTO), E(EPROTONOSUPPORT), E(EPROTOTYPE),
  E(ERANGE), E(EROFS), E(ESPIPE), E(ESRCH), E(ESTALE), E(ETIMEDOUT), E(ETXTBSY), E(EXDEV),
#if EOPNOTSUPP != ENOTSUP
  E(EOPNOTSUPP),
#endif
};
/* clang-format on */

static bool is_lookup (int err) { return err > LIPC_EGAI && err <= LIPC_EGAI + 0xff; }

const char *lipcsys_errname (int err) {
  if (is_lookup(err)) return lipcsys_lookupname(err - LIPC_EGAI);
  for (size_t i = 0; i < NOWN; i++)
    if (own[i].err == err) return own[i].code;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].err == err) return names[i].name;
  return NULL;
}

const char *lipcsys_errtext (int err, char *buf, size_t size) {
  if (is_lookup(err)) return lipcsys_lookuptext(err - LIPC_EGAI);
  for (size_t i = 0; i < NOWN; i++)
    if (own[i].err == err) return own[i].text;
#ifdef __GLIBC__
  return strerror_r(err, buf, size);
#else
  if (strerror_r(err, buf, size) != 0) snprintf(buf, size, "error %d", err);
  return buf;
#endif
}
