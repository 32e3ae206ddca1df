/* kit_callbacks.c - signal callbacks of a Lua state, which its waits run; and dispositions.
** SPDX-License-Identifier: MIT */
#include "kit_callbacks.h"

#include <string.h>

/* Registry keys, by address: the struct Signals of this state; the registrations that are in force,
** by their address. */
static const char signals_key, anchors_key;

typedef struct Signals Signals;

/* signal.on: user values are the function, and a guard that marks the end of its run. */
typedef struct Registration {
  struct lipc_handle h;
  struct Registration *next;
  Signals *of;
  int signo;
  bool due, running;
} Registration;
enum { UV_FUNCTION = LIPC_UV_FREE, UV_GUARD };

/* One per Lua state, made with the module. */
struct Signals {
  struct lipcsys_listener l;
  struct lipc_state *st;
  Registration *first; /* those in force, oldest first */
  bool kept; /* the wakefd was given out by pollfd() */
  bool closed;
};

/* ---- arguments ---- */

const char *lipc_signame (int signo, char buf[LIPC_SIGNAME]) {
  const char *name = lipcsys_signame(signo, buf, LIPC_SIGNAME);
  return name != NULL ? name : "?";
}

int lipc_signalat (lua_State *L, int idx, int arg, int least, const char *extra) {
  char buf[LIPC_SIGNAME];
  int signo;
  if (lua_type(L, idx) == LUA_TSTRING) {
    const char *name = lua_tostring(L, idx);
    if (strlen(name) == lua_rawlen(L, idx) && lipcsys_signumber(name, &signo) == 0) return signo;
    luaL_argerror(L, arg, lua_pushfstring(L, "%sunknown signal '%s'", extra, name));
  } else if (lua_type(L, idx) == LUA_TNUMBER) {
    int ok;
    lua_Integer n = lua_tointegerx(L, idx, &ok);
    if (ok && n == 0 && least == 0) return 0;
    if (ok && 0 < n && n < LIPC_NSIG && lipcsys_signame((int)n, buf, sizeof buf) != NULL)
      return (int)n;
    luaL_argerror(
      L, arg, lua_pushfstring(L, "%sno signal has number %s", extra, luaL_tolstring(L, idx, NULL)));
  }
  return luaL_argerror(
    L, arg,
    lua_pushfstring(L, "%ssignal name or number expected, got %s", extra, luaL_typename(L, idx)));
}

int lipc_checksignal (lua_State *L, int arg) { return lipc_signalat(L, arg, arg, 1, ""); }

void lipc_checksigopen (lua_State *L, int arg, int signo, const char *what) {
  char buf[LIPC_SIGNAME];
  if (signo == SIGKILL || signo == SIGSTOP)
    luaL_argerror(L, arg, lua_pushfstring(L, "%s cannot be %s", lipc_signame(signo, buf), what));
}

/* ---- callbacks ---- */

static Signals *get_signals (lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &signals_key);
  Signals *sg = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return sg;
}

/* For functions that ask for something: not while the state is being closed. */
static Signals *check_signals_open (lua_State *L) {
  Signals *sg = get_signals(L);
  if (sg == NULL || sg->closed) luaL_error(L, "the Lua state is being closed");
  return sg;
}

/* Makes the state known to the handler, with a descriptor that is part of its waits. */
static int join (Signals *sg, bool wake) {
  int r = lipcsys_signals_join(&sg->l, wake);
  if (r == 0) sg->st->wakefd = atomic_load(&sg->l.wakefd);
  return r;
}

/* The descriptor goes with the last callback: a guest keeps nothing that nobody needs. */
static void part (Signals *sg) {
  int fd = sg->st->wakefd;
  if (sg->first != NULL || sg->kept || fd < 0) return;
  for (struct lipc_watch *w = sg->st->watches; w != NULL; w = w->next) w->forget(w, fd);
  sg->st->wakefd = -1;
  lipcsys_signals_unwake(&sg->l);
}

static Registration *next_due (const Signals *sg) {
  Registration *r = sg->first;
  while (r != NULL && (!r->due || r->running)) r = r->next;
  return r;
}

/* Notes at the registrations which signals have come. */
static void collect (Signals *sg) {
  for (int s = 1; s < LIPC_NSIG; s++) {
    if (!lipcsys_signal_take(&sg->l, s)) continue;
    for (Registration *r = sg->first; r != NULL; r = r->next)
      if (r->signo == s) r->due = true;
  }
}

