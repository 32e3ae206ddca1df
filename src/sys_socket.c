/* sys_socket.c - sockets as POSIX gives them, with the flags that spare a race: SOCK_CLOEXEC,
** SOCK_NONBLOCK, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_CMSG_CLOEXEC.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* (These names may be enumerators under macros of their own name: the preprocessor can only ask
** whether they are defined.) */
#ifdef MSG_CMSG_CLOEXEC
static const bool fds_need_cloexec = false;
#else
#define MSG_CMSG_CLOEXEC 0
static const bool fds_need_cloexec = true;
#endif

_Static_assert(sizeof(struct sockaddr_storage) <= sizeof((struct lipcsys_addr *)0)->bytes,
               "every address fits");

static const struct sockaddr *sa (const struct lipcsys_addr *a) {
  return (const struct sockaddr *)a->bytes;
}

/* ---- addresses ---- */

int lipcsys_unixaddr (const char *name, size_t len, bool abstract, struct lipcsys_addr *ret_addr,
                      size_t *ret_max) {
  struct lipcsys_addr a = {0};
  struct sockaddr_un *u = (struct sockaddr_un *)a.bytes;
  *ret_max = sizeof u->sun_path - 1;
  if (len > *ret_max) return -ENAMETOOLONG;
#ifndef __linux__
  if (abstract) return -ENOSYS;
#endif
  u->sun_family = AF_UNIX;
  memcpy(u->sun_path + abstract, name, len);
  a.size = (unsigned)(offsetof(struct sockaddr_un, sun_path) + len + 1);
#ifdef __linux__
  if (abstract && len == 0) a.size--; /* the kernel is to choose a name */
#endif
  *ret_addr = a;
  return 0;
}

static int native_family (int family) {
  switch (family) {
    case LIPC_AF_UNIX: return AF_UNIX;
    case LIPC_AF_INET: return AF_INET;
    case LIPC_AF_INET6: return AF_INET6;
    default: return AF_UNSPEC;
  }
}

static int native_type (int type) {
  return type == LIPC_SOCK_STREAM  ? SOCK_STREAM
         : type == LIPC_SOCK_DGRAM ? SOCK_DGRAM
                                   : SOCK_SEQPACKET;
}

static int own_family (int family) {
  return family == AF_UNIX    ? LIPC_AF_UNIX
         : family == AF_INET  ? LIPC_AF_INET
         : family == AF_INET6 ? LIPC_AF_INET6
                              : LIPC_AF_OTHER;
}

static int own_type (int type) {
  return type == SOCK_STREAM      ? LIPC_SOCK_STREAM
         : type == SOCK_DGRAM     ? LIPC_SOCK_DGRAM
         : type == SOCK_SEQPACKET ? LIPC_SOCK_SEQPACKET
                                  : LIPC_SOCK_OTHER;
}

int lipcsys_inetaddr (const char *host, int port, int family, struct lipcsys_addr *ret_addr) {
  struct lipcsys_addr a = {0};
  struct sockaddr_in *in = (struct sockaddr_in *)a.bytes;
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)a.bytes;
  char bare[INET6_ADDRSTRLEN];
  const char *scope = strchr(host, '%');
  size_t len = scope != NULL ? (size_t)(scope - host) : strlen(host);
  if (family != LIPC_AF_INET6 && inet_pton(AF_INET, host, &in->sin_addr) == 1) {
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)port);
    a.size = sizeof *in;
    *ret_addr = a;
    return 0;
  }
  if (family == LIPC_AF_INET || len >= sizeof bare) return -EINVAL;
  memcpy(bare, host, len);
  bare[len] = '\0';
  if (inet_pton(AF_INET6, bare, &in6->sin6_addr) != 1) return -EINVAL;
  if (scope != NULL) {
    in6->sin6_scope_id = if_nametoindex(scope + 1);
    for (const char *p = scope + 1; *p >= '0' && *p <= '9' && in6->sin6_scope_id < 100000000;)
      in6->sin6_scope_id = in6->sin6_scope_id * 10 + (unsigned)(*p++ - '0');
    if (in6->sin6_scope_id == 0) return -ENODEV;
  }
  in6->sin6_family = AF_INET6;
  in6->sin6_port = htons((uint16_t)port);
  a.size = sizeof *in6;
  *ret_addr = a;
  return 0;
}

