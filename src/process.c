/* process.c - child processes: programs, and copies of this one; clone(2), execve(2), pidfd_open(2),
** waitid(2).  Linux.  A process is held by a pidfd, which cannot come to mean another one.
** fork: a forked child can signal but not wait for the parent's children.  close: the child runs on
** (kill_on_close = true kills it); whoever closed or dropped it, no zombie stays.
** SPDX-License-Identifier: MIT */
#include "process.h"

#include <signal.h>
#include <string.h>

#define DYING    0.1 /* seconds that a killed process gets to be gone at once */
#define MAXERROR 60000 /* bytes of a traceback that go through the link without waiting */

static Process *new_process (lua_State *L, const struct plan *p, const char *name, int streams) {
  Process *pr = lipc_new(L, &lipc_process_class);
  pr->link = -1;
  pr->leads = p->child.pgroup == 0 || p->child.session;
  pr->kill_on_close = p->kill_on_close;
  lipc_setname(L, -1, name);
  lua_pushvalue(L, streams);
  lua_setiuservalue(L, -2, LIPC_UV_STREAMS);
  return pr;
}

/* Everything that can fail before the child is made. */
static int get_ready (lua_State *L, struct plan *p, Process *pr, bool all) {
  const char *path;
  int r = lipcsys_neworphan(&pr->orphan);
  if (r < 0) {
    struct lipcsys_failed f = {LIPC_STAGE_SPAWN, 0};
    lipc_process_close(L, p, true);
    return lipc_process_failed(L, p, &f, r);
  }
  if (all || p->inherits_output) lipcsys_flushstdio(all);
  r = lipc_process_open(p, &path);
  if (r == 0) return 0;
  lipc_process_close(L, p, true);
  return lipc_process_failedat(L, p, "open", path, r);
}

/* spawn{program, arguments..., stdin=, ...} -> process | nil, msg, code: starts a program.  The
** options are described in full in the API text   -- see execve(2), clone(2) */
static int l_process_spawn (lua_State *L) {
  struct plan p = {0};
  struct lipcsys_failed failed;
  lua_settop(L, 1);
  lipcsys_reap();
  int r = lipc_process_options(L, &p, 1, false);
  if (r != 0) return r;
  Process *pr = new_process(L, &p, p.child.file, lua_gettop(L));
  r = get_ready(L, &p, pr, false);
  if (r != 0) return r;
  r = lipcsys_spawn(&p.child, &pr->pid, &pr->h.fd, &failed);
  lipc_process_close(L, &p, r < 0);
  if (r < 0) return lipc_process_failed(L, &p, &failed, r);
  pr->h.access = LIPC_IN;
  return 1;
}

/* ---- a forked child ---- */

/* Message handler: the error with its traceback. */
static int l_traceback (lua_State *L) {
  const char *msg = luaL_tolstring(L, 1, NULL);
  if (lua_type(L, 1) != LUA_TTABLE) luaL_traceback(L, L, msg, 1);
  return 1;
}

/* What the child's streams hold back; raises when it could not go. */
static int l_flushall (lua_State *L) {
  lua_settop(L, 0);
  if (lipc_stream_flushall(L) == 0) return 0;
  lua_settop(L, 2);
  return lua_error(L);
}

/* Tells the parent the error on top. */
static int tell_error (lua_State *L, int link) {
  size_t len, n;
  unsigned io = LIPC_IO_NONBLOCK | LIPC_IO_SOCKET;
  const char *msg = lua_tolstring(L, -1, &len);
  for (size_t at = 0; msg != NULL && at < len && at < MAXERROR; at += n)
    if (lipcsys_write(link, &io, msg + at, len - at < MAXERROR ? len - at : MAXERROR, &n) < 0)
      break;
  return 1;
}

