--[[
Answer a look-up by Redis's own clock, and give the lease to refresh to exactly one caller.

Keys
  KEYS[1]    the record (hash)
  KEYS[2]    its access part (string: "<expires_ms> <life_ms> <access token>", expires_ms 0 = unknown)
  KEYS[3]    its tombstone (string: "deleted <fence>" or "merged <id>")
  KEYS[4]    the lease (hash: owner, nonce, fence, until_ms, attempts, retry_ms, reason)
  KEYS[5]    the wake stream that ends with the lease
  KEYS[6..]  the pointers that led the caller here (strings)

Arguments
  ARGV[1]    freshness margin, three numbers: most, ms; least, ms; share of the token's life
  ARGV[2]    least life of a token that may be used while another refreshes, ms
  ARGV[3]    newest record schema that the caller understands
  ARGV[4]    revision of the record that the caller still has, "" for none
  ARGV[5]    the caller's client id, "" for none
  ARGV[6]    its digest, for records that have a digest beside a client id that is sealed; "" for none
  ARGV[7]    owner: who asks
  ARGV[8]    nonce: which operation asks; the same again is the same request
  ARGV[9]    "lease" if a missing record is one that the caller will make, else ""
  ARGV[10]   terms of a lease, five numbers: its time to live, ms; life of the wake stream, ms; leases in a row without a
             save before the fleet cools down; first pause of the cool-down, ms (doubles with each lease); longest pause, ms
  ARGV[11..] the values that the caller saw in the pointers, "" for none

Replies, each with Redis's time in ms second
  FRESH now access record      use this token
  SAME now access              use this token; the record is the one that the caller has
  LEASED now fence attempts usable access record
                               refresh: the caller holds the lease, the attempts-th since the last save (an empty
                               record: there is none yet; usable 1: the access token can be used meanwhile, else 0;
                               access "": there is none)
  WAIT now left_ms wake_id     another refreshes; its lease has left_ms to live
  FAILING now retry_ms reason  the fleet cools down until retry_ms; the reason of who said so, "" for leases that ran
                               out
  REJECTED now code            Zoho has refused the record's credentials for good
  MISSING now                  no such record
  GONE now                     deleted
  REDIRECT now id              merged into another record
  MOVED now value ...          the pointers lead elsewhere; these are their values
  CONTRADICTS now              the record belongs to another client id
  SCHEMA now schema            the record was written by a release that this one does not understand
  CORRUPT now                  something else has changed the record or its access part
]]
local token, access, gone, lease, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local usable_ms, owner, nonce = tonumber(ARGV[2]), ARGV[7], ARGV[8]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

local moved = false
for i = 6, #KEYS do
  moved = moved or (redis.call('GET', KEYS[i]) or '') ~= ARGV[i + 5]
end
if moved then
  local values = {'MOVED', now}
  for i = 6, #KEYS do
    values[i - 3] = redis.call('GET', KEYS[i]) or ''
  end
  return values
end

local function contradicts(client, digest)
  local stored, asked = digest or client, digest and ARGV[6] or ARGV[5]
  return stored and asked ~= '' and stored ~= asked
end

-- Whoever can write here can write anything: tonumber alone would take "nan", and a number that cannot be counted on.
local function is_number(text)
  return text and #text <= 16 and string.match(text, '^%d+$')
end

local function number(text)
  return is_number(text) and tonumber(text) or 0
end

local part = redis.call('GET', access)
local left = 0          -- ms that the access token may still be used
local fresh = false
if part then
  local expires_ms, life_ms = string.match(part, '^(%d+) (%d+) ')
  if not expires_ms then
    return {'CORRUPT', now}
  end
  left = expires_ms - now
  local most_ms, least_ms, share = string.match(ARGV[1], '^(%S+) (%S+) (%S+)$')
  local margin_ms = math.max(tonumber(least_ms), math.min(tonumber(most_ms), life_ms * share))
  fresh = expires_ms == '0' or left > math.max(usable_ms, math.min(margin_ms, life_ms / 2))
  if fresh and ARGV[4] ~= '' then
    local head = redis.call('HMGET', token, 'rev', 'client_id', 'client')
    if head[1] == ARGV[4] and not contradicts(head[2], head[3]) then
      return {'SAME', now, part}
    end
  end
end

