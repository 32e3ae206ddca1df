---@meta lipc.client

--- Clients of a message broker: of `ipc.broker`, or of any NATS server or cluster.
---
--- In the tasks of an `ipc.loop` each wait suspends the task alone, what is published is gathered and written once a turn of the
--- loop, and functions get their messages by themselves, in a task for each subscription. In a plain script what is published
--- is written at once (see `setvbuf`), and functions get their messages while a call waits (`request`, `next`, `flush`) or in
--- `run`, for no longer than that call may take, the subscriptions by turns. Either way a function gets one message after the
--- other: it may wait, and the messages of its subscription wait too.
---
--- While more than 8 MiB, or 65536 messages, have come that nobody takes, no more is read; the broker then holds back who publishes, and
--- in the end (`write_deadline`) cuts this client off as a slow consumer. In a plain script nothing is read either while no call
--- waits; what comes while a call waits for something else is kept. A subscription may have limits of its own (`pending_messages`,
--- `pending_bytes`): what is above them is dropped and told, as other NATS clients do, or (`overflow = "hold"`) not read.
---
--- A lost connection may have taken messages with it, and those published until the next one was made are missing. So each
--- subscription without a function says so once, behind the messages that came before: `next` returns nil and "ECONNRESET", and
--- goes on after that. For subscriptions with a function `onerror` is the only one to be told; where no handler is set the Lua
--- function `warn` is called, silent unless the script or its user turns warnings on (`warn "@on"`, `lua -W`), and the next `flush`
--- reports it. `stats` counts.
---
--- A client that its user has closed is of no use any more: its methods raise "closed client", but for `close`, `drain`, `stop` and
--- those that only tell or set something. Whoever waits while another task closes it gets "ECANCELED"; so do readers of its
--- subscriptions, before and after. One that has lost its last connection returns the reason.
---
--- For a poller or event loop other than `ipc.loop`: wait for `pollfd()` to be ready for `events()`, at most `timeout()` seconds,
--- then call `run(0)`, which calls the functions, and `next(0)` of subscriptions without one. Ask for all three anew each time.
---
--- A client belongs to the process that made it. In a forked child it is closed ("ENOTCONN"): connect anew there.
---@class lipc.client.module
local client = {}

--- Connects to the first server that answers. When the connection is lost later, the servers are tried again, with growing
--- pauses that differ from client to client; subscriptions are made again, and what was published meanwhile is sent. A server
--- reached over the network that tells of others (`connect_urls` of a cluster) adds them to the list, with the credentials
--- it was shown itself. What was written but not yet read by the
--- server when the connection broke is lost: a `flush` that succeeded, or an answer, says that it arrived.
---@param url? string "unix:///path", "nats://[user:pass@|token@]host[:port]", several with commas between; default: the user's own broker (`ipc.broker.default_path`)
---@param opts? lipc.client.options
---@return lipc.client? client, string? message, string? code "ENOENT", "ECONNREFUSED": nobody there; "EACCES": refused; "EUSERS": it has as many clients as it may; "EAI_NONAME": no such host; "EPROTO": that is no broker; "ENOTSUP": it wants TLS; "ETIMEDOUT"; "EMFILE": no descriptor is left
function client.connect(url, opts) end

---@class lipc.client.options
---@field name? string told to the server
---@field user? string where the URL has none
---@field pass? string
---@field token? string
---@field echo? boolean whether its own messages come back to its subscriptions, default true
---@field verbose? boolean the server confirms each line
---@field pedantic? boolean the server checks more
---@field timeout? number seconds for connecting to one server, and for `close`, default 2
---@field reconnect? boolean whether a lost connection is made again, default true
---@field reconnect_wait? number seconds of the first pause between two attempts, default 0.05, doubled each time; a pause is by chance of half of that to all of it. After a loss the first attempt comes at once, unless this connection and the one before were shorter than a pause
---@field reconnect_max_wait? number seconds of the longest, default 2
---@field max_reconnects? number attempts at the list of servers until it gives up, default 60
---@field reconnect_buffer? number bytes that may be published without a connection, default 8 MiB
---@field ping_interval? number seconds between questions whether the server lives, in a loop while somebody waits for messages; default 120
---@field ping_max? number questions without an answer after which the connection counts as lost, default 2
---@field max_payload? number bytes of a message from the server, default 64 MiB
---@field randomize? boolean the servers are tried in any order, not in that of the URL; those that a cluster tells of always are
---@field onerror? fun(message: string, code: string) as lipc.client:onerror
---@field onstatus? fun(status: lipc.client.status, detail?: string, code?: string) as lipc.client:onstatus