/* In the child: calls the function; what it returned as an exit code, and what is to be told or nil. */
static int l_childmain (lua_State *L) {
  int fits;
  lua_settop(L, 1);
  lua_call(L, 0, 2);
  if (lua_type(L, 1) == LUA_TNUMBER) {
    lua_Integer n = lua_tointegerx(L, 1, &fits);
    if (!fits || n < 0 || n > 255)
      return luaL_error(L, "function returned %s: an exit code is an integer from 0 to 255",
                        luaL_tolstring(L, 1, NULL));
    lua_pushinteger(L, n);
    return 1;
  }
  bool failed = lua_isnil(L, 1) ? !lua_isnil(L, 2) : !lua_toboolean(L, 1);
  lua_pushinteger(L, failed);
  if (!failed || lua_isnil(L, 2)) return 1;
  luaL_tolstring(L, 2, NULL);
  return 2;
}

/* In the child: runs the function at index 1 and ends. */
static void be_child (lua_State *L, int link, bool others) {
  int code = 1;
  lipc_forgetschedulers(L);
  lua_settop(L, 1);
  lua_pushcfunction(L, l_traceback);
  lua_insert(L, 1);
  lua_pushcfunction(L, l_childmain);
  lua_insert(L, 2);
  if (lua_pcall(L, 1, 2, 1) == LUA_OK) code = (int)lua_tointeger(L, 2);
  if (lua_type(L, -1) == LUA_TSTRING) tell_error(L, link);
  lua_settop(L, 1);
  lua_pushcfunction(L, l_flushall);
  if (lua_pcall(L, 0, 0, 1) != LUA_OK && code == 0) code = tell_error(L, link);
  lipcsys_flushstdio(others);
  lipcsys_exitchild(code);
}

/* fork(fn[, options]) -> process | nil, msg, code: runs fn() in a copy of this process.  It ends with
** fn: exit code 0 or the integer that fn returned; 1 for false, for nil, msg and for an error, whose
** text is in the status.  What it wrote by lipc or the C library is flushed
** -- see fork(2) */
static int l_process_fork (lua_State *L) {
  struct plan p = {0};
  struct lipcsys_failed failed = {LIPC_STAGE_SPAWN, 0};
  int threads = 1;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) {
    lua_newtable(L);
    lua_replace(L, 2);
  }
  lipcsys_reap();
  int r = lipc_process_options(L, &p, 2, true);
  if (r != 0) return r;
  Process *pr = new_process(L, &p, "fork", lua_gettop(L));
  r = lipcsys_threads(&threads);
  if (r == 0 && threads > 1 && !p.threads) r = -ENOTSUP;
  if (r < 0) {
    lipc_process_close(L, &p, true);
    return lipc_process_failed(L, &p, &failed, r);
  }
  r = get_ready(L, &p, pr, threads == 1);
  if (r != 0) return r;
  int pidfd = -1, link = -1;
  r = lipcsys_fork(&p.child, &pr->pid, &pidfd, &link, &failed);
  bool child = r == 0 && pr->pid == 0;
  lipc_process_close(L, &p, r < 0 || child);
  if (r < 0) return lipc_process_failed(L, &p, &failed, r);
  if (child) be_child(L, link, threads == 1);
  pr->link = link;
  pr->h.access = LIPC_IN;
  pr->h.fd = pidfd;
  return 1;
}

/* ---- status ---- */

static const char status_tname[] = "lipc.process.status";

/* tostring(status): "exit 3", "SIGPIPE", "SIGSEGV (core dumped)" */
static int l_status_tostring (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  if (lua_getfield(L, 1, "signal") == LUA_TSTRING) {
    lua_getfield(L, 1, "core");
    if (lua_toboolean(L, -1)) lua_pushfstring(L, "%s (core dumped)", lua_tostring(L, -2));
    else lua_pop(L, 1);
    return 1;
  }
  lua_getfield(L, 1, "code");
  lua_pushfstring(L, "exit %s", luaL_tolstring(L, -1, NULL));
  return 1;
}

/* Appends to the field `error` of the status on top what a forked child said before it ended. */
static void take_error (lua_State *L, Process *pr) {
  char buf[4096];
  unsigned io = LIPC_IO_NONBLOCK | LIPC_IO_SOCKET;
  size_t n;
  if (pr->link < 0) return;
  while (lipcsys_read(pr->link, &io, buf, sizeof buf, &n) == 0 && n > 0) {
    bool more = lua_getfield(L, -1, "error") == LUA_TSTRING;
    if (!more) lua_pop(L, 1);
    lua_pushlstring(L, buf, n);
    if (more) lua_concat(L, 2);
    lua_setfield(L, -2, "error");
  }
  (void)lipcsys_close(pr->link);
  pr->link = -1;
}

