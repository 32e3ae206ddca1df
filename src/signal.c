/* signal.c - signals: sending, masks, dispositions, callbacks, queues.  POSIX; queues (signalfd) and
** sending to one thread: Linux.  signal(7), sigaction(2), sigqueue(3), signalfd(2).
** fork: the child has the same callbacks, dispositions, mask and queues, and none of the signals that
** had come.  close: the disposition becomes again what it was, unless somebody else has changed it; a
** queue unblocks what it had blocked.  Closing the Lua state does that for all.
** SPDX-License-Identifier: MIT */
#include "kit_callbacks.h"

typedef struct Set {
  struct lipc_handle h;
  struct lipcsys_sigfd q;
} Set;

/* ---- arguments and results ---- */

/* The arguments from arg on, or the one that is a list, as a set.  what: see lipc_checksigopen. */
static int check_signals (lua_State *L, int arg, const char *what, sigset_t *set) {
  int n = 0;
  sigemptyset(set);
  if (lua_type(L, arg) == LUA_TTABLE) {
    lua_Integer len = luaL_len(L, arg);
    for (lua_Integer i = 1; i <= len; i++, n++) {
      lua_geti(L, arg, i);
      const char *extra = lua_pushfstring(L, "element %I: ", (LUAI_UACINT)i);
      int signo = lipc_signalat(L, -2, arg, 1, extra);
      if (what != NULL) lipc_checksigopen(L, arg, signo, what);
      sigaddset(set, signo);
      lua_pop(L, 2);
    }
    return n;
  }
  for (int top = lua_gettop(L); arg <= top; arg++, n++) {
    int signo = lipc_checksignal(L, arg);
    if (what != NULL) lipc_checksigopen(L, arg, signo, what);
    sigaddset(set, signo);
  }
  return n;
}

