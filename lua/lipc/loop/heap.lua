--- Internal to lipc.loop: tasks ordered by task.key, the earliest first; task.pos is the place in the heap.
local heap = {}

local function up(h, task, i)
  local key = task.key
  while i > 1 do
    local parent = i // 2
    local p = h[parent]
    if p.key <= key then break end
    h[i], p.pos = p, i
    i = parent
  end
  h[i], task.pos = task, i
end

local function down(h, task, i)
  local key, n = task.key, #h
  while true do
    local child = 2 * i
    if child > n then break end
    local c = h[child]
    if child < n and h[child + 1].key < c.key then
      child = child + 1
      c = h[child]
    end
    if c.key >= key then break end
    h[i], c.pos = c, i
    i = child
  end
  h[i], task.pos = task, i
end

-- Sees to it that the task is found at the deadline.  A key that comes earlier stays where it is:
-- whoever meets it there asks task.deadline, so that a deadline that is set again and again, as that
-- of a read in a loop, costs nothing.
function heap.want(h, task, deadline)
  local pos = task.pos
  if not pos then
    task.key = deadline
    up(h, task, #h + 1)
  elseif deadline < task.key then
    task.key = deadline
    up(h, task, pos)
  end
end

function heap.later(h, task, key)
  task.key = key
  down(h, task, task.pos)
end

function heap.remove(h, task)
  local pos = task.pos
  if not pos then return end
  task.pos = nil
  local n = #h
  local last = h[n]
  h[n] = nil
  if last == task then return end
  if pos > 1 and h[pos // 2].key > last.key then
    up(h, last, pos)
  else
    down(h, last, pos)
  end
end

return heap