static int push_status (lua_State *L, Process *pr, const char *op) {
  if (pr->lost) return lipc_failself(L, op, -ECHILD);
  if (lua_getiuservalue(L, 1, LIPC_UV_STATUS) == LUA_TTABLE) return 1;
  const struct lipcsys_status *st = &pr->status;
  char buf[24];
  lua_pop(L, 1);
  lua_createtable(L, 0, 4);
  lua_pushboolean(L, st->code == 0);
  lua_setfield(L, -2, "ok");
  if (st->signal == 0) {
    lua_pushinteger(L, st->code);
    lua_setfield(L, -2, "code");
  } else {
    const char *name = lipcsys_signame(st->signal, buf, sizeof buf);
    if (name != NULL) lua_pushstring(L, name);
    else lua_pushfstring(L, "signal %d", st->signal);
    lua_setfield(L, -2, "signal");
    lua_pushboolean(L, st->core);
    lua_setfield(L, -2, "core");
  }
  luaL_setmetatable(L, status_tname);
  take_error(L, pr);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, LIPC_UV_STATUS);
  return 1;
}

/* 0 when the process has ended and the object knows how; -EAGAIN, or another error. */
static int look (Process *pr) {
  if (pr->ended) return 0;
  int r = lipcsys_pidwait(pr->h.fd, false, &pr->status);
  if (r == 0 || r == -ECHILD) {
    pr->ended = true;
    pr->lost = r != 0;
    lipcsys_freeorphan(pr->orphan);
    pr->orphan = NULL;
    r = 0;
  }
  return r;
}

static int wait_step (lua_State *L, int t) {
  Process *pr = lua_touserdata(L, 1);
  (void)t;
  int r = look(pr);
  if (r == -EAGAIN) return lipc_again(LIPC_IN);
  return r < 0 ? lipc_failself(L, "wait", r) : push_status(L, pr, "wait");
}
static const struct lipc_op wait_op = {"wait", wait_step, 0, NULL};

/* p:wait([timeout]) -> status | nil, msg, code: waits for the end; {ok=, code=} or {ok=, signal=,
** core=}, and error= of a forked function; the same table every time.  "ECHILD": somebody else took
** the status (a host that ignores SIGCHLD)   -- see waitid(2) */
static int l_process_wait (lua_State *L) { return lipc_drive(L, &wait_op, 2); }

static int exited_step (lua_State *L, int t) {
  Process *pr = lua_touserdata(L, 1);
  struct lipcsys_status st;
  (void)t;
  int r = pr->ended ? 0 : lipcsys_pidwait(pr->h.fd, true, &st);
  if (r == -EAGAIN) return lipc_again(LIPC_IN);
  return lipc_result(L, "exited", r == -ECHILD ? 0 : r);
}
static const struct lipc_op exited_op = {"exited", exited_step, 0, NULL};

/* p:exited([timeout]) -> true | nil, msg, code: waits for the end as wait does, but leaves the status
** with the kernel: until wait takes it, the number stays reserved   -- see waitid(2) WNOWAIT */
static int l_process_exited (lua_State *L) { return lipc_drive(L, &exited_op, 2); }

/* p:status() -> status | false | nil, msg, code: as wait, without waiting; false: it runs */
static int l_process_status (lua_State *L) {
  Process *pr = lipc_checkopen(L, 1);
  int r = look(pr);
  if (r == -EAGAIN) {
    lua_pushboolean(L, 0);
    return 1;
  }
  return r < 0 ? lipc_failself(L, "status", r) : push_status(L, pr, "status");
}

/* ---- signals ---- */

int lipc_process_signal (lua_State *L, int idx, int *ret_signo) {
  const char *name = lua_tostring(L, idx);
  const char *full = strncmp(name, "SIG", 3) == 0 ? name : lua_pushfstring(L, "SIG%s", name);
  int r = lipcsys_signumber(full, ret_signo);
  if (full != name) lua_pop(L, 1);
  return r;
}

