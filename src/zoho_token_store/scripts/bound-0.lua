--[[
Give an end to keys that have none; those that have one, and those that are not there, stay as they are.

Keys
  KEYS[1..]  the keys

Arguments
  ARGV[1..]  how long each of them is left, ms

Reply
  how many were given an end
]]
local bounded = 0
for i = 1, #KEYS do
  if redis.call('PTTL', KEYS[i]) == -1 then
    bounded = bounded + redis.call('PEXPIRE', KEYS[i], ARGV[i])
  end
end
return bounded