static void unix_parts (const struct lipcsys_addr *a, struct lipcsys_addrparts *p) {
  const struct sockaddr_un *u = (const struct sockaddr_un *)a->bytes;
  const size_t head = offsetof(struct sockaddr_un, sun_path);
  size_t len = a->size > head ? a->size - head : 0;
  if (len > sizeof u->sun_path) len = sizeof u->sun_path;
  if (len > 1 && u->sun_path[0] == '\0') {
    p->abstract = true;
    p->len = len - 1;
    memcpy(p->name, u->sun_path + 1, len - 1);
  } else {
    p->len = strnlen(u->sun_path, len);
    memcpy(p->name, u->sun_path, p->len);
  }
}

void lipcsys_addrparts (const struct lipcsys_addr *addr, struct lipcsys_addrparts *ret_parts) {
  struct lipcsys_addrparts p = {0};
  p.family = addr->size < sizeof(sa_family_t) ? LIPC_AF_OTHER : own_family(sa(addr)->sa_family);
  if (p.family == LIPC_AF_UNIX) {
    unix_parts(addr, &p);
  } else if (p.family == LIPC_AF_INET) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)addr->bytes;
    inet_ntop(AF_INET, &in->sin_addr, p.name, sizeof p.name);
    p.port = ntohs(in->sin_port);
  } else if (p.family == LIPC_AF_INET6) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr->bytes;
    char ifname[IF_NAMESIZE];
    inet_ntop(AF_INET6, &in6->sin6_addr, p.name, sizeof p.name);
    size_t len = strlen(p.name);
    if (in6->sin6_scope_id != 0) {
      if (if_indextoname(in6->sin6_scope_id, ifname) != NULL)
        snprintf(p.name + len, sizeof p.name - len, "%%%s", ifname);
      else snprintf(p.name + len, sizeof p.name - len, "%%%u", (unsigned)in6->sin6_scope_id);
    }
    p.port = ntohs(in6->sin6_port);
  }
  if (p.family != LIPC_AF_UNIX) p.len = strlen(p.name);
  *ret_parts = p;
}

/* ---- making ---- */

#ifndef SOCK_CLOEXEC
#define SOCK_CLOEXEC             0
#define SOCK_NONBLOCK            0
#define accept4(fd, a, n, flags) accept(fd, a, n)
/* Two steps where one call cannot do it. */
static int finish (int fd) {
#ifdef SO_NOSIGPIPE
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
      fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0)
    return 0;
  int e = errno;
  close(fd);
  return -e;
}
#else
static int finish (int fd) {
  (void)fd;
  return 0;
}
#endif

