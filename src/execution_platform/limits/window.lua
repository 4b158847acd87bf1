-- The algorithm of window.py where replicas share limits; read its theory of operation first.
-- KEYS: one per limit. ARGV[1]: the time in microseconds, or "" for the server's own clock.
-- Then for each key: limit, burst, want, least, birth, number of (slot, units) given back, those pairs,
-- number of (age, units) owed, those pairs. Answer: for each key granted, slot, used, wait, birth.
-- Birth is when the state began: a replica sees that the one it knew is lost, and what it gives back of a lost one
-- is passed over.
-- The grants are one flat array, slot and units in turn, oldest first: it is kept as it is unpacked.
local MINUTE, SLOT, SPAN, TINY = 60000000, 234375, 258, 1e-9
local floor, max, min = math.floor, math.max, math.min
local now0 = tonumber(ARGV[1])
if not now0 then
  local time = redis.call('TIME')
  now0 = time[1] * 1000000 + time[2]
end
local at = 1
local function argument()
  at = at + 1
  return tonumber(ARGV[at])
end

local function advance(state, now)
  local flat = state.flat
  local n = #flat
  if n == 0 then return now end
  local slot, newest = floor(now / SLOT), flat[n - 1]
  if newest > slot then
    if newest - slot > SPAN then
      state.flat, state.used, state.debt = {}, 0, 0
      return now
    end
    now, slot = newest * SLOT, newest
  end
  local first = 1
  while first < n and flat[first] <= slot - SPAN do
    state.used = state.used - flat[first + 1]
    first = first + 2
  end
  if first > 1 then
    local kept = {}
    for i = first, n do kept[i - first + 1] = flat[i] end
    state.flat = kept
  end
  return now
end

local function place(flat, slot)
  local i = #flat - 1
  while i > 0 and flat[i] > slot do i = i - 2 end
  return i
end

local function pay(state, now, limit)
  if state.debt > 0 then
    state.debt = max(0, state.debt - max(0, now - state.seen) * limit / MINUTE)
  end
  state.seen = now
end

local function give_back(state, slot, units)
  local flat = state.flat
  local i = place(flat, slot)
  if i < 1 or flat[i] ~= slot then return end
  local back = min(units, flat[i + 1])
  if back <= 0 then return end
  if back == flat[i + 1] then
    table.remove(flat, i)
    table.remove(flat, i)
  else
    flat[i + 1] = flat[i + 1] - back
  end
  state.used = state.used - back
  state.debt = max(0, state.debt - back)
end

local function book(state, slot, units)
  local flat = state.flat
  local i = place(flat, slot)
  if i > 0 and flat[i] == slot then
    flat[i + 1] = flat[i + 1] + units
  else
    table.insert(flat, i + 2, slot)
    table.insert(flat, i + 3, units)
  end
  state.used = state.used + units
end

local function owe(state, limit, age, units)
  local now = advance(state, now0)
  if age < SPAN and units > 0 then
    book(state, floor(now / SLOT) - age, units)
    pay(state, now, limit)
    state.debt = state.debt + units
  end
end

local function wait(state, now, limit, burst, least)
  local free_at, most, used = now, min(least, limit), state.used
  local flat = state.flat
  for i = 1, #flat, 2 do
    if used + most <= limit then break end
    used = used - flat[i + 1]
    free_at = (flat[i] + SPAN) * SLOT
  end
  local paced = (state.debt - max(0, burst - least)) * MINUTE / limit
  return max(free_at - now, math.ceil(paced), 1)
end

local function take(state, limit, burst, want, least)
  local now = advance(state, now0)
  pay(state, now, limit)
  local slot = floor(now / SLOT)
  local room = min(limit - state.used, floor(burst - state.debt + TINY))
  local granted = 0
  if room >= least then
    granted = max(0, min(want, room))
  elseif least > min(limit, burst) and state.used + min(least, limit) <= limit and state.debt == 0 then
    granted = least
  end
  if granted > 0 then
    book(state, slot, granted)
    state.debt = state.debt + granted
    return {granted, slot, state.used, 0}
  end
  if want <= 0 then return {0, slot, state.used, 0} end
  return {0, slot, state.used, wait(state, now, limit, burst, least)}
end

local answers = {}
for index, key in ipairs(KEYS) do
  local limit, burst, want, least, known = argument(), argument(), argument(), argument(), argument()
  local kept = redis.call('GET', key)
  local state, birth = {flat = {}, used = 0, debt = 0, seen = 0}, now0
  if kept then
    state.debt, state.seen, state.used, state.flat, birth = unpack(cmsgpack.unpack(kept))
  end
  for _ = 1, argument() do
    local slot, units = argument(), argument()
    if known == birth then give_back(state, slot, units) end
  end
  for _ = 1, argument() do
    local age, units = argument(), argument()
    owe(state, limit, age, units)
  end
  local answer = take(state, limit, burst, want, least)
  answer[5] = birth
  answers[index] = answer
  local ahead = math.ceil(state.debt * 60000 / limit)
  redis.call('SET', key, cmsgpack.pack({state.debt, state.seen, state.used, state.flat, birth}), 'PX', 120000 + ahead)
end
return answers
