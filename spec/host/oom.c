/* oom.c - runs a Lua script again and again, failing memory allocation 1, 2, 3 ... until it passes.
**
**   build/host/oom script.lua ...
**
** Each allocation is failed in two ways: alone (with the retry that Lua makes after a collection),
** and together with all that follow.  After each failure the script must have ended by itself, by a
** memory error, or by returning nil, message, "ENOMEM"; the state must close; and then the process
** must be as before: memory, descriptors, children, threads, signal mask and dispositions.
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lua.h"
#include "lauxlib.h"
#include "lualib.h"

enum { ALONE, FROM_HERE };

typedef struct Memory {
  size_t used; /* bytes in use */
  long count; /* allocations seen while armed */
  long fail_at; /* the one to fail; 0: none */
  int how;
  int failed; /* how many were failed */
} Memory;

static void *allocate (void *ud, void *ptr, size_t osize, size_t nsize) {
  Memory *m = ud;
  if (!ptr) osize = 0;
  if (nsize == 0) {
    free(ptr);
    m->used -= osize;
    return NULL;
  }
  if (nsize > osize && m->fail_at) { /* shrinking may not fail */
    m->count++;
    if (m->how == FROM_HERE ? m->count >= m->fail_at
                            : m->count == m->fail_at || m->count == m->fail_at + 1) {
      m->failed++;
      return NULL;
    }
  }
  void *p = realloc(ptr, nsize);
  if (p) m->used += nsize - osize;
  return p;
}

static int entries (const char *dir) {
  DIR *d = opendir(dir);
  int n = 0;
  if (!d) return -1;
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

typedef struct Host {
  int fds, threads;
  sigset_t mask;
  struct sigaction sa[NSIG];
} Host;

static void look (Host *h) {
  memset(h, 0, sizeof *h);
  h->fds = entries("/proc/self/fd");
  h->threads = entries("/proc/self/task");
  sigprocmask(SIG_BLOCK, NULL, &h->mask);
  for (int s = 1; s < NSIG; s++) sigaction(s, NULL, &h->sa[s]);
}

/* What differs, or NULL. */
static const char *compare (const Host *a, const Host *b) {
  if (a->fds != b->fds) return "a descriptor is left open or closed";
  if (a->threads != b->threads) return "a thread is left running";
  for (int s = 1; s < NSIG; s++) {
    if (sigismember(&a->mask, s) != sigismember(&b->mask, s)) return "the signal mask changed";
    if (a->sa[s].sa_handler != b->sa[s].sa_handler) return "a signal disposition changed";
  }
  return NULL;
}

/* Children and threads may need a moment to end: 1 when none is left, 0 after 20 seconds. */
static int no_children (int *zombie) {
  time_t end = time(NULL) + 20;
  for (;;) {
    siginfo_t si;
    si.si_pid = 0;
    if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD) return 1;
    *zombie = si.si_pid != 0;
    if (*zombie || time(NULL) > end) return 0;
    nanosleep(&(struct timespec){0, 5000000}, NULL);
  }
}

static int is_memory_error (const char *msg) {
  return msg && (strstr(msg, "not enough memory") || strstr(msg, "Cannot allocate memory"));
}

/* One run.  Returns NULL when all is well, else what is wrong. */
static const char *run (const char *script, Memory *m, long fail_at, int how) {
  static char wrong[1000];
  Host before, after;
  const char *bad = NULL;
  look(&before);
  memset(m, 0, sizeof *m);
  lua_State *L = lua_newstate(allocate, m);
  luaL_openlibs(L);
  if (luaL_loadfile(L, script) != LUA_OK) {
    snprintf(wrong, sizeof wrong, "%s", lua_tostring(L, -1));
    lua_close(L);
    return wrong;
  }
  m->fail_at = fail_at;
  m->how = how;
  alarm(120); /* a hang ends the program by its default disposition */
  int status = lua_pcall(L, 0, 3, 0);
  m->fail_at = 0;
  if (status != LUA_OK) {
    const char *msg = lua_tostring(L, -1);
    if (status != LUA_ERRMEM && !(m->failed && is_memory_error(msg))) {
      snprintf(wrong, sizeof wrong, "not a memory error: %s", msg ? msg : luaL_typename(L, -1));
      bad = wrong;
    }
  } else if (lua_isnil(L, -3) && lua_isstring(L, -2)) { /* nil, message, code */
    const char *code = lua_tostring(L, -1);
    if (!m->failed || !code || strcmp(code, "ENOMEM") != 0) {
      snprintf(wrong, sizeof wrong, "returned nil, \"%s\", %s", lua_tostring(L, -2),
               code ? code : "nil");
      bad = wrong;
    }
  }
  lua_close(L);
  alarm(0);
  if (bad) return bad;
  if (m->used != 0) {
    snprintf(wrong, sizeof wrong, "%zu bytes of Lua's memory not freed", m->used);
    return wrong;
  }
  int zombie = 0;
  if (!no_children(&zombie)) return zombie ? "a zombie is left" : "a child is left running";
  for (int i = 0; i < 300; i++) {
    look(&after);
    bad = compare(&before, &after);
    if (!bad || after.threads == before.threads) break;
    nanosleep(&(struct timespec){0, 5000000}, NULL);
  }
  return bad;
}

static int sweep (const char *script) {
  Memory m;
  /* What is made once in a process is made by the first run. */
  (void)run(script, &m, 0, ALONE);
  const char *bad = run(script, &m, 0, ALONE);
  if (bad) {
    printf("%s: with all the memory it wants: %s\n", script, bad);
    return 1;
  }
  long total = 0;
  for (int how = ALONE; how <= FROM_HERE; how++) {
    for (long n = 1;; n++) {
      bad = run(script, &m, n, how);
      if (bad) {
        printf("%s: allocation %ld failed%s: %s\n", script, n,
               how == ALONE ? "" : " with all after it", bad);
        return 1;
      }
      if (!m.failed) break;
      total++;
    }
  }
  if (total == 0) {
    printf("%s: allocates nothing, so shows nothing\n", script);
    return 1;
  }
  printf("%s: %ld failures survived\n", script, total);
  return 0;
}

int main (int argc, char **argv) {
  int failed = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < argc; i++) failed += sweep(argv[i]);
  printf("\n%d passed, %d failed\n", argc - 1 - failed, failed);
  return failed || argc < 2;
}
