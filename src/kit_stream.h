/* kit_stream.h - the byte stream that pipe, fifo, socket and process share: methods as those of Lua
** files, reading buffered, writing unbuffered unless setvbuf asks.  SPDX-License-Identifier: MIT */
#ifndef LIPC_STREAM_H
#define LIPC_STREAM_H

#include "lipc_kit.h"

#pragma GCC visibility push(hidden)

enum lipc_vbuf { LIPC_VBUF_NO, LIPC_VBUF_FULL, LIPC_VBUF_LINE };

/* First member of what is a stream; made by lipc_new, ready when h.fd, h.io and h.access are set. */
typedef struct Stream {
  struct lipc_handle h;
  char *rbuf; /* what was read ahead: rbuf[rpos .. rend-1] */
  size_t rcap, rpos, rend;
  size_t ahead; /* room that a read wants: grows while reads fill it.  0: the least */
  size_t scanned; /* bytes after the current format's start known to hold no line end */
  size_t format, start; /* the format that wants more data, and where its part begins */
  bool ended; /* the last read met the end */
  char *wbuf; /* what waits to be flushed: wbuf[wpos .. wend-1] */
  size_t wcap, wpos, wend;
  enum lipc_vbuf vbuf;
  bool raises; /* a write whose reader is gone raises, as SIGPIPE ends a program */
  bool raised; /* it has */
} Stream;

/* Method lists for lipc_class: read, lines, readsome; write, flush, setvbuf and a close that flushes.
** A class takes those of the directions it can have. */
extern const luaL_Reg lipc_stream_reads[], lipc_stream_writes[];

/* Whether an operation may be tried here and now, without the driver. */
static inline bool lipc_stream_isplain (const Stream *s, unsigned dir) {
  return s->h.gate[dir == LIPC_OUT].owner == NULL &&
         atomic_load_explicit(&lipcsys_alarm, memory_order_relaxed) == 0;
}

/* release and buffered of a class of streams; a release of its own calls this for the buffers. */
int lipc_stream_release (lua_State *L, struct lipc_handle *h, int fd);
bool lipc_stream_buffered (const struct lipc_handle *h);

/* The object as a stream, or NULL when its class is none. */
Stream *lipc_stream_test (struct lipc_handle *h);

/* One attempt to write what setvbuf holds back: 0 when nothing is left of it. */
int lipc_stream_flushsome (Stream *s);

/* Flushes all streams of this Lua state, each within its default timeout: 0, or the results of the
** first failure (the others are flushed all the same).  May raise. */
int lipc_stream_flushall (lua_State *L);

#pragma GCC visibility pop
#endif
