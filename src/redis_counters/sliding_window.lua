-- Counts one request at several limits, as `Counter` in layers/src/rate_limit/counter.rs counts at one: the two are held
-- against each other by tests/redis/script.rs.
--
-- KEYS: one for each limit. ARGV: of each its requests, window, block_for (milliseconds) and whether it is only observed
-- (1 or 0). Returns of each, in order, whether it allows the request (1 or 0), what remains and when that grows; the last
-- is the first that refuses and is not observed.
--
-- A key holds `seen` (when it was last asked), `over` (when it went over a limit that blocks), and `times` (of each
-- request) or `start`, `width`, `before`, `current` (two weighted buckets). The time is that of Redis: the servers'
-- clocks may differ.

local EXACT = 64

local function div(a, b)
  return (a - math.fmod(a, b)) / b
end

local function share(count, part, whole)
  return div(count * part + whole - 1, whole)
end

local function fades(before, room, width)
  return math.max(width - div(room * width, math.max(before, 1)), 0)
end

local function advance(state, now)
  local passed = div(now - state.start, state.width)
  if passed > 0 then
    state.before = passed == 1 and state.current or 0
    state.current = 0
    state.start = state.start + passed * state.width
  end
end

local function within(state, window, now)
  advance(state, now)
  local into = now - state.start
  if window < into then
    return share(state.current, window, into)
  end
  return share(state.before, math.min(window - into, state.width), state.width) + state.current
end

local function forget(state, window, now)
  local times = {}
  for _, time in ipairs(state.times) do
    if time + window > now then
      times[#times + 1] = time
    end
  end
  state.times = times
end

local function buckets(state, counted, width, now)
  state.times = nil
  state.start, state.width, state.before, state.current = now, width, 0, counted
end

-- Takes over what was counted where the quota is now counted another way.
local function adapt(state, requests, window, now)
  local exact = requests <= EXACT
  if state.times and not exact then
    forget(state, window, now)
    buckets(state, #state.times, window, now)
  elseif state.start and exact then
    local counted = within(state, window, now)
    state.start = nil
    state.times = {}
    for index = math.max(counted - EXACT, 0), counted - 1 do
      local time = now - (window - 1 - share(index, window - 1, counted))
      state.times[#state.times + 1] = math.max(time, 0)
    end
  elseif state.start and state.width ~= window then
    buckets(state, within(state, window, now), window, now)
  end
end

local function exactly(state, requests, window, now)
  forget(state, window, now)
  local times = state.times
  local counted = #times
  local allowed = counted < requests
  local next = allowed and 1 or counted - requests + 1
  if allowed then
    times[counted + 1] = now
  end
  return allowed, math.max(requests - #times, 0), math.max((times[next] or now) + window - now, 0)
end

local function weighted(state, requests, now)
  local width = state.width
  local counted = within(state, width, now)
  local into = now - state.start
  local reset
  if counted < requests then
    state.current = state.current + 1
    reset = state.before > 0 and div(width, state.before) or width - into
    return true, requests - counted - 1, math.max(reset, 1)
  end
  local most = requests - 1
  if most >= state.current then
    reset = math.max(fades(state.before, most - state.current, width) - into, 0)
  else
    reset = width - into + fades(state.current, most, width)
  end
  return false, 0, math.max(reset, 1)
end

local function blocked_for(state, block_for, now)
  return state.over and math.max(state.over + block_for - now, 0) or 0
end

local function ask(state, requests, window, block_for, now)
  state.seen = now
  local blocked = blocked_for(state, block_for, now)
  if blocked > 0 then
    return false, 0, blocked
  end
  state.over = nil
  adapt(state, requests, window, now)
  local allowed, remaining, reset
  if state.times then
    allowed, remaining, reset = exactly(state, requests, window, now)
  else
    allowed, remaining, reset = weighted(state, requests, now)
  end
  if not allowed and block_for > 0 then
    state.over = now
    reset = block_for
  end
  return allowed, remaining, reset
end

local time = redis.call('TIME')
local clock = time[1] * 1000 + div(tonumber(time[2]), 1000)

local answers, counted = {}, {}
for index, key in ipairs(KEYS) do
  local place = (index - 1) * 4
  local requests, window = tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2])
  local block_for, observed = tonumber(ARGV[place + 3]), ARGV[place + 4] == '1'
  local kept = redis.call('GET', key)
  local state = kept and cmsgpack.unpack(kept) or { times = {} }
  -- The clock of a Redis that took over from another may be behind.
  local now = math.max(clock, state.seen or clock)
  local allowed, remaining, reset = ask(state, requests, window, block_for, now)
  answers[#answers + 1] = allowed and 1 or 0
  answers[#answers + 1] = remaining
  answers[#answers + 1] = reset
  local life = math.max(state.start and 2 * state.width or 0, window, blocked_for(state, block_for, now))
  local change = { key = key, state = cmsgpack.pack(state), life = life, observed = observed }
  if not allowed and not observed then
    -- Of the others only those that are observed count it.
    local stay = { change }
    for _, other in ipairs(counted) do
      if other.observed then
        stay[#stay + 1] = other
      end
    end
    counted = stay
    break
  end
  counted[#counted + 1] = change
end
for _, change in ipairs(counted) do
  redis.call('SET', change.key, change.state, 'PX', string.format('%.0f', change.life))
end
return answers
