--[[
Write something: replicas that have it have everything that was written before it.

WAIT counts replicas for the writes of its own connection, from Redis 7.2 on for nothing else. A save that an earlier
attempt has stored writes nothing.

Keys
  KEYS[1]  the mark (string)

Arguments
  ARGV[1]  how long it stays, ms

Reply
  1
]]
redis.call('DEL', KEYS[1]) -- first, since a full server refuses a script that begins with a write that needs memory
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
return 1