/* Runs one: (registration userdata).  A function of its own because the guard is closed safely by
** returning: lua_settop, which could close it too, goes wrong in Lua 5.4.4 when the stack moves
** meanwhile. */
static int run_one (lua_State *L) {
  Registration *r = lua_touserdata(L, 1);
  char buf[LIPC_SIGNAME];
  lua_getiuservalue(L, 1, UV_GUARD);
  lua_toclose(L, 2);
  lua_getiuservalue(L, 1, UV_FUNCTION);
  lua_pushstring(L, lipc_signame(r->signo, buf));
  r->due = false;
  r->running = true;
  lua_call(L, 1, 0);
  return 0;
}

/* Runs all callbacks that are due: (Signals) -> how many.  One that runs already, further out, is not
** run again inside itself but after it.  An error ends this and leaves the rest due: the alarm stays
** on while one runs. */
static int run_due (lua_State *L) {
  Signals *sg = lua_touserdata(L, 1);
  lua_Integer n = 0;
  for (;;) {
    lipcsys_signals_quiet(&sg->l);
    collect(sg);
    Registration *r = next_due(sg);
    if (r == NULL) break;
    lipcsys_signals_alarm(&sg->l);
    lua_pushcfunction(L, run_one);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &anchors_key);
    lua_rawgetp(L, -1, r);
    lua_remove(L, -2);
    n++;
    lua_call(L, 1, 0);
  }
  for (const Registration *r = sg->first; r != NULL; r = r->next)
    if (r->due) lipcsys_signals_alarm(&sg->l);
  lua_pushinteger(L, n);
  return 1;
}

static const char guard_tname[] = "(lipc signal guard)";

static int guard_close (lua_State *L) {
  Registration *const *r = luaL_checkudata(L, 1, guard_tname);
  (*r)->running = false;
  return 0;
}

/* The kit's hook: the alarm is on, perhaps for another state. */
static void dispatch (lua_State *L) {
  Signals *sg = get_signals(L);
  if (sg == NULL || sg->closed || !atomic_load(&sg->l.alarmed)) return;
  luaL_checkstack(L, 4, NULL);
  lua_pushcfunction(L, run_due);
  lua_pushlightuserdata(L, sg);
  lua_call(L, 1, 0);
}

/* dispatch() -> count: runs the callbacks of signals that have come   */
static int l_signal_dispatch (lua_State *L) {
  lua_settop(L, 0);
  lua_pushlightuserdata(L, check_signals_open(L));
  return run_due(L);
}

/* pollfd() -> fd | nil, msg, code: readable when dispatch() has something to do, until the state is
** closed; for hosts with a loop of their own */
static int l_signal_pollfd (lua_State *L) {
  Signals *sg = check_signals_open(L);
  int r = join(sg, true);
  if (r < 0) return lipc_fail(L, "signal.pollfd", NULL, r);
  sg->kept = true;
  lua_pushinteger(L, sg->st->wakefd);
  return 1;
}

static int registration_release (lua_State *L, struct lipc_handle *h, int fd) {
  Registration *reg = (Registration *)h;
  Signals *sg = reg->of;
  int r = 0;
  (void)fd;
  if (sg == NULL) return 0;
  reg->of = NULL;
  reg->due = false;
  Registration **link = &sg->first;
  while (*link != reg) link = &(*link)->next;
  *link = reg->next;
  bool others = false;
  for (const Registration *o = sg->first; o != NULL; o = o->next)
    others = others || o->signo == reg->signo;
  if (!others && !sg->closed) r = lipcsys_signal_want(&sg->l, reg->signo, false);
  if (!sg->closed) part(sg);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &anchors_key);
  if (lua_istable(L, -1)) {
    lua_pushnil(L);
    lua_rawsetp(L, -2, reg);
  }
  lua_pop(L, 1);
  return r;
}

static const luaL_Reg *const no_methods[] = {NULL};
static const struct lipc_class registration_class = {.tname = "lipc.signal.registration",
                                                     .label = "signal.on",
                                                     .size = sizeof(Registration),
                                                     .values = 3,
                                                     .methods = no_methods,
                                                     .release = registration_release};