/* Pushes a list of names: of the set, or of all there are. */
static int push_signals (lua_State *L, const sigset_t *set) {
  lua_Integer n = 0;
  char buf[LIPC_SIGNAME];
  lua_newtable(L);
  for (int s = 1; s < LIPC_NSIG; s++) {
    const char *name = lipcsys_signame(s, buf, sizeof buf);
    if (name == NULL || (set != NULL && sigismember(set, s) != 1)) continue;
    lua_pushstring(L, name);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

static pid_t check_pid (lua_State *L, int arg, lua_Integer least) {
  luaL_checktype(L, arg, LUA_TNUMBER); /* no numeral in a string: it names something */
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, least <= n && n <= INT32_MAX, arg, "not a process id");
  return (pid_t)n;
}

/* The rest of a function that may have made a signal arrive here: its callbacks run before it returns,
** as a handler in C would. */
static int sent (lua_State *L, const char *op, int r) {
  if (r == -EAGAIN) {
    uint64_t limit;
    if (lipcsys_siglimit(&limit) == 0)
      lua_pushfstring(L, "%s (limit RLIMIT_SIGPENDING = %I)", lua_tostring(L, -1),
                      (LUAI_UACINT)limit);
  }
  if (r < 0) return lipc_fail(L, op, lua_tostring(L, -1), r);
  if (atomic_load_explicit(&lipcsys_alarm, memory_order_relaxed) != 0) lipc_interrupts(L);
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- sending ---- */

/* kill(pid, sig) -> true | nil, msg, code: to a process, to all of group -pid when negative, to the own
** group when 0, to all there are when -1; signal 0 only looks   -- see kill(2) */
static int l_signal_kill (lua_State *L) {
  pid_t pid = check_pid(L, 1, INT32_MIN);
  int signo = lipc_signalat(L, 2, 2, 0, "");
  int r = lipcsys_kill(pid, signo);
  lua_pushfstring(L, "%d", (int)pid);
  return sent(L, "signal.kill", r);
}

/* killpg(pgrp, sig) -> true | nil, msg, code: to all of a group, 0: the own   -- see killpg(3) */
static int l_signal_killpg (lua_State *L) {
  pid_t pgrp = check_pid(L, 1, 0);
  int signo = lipc_signalat(L, 2, 2, 0, "");
  int r = lipcsys_killpg(pgrp, signo);
  lua_pushfstring(L, "%d", (int)pgrp);
  return sent(L, "signal.killpg", r);
}

/* tgkill(pid | nil, tid, sig) -> true | nil, msg, code: to one thread of a process, nil: of this one
** -- see tgkill(2) */
static int l_signal_tgkill (lua_State *L) {
  pid_t pid = lua_isnil(L, 1) ? 0 : check_pid(L, 1, 1), tid = check_pid(L, 2, 1);
  int signo = lipc_signalat(L, 3, 3, 0, "");
  int r = lipcsys_tgkill(pid, tid, signo);
  lua_pushfstring(L, "%d", (int)tid);
  return sent(L, "signal.tgkill", r);
}

/* sigqueue(pid, sig[, value]) -> true | nil, msg, code: with an integer of 32 bits, by default 0.
** "EAGAIN": as many as the user may have are queued   -- see sigqueue(3) */
static int l_signal_sigqueue (lua_State *L) {
  pid_t pid = check_pid(L, 1, 1);
  int signo = lipc_signalat(L, 2, 2, 0, "");
  lua_Integer value = luaL_optinteger(L, 3, 0);
  luaL_argcheck(L, INT32_MIN <= value && value <= INT32_MAX, 3, "must fit into 32 bits");
  int r = lipcsys_sigqueue(pid, signo, (int)value);
  lua_pushfstring(L, "%d", (int)pid);
  return sent(L, "signal.sigqueue", r);
}

/* raise(sig) -> true | nil, msg, code: to this thread; its callbacks have run when it returns
** -- see raise(3) */
static int l_signal_raise (lua_State *L) {
  char buf[LIPC_SIGNAME];
  int signo = lipc_signalat(L, 1, 1, 0, "");
  int r = lipcsys_raise(signo);
  lua_pushstring(L, lipc_signame(signo, buf));
  return sent(L, "signal.raise", r);
}

/* getpid() -> number of this process   -- see getpid(2) */
static int l_signal_getpid (lua_State *L) {
  lua_pushinteger(L, lipcsys_getpid());
  return 1;
}

/* gettid() -> number of this thread, for tgkill   -- see gettid(2) */
static int l_signal_gettid (lua_State *L) {
  lua_pushinteger(L, lipcsys_gettid());
  return 1;
}

/* ---- the mask of this thread ---- */

static int change_mask (lua_State *L, const char *op, int how, const sigset_t *set) {
  sigset_t old;
  int r = lipcsys_sigmask(how, set, &old);
  if (r < 0) return lipc_fail(L, op, NULL, r);
  if (atomic_load_explicit(&lipcsys_alarm, memory_order_relaxed) != 0) lipc_interrupts(L);
  return push_signals(L, &old);
}

/* block(sig ... | list) -> list: blocks them in this thread; gives those that were blocked before.
** Without arguments it only tells   -- see pthread_sigmask(3) */
static int l_signal_block (lua_State *L) {
  sigset_t set;
  return change_mask(L, "signal.block", SIG_BLOCK,
                     check_signals(L, 1, "blocked", &set) > 0 ? &set : NULL);
}

/* unblock(sig ... | list) -> list: the opposite; callbacks of those that waited have run when it
** returns   -- see pthread_sigmask(3) */
static int l_signal_unblock (lua_State *L) {
  sigset_t set;
  return change_mask(L, "signal.unblock", SIG_UNBLOCK,
                     check_signals(L, 1, NULL, &set) > 0 ? &set : NULL);
}

/* setmask(list) -> list: exactly these are blocked in this thread from now on   -- see
** pthread_sigmask(3) */
static int l_signal_setmask (lua_State *L) {
  sigset_t set;
  luaL_checktype(L, 1, LUA_TTABLE);
  check_signals(L, 1, "blocked", &set);
  return change_mask(L, "signal.setmask", SIG_SETMASK, &set);
}

/* pending() -> list: blocked signals that wait for this thread or this process   -- see sigpending(2) */
static int l_signal_pending (lua_State *L) {
  sigset_t set;
  int r = lipcsys_sigpending(&set);
  return r < 0 ? lipc_fail(L, "signal.pending", NULL, r) : push_signals(L, &set);
}

/* ---- names ---- */

/* list() -> list of the names of all signals, in the order of their numbers   -- see signal(7) */
static int l_signal_list (lua_State *L) { return push_signals(L, NULL); }

/* number(sig) -> its number here */
static int l_signal_number (lua_State *L) {
  lua_pushinteger(L, lipc_checksignal(L, 1));
  return 1;
}

/* name(sig) -> its name, as callbacks and queues give it */
static int l_signal_name (lua_State *L) {
  char buf[LIPC_SIGNAME];
  lua_pushstring(L, lipc_signame(lipc_checksignal(L, 1), buf));
  return 1;
}

/* ---- queues ---- */

static void push_info (lua_State *L, const struct lipcsys_siginfo *i) {
  char buf[LIPC_SIGNAME];
  lua_createtable(L, 0, 8);
  lua_pushstring(L, lipc_signame(i->signo, buf));
  lua_setfield(L, -2, "signal");
  lipc_setinteger(L, "signo", i->signo);
  const char *code = lipcsys_sigcode(i->signo, i->code);
  if (code != NULL) lua_pushstring(L, code);
  else lua_pushinteger(L, i->code);
  lua_setfield(L, -2, "code");
  if (i->has_sender) {
    lipc_setinteger(L, "pid", i->pid);
    lipc_setinteger(L, "uid", (lua_Integer)i->uid);
  }
  if (i->has_value) lipc_setinteger(L, "value", i->value);
  if (i->has_child) {
    lipc_setinteger(L, "status", i->status);
    lua_pushnumber(L, i->utime);
    lua_setfield(L, -2, "utime");
    lua_pushnumber(L, i->stime);
    lua_setfield(L, -2, "stime");
  }
  if (i->has_timer) {
    lipc_setinteger(L, "timerid", i->timerid);
    lipc_setinteger(L, "overrun", i->overrun);
  }
  if (i->has_poll) {
    lipc_setinteger(L, "fd", i->fd);
    lipc_setinteger(L, "band", i->band);
  }
}

static int receive_step (lua_State *L, int t) {
  struct lipc_handle *h = lua_touserdata(L, 1);
  struct lipcsys_siginfo info;
  (void)t;
  int r = lipcsys_sigfd_read(h->fd, &h->io, &info);
  if (r == -EAGAIN) return lipc_again(LIPC_IN);
  if (r < 0) return lipc_failself(L, "receive", r);
  push_info(L, &info);
  return 1;
}
static const struct lipc_op receive_op = {"receive", receive_step, 0, NULL};

/* set:receive([timeout]) -> info | nil, msg, code: the next signal, real-time ones in the order of their
** numbers and then of sending.  info: signal, signo, code; pid and uid of the sender; value; of SIGCHLD
** status, utime, stime; of timers timerid, overrun; of SIGIO fd, band   -- see signalfd(2) */
static int l_set_receive (lua_State *L) { return lipc_drive(L, &receive_op, 2); }

static int signals_giveup (lua_State *L, int t, int err) {
  (void)t;
  lipc_failself(L, "signals", err);
  return luaL_error(L, "%s", lua_tostring(L, -2));
}
static const struct lipc_op signals_op = {"signals", receive_step, 0, signals_giveup};

/* The iterator: upvalues are the metatable and the set. */
static int signals_next (lua_State *L) {
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  return lipc_drive(L, &signals_op, 2);
}

/* set:signals() -> iterator over receive(): never ends by itself; a timeout (settimeout) raises */
static int l_set_signals (lua_State *L) {
  lipc_checkopen(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, signals_next, 2);
  return 1;
}

static int set_release (lua_State *L, struct lipc_handle *h, int fd) {
  (void)L;
  return lipcsys_sigfd_close(&((Set *)h)->q, fd);
}

static const luaL_Reg set_methods[] = {
  {"receive", l_set_receive},
  {"signals", l_set_signals},
  {NULL, NULL},
};
static const luaL_Reg *const all_set_methods[] = {set_methods, NULL};
static const struct lipc_class set_class = {.tname = "lipc.signal.set",
                                            .label = "signal.set",
                                            .size = sizeof(Set),
                                            .values = 0,
                                            .methods = all_set_methods,
                                            .release = set_release};

/* set(sig ... | list) -> Set | nil, msg, code: a queue of these signals.  Blocks them in this thread and,
** when closed, unblocks those that were not blocked before and drops what was not read.  What is sent
** to the process may go to another thread that does not block it   -- see signalfd(2) */
static int l_signal_set (lua_State *L) {
  sigset_t want;
  luaL_argcheck(L, check_signals(L, 1, "queued", &want) > 0, 1, "no signal given");
  Set *s = lipc_new(L, &set_class);
  s->h.io = LIPC_IO_NONBLOCK;
  s->h.access = LIPC_IN;
  int r = lipcsys_sigfd_open(&s->q, &want, &s->h.fd);
  return r < 0 ? lipc_fail(L, "signal.set", NULL, r) : 1;
}

/* fromfd(n) -> Set: adopts a descriptor of signalfd(2); which signals are blocked is its maker's affair */
static int l_signal_fromfd (lua_State *L) {
  return lipc_fromfd(L, &set_class, lipcsys_issigfd, "a signalfd", LIPC_IN);
}

/* ---- the module ---- */

static const luaL_Reg funcs[] = {
  {"kill", l_signal_kill},
  {"killpg", l_signal_killpg},
  {"tgkill", l_signal_tgkill},
  {"sigqueue", l_signal_sigqueue},
  {"raise", l_signal_raise},
  {"getpid", l_signal_getpid},
  {"gettid", l_signal_gettid},
  {"block", l_signal_block},
  {"unblock", l_signal_unblock},
  {"setmask", l_signal_setmask},
  {"pending", l_signal_pending},
  {"list", l_signal_list},
  {"number", l_signal_number},
  {"name", l_signal_name},
  {"set", l_signal_set},
  {"fromfd", l_signal_fromfd},
  {NULL, NULL},
};

int lipc_open_signal (lua_State *L) {
  lipc_opensignals(L);
  lipc_register(L, &set_class, funcs);
  luaL_setfuncs(L, lipc_signal_callbacks, 0);
  return 1;
}
