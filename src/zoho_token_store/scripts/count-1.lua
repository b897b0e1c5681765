--[[
Add what a process has counted to the sums of the whole fleet.

It takes no command that the rules of older workers lack (zoho-tokens acl).

Keys
  KEYS[1]  the sums (hash): the name of a counter -> its sum; since_ms -> Redis's time of the first

Arguments
  ARGV[2i-1]  the name of a counter
  ARGV[2i]    how much more it has counted

Reply
  1; an error if one of the sums is no number, and then all others were added to
]]
local counted = KEYS[1]
if not redis.call('HMGET', counted, 'since_ms')[1] then
  local time = redis.call('TIME')
  redis.call('HSET', counted, 'since_ms', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
end
local reply = 1
for i = 1, #ARGV, 2 do
  -- What somebody else has put in the place of one sum is left, and keeps no other from being told.
  local sum = redis.pcall('HINCRBY', counted, ARGV[i], ARGV[i + 1])
  if type(sum) == 'table' then
    reply = sum
  end
end
return reply
