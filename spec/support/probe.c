/* probe.c - what the leak check cannot read from /proc by plain Lua: signal dispositions with their
** handlers, the mask, descriptors with their flags, directories, and a pause.  For specs only.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lua.h"
#include "lauxlib.h"

/* dispositions() -> {[signal] = "handler flags mask"} */
static int l_dispositions (lua_State *L) {
  lua_newtable(L);
  for (int s = 1; s < NSIG; s++) {
    struct sigaction sa;
    if (sigaction(s, NULL, &sa) != 0) continue; /* the two that threads keep for themselves */
    unsigned long long mask = 0;
    for (int m = 1; m < NSIG; m++)
      if (sigismember(&sa.sa_mask, m) == 1) mask |= 1ULL << (m - 1);
    void (*h)(int) = sa.sa_handler;
    lua_pushfstring(L, "%s", h == SIG_DFL ? "default" : h == SIG_IGN ? "ignored" : "handler");
    if (h != SIG_DFL && h != SIG_IGN) {
      char more[80];
      snprintf(more, sizeof more, " %p flags %x mask %llx", (void *)(size_t)h,
               (unsigned)sa.sa_flags, mask);
      lua_pushstring(L, more);
      lua_concat(L, 2);
    }
    lua_rawseti(L, -2, s);
  }
  return 1;
}

/* mask() -> the blocked signals of this thread as a hexadecimal string */
static int l_mask (lua_State *L) {
  sigset_t set;
  unsigned long long mask = 0;
  sigprocmask(SIG_BLOCK, NULL, &set);
  for (int m = 1; m < NSIG; m++)
    if (sigismember(&set, m) == 1) mask |= 1ULL << (m - 1);
  char hex[24];
  snprintf(hex, sizeof hex, "%llx", mask);
  lua_pushstring(L, hex);
  return 1;
}

/* altstack() -> "none" | "address size": the alternate signal stack of this thread */
static int l_altstack (lua_State *L) {
  stack_t ss;
  char text[60];
  sigaltstack(NULL, &ss);
  snprintf(text, sizeof text, "%p %zu", ss.ss_sp, ss.ss_size);
  lua_pushstring(L, (ss.ss_flags & SS_DISABLE) ? "none" : text);
  return 1;
}

/* list(dir) -> array of names | nil, message */
static int l_list (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  DIR *d = opendir(path);
  if (!d) return luaL_fileresult(L, 0, path);
  lua_newtable(L);
  lua_Integer n = 0;
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    lua_pushstring(L, e->d_name);
    lua_rawseti(L, -2, ++n);
  }
  closedir(d);
  return 1;
}

/* mqueues() -> array of names | nil: the message queues there are, whether /dev/mqueue is mounted or not:
** in a file system of their own that nobody else sees, for which one has to be root */
static int l_mqueues (lua_State *L) {
#ifdef SYS_fsmount
  char path[40];
  int fs = (int)syscall(SYS_fsopen, "mqueue", 1); /* FSOPEN_CLOEXEC */
  if (fs < 0) return 0;
  syscall(SYS_fsconfig, fs, 6, NULL, NULL, 0); /* FSCONFIG_CMD_CREATE */
  int root = (int)syscall(SYS_fsmount, fs, 1, 0); /* FSMOUNT_CLOEXEC */
  close(fs);
  if (root < 0) return 0;
  snprintf(path, sizeof path, "/proc/self/fd/%d", root);
  lua_pushcfunction(L, l_list);
  lua_pushstring(L, path);
  lua_call(L, 1, 1);
  close(root);
  return 1;
#else
  (void)L;
  return 0;
#endif
}

/* fds() -> {[fd] = "target flags"}, without the one used for looking */
static int l_fds (lua_State *L) {
  DIR *d = opendir("/proc/self/fd");
  if (!d) return luaL_fileresult(L, 0, "/proc/self/fd");
  lua_newtable(L);
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    char target[512], path[64];
    int fd = atoi(e->d_name);
    if (e->d_name[0] == '.' || fd == dirfd(d)) continue;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof target);
    if (n < 0) n = 0;
    lua_pushlstring(L, target, (size_t)n);
    lua_pushfstring(L, " flags %d%s", fcntl(fd, F_GETFL) & ~O_LARGEFILE,
                    fcntl(fd, F_GETFD) & FD_CLOEXEC ? " cloexec" : "");
    lua_concat(L, 2);
    lua_rawseti(L, -2, fd);
  }
  closedir(d);
  return 1;
}

/* readlink(path) -> string | nil, message */
static int l_readlink (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  char target[4096];
  ssize_t n = readlink(path, target, sizeof target);
  if (n < 0) return luaL_fileresult(L, 0, path);
  lua_pushlstring(L, target, (size_t)n);
  return 1;
}

/* pause(seconds): between two looks at something that is on its way to vanish */
static int l_pause (lua_State *L) {
  lua_Number s = luaL_checknumber(L, 1);
  struct timespec t = {(time_t)s, (long)((s - (lua_Number)(time_t)s) * 1e9)};
  while (nanosleep(&t, &t) != 0 && errno == EINTR) {}
  return 0;
}

/* now() -> seconds on the monotonic clock */
static int l_now (lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
  return 1;
}

static int l_getpid (lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

static int l_getuid (lua_State *L) {
  lua_pushinteger(L, getuid());
  return 1;
}

/* Ways to misbehave, with which the leak check itself is tested. */

/* ignore(signal): leaves a disposition changed */
static int l_ignore (lua_State *L) {
  signal((int)luaL_checkinteger(L, 1), SIG_IGN);
  return 0;
}

/* block(signal): leaves the mask changed */
static int l_block (lua_State *L) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, (int)luaL_checkinteger(L, 1));
  sigprocmask(SIG_BLOCK, &set, NULL);
  return 0;
}

