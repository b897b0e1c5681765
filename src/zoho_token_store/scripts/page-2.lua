--[[
Return one page of record ids, and forget those whose records have ended by themselves.

Keys
  KEYS[1]  every record id (zset, all with score 0)
  KEYS[2]  id -> when the record ends by itself, ms (zset)

Arguments
  ARGV[1]  "-", or "(" and the last id of the page before
  ARGV[2]  most ids to return

Reply
  ids, in order
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A thousand at a time: as arguments of one command they have to fit on Lua's stack.
local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now), 'LIMIT', 0, 1000)
if #ended > 0 then
  redis.call('ZREM', KEYS[1], unpack(ended))
  redis.call('ZREM', KEYS[2], unpack(ended))
end
return redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[2])
