--- Internal: one call of a pool: where its items come from, how many go in a chunk, what became of them.
local room = require("lipc.pool.frame").room
local forks = require("lipc.core").wait().forks

local Call = {}
Call.__index = Call

local TARGET = 0.01       -- seconds that a chunk should take
local LEAST = 0.001       -- less is not worth the messages
local GROWTH = 64         -- no chunk has more items than so many times the last one
local MANY = 7000         -- items in a chunk: more gain nothing
local MOST = 1 << 20      -- bytes in a chunk of several items
local PREFETCH = 0.02     -- a worker gets a second chunk ahead when one takes less,
local AHEAD = 0.004       -- and as many as take this long, should this process have to wait for a processor,
local DEEPEST = 8         -- but never more

-- What became of an item that failed.
local Failure = { __name = "lipc.pool.failure" }

function Failure:__tostring()
  return self.traceback and self.message .. "\n" .. self.traceback or self.message
end

-- options: op, what ("e" each item, "c" also after a failure, "a" apply), id or name of the function, serial of the
-- workers that know it, list or next (an iterator), chunk, retry; ordered (imap: true or false); ahead: the
-- consumer may lag behind by so many items as limit() says.
function Call.new(pool, options)
  local self = setmetatable(options, Call)
  self.pool, self.generation = pool, forks()
  self.results = {}
  self.items = options.list or {}
  self.total = options.list and #options.list or nil
  self.known = self.total or 0   -- items that are there
  self.taken = 0                 -- of these in chunks
  self.done = 0
  self.delivered = 0             -- to the consumer of imap
  self.failed = {}               -- item -> failure
  self.again = {}                -- chunks to be run again
  self.ranges = {}               -- what came in for imap: first item -> count, or a list of {first, count}
  self.numbers = 0
  self.finished = self.total == 0
  self.size = 1
  return self
end

-- Places for all results.  Not before the workers are forked: what they share is copied, page by page, when written.
function Call:make_room()
  if self.done == 0 and self.total and self.ordered == nil then self.results = room(self.total) end
end

-- ---- handing out ----

local function chunk_size(self)
  if self.chunk then return self.chunk end
  if not self.rate then return 1 end
  local n = TARGET / self.rate
  n = n < self.size * GROWTH and n or self.size * GROWTH
  if self.bytes * n > MOST then n = MOST / self.bytes end
  local workers = self.pool.options.workers
  if self.total then -- the last ones are small, so that all end together
    local share = (self.total - self.taken) / (2 * workers)
    if share < n then n = math.max(share, math.min(n, LEAST / self.rate)) end
  end
  if self.ahead then n = math.min(n, self:limit() / (2 * workers)) end
  n = math.ceil(n < MANY and n or MANY)
  return n >= 1 and n or 1
end

-- Whether there is a chunk to be given out now.
function Call:more()
  if self.finished or self.over then return false end
  if self.again[1] then return true end
  if self.stopped or self.taken >= self.known then return false end
  return not self.ahead or self.taken - self.delivered < self:limit()
end

-- How many items may be under way or waiting for the consumer.
function Call:limit()
  return self.max_pending or math.max(8, 4 * self.size) * self.pool.options.workers
end

function Call:next_chunk()
  local chunk = table.remove(self.again)
  if chunk then
    self.numbers = self.numbers + 1
    chunk.number = self.numbers
    return chunk
  end
  local n = chunk_size(self)
  if n > self.known - self.taken then n = self.known - self.taken end
  if self.ahead then n = math.min(n, self:limit() - (self.taken - self.delivered)) end
  self.numbers = self.numbers + 1
  chunk = { call = self, from = self.taken + 1, n = n, number = self.numbers, tries = 0 }
  self.taken = self.taken + n
  if not self.chunk then self.size = n end
  return chunk
end

-- How many chunks a worker may have of this call.
function Call:depth()
  local one = self.rate and self.rate * self.size
  if not one or one >= PREFETCH then return 1 end
  local n = math.min(AHEAD / one, 2 * MOST / (self.bytes * self.size), DEEPEST)
  return n > 2 and n or 2
end

-- ---- coming in ----

local function failure(self, item, f)
  local text = tostring(f.text)
  local where = self.what == "a" and "" or (" item %d"):format(item)
  return setmetatable({
    item = item, error = f.value == nil and text or f.value, code = type(f.code) == "string" and f.code or "ERROR",
    message = ("pool.%s%s: %s"):format(self.op, where, text),
    traceback = type(f.traceback) == "string" and f.traceback or nil,
  }, Failure)
end

local function arrived(self, from, n)
  self.done = self.done + n
  self.news = true
  if self.ordered == nil then self.delivered = self.done end
  if self.source then -- a list stays its owner's
    for i = from, from + n - 1 do self.items[i] = nil end
  end
  if self.ordered then
    self.ranges[from] = n
  elseif self.ordered == false then
    self.ranges[#self.ranges + 1] = { from, n }
  end
  if self.done == self.total then self.finished = true end
end

-- Whether it is the parent's: its workers are nothing of ours, and will tell us nothing.
function Call:foreign()
  return self.generation ~= forks()
end

-- A failure that is not an item's.
function Call:broken(message, code)
  return setmetatable({ message = ("pool.%s: %s"):format(self.op, message), error = message, code = code }, Failure)
end

function Call:fail(f)
  if self.finished then return end -- what has come is not taken back
  self.failure = f
  self.finished, self.news = true, true
end

-- A chunk was answered; failed: item -> error, by their places in it.
function Call:completed(chunk, failed, seconds, bytes)
  local n, from = chunk.n, chunk.from
  if failed and next(failed) then
    local first
    for i = 1, n do
      local f = failed[i]
      if f then
        f = failure(self, from + i - 1, type(f) == "table" and f or { text = f })
        self.failed[f.item], self.results[f.item] = f, nil
        first = first or f
      end
    end
    if first and self.what ~= "c" then
      if self.ordered == nil then return self:fail(first) end
      self.stopped = true -- what comes before it is delivered all the same
      n = first.item - from + 1
    end
  elseif seconds >= 0 and seconds < 1e9 then
    local before = self.measured or 0
    self.rate = ((self.rate or 0) * before + seconds) / (before + n) -- of the last two chunks
    self.measured = n
    bytes = (bytes + chunk.bytes) / n
    self.bytes = math.max(bytes, self.bytes or 0)
  end
  return arrived(self, from, n)
end

-- Its worker has ended.  begun: an item of it may have been at work; which one is not known if there are several.
function Call:lost(chunk, begun, why, code)
  if not begun then
    self.again[#self.again + 1] = chunk
    return
  end
  local tries = chunk.tries + 1
  if tries <= self.retry then
    for i = chunk.n, 1, -1 do
      self.again[#self.again + 1] = { call = self, from = chunk.from + i - 1, n = 1, tries = tries }
    end
    return
  end
  local failed = {}
  for i = 1, chunk.n do failed[i] = { text = why, code = code } end
  self:completed(chunk, failed)
end

-- What an item that cannot be sent is to its caller.
function Call:refuse(message)
  self.misuse = message
  self.finished, self.news = true, true
end

return Call
