/* sysv_msg.c - System V message queues; msgget(2), msgop(2), msgctl(2).  MSG_EXCEPT and MSG_COPY are
** Linux's.  The kernel has no time limit for these calls: the thread sleeps in them under a timer
** (lipcsys_bounded), a coroutine of a scheduler tries again after pauses.
** fork: both processes have the queue; what was received and not handed out is the parent's alone.
** close: the object only; the queue stays until it is removed.
** SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sysv.h"

/* A message between the kernel and Lua. */
struct buffer {
  struct buffer *next;
  size_t cap, n; /* bytes there is room for, bytes there are */
  struct lipcsys_msg m; /* the last, because its data follows */
};

typedef struct Queue {
  Sysv s;
  struct buffer *out; /* for sending: what each attempt copies its message to */
  struct buffer *in; /* for receiving */
  struct buffer *kept; /* messages that were received and could not be handed out */
  uint64_t qbytes; /* what one of ours must not be larger than, as last seen */
  unsigned keptgen; /* lipcsys_forkgen of the process that holds `in` and `kept` */
  struct buffer *handing; /* that of `kept` which is being pushed, or with which that failed */
  bool held; /* `in` is such a message too: only while it is being pushed, or after that failed */
  bool again; /* the last attempt to send has found the queue full */
} Queue;

#define MOST_LOOKED_AT (1 << 20) /* bytes of a message whose size is only to be told */
#define FIRST_CAP      8192 /* the kernel's default for the largest message */

static size_t buffer_size (size_t cap) { return sizeof(struct buffer) + cap; }

static void free_buffer (lua_State *L, struct buffer *b) {
  if (b != NULL) lipc_realloc(L, b, buffer_size(b->cap), 0);
}

/* Makes room for at least cap bytes, in a buffer whose contents do not matter. */
static struct buffer *room (lua_State *L, struct buffer **b, size_t cap) {
  if (*b != NULL && (*b)->cap >= cap) return *b;
  if (cap < FIRST_CAP) cap = FIRST_CAP;
  free_buffer(L, *b);
  *b = NULL;
  *b = lipc_realloc(L, NULL, 0, buffer_size(cap));
  (*b)->next = NULL;
  (*b)->cap = cap;
  return *b;
}

/* What the kernel told about a queue whose id was valid once. */
static int told (const Queue *q, int err) {
  struct lipcsys_msgstat st;
  if (err == -EINVAL && lipcsys_msgstat(q->s.id, &st) == -EIDRM) return -EIDRM;
  return err;
}

/* ---- sending ---- */

/* A message that no queue here takes. */
static int fail_toobig (lua_State *L, size_t size) {
  char number[128], note[200];
  snprintf(note, sizeof note, "it has %zu bytes, kernel.msgmax is %s: sysctl -w kernel.msgmax=...",
           size, lipcsys_limit("kernel/msgmax", number, sizeof number));
  return lipc_failselfnote(L, "send", -LIPC_EMSGBIG, note);
}

/* A message that this queue could never take; false: it could. */
static bool never_fits (lua_State *L, Queue *q, size_t size) {
  struct lipcsys_msgstat st;
  char note[160];
  if (lipcsys_msgstat(q->s.id, &st) < 0) return false; /* the next attempt tells why */
  q->qbytes = st.qbytes;
  if (size <= st.qbytes) return false;
  snprintf(note, sizeof note, "it has %zu bytes, the queue's msg_qbytes is %llu: set{qbytes=...}",
           size, (unsigned long long)st.qbytes);
  lipc_failselfnote(L, "send", -LIPC_EMSGBIG, note);
  return true;
}

