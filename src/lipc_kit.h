/* lipc_kit.h - what every binding is made of: objects, failures, options, and the one place that
** waits.  A binding includes this and lipc_sys.h, and no other binding.
** SPDX-License-Identifier: MIT */
#ifndef LIPC_KIT_H
#define LIPC_KIT_H

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>

#include "lipc_sys.h"

#pragma GCC visibility push(hidden)

/* ---- objects ---- */

struct lipc_handle;
struct lipc_op;
struct lipc_map;

/* A kind of object.  One static const per metatable. */
struct lipc_class {
  const char *tname; /* the metatable's name, "lipc.eventfd" */
  const char *label; /* the first word of messages and of tostring, "eventfd" */
  size_t size; /* of the struct, whose first member is a struct lipc_handle */
  int values; /* user values it needs; the first is LIPC_UV_FREE */
  const luaL_Reg *const *methods; /* lists, ended by NULL; where a name repeats the first wins */
  /* Gives the resource back; called once, from close and collection alike, also for a half-built
  ** object.  fd is the descriptor, already taken out of the handle, or -1.  NULL: close(2). */
  int (*release)(lua_State *L, struct lipc_handle *h, int fd);
  /* Whether something can be read without waiting although the descriptor is not ready. */
  bool (*buffered)(const struct lipc_handle *h);
  /* How the thread waits where poll(2) on the descriptor is not the way: for at most that long.  0:
  ** try again; an error; or, when the wait itself has done what the operation is for, how many
  ** results it pushed, by lipc_done.  A coroutine under a scheduler waits for the events of the step all the same;
  ** where there are none it tries again after pauses that grow. */
  int (*block)(lua_State *L, const struct lipc_op *op, int t, double seconds);
  /* The memory that the object maps (kit_map.h); NULL: it maps none. */
  struct lipc_map *(*map)(struct lipc_handle *h);
};

/* User values of every object. */
enum { LIPC_UV_NAME = 1, LIPC_UV_GUARD, LIPC_UV_FREE = LIPC_UV_GUARD + 2 };

/* A direction of an object belongs to one coroutine while its call waits in the middle. */
struct lipc_gate {
  lua_State *owner; /* for comparison only; alive or not is asked of the gates table */
  unsigned forkgen; /* of the owner: a forked child has other coroutines to run */
  bool contested; /* somebody waits for the owner to finish */
};

#define LIPC_CLOSED (-1)
#define LIPC_NOFD   (-2) /* open, but nothing that could be polled */

struct lipc_handle {
  const struct lipc_class *cls;
  int fd; /* LIPC_CLOSED, LIPC_NOFD or a descriptor */
  unsigned io; /* LIPC_IO_* */
  unsigned access; /* the directions it is open for: LIPC_IN, LIPC_OUT */
  unsigned want; /* the direction that the last wait asked for */
  unsigned forkgen; /* lipcsys_forkgen when it was made */
  int other; /* what the next wait is for instead of fd; -1: fd itself */
  bool watched; /* a poller or scheduler knows the descriptor */
  unsigned streak; /* calls since the last one that waited */
  double timeout; /* the default in seconds; HUGE_VAL: for ever */
  struct lipc_gate gate[2]; /* of LIPC_IN and LIPC_OUT */
};

#define lipc_isopen(h) ((h)->fd != LIPC_CLOSED)

/* Makes the metatable of a class (once per state).  The kit adds close, detach, fd, pollfd, events,
** timeout, settimeout, stat and the metamethods where the class has none of its own.  Every method
** is a closure whose first upvalue is the metatable. */
void lipc_class (lua_State *L, const struct lipc_class *cls);

/* Pushes the metatable of that name, made on first use, which has one metamethod. */
void lipc_metatable (lua_State *L, const char *tname, const char *event, lua_CFunction fn);

/* Pushes what this opener of modules.def returned when it was first asked for in this way. */
void lipc_pushmodule (lua_State *L, lua_CFunction open);

