-- The algorithm of window.py where replicas share limits; read its theory of operation first.
-- KEYS: one per limit. ARGV[1]: the time in microseconds, or "" for the server's own clock.
-- Then for each key: limit, burst, want, least, birth, number of (slot, units) given back, those pairs,
-- number of (age, units) owed, those pairs. Answer: for each key granted, slot, used, wait, birth.
-- Birth is when the state began: a replica sees that the one it knew is lost, and what it gives back of a lost one
-- is passed over.
local MINUTE, SLOT, SPAN, TINY = 60000000, 234375, 258, 1e-9
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
  local slot, newest, any = math.floor(now / SLOT), 0, false
  for s in pairs(state.slots) do
    any = true
    if s > newest then newest = s end
  end
  if not any then return now end
  if newest > slot then
    if newest - slot > SPAN then
      state.slots, state.used, state.tat = {}, 0, 0
      return now
    end
    now, slot = newest * SLOT, newest
  end
  for s, units in pairs(state.slots) do
    if s <= slot - SPAN then
      state.slots[s] = nil
      state.used = state.used - units
    end
  end
  return now
end

local function give_back(state, limit, slot, units)
  local held = state.slots[slot] or 0
  local back = math.min(units, held)
  if back <= 0 then return end
  state.slots[slot] = back < held and held - back or nil
  state.used = state.used - back
  state.tat = state.tat - back * (MINUTE / limit)
end

local function owe(state, limit, age, units)
  local now = advance(state, now0)
  if age < SPAN and units > 0 then
    local slot = math.floor(now / SLOT) - age
    state.slots[slot] = (state.slots[slot] or 0) + units
    state.used = state.used + units
    state.tat = math.max(state.tat, now) + units * (MINUTE / limit)
  end
end

local function wait(state, now, limit, burst, least)
  local interval, free_at, most, used = MINUTE / limit, now, math.min(least, limit), state.used
  local order = {}
  for s in pairs(state.slots) do order[#order + 1] = s end
  table.sort(order)
  for _, s in ipairs(order) do
    if used + most <= limit then break end
    used = used - state.slots[s]
    free_at = (s + SPAN) * SLOT
  end
  local paced = math.max(state.tat, now) - math.max(0, burst - least) * interval - now
  return math.max(free_at - now, math.ceil(paced), 1)
end

local function take(state, limit, burst, want, least)
  local now = advance(state, now0)
  local slot, interval, base = math.floor(now / SLOT), MINUTE / limit, math.max(state.tat, now)
  local room = math.min(limit - state.used, math.floor(burst - (base - now) / interval + TINY))
  local granted = 0
  if room >= least then
    granted = math.max(0, math.min(want, room))
  elseif least > math.min(limit, burst) and state.used + math.min(least, limit) <= limit and base == now then
    granted = least
  end
  if granted > 0 then
    state.slots[slot] = (state.slots[slot] or 0) + granted
    state.used = state.used + granted
    state.tat = base + granted * interval
    return {granted, slot, state.used, 0}
  end
  if want <= 0 then return {0, slot, state.used, 0} end
  return {0, slot, state.used, wait(state, now, limit, burst, least)}
end

local answers = {}
for index, key in ipairs(KEYS) do
  local limit, burst, want, least, known = argument(), argument(), argument(), argument(), argument()
  local kept = redis.call('GET', key)
  local state, birth = {slots = {}, used = 0, tat = 0}, now0
  if kept then
    local tat, used, flat, born = unpack(cmsgpack.unpack(kept))
    state.tat, state.used, birth = tat, used, born
    for i = 1, #flat, 2 do state.slots[flat[i]] = flat[i + 1] end
  end
  for _ = 1, argument() do
    local slot, units = argument(), argument()
    if known == birth then give_back(state, limit, slot, units) end
  end
  for _ = 1, argument() do
    local age, units = argument(), argument()
    owe(state, limit, age, units)
  end
  local answer = take(state, limit, burst, want, least)
  answer[5] = birth
  answers[index] = answer
  local flat = {}
  for s, units in pairs(state.slots) do
    flat[#flat + 1] = s
    flat[#flat + 1] = units
  end
  local ahead = math.max(0, math.ceil((state.tat - now0) / 1000))
  redis.call('SET', key, cmsgpack.pack({state.tat, state.used, flat, birth}), 'PX', 120000 + ahead)
end
return answers
