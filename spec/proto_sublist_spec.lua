local sublist = require "lipc.proto.sublist"
local subject = require "lipc.proto.subject"
local support = require "spec.proto_support"

-- What a result holds, as one sorted text.
local function describe_result(result)
  local names = {}
  for i = 1, result.n do
    names[i] = result[i].name
  end
  for _, group in ipairs(result.groups or {}) do
    for i = 1, group.n do
      table.insert(names, group.name .. ":" .. group[i].name)
    end
  end
  table.sort(names)
  return table.concat(names, " ")
end

local function describe_model(subscriptions, text)
  local names = {}
  for _, one in pairs(subscriptions) do
    if subject.matches(one.subject, text) then
      table.insert(names, (one.queue and one.queue .. ":" or "") .. one.name)
    end
  end
  table.sort(names)
  return table.concat(names, " ")
end

describe("proto.sublist", function ()
  local list, count
  before_each(function ()
    list, count = sublist.new(), 0
  end)

  local function add(pattern, queue)
    count = count + 1
    local one = { subject = pattern, queue = queue, name = pattern .. "#" .. count }
    list:insert(one)
    return one
  end

  it("finds nothing in an empty list", function ()
    assert.equal(0, list:match("a.b").n)
    assert.is_nil(list:match("a.b").groups)
  end)

  it("finds plain subscriptions through every kind of token", function ()
    for _, pattern in ipairs { "a.b", "a.*", "*.b", "*.*", "a.>", ">", "*.>", "a", "b.>", "a.b.c", "a.c" } do
      add(pattern)
    end
    assert.equal("*.*#4 *.>#7 *.b#3 >#6 a.*#2 a.>#5 a.b#1", describe_result(list:match "a.b"))
    assert.equal(">#6 a#8", describe_result(list:match "a"))
  end)

  it("joins the members of one group that subscribed by different patterns", function ()
    add("a.b", "g")
    add("a.*", "g")
    add("a.>", "h")
    local groups = list:match("a.b").groups
    assert.equal(2, #groups)
    assert.equal("g:a.*#2 g:a.b#1 h:a.>#3", describe_result(list:match "a.b"))
  end)

  it("matches a published wildcard to each subscription once", function ()
    add "a.*"
    add "a.>"
    add "a.b"
    assert.equal("a.*#1 a.>#2", describe_result(list:match "a.*"))
    assert.equal("a.*#1 a.>#2", describe_result(list:match "a.>"))
  end)

  it("matches nothing to a subject with an empty token", function ()
    add ">"
    add "*.*"
    for _, text in ipairs { "", ".", "a.", ".a", "a..b" } do
      assert.equal(0, list:match(text).n, text)
    end
  end)

  it("keeps a result that is being walked as it was", function ()
    local one = add "a"
    local result = list:match "a"
    list:remove(one)
    add "a"
    assert.equal(1, result.n)
    assert.equal(one, result[1])
    assert.are_not.equal(one, list:match("a")[1])
  end)

  it("ignores what is not in the list and refuses what is already", function ()
    local one = add "a"
    assert.is_true(list:remove(one))
    assert.is_false(list:remove(one))
    list:insert(one)
    assert.has_error(function () list:insert(one) end)
  end)

  it("gives back every node", function ()
    local all = {}
    for i = 1, 300 do
      all[i] = add(("a%d.*.b%d.>"):format(i % 7, i % 31), i % 3 == 0 and "g" .. i % 5 or nil)
    end
    assert.is_true(list.nodes > 0)
    for _, one in ipairs(all) do
      list:remove(one)
    end
    assert.equal(0, list.nodes)
    assert.equal(0, list.count)
    assert.same({}, list.root.kids)
  end)

  it("agrees with a plain model under churn", function ()
    local seed = support.seed "sublist churn"
    local words = { "a", "b", "c", "*", ">", "a*" }
    local function random_subject(last)
      local tokens = {}
      for i = 1, math.random(4) do
        tokens[i] = words[math.random(last)]
      end
      return table.concat(tokens, ".")
    end
    -- A small cache turns over all the time.
    for _, weight in ipairs { 1 << 20, 4000 } do
      list = sublist.new { cache_weight = weight }
      local model, names, matched = {}, {}, 0
      for step = 1, 6000 do
        local dice = math.random(10)
        if dice <= 2 then
          local pattern = random_subject(#words)
          if subject.is_pattern(pattern) then
            local one = { subject = pattern, queue = math.random(3) == 1 and "g" .. math.random(2) or nil, name = "s" .. step }
            list:insert(one)
            model[one.name] = one
            table.insert(names, one.name)
          end
        elseif dice <= 4 and #names > 0 then
          local name = table.remove(names, math.random(#names))
          assert.is_true(list:remove(model[name]))
          model[name] = nil
        else
          local text = random_subject(math.random(6) == 1 and #words or 3)
          local found = describe_result(list.cache[text] or list:match(text))
          matched = matched + (found ~= "" and 1 or 0)
          assert.equal(describe_model(model, text), found, ("seed %d step %d subject %s"):format(seed, step, text))
        end
      end
      assert.is_true(matched > 100)
    end
  end)

  local function cached(generation)
    local n = 0
    for _ in pairs(generation.results) do n = n + 1 end
    return n
  end

  it("bounds the cache, whatever is asked, and keeps what is in use", function ()
    list = sublist.new { cache_weight = 100000 }
    add "hot"
    local hot = list:match "hot"
    for i = 1, 20000 do
      list:match("once." .. i)
      assert.equal(hot, list:match "hot")
    end
    assert.is_true(cached(list.young) + cached(list.old) < 100000 / 96)
  end)

  it("counts the subscriptions of a result in its weight", function ()
    list = sublist.new { cache_weight = 100000 }
    for i = 1, 200 do
      list:insert { subject = "*." .. (i % 2 == 0 and "*" or ">"), name = i }
    end
    for i = 1, 100 do
      list:match("x." .. i)
    end
    assert.is_true(cached(list.young) + cached(list.old) <= 100000 // (200 * 96))
  end)

  it("forgets only what a change can touch", function ()
    add "a.b"
    local kept, touched = list:match "x.y", list:match "a.b"
    add "a.*"
    assert.equal(kept, list.cache["x.y"])
    assert.are_not.equal(touched, list:match "a.b")
    kept = list:match "x.y"
    local star = add "*.y"
    assert.are_not.equal(kept, list:match "x.y")
    kept = list:match "x.y"
    list:remove(star)
    assert.are_not.equal(kept, list:match "x.y")
  end)

  it("forgets results of the older generation too", function ()
    for _, pattern in ipairs { "a.b", "a.*" } do
      list = sublist.new { cache_weight = 20000 }
      list:match "a.b"
      while list.young.results["a.b"] do
        list:match("fill." .. math.random(1 << 30))
      end
      assert.is_table(list.old.results["a.b"])
      local one = add(pattern)
      assert.equal(one, list:match("a.b")[1], pattern)
    end
  end)

  it("costs nothing for subscriptions that do not match", function ()
    add "a.*.>"
    for i = 1, 20000 do
      add(("z%d.*.q"):format(i))
      add(("a.q%d.>"):format(i))
    end
    local visited = 0
    local original = list.root.kids
    list.root.kids = setmetatable({}, { __index = function (_, key) visited = visited + 1 return original[key] end })
    for i = 101, 200 do
      list:match("a.b.c" .. i)
    end
    list.root.kids = original
    -- at the root: `>`, `*` and the token
    assert.equal(300, visited)
  end)
end)