/* Checks the message at 2 and 3 and copies it to where the kernel wants it.  NULL: nil, msg, code is
** pushed, it is too large for any queue, and no copy of that is made. */
static struct buffer *message (lua_State *L, Queue *q) {
  size_t size;
  lua_Integer type = luaL_checkinteger(L, 2);
  luaL_argcheck(L, type >= 1, 2, "type must be at least 1");
  const char *data = luaL_checklstring(L, 3, &size);
  if (size > LIPC_SCRATCH) {
    char number[128];
    if (size > strtoull(lipcsys_limit("kernel/msgmax", number, sizeof number), NULL, 10)) {
      fail_toobig(L, size);
      return NULL;
    }
  }
  struct buffer *b = room(L, &q->out, size);
  b->m.type = (long)type;
  b->n = size;
  memcpy(b->m.data, data, size);
  return b;
}

static int sent (lua_State *L, Queue *q, size_t size, int r) {
  q->again = false;
  if (r == -EINVAL) {
    r = told(q, r);
    if (r == -EINVAL) return fail_toobig(L, size); /* the type is right, and the queue is there */
  }
  return lipc_result(L, "send", r);
}

static int send_step (lua_State *L, int t) {
  Queue *q = lua_touserdata(L, 1);
  (void)t;
  struct buffer *b = message(L, q);
  if (b == NULL) return 3;
  int r = lipcsys_msgsnd(q->s.id, &b->m, b->n, false);
  if (r != -EAGAIN) return sent(L, q, b->n, r);
  if ((q->again || b->n > q->qbytes) && never_fits(L, q, b->n)) return 3;
  q->again = true;
  return lipc_again(0);
}

/* The time is over because the queue is full: how full. */
static int send_failed (lua_State *L, int t, int err) {
  Queue *q = lua_touserdata(L, 1);
  struct lipcsys_msgstat st;
  char note[160];
  (void)t;
  if (err != -ETIMEDOUT || lipcsys_msgstat(q->s.id, &st) < 0) return lipc_failself(L, "send", err);
  snprintf(
    note, sizeof note, "the queue has %llu of the %llu bytes of its msg_qbytes, %llu messages",
    (unsigned long long)st.cbytes, (unsigned long long)st.qbytes, (unsigned long long)st.qnum);
  return lipc_failselfnote(L, "send", err, note);
}

static const struct lipc_op send_op = {"send", send_step, 0, send_failed};

/* q:send(type, data[, timeout]) -> true | nil, msg, code: type is an integer of at least 1, data a string of
** bytes; waits while the queue is full.  "E2BIG": larger than any message may be (kernel.msgmax) or than
** the queue (msg_qbytes); "EIDRM": the queue was removed; "EACCES"   -- see msgsnd(2) */
static int l_queue_send (lua_State *L) { return lipc_drive(L, &send_op, 4); }

/* ---- receiving ---- */

/* Which message, and how much of it. */
struct want {
  lua_Integer type;
  size_t max; /* SIZE_MAX: all of it */
  unsigned how;
};

/* The arguments at 2 and, when there is a table, 3. */
static struct want wanted (lua_State *L, int t) {
  struct want w = {luaL_optinteger(L, 2, 0), SIZE_MAX, 0};
  if (t == 3) return w;
  lua_Integer max = lipc_optint(L, 3, "max", 0, INT32_MAX, -1);
  if (max >= 0) w.max = (size_t)max;
  if (lipc_optbool(L, 3, "except", false)) w.how |= LIPC_MSG_EXCEPT;
  if (lipc_optbool(L, 3, "truncate", false)) w.how |= LIPC_MSG_TRUNCATE;
  return w;
}

static bool matches (const struct buffer *b, const struct want *w) {
  if (w->how & LIPC_MSG_EXCEPT) return b->m.type != w->type;
  if (w->type < 0) return b->m.type <= (w->type == LUA_MININTEGER ? LUA_MAXINTEGER : -w->type);
  return w->type == 0 || b->m.type == w->type;
}

static int fail_larger (lua_State *L, const char *op, size_t max, size_t size) {
  char note[128];
  if (size > max) snprintf(note, sizeof note, "it has %zu bytes, max is %zu", size, max);
  else snprintf(note, sizeof note, "it has more than the %zu bytes of max", max);
  return lipc_failselfnote(L, op, -LIPC_EMSGBIG, note);
}

