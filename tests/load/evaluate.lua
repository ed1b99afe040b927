-- Asks for one flag by OFREP, and counts every answer that is not the one expected.
wrk.method = "POST"
wrk.path = "/ofrep/v1/evaluate/flags/max-items"
wrk.body = '{"context":{"targetingKey":"user-1"}}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("FLAGSTONE_KEY")

local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init()
    unexpected = 0
    answered = 0
end

function response(status, _, body)
    answered = answered + 1
    if status ~= 200 or not string.find(body, '"value":50', 1, true) then
        unexpected = unexpected + 1
    end
end

function done(summary, latency)
    local answers, wrong = 0, 0
    for _, thread in ipairs(threads) do
        answers = answers + thread:get("answered")
        wrong = wrong + thread:get("unexpected")
    end
    local errors = summary.errors
    io.write(string.format(
        "\nresult answers=%d rate=%d p99_us=%d unexpected=%d connect=%d read=%d write=%d timeout=%d\n",
        answers, answers / (summary.duration / 1e6), latency:percentile(99), wrong, errors.connect, errors.read, errors.write, errors.timeout
    ))
end
