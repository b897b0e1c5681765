--[[
Give leases back that were not used, and wake those who wait for them.

Keys
  KEYS[2i-1]  a lease (hash)
  KEYS[2i]    its wake stream

Arguments
  ARGV[2i-1]  the owner that gives it back
  ARGV[2i]    the lease's fence

Reply
  the number of leases that were given back; one that has passed to another owner stays
]]
local released = 0
for i = 1, #KEYS, 2 do
  local held = redis.call('HMGET', KEYS[i], 'owner', 'fence', 'attempts')
  if held[1] == ARGV[i] and held[2] == ARGV[i + 1] then
    local attempts = tonumber(held[3]) - 1
    if attempts > 0 then
      -- Not an attempt that failed, but those before it still count.
      redis.call('HDEL', KEYS[i], 'owner', 'until_ms', 'retry_ms')
      redis.call('HSET', KEYS[i], 'attempts', attempts)
    else
      redis.call('DEL', KEYS[i])
    end
    redis.call('XADD', KEYS[i + 1], 'NOMKSTREAM', 'MAXLEN', 1, '*', 'event', 'released')
    released = released + 1
  end
end
return released