/* Runs finalisers, which may close the queue: b is not looked at behind that. */
static int push (lua_State *L, const struct buffer *b, size_t max) {
  long type = b->m.type;
  lua_pushlstring(L, b->m.data, b->n < max ? b->n : max);
  lua_pushinteger(L, type);
  return 2;
}

/* Hands out what is in q->in: by raising if there is no memory, and then it stays there. */
static int deliver (lua_State *L, Queue *q) {
  q->held = true;
  q->keptgen = lipcsys_forkgen;
  push(L, q->in, SIZE_MAX);
  q->held = false;
  return 2;
}

static void drop_kept (lua_State *L, Queue *q) {
  while (q->kept != NULL) {
    struct buffer *b = q->kept;
    q->kept = b->next;
    free_buffer(L, b);
  }
  q->held = false;
  q->handing = NULL;
}

/* Looks first for a message that could not be handed out before: how many results, or -1. */
static int from_kept (lua_State *L, Queue *q, const struct want *w) {
  if (q->keptgen != lipcsys_forkgen) drop_kept(L, q); /* they are the parent's */
  if (q->held || q->handing != NULL) lipc_checkfinaliser(L);
  if (q->held) { /* `in` is wanted for the next one */
    struct buffer **end = &q->kept;
    while (*end != NULL) end = &(*end)->next;
    *end = q->in;
    q->in = NULL;
    q->held = false;
  }
  struct buffer *b = NULL, **link = NULL;
  for (struct buffer **i = &q->kept; *i != NULL; i = &(*i)->next)
    if (matches(*i, w) && (b == NULL || (w->type < 0 && (*i)->m.type < b->m.type))) {
      b = *i;
      link = i;
    }
  if (b == NULL) return -1;
  if (b->n > w->max && !(w->how & LIPC_MSG_TRUNCATE))
    return fail_larger(L, "receive", w->max, b->n);
  q->handing = b;
  push(L, b, w->max);
  if (q->handing == NULL) return 2; /* a finaliser has closed the queue, and freed it */
  q->handing = NULL;
  *link = b->next;
  free_buffer(L, b);
  return 2;
}

/* The size of the message that would be received, which was too large; 0: nobody knows. */
static size_t size_of_next (Queue *q, const struct want *w) {
  struct buffer *b = q->in; /* as large as any can be: see room_for */
  size_t size = 0;
  long lowest = 0;
  for (long i = 0; i < 1024; i++) { /* the queue may be long, and this is for a message only */
    if (lipcsys_msgrcv(q->s.id, &b->m, b->cap, i, LIPC_MSG_COPY | LIPC_MSG_TRUNCATE, false, &b->n) <
        0)
      break;
    if (!matches(b, w) || (size > 0 && b->m.type >= lowest)) continue;
    lowest = b->m.type;
    size = b->n;
    if (w->type >= 0) break;
  }
  return size;
}

/* The kernel has said that the message is larger than the room it was given. */
static int larger (lua_State *L, Queue *q, const struct want *w, size_t given) {
  if (given < w->max) { /* more room is all that is wanted */
    room(L, &q->in, given * 2);
    return 0;
  }
  char number[128];
  size_t most = strtoull(lipcsys_limit("kernel/msgmax", number, sizeof number), NULL, 10);
  room(L, &q->in, most > given && most <= MOST_LOOKED_AT ? most : given + 1);
  return fail_larger(L, "receive", w->max, size_of_next(q, w));
}

/* One attempt, after which r < 0 or q->in has the message. */
static int receive (Queue *q, const struct want *w, bool wait, size_t *ret_given) {
  size_t size = q->in->cap < w->max ? q->in->cap : w->max;
  unsigned how = w->how;
  if (size < w->max) how &= ~LIPC_MSG_TRUNCATE; /* not yet */
  *ret_given = size;
  return lipcsys_msgrcv(q->s.id, &q->in->m, size, (long)w->type, how, wait, &q->in->n);
}