---@class lipc.client
local Client = {}

--- Publishes. In a plain script it is written at once; in a loop at the end of the turn, or when 32 KiB are gathered. Waits
--- when the server takes no more, as long as `settimeout` says: after that nothing of this message is sent.
---@param subject string without blanks, empty tokens and wildcards
---@param data string|number
---@param opts? lipc.client.publish.options
---@return true? ok, string? message, string? code "EINVAL" the subject, "EMSGSIZE" more than the server's max_payload, "ENOBUFS" no connection and the buffer is full, "ENOTSUP" headers, "ETIMEDOUT", "ECANCELED" closed meanwhile, "ENOTCONN" after fork, or why the last connection ended
function Client:publish(subject, data, opts) end

---@class lipc.client.publish.options
---@field reply? string the subject for answers
---@field headers? table<string, string|number|string[]>

--- How a plain script's messages are written: "no" each at once (the default), "full" when so many bytes are gathered, at
--- `flush`, at `close` and whenever a call waits.
---@param mode "no"|"full"
---@param size? integer bytes, default 32768
---@return lipc.client? self, string? message, string? code
function Client:setvbuf(mode, size) end

--- Subscribes. With a function, that gets the messages; without, `next` and `messages` of the subscription. An error in the
--- function goes to the handler of `onerror`; without one it is raised, with its traceback, by the call that waits in a plain
--- script, and by the loop elsewhere. The messages after it are handed out all the same, by the next call that waits. Ctrl-C is
--- no error of the function: it is raised in any case.
---@param subject string "*" stands for one token, ">" at the end for one or more
---@param opts? lipc.client.subscribe.options
---@param fn? fun(msg: lipc.message)
---@return lipc.subscription? subscription, string? message, string? code "EINVAL", "ECANCELED", "ENOTCONN"
---@overload fun(self: lipc.client, subject: string, fn: fun(msg: lipc.message)): lipc.subscription?, string?, string?
function Client:subscribe(subject, opts, fn) end

---@class lipc.client.subscribe.options
---@field queue? string name of a group, each message goes to one member of it
---@field max? integer it ends after so many messages
---@field pending_messages? integer so many may wait to be taken
---@field pending_bytes? integer so many bytes of data may; one message alone always
---@field overflow? "drop"|"hold" what happens to those above the limits. "drop", the default: they are dropped, which `dropped` counts and `next` (nil, "ENOBUFS", in their place) or, with a function, `onerror` says once until all have been taken. "hold": in a loop nothing more is read from the connection until there is room; what was read with them is kept. In a plain script it has no effect

--- Publishes and waits for the first answer.
---@param subject string
---@param data string|number
---@param timeout? number|lipc.client.request.options seconds
---@return lipc.message? answer, string? message, string? code "ENORESPONDERS" nobody is subscribed to this, "EPERM" the server does not let this user ask, or hear the answer (`_INBOX.>`), "ETIMEDOUT", and those of publish
function Client:request(subject, data, timeout) end

---@class lipc.client.request.options
---@field timeout? number seconds
---@field headers? table<string, string|number|string[]>

