--[[
Give leases back that have not led to a save, and wake those who wait for them.

Keys
  KEYS[2i-1]  a lease (hash)
  KEYS[2i]    its wake stream

Arguments
  ARGV[2i-1]  the owner that gives it back
  ARGV[2i]    the lease's fence

Reply
  the number of leases that were given back; one that has passed to another owner stays
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local released = 0
for i = 1, #KEYS, 2 do
  local held = redis.call('HMGET', KEYS[i], 'owner', 'fence', 'until_ms', 'retry_ms')
  if held[1] == ARGV[i] and held[2] == ARGV[i + 1] then
    -- It still counts as an attempt: a worker that cannot refresh and is started anew again and again must not keep the
    -- fleet from cooling down. The pause begins now, as the lease has ended.
    redis.call('HDEL', KEYS[i], 'owner', 'nonce', 'until_ms')
    if held[4] then
      local saved_ms = math.max(0, held[3] - now)
      redis.call('HSET', KEYS[i], 'retry_ms', string.format('%.0f', held[4] - saved_ms))
    end
    redis.call('XADD', KEYS[i + 1], 'NOMKSTREAM', 'MAXLEN', 1, '*', 'event', 'released')
    released = released + 1
  end
end
return released