static int receive_step (lua_State *L, int t) {
  Queue *q = lua_touserdata(L, 1);
  struct want w = wanted(L, t);
  size_t given;
  if (q->held || q->kept != NULL) {
    int n = from_kept(L, q, &w);
    if (n >= 0) return n;
  }
  for (;;) {
    room(L, &q->in, 1);
    int r = receive(q, &w, false, &given);
    if (r == 0) return deliver(L, q);
    if (r == -EAGAIN) return lipc_again(0);
    if (r != -E2BIG) return lipc_failself(L, "receive", told(q, r));
    int n = larger(L, q, &w, given);
    if (n > 0) return n;
  }
}

static int receive_failed (lua_State *L, int t, int err) {
  (void)t;
  return lipc_failself(L, "receive", told(lua_touserdata(L, 1), err));
}

static const struct lipc_op receive_op = {"receive", receive_step, 0, receive_failed};

/* q:receive([type[, timeout|{except=, max=, truncate=, timeout=}]]) -> data, type | nil, msg, code: waits for a
** message and takes it.  type 0 or none: the first; > 0: the first of that type; < 0: the first of the lowest type
** up to -type; except: the first of any other type.  max: "E2BIG" if it has more bytes, and it stays in
** the queue; truncate: is cut to max instead, and the rest is lost.  "EIDRM": the queue was removed
** -- see msgrcv(2) */
static int l_queue_receive (lua_State *L) {
  static const char *const names[] = {"except", "max", "truncate", "timeout", NULL};
  if (lua_type(L, 3) != LUA_TTABLE) return lipc_drive(L, &receive_op, 3);
  lipc_splitopts(L, 3, names);
  struct want w = wanted(L, 4);
  luaL_argcheck(L, !(w.how & LIPC_MSG_EXCEPT) || w.type > 0, 3,
                "option 'except' needs a type of at least 1");
  luaL_argcheck(L, !(w.how & LIPC_MSG_TRUNCATE) || w.max < SIZE_MAX, 3,
                "option 'truncate' needs 'max'");
  return lipc_drive(L, &receive_op, 4);
}

/* q:copy(index) -> data, type | nil, msg, code: the message at that place of the queue, from 1, which stays
** there.  "ENOMSG": there are fewer; "ENOSYS": the kernel cannot   -- see msgrcv(2) MSG_COPY */
static int l_queue_copy (lua_State *L) {
  Queue *q = lipc_checkopen(L, 1);
  lua_Integer index = luaL_checkinteger(L, 2);
  luaL_argcheck(L, 1 <= index && index <= INT32_MAX, 2, "index is out of range");
  struct buffer *b; /* not `in`, which may hold a message */
  size_t cap = FIRST_CAP;
  int r;
  for (;; cap *= 2) {
    b = lua_newuserdatauv(L, buffer_size(cap), 0);
    r = lipcsys_msgrcv(q->s.id, &b->m, cap, (long)index - 1, LIPC_MSG_COPY, false, &b->n);
    if (r != -E2BIG) break;
    lua_pop(L, 1);
  }
  if (r == -ENOSYS)
    return lipc_failselfnote(L, "copy", r,
                             "the kernel was built without CONFIG_CHECKPOINT_RESTORE");
  if (r < 0) return lipc_failself(L, "copy", told(q, r));
  return push(L, b, SIZE_MAX);
}

/* ---- waiting in the kernel ---- */

struct bounded {
  Queue *q;
  const struct want *w; /* NULL: send */
  size_t given;
};

static int bounded_call (void *arg, bool wait) {
  struct bounded *c = arg;
  Queue *q = c->q;
  if (c->w == NULL) return lipcsys_msgsnd(q->s.id, &q->out->m, q->out->n, wait);
  return receive(q, c->w, wait, &c->given);
}

