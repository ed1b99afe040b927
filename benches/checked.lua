-- Asks for one thing over and over, and counts every answer that is not 200 or does not begin with what is expected.
-- BENCH_METHOD, BENCH_PATH, BENCH_BODY, BENCH_KEY: what is asked; BENCH_EXPECTED: what the answer begins with;
-- BENCH_PAUSE: the milliseconds between an answer and the next question, if any.
local expected = os.getenv("BENCH_EXPECTED")
local length = #expected
local pause = tonumber(os.getenv("BENCH_PAUSE") or "0")

wrk.method = os.getenv("BENCH_METHOD")
wrk.path = os.getenv("BENCH_PATH")
if wrk.method == "POST" then
    wrk.body = os.getenv("BENCH_BODY")
    wrk.headers["Content-Type"] = "application/json"
end
if os.getenv("BENCH_KEY") then
    wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
end

local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init()
    unexpected = 0
    answered = 0
end

if pause > 0 then
    function delay()
        return math.random(0, 2 * pause)
    end
end

function response(status, _, body)
    answered = answered + 1
    if status ~= 200 or string.sub(body, 1, length) ~= expected then
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
        "\nresult answers=%d rate=%d p50_us=%d p99_us=%d unexpected=%d connect=%d read=%d write=%d timeout=%d\n",
        answers, answers / (summary.duration / 1e6), latency:percentile(50), latency:percentile(99), wrong,
        errors.connect, errors.read, errors.write, errors.timeout
    ))
end
