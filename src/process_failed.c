/* process_failed.c - what is said when a child could not be made: the operation, the step that failed, and
** why.  SPDX-License-Identifier: MIT */
#include "process.h"

int lipc_process_failedat (lua_State *L, const struct plan *p, const char *step, const char *object,
                           int err) {
  lua_pushfstring(L, "%s: %s", p->child.file != NULL ? "process.spawn" : "process.fork", step);
  return lipc_fail(L, lua_tostring(L, -1), object, err);
}

int lipc_process_failed (lua_State *L, const struct plan *p, const struct lipcsys_failed *f,
                         int err) {
  const char *object;
  switch (f->stage) {
    case LIPC_STAGE_SESSION: return lipc_process_failedat(L, p, "setsid", NULL, err);
    case LIPC_STAGE_PGROUP:
      object = lua_pushfstring(L, "%d", p->child.pgroup);
      return lipc_process_failedat(L, p, "setpgid", object, err);
    case LIPC_STAGE_CHDIR: return lipc_process_failedat(L, p, "chdir", p->child.cwd, err);
    case LIPC_STAGE_MOVE: {
      const struct lipcsys_move *m = &p->moves[f->which];
      object = lua_pushfstring(L, "%d to %d", m->from, m->to);
      return lipc_process_failedat(L, p, "dup2", object, err);
    }
    case LIPC_STAGE_LIMIT:
      return lipc_process_failedat(L, p, "setrlimit", p->limitnames[f->which], err);
    case LIPC_STAGE_NICE: return lipc_process_failedat(L, p, "nice", NULL, err);
    case LIPC_STAGE_DEATHSIG: return lipc_process_failedat(L, p, "prctl", NULL, err);
    case LIPC_STAGE_EXEC: return lipc_process_failedat(L, p, "exec", p->child.file, err);
    default:
      return lipc_fail(L, p->child.file != NULL ? "process.spawn" : "process.fork", p->child.file,
                       err);
  }
}
