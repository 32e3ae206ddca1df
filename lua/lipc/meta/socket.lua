---@meta lipc.socket

--- Sockets: unix (paths and abstract names), TCP and UDP, IPv4 and IPv6. An address is a table; those that
--- `getsockname`, `getpeername` and `recvfrom` give can be used wherever one is asked for.
---
--- A fork leaves the socket to both processes; a path that was bound is removed only by the process that bound it.
--- -- see socket(7), unix(7), tcp(7), udp(7), ip(7), ipv6(7)
---@class lipc.socket.module
local socket = {}

--- Where a socket is or goes: one of path, abstract, and host with port.
---@class lipc.socket.address
---@field family? "unix"|"inet"|"inet6" which one a host is to be of; given in what lipc returns
---@field path? string at most 107 bytes
---@field abstract? string Linux: a name of any bytes (at most 107) in no file system; "" when binding: the kernel chooses
---@field host? string numeric ("127.0.0.1", "::1", "fe80::1%eth0"), or a name to be looked up where that is said; default loopback
---@field port? integer

--- Options of the socket that can be set from the start; see `setoption`.
---@class lipc.socket.settings
---@field broadcast? boolean
---@field keepalive? boolean
---@field keepcnt? integer
---@field keepidle? integer seconds
---@field keepintvl? integer seconds
---@field linger? integer|false seconds
---@field nodelay? boolean accepted sockets inherit it
---@field passcred? boolean
---@field rcvbuf? integer bytes
---@field reuseaddr? boolean default true for TCP listeners
---@field reuseport? boolean
---@field sndbuf? integer bytes
---@field user_timeout? integer milliseconds
---@field v6only? boolean

---@class lipc.socket.connect.options : lipc.socket.address, lipc.socket.settings
---@field type? "stream"|"dgram"|"seqpacket" default "stream"
---@field timeout? number seconds for all of it: look-up and every address; default for ever
---@field bind? lipc.socket.address the socket's own address; a path is removed on close

--- Connects. The addresses of a host are tried one after the other, each with its share of the time that is left;
--- the error is that of the first. Names are looked up in a thread, so that only this coroutine waits; numeric hosts
--- and "localhost" need no look-up. A listener whose backlog is full is waited for. -- see connect(2), getaddrinfo(3)
---@param options lipc.socket.connect.options
---@return lipc.socket.stream|lipc.socket.message|nil socket, string? message "socket.connect 127.0.0.1:1: Connection refused", string? code "ECONNREFUSED", "ENOENT", "EACCES", "ETIMEDOUT", "EAI_NONAME" ...
function socket.connect(options) end

---@class lipc.socket.listen.options : lipc.socket.address, lipc.socket.settings
---@field host? string "*": every address of this machine, of both families; default "127.0.0.1"
---@field port? integer 0: one that is free, see `getsockname`
---@field type? "stream"|"seqpacket" default "stream"
---@field backlog? integer connections that wait to be accepted; default 4096, limited by the system
---@field mode? integer|string permission bits of the path, an octal string such as "0640" or a number, exactly, whatever the umask; default "0600"
---@field replace? boolean take the place of a socket that nobody is bound to any more (never of a living one, never of what is no socket: "EADDRINUSE", "ENOTSOCK"); default true
---@field unlink? boolean remove the path on close and collection (`os.exit(0)` does neither, `os.exit(0, true)` does), in the process that made it; default true
---@field timeout? number seconds, for the look-up