/* on(sig, fn) -> registration | nil, msg, code: calls fn(name) when the signal has come: in waits, on
** entry to lipc calls, and in dispatch(); once for any number that came meanwhile.  In force until
** registration:close() or the end of the state   -- see sigaction(2) */
static int l_signal_on (lua_State *L) {
  char buf[LIPC_SIGNAME];
  int signo = lipc_checksignal(L, 1);
  lipc_checksigopen(L, 1, signo, "caught");
  if (signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE || signo == SIGILL)
    luaL_argerror(L, 1,
                  lua_pushfstring(L,
                                  "%s tells of a fault here and now: a callback would come "
                                  "too late",
                                  lipc_signame(signo, buf)));
  luaL_checktype(L, 2, LUA_TFUNCTION);
  Signals *sg = check_signals_open(L);
  lua_settop(L, 2);
  Registration *reg = lipc_new(L, &registration_class);
  lipc_setname(L, 3, lipc_signame(signo, buf));
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 3, UV_FUNCTION);
  Registration **guard = lua_newuserdatauv(L, sizeof *guard, 0);
  *guard = reg;
  luaL_setmetatable(L, guard_tname);
  lua_setiuservalue(L, 3, UV_GUARD);
  reg->signo = signo;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &anchors_key);
  lua_pushvalue(L, 3);
  lua_rawsetp(L, -2, reg); /* from here on nothing raises */
  lua_pop(L, 1);
  int r = join(sg, true);
  if (r == 0) r = lipcsys_signal_want(&sg->l, signo, true);
  Registration **link = &sg->first;
  while (*link != NULL) link = &(*link)->next;
  *link = reg;
  reg->of = sg;
  reg->h.fd = LIPC_NOFD;
  if (r < 0) {
    lipc_shut(L, &reg->h);
    return lipc_fail(L, "signal.on", lipc_signame(signo, buf), r);
  }
  return 1;
}

/* ---- dispositions ---- */

static int set_mode (lua_State *L, const char *op, enum lipcsys_sigmode mode) {
  char buf[LIPC_SIGNAME];
  int signo = lipc_checksignal(L, 1);
  if (mode != LIPC_SIG_RESTORE)
    lipc_checksigopen(L, 1, signo, mode == LIPC_SIG_IGNORE ? "ignored" : "changed");
  Signals *sg = check_signals_open(L);
  int r = sg->l.joined || mode != LIPC_SIG_RESTORE ? join(sg, false) : 0;
  if (r == 0 && sg->l.joined) r = lipcsys_signal_mode(&sg->l, signo, mode);
  if (r < 0) return lipc_fail(L, op, lipc_signame(signo, buf), r);
  lua_pushboolean(L, 1);
  return 1;
}

/* ignore(sig) -> true | nil, msg, code: until restore, a later default or on, or the end of the state.
** Children that other libraries start inherit it   -- see sigaction(2) SIG_IGN */
static int l_signal_ignore (lua_State *L) { return set_mode(L, "signal.ignore", LIPC_SIG_IGNORE); }

/* default(sig) -> true | nil, msg, code: the default action, likewise   -- see sigaction(2) SIG_DFL */
static int l_signal_default (lua_State *L) {
  return set_mode(L, "signal.default", LIPC_SIG_DEFAULT);
}

/* restore(sig) -> true | nil, msg, code: takes back ignore and default: callbacks are called again, or
** all is as it was before */
static int l_signal_restore (lua_State *L) {
  return set_mode(L, "signal.restore", LIPC_SIG_RESTORE);
}

/* disposition(sig) -> "ignore" | "default" | "handler": what this process does now, whoever said so
** -- see sigaction(2) */
static int l_signal_disposition (lua_State *L) {
  char buf[LIPC_SIGNAME];
  enum lipcsys_sigmode mode;
  int signo = lipc_checksignal(L, 1);
  int r = lipcsys_signal_now(signo, &mode);
  if (r < 0) return lipc_fail(L, "signal.disposition", lipc_signame(signo, buf), r);
  lua_pushstring(L, mode == LIPC_SIG_IGNORE    ? "ignore"
                    : mode == LIPC_SIG_DEFAULT ? "default"
                                               : "handler");
  return 1;
}

const luaL_Reg lipc_signal_callbacks[] = {
  {"on", l_signal_on},
  {"dispatch", l_signal_dispatch},
  {"pollfd", l_signal_pollfd},
  {"ignore", l_signal_ignore},
  {"default", l_signal_default},
  {"restore", l_signal_restore},
  {"disposition", l_signal_disposition},
  {NULL, NULL},
};

/* ---- the state ---- */

static int signals_gc (lua_State *L) {
  Signals *sg = lua_touserdata(L, 1);
  if (sg->closed) return 0;
  sg->closed = true;
  sg->st->dispatch = NULL;
  sg->st->wakefd = -1;
  lipcsys_signals_quit(&sg->l);
  return 0;
}

void lipc_opensignals (lua_State *L) {
  if (get_signals(L) != NULL) return;
  Signals *sg = lua_newuserdatauv(L, sizeof *sg, 0);
  memset((void *)sg, 0, sizeof *sg);
  atomic_init(&sg->l.wakefd, -1);
  sg->st = lipc_getstate(L);
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &anchors_key);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, signals_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &signals_key);
  sg->st->dispatch = dispatch;
  if (luaL_newmetatable(L, guard_tname)) {
    lua_pushcfunction(L, guard_close);
    lua_setfield(L, -2, "__close");
  }
  lua_pop(L, 1);
  lipc_class(L, &registration_class);
}
