---@meta lipc.process

--- Child processes and pipelines of them.
---
--- A program is given as a list, no shell is involved: `{"grep", "-c", word}`; for a shell say
--- `{"sh", "-c", script}`. Children start with default signal dispositions, an empty signal mask and no
--- descriptors but 0, 1, 2 and those passed to them, whatever this process has. Starting one takes no longer
--- when this process is large. Linux 5.4 or later.
---@class lipc.process.module
local process = {}

--- What a child gets as a descriptor. "inherit": ours (the default); "null": /dev/null; "pipe": a new pipe whose other
--- end is the field stdin, stdout or stderr of the process; "stdout", "stderr", "stdin": the same as that one; a number,
--- a Lua file (flushed first) or an lipc object (what setvbuf holds back goes first; its descriptor is switched to
--- blocking mode, as programs expect, our own use of it stays as it was); or a file: `{path = "log", mode = "a"}`,
--- mode "r", "w" (made or emptied), "a", "r+" or "x" (must not exist), mode 0666 less the umask; a FIFO is not
--- waited for (open it by ipc.fifo and pass the object).
---@alias lipc.process.descriptor
---| "inherit"
---| "null"
---| "pipe"
---| "stdin"
---| "stdout"
---| "stderr"
---| integer
---| file*
---| lipc.object
---| { path: string, mode?: string }

--- What all children can be told.
---@class lipc.process.child
---@field stdin? lipc.process.descriptor
---@field stdout? lipc.process.descriptor
---@field stderr? lipc.process.descriptor
---@field fds? table<integer, lipc.process.descriptor> further descriptors by number; "inherit" keeps one that is not close-on-exec or is; "pipe" only for the three above
---@field cwd? string working directory; a relative path of the program is relative to it
---@field pgroup? boolean|integer|lipc.process true: leads a new process group; a number or process: joins that one's
---@field session? boolean a new session, and so a new group, without a terminal -- see setsid(2)
---@field umask? string|integer "022", or 18
---@field nice? integer added to ours
---@field limits? table<string, integer|string|table> by the names of setrlimit(2) in small letters: nofile, as, core, cpu, data, fsize, stack, nproc, memlock ...; a number or "unlimited" for both, or {soft, hard}
---@field keep_mask? boolean the child starts with our signal mask
---@field pdeathsig? string signal that it gets when the thread that made it ends -- see prctl(2)
---@field kill_on_close? boolean closing or collecting the object kills it (SIGKILL), with its group when it leads one

--- A program and how it shall run: the program and its arguments (strings or numbers) at 1, 2, ...
---@class lipc.process.program : lipc.process.child
---@field [integer] string|number
---@field env? table<string, string|number> the whole environment
---@field env_add? table<string, string|number|false> changes to ours; false takes a variable out
---@field search? boolean|string where a program without a slash is looked for; default: PATH of the child's environment; false: nowhere; or directories with colons between
---@field arg0? string what the program sees as its own name

--- Starts a program. What fails on the way is told with the step: "process.spawn: exec /x: Permission denied"; "chdir /x", "open /x",
--- "dup2 9 to 3", "setpgid", "setsid", "setrlimit nofile", "nice"; then there is no process.
--- What C buffers of standard output and error is flushed first if the child shares them.
--- -- see execve(2), clone(2)
---@param program lipc.process.program
---@return lipc.process? process, string? message, string? code "ENOENT", "EACCES", "E2BIG", "ENOEXEC", "EMFILE", "EAGAIN" ...
function process.spawn(program) end

---@class lipc.process.forked : lipc.process.child
---@field threads? boolean fork although this process has several threads: the child has only this one, and locks that others hold stay held there

