---@meta lipc.progress

--- How far something has come, shown on a terminal.
---@class lipc.progress.module
local progress = {}

--- A bar: "label [####....]  50%  500/1000  0:07", with the time that is left. It is drawn on a terminal only, at most every
--- interval and when it is full, never wider than COLUMNS or else the terminal. Elsewhere it is silent, or with `plain` a
--- line for each quarter.
---@param options? lipc.progress.options
---@return lipc.progress.bar bar
function progress.bar(options) end

---@class lipc.progress.options
---@field label? string
---@field total? number may also come with each update; without one the bar counts
---@field file? file* default io.stderr
---@field plain? boolean a line for each quarter where file is no terminal
---@field width? number characters; default: the environment variable COLUMNS, else the terminal's
---@field interval? number seconds between two drawings, default 0.1

--- Can be called as `bar(done, total)`, which is `update`: so it is a progress callback as it stands. Closing, and
--- collection, end a line that is not finished; `local bar <close>` does so at an error.
---@class lipc.progress.bar
local Bar = {}

--- Says how far it is.
---@param done number
---@param total? number
---@return lipc.progress.bar self
function Bar:update(done, total) end

--- Says that n more are done.
---@param n? number default 1
---@return lipc.progress.bar self
function Bar:advance(n) end

--- Takes the line away, so that something else can be written; the next update draws it again.
---@return lipc.progress.bar self
function Bar:clear() end

--- Ends the line.
---@return true ok
function Bar:close() end

return progress