int lipcsys_socket (int family, int type, int *ret_fd) {
  int fd = socket(native_family(family), native_type(type) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  int r = finish(fd);
  if (r == 0) *ret_fd = fd;
  return r;
}

int lipcsys_socketpair (int type, int ret_fds[2]) {
  int fds[2];
  if (socketpair(AF_UNIX, native_type(type) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
    return -errno;
  int r = finish(fds[0]), r2 = finish(fds[1]);
  if (r == 0 && r2 == 0) memcpy(ret_fds, fds, sizeof fds);
  else if (r == 0) close(fds[0]);
  else if (r2 == 0) close(fds[1]);
  return r < 0 ? r : r2;
}

int lipcsys_sockinfo (int fd, int *ret_family, int *ret_type) {
  struct lipcsys_addr a;
  int type, r;
  socklen_t size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return -errno;
  if ((r = lipcsys_sockname(fd, &a)) < 0) return r;
  *ret_family = a.size < sizeof(sa_family_t) ? LIPC_AF_OTHER : own_family(sa(&a)->sa_family);
  *ret_type = own_type(type);
  return 0;
}

int lipcsys_bind (int fd, const struct lipcsys_addr *addr) {
  return bind(fd, sa(addr), addr->size) < 0 ? -errno : 0;
}

int lipcsys_listen (int fd, int backlog) { return listen(fd, backlog) < 0 ? -errno : 0; }

/* Errors of a connection that was in the queue, not of the listener: accept(2), "Error handling". */
static bool is_gone (int err) {
  switch (err) {
    case EINTR:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case EHOSTDOWN:
#ifdef ENONET
    case ENONET:
#endif
    case EHOSTUNREACH:
    case ENETUNREACH: return true;
    default: return false;
  }
}

int lipcsys_accept (int fd, unsigned io, int *ret_fd, struct lipcsys_addr *ret_peer) {
  struct lipcsys_addr peer;
  socklen_t size;
  int n;
  do {
    if (!(io & LIPC_IO_NONBLOCK)) { /* adopted: there is no flag for one attempt, so look first */
      struct pollfd p = {fd, POLLIN, 0};
      n = poll(&p, 1, 0);
      if (n == 0) return -EAGAIN;
    }
    size = sizeof peer.bytes;
    n = accept4(fd, (struct sockaddr *)peer.bytes, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (n < 0 && is_gone(errno));
  if (n < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  int r = finish(n);
  if (r < 0) return r;
  peer.size = size;
  *ret_peer = peer;
  *ret_fd = n;
  return 0;
}

int lipcsys_connect (int fd, const struct lipcsys_addr *addr) {
  if (connect(fd, sa(addr), addr->size) == 0) return 0;
  if (errno == EINTR) return -EINPROGRESS; /* it goes on without us */
  return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

int lipcsys_connected (int fd) {
  int e = 0;
  socklen_t size = sizeof e;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) < 0 ? -errno : -e;
}

int lipcsys_sockname (int fd, struct lipcsys_addr *ret_addr) {
  socklen_t size = sizeof ret_addr->bytes;
  if (getsockname(fd, (struct sockaddr *)ret_addr->bytes, &size) < 0) return -errno;
  ret_addr->size = size;
  return 0;
}

int lipcsys_peername (int fd, struct lipcsys_addr *ret_addr) {
  socklen_t size = sizeof ret_addr->bytes;
  if (getpeername(fd, (struct sockaddr *)ret_addr->bytes, &size) < 0) return -errno;
  ret_addr->size = size;
  return 0;
}

int lipcsys_peercred (int fd, struct lipcsys_cred *ret_cred) {
#ifdef __linux__
  struct ucred c;
  socklen_t size = sizeof c;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &size) < 0) return -errno;
  if (c.uid == (uid_t)-1) return -ENOTCONN;
  *ret_cred = (struct lipcsys_cred){c.pid, (long)c.uid, (long)c.gid};
#else
  uid_t uid;
  gid_t gid;
  if (getpeereid(fd, &uid, &gid) < 0) return -errno;
  *ret_cred = (struct lipcsys_cred){0, (long)uid, (long)gid};
#endif
  return 0;
}

int lipcsys_shutdown (int fd, unsigned directions) {
  int how = directions == LIPC_IN ? SHUT_RD : directions == LIPC_OUT ? SHUT_WR : SHUT_RDWR;
  return shutdown(fd, how) < 0 ? -errno : 0;
}

/* ---- messages ---- */

/* Room for descriptors and, where the owner of an adopted socket asked for them, credentials. */
union control {
  struct cmsghdr align;
  char room[CMSG_SPACE(LIPC_MAXFDS * sizeof(int)) + CMSG_SPACE(64)];
};

int lipcsys_sendmsg (int fd, const void *data, size_t size, const struct lipcsys_addr *to,
                     const int *fds, int nfds, size_t *ret_n) {
  union control c;
  struct iovec v = {(void *)data, size};
  struct msghdr m = {0};
  ssize_t n;
  m.msg_iov = &v;
  m.msg_iovlen = 1;
  if (to != NULL) {
    m.msg_name = (void *)to->bytes;
    m.msg_namelen = to->size;
  }
  if (nfds > 0) {
    size_t bytes = (size_t)nfds * sizeof(int);
    memset(&c, 0, sizeof c);
    m.msg_control = c.room;
    m.msg_controllen = CMSG_SPACE(bytes);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(h), fds, bytes);
  }
  do n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  *ret_n = (size_t)n;
  return 0;
}

/* Takes the descriptors out of the control data; tells whether there was any control data. */
static bool take_control (struct msghdr *m, struct lipcsys_recv *r) {
  bool any = false;
  r->nfds = 0;
  r->cut = (m->msg_flags & MSG_CTRUNC) != 0;
  for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h != NULL; h = CMSG_NXTHDR(m, h)) {
    any = true;
    if (h->cmsg_level != SOL_SOCKET) continue;
#ifdef __linux__
    if (h->cmsg_type == 4) { /* SCM_PIDFD, which only the owner of an adopted socket asks for */
      int fd;
      memcpy(&fd, CMSG_DATA(h), sizeof fd);
      if (fd >= 0) close(fd);
    }
#endif
    if (h->cmsg_type != SCM_RIGHTS) continue;
    size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
      if (r->fds != NULL && r->nfds < r->maxfds && r->nfds < LIPC_MAXFDS) {
        r->fds[r->nfds++] = fd;
        if (fds_need_cloexec) fcntl(fd, F_SETFD, FD_CLOEXEC);
      } else {
        close(fd);
        r->cut = true;
      }
    }
  }
  return any;
}

/* The kernel returns 0 for an empty message and for the end alike.  With credentials asked for, a
** message comes with them, and the end does not. */
static bool credentials (int fd, bool on) {
#ifdef SO_PASSCRED
  int was = 0, set = on;
  socklen_t size = sizeof was;
  if (getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &was, &size) < 0) return false;
  if (was != set) setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &set, sizeof set);
  return was != 0;
