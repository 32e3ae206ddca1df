/* socket_msg.c - messages with their boundaries, and descriptors that travel with data; send(2),
** recv(2), sendmsg(2), recvmsg(2), unix(7) SCM_RIGHTS.  SPDX-License-Identifier: MIT */
#include "socket.h"

#include <limits.h>
#include <string.h>

/* ---- sending ---- */

static int send_message (lua_State *L, const char *op, int t, const struct lipcsys_addr *to) {
  Socket *s = lipc_tosocket(L);
  size_t size, n;
  const char *data = lua_tolstring(L, 2, &size);
  int r = lipcsys_sendmsg(s->s.h.fd, data, size, to, NULL, 0, &n);
  (void)t;
  /* the poller tells when the peer of a connected socket has room, but not when another has */
  if (r == -EAGAIN)
    return to != NULL && s->family == LIPC_AF_UNIX ? lipc_pause(0) : lipc_again(LIPC_OUT);
  return lipc_result(L, op, r);
}

static int send_step (lua_State *L, int t) { return send_message(L, "send", t, NULL); }
static const struct lipc_op send_op = {"send", send_step, 0, NULL};

/* s:send(data[, timeout]) -> true | nil, msg, code: one message to the peer, whole or not at all.
** "EMSGSIZE": longer than the socket takes   -- see send(2) */
static int l_message_send (lua_State *L) {
  luaL_checkstring(L, 2);
  return lipc_drive(L, &send_op, 3);
}

static int sendto_step (lua_State *L, int t) {
  struct lipcsys_addr to;
  lipc_socket_checkaddr(L, 3, &to);
  return send_message(L, "sendto", t, &to);
}
static const struct lipc_op sendto_op = {"sendto", sendto_step, 0, NULL};

/* s:sendto(data, {path= | abstract= | host=, port=}[, timeout]) -> true | nil, msg, code: one message
** to an address; a host must be numeric   -- see sendto(2) */
static int l_message_sendto (lua_State *L) {
  struct lipcsys_addr to;
  luaL_checkstring(L, 2);
  lipc_socket_checkaddr(L, 3, &to);
  return lipc_drive(L, &sendto_op, 4);
}

/* s:connect({path= | abstract= | host=, port=}) -> s | nil, msg, code: from now on send goes there,
** and only what comes from there is received   -- see connect(2) */
static int l_message_connect (lua_State *L) {
  Socket *s = lipc_checkopen(L, 1);
  struct lipcsys_addr to;
  lipc_socket_checkaddr(L, 2, &to);
  int r = lipcsys_connect(s->s.h.fd, &to);
  if (r < 0) {
    lua_pushfstring(L, "socket:connect %s", lipc_socket_pushname(L, &to));
    return lipc_fail(L, lua_tostring(L, -1), NULL, r);
  }
  lua_settop(L, 1);
  return 1;
}

/* ---- receiving ---- */

/* Room for a message of at most max bytes (0: as long as the next one is): the state's scratch, or
** from Lua, left on the stack.  -EAGAIN when there is none. */
static int receive_room (lua_State *L, const Socket *s, int arg, struct lipcsys_recv *m) {
  size_t want = lua_isnoneornil(L, arg) ? SIZE_MAX : (size_t)lua_tointeger(L, arg), next;
  if (want > LIPC_SCRATCH && s->type == LIPC_SOCK_STREAM) want = LIPC_SCRATCH;
  if (want > LIPC_SCRATCH) {
    int r = lipcsys_nextsize(s->s.h.fd, &next);
    if (r < 0) return r;
    if (next < LIPC_SCRATCH) next = LIPC_SCRATCH;
    if (want > next) want = next;
  }
  m->data = want <= LIPC_SCRATCH ? lipc_scratch(L) : lua_newuserdatauv(L, want, 0);
  m->size = want;
  return 0;
}

/* The longer length that the message had, where it was cut. */
static int push_full (lua_State *L, const struct lipcsys_recv *m) {
  if (m->full <= m->n) return 0;
  lua_pushinteger(L, (lua_Integer)m->full);
  return 1;
}

static int receive (lua_State *L, const char *op, int t, struct lipcsys_addr *from) {
  Socket *s = lipc_tosocket(L);
  struct lipcsys_recv m = {.from = from};
  lua_settop(L, t + 1);
  int r = receive_room(L, s, 2, &m);
  if (r == 0) r = lipcsys_recvmsg(s->s.h.fd, s->family, s->type, &m);
  if (r == -EAGAIN) return lipc_again(LIPC_IN);
  if (r == 0 && m.ended) r = -LIPC_EEOF;
  if (r < 0) return lipc_failself(L, op, r);
  lua_pushlstring(L, m.data, m.n);
  if (from != NULL) lipc_socket_pushaddr(L, from);
  return 1 + (from != NULL) + push_full(L, &m);
}

static int recv_step (lua_State *L, int t) { return receive(L, "recv", t, NULL); }
static const struct lipc_op recv_op = {"recv", recv_step, 0, NULL};

