/* sys_ipc.h - the part of lipc_sys.h that is about the kernel's message queues, semaphores, segments
** and locks; include that.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SYS_IPC_H
#define LIPC_SYS_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* ---- waits that the kernel gives no time limit ---- */

/* A call that blocks; wait false: one attempt that does not, -EAGAIN when it would. */
typedef int lipcsys_call (void *arg, bool wait);

/* Tries a few times, giving way to others between; then makes the blocking call, but for at most that
** long (finite): what it returned; -EINTR: the time is over, or a signal came.  The thread sleeps in
** the kernel and is woken by a timer with SIGURG, which means nothing to anybody while its disposition
** is the default, and for that time has a handler that does nothing.  Where SIGURG is blocked or is
** somebody's, the call is tried after pauses that grow from 50 us to 5 ms.
** -- see timer_create(2), msgrcv(2), flock(2), fcntl(2) F_OFD_SETLKW */
int lipcsys_bounded (double seconds, lipcsys_call *call, void *arg);

/* A limit of the kernel as text, from /proc/sys/<name> ("kernel/msgmni"); "?" where it is not told. */
const char *lipcsys_limit (const char *name, char *buf, size_t size);

/* What getrlimit(2) says of "msgqueue", "nofile" ...; UINT64_MAX: unlimited. */
int lipcsys_rlimitnow (const char *name, uint64_t *ret_n);

/* The limit that -EMFILE or -ENFILE is about, with its value; NULL: the error is another. */
const char *lipcsys_filelimit (int err, char *buf, size_t size);

/* ---- POSIX message queues ---- */

#define LIPC_MQ_NAMEMAX  255 /* bytes behind the '/' */
#define LIPC_MQ_PRIO_MAX 32768 /* priorities are below it */
#define LIPC_MQ_DIR      "/dev/mqueue" /* where the queues are files, if they are anywhere */

struct lipcsys_mqattr {
  long maxmsg, msgsize, curmsgs;
  bool nonblock;
};

struct lipcsys_fileid;

/* Opens, close-on-exec and O_NONBLOCK; the descriptor can be polled.  Names begin with '/'.  make NULL:
** one that exists; else makes it with these attributes and mode (less the umask), -EEXIST if it exists.
** -- see mq_open(3) */
int lipcsys_mqopen (const char *name, unsigned access, unsigned mode,
                    const struct lipcsys_mqattr *make, int *ret_fd);

/* What a new queue gets where nothing is asked for.  -- see mq_overview(7) */
void lipcsys_mqdefault (struct lipcsys_mqattr *ret_attr);

/* -EBADF: no message queue.  -- see mq_getattr(3) */
int lipcsys_mqgetattr (int fd, struct lipcsys_mqattr *ret_attr);
int lipcsys_mqsetattr (int fd, bool nonblock);

/* One attempt that never blocks, in whatever mode the descriptor is; -EAGAIN.  -EMSGSIZE: longer than the
** queue takes, or size is less than its msgsize.  EINTR is retried here.  -- see mq_send(3), mq_receive(3) */
int lipcsys_mqsend (int fd, const void *data, size_t size, unsigned prio);
int lipcsys_mqreceive (int fd, void *buf, size_t size, size_t *ret_n, unsigned *ret_prio);

/* The signal comes once, when a message comes to the empty queue and nobody waits in the kernel for it.
** signo 0: takes that back.  -EBUSY: a process is registered already.  -- see mq_notify(3) */
int lipcsys_mqnotify (int fd, int signo, int value);

/* only: not NULL: if it is this very queue, -ENOENT else.  What cannot be opened is not looked at.
** -- see mq_unlink(3) */
int lipcsys_mqunlink (const char *name, const struct lipcsys_fileid *only);

/* How many bytes of RLIMIT_MSGQUEUE a queue takes.  -- see getrlimit(2) */
uint64_t lipcsys_mqbytes (const struct lipcsys_mqattr *attr);

enum lipcsys_mqnotice { LIPC_MQ_NOBODY, LIPC_MQ_SIGNAL, LIPC_MQ_NOTHING, LIPC_MQ_THREAD };