/* Pushes the module table with these functions; returns 1. */
int lipc_module (lua_State *L, const luaL_Reg *funcs);

/* A class and its module in one. */
int lipc_register (lua_State *L, const struct lipc_class *cls, const luaL_Reg *funcs);

/* Pushes a new object: collectable, and closed until the constructor stores what it acquired. */
void *lipc_new (lua_State *L, const struct lipc_class *cls);

/* Names the object on top of the stack, for messages and tostring. */
void lipc_setname (lua_State *L, int idx, const char *name);

/* The argument as an object of the method's own class; lipc_checkopen also refuses a closed one. */
void *lipc_check (lua_State *L, int arg);
void *lipc_checkopen (lua_State *L, int arg);

/* The object at index 1, which must be open for that direction (0: open). */
void *lipc_checkaccess (lua_State *L, unsigned dir);

/* The argument as an object of this class, or of any; NULL when it is none. */
void *lipc_test (lua_State *L, int arg, const struct lipc_class *cls);
struct lipc_handle *lipc_testany (lua_State *L, int arg);

/* The descriptor behind an argument: a number, an lipc object or a standard Lua file. */
int lipc_checkfd (lua_State *L, int arg);

/* The same of any value: NULL, or what is wrong with it (pushed, or a constant). */
const char *lipc_tofd (lua_State *L, int idx, int *ret_fd);

/* For fromfd functions: refuses (misuse) what is no open descriptor; fills h->io and h->access and
** leaves storing h->fd to the caller, after its own test of the type. */
int lipc_adopt (lua_State *L, int arg, struct lipc_handle *h, struct lipcsys_fdinfo *ret_info);

/* The whole of a fromfd whose descriptors are told by one test.  what: "an eventfd", for the message;
** access: the directions that they are open for. */
int lipc_fromfd (lua_State *L, const struct lipc_class *cls, bool (*is_one)(int fd),
                 const char *what, unsigned access);

/* Closes now, without waiting; wakes whoever waits on it.  0 or a negative errno. */
int lipc_shut (lua_State *L, struct lipc_handle *h);

/* ---- failures ---- */

/* Pushes nil, "op object: reason", "CODE"; returns 3.  err is negative; object may be NULL. */
int lipc_fail (lua_State *L, const char *op, const char *object, int err);

/* The same with a note in brackets behind the reason: which limit was hit and how to raise it.  NULL: none, but for
** that of descriptors ("EMFILE", "ENFILE"), which all failures name by themselves. */
int lipc_failnote (lua_State *L, const char *op, const char *object, int err, const char *note);

/* The same of a method: "label:op name: reason", of the object at index 1. */
int lipc_failself (lua_State *L, const char *op, int err);
int lipc_failselfnote (lua_State *L, const char *op, int err, const char *note);

/* For constructors that find something with other properties than they were asked for: "EINVAL", and the note
** "slots is 5, 6 asked for".  This is the one rule: what is there is compared with what the caller says that it
** is, whether it may be made or not; what he does not say, and what it holds or may be used by (a value, a
** mode), is not; nor are maxmsg and msgsize of a queue, as in mq_open(3).  What is of another kind, or nobody's, is "EPROTO". */
int lipc_failother (lua_State *L, const char *op, const char *object, const char *what,
                    const char *there, const char *asked);
int lipc_failothern (lua_State *L, const char *op, const char *object, const char *what,
                     lua_Integer there, lua_Integer asked);
void lipc_noteother (char *note, size_t size, const char *what, const char *there,
                     const char *asked);

/* Pushes true and returns 1, or fails. */
int lipc_result (lua_State *L, const char *op, int err);

/* Sets a field of the table on top. */
void lipc_setinteger (lua_State *L, const char *name, lua_Integer n);

/* ---- options ---- */

/* The options table at idx (may be absent): raises on a key that is not in names (NULL-ended).  In the
** place of one with a metatable it puts a plain copy: metamethods are asked once, and what they made
** up lives as long as the table. */
void lipc_checkopts (lua_State *L, int idx, const char *const names[]);

