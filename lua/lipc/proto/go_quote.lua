-- go_quote.lua - quotes a string as Go's %q writes it, which nats-server's texts have.
-- Pure: no I/O, no clock.    SPDX-License-Identifier: MIT

local GO_ESCAPES = {
  ["\a"] = "\\a", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\v"] = "\\v",
  ['"'] = '\\"', ["\\"] = "\\\\",
}

---@param text string
---@return string
local function go_quote(text)
  local bytes = utf8.len(text) and "[\0-\31\127\"\\]" or "[\0-\31\127-\255\"\\]"
  return '"' .. text:gsub(bytes, function (c) return GO_ESCAPES[c] or ("\\x%02x"):format(c:byte()) end) .. '"'
end

return go_quote
