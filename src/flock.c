/* flock.c - locks on whole files, flock(2), and the module; flock_range.c has byte ranges, flock_lockfile.c
** lock files.  A lock belongs to the open file description: to this object and its duplicates, and after
** a fork to the child too.  Linux; flock(2) and POSIX record locks everywhere.
** close: the lock ends with the last descriptor of the description; killed: the kernel closes.
** SPDX-License-Identifier: MIT */
#include "flock.h"

/* The ranges end with their file.  What is open elsewhere in this process would keep the locks. */
static int file_release (lua_State *L, struct lipc_handle *h, int fd) {
  Lock *f = (Lock *)h;
  (void)L;
  while (f->next != NULL) {
    Lock *range = f->next;
    if (f->lent) lipc_lock_drop(range, fd);
    range->h.fd = LIPC_CLOSED;
    range->held = LIPC_LK_NONE;
    f->next = range->next;
    range->link = NULL;
  }
  if (f->lent) lipc_lock_drop(f, fd);
  if (f->lent && f->strays && h->forkgen == lipcsys_forkgen) {
    const struct lipcsys_lock all = {LIPC_LK_OFD, LIPC_LK_NONE, 0, 0};
    lipcsys_setlock(fd, &all, false);
  }
  f->held = LIPC_LK_NONE;
  return fd >= 0 ? lipcsys_close(fd) : 0;
}

static const luaL_Reg file_methods[] = {
  {"range", lipc_lock_range},
  {NULL, NULL},
};
static const luaL_Reg *const file_lists[] = {file_methods, lipc_lock_methods, NULL};
static const struct lipc_class file_class = {.tname = "lipc.flock",
                                             .label = "flock",
                                             .size = sizeof(Lock),
                                             .methods = file_lists,
                                             .release = file_release,
                                             .block = lipc_lock_block};

static Lock *new_file (lua_State *L) {
  Lock *f = lipc_new(L, &file_class);
  f->kind = LIPC_LK_FLOCK;
  f->file = f;
  return f;
}

/* open(path[, {access="r"|"w"|"rw", create=, exclusive=, mode=}]) -> Lock | nil, msg, code: opens a file (or,
** with access "r", a directory) to lock it; nothing in it changes.  create: makes it, with mode (0600)
** less the umask, if it is not there; exclusive: fails with EEXIST if it is.  "ELOOP" for a symbolic
** link   -- see open(2), flock(2) */
static int l_flock_open (lua_State *L) {
  static const char *const names[] = {"access", "create", "exclusive", "mode", NULL};
  const char *path = lipc_checkpath(L, 1);
  lua_settop(L, 2);
  lipc_checkopts(L, 2, names);
  const char *access = lipc_optstring(L, 2, "access", "rw");
  bool create = lipc_optbool(L, 2, "create", false);
  bool exclusive = lipc_optbool(L, 2, "exclusive", false);
  unsigned mode = lipc_optmode(L, 2, "mode", 0777, 0600);
  bool in = access[0] == 'r', out = access[in ? 1 : 0] == 'w';
  luaL_argcheck(L, (in || out) && access[in + out] == '\0', 2,
                "option 'access': \"r\", \"w\" or \"rw\" expected");
  luaL_argcheck(L, create || !exclusive, 2, "option 'exclusive' needs 'create'");
  Lock *f = new_file(L);
  lipc_setname(L, -1, path);
  f->h.access = (in ? LIPC_IN : 0) | (out ? LIPC_OUT : 0);
  int r = lipcsys_openlock(path, f->h.access, create, exclusive, mode, &f->h.fd);
  return r < 0 ? lipc_failnote(L, "flock.open", path, r, lipc_lock_note(r)) : 1;
}

/* fromfd(n) -> Lock: adopts an open descriptor, with the lock that its description may have */
static int l_flock_fromfd (lua_State *L) {
  struct lipcsys_fdinfo info;
  Lock *f = new_file(L);
  int fd = lipc_adopt(L, 1, &f->h, &info);
  f->held = lipcsys_ownlock(fd);
  f->taker = lipcsys_forkgen;
  f->h.fd = fd;
  return 1;
}

/* of(file|object|fd) -> Lock | nil, msg, code: locks what somebody else has open, through a duplicate of
** the descriptor: the lock belongs to the description that both share, and ends when this object is
** closed, gives it back, or all of them are closed.  A lock that is there already counts as held, and
** is given back by close too   -- see flock(2), fcntl(2) F_DUPFD_CLOEXEC */
static int l_flock_of (lua_State *L) {
  struct lipcsys_fdinfo info;
  int fd = lipc_checkfd(L, 1);
  if (lipcsys_fdinfo(fd, &info) < 0)
    luaL_argerror(L, 1, lua_pushfstring(L, "descriptor %d is not open", fd));
  Lock *f = new_file(L);
  f->h.access = info.access;
  f->h.io = info.io;
  f->lent = true;
  int r = lipcsys_dup(fd, &f->h.fd);
  if (r < 0) return lipc_failnote(L, "flock.of", NULL, r, lipc_lock_note(r));
  f->held = lipcsys_ownlock(f->h.fd);
  f->taker = lipcsys_forkgen;
  return 1;
}

static const luaL_Reg funcs[] = {
  {"open", l_flock_open},
  {"fromfd", l_flock_fromfd},
  {"of", l_flock_of},
  {NULL, NULL},
};

int lipc_open_flock (lua_State *L) {
  lipc_class(L, &lipc_range_class);
  lipc_class(L, &lipc_lockfile_class);
  lipc_register(L, &file_class, funcs);
  luaL_setfuncs(L, lipc_lockfile_funcs, 0);
  return 1;
}
