--[[
Store the access token that an ordinary refresh has brought, if the record is still the one that was handed out: what
commit-1.lua would write, in half the time, for the save that every expiry ends in.

Keys
  KEYS[1]   the record (hash)
  KEYS[2]   its access part (string)
  KEYS[3]   its lease (hash)
  KEYS[4]   the wake stream of the lease
  KEYS[5]   the event stream
  KEYS[6..] pairs, one for each pointer key: the pointers of the access token that goes and of the one that comes
            (strings)

Arguments
  ARGV[1]   revision of the record as it was handed out
  ARGV[2]   its revision afterwards
  ARGV[3]   fence of the save
  ARGV[4]   last operations, "<ms> <nonce> ..."
  ARGV[5]   access part, "<expires_ms> <life_ms> <access token>"
  ARGV[6]   when the access part ends, ms
  ARGV[7]   record id
  ARGV[8]   owner of the lease, "" for none
  ARGV[9]   fence of the lease
  ARGV[10]  what happened, for the event stream
  ARGV[11]  about how many events are kept
  ARGV[12]  label of the process, for the event stream

Replies
  OK now
  CONFLICT now   the record has changed; nothing was written
now is Redis's time in ms.
]]
local token, access, lease, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('HGET', token, 'rev') ~= ARGV[1] then
  return {'CONFLICT', now}
end
-- Freeing first: on a full Redis a script that begins by writing is refused.
for i = 6, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
end
local held = redis.call('HMGET', lease, 'owner', 'fence', 'until_ms')
if held[2] then
  if held[1] == ARGV[8] and held[2] == ARGV[9] or (tonumber(held[3]) or 0) <= now then
    redis.call('DEL', lease)
  else
    redis.call('HSET', lease, 'attempts', 1)
    redis.call('HDEL', lease, 'retry_ms')
  end
end
redis.call('XADD', wake, 'NOMKSTREAM', 'MAXLEN', 1, '*', 'event', ARGV[10])
redis.call('HSET', token, 'rev', ARGV[2], 'fence', ARGV[3], 'ops', ARGV[4])
redis.call('SET', access, ARGV[5], 'PXAT', ARGV[6])
for i = 7, #KEYS, 2 do
  redis.call('SET', KEYS[i], ARGV[7], 'PXAT', ARGV[6])
end
redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[11], '*', 'event', ARGV[10], 'id', ARGV[7], 'by', ARGV[12])
return {'OK', now}
