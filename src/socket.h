/* socket.h - what the files of the socket binding share.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SOCKET_H
#define LIPC_SOCKET_H

#include "kit_stream.h"

#pragma GCC visibility push(hidden)

/* A path in the file system that goes when the socket is closed. */
struct lipc_socket_path {
  char *name; /* absolute; NULL: none */
  size_t size;
  bool bound; /* it is there */
  struct lipcsys_fileid id;
  unsigned forkgen; /* of the process that may remove it */
};

/* Lets go of the path; removes it if this process bound it and remove is true. */
void lipc_socket_forget (lua_State *L, struct lipc_socket_path *p, bool remove);

/* What each kind of socket knows about itself; s.h comes first in all three.  Sockets of messages
** and listeners do not use the buffers of the stream. */
typedef struct Socket {
  Stream s;
  int family, type; /* LIPC_AF_*, LIPC_SOCK_* */
  struct lipc_socket_path path;
} Socket;

extern const struct lipc_class lipc_socket_stream, lipc_socket_message, lipc_socket_listener;

/* Method lists: options and names (all), messages and descriptors. */
extern const luaL_Reg lipc_socket_common[], lipc_socket_messages[], lipc_socket_fds[];

/* Lua functions of the module that the other files provide. */
int lipc_socket_runtimedir (lua_State *L);
int lipc_socket_closefds (lua_State *L);

/* Adds connect, listen, datagram and resolve to the module table on top. */
void lipc_socket_openers (lua_State *L);

/* The class for sockets of a type, and a new closed object of it. */
Socket *lipc_socket_new (lua_State *L, int family, int type, bool listening);

/* The socket at index 1, of whatever class the method belongs to. */
#define lipc_tosocket(L) ((Socket *)lua_touserdata(L, 1))

/* ---- addresses ---- */

/* What an address table says. */
struct lipc_socket_where {
  int family; /* LIPC_AF_*, 0: any */
  const char *host; /* NULL: addr is complete */
  int port;
  struct lipcsys_addr addr; /* size 0: not numeric, or none given */
};

/* Reads path, abstract, host, port, family of the table at idx; raises what is misuse.  port: a host
** needs one. */
void lipc_socket_where (lua_State *L, int idx, bool port, struct lipc_socket_where *w);

/* An address argument that must need no look-up, as those of sendto. */
void lipc_socket_checkaddr (lua_State *L, int idx, struct lipcsys_addr *a);

/* Pushes {family=, path= | abstract= | host=, port=}. */
void lipc_socket_pushaddr (lua_State *L, const struct lipcsys_addr *a);

/* Pushes the text for messages: "/path", "@abstract", "127.0.0.1:80", "[::1]:80", "". */
const char *lipc_socket_pushname (lua_State *L, const struct lipcsys_addr *a);

/* "stream", "dgram", "seqpacket" and "unix", "inet", "inet6"; the numbers are indices. */
extern const char *const lipc_socket_types[], *const lipc_socket_families[];

/* The option of that name as one of the list (its index), or dflt. */
int lipc_socket_choice (lua_State *L, int idx, const char *name, const char *const list[],
                        int dflt);

/* ---- options ---- */

/* Sets what the options table at idx asks for on a new descriptor. */
extern const char *const lipc_socket_settable[];
int lipc_socket_setall (lua_State *L, int idx, int fd);

#pragma GCC visibility pop
#endif
