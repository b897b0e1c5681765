--[[
Try commands on a key that never exists, to find out which of them the user may not run; nothing is left behind.

Keys
  KEYS[1]    a key that never exists

Arguments
  ARGV[1..]  for each command: number of arguments behind the key, its name, those arguments

Reply
  for each command that was refused: its name, and what the server said
]]
local key = KEYS[1]
local refused, at = {}, 1
while ARGV[at] do
  local last = at + 1 + tonumber(ARGV[at])
  local command = ARGV[at + 1]
  local said = redis.pcall(command, key, unpack(ARGV, at + 2, last))
  if type(said) == 'table' and said.err then
    refused[#refused + 1] = command
    refused[#refused + 1] = said.err
  end
  at = last + 1
end
redis.pcall('DEL', key)
return refused
