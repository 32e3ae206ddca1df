---@meta lipc.broker

--- A message broker in pure Lua. It speaks the NATS client protocol: `ipc.connect` and NATS clients in any other language talk
--- to it. By default it listens on a Unix socket of which the kernel says who connects, and takes in its own user only.
---
--- Who publishes faster than a subscriber reads is paused: it is not read from until the subscriber has caught up. A
--- subscriber that does not take what it is sent within `write_deadline` seconds, or has more than `max_pending` bytes to take,
--- is cut off: it gets the end of the message that it has half and -ERR 'Slow Consumer' if it takes them within 2 seconds. A
--- client that sends what is not the protocol is told so (-ERR) and closed; nobody else notices.
---
--- Its own user may ask it on the Unix socket, by requests in JSON that nats-server has for its system account: `$SYS.REQ.SERVER.PING.VARZ`
--- for counters of the whole, `...CONNZ` for connections (at most 256 in one answer: `{"limit": 256, "offset": 0}`), and
--- `...SUBJZ`, which nats-server has not, for the subjects most published to. `lipc top` does. For everybody else there are no
--- responders.
---@class lipc.broker.module
local broker = {}

--- The whole program of a broker: listens, serves, and returns when SIGINT or SIGTERM has come, with everybody cut off and the
--- socket's path removed. SIGHUP reads the configuration file again, see `reload`; without one it is only
--- noted in the log.
---@param opts? lipc.broker.options
---@return true? ok, string? message, string? code "EADDRINUSE": a broker is there already; "EMFILE": no descriptor is left; "EINVAL": the configuration file is wrong; "ENOENT", "EACCES", "EISDIR" ...: it cannot be read, or the log or the pid file cannot be opened
function broker.run(opts) end

--- Puts a broker beside this script: in a child process, by fork. Returns when clients can connect. The broker ends with
--- `handle:stop()`, when the handle is closed or collected, and when this process (on Linux: the thread that called) ends,
--- however it ends. A Ctrl-C on the terminal does not reach it. -- see fork(2), prctl(2) PR_SET_PDEATHSIG
---@param opts? lipc.broker.options
---@return lipc.broker.handle? handle, string? message, string? code "EADDRINUSE", "ENOTSUP" in a process with several threads ...
function broker.start(opts) end

--- Makes a broker for a loop of the caller's own; `wrap` makes it run. Nothing is opened yet.
---@param opts? lipc.broker.options
---@return lipc.broker? broker, string? message, string? code of the configuration file
function broker.new(opts) end

--- The path of the user's own broker, where broker and client meet when they are told nothing: broker.sock in
--- $XDG_RUNTIME_DIR/lipc, else in /tmp/lipc-<uid>.
---@return string? path, string? message, string? code
function broker.default_path() end

---@class lipc.broker.options
---@field config? string path of a file with options in Lua: it returns a table of them, or assigns them to names; options given beside it win. It runs with nothing in reach, and what is wrong with it is reported, not raised
---@field listen? string|string[] where: "unix:///path", "unix://" (the default path), "tcp://127.0.0.1:4222", "tcp://[::1]:4222", "tcp://*:4222"; instead of path, tcp, host and port
---@field path? string|false path of the Unix socket, default `broker.default_path()`; false: none. A path at which nobody listens any more is replaced
---@field mode? integer|string permission bits of that path, an octal string such as "0640" or a number; default "0600". Whoever is not the broker's own user needs the token, a password or an entry in `users` with his uid, and is refused when there is none
---@field tcp? boolean|string listens on TCP too: true is 127.0.0.1:4222, or "host:port"; port 0 is one that is free. Clients need the token or user and password; where none is given, a token is made up, which lies in broker-<port>.token in the directory of the default path, mode 0600, and is part of `url "tcp"`
---@field host? string another way to say it
---@field port? integer another way to say it
---@field insecure? boolean over TCP everybody may connect: every user of this machine, or of the network; what they may do then is default_permissions
---@field token? string what clients over TCP have to show
---@field user? string or this; with `pass`, never alone
---@field pass? string and this, which is not empty
---@field users? lipc.broker.user[] or who stands here
---@field default_permissions? lipc.broker.permissions of those of `users` that have none of their own, and of nameless clients where `insecure`; default: everything
---@field name? string of the server, told to clients
---@field connect_urls? string[] addresses "host:port" that clients are told to try when they lose this one
---@field max_connections? integer default 65536; one too many is told so and closed
---@field max_payload? integer bytes of a message with its headers, default 1 MiB
---@field max_control_line? integer bytes of the arguments of a line, default 4096
---@field max_subscriptions? integer of one connection, default 65536
---@field max_subscription_tokens? integer of one subject subscribed to, default 128
---@field max_pending? integer bytes that one client may have to take, default 64 MiB
---@field write_deadline? number seconds that a client may take for what is to be written to it, default 10
---@field ping_interval? number seconds between questions to clients on the network whether they live, default 120
---@field ping_max? integer questions without an answer after which such a client is cut off, default 2
---@field auth_timeout? number seconds that a client has to show who it is, default 2
---@field pid_file? string path of a file that the number of the process is written to (`run` and `start`)
---@field log? boolean|string|fun(line: string, level: string) writes down what happens: true is stderr, or a path, or a function that is called with each line, its "\n" included; `start` calls it in the child process, whose standard input and output are /dev/null, and whose variables are copies; level is "INF", "WRN", "ERR", "DBG" or "TRC". A path that cannot be opened is a failure at start and at a reload; a line that cannot be written later is lost. Default: nothing, but stderr where debug or trace is set
---@field debug? boolean clients that come and go too
---@field trace? boolean and all that they send and get