/* Copies these options, metamethods asked, from the table at idx to the plain one on top. */
void lipc_copyopts (lua_State *L, int idx, const char *const names[]);
lua_Integer lipc_optint (lua_State *L, int idx, const char *name, lua_Integer lo, lua_Integer hi,
                         lua_Integer dflt);
/* Permission bits up to `most`, which is 0777 or 07777.  Lua has no octal numbers, so that they are digits
** in a string, "0640"; or an integer. */
unsigned lipc_optmode (lua_State *L, int idx, const char *name, unsigned most, unsigned dflt);
/* The same of any value: LIPC_NOMODE: neither of the two; LIPC_BADMODE: out of range. */
#define LIPC_NOMODE  (-1)
#define LIPC_BADMODE (-2)
lua_Integer lipc_tomode (lua_State *L, int idx, lua_Integer most);
double lipc_optseconds (lua_State *L, int idx, const char *name, double dflt);
bool lipc_optbool (lua_State *L, int idx, const char *name, bool dflt);
/* The string stays valid while the table has it. */
const char *lipc_optstring (lua_State *L, int idx, const char *name, const char *dflt);
/* A string argument without NUL inside. */
const char *lipc_checkpath (lua_State *L, int arg);

/* The name of a POSIX message queue, semaphore or shared memory object: "/" and at most max bytes
** without another "/"; anything else is misuse.  -- see mq_overview(7), sem_overview(7) */
const char *lipc_checkname (lua_State *L, int arg, size_t max);

/* The last argument, at idx, is a timeout or a table of options with `timeout` among them: leaves the
** table or nil at idx and the timeout at idx + 1, which is the top, as lipc_drive wants it. */
void lipc_splitopts (lua_State *L, int idx, const char *const names[]);

/* ---- memory ---- */

/* For what is handed out once although pushing it may fail: it is kept until lua_pushlstring has returned.
** That runs finalisers, after it has made the string; one that uses the same object then must not find
** there what is on its way already.  Raises if this is one: the object keeps what it has. */
void lipc_checkfinaliser (lua_State *L);

/* The state's own allocator: realloc, or free when nsize is 0.  lipc_realloc raises when there is
** no memory, lipc_tryrealloc returns NULL. */
void *lipc_realloc (lua_State *L, void *p, size_t osize, size_t nsize);
void *lipc_tryrealloc (lua_State *L, void *p, size_t osize, size_t nsize);

/* ---- one per Lua state ---- */

/* Somebody who keeps descriptors in a set of his own and must hear of a close before it happens. */
struct lipc_watch {
  struct lipc_watch *next, **link;
  void (*forget)(struct lipc_watch *w, int fd);
};

#define LIPC_SCRATCH 65536

struct lipc_state {
  lua_State *main;
  int wakefd; /* readable when a signal callback is due; -1: none */
  void (*dispatch)(lua_State *L); /* runs what is due; may raise.  Set by the signal binding */
  struct lipc_watch *watches;
  char *scratch; /* LIPC_SCRATCH bytes for one system call's data, valid until the next call */
};

struct lipc_state *lipc_getstate (lua_State *L);
/* Pushes the registry's table with weak keys, values or both that has this key, an address. */
void lipc_pushweak (lua_State *L, const void *key, const char *mode);
char *lipc_scratch (lua_State *L);
void lipc_watch (lua_State *L, struct lipc_watch *w);
void lipc_unwatch (struct lipc_watch *w);

/* A scheduler or poller is about to know this object's descriptor.  The first time, the schedulers
** forget what they may have kept about another one of that number, which was closed unseen. */
void lipc_watched (lua_State *L, struct lipc_handle *h);

/* ---- waiting ---- */

