--[[
Read strings and records as they are, in one moment, without a lease or any other effect.

Keys
  KEYS[1..n]  strings (pointers, tombstones)
  KEYS[n+1..] pairs: a record (hash) and its access part (string)

Arguments
  ARGV[1]     n

Reply
  now {value or "" ...} {{access or "", field or nil ...} or {} for no record ...}
  now is Redis's time in ms; the fields stand in the order of the HMGET below
]]
local strings = tonumber(ARGV[1])
local time = redis.call('TIME')
local values, records = {}, {}
for i = 1, strings do
  values[i] = redis.call('GET', KEYS[i]) or ''
end
for i = strings + 1, #KEYS, 2 do
  local record = redis.call('HMGET', KEYS[i], 'user_name', 'client_id', 'client_secret', 'refresh_token', 'grant_token',
    'redirect_url', 'api_domain', 'spares', 'schema', 'rev', 'fence', 'ops', 'meta', 'rejected', 'refresh_token+', 'grant_token+',
    'client')
  local access = redis.call('GET', KEYS[i + 1]) or ''
  records[#records + 1] = record[10] and {access, record} or {}
end
return {time[1] * 1000 + math.floor(time[2] / 1000), values, records}