struct lipcsys_mqinfo {
  char name[LIPC_MQ_NAMEMAX + 2]; /* with its '/' */
  unsigned mode;
  uid_t uid;
  gid_t gid;
  bool readable; /* what follows is known */
  uint64_t size; /* bytes queued */
  struct lipcsys_mqattr attr;
  enum lipcsys_mqnotice notice; /* what is asked for by pid */
  int signo; /* LIPC_MQ_SIGNAL */
  pid_t pid;
};

/* All queues, by name: at most max are stored, *ret_n is how many there are.  -ENOENT: LIPC_MQ_DIR is not
** there, or nothing is mounted on it.  -- see mq_overview(7) */
int lipcsys_mqlist (struct lipcsys_mqinfo *list, size_t max, size_t *ret_n);

/* ---- System V: what the three kinds share ---- */

/* As struct ipc_perm has it.  -- see sysvipc(7) */
struct lipcsys_sysvperm {
  int32_t key;
  uint32_t uid, gid, cuid, cgid;
  unsigned mode; /* the nine permission bits */
};

#define LIPC_IPC_PRIVATE 0

/* How an object is to be opened, or made. */
struct lipcsys_sysvopen {
  int32_t key;
  unsigned mode; /* of one that is made; the umask has no say */
  bool create, exclusive;
  size_t n; /* the size of a segment, the number of semaphores */
  int flags; /* what the kind has more of them, as SHM_HUGETLB */
};

/* msgget, shmget or semget: the id or a negative errno.  flags have IPC_CREAT and so on. */
typedef int lipcsys_sysvget (int32_t key, size_t n, int flags);

/* Opens or makes it; *ret_made: it was not there before.  Others may make and remove it at the same
** time.  -ENOENT, -EEXIST, -EACCES, -ENOSPC ...  -- see msgget(2), shmget(2), semget(2) */
int lipcsys_sysv_open (const struct lipcsys_sysvopen *o, lipcsys_sysvget *get, int *ret_id,
                       bool *ret_made);

/* -- see ftok(3) */
int lipcsys_ftok (const char *path, int proj, int32_t *ret_key);

/* The kernel's table of all objects of a kind ("msg", "shm", "sem") as text, a header line first.
** and a zero at the end.  -ENOBUFS: that is more than size bytes.  -- see proc(5) /proc/sysvipc */
int lipcsys_sysv_table (const char *kind, char *buf, size_t size, size_t *ret_n);

/* The login name of a user, written into buf; NULL when there is none. */
const char *lipcsys_username (uint32_t uid, char *buf, size_t size);

/* ---- System V message queues ---- */

/* A message as the kernel wants it: its type, and the bytes behind it, which the size counts alone. */
struct lipcsys_msg {
  long type;
  char data[];
};

struct lipcsys_msgstat {
  struct lipcsys_sysvperm perm;
  uint64_t qnum, qbytes, cbytes; /* messages; bytes that may be and that are in the queue */
  long lspid, lrpid;
  int64_t stime, rtime, ctime;
};

lipcsys_sysvget lipcsys_msgget;

/* One attempt, or as long as it takes.  -EAGAIN, -EIDRM, -EINVAL, -EACCES, -EINTR.  -- see msgsnd(2) */
int lipcsys_msgsnd (int id, const struct lipcsys_msg *m, size_t size, bool wait);

#define LIPC_MSG_EXCEPT   1u /* the first of another type */
#define LIPC_MSG_TRUNCATE 2u
#define LIPC_MSG_COPY     4u /* leaves it; type is an index, from 0 */

/* The message's bytes, at most size, or -E2BIG: it stays.  -EAGAIN (there is none), -EIDRM, -EINTR;
** LIPC_MSG_COPY: -ENOMSG, -ENOSYS.  -- see msgrcv(2) */
int lipcsys_msgrcv (int id, struct lipcsys_msg *m, size_t size, long type, unsigned how, bool wait,
                    size_t *ret_n);

/* -EIDRM when there is none (any more) of that id.  -- see msgctl(2) */
int lipcsys_msgstat (int id, struct lipcsys_msgstat *ret_stat);
int lipcsys_msgset (int id, const struct lipcsys_msgstat *stat); /* uid, gid, mode, qbytes */
int lipcsys_msgrm (int id);

