/* socket.c - sockets: streams, messages (datagrams and packets), listeners; socket(7), unix(7),
** tcp(7), udp(7).  POSIX; abstract names are Linux's.
** fork: both processes hold the socket; only the one that bound a path removes it.
** close: a stream's peer reads what was sent and then the end, or ECONNRESET when something was
** not read here.  SPDX-License-Identifier: MIT */
#include "socket.h"

#include <string.h>

/* ---- closing ---- */

void lipc_socket_forget (lua_State *L, struct lipc_socket_path *p, bool remove) {
  if (p->name == NULL) return;
  if (remove && p->bound && p->forkgen == lipcsys_forkgen)
    (void)lipcsys_unlinkpath(p->name, &p->id);
  lipc_realloc(L, p->name, p->size, 0);
  p->name = NULL;
}

/* The path goes first: while the socket lives nobody else takes the path over.  A descriptor that was
** given away keeps it. */
static int socket_release (lua_State *L, struct lipc_handle *h, int fd) {
  Socket *s = (Socket *)h;
  lipc_socket_forget(L, &s->path, fd >= 0);
  return lipc_stream_release(L, h, fd);
}

/* ---- streams ---- */

static const char *const directions[] = {"r", "w", "rw", NULL};

static int shutdown_step (lua_State *L, int t) {
  Socket *s = lipc_tosocket(L);
  const char *what = lua_tostring(L, 2);
  unsigned how = (what[0] == 'r' ? LIPC_IN : 0) | (strchr(what, 'w') != NULL ? LIPC_OUT : 0);
  (void)t;
  int r = how & LIPC_OUT ? lipc_stream_flushsome(&s->s) : 0;
  if (r == -EAGAIN) return lipc_again(LIPC_OUT);
  if (r == 0) r = lipcsys_shutdown(s->s.h.fd, how);
  if (r < 0) return lipc_failself(L, "shutdown", r);
  lua_pushvalue(L, 1);
  return 1;
}
static const struct lipc_op shutdown_op = {"shutdown", shutdown_step, 0, NULL};

/* s:shutdown("r" | "w" | "rw"[, timeout]) -> s | nil, msg, code: no more reading, or no more writing:
** the peer reads the end.  Writes what is buffered first   -- see shutdown(2) */
static int l_socket_shutdown (lua_State *L) {
  luaL_checkoption(L, 2, NULL, directions);
  return lipc_drive(L, &shutdown_op, 3);
}

static const luaL_Reg shutdowns[] = {
  {"shutdown", l_socket_shutdown},
  {NULL, NULL},
};
static const luaL_Reg *const stream_lists[] = {
  shutdowns, lipc_socket_fds, lipc_socket_common, lipc_stream_reads, lipc_stream_writes, NULL};

const struct lipc_class lipc_socket_stream = {.tname = "lipc.socket.stream",
                                              .label = "socket",
                                              .size = sizeof(Socket),
                                              .methods = stream_lists,
                                              .release = socket_release,
                                              .buffered = lipc_stream_buffered};

static const luaL_Reg *const message_lists[] = {shutdowns, lipc_socket_messages, lipc_socket_fds,
                                                lipc_socket_common, NULL};

const struct lipc_class lipc_socket_message = {.tname = "lipc.socket.message",
                                               .label = "socket",
                                               .size = sizeof(Socket),
                                               .methods = message_lists,
                                               .release = socket_release};

/* ---- listeners ---- */

/* A name for what was accepted: the peer's, or that of the listener when the peer has none. */
static void name_accepted (lua_State *L, const struct lipcsys_addr *peer) {
  if (lipc_socket_pushname(L, peer)[0] == '\0') {
    lua_pop(L, 1);
    lua_getiuservalue(L, 1, LIPC_UV_NAME);
  }
  lua_setiuservalue(L, -2, LIPC_UV_NAME);
}