local record = redis.call('HMGET', token, 'user_name', 'client_id', 'client_secret', 'refresh_token', 'grant_token',
  'redirect_url', 'api_domain', 'spares', 'schema', 'rev', 'fence', 'ops', 'meta', 'rejected', 'refresh_token+', 'grant_token+',
  'client')
if record[10] then
  if not is_number(record[9]) or not is_number(record[11]) then
    return {'CORRUPT', now}
  end
  if tonumber(record[9]) > tonumber(ARGV[3]) then
    return {'SCHEMA', now, record[9]}
  end
  -- Compared before a lease is given: a caller that shows another client must not hold up this one.
  if contradicts(record[2], record[17]) then
    return {'CONTRADICTS', now}
  end
  local refreshable = record[4] or record[5]
  if fresh or (left > 0 and not refreshable) then
    return {'FRESH', now, part, record}
  end
  if not refreshable then
    return {'MISSING', now}
  end
else
  local tombstone = redis.call('GET', gone)
  if tombstone then
    local heir = string.match(tombstone, '^merged (.+)$')
    return heir and {'REDIRECT', now, heir} or {'GONE', now}
  end
  if ARGV[9] ~= 'lease' then
    return {'MISSING', now}
  end
  record = {}
end

-- Due: somebody has to refresh. Nobody waits while the token can still be used.
local usable = left > usable_ms and {'FRESH', now, part, record}
if record[14] then
  return usable or {'REJECTED', now, record[14]}
end
local terms = {}
for number in string.gmatch(ARGV[10], '%d+') do
  terms[#terms + 1] = tonumber(number)
end
local lease_ms, wake_ms, limit, first_pause_ms, longest_pause_ms = unpack(terms)
local function pause_ms(attempts)
  return math.min(longest_pause_ms, first_pause_ms * 2 ^ (attempts - limit))
end
local function text(number)
  return string.format('%.0f', number)
end

local held = redis.call('HMGET', lease, 'owner', 'nonce', 'fence', 'until_ms', 'attempts', 'retry_ms', 'reason')
local fence, until_ms, attempts, retry_ms = number(held[3]), number(held[4]), number(held[5]), number(held[6])
if until_ms > now then
  if held[1] ~= owner then
    if usable then
      return usable
    end
    local last = redis.call('XREVRANGE', wake, '+', '-', 'COUNT', 1)
    local wake_id = last[1] and last[1][1]
    if not wake_id then
      -- DEL first: on a full Redis a script may only write if it began by freeing.
      redis.call('DEL', wake)
      wake_id = redis.call('XADD', wake, 'MAXLEN', 1, '*', 'event', 'waiting')
    end
    redis.call('PEXPIRE', wake, wake_ms)
    return {'WAIT', now, until_ms - now, wake_id}
  end
  if held[2] == nonce then
    return {'LEASED', now, text(fence), attempts, usable and 1 or 0, part or '', record}
  end
  -- The holder asks anew: the refresh that it had the lease for has failed.
  if attempts >= limit then
    retry_ms = now + pause_ms(attempts)
    redis.call('DEL', lease)
    redis.call('HSET', lease, 'fence', text(fence), 'attempts', attempts, 'retry_ms', text(retry_ms))
    redis.call('PEXPIRE', lease, pause_ms(attempts) * 2 + lease_ms)
    redis.call('XADD', wake, 'NOMKSTREAM', 'MAXLEN', 1, '*', 'event', 'failed')
  end
end
if now < retry_ms then
  return usable or {'FAILING', now, retry_ms, held[7] or ''}
end

attempts = attempts + 1
-- In microseconds: a lease and a deletion in one millisecond must still be told apart.
fence = math.max(fence + 1, number(record[11]) + 1, now_us)
until_ms = now + lease_ms
local keep_ms = lease_ms + longest_pause_ms
redis.call('DEL', lease)
redis.call('HSET', lease, 'owner', owner, 'nonce', nonce, 'fence', text(fence), 'until_ms', text(until_ms),
  'attempts', attempts)
if attempts >= limit then
  retry_ms = until_ms + pause_ms(attempts)
  redis.call('HSET', lease, 'retry_ms', text(retry_ms))
  keep_ms = keep_ms + pause_ms(attempts)
end
redis.call('PEXPIRE', lease, keep_ms)
return {'LEASED', now, text(fence), attempts, usable and 1 or 0, part or '', record}
