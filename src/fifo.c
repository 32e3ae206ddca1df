/* fifo.c - pipes with a name in the file system; fifo(7), mkfifo(3).  POSIX; capacity, splice, tee and
** opening for both directions are Linux's.  Opening waits for the other side as open(2) does, but
** with a deadline and never inside open(2).  fork: both processes hold the end; the FIFO is removed
** by the process that made it only.  close: as for pipes; the name and, while anybody has the FIFO
** open, its contents stay.
** SPDX-License-Identifier: MIT */
#include "kit_pipebuf.h"

#include <limits.h>
#include <string.h>

typedef struct Fifo {
  Stream s;
  struct lipcsys_fileid id; /* of what we made */
  char *path; /* absolute, when it is ours to remove */
  size_t pathsize;
  unsigned maker; /* lipcsys_forkgen of the process that made it */
  unsigned mode;
  bool create, exclusive, bymknod, keep;
  bool made, known; /* made by this object; its id is known */
} Fifo;

/* ---- what an open FIFO can do ---- */

/* Looks for the other side; a byte that turns up is read ahead. */
static int look_for_peer (lua_State *L, Fifo *f, unsigned dir, unsigned *ret_seen) {
  Stream *s = &f->s;
  char byte;
  if (dir == LIPC_IN) {
    if (s->rend > s->rpos) return 0;
    if (s->rcap == 0) {
      s->rbuf = lipc_realloc(L, NULL, 0, 64);
      s->rcap = 64;
    }
  }
  int r = lipcsys_haspeer(s->h.fd, s->h.io, dir, &byte, ret_seen);
  if (*ret_seen & LIPC_SAWBYTE) {
    s->rbuf[0] = byte;
    s->rpos = 0;
    s->rend = 1;
  }
  return r;
}

static int waitpeer_step (lua_State *L, int t) {
  Fifo *f = lua_touserdata(L, 1);
  unsigned seen = 0;
  (void)t;
  int r = look_for_peer(L, f, f->s.h.access & LIPC_IN ? LIPC_IN : LIPC_OUT, &seen);
  return r == -EAGAIN ? lipc_pause(0) : lipc_result(L, "waitpeer", r);
}
static const struct lipc_op waitpeer_in_op = {"waitpeer", waitpeer_step, LIPC_IN, NULL};
static const struct lipc_op waitpeer_out_op = {"waitpeer", waitpeer_step, LIPC_OUT, NULL};

/* f:waitpeer([timeout]) -> true | nil, msg, code: waits until somebody has the other end open; after
** "EOF" a reader, after EPIPE a writer waits so for the next one */
static int l_fifo_waitpeer (lua_State *L) {
  const Fifo *f = lipc_checkopen(L, 1);
  return lipc_drive(L, f->s.h.access & LIPC_IN ? &waitpeer_in_op : &waitpeer_out_op, 2);
}

/* The name goes first: who sees the end of the stream finds no FIFO any more. */
static int fifo_release (lua_State *L, struct lipc_handle *h, int fd) {
  Fifo *f = (Fifo *)h;
  if (fd != LIPC_CLOSED && f->path != NULL && f->made && f->known && f->maker == lipcsys_forkgen)
    (void)lipcsys_unlinkfifo(f->path, &f->id);
  lipc_realloc(L, f->path, f->pathsize, 0);
  f->path = NULL;
  return lipc_stream_release(L, h, fd);
}

static const luaL_Reg methods[] = {
  {"waitpeer", l_fifo_waitpeer},
  {NULL, NULL},
};

static const luaL_Reg *const reader_lists[] = {methods, lipc_pipe_reads, lipc_stream_reads, NULL};
static const luaL_Reg *const writer_lists[] = {methods, lipc_pipe_writes, lipc_stream_writes, NULL};
static const luaL_Reg *const both_lists[] = {methods, lipc_pipe_reads, lipc_stream_reads,
                                             lipc_stream_writes, NULL};

static const struct lipc_class reader_class = {.tname = "lipc.fifo.reader",
                                               .label = "fifo",
                                               .size = sizeof(Fifo),
                                               .methods = reader_lists,
                                               .release = fifo_release,
                                               .buffered = lipc_stream_buffered};
