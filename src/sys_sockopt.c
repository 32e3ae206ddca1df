/* sys_sockopt.c - socket options by name; socket(7), tcp(7), ip(7), ipv6(7).
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

static const struct lipcsys_sockopt options[] = {
  {"acceptconn", SOL_SOCKET, SO_ACCEPTCONN, LIPC_OPT_BOOL, true},
  {"broadcast", SOL_SOCKET, SO_BROADCAST, LIPC_OPT_BOOL, false},
  {"dontroute", SOL_SOCKET, SO_DONTROUTE, LIPC_OPT_BOOL, false},
  {"error", SOL_SOCKET, SO_ERROR, LIPC_OPT_ERROR, true},
  {"keepalive", SOL_SOCKET, SO_KEEPALIVE, LIPC_OPT_BOOL, false},
  {"linger", SOL_SOCKET, SO_LINGER, LIPC_OPT_LINGER, false},
  {"nodelay", IPPROTO_TCP, TCP_NODELAY, LIPC_OPT_BOOL, false},
  {"oobinline", SOL_SOCKET, SO_OOBINLINE, LIPC_OPT_BOOL, false},
  {"rcvbuf", SOL_SOCKET, SO_RCVBUF, LIPC_OPT_INT, false},
  {"reuseaddr", SOL_SOCKET, SO_REUSEADDR, LIPC_OPT_BOOL, false},
  {"sndbuf", SOL_SOCKET, SO_SNDBUF, LIPC_OPT_INT, false},
  {"ttl", IPPROTO_IP, IP_TTL, LIPC_OPT_INT, false},
  {"type", SOL_SOCKET, SO_TYPE, LIPC_OPT_TYPE, true},
  {"v6only", IPPROTO_IPV6, IPV6_V6ONLY, LIPC_OPT_BOOL, false},
#ifdef SO_DOMAIN
  {"family", SOL_SOCKET, SO_DOMAIN, LIPC_OPT_FAMILY, true},
#endif
#ifdef SO_REUSEPORT
  {"reuseport", SOL_SOCKET, SO_REUSEPORT, LIPC_OPT_BOOL, false},
#endif
#ifdef TCP_KEEPIDLE
  {"keepidle", IPPROTO_TCP, TCP_KEEPIDLE, LIPC_OPT_INT, false},
#endif
#ifdef TCP_KEEPINTVL
  {"keepintvl", IPPROTO_TCP, TCP_KEEPINTVL, LIPC_OPT_INT, false},
#endif
#ifdef TCP_KEEPCNT
  {"keepcnt", IPPROTO_TCP, TCP_KEEPCNT, LIPC_OPT_INT, false},
#endif
#ifdef TCP_USER_TIMEOUT
  {"user_timeout", IPPROTO_TCP, TCP_USER_TIMEOUT, LIPC_OPT_INT, false},
#endif
#ifdef TCP_CORK
  {"cork", IPPROTO_TCP, TCP_CORK, LIPC_OPT_BOOL, false},
#endif
#ifdef TCP_QUICKACK
  {"quickack", IPPROTO_TCP, TCP_QUICKACK, LIPC_OPT_BOOL, false},
#endif
#ifdef SO_PASSCRED
  {"passcred", SOL_SOCKET, SO_PASSCRED, LIPC_OPT_BOOL, false},
#endif
#ifdef SO_PRIORITY
  {"priority", SOL_SOCKET, SO_PRIORITY, LIPC_OPT_INT, false},
#endif
};

const struct lipcsys_sockopt *lipcsys_sockopt (const char *name) {
  for (size_t i = 0; i < sizeof options / sizeof *options; i++)
    if (strcmp(options[i].name, name) == 0) return &options[i];
  return NULL;
}

static long own_type (int type) {
  return type == SOCK_STREAM      ? LIPC_SOCK_STREAM
         : type == SOCK_DGRAM     ? LIPC_SOCK_DGRAM
         : type == SOCK_SEQPACKET ? LIPC_SOCK_SEQPACKET
                                  : LIPC_SOCK_OTHER;
}

static long own_family (int family) {
  return family == AF_UNIX    ? LIPC_AF_UNIX
         : family == AF_INET  ? LIPC_AF_INET
         : family == AF_INET6 ? LIPC_AF_INET6
                              : LIPC_AF_OTHER;
}

int lipcsys_getsockopt (int fd, const struct lipcsys_sockopt *o, long *ret_value) {
  struct linger l;
  int n = 0;
  socklen_t size = o->kind == LIPC_OPT_LINGER ? sizeof l : sizeof n;
  void *p = o->kind == LIPC_OPT_LINGER ? (void *)&l : (void *)&n;
  if (getsockopt(fd, o->level, o->option, p, &size) < 0) return -errno;
  switch (o->kind) {
    case LIPC_OPT_BOOL: *ret_value = n != 0; break;
    case LIPC_OPT_LINGER: *ret_value = l.l_onoff ? l.l_linger : -1; break;
    case LIPC_OPT_TYPE: *ret_value = own_type(n); break;
    case LIPC_OPT_FAMILY: *ret_value = own_family(n); break;
    default: *ret_value = n; break;
  }
  return 0;
}

int lipcsys_setsockopt (int fd, const struct lipcsys_sockopt *o, long value) {
  struct linger l = {value >= 0, value >= 0 ? (int)value : 0};
  int n = (int)value;
  int r = o->kind == LIPC_OPT_LINGER ? setsockopt(fd, o->level, o->option, &l, sizeof l)
                                     : setsockopt(fd, o->level, o->option, &n, sizeof n);
  return r < 0 ? -errno : 0;
}
