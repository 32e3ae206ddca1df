-- A program in C that uses POSIX and System V semaphores, compiled on first use: what it does is given by its
-- arguments.  SPDX-License-Identifier: MIT
local names = require "support.names"
local peer = require "support.peer"

local sempeer = {}

local source = [==[
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <unistd.h>

static sem_t *s;
static int id, num, undo;

static int change (int by) {
  struct sembuf op = {(unsigned short)num, (short)by, (short)(undo ? SEM_UNDO : 0)};
  return semop(id, &op, 1);
}

/* posix NAME word ...; sysv ID NUM word ... (NUM from 0) */
int main (int argc, char **argv) {
  int i = 3, posix = strcmp(argv[1], "posix") == 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (!posix) {
    id = atoi(argv[2]);
    num = atoi(argv[i++]);
  }
  for (; i < argc; i++) {
    int r = 0;
    const char *w = argv[i];
    if (posix && strncmp(w, "create=", 7) == 0) {
      s = sem_open(argv[2], O_CREAT | O_EXCL, 0600, (unsigned)atoi(w + 7));
      r = s == SEM_FAILED ? -1 : 0;
    } else if (strcmp(w, "open") == 0) {
      s = sem_open(argv[2], 0);
      r = s == SEM_FAILED ? -1 : 0;
    } else if (strcmp(w, "undo") == 0) undo = 1;
    else if (strcmp(w, "wait") == 0) r = posix ? sem_wait(s) : change(-1);
    else if (strcmp(w, "post") == 0) r = posix ? sem_post(s) : change(1);
    else if (strcmp(w, "zero") == 0) r = change(0);
    else if (strcmp(w, "value") == 0) {
      int v = 0;
      if (posix) r = sem_getvalue(s, &v);
      else r = v = semctl(id, num, GETVAL);
      if (r >= 0) r = 0;
      printf("value %d\n", v);
    } else if (strcmp(w, "hang") == 0) pause();
    if (r < 0) {
      printf("%s: %s\n", w, strerror(errno));
      return 1;
    }
    if (strcmp(w, "value") != 0) printf("%s\n", w);
  }
  return 0;
}
]==]

local program

-- sempeer.command(word, ...) -> a command line
function sempeer.command(...)
  if not program then
    local c = names.path ".c"
    program = names.path ".sempeer"
    local f = assert(io.open(c, "w"))
    f:write(source)
    f:close()
    assert(os.execute(("%s -O2 -pthread -o %s %s"):format(os.getenv "CC" or "cc", program, c)))
    os.remove(c)
  end
  local words = { program, ... }
  for i = 2, #words do words[i] = peer.quote(words[i]) end
  return table.concat(words, " ")
end

-- sempeer.start(word, ...) -> a file: a line for each word that is done
function sempeer.start(...) return peer.sh("exec " .. sempeer.command(...)) end

function sempeer.remove()
  if program then os.remove(program) end
  program = nil
end

return sempeer