--- Runs a function in a copy of this process, with copies of all that it sees. It ends with the function: exit code 0, or
--- the integer from 0 to 255 that it returned; or 1 for a failure: `false`, `nil, message` (the message is in the
--- status) or an error, which is in the status with its traceback; another number is an error. The child runs
--- under no scheduler, has default signal dispositions, and ends without finalisers (os.exit in it would run the host's).
--- Standard output and error are flushed before and after, and what the function wrote to lipc streams with setvbuf after
--- it, each within the stream's default timeout; what could not go makes it exit code 1, with the error in the status.
--- What the parent had buffered remains the parent's. All descriptors stay open in the child: close the ends of pipes that are not its own.
--- "ENOTSUP" in a process with several threads. -- see fork(2)
---@param fn fun(): any, any
---@param options? lipc.process.forked
---@return lipc.process? process, string? message, string? code "ENOTSUP", "EAGAIN", "ENOMEM", or as spawn
function process.fork(fn, options) end

--- Of run, pipeline and commands.
---@class lipc.process.running
---@field stdin? lipc.process.descriptor of the first; default "inherit"
---@field stdout? lipc.process.descriptor of the last; default "pipe": collected in the result
---@field stderr? lipc.process.descriptor of all; default "pipe": collected in the result; a file is opened once for all
---@field input? string|fun(): string? written to the first's standard input, which is then closed; a function is called until it gives nil
---@field timeout? number seconds for the whole; then SIGTERM to all, SIGKILL after kill_after seconds to those that still run, grandchildren too; "ETIMEDOUT", and what there was as fourth result
---@field kill_after? number seconds, default 1; 0: SIGKILL at once
---@field max? integer bytes collected of one output; beyond it all is ended: "EMSGSIZE"
---@field check? boolean a stage that did not end with exit code 0 is a failure: "EXIT", or the name of the signal; except one that died of SIGPIPE because its reader had enough
---@field pgroup? boolean a process group of their own: default true, but false when the terminal is their standard input and there is no timeout; then a grandchild may escape

---@class lipc.process.runnable : lipc.process.program, lipc.process.running

--- Runs one program to its end. Waits for the program, not for grandchildren that keep its pipes open. An error
--- raised meanwhile (Ctrl-C, a cancelled task) kills it.
---@param program lipc.process.runnable
---@return lipc.process.result? result, string? message, string? code, lipc.process.result? partial "ETIMEDOUT", "EMSGSIZE", "EXIT", a signal's name, "ECHILD", or as spawn
function process.run(program) end

--- A stage: a program; or a Lua function `function(input, output, errors)` that reads its input by lines, read or readsome,
--- and writes. It runs as a coroutine beside the others, so it must not block by other means; with fork = true in a
--- process of its own. A write whose reader has gone ends it quietly, with SIGPIPE as status.
--- Its output, unless that is an lipc object of yours, is buffered (`setvbuf "full"`, which it may change): what it
--- wrote goes on when 16 KiB are full, whenever it waits for whatever, and in the end; with fork = true it is
--- unbuffered. It fails, with exit code 1, by an error, by output that could not be written, by `return nil, message`
--- and by `return false`; whatever else it returns, a count perhaps, is no failure and no exit code.
---@alias lipc.process.stage lipc.process.program | fun(input: lipc.stream.input, output: lipc.stream.output, errors: lipc.stream.output): any

--- The stages at 1, 2, ...; further options of a program (cwd, env, limits ...) are defaults for all stages. A function with
--- options is {fn, fork = true, stderr = ...}.
---@class lipc.process.pipe : lipc.process.running
---@field [integer] lipc.process.stage
---@field fork? boolean functions run in processes of their own

--- Runs programs and functions, the output of each the input of the next. Nothing deadlocks, however much they write.
--- When it returns all have ended; an error raised meanwhile kills all.
---@param stages lipc.process.pipe
---@return lipc.process.result? result, string? message, string? code, lipc.process.result? partial as run
function process.pipeline(stages) end

---@class lipc.process.result
---@field ok boolean all stages ended with exit code 0 (or, but for the last, of SIGPIPE)
---@field failed? integer the first stage that did not
---@field status lipc.process.status of the last stage
---@field stdout? string
---@field stderr? string of all stages, one after the other
---@field stages { name: string, status: lipc.process.status, stderr: string? }[]

--- How a process ended; tostring gives "exit 3" or "SIGPIPE".
---@class lipc.process.status
---@field ok boolean exit code 0
---@field code? integer exit code; nil: a signal ended it
---@field signal? string its name
---@field core? boolean it dumped core
---@field error? string of a Lua function: its error and traceback, or the message that it returned

--- A child process, held by a descriptor that never comes to mean another process; readable when it has ended. A child
--- of fork can signal its parent's children, not wait for them. Closed or collected, the process runs on
--- (but see kill_on_close) and no zombie stays: its end is noticed when lipc is called or Lua collects garbage.
---@class lipc.process : lipc.object
---@field stdin? lipc.pipe.writer our end of "pipe"
---@field stdout? lipc.pipe.reader
---@field stderr? lipc.pipe.reader
local Process = {}

--- Waits for the end. The same table every time. -- see waitid(2)
---@param timeout? number seconds
---@return lipc.process.status? status, string? message, string? code "ETIMEDOUT", "ECANCELED"; "ECHILD": somebody else took the status, as in a host that ignores SIGCHLD
function Process:wait(timeout) end

--- As wait, without waiting.
---@return lipc.process.status|false|nil status false: it runs
---@return string? message
---@return string? code "ECHILD"
function Process:status() end

--- Waits for the end but leaves the status with the kernel, for wait; until then the number is taken by nobody else.
---@param timeout? number seconds
---@return true? ok, string? message, string? code "ETIMEDOUT", "ECANCELED"
function Process:exited(timeout) end

--- Sends a signal to this process and never to another that got its number. -- see pidfd_send_signal(2)
---@param signal? string|integer "SIGTERM" (the default), "TERM" or 15; 0 only asks
---@return true? ok, string? message, string? code "ESRCH": it is gone; "EPERM"
function Process:kill(signal) end

--- Sends a signal to the process group that it leads or led, also after its own end. Misuse unless it was made with pgroup =
--- true or session = true. Before Linux 6.9: not after its status was taken.
---@param signal? string|integer
---@return true? ok, string? message, string? code "ESRCH": nobody is left; "EPERM"
function Process:killgroup(signal) end

--- The number, also of one that has ended or was closed.
---@return integer pid
function Process:pid() end

--- Writes input to its stdin, closes that, and reads all of stdout and stderr meanwhile, as far as they are pipes, until it
--- has ended. After "ETIMEDOUT" the process runs on and the next call goes on where this one was; the fourth
--- result is what was read so far. Once it has come to the end, calling it again is misuse. The process remains the
--- caller's, whatever comes; after an error raised meanwhile (Ctrl-C, a cancelled task) too.
---@param input? string
---@param options? { timeout?: number, max?: integer } seconds; bytes of one output, beyond it "EMSGSIZE"
---@return { stdout: string?, stderr: string?, status: lipc.process.status }? result, string? message, string? code, table? partial
function Process:communicate(input, options) end

--- Gives it up, with the pipes to it. It runs on, or is killed when it was made with kill_on_close.
---@return true ok
function Process:close() end

--- What a function in a pipeline reads or writes where that is no pipe of the pipeline's.
---@class lipc.process.stream : lipc.stream.input, lipc.stream.output

--- Commands: values that are joined by `/` (or by programs and functions right of it) and then run. Joining changes
--- neither side. tostring shows it as a shell would write it.
---@class lipc.command
local Command = {}

--- Runs it as process.pipeline does.
---@param options? lipc.process.running
---@return lipc.process.result? result, string? message, string? code, lipc.process.result? partial
function Command:run(options) end

--- Runs it with check = true and gives what it wrote.
---@param options? lipc.process.running
---@return string? stdout, string? message, string? code, lipc.process.result? partial
function Command:output(options) end
