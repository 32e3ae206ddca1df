/* mqueue.c - POSIX message queues; mq_overview(7).  Linux, where a queue is a descriptor that can be polled.
** fork: both processes use the same queue; it is removed by the process that made it only.
** close: the descriptor, and what this process asked for by notify; the queue stays until it is unlinked.
** SPDX-License-Identifier: MIT */
#include "kit_callbacks.h"

#include <stdlib.h>
#include <string.h>

typedef struct Queue {
  struct lipc_handle h;
  char *buf; /* msgsize bytes, of a queue that is read */
  long msgsize;
  size_t size; /* of the message in buf, */
  unsigned prio;
  bool held; /* which was received and not handed out yet: being pushed, or that failed */
  unsigned heldgen; /* lipcsys_forkgen of the process that it is for */
  bool unlink; /* made by this object, which removes it in the end */
  unsigned maker; /* lipcsys_forkgen of the process that made it */
  struct lipcsys_fileid id;
  char name[LIPC_MQ_NAMEMAX + 2];
} Queue;

/* ---- sending and receiving ---- */

static int send_step (lua_State *L, int t) {
  Queue *q = lua_touserdata(L, 1);
  size_t size;
  unsigned prio = t == 4 ? (unsigned)lua_tointeger(L, 3) : 0; /* t 3: there were no options */
  if (!(q->h.access & LIPC_OUT)) lipc_checkaccess(L, LIPC_OUT);
  const char *data = lua_tolstring(L, 2, &size);
  int r = lipcsys_mqsend(q->h.fd, data, size, prio);
  if (r == -EAGAIN) return lipc_again(LIPC_OUT);
  if (r == -EMSGSIZE)
    return lipc_failselfnote(L, "send", r,
                             lua_pushfstring(L, "%I bytes; msgsize of this queue is %I",
                                             (LUAI_UACINT)size, (LUAI_UACINT)q->msgsize));
  if (r < 0) return lipc_failself(L, "send", r);
  lua_pushboolean(L, 1);
  return 1;
}
static const struct lipc_op send_op = {"send", send_step, 0, NULL};

/* q:send(data[, timeout|{priority=, timeout=}]) -> true | nil, msg, code: waits while the queue is full.
** priority: 0 (default) to mqueue.PRIO_MAX - 1, the highest is received first; among equals the oldest.
** EMSGSIZE: longer than the queue's msgsize   -- see mq_send(3) */
static int l_queue_send (lua_State *L) {
  static const char *const names[] = {"priority", "timeout", NULL};
  luaL_checkstring(L, 2);
  if (!lua_istable(L, 3)) return lipc_drive(L, &send_op, 3);
  lipc_splitopts(L, 3, names);
  lua_pushinteger(L, lipc_optint(L, 3, "priority", 0, LIPC_MQ_PRIO_MAX - 1, 0));
  lua_replace(L, 3);
  return lipc_drive(L, &send_op, 4);
}

static int receive_step (lua_State *L, int t) {
  Queue *q = lua_touserdata(L, 1);
  (void)t;
  if (!(q->h.access & LIPC_IN)) lipc_checkaccess(L, LIPC_IN);
  if (q->held && q->heldgen == lipcsys_forkgen) {
    lipc_checkfinaliser(L);
  } else {
    int r = lipcsys_mqreceive(q->h.fd, q->buf, (size_t)q->msgsize, &q->size, &q->prio);
    if (r == -EAGAIN) return lipc_again(LIPC_IN);
    if (r < 0) return lipc_failself(L, "receive", r);
    q->held = true;
    q->heldgen = lipcsys_forkgen;
  }
  unsigned prio = q->prio;
  lua_pushlstring(L, q->buf, q->size); /* without memory for it, the message is still there */
  q->held = false;
  lua_pushinteger(L, prio);
  return 2;
}
static const struct lipc_op receive_op = {"receive", receive_step, 0, NULL};

/* q:receive([timeout]) -> data, priority | nil, msg, code: the oldest message of the highest priority,
** waiting while there is none   -- see mq_receive(3) */
static int l_queue_receive (lua_State *L) { return lipc_drive(L, &receive_op, 2); }