/* exec(path, arg ...) -> message: becomes that program, or returns */
static int l_exec (lua_State *L) {
  char *argv[8] = {NULL};
  for (int i = 1; i <= 7 && !lua_isnoneornil(L, i); i++)
    argv[i - 1] = (char *)luaL_checkstring(L, i);
  execvp(argv[0], argv);
  lua_pushstring(L, strerror(errno));
  return 1;
}

/* fork([zombie]) -> pid: leaves a child behind, running for a minute or dead and not waited for */
static int l_fork (lua_State *L) {
  int zombie = lua_toboolean(L, 1);
  pid_t pid = fork();
  if (pid == 0) {
    if (!zombie) sleep(60);
    _exit(0);
  }
  siginfo_t si;
  while (zombie && waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT) < 0 && errno == EINTR) continue;
  lua_pushinteger(L, pid);
  return 1;
}

/* inchild(f) -> status: calls f in a forked child, which ends without closing the state; waits for it */
static int l_inchild (lua_State *L) {
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) _exit(lua_pcall(L, lua_gettop(L) - 1, 0, 0) == LUA_OK ? 0 : 1);
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  lua_pushinteger(L, status);
  return 1;
}

/* forkhere(): both processes go on */
static int l_forkhere (lua_State *L) {
  if (fork() < 0) return luaL_error(L, "fork");
  return 0;
}

/* waitall(): until there are no more children */
static int l_waitall (lua_State *L) {
  (void)L;
  while (wait(NULL) >= 0 || errno == EINTR) {}
  return 0;
}

/* forkrun() -> 0 in the child, its process id in the parent: a plain fork(2), as a host makes it */
static int l_forkrun (lua_State *L) {
  lua_pushinteger(L, fork());
  return 1;
}

/* reap(pid) -> status of waitpid(2) */
static int l_reap (lua_State *L) {
  int status = -1;
  while (waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0) < 0 && errno == EINTR) {}
  lua_pushinteger(L, status);
  return 1;
}

/* readable(fd) -> boolean, now: as a poller that knows nothing of lipc sees it */
static int l_readable (lua_State *L) {
  struct pollfd p = {(int)luaL_checkinteger(L, 1), POLLIN, 0};
  lua_pushboolean(L, poll(&p, 1, 0) == 1 && p.revents == POLLIN);
  return 1;
}

static int l_dup (lua_State *L) {
  lua_pushinteger(L, dup((int)luaL_checkinteger(L, 1)));
  return 1;
}

static int l_close (lua_State *L) {
  lua_pushboolean(L, close((int)luaL_checkinteger(L, 1)) == 0);
  return 1;
}

static int l_chdir (lua_State *L) {
  return luaL_fileresult(L, chdir(luaL_checkstring(L, 1)) == 0, NULL);
}

static int l_umask (lua_State *L) {
  lua_pushinteger(L, umask((mode_t)luaL_checkinteger(L, 1)));
  return 1;
}

static void *sleeper (void *unused) {
  sleep(60);
  return unused;
}

static int l_thread (lua_State *L) {
  pthread_t t;
  if (pthread_create(&t, NULL, sleeper, NULL) != 0) return luaL_error(L, "pthread_create");
  pthread_detach(t);
  return 0;
}

/* map(): a mapping of a memfd that is already closed */
static int l_map (lua_State *L) {
  int fd = memfd_create("lipc-probe", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 4096) != 0) return luaL_error(L, "memfd_create");
  void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (p == MAP_FAILED) return luaL_error(L, "mmap");
  return 0;
}

static volatile sig_atomic_t handled;

static void count_signal (int sig) {
  (void)sig;
  handled = handled + 1;
}

/* handle(signal): installs a handler that counts; handled() -> how often it ran */
static int l_handle (lua_State *L) {
  signal((int)luaL_checkinteger(L, 1), count_signal);
  return 0;
}

static int l_handled (lua_State *L) {
  lua_pushinteger(L, handled);
  return 1;
}

/* deny([what]) -> true | nil: from now on this process is on a kernel that knows no flag of preadv2 and
** pwritev2, or no "tmpfile", O_TMPFILE of openat: they fail with EOPNOTSUPP */
static int l_deny (lua_State *L) {
  struct sock_filter tmpfile[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_filter code[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev2, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_preadv2, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog prog = {sizeof code / sizeof *code, code};
  if (lua_toboolean(L, 1)) prog = (struct sock_fprog){sizeof tmpfile / sizeof *tmpfile, tmpfile};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0)
    return 0;
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg funcs[] = {
  {"dispositions", l_dispositions},
  {"mask", l_mask},
  {"altstack", l_altstack},
  {"list", l_list},
  {"mqueues", l_mqueues},
  {"fds", l_fds},
  {"readlink", l_readlink},
  {"pause", l_pause},
  {"now", l_now},
  {"getpid", l_getpid},
  {"getuid", l_getuid},
  {"ignore", l_ignore},
  {"block", l_block},
  {"exec", l_exec},
  {"fork", l_fork},
  {"inchild", l_inchild},
  {"forkhere", l_forkhere},
  {"waitall", l_waitall},
  {"forkrun", l_forkrun},
  {"reap", l_reap},
  {"readable", l_readable},
  {"dup", l_dup},
  {"close", l_close},
  {"chdir", l_chdir},
  {"umask", l_umask},
  {"thread", l_thread},
  {"map", l_map},
  {"handle", l_handle},
  {"handled", l_handled},
  {"deny", l_deny},
  {NULL, NULL},
};

int luaopen_support_probe (lua_State *L);
int luaopen_support_probe (lua_State *L) {
  luaL_newlib(L, funcs);
  return 1;
}