/* The step has been here just before: `out` has this call's message, `in` has no message. */
static int queue_block (lua_State *L, const struct lipc_op *op, int t, double seconds) {
  Queue *q = lua_touserdata(L, 1);
  if (op == &send_op) {
    struct bounded c = {q, NULL, 0};
    struct buffer *b = message(L, q);
    if (b == NULL) return 3;
    int r = lipcsys_bounded(seconds, bounded_call, &c);
    return r == -EINTR ? r : sent(L, q, b->n, r);
  }
  struct want w = wanted(L, t);
  struct bounded c = {q, &w, 0};
  if (q->held || q->kept != NULL) return 0; /* a callback's call left one: the step sees to it */
  room(L, &q->in, 1);
  int r = lipcsys_bounded(seconds, bounded_call, &c);
  if (r == 0) return deliver(L, q);
  return r == -E2BIG ? 0 : r;
}

/* ---- the queue itself ---- */

/* q:stat() -> {type="sysv message queue", key=, id=, uid=, gid=, cuid=, cgid=, mode=, qnum=, qbytes=,
** cbytes=, lspid=, lrpid=, stime=, rtime=, ctime=} | nil, msg, code   -- see msgctl(2) IPC_STAT */
static int l_queue_stat (lua_State *L) {
  const Queue *q = lipc_checkopen(L, 1);
  struct lipcsys_msgstat st;
  int r = lipcsys_msgstat(q->s.id, &st);
  if (r < 0) return lipc_failself(L, "stat", r);
  lua_createtable(L, 0, 16);
  lipc_sysv_pushperm(L, "sysv message queue", &st.perm, q->s.id);
  lipc_setinteger(L, "qnum", (lua_Integer)st.qnum);
  lipc_setinteger(L, "qbytes", (lua_Integer)st.qbytes);
  lipc_setinteger(L, "cbytes", (lua_Integer)st.cbytes);
  lipc_setinteger(L, "lspid", st.lspid);
  lipc_setinteger(L, "lrpid", st.lrpid);
  lipc_setinteger(L, "stime", st.stime);
  lipc_setinteger(L, "rtime", st.rtime);
  lipc_setinteger(L, "ctime", st.ctime);
  return 1;
}

/* q:set{uid=, gid=, mode=, qbytes=} -> true | nil, msg, code: what is not given stays.  "EPERM": not the
** owner's, or qbytes above kernel.msgmnb   -- see msgctl(2) IPC_SET */
static int l_queue_set (lua_State *L) {
  static const char *const names[] = {LIPC_SYSV_SETTABLE, "qbytes", NULL};
  Queue *q = lipc_checkopen(L, 1);
  struct lipcsys_msgstat st;
  char number[128], note[200];
  luaL_checktype(L, 2, LUA_TTABLE);
  lipc_checkopts(L, 2, names);
  lua_Integer qbytes = lipc_optint(L, 2, "qbytes", 0, INT32_MAX, -1); /* the kernel has an int */
  lipc_checkopen(L, 1); /* a metamethod may have closed it */
  memset(&st, 0, sizeof st);
  lipc_sysv_checkset(L, &st.perm); /* misuse is told before the kernel is asked */
  int r = lipcsys_msgstat(q->s.id, &st);
  if (r < 0) return lipc_failself(L, "set", r);
  lipc_sysv_checkset(L, &st.perm);
  if (qbytes >= 0) st.qbytes = (uint64_t)qbytes;
  r = told(q, lipcsys_msgset(q->s.id, &st));
  if (r != -EPERM || qbytes < 0) return lipc_result(L, "set", r);
  snprintf(note, sizeof note, "above kernel.msgmnb, which is %s, qbytes needs CAP_SYS_RESOURCE",
           lipcsys_limit("kernel/msgmnb", number, sizeof number));
  return lipc_failselfnote(L, "set", r, note);
}

