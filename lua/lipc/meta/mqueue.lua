---@meta lipc.mqueue

--- POSIX message queues: whole messages with priorities, in the kernel, under a name, for processes that are no
--- relatives. A queue lives, with what is in it, until it is unlinked and nobody has it open, or the machine is shut
--- down. Linux, where a queue is a descriptor: everything that waits for descriptors can wait for it. -- see mq_overview(7)
---@class lipc.mqueue.module
---@field PRIO_MAX integer priorities are below it
local mqueue = {}

---@class lipc.mqueue.options
---@field access? "r"|"w"|"rw" default "rw"
---@field create? boolean makes the queue if it is not there; default: "ENOENT"
---@field exclusive? boolean with create: "EEXIST" if it is there already
---@field mode? integer|string permission bits of a queue that is made, an octal string such as "0640" or a number; default "0600"; the umask is taken from it, as always
---@field maxmsg? integer with create: how many messages it takes; default: fs.mqueue.msg_default, which is 10. Without privileges at most fs.mqueue.msg_max
---@field msgsize? integer with create: of how many bytes each at most; default: fs.mqueue.msgsize_default, which is 8192. Without privileges at most fs.mqueue.msgsize_max
---@field unlink? boolean with create: what this call has made is removed when the object is closed or collected (`os.exit(0)` does neither, `os.exit(0, true)` does); by the process that made it, and only if the name is still this queue's

--- Opens a queue. One that exists is opened with the mode, maxmsg and msgsize that it has, whatever is asked for here, as
--- mq_open(3) does it; `getattr` tells. Names are "/" and 1 to 255 bytes without another "/"; anything else is misuse. A limit that was hit is named in the message with its
--- value and how to raise it: "EMFILE" is either that of descriptors or RLIMIT_MSGQUEUE, "ENOSPC" fs.mqueue.queues_max,
--- "EINVAL" msg_max or msgsize_max. -- see mq_open(3), mq_overview(7)
---@param name string
---@param opts? lipc.mqueue.options
---@return lipc.mqueue? queue, string? message, string? code "ENOENT", "EEXIST", "EACCES", "EMFILE", "ENFILE", "ENOSPC", "EINVAL", "EOVERFLOW", "ENOMEM", "ENOSYS"
function mqueue.open(name, opts) end

--- Takes over an open queue; it keeps its flags and is closed with the object. A descriptor that is not open or no queue is
--- misuse. Every deadline is kept, in whatever mode it is.
---@param fd integer
---@return lipc.mqueue queue
function mqueue.fromfd(fd) end

--- Removes the name at once; who has the queue open goes on. -- see mq_unlink(3)
---@param name string
---@return true? ok, string? message, string? code "ENOENT", "EACCES", "EPERM"
function mqueue.unlink(name) end

--- All queues of this IPC namespace, by name, where they are files in /dev/mqueue. Where that is not mounted the error
--- ("ENOENT") says how to mount it; root can. -- see mq_overview(7)
---@return lipc.mqueue.entry[]? list, string? message, string? code "ENOENT", "EACCES", "EMFILE"
function mqueue.list() end

--- Of queues that this process may not read only the first four fields are there.
---@class lipc.mqueue.entry
---@field name string with its "/"
---@field mode integer permission bits
---@field uid integer its owner
---@field gid integer
---@field size? integer bytes queued
---@field maxmsg? integer
---@field msgsize? integer
---@field curmsgs? integer messages queued
---@field notify? "signal"|"thread"|"none" what process pid has asked for; absent: nobody has
---@field pid? integer
---@field signo? integer of "signal"
---@field signal? string its name

--- A queue. Several coroutines, threads and processes may send and receive at once: each message goes to one of them, whole.
--- After a fork both processes use the same queue.
---@class lipc.mqueue : lipc.object
local Queue = {}

---@class lipc.mqueue.send_options
---@field priority? integer 0 (default) to PRIO_MAX - 1
---@field timeout? number seconds

--- Puts a message in, waiting while the queue is full. The time is measured on the monotonic clock: setting the
--- system's clock, on which mq_timedsend(3) counts, makes no difference. On an object with access "r" it is misuse. -- see mq_send(3)
---@param data string may be empty
---@param opts? number|lipc.mqueue.send_options seconds, or a table
---@return true? ok, string? message, string? code "ETIMEDOUT", "EMSGSIZE" longer than the queue's msgsize
function Queue:send(data, opts) end

--- Takes out the oldest message of the highest priority, waiting while there is none; time as for send. On an object with
--- access "w" it is misuse. A message for which there is no memory left is not lost: the next call gives it. -- see mq_receive(3)
---@param timeout? number seconds
---@return string? data, integer|string priority_or_message, string? code "ETIMEDOUT"
function Queue:receive(timeout) end

---@class lipc.mqueue.attributes
---@field maxmsg integer how many messages it takes
---@field msgsize integer of how many bytes at most
---@field curmsgs integer how many are in it
---@field nonblock boolean O_NONBLOCK of the open description

--- -- see mq_getattr(3)
---@return lipc.mqueue.attributes? attr, string? message, string? code
function Queue:getattr() end

--- Sets O_NONBLOCK, which is all that can be set, of the open description: for other programs that share it, as a child that
--- was given it. Waits of lipc are the same in either mode. -- see mq_setattr(3)
---@param attr {nonblock: boolean}
---@return true? ok, string? message, string? code
function Queue:setattr(attr) end

--- What the kernel knows. -- see fstat(2), mq_getattr(3)
---@return lipc.mqueue.stat? stat, string? message, string? code
function Queue:stat() end

---@class lipc.mqueue.stat
---@field type "mqueue"
---@field dev integer
---@field ino integer
---@field mode integer permission bits
---@field maxmsg integer
---@field msgsize integer
---@field curmsgs integer

---@class lipc.mqueue.notify_options
---@field value? integer of 32 bits, default 0

--- Asks the kernel to send this process the signal, once, when a message comes to the queue while it is empty; without
--- arguments takes that back. `signal.on` hears of it; `signal.set` also gets the code "SI_MESGQ", pid and uid of the
--- sender of the message, and the value. One process at a time can ask, of all that use the queue: "EBUSY". A process that
--- blocks in mq_receive(3) takes the message without a notification; lipc waits in poll, which does not prevent it. It is
--- over when the signal was sent, when the process ends, and when it closes any descriptor of this queue. A loop needs none of
--- this: it waits for the descriptor. -- see mq_notify(3)
---@param sig? lipc.signal.name
---@param opts? lipc.mqueue.notify_options
---@return true? ok, string? message, string? code "EBUSY"
function Queue:notify(sig, opts) end
