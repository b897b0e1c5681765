--[[
Make a lease last longer, and take a call to Zoho from what the fleet may spend.

Keys
  KEYS[1]  the lease (hash)
  KEYS[2]  the fleet's last calls with the credential that is offered (string: "<ms> <ms> ...")

Arguments
  ARGV[1]  owner of the lease
  ARGV[2]  its fence
  ARGV[3]  how long it shall last from now, ms
  ARGV[4]  how long it is remembered after that, ms
  ARGV[5]  most calls in a window; 0 takes none, and only renews
  ARGV[6]  length of the window, ms

Replies
  HELD now
  LOST now            the lease has passed to another, or ended; nothing was written
  SPENT now retry_ms  the fleet has made all its calls; the next is free at retry_ms. The lease was renewed
now is Redis's time in ms.
]]
local lease, calls = KEYS[1], KEYS[2]
local most, window_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', lease, 'owner', 'fence', 'until_ms')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] or tonumber(held[3]) <= now then
  return {'LOST', now}
end
-- PEXPIRE first: on a full Redis a script that begins by writing is refused.
redis.call('PEXPIRE', lease, ARGV[3] + ARGV[4])
redis.call('HSET', lease, 'until_ms', string.format('%.0f', now + ARGV[3]))
if most == 0 then
  return {'HELD', now}
end
local recent = {}
for ms in string.gmatch(redis.call('GET', calls) or '', '%d+') do
  if math.abs(now - ms) < window_ms then
    recent[#recent + 1] = ms
  end
end
if #recent >= most then
  return {'SPENT', now, recent[#recent - most + 1] + window_ms}
end
recent[#recent + 1] = string.format('%.0f', now)
redis.call('SET', calls, table.concat(recent, ' '), 'PX', window_ms)
return {'HELD', now}