/* ---- System V shared memory ---- */

struct lipcsys_shmstat {
  struct lipcsys_sysvperm perm;
  uint64_t size, nattch;
  long cpid, lpid;
  int64_t atime, dtime, ctime;
  bool dest, locked; /* goes with the last who detaches; never swapped out */
};

lipcsys_sysvget lipcsys_shmget;

/* The flag of lipcsys_sysvopen for pages of the hugepage pool; 0: there is none here. */
int lipcsys_shmhuge (void);

/* -- see shmat(2), shmdt(2) */
int lipcsys_shmat (int id, bool readonly, void **ret_addr);
int lipcsys_shmdt (void *addr);

/* As those of the queues.  -- see shmctl(2) */
int lipcsys_shmstat (int id, struct lipcsys_shmstat *ret_stat);
int lipcsys_shmset (int id, const struct lipcsys_sysvperm *perm);
int lipcsys_shmrm (int id);

/* ---- System V semaphore sets ---- */

#define LIPC_SEMVMX 32767 /* the greatest value, of every kernel */

struct lipcsys_semstat {
  struct lipcsys_sysvperm perm;
  uint64_t nsems;
  int64_t otime, ctime; /* otime 0: nobody has done an operation since it was made */
};

/* One operation of a list, laid out as the kernel's struct sembuf; flags are those of semflags. */
struct lipcsys_semop {
  uint16_t num; /* from 0 */
  int16_t by;
  int16_t flags;
};
int16_t lipcsys_semflags (bool undo, bool nowait);

lipcsys_sysvget lipcsys_semget;

/* All of the list or nothing.  -EAGAIN: the first that cannot be done is a nowait one.  -EIDRM, -EINTR,
** -ERANGE, -E2BIG, -ENOSPC, -EACCES.  -- see semop(2) */
int lipcsys_semop (int id, const struct lipcsys_semop *ops, size_t n);
/* The same, for at most that long (finite).  -ETIMEDOUT when that is over.  -- see semtimedop(2) */
int lipcsys_semtimedop (int id, const struct lipcsys_semop *ops, size_t n, double seconds);

/* As those of the queues.  -- see semctl(2) */
int lipcsys_semstat (int id, struct lipcsys_semstat *ret_stat);
int lipcsys_semset (int id, const struct lipcsys_sysvperm *perm);
int lipcsys_semrm (int id);

/* num from 0.  -- see semctl(2) GETVAL, GETNCNT, GETZCNT, GETPID, SETVAL, GETALL, SETALL */
enum lipcsys_semget { LIPC_SEM_VAL, LIPC_SEM_NCNT, LIPC_SEM_ZCNT, LIPC_SEM_PID };
int lipcsys_semget1 (int id, unsigned num, enum lipcsys_semget what, int *ret_value);
int lipcsys_semset1 (int id, unsigned num, int value);
int lipcsys_semgetall (int id, uint16_t *values);
int lipcsys_semsetall (int id, const uint16_t *values);

/* The limits of semaphore sets: SEMMSL, SEMMNS, SEMOPM, SEMMNI.  false: not told. */
bool lipcsys_semlimits (long ret_limits[4]);

/* ---- POSIX semaphores ---- */

struct lipcsys_sem; /* sem_t */

#define LIPC_SEM_NAMEMAX 251 /* behind the "/": the C library puts "sem." before it */

/* The greatest value. */
unsigned lipcsys_semmax (void);

struct lipcsys_semopen {
  const char *name;
  unsigned mode, initial;
  bool create, exclusive;
};

/* Opens or makes it; *ret_made: it was not there.  Others may make and remove it at the same time.
** *ret_id tells it from another of that name, zeros where nothing does.  -EINVAL: what has that name is
** too small for a semaphore, or no regular file.  -- see sem_open(3), sem_overview(7) */
int lipcsys_semopen (const struct lipcsys_semopen *o, struct lipcsys_sem **ret_sem, bool *ret_made,
                     struct lipcsys_fileid *ret_id);
int lipcsys_semclose (struct lipcsys_sem *sem);