--- Publishes and hands out every answer: `for answer in assert(c:requestmany(...)) do`. It ends after `max` of them, `timeout`
--- seconds after the question, or when for `stall` seconds after an answer no other has come. A loop that is left by `break` ends
--- it too.
---@param subject string
---@param data string|number
---@param opts? number|lipc.client.requestmany.options seconds for all answers, or
---@return lipc.answers? answers, string? message, string? code those of publish
function Client:requestmany(subject, data, opts) end

---@class lipc.client.requestmany.options
---@field timeout? number seconds for all answers, default that of `settimeout`
---@field max? integer so many answers
---@field stall? number seconds between one answer and the next
---@field headers? table<string, string|number|string[]>

--- A subject for answers that nobody else has; for `publish` with `reply`, when there are to be several.
---@return string
function Client:inbox() end

--- Waits until the server has handled everything that was published and subscribed. When a connection was lost meanwhile that
--- had taken some of it, says so ("ECONNRESET", once): true means that nothing was lost on the way to the server. Reports also, once, what the server has
--- complained about since the last time, where `onerror` has set no handler.
---@param timeout? number seconds
---@return true? ok, string? message, string? code "ETIMEDOUT", "ECONNRESET", "EPERM" and others of the server's
function Client:flush(timeout) end

--- Waits for so long, for ever, or until `stop` or the end of the client; functions get their messages meanwhile. Those whose
--- time does not suffice get the rest in the next call that waits.
---@param seconds? number 0: functions get what is here
---@return true? ok, string? message, string? code why the client has ended, unless it was closed by `close`
function Client:run(seconds) end

--- Ends every `run`.
---@return true
function Client:stop() end

--- Ends all subscriptions, waits until everything that was under way has been handed to its function and everything published has
--- arrived, and closes. Called inside such a function (also by the callback of a signal that comes there) it returns before that:
--- the function gets the rest when it has returned, then the client closes, and with it `run` ends.
---@param timeout? number seconds
---@return true? ok, string? message, string? code
function Client:drain(timeout) end

--- Where it stands.
---@return "connected"|"reconnecting"|"draining"|"closed"
function Client:status() end

--- The descriptor of its connection. It is the client's: do not read, write or close it.
---@return integer? fd, string? message, string? code "ENOTCONN": there is no connection at the moment
function Client:fd() end

--- The same, by the name under which pollers ask. Another connection has another descriptor.
---@return integer? fd, string? message, string? code "ENOTCONN": there is no connection at the moment
function Client:pollfd() end

--- What to wait for.
---@return "r"|"rw" events
function Client:events() end

--- The poller's question, not the getter of settimeout: 0 while messages wait to be taken, the time until the next attempt to
--- connect while there is no connection.
---@return number? seconds nil: as long as you like
function Client:timeout() end

--- Counters, since the client was made or of this moment.
---@return lipc.client.stats
function Client:stats() end

---@class lipc.client.stats
---@field disconnects integer connections lost
---@field reconnects integer connections made again
---@field messages_held integer messages that have come and nobody has taken
---@field bytes_held integer their bytes
---@field bytes_pending integer bytes published and not yet written
---@field last_error? string why the connection was lost, or could not be made again, the last time
---@field last_code? string its code
---@field max_payload? integer bytes of a message with its headers that the server takes, or the last one took

--- The server, without what is secret in its URL.
---@return string
function Client:url() end

--- Sets the timeout that `request`, `flush`, `next`, `drain` use when they are given none, and of `publish`; initially for ever.
---@param seconds? number nil: for ever
---@return lipc.client self
function Client:settimeout(seconds) end

--- Sets who is told what no call can report: errors of functions (with a traceback, code "ERROR"), complaints of the server
--- ("EPERM" ...), a lost connection ("ECONNRESET", or what the server gave as its reason: "Slow Consumer" with "ENOBUFS" ...).
--- Without a handler the last two go to `warn` and to the next `flush`.
---@param fn? fun(message: string, code: string)
---@return lipc.client self
function Client:onerror(fn) end

--- The servers it knows, without what is secret, the next one to be tried first.
---@return string[]
function Client:servers() end