#else
  (void)fd;
  return on;
#endif
}

int lipcsys_recvmsg (int fd, int family, int type, struct lipcsys_recv *r) {
  union control c;
  struct iovec v = {r->data, r->size};
  struct msghdr m = {0};
  bool asked = false, had = false, any = false;
  ssize_t n;
  m.msg_iov = &v;
  m.msg_iovlen = 1;
  if (r->from != NULL) {
    m.msg_name = r->from->bytes;
    m.msg_namelen = sizeof r->from->bytes;
  }
  bool packets = type == LIPC_SOCK_SEQPACKET && family == LIPC_AF_UNIX;
  if (packets) {
    size_t next;
    int e = lipcsys_nextsize(fd, &next);
    if (e < 0) return e;
    if (next == 0) {
      had = credentials(fd, true);
      asked = true;
    }
  }
  bool wanted = family == LIPC_AF_UNIX && (asked || r->fds != NULL);
  if (wanted) { /* without room for them the kernel drops descriptors itself */
    m.msg_control = c.room;
    m.msg_controllen = CMSG_LEN((size_t)r->maxfds * sizeof(int)) + CMSG_SPACE(64);
  }
  do
    n = recvmsg(fd, &m,
                MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (type == LIPC_SOCK_STREAM ? 0 : MSG_TRUNC));
  while (n < 0 && errno == EINTR);
  int e = errno;
  if (asked && !had) credentials(fd, false);
  if (n < 0) return e == EWOULDBLOCK ? -EAGAIN : -e;
  r->nfds = 0;
  r->cut = false;
  if (wanted) any = take_control(&m, r);
  r->full = (size_t)n;
  r->n = r->full < r->size ? r->full : r->size;
  r->ended = n == 0 && type != LIPC_SOCK_DGRAM && !(asked && any) && r->size > 0;
  if (r->from != NULL) {
    r->from->size = m.msg_namelen;
    if (m.msg_namelen == 0) { /* a sender without a name */
      ((struct sockaddr *)r->from->bytes)->sa_family = (sa_family_t)native_family(family);
      r->from->size = sizeof(sa_family_t);
    }
  }
  return 0;
}

int lipcsys_nextsize (int fd, size_t *ret_size) {
  char none;
  ssize_t n;
  do n = recv(fd, &none, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  *ret_size = (size_t)n;
  return 0;
}