static int accept_step (lua_State *L, int t) {
  Socket *l = lipc_tosocket(L), *s;
  struct lipcsys_addr peer;
  int fd;
  if (lua_gettop(L) == t + 1) lipc_socket_new(L, l->family, l->type, false);
  s = lua_touserdata(L, t + 2);
  int r = lipcsys_accept(l->s.h.fd, l->s.h.io, &fd, &peer);
  if (r == -EAGAIN) return lipc_again(LIPC_IN);
  if (r < 0) return lipc_failself(L, "accept", r);
  s->s.h.io = LIPC_IO_NONBLOCK | LIPC_IO_SOCKET;
  s->s.h.access = LIPC_IN | LIPC_OUT;
  s->s.h.fd = fd;
  name_accepted(L, &peer);
  return 1;
}
static const struct lipc_op accept_op = {"accept", accept_step, 0, NULL};

/* l:accept([timeout]) -> socket | nil, msg, code: the next connection.  After "EMFILE", "ENFILE" or
** "ENOMEM" it is still in the queue   -- see accept(2) */
static int l_listener_accept (lua_State *L) { return lipc_drive(L, &accept_op, 2); }

static const luaL_Reg accepts[] = {
  {"accept", l_listener_accept},
  {NULL, NULL},
};
static const luaL_Reg *const listener_lists[] = {accepts, lipc_socket_common, NULL};

const struct lipc_class lipc_socket_listener = {.tname = "lipc.socket.listener",
                                                .label = "socket",
                                                .size = sizeof(Socket),
                                                .methods = listener_lists,
                                                .release = socket_release};

/* ---- the module ---- */

Socket *lipc_socket_new (lua_State *L, int family, int type, bool listening) {
  Socket *s = lipc_new(L, listening                  ? &lipc_socket_listener
                          : type == LIPC_SOCK_STREAM ? &lipc_socket_stream
                                                     : &lipc_socket_message);
  s->family = family;
  s->type = type;
  return s;
}

/* pair([{type=}]) -> socket, socket | nil, msg, code: two that are connected to each other; type
** "stream" (default), "dgram" or "seqpacket"   -- see socketpair(2) */
static int l_socket_pair (lua_State *L) {
  static const char *const names[] = {"type", NULL};
  int fds[2];
  lipc_checkopts(L, 1, names);
  int type = lipc_socket_choice(L, 1, "type", lipc_socket_types, LIPC_SOCK_STREAM);
  Socket *s[2];
  for (int i = 0; i < 2; i++) s[i] = lipc_socket_new(L, LIPC_AF_UNIX, type, false);
  int r = lipcsys_socketpair(type, fds);
  if (r < 0) return lipc_fail(L, "socket.pair", NULL, r);
  for (int i = 0; i < 2; i++) {
    s[i]->s.h.fd = fds[i];
    s[i]->s.h.io = LIPC_IO_NONBLOCK | LIPC_IO_SOCKET;
    s[i]->s.h.access = LIPC_IN | LIPC_OUT;
  }
  return 2;
}

/* fromfd(n) -> socket or listener: adopts a socket that somebody else made; it keeps its flags */
static int l_socket_fromfd (lua_State *L) {
  struct lipc_handle adopted;
  struct lipcsys_fdinfo info;
  int family, type, fd = lipc_adopt(L, 1, &adopted, &info);
  luaL_argcheck(L, info.io & LIPC_IO_SOCKET, 1, "not a socket");
  if (lipcsys_sockinfo(fd, &family, &type) < 0 || type == LIPC_SOCK_OTHER)
    luaL_argerror(L, 1, "not a stream, datagram or seqpacket socket");
  Socket *s = lipc_socket_new(L, family, type, info.listening);
  s->s.h.io = info.io;
  s->s.h.access = LIPC_IN | LIPC_OUT;
  s->s.h.fd = fd;
  return 1;
}

static const luaL_Reg funcs[] = {
  {"pair", l_socket_pair},
  {"fromfd", l_socket_fromfd},
  {"runtimedir", lipc_socket_runtimedir},
  {"closefds", lipc_socket_closefds},
  {NULL, NULL},
};

int lipc_open_socket (lua_State *L) {
  lipc_class(L, &lipc_socket_stream);
  lipc_class(L, &lipc_socket_message);
  lipc_register(L, &lipc_socket_listener, funcs);
  lipc_socket_openers(L);
  return 1;
}