--- Somebody who may connect: by name and password, or by who he is on a Unix socket. A client of the broker's own user on a Unix
--- socket may do everything, unless it shows the name and password of somebody else. A name, a password or a token that is shown
--- has to be right wherever the broker has passwords or a token, also where nothing needs to be shown; else it is ignored.
---@class lipc.broker.user
---@field user? string
---@field password? string in plain text; `pass` means the same
---@field pass? string
---@field uid? integer the user of this machine who needs no password on a Unix socket; the socket's `mode` has to let him in
---@field permissions? lipc.broker.permissions

--- What somebody may do; as nats-server's configuration says it. Patterns may have wildcards. Where `allow` is absent, all is
--- allowed that `deny` does not name. Subscribing to a wildcard takes that everything under it is allowed; what of it is denied is
--- left out of what is delivered.
---@class lipc.broker.permissions
---@field publish? string|string[]|lipc.broker.subjects
---@field subscribe? string|string[]|lipc.broker.subjects "subject queue" is about that queue group
---@field allow_responses? boolean|lipc.broker.responses may publish to where a message that it got wanted its answer; then nothing else unless `publish` allows it

---@class lipc.broker.subjects
---@field allow? string|string[]
---@field deny? string|string[]

---@class lipc.broker.responses
---@field max? integer answers to one message, default 1; negative: any number
---@field expires? number seconds, default 120; negative: for ever

--- A broker in this process.
---@class lipc.broker
local Broker = {}

--- Opens the sockets. `wrap` does it where it was not done.
---@return lipc.broker? self, string? message, string? code
function Broker:listen() end

--- Runs in this loop from now on, until `stop`.
---@param loop lipc.loop
---@return lipc.broker? self, string? message, string? code
function Broker:wrap(loop) end

--- Changes who may connect and what they may do, for those who are connected as well: who may no longer connect is cut off with
--- -ERR 'Authorization Violation', subscriptions that are no longer allowed end with -ERR 'Permissions Violation for Subscription
--- to "..." (sid "...")'. Also max_connections, the pings, write_deadline, auth_timeout and the log; other options cannot change.
---@param opts? lipc.broker.options those to be replaced; without: the configuration file is read again, whose other options are ignored
---@return lipc.broker? self, string? message, string? code what is wrong with the file, or that the log cannot be opened; "ENOENT" also when there is no file and no argument; everything is as it was then
function Broker:reload(opts) end

--- Ends it: sockets are closed, paths and token files removed, clients cut off after one attempt to write what they have to
--- get. Safe in a task of its loop and from outside; not in the callback of a signal, which cannot wake a sleeping loop. In a
--- forked child it closes the child's descriptors and no more: the broker goes on in the process that made it.
---@return true
function Broker:stop() end

--- The same as `stop`.
---@return true
function Broker:close() end

--- Where it listens; the URL of TCP has the token or password in it, `tostring` of the object has not.
---@return string[]
function Broker:urls() end

--- The first of these, or that of one kind.
---@param kind? "unix"|"tcp"
---@return string? url
function Broker:url(kind) end

--- Counters, since it was made or of this moment.
---@return lipc.broker.stats
function Broker:stats() end

---@class lipc.broker.stats
---@field connections integer now
---@field connections_ever integer
---@field subscriptions integer now
---@field messages_in integer
---@field messages_out integer
---@field pending integer bytes that clients have to take now
---@field slow_consumers integer clients cut off because they did not
---@field accept_pauses integer how often no connection could be taken for want of descriptors or memory
---@field errors integer connections closed because of an error in the broker itself
---@field last_error? string its traceback

--- A broker in a child process.
---@class lipc.broker.handle
local Handle = {}

--- Where it listens; the URL of TCP has the token or password in it, `tostring` of the object has not.
---@return string[]
function Handle:urls() end

--- The first of these, or that of one kind.
---@param kind? "unix"|"tcp"
---@return string? url
function Handle:url(kind) end

--- The number of its process.
---@return integer
function Handle:pid() end

--- Tells it to read its configuration file again, by SIGHUP: true when it is told; whether it could is in its log.
---@return true? ok, string? message, string? code "ENOENT": it has none
function Handle:reload() end

--- Whether the process lives. A forked child of this one sees it alive until its maker has noticed its end.
---@return boolean
function Handle:running() end

--- Ends the broker and waits for its end: SIGTERM, and SIGKILL when it is not gone in time. In a forked child it only lets go
--- of the handle: the broker goes on.
---@param timeout? number seconds, default 10
---@return true? ok, string? message, string? code
function Handle:stop(timeout) end

--- The same as `stop`.
---@param timeout? number seconds, default 10
---@return true? ok, string? message, string? code
function Handle:close(timeout) end
