--[[
Tell what keys are and how long they live, and which record ids are listed, in one moment; nothing is changed.

Keys
  KEYS[1]    every record id (zset)
  KEYS[2]    id -> when the record ends by itself, ms (zset)
  KEYS[3..]  the keys to look at

Arguments
  ARGV[1..]  record ids

Reply
  now {type left_ms value ...} {listed ends_ms ...}
  now is Redis's time in ms. For each key its type, how long it has to live, ms (-1: for ever, -2: it is not there), and
  what a string holds, "" for all else. For each id its score among all ids, and when the record ends, "" for neither.
]]
local time = redis.call('TIME')
local looked, listed = {}, {}
for i = 3, #KEYS do
  local kind = redis.call('TYPE', KEYS[i]).ok
  looked[#looked + 1] = kind
  looked[#looked + 1] = kind == 'none' and -2 or redis.call('PTTL', KEYS[i])
  looked[#looked + 1] = kind == 'string' and redis.call('GET', KEYS[i]) or ''
end
for i = 1, #ARGV do
  listed[#listed + 1] = redis.call('ZSCORE', KEYS[1], ARGV[i]) or ''
  listed[#listed + 1] = redis.call('ZSCORE', KEYS[2], ARGV[i]) or ''
end
return {time[1] * 1000 + math.floor(time[2] / 1000), looked, listed}
