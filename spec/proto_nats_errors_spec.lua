local classify = require "lipc.proto.nats_errors".classify
local recorded = require "spec.proto_transcripts"

describe("proto.nats_errors", function ()
  it("knows the errors of nats-server in any case", function ()
    assert.same({ false, "EPERM" }, { classify 'Permissions Violation for Publish to "a"' })
    assert.same({ true, "EACCES" }, { classify "authorization violation" })
    assert.same({ true, "EACCES" }, { classify "User Authentication Expired" })
    assert.same({ true, "ENOBUFS" }, { classify "Slow Consumer" })
    assert.same({ true, "EPROTO" }, { classify "who knows" })
    assert.same({ true, "EPROTO" }, { classify "" })
  end)

  it("agrees with what was recorded: an error is fatal when the connection was closed", function ()
    local seen = 0
    for _, transcript in ipairs(recorded.transcripts) do
      local last
      for text in transcript[4]:gmatch "%-ERR '([^\n]*)'\r\n" do last = text end
      if last then
        seen = seen + 1
        assert.equal(transcript.closed or false, (classify(last)), transcript[1])
      end
    end
    assert.is_true(seen > 50)
  end)
end)