--- Listens for connections. -- see bind(2), listen(2)
---@param options lipc.socket.listen.options
---@return lipc.socket.listener? listener, string? message, string? code "EADDRINUSE", "EADDRNOTAVAIL", "EACCES", "ENOTSOCK", "EBUSY" (the directory's lock is held) ...
function socket.listen(options) end

---@class lipc.socket.datagram.options : lipc.socket.address, lipc.socket.settings
---@field mode? integer|string as for listen
---@field replace? boolean as for listen
---@field unlink? boolean as for listen
---@field timeout? number seconds, for the look-up

--- A datagram socket bound to the address; without one, an unbound socket of the family (default "unix"), for `sendto`.
--- -- see socket(2), bind(2)
---@param options lipc.socket.datagram.options
---@return lipc.socket.message? socket, string? message, string? code
function socket.datagram(options) end

---@class lipc.socket.pair.options
---@field type? "stream"|"dgram"|"seqpacket" default "stream"

--- Two sockets that are connected to each other. -- see socketpair(2)
---@param options? lipc.socket.pair.options
---@return lipc.socket.stream|lipc.socket.message|nil one, lipc.socket.stream|lipc.socket.message|string other_or_message, string? code
function socket.pair(options) end

--- Adopts a socket that somebody else made: a stream, a message socket or a listener. It keeps its flags, and is
--- never waited on in the kernel even if it is in blocking mode. Raises when the descriptor is no such socket.
---@param fd integer
---@return lipc.socket.stream|lipc.socket.message|lipc.socket.listener socket
function socket.fromfd(fd) end

---@class lipc.socket.resolve.options
---@field host string
---@field port? integer default 0
---@field family? "inet"|"inet6"
---@field timeout? number seconds, default for ever

--- Looks a host name up, in a thread. -- see getaddrinfo(3)
---@param options lipc.socket.resolve.options
---@return lipc.socket.address[]? addresses, string? message, string? code "EAI_NONAME", "EAI_AGAIN", "ETIMEDOUT" ...
function socket.resolve(options) end

--- The directory where this user's programs meet: $XDG_RUNTIME_DIR/lipc, or /tmp/lipc-<uid> where that is not set or
--- not this user's own; made, with mode 0700, when it is missing.
---@return string? path, string? message, string? code "EPERM": somebody else owns it or others may enter; "ENOTDIR"
function socket.runtimedir() end

--- Closes descriptors that `recvfds` gave and nobody wants, and empties the list. -- see close(2)
---@param list integer[]
---@return true? ok, string? message, string? code
function socket.closefds(list) end

--- What every socket has.
---@class lipc.socket.common : lipc.object
local Socket = {}

--- Sets an option of the socket. -- see socket(7), tcp(7), ip(7), ipv6(7)
---
--- boolean: broadcast, cork, dontroute, keepalive, nodelay, oobinline, passcred, quickack, reuseaddr, reuseport, v6only;
--- integer: keepcnt, keepidle and keepintvl (seconds), priority, rcvbuf and sndbuf (bytes), ttl, user_timeout
--- (milliseconds); linger: seconds or false.
---@generic T
---@param self T
---@param name string an unknown one is misuse
---@param value boolean|integer
---@return T? self, string? message, string? code "ENOPROTOOPT", "EOPNOTSUPP": this kind of socket has none such
function Socket:setoption(name, value) end

--- The value of an option: those of `setoption`, and acceptconn (it listens), error (a code, or false; reading clears
--- it), family, type. Linux doubles what rcvbuf and sndbuf are set to. -- see getsockopt(2)
---@param name string
---@return boolean|integer|string|nil value, string? message, string? code
function Socket:getoption(name) end

--- Its own address; only the family when it has none. -- see getsockname(2)
---@return lipc.socket.address? address, string? message, string? code
function Socket:getsockname() end

--- The other side's address; only the family when that has no name. -- see getpeername(2)
---@return lipc.socket.address? address, string? message, string? code "ENOTCONN"
function Socket:getpeername() end

--- Who is on the other side of a unix socket: the process that called connect, listen or pair, as it was then.
--- -- see unix(7) SO_PEERCRED
---@return lipc.socket.cred? cred, string? message, string? code "ENOTCONN" ...
function Socket:peercred() end

---@class lipc.socket.cred
---@field pid? integer Linux
---@field uid integer
---@field gid integer

--- What connected sockets have.
---@class lipc.socket.connected : lipc.socket.common
local Connected = {}

--- Ends one direction or both: after "w" the peer reads the end. What setvbuf held back is written first. -- see shutdown(2)
---@generic T
---@param self T
---@param how "r"|"w"|"rw"
---@param timeout? number seconds, for what is held back
---@return T? self, string? message, string? code
function Connected:shutdown(how, timeout) end

--- Passes descriptors with data over a unix socket. They are duplicated: those here stay open. On a stream the data
--- must not be empty, and the peer has the descriptors as soon as it has the first byte. -- see unix(7) SCM_RIGHTS
---@param data string
---@param fds (integer|file*|lipc.object)[] at most 253
---@param timeout? number seconds
---@return true? ok, string? message, string? code, integer? sent bytes of the data that went
function Connected:sendfds(data, fds, timeout) end

---@class lipc.socket.recvfds.options
---@field maxfds? integer default 253
---@field timeout? number seconds

--- Receives data, and the descriptors that came with it: numbers, close-on-exec, for the caller to adopt (`fromfd`) or
--- to close (`socket.closefds`). Any other way of reading drops the descriptors. When more come than maxfds
--- ("EMSGSIZE") or than this process may have open ("EMFILE") all of them are closed, and the data is the fourth value.
--- What a stream has read ahead comes first, without any. -- see unix(7) SCM_RIGHTS
---@param max integer bytes
---@param options? lipc.socket.recvfds.options
---@return string? data, integer[]|string|nil fds_or_message, integer|string|nil size_or_code the message's own length where it was cut, string? data with a code
function Connected:recvfds(max, options) end

--- A stream: read and written like a Lua file.
---@class lipc.socket.stream : lipc.stream.input, lipc.stream.output, lipc.socket.connected

--- A datagram or seqpacket socket: each send is one message, which one receive takes.
---@class lipc.socket.message : lipc.socket.connected
local Message = {}

--- Sends one message to the peer, whole or not at all. -- see send(2)
---@param data string may be empty
---@param timeout? number seconds
---@return true? ok, string? message, string? code "EMSGSIZE", "EPIPE", "ECONNREFUSED", "ENOTCONN", "ETIMEDOUT" ...
function Message:send(data, timeout) end

--- Sends one message to an address, whose host must be numeric (see `socket.resolve`). -- see sendto(2)
---@param data string may be empty
---@param address lipc.socket.address
---@param timeout? number seconds
---@return true? ok, string? message, string? code
function Message:sendto(data, address, timeout) end

--- From now on `send` goes there, and only what comes from there is received. -- see connect(2)
---@param address lipc.socket.address
---@return lipc.socket.message? self, string? message, string? code
function Message:connect(address) end

--- Receives one message, "" when it is empty. Of one longer than max the rest is lost, and size is how long it
--- was. -- see recv(2)
---@param max? integer bytes; nil: as long as the message is
---@param timeout? number seconds
---@return string? data, integer|string|nil size_or_message nil when it was whole, string? code "EOF" when a seqpacket's peer has closed
function Message:recv(max, timeout) end

--- As recv, and who sent it. -- see recvfrom(2)
---@param max? integer bytes; nil: as long as the message is
---@param timeout? number seconds
---@return string? data, lipc.socket.address|string|nil address_or_message, integer|string|nil size_or_code
function Message:recvfrom(max, timeout) end

--- What others connect to.
---@class lipc.socket.listener : lipc.socket.common
local Listener = {}

--- The next connection. After "EMFILE", "ENFILE" or "ENOMEM" it still waits in the queue; connections that are gone
--- again are passed over. -- see accept(2)
---@param timeout? number seconds
---@return lipc.socket.stream|lipc.socket.message|nil socket, string? message, string? code
function Listener:accept(timeout) end
