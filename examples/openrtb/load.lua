-- For wrk: posts the lines of a file in turn.
--   wrk ... -s load.lua http://HOST:PORT/openrtb2/auction -- requests.jsonl
local bodies = {}
local at = 0

function init(args)
  for line in io.lines(args[1]) do
    bodies[#bodies + 1] = wrk.format("POST", nil, { ["content-type"] = "application/json" }, line)
  end
end

function request()
  at = at % #bodies + 1
  return bodies[at]
end

function done(summary, latency, _)
  local failed = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.3f,"p50_us":%d,"p99_us":%d,"status":%d,"socket":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    failed.status, failed.connect + failed.read + failed.write + failed.timeout))
end
