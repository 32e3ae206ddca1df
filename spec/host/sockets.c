/* A host that stands between the module and the C library: the module finds its functions first.
** Names under .test are answered by its own getaddrinfo; bind, unlink and sendmsg can be watched.
** sockets script [argument ...] runs the script with, as globals,
**   release()         lets the look-ups of "slow.test" go on; until then they block, as those of a
**                     name server that does not answer do
**   waiting()      -> how many do
**   answers(list)     the numeric addresses that "many.test" has from now on
**   mask()         -> the signals that were not blocked in the thread of the last look-up
**   boundmode()    -> the mode that the last path had at the moment when bind made it
**   sends()        -> how often sendmsg was called
**   holdunlink(fd)    from now on unlink says so on the output and waits until fd is readable
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static int blocked, released, unblocked_signals;
static char addresses[8][64];
static int count;

typedef int lookup_function (const char *, const char *, const struct addrinfo *,
                             struct addrinfo **);

static void look_at_mask (void) {
  sigset_t set;
  pthread_sigmask(SIG_SETMASK, NULL, &set);
  unblocked_signals = 0;
  for (int s = 1; s <= SIGRTMAX; s++)
    if (s != SIGKILL && s != SIGSTOP && (s < 32 || s >= SIGRTMIN) && !sigismember(&set, s))
      unblocked_signals++;
}

int getaddrinfo (const char *host, const char *port, const struct addrinfo *hints,
                 struct addrinfo **ret) {
  lookup_function *real = (lookup_function *)(size_t)dlsym(RTLD_NEXT, "getaddrinfo");
  struct addrinfo *head = NULL, **end = &head;
  int e = 0;
  if (strcmp(host, "slow.test") == 0) {
    pthread_mutex_lock(&lock);
    look_at_mask();
    blocked++;
    while (!released) pthread_cond_wait(&change, &lock);
    blocked--;
    pthread_mutex_unlock(&lock);
    return real("127.0.0.1", port, hints, ret);
  }
  if (strcmp(host, "again.test") == 0) return EAI_AGAIN;
  if (strcmp(host, "memory.test") == 0) return EAI_MEMORY;
  if (strcmp(host, "none.test") == 0) return EAI_NONAME;
  if (strcmp(host, "many.test") != 0) return real(host, port, hints, ret);
  for (int i = 0; e == 0 && i < count; i++) {
    e = real(addresses[i], port, hints, end);
    while (e == 0 && *end != NULL) end = &(*end)->ai_next;
  }
  *ret = head; /* lists of glibc may be linked: freeaddrinfo goes through them one by one */
  return e;
}

static int bound_mode, hold_fd = -1;

typedef int bind_function (int, const struct sockaddr *, socklen_t);
typedef int unlink_function (const char *);

int bind (int fd, const struct sockaddr *a, socklen_t size) {
  bind_function *real = (bind_function *)(size_t)dlsym(RTLD_NEXT, "bind");
  struct stat st;
  int r = real(fd, a, size);
  if (r == 0 && a->sa_family == AF_UNIX &&
      lstat(((const struct sockaddr_un *)a)->sun_path, &st) == 0)
    bound_mode = (int)(st.st_mode & 07777);
  return r;
}

int unlink (const char *path) {
  unlink_function *real = (unlink_function *)(size_t)dlsym(RTLD_NEXT, "unlink");
  if (hold_fd >= 0) {
    struct pollfd p = {hold_fd, POLLIN, 0};
    puts("unlinking");
    fflush(stdout);
    poll(&p, 1, -1);
  }
  return real(path);
}

static int sends;

ssize_t sendmsg (int fd, const struct msghdr *m, int flags) {
  typedef ssize_t sendmsg_function(int, const struct msghdr *, int);
  sends++;
  return ((sendmsg_function *)(size_t)dlsym(RTLD_NEXT, "sendmsg"))(fd, m, flags);
}

static int l_sends (lua_State *L) {
  lua_pushinteger(L, sends);
  return 1;
}

static int l_boundmode (lua_State *L) {
  lua_pushinteger(L, bound_mode);
  return 1;
}

static int l_holdunlink (lua_State *L) {
  hold_fd = (int)luaL_checkinteger(L, 1);
  return 0;
}

static int l_release (lua_State *L) {
  (void)L;
  pthread_mutex_lock(&lock);
  released = 1;
  pthread_cond_broadcast(&change);
  pthread_mutex_unlock(&lock);
  return 0;
}

static int l_waiting (lua_State *L) {
  pthread_mutex_lock(&lock);
  lua_pushinteger(L, blocked);
  pthread_mutex_unlock(&lock);
  return 1;
}

static int l_mask (lua_State *L) {
  lua_pushinteger(L, unblocked_signals);
  return 1;
}

static int l_answers (lua_State *L) {
  count = (int)luaL_len(L, 1);
  for (int i = 0; i < count && i < 8; i++) {
    lua_geti(L, 1, i + 1);
    snprintf(addresses[i], sizeof addresses[i], "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  return 0;
}

int main (int argc, char **argv) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  lua_register(L, "release", l_release);
  lua_register(L, "waiting", l_waiting);
  lua_register(L, "mask", l_mask);
  lua_register(L, "boundmode", l_boundmode);
  lua_register(L, "sends", l_sends);
  lua_register(L, "holdunlink", l_holdunlink);
  lua_register(L, "answers", l_answers);
  luaL_checkstack(L, argc + 2, NULL);
  if (argc < 2 || luaL_loadfile(L, argv[1]) != LUA_OK) return 2;
  for (int i = 2; i < argc; i++) lua_pushstring(L, argv[i]);
  int status = lua_pcall(L, argc - 2, 0, 0);
  if (status != LUA_OK) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_close(L);
  l_release(NULL); /* those that were abandoned end in peace */
  return status != LUA_OK;
}