---@alias lipc.client.status "connected"|"disconnected"|"reconnecting"|"closed"|"lame duck"

--- Sets who is told how the connection fares: "connected" (detail: the server), the first time too when it is an option of `connect`;
--- "disconnected" (why, and the code); "reconnecting" before each attempt at the list of servers (why there is no connection);
--- "lame duck" (the server): it will end soon; "closed" (why), the last. One call after the other; as functions of subscriptions
--- they are called in a task of the loop, or while a call waits in a plain script, and by `close`.
---@param fn? fun(status: lipc.client.status, detail?: string, code?: string)
---@return lipc.client self
function Client:onstatus(fn) end

--- Sends what was published and closes. What has come and was not handed out is dropped (see `drain`). Also the end of a script
--- and collection send what was published.
---@param timeout? number seconds, default that of connecting
---@return true? ok, string? message, string? code not everything could be sent
function Client:close(timeout) end

---@class lipc.subscription
---@field subject string
local Subscription = {}

--- The next message. Only for a subscription without a function.
---@param timeout? number seconds
---@return lipc.message? msg, string? message, string? code "ETIMEDOUT"; "ECONNRESET" the connection was lost and messages may be missing here, said once for each loss: the next call goes on; "ENOBUFS" likewise, they were dropped at the limits of the subscription; "EPERM" likewise, the server has refused the subscription; "EOF" the subscription has ended; "ECANCELED", or what ended it ("ECONNRESET" again and again), the client has
function Subscription:next(timeout) end

--- An iterator over `next(timeout)`: nil at the end; a timeout or an error raises, also a lost connection (the iterator can be
--- called again after it, as `next` can).
---@param timeout? number seconds, for each message
---@return fun(): lipc.message?
function Subscription:messages(timeout) end

--- Ends the subscription: at once, what has come is dropped; or after so many messages in all, of which those that were handed
--- out already are some. One without a function that is collected ends, too.
---@param max? integer
---@return true
function Subscription:unsubscribe(max) end

--- Ends the subscription and loses nothing: returns when the server has seen it, so that all it sent has come, and the function has been
--- given it; without a function `next` still takes it, then says "EOF".
---@param timeout? number seconds
---@return true? ok, string? message, string? code "ETIMEDOUT"
function Subscription:drain(timeout) end

--- How many messages were dropped at its limits.
---@return integer
function Subscription:dropped() end

--- The same as `unsubscribe()`; a second time does nothing. So does the end of a block: `local sub <close>`.
---@return true
function Subscription:close() end

--- Sets the timeout that `next` and `messages` use when they are given none; initially that of the client.
---@param seconds? number nil: for ever
---@return lipc.subscription self
function Subscription:settimeout(seconds) end

--- How many messages wait to be taken.
---@return integer
function Subscription:pending() end

--- The answers to `requestmany`. It is its own iterator: calling it is `next`, which in a loop nobody can ask why there are no more:
--- what is not "EOF", "ETIMEDOUT", "ENORESPONDERS" or "ECANCELED" raises. Closed by `close`, by the end of a block, or collected.
---@class lipc.answers
local Answers = {}

--- The next answer.
---@return lipc.message? answer, string? message, string? code "EOF" there were `max`, "ETIMEDOUT" timeout or stall, "ENORESPONDERS" nobody is subscribed, "EPERM" as with request, "ECANCELED", or why the client has ended
function Answers:next() end

--- Wants no more of them.
---@return true
function Answers:close() end

--- A message received.
---@class lipc.message
---@field subject string
---@field data string
---@field reply? string the subject for answers
---@field headers? table<string, string|string[]> nil: none. A name with several values has a list
local Message = {}

--- Answers.
---@param data string|number
---@param opts? lipc.client.publish.options
---@return true? ok, string? message, string? code "EDESTADDRREQ" nobody asked, "ECANCELED" the client is closed, and those of publish
function Message:respond(data, opts) end