static const struct lipc_class writer_class = {.tname = "lipc.fifo.writer",
                                               .label = "fifo",
                                               .size = sizeof(Fifo),
                                               .methods = writer_lists,
                                               .release = fifo_release};
static const struct lipc_class both_class = {.tname = "lipc.fifo.rw",
                                             .label = "fifo",
                                             .size = sizeof(Fifo),
                                             .methods = both_lists,
                                             .release = fifo_release,
                                             .buffered = lipc_stream_buffered};

static const struct lipc_class *class_for (unsigned access) {
  return access == LIPC_IN ? &reader_class : access == LIPC_OUT ? &writer_class : &both_class;
}

/* ---- opening ---- */

/* Opens, making the FIFO where asked.  Others may make and remove it at the same time. */
static int open_named (Fifo *f, const char *path, int *ret_fd) {
  unsigned access = f->keep ? LIPC_IN | LIPC_OUT : f->s.h.access;
  for (int tries = 0; tries < 100; tries++) {
    struct lipcsys_fileid id;
    int r = f->exclusive && !f->made ? -ENOENT : lipcsys_openfifo(path, access, ret_fd, &id);
    if ((r == 0 || r == -ENXIO) && f->made && !f->known) {
      f->id = id;
      f->known = true;
    }
    if (r != -ENOENT || !f->create || (f->exclusive && f->made)) return r;
    r = lipcsys_mkfifo(path, f->mode, f->bymknod);
    if (r == -EEXIST && !f->exclusive) continue;
    if (r < 0) return r;
    f->made = true;
    f->known = false;
    f->maker = lipcsys_forkgen;
  }
  return -EBUSY; /* somebody does nothing but make and remove it */
}

static int open_failed (lua_State *L, int t, int err) {
  (void)t;
  lipc_shut(L, lua_touserdata(L, 1));
  return lipc_fail(L, "fifo.open", lua_tostring(L, 2), err);
}

static int open_step (lua_State *L, int t) {
  Fifo *f = lua_touserdata(L, 1);
  struct lipc_handle *h = &f->s.h;
  if (h->fd == LIPC_NOFD) {
    int fd, r = open_named(f, lua_tostring(L, 2), &fd);
    if (r == -ENXIO) return lipc_pause(0); /* no reader, and nothing that would tell of one */
    if (r < 0) return open_failed(L, t, r);
    h->fd = fd;
  }
  if (h->access == LIPC_IN && !f->keep) {
    unsigned seen = 0;
    int r = look_for_peer(L, f, LIPC_IN, &seen);
    /* data or a hang-up can be polled for, a writer that is silent cannot */
    if (r == -EAGAIN && !(seen & LIPC_SAWLEAVE)) return lipc_pause(LIPC_IN);
    if (r < 0 && r != -EAGAIN) return open_failed(L, t, r);
  }
  lua_pushvalue(L, 1);
  return 1;
}
static const struct lipc_op open_op = {"open", open_step, 0, open_failed};

static void keep_path (lua_State *L, Fifo *f, const char *path) {
  char full[PATH_MAX];
  if (lipcsys_abspath(path, full, sizeof full) < 0) return; /* too long to be opened either */
  size_t size = strlen(full) + 1;
  f->path = lipc_realloc(L, NULL, 0, size);
  f->pathsize = size;
  memcpy(f->path, full, size);
}

