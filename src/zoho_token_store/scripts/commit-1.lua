--[[
Compare what a plan was made from with what is stored, and write the plan if nothing has changed: all of it or nothing.

Keys
  KEYS[1]    a key that never exists
  KEYS[2..]  every key that the plan has read or writes

Arguments
  ARGV[1]    number of comparisons, then three arguments for each:
               index into KEYS, "rev" (revision of a record) or "value" (of a string), the expected value, "" for none
  then, for each write until the end:
               number of further arguments, index into KEYS, command, further arguments
             Three of the commands are ours, two of them since they need what only Redis knows at that moment:
             DROP <index> ...             remove the key and further ones, by their indexes into KEYS
             RELEASE <owner> <fence>      end a lease that this owner holds or that has run out; another's live lease
                                          stays and starts counting its attempts anew
             BURY <least fence> <ttl_ms>  set a tombstone with a fence of this moment

Replies
  OK now
  CONFLICT now   something differs; nothing was written
now is Redis's time in ms.
]]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local at = 2
for _ = 1, tonumber(ARGV[1]) do
  local key, kind = KEYS[tonumber(ARGV[at])], ARGV[at + 1]
  local value = kind == 'rev' and redis.call('HGET', key, 'rev') or kind == 'value' and redis.call('GET', key)
  if (value or '') ~= ARGV[at + 2] then
    return {'CONFLICT', now}
  end
  at = at + 3
end

local function release(lease, owner, fence)
  local held = redis.call('HMGET', lease, 'owner', 'fence', 'until_ms')
  if held[2] and (held[1] == owner and held[2] == fence or (tonumber(held[3]) or 0) <= now) then
    redis.call('DEL', lease)
  elseif held[2] then
    redis.call('HSET', lease, 'attempts', 1)
    redis.call('HDEL', lease, 'retry_ms')
  end
end

-- Freeing first, even if only in name: on a full Redis a script that begins by writing is refused, and a refresh token
-- that is not stored is lost.
redis.call('DEL', KEYS[1])
while ARGV[at] do
  local last = at + 2 + tonumber(ARGV[at])
  local key, command = KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2]
  if command == 'DROP' then
    local others = {}
    for i = at + 3, last do
      others[#others + 1] = KEYS[tonumber(ARGV[i])]
    end
    redis.call('DEL', key, unpack(others))
  elseif command == 'RELEASE' then
    release(key, ARGV[at + 3], ARGV[at + 4])
  elseif command == 'BURY' then
    local fence = string.format('%.0f', math.max(tonumber(ARGV[at + 3]), now_us))
    redis.call('SET', key, 'deleted ' .. fence, 'PX', ARGV[at + 4])
  else
    redis.call(command, key, unpack(ARGV, at + 3, last))
  end
  at = last + 1
end
return {'OK', now}