/* Guards its memory, as lipcsys_guard does, until lipcsys_unguard. */
struct lipcsys_guard;
int lipcsys_semguard (struct lipcsys_sem *sem, struct lipcsys_guard **ret_guard,
                      const _Atomic bool **ret_lost);

/* only: removes it only if it is still that one; NULL: whichever.  -- see sem_unlink(3) */
int lipcsys_semunlink (const char *name, const struct lipcsys_fileid *only);

/* One without a name, in shared memory, which is a struct lipcsys_sem then.  -- see sem_init(3) */
#define LIPC_SEM_SIZE 64 /* room for one */
size_t lipcsys_semsize (void); /* what one takes */
int lipcsys_seminit (void *memory, unsigned value);

/* -EAGAIN when it is 0. */
int lipcsys_semtry (struct lipcsys_sem *sem);
/* Waits for at most that long (finite).  -ETIMEDOUT, -EINTR.  -- see sem_clockwait(3) */
int lipcsys_semwait (struct lipcsys_sem *sem, double seconds);
/* -EOVERFLOW: it has the greatest value. */
int lipcsys_sempost (struct lipcsys_sem *sem);
int lipcsys_semvalue (struct lipcsys_sem *sem);

/* Which limit an error of lipcsys_semopen is about, or NULL. */
const char *lipcsys_semnote (int err, char *buf, size_t size);

/* ---- file locks ---- */

enum { LIPC_LK_FLOCK, LIPC_LK_OFD, LIPC_LK_POSIX };
enum { LIPC_LK_NONE, LIPC_LK_SHARED, LIPC_LK_EXCLUSIVE };

/* A lock: flock(2)'s of a whole file, or a record lock, of the open file description or the process. */
struct lipcsys_lock {
  int kind; /* LIPC_LK_FLOCK ... */
  int mode; /* LIPC_LK_NONE: unlocks */
  int64_t start,
    length; /* of record locks, in bytes; length 0: to the end, wherever that will be */
};

/* Opens what is to be locked: close-on-exec, never blocking, never emptied, no symbolic link followed
** as the last part (-ELOOP).  -- see open(2) */
int lipcsys_openlock (const char *path, unsigned access, bool create, bool exclusive, unsigned mode,
                      int *ret_fd);

/* Takes, converts or gives back.  wait false: -EAGAIN while somebody else is in the way.  wait true: a
** signal ends it (-EINTR).  -EDEADLK (POSIX, waiting), -ENOLCK, -EBADF (not open for that).
** -- see flock(2), fcntl(2) F_OFD_SETLK, F_SETLK */
int lipcsys_setlock (int fd, const struct lipcsys_lock *l, bool wait);

#define LIPC_MAXHOLDERS 32

struct lipcsys_holder {
  int kind, mode;
  int64_t start, length;
  int npids; /* 0: it cannot be told */
  long pids[LIPC_MAXHOLDERS];
};

/* Who would be in the way, without touching anything: 0 (nobody) or 1 (*ret_holder is one of them).
** Of flock(2) locks and of pids only /proc knows.  -- see fcntl(2) F_OFD_GETLK, proc(5) fdinfo, locks */
int lipcsys_testlock (int fd, const struct lipcsys_lock *l, struct lipcsys_holder *ret_holder);

/* The mode of the flock(2) lock that the open file description holds; LIPC_LK_NONE also where it
** cannot be told. */
int lipcsys_ownlock (int fd);

/* A lock file: opened, or made with that mode, to read and write.  -EINVAL: something else has that name. */
int lipcsys_openlockfile (const char *path, unsigned mode, int *ret_fd);

/* Whether the path names that very file. */
bool lipcsys_isnamed (int fd, const char *path);

/* The number in a lock file, whoever wrote it; 0: none that could be a pid. */
long lipcsys_readpid (int fd);

/* Whether the file is empty or begins with a number, and is short. */
bool lipcsys_islockfile (int fd);

/* Empties the file and writes this process's pid into it, if pid is true. */
int lipcsys_writepid (int fd, bool pid);

/* Whether there is such a process that is not this one. */
bool lipcsys_otherlives (long pid);

/* Removes the path if it names that very file. */
int lipcsys_unlinklock (int fd, const char *path);

#pragma GCC visibility pop
#endif