static void check_max (lua_State *L) {
  luaL_argcheck(
    L, lua_isnoneornil(L, 2) || (0 < luaL_checkinteger(L, 2) && lua_tointeger(L, 2) <= INT_MAX), 2,
    "must be positive");
}

/* s:recv([max[, timeout]]) -> message[, size] | nil, msg, code: one message, "" when it is empty.  Of
** one longer than max the rest is lost, and size says how long it was; without max, all of it.
** "EOF": a seqpacket's peer has closed   -- see recv(2) */
static int l_message_recv (lua_State *L) {
  check_max(L);
  return lipc_drive(L, &recv_op, 3);
}

static int recvfrom_step (lua_State *L, int t) {
  struct lipcsys_addr from = {0};
  return receive(L, "recvfrom", t, &from);
}
static const struct lipc_op recvfrom_op = {"recvfrom", recvfrom_step, 0, NULL};

/* s:recvfrom([max[, timeout]]) -> message, address[, size] | nil, msg, code: as recv, and who sent it,
** in the form that sendto takes; of a sender without a name only the family   -- see recvfrom(2) */
static int l_message_recvfrom (lua_State *L) {
  check_max(L);
  return lipc_drive(L, &recvfrom_op, 3);
}

const luaL_Reg lipc_socket_messages[] = {
  {"send", l_message_send}, {"sendto", l_message_sendto},     {"connect", l_message_connect},
  {"recv", l_message_recv}, {"recvfrom", l_message_recvfrom}, {NULL, NULL},
};

/* ---- descriptors ---- */

static int sendfds_failed (lua_State *L, int t, int err) {
  lua_Integer done = lua_tointeger(L, t + 2);
  lipc_failself(L, "sendfds", err);
  lua_pushinteger(L, done);
  return 4;
}

/* How many descriptors the list at 3 has, stored in fds. */
static int check_fds (lua_State *L, int *fds) {
  lua_Integer n = luaL_len(L, 3);
  if (n > LIPC_MAXFDS)
    luaL_argerror(L, 3,
                  lua_pushfstring(L, "%d descriptors, but a message carries %d",
                                  n > INT_MAX ? INT_MAX : (int)n, LIPC_MAXFDS));
  for (int i = 0; i < n; i++) {
    lua_geti(L, 3, i + 1);
    const char *problem = lipc_tofd(L, lua_gettop(L), &fds[i]);
    if (problem != NULL) luaL_argerror(L, 3, lua_pushfstring(L, "item %d: %s", i + 1, problem));
    lua_pop(L, 1);
  }
  return (int)n;
}

/* The descriptors go with the first byte; what of a stream's data did not fit follows alone. */
static int sendfds_step (lua_State *L, int t) {
  Socket *s = lipc_tosocket(L);
  int fds[LIPC_MAXFDS], nfds, r;
  size_t size, n, done = (size_t)lua_tointeger(L, t + 2);
  const char *data = lua_tolstring(L, 2, &size);
  lua_settop(L, t + 2);
  r = done == 0 ? lipc_stream_flushsome(&s->s) : 0;
  while (r == 0) {
    nfds = done == 0 ? check_fds(L, fds) : 0;
    r = lipcsys_sendmsg(s->s.h.fd, data + done, size - done, NULL, fds, nfds, &n);
    if (r < 0) break;
    done += n;
    lua_pushinteger(L, (lua_Integer)done);
    lua_replace(L, t + 2);
    if (done == size) {
      lua_pushboolean(L, 1);
      return 1;
    }
  }
  return r == -EAGAIN ? lipc_again(LIPC_OUT) : sendfds_failed(L, t, r);
}
static const struct lipc_op sendfds_op = {"sendfds", sendfds_step, LIPC_OUT, sendfds_failed};

/* s:sendfds(data, {fd ...}[, timeout]) -> true | nil, msg, code, sent: passes descriptors (numbers,
** files, lipc objects; at most 253) with the data, which on a stream must not be empty.  They stay
** open here.  The peer has them when sent > 0   -- see unix(7) SCM_RIGHTS */
static int l_socket_sendfds (lua_State *L) {
  Socket *s = lipc_checkopen(L, 1);
  int fds[LIPC_MAXFDS];
  size_t size;
  luaL_checklstring(L, 2, &size);
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_argcheck(L, s->family == LIPC_AF_UNIX, 1, "only unix sockets pass descriptors");
  luaL_argcheck(L, size > 0 || s->type != LIPC_SOCK_STREAM, 2,
                "on a stream descriptors need at least one byte to go with");
  lua_settop(L, 4);
  check_fds(L, fds);
  return lipc_drive(L, &sendfds_op, 4);
}

/* Descriptors on their way to the script: closed unless they arrive. */
struct passage {
  int n;
  int fds[LIPC_MAXFDS];
};

static void close_all (struct passage *p) {
  while (p->n > 0) lipcsys_close(p->fds[--p->n]);
}

static int passage_gc (lua_State *L) {
  close_all(lua_touserdata(L, 1));
  return 0;
}