static int check_signal (lua_State *L, int arg, int dflt) {
  int n = dflt;
  if (lua_type(L, arg) == LUA_TNUMBER) {
    lua_Integer i = luaL_checkinteger(L, arg);
    luaL_argcheck(L, 0 <= i && i < 128, arg, "not a signal");
    return (int)i;
  }
  if (!lua_isnoneornil(L, arg)) {
    const char *name = luaL_checkstring(L, arg);
    if (lipc_process_signal(L, arg, &n) < 0)
      luaL_argerror(L, arg, lua_pushfstring(L, "no such signal: %s", name));
  }
  return n;
}

/* p:kill([signal]) -> true | nil, msg, code: by name ("SIGTERM", the default, or "TERM") or number;
** 0 only asks.  "ESRCH": it is gone   -- see pidfd_send_signal(2), signal(7) */
static int l_process_kill (lua_State *L) {
  Process *pr = lipc_checkopen(L, 1);
  int sig = check_signal(L, 2, SIGTERM);
  return lipc_result(L, "kill", pr->ended ? -ESRCH : lipcsys_pidkill(pr->h.fd, sig));
}

/* p:killgroup([signal]) -> true | nil, msg, code: to the process group that it leads or led (pgroup =
** true, session = true), also when it has ended itself.  "ESRCH": nobody is left.  Before Linux 6.9
** also when its status was taken   -- see pidfd_send_signal(2) */
static int l_process_killgroup (lua_State *L) {
  Process *pr = lipc_checkopen(L, 1);
  int sig = check_signal(L, 2, SIGTERM);
  luaL_argcheck(L, pr->leads, 1, "leads no process group (pgroup = true)");
  return lipc_result(L, "killgroup", lipcsys_pidkillgroup(pr->h.fd, pr->pid, pr->ended, sig));
}

/* p:pid() -> integer: also when it has ended or was closed; another process may have it by then */
static int l_process_pid (lua_State *L) {
  const Process *pr = lipc_check(L, 1);
  lua_pushinteger(L, pr->pid);
  return 1;
}

/* ---- the end of an object ---- */

static int process_release (lua_State *L, struct lipc_handle *h, int fd) {
  Process *pr = (Process *)h;
  bool running = fd >= 0 && !pr->ended && h->forkgen == lipcsys_forkgen, wake;
  (void)L;
  if (running && pr->kill_on_close) {
    if (!pr->leads || lipcsys_pidkillgroup(fd, pr->pid, false, SIGKILL) < 0)
      (void)lipcsys_pidkill(fd, SIGKILL);
    (void)lipcsys_wait(fd, LIPC_IN, -1, DYING, &wake);
  }
  if (running && pr->orphan != NULL) {
    lipcsys_orphan(pr->orphan, fd);
    pr->orphan = NULL;
    fd = -1;
  }
  lipcsys_freeorphan(pr->orphan);
  pr->orphan = NULL;
  if (pr->link >= 0) (void)lipcsys_close(pr->link);
  pr->link = -1;
  lipcsys_reap();
  return fd >= 0 ? lipcsys_close(fd) : 0;
}