/* q:remove() -> true | nil, msg, code: the queue and its messages are gone, for everybody; who waits on it
** gets "EIDRM".  The object is closed, also when somebody else was faster ("EIDRM")
** -- see msgctl(2) IPC_RMID */
static int l_queue_remove (lua_State *L) {
  Queue *q = lipc_checkopen(L, 1);
  int r = lipcsys_msgrm(q->s.id);
  if (r < 0 && r != -EIDRM) return lipc_failself(L, "remove", r);
  q->s.unlink = false;
  lipc_shut(L, &q->s.h);
  return lipc_result(L, "remove", r);
}

static int queue_release (lua_State *L, struct lipc_handle *h, int fd) {
  Queue *q = (Queue *)h;
  if (lipc_sysv_mustremove(&q->s, fd)) (void)lipcsys_msgrm(q->s.id); /* it may be gone */
  drop_kept(L, q);
  free_buffer(L, q->in);
  free_buffer(L, q->out);
  q->in = q->out = NULL;
  return 0;
}

static const luaL_Reg methods[] = {
  {"send", l_queue_send}, {"receive", l_queue_receive}, {"copy", l_queue_copy},
  {"stat", l_queue_stat}, {"set", l_queue_set},         {"remove", l_queue_remove},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, lipc_sysv_methods, NULL};
static const struct lipc_class queue_class = {.tname = "lipc.sysv.msg",
                                              .label = "sysv.msg",
                                              .size = sizeof(Queue),
                                              .methods = all_methods,
                                              .release = queue_release,
                                              .block = queue_block};

/* ---- opening ---- */

static Queue *new_queue (lua_State *L) {
  Queue *q = lipc_new(L, &queue_class);
  q->s.h.access = LIPC_IN | LIPC_OUT;
  return q;
}

/* open(key[, {create=, exclusive=, mode=, unlink=}]) -> queue | nil, msg, code: key is an integer or
** "private", which makes one that has no key.  create: makes it, with mode (0600, whatever the umask),
** if it is not there; exclusive: "EEXIST" if it is; unlink: what this call has made is removed on close
** -- see msgget(2) */
static int l_msg_open (lua_State *L) {
  static const char *const names[] = {LIPC_SYSV_OPTIONS, NULL};
  struct lipcsys_sysvopen o;
  char name[16], number[128], note[200];
  int id;
  bool made;
  lipc_checkopts(L, 2, names);
  bool unlink = lipc_sysv_options(L, &o);
  Queue *q = new_queue(L);
  int r = lipcsys_sysv_open(&o, lipcsys_msgget, &id, &made);
  if (r < 0) {
    lipc_sysv_keyname(o.key, name);
    if (r != -ENOSPC) return lipc_fail(L, "sysv.msg.open", name, r);
    snprintf(note, sizeof note,
             "kernel.msgmni is %s: remove some (ipcs -q), or sysctl -w kernel.msgmni=...",
             lipcsys_limit("kernel/msgmni", number, sizeof number));
    return lipc_failnote(L, "sysv.msg.open", name, r, note);
  }
  lipc_sysv_opened(L, &q->s, o.key, id, made, unlink);
  return 1;
}

/* fromid(id) -> queue | nil, msg, code: one that somebody else told, or ipcs shows.  "EINVAL": there is
** none; "EACCES": this user must not read its state   -- see msgctl(2) */
static int l_msg_fromid (lua_State *L) {
  int id = lipc_sysv_checkid(L, 1);
  struct lipcsys_msgstat st;
  Queue *q = new_queue(L);
  int r = lipcsys_msgstat(id, &st);
  if (r < 0) return lipc_sysv_noid(L, "sysv.msg.fromid", id, r);
  lipc_sysv_opened(L, &q->s, st.perm.key, id, false, false);
  return 1;
}

static const luaL_Reg funcs[] = {
  {"open", l_msg_open},
  {"fromid", l_msg_fromid},
  {NULL, NULL},
};

int lipc_sysv_msg (lua_State *L) { return lipc_register(L, &queue_class, funcs); }
