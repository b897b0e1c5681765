--[[
Give leases back that have not led to a save, and wake those who wait for them.

Keys
  KEYS[2i-1]  a lease (hash)
  KEYS[2i]    its wake stream

Arguments
  ARGV[4i-3]  the owner that gives it back
  ARGV[4i-2]  the lease's fence
  ARGV[4i-1]  how long the fleet shall pause, ms; "" leaves that to the number of leases in a row
  ARGV[4i]    why, for those who are refused meanwhile; "+untried" if the lease could not be used at all

Reply
  the number of leases that were given back; one that has passed to another owner stays
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local released = 0
for i = 1, #KEYS, 2 do
  local owner, fence, pause_ms, reason = unpack(ARGV, 2 * i - 1, 2 * i + 2)
  local held = redis.call('HMGET', KEYS[i], 'owner', 'fence', 'until_ms', 'retry_ms')
  if held[1] == owner and held[2] == fence then
    -- It still counts as an attempt: a worker that cannot refresh and is started anew again and again must not keep the
    -- fleet from cooling down. The pause begins now, as the lease has ended.
    redis.call('HDEL', KEYS[i], 'owner', 'nonce', 'until_ms')
    if reason == '+untried' then
      redis.call('HINCRBY', KEYS[i], 'attempts', -1)
    end
    local retry_ms = held[4] and held[4] - math.max(0, held[3] - now)
    if pause_ms ~= '' then
      retry_ms = now + pause_ms
      redis.call('HSET', KEYS[i], 'reason', reason)
      -- Remembered for a while longer than the pause: the next one shall be longer.
      redis.call('PEXPIRE', KEYS[i], math.max(redis.call('PTTL', KEYS[i]), pause_ms * 3))
    end
    if retry_ms then
      redis.call('HSET', KEYS[i], 'retry_ms', string.format('%.0f', retry_ms))
    end
    redis.call('XADD', KEYS[i + 1], 'NOMKSTREAM', 'MAXLEN', 1, '*', 'event', 'released')
    released = released + 1
  end
end
return released