static bool queue_buffered (const struct lipc_handle *h) {
  const Queue *q = (const Queue *)h;
  return q->held && q->heldgen == lipcsys_forkgen;
}

/* ---- attributes ---- */

static void set_attr (lua_State *L, const struct lipcsys_mqattr *attr) {
  lipc_setinteger(L, "maxmsg", attr->maxmsg);
  lipc_setinteger(L, "msgsize", attr->msgsize);
  lipc_setinteger(L, "curmsgs", attr->curmsgs);
}

/* q:getattr() -> {maxmsg=, msgsize=, curmsgs=, nonblock=} | nil, msg, code: how many messages it takes, of
** how many bytes, how many are in it; whether others who share this open description do not block
** -- see mq_getattr(3) */
static int l_queue_getattr (lua_State *L) {
  struct lipcsys_mqattr attr;
  const Queue *q = lipc_checkopen(L, 1);
  int r = lipcsys_mqgetattr(q->h.fd, &attr);
  if (r < 0) return lipc_failself(L, "getattr", r);
  lua_createtable(L, 0, 4);
  set_attr(L, &attr);
  lua_pushboolean(L, attr.nonblock);
  lua_setfield(L, -2, "nonblock");
  return 1;
}

/* q:setattr({nonblock=}) -> true | nil, msg, code: for others who share this open description; lipc's own
** waits are the same in either mode   -- see mq_setattr(3) */
static int l_queue_setattr (lua_State *L) {
  static const char *const names[] = {"nonblock", NULL};
  const Queue *q = lipc_checkopen(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lipc_checkopts(L, 2, names);
  luaL_argcheck(L, lua_getfield(L, 2, "nonblock") != LUA_TNIL, 2, "option 'nonblock' is missing");
  bool on = lipc_optbool(L, 2, "nonblock", true);
  return lipc_result(L, "setattr", lipcsys_mqsetattr(q->h.fd, on));
}

/* q:stat() -> {type="mqueue", dev=, ino=, mode=, maxmsg=, msgsize=, curmsgs=} | nil, msg, code
** -- see fstat(2), mq_getattr(3) */
static int l_queue_stat (lua_State *L) {
  struct lipcsys_mqattr attr;
  struct lipcsys_fdinfo info;
  const Queue *q = lipc_checkopen(L, 1);
  int r = lipcsys_fdinfo(q->h.fd, &info);
  if (r == 0) r = lipcsys_mqgetattr(q->h.fd, &attr);
  if (r < 0) return lipc_failself(L, "stat", r);
  lua_createtable(L, 0, 7);
  lua_pushliteral(L, "mqueue");
  lua_setfield(L, -2, "type");
  lipc_setinteger(L, "dev", (lua_Integer)info.dev);
  lipc_setinteger(L, "ino", (lua_Integer)info.ino);
  lipc_setinteger(L, "mode", (lua_Integer)info.mode);
  set_attr(L, &attr);
  return 1;
}

/* q:notify([signal[, {value=}]]) -> true | nil, msg, code: this process gets the signal, once, when a
** message comes to the empty queue; without a signal: takes that back.  value: an integer of 32 bits that
** comes with it.  EBUSY: a process, perhaps this one, has asked already   -- see mq_notify(3) */
static int l_queue_notify (lua_State *L) {
  static const char *const names[] = {"value", NULL};
  const Queue *q = lipc_checkopen(L, 1);
  int signo = lua_isnoneornil(L, 2) ? 0 : lipc_checksignal(L, 2);
  lipc_checkopts(L, 3, names);
  luaL_argcheck(L, signo != 0 || lua_isnoneornil(L, 3), 3, "options without a signal");
  int value = (int)lipc_optint(L, 3, "value", INT32_MIN, INT32_MAX, 0);
  int r = lipcsys_mqnotify(q->h.fd, signo, value);
  if (r == -EBUSY)
    return lipc_failselfnote(
      L, "notify", r,
      "one process at a time can ask for it, and one has; it takes that back by notify()");
  return lipc_result(L, "notify", r);
}

static int queue_release (lua_State *L, struct lipc_handle *h, int fd) {
  Queue *q = (Queue *)h;
  bool unlink = q->unlink && q->maker == lipcsys_forkgen && fd >= 0;
  int r = unlink ? lipcsys_mqunlink(q->name, &q->id) : 0, closed = 0;
  if (fd >= 0) closed = lipcsys_close(fd);
  if (r == -EMFILE || r == -ENFILE) r = lipcsys_mqunlink(q->name, &q->id); /* there is one now */
  lipc_realloc(L, q->buf, (size_t)q->msgsize, 0);
  q->buf = NULL;
  q->held = q->unlink = false;
  return r < 0 && r != -ENOENT ? r : closed;
}

static const luaL_Reg methods[] = {
  {"send", l_queue_send},
  {"receive", l_queue_receive},
  {"getattr", l_queue_getattr},
  {"setattr", l_queue_setattr},
  {"notify", l_queue_notify},
  {"stat", l_queue_stat},
  {NULL, NULL},
};
static const luaL_Reg *const all_methods[] = {methods, NULL};
static const struct lipc_class queue_class = {.tname = "lipc.mqueue",
                                              .label = "mqueue",
                                              .size = sizeof(Queue),
                                              .methods = all_methods,
                                              .release = queue_release,
                                              .buffered = queue_buffered};

/* ---- opening ---- */

/* Others may make and remove it at the same time. */
static int open_named (Queue *q, unsigned mode, bool exclusive, const struct lipcsys_mqattr *make,
                       int *ret_fd, bool *ret_made) {
  if (make == NULL) return lipcsys_mqopen(q->name, q->h.access, 0, NULL, ret_fd);
  for (int tries = 0; tries < 100; tries++) {
    int r = lipcsys_mqopen(q->name, q->h.access, mode, make, ret_fd);
    if (r == 0) *ret_made = true;
    if (r != -EEXIST || exclusive) return r;
    r = lipcsys_mqopen(q->name, q->h.access, 0, NULL, ret_fd);
    if (r != -ENOENT) return r;
  }
  return -EBUSY; /* somebody does nothing but make and remove it */
}

/* Which limit it was, with its value and how to raise it; NULL: none that we know of. */
static const char *limit_note (lua_State *L, int err, const struct lipcsys_mqattr *make) {
  char count[64], size[64];
  uint64_t n = 0;
  int fd;
  if (err == -EMFILE || err == -ENFILE) {
    bool bytes = err == -EMFILE && make != NULL && lipcsys_eventfd(0, false, &fd) == 0;
    if (bytes) lipcsys_close(fd);
    if (!bytes || lipcsys_rlimitnow("msgqueue", &n) < 0) return NULL;
    return lua_pushfstring(
      L,
      "this queue takes %I bytes of RLIMIT_MSGQUEUE, which is %I for all queues "
      "of this user; raise it by ulimit -q",
      (LUAI_UACINT)lipcsys_mqbytes(make), (LUAI_UACINT)n);
  }
  if (make == NULL) return NULL;
  if (err == -ENOSPC)
    return lua_pushfstring(L,
                           "queues of the whole system: fs.mqueue.queues_max is %s; raise it by "
                           "sysctl, or unlink some",
                           lipcsys_limit("fs/mqueue/queues_max", count, sizeof count));
  if (err == -EINVAL || err == -EOVERFLOW) {
    const char *messages = lipcsys_limit("fs/mqueue/msg_max", count, sizeof count);
    const char *bytes = lipcsys_limit("fs/mqueue/msgsize_max", size, sizeof size);
    bool many = make->maxmsg > strtol(messages, NULL, 10);
    if (!many && make->msgsize <= strtol(bytes, NULL, 10)) return NULL;
    return lua_pushfstring(
      L, "%s %I is more than fs.mqueue.%s_max, which is %s; raise it by sysctl, to %d at most",
      many ? "maxmsg" : "msgsize", (LUAI_UACINT)(many ? make->maxmsg : make->msgsize),
      many ? "msg" : "msgsize", many ? messages : bytes, many ? 65536 : 1 << 24);
  }
  if (err == -ENOMEM)
    return lua_pushfstring(L, "for %I messages of %I bytes", (LUAI_UACINT)make->maxmsg,
                           (LUAI_UACINT)make->msgsize);
  return NULL;
}

static unsigned opt_access (lua_State *L, int idx) {
  const char *s = lipc_optstring(L, idx, "access", "rw");
  if (strcmp(s, "r") == 0) return LIPC_IN;
  if (strcmp(s, "w") == 0) return LIPC_OUT;
  if (strcmp(s, "rw") != 0)
    luaL_argerror(
      L, idx,
      lua_pushfstring(L, "option 'access': \"r\", \"w\" or \"rw\" expected, got \"%s\"", s));
  return LIPC_IN | LIPC_OUT;
}

/* Those of maxmsg and msgsize that are not given are the system's; whether there were any. */
static bool opt_attr (lua_State *L, int idx, bool create, struct lipcsys_mqattr *attr) {
  long maxmsg = (long)lipc_optint(L, idx, "maxmsg", 1, INT32_MAX, 0);
  long msgsize = (long)lipc_optint(L, idx, "msgsize", 1, INT32_MAX, 0);
  if (create && (maxmsg == 0 || msgsize == 0)) lipcsys_mqdefault(attr);
  if (maxmsg != 0) attr->maxmsg = maxmsg;
  if (msgsize != 0) attr->msgsize = msgsize;
  return maxmsg != 0 || msgsize != 0;
}

/* Room for the longest message of the open descriptor, and what else is to be known of it. */
static int prepare (lua_State *L, Queue *q, int fd) {
  struct lipcsys_mqattr attr;
  int r = lipcsys_mqgetattr(fd, &attr);
  if (r < 0) return r;
  if (q->h.access & LIPC_IN) {
    q->buf = lipc_tryrealloc(L, NULL, 0, (size_t)attr.msgsize);
    if (q->buf == NULL) return -ENOMEM;
  }
  q->msgsize = attr.msgsize;
  return 0;
}

/* open(name[, {access=, create=, exclusive=, mode=, maxmsg=, msgsize=, unlink=}])
** -> Queue | nil, msg, code: name is "/" and up to 255 bytes; access "rw" (default), "r" or "w".  create:
** makes it, with mode (0600) less the umask, for maxmsg messages of msgsize bytes, if it is not there;
** exclusive: fails with EEXIST if it is; unlink: removes on close what it has made
** -- see mq_open(3), mq_overview(7) */
static int l_mqueue_open (lua_State *L) {
  static const char *const names[] = {"access", "create",  "exclusive", "mode",
                                      "maxmsg", "msgsize", "unlink",    NULL};
  const char *name = lipc_checkname(L, 1, LIPC_MQ_NAMEMAX);
  struct lipcsys_mqattr attr = {0};
  lipc_checkopts(L, 2, names);
  unsigned access = opt_access(L, 2);
  bool create = lipc_optbool(L, 2, "create", false);
  bool exclusive = lipc_optbool(L, 2, "exclusive", false);
  bool unlink = lipc_optbool(L, 2, "unlink", false), made = false;
  unsigned mode = lipc_optmode(L, 2, "mode", 0777, 0600);
  bool sized = opt_attr(L, 2, create, &attr);
  luaL_argcheck(L, create || !exclusive, 2, "option 'exclusive' needs 'create'");
  luaL_argcheck(L, create || !unlink, 2, "option 'unlink' needs 'create'");
  luaL_argcheck(L, create || !sized, 2, "options 'maxmsg' and 'msgsize' need 'create'");
  Queue *q = lipc_new(L, &queue_class);
  lipc_setname(L, -1, name);
  memcpy(q->name, name, strlen(name) + 1);
  q->h.io = LIPC_IO_NONBLOCK;
  q->h.access = access;
  const struct lipcsys_mqattr *make = create ? &attr : NULL;
  int r = open_named(q, mode, exclusive, make, &q->h.fd, &made);
  if (r < 0) return lipc_failnote(L, "mqueue.open", name, r, limit_note(L, r, make));
  struct lipcsys_fdinfo info;
  r = lipcsys_fdinfo(q->h.fd, &info);
  if (r == 0) r = prepare(L, q, q->h.fd);
  if (r == 0) {
    q->id = (struct lipcsys_fileid){info.dev, info.ino};
    q->maker = lipcsys_forkgen;
    q->unlink = unlink && made;
    return 1;
  }
  if (made) lipcsys_mqunlink(name, NULL);
  lipc_shut(L, &q->h);
  return lipc_fail(L, "mqueue.open", name, r);
}

/* fromfd(n) -> Queue: adopts the open descriptor of a queue; it keeps its flags, and no wait depends on
** them */
static int l_mqueue_fromfd (lua_State *L) {
  struct lipcsys_fdinfo info;
  Queue *q = lipc_new(L, &queue_class);
  int fd = lipc_adopt(L, 1, &q->h, &info);
  int r = prepare(L, q, fd);
  if (r == -ENOMEM) luaL_error(L, "not enough memory");
  luaL_argcheck(L, r == 0, 1, "not a message queue");
  q->h.fd = fd;
  return 1;
}

/* unlink(name) -> true | nil, msg, code: removes the name at once, the queue when the last one closes it
** -- see mq_unlink(3) */
static int l_mqueue_unlink (lua_State *L) {
  const char *name = lipc_checkname(L, 1, LIPC_MQ_NAMEMAX);
  int r = lipcsys_mqunlink(name, NULL);
  if (r < 0) return lipc_fail(L, "mqueue.unlink", name, r);
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- the queues there are ---- */

static void push_queue (lua_State *L, const struct lipcsys_mqinfo *info) {
  char buf[LIPC_SIGNAME];
  lua_createtable(L, 0, 12);
  lua_pushstring(L, info->name);
  lua_setfield(L, -2, "name");
  lipc_setinteger(L, "mode", (lua_Integer)info->mode);
  lipc_setinteger(L, "uid", (lua_Integer)info->uid);
  lipc_setinteger(L, "gid", (lua_Integer)info->gid);
  if (!info->readable) return;
  lipc_setinteger(L, "size", (lua_Integer)info->size);
  set_attr(L, &info->attr);
  if (info->notice == LIPC_MQ_NOBODY) return;
  lua_pushstring(L, info->notice == LIPC_MQ_SIGNAL   ? "signal"
                    : info->notice == LIPC_MQ_THREAD ? "thread"
                                                     : "none");
  lua_setfield(L, -2, "notify");
  lipc_setinteger(L, "pid", info->pid);
  if (info->notice != LIPC_MQ_SIGNAL) return;
  lipc_setinteger(L, "signo", info->signo);
  lua_pushstring(L, lipc_signame(info->signo, buf));
  lua_setfield(L, -2, "signal");
}

/* list() -> array of {name=, mode=, uid=, gid=[, size=, maxmsg=, msgsize=, curmsgs=[, notify=, pid=[,
** signo=, signal=]]]} by name | nil, msg, code: all queues, where they are files in /dev/mqueue; ENOENT:
** it is not mounted.  size: bytes queued.  What may not be read has the first four only.
** -- see mq_overview(7) */
static int l_mqueue_list (lua_State *L) {
  struct lipcsys_mqinfo *list = NULL;
  size_t max = 0, n = 0;
  int r;
  lua_settop(L, 0);
  lua_pushnil(L);
  for (;;) { /* they may become more while we look */
    r = lipcsys_mqlist(list, max, &n);
    if (r < 0 || n <= max) break;
    max = n + 8;
    list = lua_newuserdatauv(L, max * sizeof *list, 0);
    lua_replace(L, 1);
  }
  if (r == -ENOENT)
    return lipc_failnote(L, "mqueue.list", LIPC_MQ_DIR, r,
                         "not mounted: mkdir -p " LIPC_MQ_DIR
                         " && mount -t mqueue none " LIPC_MQ_DIR);
  if (r < 0) return lipc_fail(L, "mqueue.list", LIPC_MQ_DIR, r);
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    push_queue(L, &list[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static const luaL_Reg funcs[] = {
  {"open", l_mqueue_open},
  {"fromfd", l_mqueue_fromfd},
  {"unlink", l_mqueue_unlink},
  {"list", l_mqueue_list},
  {NULL, NULL},
};

int lipc_open_mqueue (lua_State *L) {
  lipc_register(L, &queue_class, funcs);
  lipc_setinteger(L, "PRIO_MAX", LIPC_MQ_PRIO_MAX);
  return 1;
}