/* open(path, "r"|"w"|"rw"[, {timeout=, keep=, create=, mode=, mknod=, exclusive=, unlink=}])
** -> Fifo | nil, msg, code: waits, at most timeout seconds, until the other side opens it too ("rw"
** never waits).  keep: holds the other end itself too, so that opening does not wait and the stream
** does not end when the peers leave.  create: makes it, with mode (0600) less the umask, if it is
** not there; exclusive: fails with EEXIST if it is; unlink: removes on close what it has made
** -- see fifo(7), open(2), mkfifo(3) */
static int l_fifo_open (lua_State *L) {
  static const char *const names[] = {"timeout", "keep",      "create", "mode",
                                      "mknod",   "exclusive", "unlink", NULL};
  static const char *const modes[] = {"r", "w", "rw", NULL};
  static const unsigned accesses[] = {LIPC_IN, LIPC_OUT, LIPC_IN | LIPC_OUT};
  const char *path = lipc_checkpath(L, 1);
  unsigned access = accesses[luaL_checkoption(L, 2, NULL, modes)];
  lipc_checkopts(L, 3, names);
  lua_settop(L, 3);
  double timeout = lipc_optseconds(L, 3, "timeout", -1);
  bool unlink = lipc_optbool(L, 3, "unlink", false);
  Fifo *f = lipc_new(L, class_for(access));
  f->keep = lipc_optbool(L, 3, "keep", false);
  f->create = lipc_optbool(L, 3, "create", false);
  f->mode = lipc_optmode(L, 3, "mode", 07777, 0600);
  f->bymknod = lipc_optbool(L, 3, "mknod", false);
  f->exclusive = lipc_optbool(L, 3, "exclusive", false);
  luaL_argcheck(L, f->create || !f->exclusive, 3, "option 'exclusive' needs 'create'");
  luaL_argcheck(L, f->create || !unlink, 3, "option 'unlink' needs 'create'");
  lipc_setname(L, -1, path);
  if (unlink) keep_path(L, f, path);
  f->s.h.io = LIPC_IO_NONBLOCK | LIPC_IO_PIPE;
  f->s.h.access = access;
  f->s.h.fd = LIPC_NOFD;
  lua_insert(L, 1); /* Fifo, path, mode, options, timeout */
  if (timeout >= 0) lua_pushnumber(L, timeout);
  else lua_pushnil(L);
  return lipc_drivenew(L, &open_op, 5);
}

/* fromfd(n) -> Fifo: adopts an open FIFO; it keeps its flags */
static int l_fifo_fromfd (lua_State *L) {
  struct lipc_handle adopted;
  struct lipcsys_fdinfo info;
  int fd = lipc_adopt(L, 1, &adopted, &info);
  luaL_argcheck(L, info.io & LIPC_IO_PIPE, 1, "not a FIFO");
  Fifo *f = lipc_new(L, class_for(info.access));
  f->s.h.io = info.io;
  f->s.h.access = info.access;
  f->s.h.fd = fd;
  return 1;
}

/* ---- names ---- */

/* make(path[, {mode=, exclusive=, mknod=}]) -> true, made | nil, msg, code: a FIFO that is there already
** is as good (made is false then) unless exclusive, and keeps its mode   -- see mkfifo(3), mknod(2) */
static int l_fifo_make (lua_State *L) {
  static const char *const names[] = {"mode", "exclusive", "mknod", NULL};
  const char *path = lipc_checkpath(L, 1);
  lipc_checkopts(L, 2, names);
  unsigned mode = lipc_optmode(L, 2, "mode", 07777, 0600);
  bool exclusive = lipc_optbool(L, 2, "exclusive", false);
  int r = lipcsys_mkfifo(path, mode, lipc_optbool(L, 2, "mknod", false));
  bool made = r == 0;
  if (r == -EEXIST && !exclusive) r = lipcsys_isfifo(path);
  if (r < 0) return lipc_fail(L, "fifo.make", path, r);
  lua_pushboolean(L, 1);
  lua_pushboolean(L, made);
  return 2;
}

/* unlink(path) -> true | nil, msg, code: only a FIFO; who has it open goes on   -- see unlink(2) */
static int l_fifo_unlink (lua_State *L) {
  const char *path = lipc_checkpath(L, 1);
  int r = lipcsys_unlinkfifo(path, NULL);
  if (r < 0) return lipc_fail(L, "fifo.unlink", path, r);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg funcs[] = {
  {"open", l_fifo_open}, {"fromfd", l_fifo_fromfd},
  {"make", l_fifo_make}, {"unlink", l_fifo_unlink},
  {NULL, NULL},
};

int lipc_open_fifo (lua_State *L) {
  lipc_class(L, &reader_class);
  lipc_class(L, &writer_class);
  return lipc_register(L, &both_class, funcs);
}