static struct passage *new_passage (lua_State *L) {
  struct passage *p = lua_newuserdatauv(L, sizeof *p, 0);
  p->n = 0;
  if (luaL_newmetatable(L, "(lipc passage)")) {
    lua_pushcfunction(L, passage_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return p;
}

/* Data that was read ahead comes first: no descriptors came with it. */
static int take_ahead (lua_State *L, Stream *s) {
  size_t n = s->rend - s->rpos, max = (size_t)lua_tointeger(L, 2);
  if (n > max) n = max;
  lua_pushlstring(L, s->rbuf + s->rpos, n);
  s->rpos += n;
  if (s->rpos >= s->rend) s->rpos = s->rend = 0; /* less was left if a finaliser read meanwhile */
  lua_newtable(L);
  return 2;
}

static int recvfds_step (lua_State *L, int t) {
  Socket *s = lipc_tosocket(L);
  struct lipcsys_recv m = {.maxfds = (int)lua_tointeger(L, 3)};
  if (s->s.rend > s->s.rpos) return take_ahead(L, &s->s);
  lua_settop(L, t + 3);
  if (lua_isnil(L, t + 3)) { /* everything that could fail is made before they come */
    new_passage(L);
    lua_replace(L, t + 2);
    lua_createtable(L, m.maxfds, 0);
    lua_replace(L, t + 3);
  }
  struct passage *p = lua_touserdata(L, t + 2);
  m.fds = p->fds;
  int r = receive_room(L, s, 2, &m);
  if (r == 0) r = lipcsys_recvmsg(s->s.h.fd, s->family, s->type, &m);
  if (r == -EAGAIN) return lipc_again(LIPC_IN);
  if (r == 0) p->n = m.nfds;
  if (r == 0 && m.ended) r = -LIPC_EEOF;
  if (r < 0) return lipc_failself(L, "recvfds", r);
  if (m.cut) { /* a part of them is of no use, and the reason is either the maximum or the limit */
    r = m.nfds < m.maxfds ? -EMFILE : -EMSGSIZE;
    close_all(p);
    lua_pushlstring(L, m.data, m.n);
    lipc_failself(L, "recvfds", r);
    lua_rotate(L, -4, -1);
    return 4;
  }
  lua_pushlstring(L, m.data, m.n);
  for (int i = 0; i < p->n; i++) {
    lua_pushinteger(L, p->fds[i]);
    lua_rawseti(L, t + 3, i + 1);
  }
  p->n = 0;
  lua_pushvalue(L, t + 3);
  return 2 + push_full(L, &m);
}
static const struct lipc_op recvfds_op = {"recvfds", recvfds_step, LIPC_IN, NULL};

/* s:recvfds(max[, {maxfds=, timeout=}]) -> data, {fd ...}[, size] | nil, msg, code[, data]: data and
** the descriptors that came with it, close-on-exec; they are the caller's to adopt or close
** (socket.closefds).  maxfds (default 253): when more come, or more than this process may open, all are
** closed: "EMSGSIZE" or "EMFILE", and the data   -- see unix(7) SCM_RIGHTS */
static int l_socket_recvfds (lua_State *L) {
  static const char *const names[] = {"maxfds", "timeout", NULL};
  Socket *s = lipc_checkopen(L, 1);
  luaL_argcheck(L, s->family == LIPC_AF_UNIX, 1, "only unix sockets pass descriptors");
  luaL_argcheck(L, 0 < luaL_checkinteger(L, 2) && lua_tointeger(L, 2) <= INT_MAX, 2,
                "must be positive");
  lua_settop(L, 3);
  lipc_checkopts(L, 3, names);
  lua_Integer maxfds = lipc_optint(L, 3, "maxfds", 0, LIPC_MAXFDS, LIPC_MAXFDS);
  double timeout = lipc_optseconds(L, 3, "timeout", -1);
  lua_settop(L, 2);
  lua_pushinteger(L, maxfds);
  if (timeout >= 0) lua_pushnumber(L, timeout);
  else lua_pushnil(L);
  return lipc_drive(L, &recvfds_op, 4);
}

const luaL_Reg lipc_socket_fds[] = {
  {"sendfds", l_socket_sendfds},
  {"recvfds", l_socket_recvfds},
  {NULL, NULL},
};

/* closefds(list) -> true | nil, msg, code: closes descriptors that nobody wanted; the list is empty
** then   -- see close(2) */
int lipc_socket_closefds (lua_State *L) {
  int err = 0;
  luaL_checktype(L, 1, LUA_TTABLE);
  for (lua_Integer n = luaL_len(L, 1); n > 0; n--) {
    int ok;
    lua_geti(L, 1, n);
    lua_Integer fd = lua_tointegerx(L, -1, &ok);
    ok = ok && lua_type(L, -1) == LUA_TNUMBER;
    luaL_argcheck(L, ok && 0 <= fd && fd <= INT_MAX, 1, "list of descriptors expected");
    lua_pop(L, 1);
    lua_pushnil(L);
    lua_seti(L, 1, n);
    int r = lipcsys_close((int)fd);
    if (r < 0) err = r;
  }
  if (err < 0) return lipc_fail(L, "socket.closefds", NULL, err);
  lua_pushboolean(L, 1);
  return 1;
}
