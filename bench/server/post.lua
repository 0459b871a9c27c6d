-- wrk's script: posts files in turn and prints one line of JSON.
-- wrk … -s post.lua URL -- TYPE FILE …
local requests, turn = {}, 0

function init(arguments)
   local headers = { ["Content-Type"] = arguments[1] }
   for i = 2, #arguments do
      local file = assert(io.open(arguments[i], "rb"))
      requests[#requests + 1] = wrk.format("POST", nil, headers, file:read("*a"))
      file:close()
   end
end

function request()
   turn = turn % #requests + 1
   return requests[turn]
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '{"per_s": %.3f, "p50_ms": %.4f, "p99_ms": %.4f, "answers": %d, "answer_bytes": %.1f, "failed": %d}\n',
      summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3,
      latency:percentile(99) / 1e3, summary.requests,
      summary.bytes / math.max(summary.requests, 1),
      errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
