/* process.h - between the files of ipc.process.  SPDX-License-Identifier: MIT */
#ifndef LIPC_PROCESS_H
#define LIPC_PROCESS_H

#include "kit_stream.h"

#pragma GCC visibility push(hidden)

typedef struct Process {
  struct lipc_handle h; /* h.fd: the pidfd */
  pid_t pid;
  bool leads; /* it leads a process group of its own */
  bool kill_on_close;
  bool ended; /* status or lost is known */
  bool lost; /* somebody else has taken the status */
  struct lipcsys_status status;
  int link; /* of a forked child: the error of its function comes here; -1 */
  struct lipcsys_orphan *orphan; /* for when nobody waits for it */
} Process;

extern const struct lipc_class lipc_process_class;

/* User values: fields stdin, stdout, stderr; the status as Lua sees it, once known. */
enum { LIPC_UV_STREAMS = LIPC_UV_FREE, LIPC_UV_STATUS };

/* A child as the options describe it.  What it points to lives in Lua objects on the stack, above
** where lipc_process_options was called. */
struct plan {
  struct lipcsys_child child;
  struct lipcsys_move *moves;
  struct opening *openings; /* files to open just before */
  int nopenings;
  struct lipc_handle **handles; /* objects whose descriptors the child gets: made blocking */
  int nhandles;
  struct lipc_handle *theirs[3], *ours[3]; /* the ends of new pipes */
  const char **limitnames;
  bool inherits_output;
  bool kill_on_close;
  bool threads;
};

/* Reads the table at idx into *p, which is zeroed (pipe.open is upvalue 1) and leaves the table of our ends of new pipes on
** top.  May raise, and then nothing is left open that is not an object.  Returns 0, or the number of
** results of a failure. */
int lipc_process_options (lua_State *L, struct plan *p, int idx, bool fork);

/* Opens the files; after it nothing may raise until lipc_process_close.  0 or the error, with the
** file's name. */
int lipc_process_open (struct plan *p, const char **ret_path);

/* Closes what only the child needs; ours: also our ends of new pipes. */
void lipc_process_close (lua_State *L, struct plan *p, bool ours);

/* process_failed.c: a failure on the way, pushed: nil, "process.spawn: chdir /x: ...", code; by the name of the step, or as
** the child told it. */
int lipc_process_failedat (lua_State *L, const struct plan *p, const char *step, const char *object,
                           int err);
int lipc_process_failed (lua_State *L, const struct plan *p, const struct lipcsys_failed *failed,
                         int err);

/* The number of the signal whose name, "SIGTERM" or "TERM", is at idx; -EINVAL. */
int lipc_process_signal (lua_State *L, int idx, int *ret_signo);

/* process_stream.c: what Lua functions in pipelines read and write. */
extern const struct lipc_class lipc_process_stream_class;
extern const luaL_Reg lipc_process_stream_funcs[];

#pragma GCC visibility pop
#endif