/* An operation that may wait.  The step tries once.  Its arguments are at 1 .. t-1 (the object at
** 1), the deadline is at t, t+1 is the driver's, its own values start at t+2 and are kept between
** attempts.  It returns how many results it pushed, or lipc_again(events). */
struct lipc_op {
  const char *name; /* "read", for messages */
  int (*step)(lua_State *L, int t);
  /* LIPC_IN, LIPC_OUT: needs that direction, and it is ours until the call ends; 0: none */
  unsigned owns;
  /* What to return when the wait came to nothing: -ETIMEDOUT, -ECANCELED (closed meanwhile) or
  ** the error of the wait itself.  NULL: nil, message, code. */
  int (*giveup)(lua_State *L, int t, int err);
};

#define lipc_again(events) (-(int)(events)-1)

/* For what nothing can be polled for, or not everything: as lipc_again(events), but after a pause at
** the latest, which grows during the call from 50 us to 10 ms.  events may be 0. */
#define LIPC_PAUSE         4u
#define lipc_pause(events) lipc_again(LIPC_PAUSE | (events))

/* How many results a class's block pushed, where there may be none. */
#define LIPC_NORESULTS INT32_MAX
static inline int lipc_done (int n) { return n > 0 ? n : LIPC_NORESULTS; }

/* What a class's block does for an operation where only time can tell. */
int lipc_nap (lua_State *L, double seconds);

/* As lipc_again, waiting for another descriptor than the object's own; with is its object or NULL. */
int lipc_again_on (struct lipc_handle *h, int fd, struct lipc_handle *with, unsigned events);

/* The only loop: checks the object at 1 as lipc_checkopen does, tries, waits (in the scheduler of
** this coroutine, or in poll), tries again.  t is the index of the timeout argument, which becomes
** the deadline. */
int lipc_drive (lua_State *L, const struct lipc_op *op, int t);

/* The same for a constructor that waits: it has put its new object (LIPC_NOFD or a descriptor, so
** that it counts as open) at index 1 itself; its op has a giveup of its own that gives it back. */
int lipc_drivenew (lua_State *L, const struct lipc_op *op, int t);

/* with(fn): a method that takes something, calls the function at index fn with the object, and gives
** back what it took when that ends, by whatever way.  lipc_with is lipc_drive for it (fn < t); the step
** ends in lipc_held once it has what it wants, which returns what the function returned; so may block,
** by lipc_done.  release: never raises; the object may be closed by then.  A forked child that leaves
** the call gives nothing back.  What release must know more is a user value of the guard, which is at
** t-1 in the step and at 1 in release.  The guard keeps the coroutine of the call: an object that did so too
** would keep one that nobody goes on with from being collected, and then it is never given back. */
#define LIPC_HELD_UV        2
#define LIPC_HELD_COROUTINE 3
int lipc_with (lua_State *L, const struct lipc_op *op, int t,
               void (*release)(lua_State *L, struct lipc_handle *h));
int lipc_held (lua_State *L, int fn, int t);
/* The same with a second argument for the function. */
int lipc_heldnote (lua_State *L, int fn, int t, const char *note);

/* Seconds at idx: nil is dflt; negative and NaN are misuse. */
double lipc_checktimeout (lua_State *L, int idx, double dflt);

/* Lets a pending debug hook (Ctrl-C) and due signal callbacks run; may raise. */
void lipc_interrupts (lua_State *L);

/* Pushes the waiter of this coroutine if it has one and may yield now. */
bool lipc_pushwaiter (lua_State *L);

/* Whether the loop of any scheduler is running on this thread.  Never raises. */
bool lipc_anyrunning (lua_State *L);

/* The function ipc.setwaiter. */
int lipc_setwaiter (lua_State *L);

/* Wakes all that wait on fd in any scheduler of this state. */
void lipc_cancel (lua_State *L, int fd);

/* Forgets every scheduler: for a forked child, which runs under none. */
void lipc_forgetschedulers (lua_State *L);

/* ---- mechanisms ---- */

/* Each pushes its module table; called once, on first use. */
#define LIPC_MODULE(name) int lipc_open_##name(lua_State *L);
#include "modules.def"
#undef LIPC_MODULE

#pragma GCC visibility pop
#endif