/* p:close() -> true: gives the process up, with the pipes to it; it runs on, or is killed when it was
** made with kill_on_close.  The status is lost */
static int l_process_close (lua_State *L) {
  Process *pr = lipc_check(L, 1);
  if (lipc_isopen(&pr->h)) {
    if (lua_getiuservalue(L, 1, LIPC_UV_STREAMS) == LUA_TTABLE) {
      for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        struct lipc_handle *s = lipc_testany(L, lua_gettop(L));
        if (s != NULL && lipc_isopen(s)) (void)lipc_shut(L, s);
      }
    }
    (void)lipc_shut(L, &pr->h);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* p.stdin, p.stdout, p.stderr: our ends of the pipes; else a method */
static int l_process_index (lua_State *L) {
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  if (lua_getiuservalue(L, 1, LIPC_UV_STREAMS) != LUA_TTABLE) return 1;
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

/* tostring(p): name, number and state */
static int l_process_tostring (lua_State *L) {
  const Process *pr = lipc_check(L, 1);
  lua_getiuservalue(L, 1, LIPC_UV_NAME);
  lua_pushfstring(L, "lipc.process %s[%d] (", lua_tostring(L, -1), (int)pr->pid);
  if (!lipc_isopen(&pr->h)) lua_pushliteral(L, "closed)");
  else if (pr->ended) lua_pushliteral(L, "ended)");
  else lua_pushfstring(L, "fd %d)", pr->h.fd);
  lua_concat(L, 2);
  return 1;
}

static const luaL_Reg methods[] = {
  {"wait", l_process_wait},           {"exited", l_process_exited},
  {"status", l_process_status},       {"kill", l_process_kill},
  {"killgroup", l_process_killgroup}, {"pid", l_process_pid},
  {"close", l_process_close},         {"__close", l_process_close},
  {"__tostring", l_process_tostring}, {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, NULL};
const struct lipc_class lipc_process_class = {
  .tname = "lipc.process",
  .label = "process",
  .size = sizeof(Process),
  .values = 2,
  .methods = all_methods,
  .release = process_release,
};

/* ---- the module ---- */

/* isatty(descriptor) -> boolean: internal   -- see isatty(3) */
static int l_process_isatty (lua_State *L) {
  lua_pushboolean(L, lipcsys_isatty(lipc_checkfd(L, 1)));
  return 1;
}

/* grouprunning(process) -> boolean: internal: whether somebody of the group that it leads, and whose
** number is reserved because its status was not taken, has not ended; false where that cannot be told */
static int l_process_grouprunning (lua_State *L) {
  const Process *pr = lipc_test(L, 1, &lipc_process_class);
  bool runs = false;
  luaL_argexpected(L, pr != NULL, 1, lipc_process_class.tname);
  if (!pr->ended) (void)lipcsys_grouprunning(pr->pid, &runs);
  lua_pushboolean(L, runs);
  return 1;
}

/* newstatus(table) -> table: internal: makes it look like a status */
static int l_process_newstatus (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_setmetatable(L, status_tname);
  return 1;
}

/* brokenpipe(): internal: ends this forked child as a write to a broken pipe ends a program */
static int l_process_brokenpipe (lua_State *L) {
  (void)L;
  lipcsys_flushstdio(false);
  (void)raise(SIGPIPE);
  lipcsys_exitchild(128 + SIGPIPE);
}

/* Once per collection: takes the status of children that were given up and have ended since. */
static int l_reaper_gc (lua_State *L) {
  lipcsys_reap();
  if (lua_getmetatable(L, 1)) lua_setmetatable(L, 1); /* and again at the next one */
  return 0;
}

static const luaL_Reg funcs[] = {
  {"isatty", l_process_isatty},
  {"grouprunning", l_process_grouprunning},
  {"newstatus", l_process_newstatus},
  {"brokenpipe", l_process_brokenpipe},
  {NULL, NULL},
};
static const luaL_Reg makers[] = {
  {"spawn", l_process_spawn},
  {"fork", l_process_fork},
  {NULL, NULL},
};

/* Called with pipe.open; returns the functions, and the table of methods for those written in Lua. */
int lipc_open_process (lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lipc_class(L, &lipc_process_stream_class);
  lipc_register(L, &lipc_process_class, funcs);
  luaL_setfuncs(L, lipc_process_stream_funcs, 0);
  lua_pushvalue(L, 1);
  luaL_setfuncs(L, makers, 1);
  if (luaL_newmetatable(L, status_tname)) {
    lua_pushcfunction(L, l_status_tostring);
    lua_setfield(L, -2, "__tostring");
  }
  lua_pop(L, 1);
  luaL_getmetatable(L, lipc_process_class.tname);
  if (lua_getfield(L, -1, "__index") == LUA_TTABLE) { /* the first time in this state */
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, "methods");
    lua_pushcclosure(L, l_process_index, 1);
    lua_setfield(L, -2, "__index");
    lua_newuserdatauv(L, 0, 0);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_reaper_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
  }
  lua_settop(L, 2);
  return 1;
}
