"""The model of Redis behaves as Redis does: the same random commands on both, and the same scripts."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from lupa.lua51 import LuaError

from servers import Backend
from simulation.lua import ENGINE
from simulation.memory import CommandError, Memory
from zoho_token_store.script import COMMIT, FIND, PAGE, READ, REFRESH, RELEASE, RENEW, Script

KEYS = ("{k}a", "{k}b", "{k}c", "{k}d")  # in one slot of a cluster
VALUES = ("", "1", "x", "two words", "ä", "-7", "0.5")
FAR_MS = 3_600_000


def random_command(rng: random.Random) -> list[str]:
    """Return one of the commands that the scripts use, with random arguments."""
    key, value = rng.choice(KEYS), rng.choice(VALUES)
    field, member = rng.choice("fgh"), rng.choice("mnop")
    now_ms = int(time.time() * 1000)
    ends_ms = str(rng.choice((now_ms - 1000, now_ms + FAR_MS, now_ms + FAR_MS)))
    choices = [
        ["GET", key], ["SET", key, value], ["SET", key, value, "PX", str(FAR_MS)], ["SET", key, value, "PXAT", ends_ms],
        ["HGET", key, field], ["HMGET", key, "f", "g", "h"], ["HSET", key, field, value, "g", value],
        ["HINCRBY", key, "n", "-2"], ["HDEL", key, field, "f"], ["DEL", key], ["DEL", key, KEYS[1]], ["PERSIST", key],
        ["PEXPIRE", key, str(FAR_MS)], ["PEXPIREAT", key, ends_ms],
        ["XADD", key, "NOMKSTREAM", "MAXLEN", "1", "*", field, value], ["XADD", key, "MAXLEN", "1", "*", field, value],
        ["XREVRANGE", key, "+", "-", "COUNT", "1"],
        ["ZADD", key, str(rng.randint(-3, 3)), member], ["ZREM", key, member, "m"],
        ["ZRANGEBYLEX", key, rng.choice(("-", f"({member}", f"[{member}")), "+", "LIMIT", "0", "2"],
        ["ZRANGEBYSCORE", key, "-inf", "1", "LIMIT", "0", "2"],
    ]  # fmt: skip
    return rng.choice(choices)


def plain(reply: Any) -> Any:
    """Leave out of a reply what must differ: the ids of stream entries."""
    if isinstance(reply, list):
        return [plain(item) for item in reply]
    if isinstance(reply, str) and re.fullmatch(r"\d{13,}-\d+", reply):
        return "<id>"
    return reply


def ask(client: Any, command: list[str]) -> Any:
    """Run a command on a server, from a script."""
    try:
        return plain(client.eval("return redis.call(unpack(ARGV))", 1, KEYS[0], *command))
    except redis.ResponseError as error:
        return "WRONGTYPE" if "WRONGTYPE" in str(error) else str(error)


def ask_model(memory: Memory, command: list[str]) -> Any:
    """Run a command on the model."""
    try:
        return plain(memory.call(*command))
    except CommandError as error:
        return str(error).split()[0]


@pytest.mark.parametrize("seed", range(4))
def test_random_commands_have_the_same_replies(backend: Backend, seed: int) -> None:
    """Every command that the scripts use, in any order, on keys of any type, gives what a server gives; also lives."""
    rng = random.Random(seed)
    memory = Memory(lambda: int(time.time() * 1_000_000))
    with backend.client(decode_responses=True) as client:
        client.flushdb()
        for number in range(400):
            command = random_command(rng)
            assert ask_model(memory, command) == ask(client, command), f"command {number}: {command}"
        for key in KEYS:
            assert (memory.peek(key) is not None) == bool(client.exists(key))
            assert memory.call("PTTL", key) == pytest.approx(client.pttl(key), abs=60_000 * (client.pttl(key) > 0)), key


@pytest.mark.parametrize(
    "text",
    [
        "return {1, 2.7, -2.7, 'a', {KEYS[1], ARGV[2]}, true}",
        "return {'before', nil, 'after'}",
        "return {'before', false, 'after'}",
        "return redis.call('HMGET', KEYS[1], 'f', 'none')",
        "redis.call('HSET', KEYS[1], 'f', 12, 'g', 2 ^ 51, 'h', 0.25) return redis.call('HMGET', KEYS[1], 'f', 'g')",
        "return redis.call('GET', 'none')",
        "return {redis.call('GET', 'none'), redis.call('HMGET', KEYS[1], 'none')[1], type(redis.call('TIME')[1])}",
        "return #redis.call('HMGET', KEYS[1], 'x', 'y', 'z')",
        "return {#KEYS, #ARGV, ARGV[1] + 1}",
        "return string.format('%.0f', 1800000000123456 + 1)",
    ],
)
def test_scripts_get_and_give_the_same_values(backend: Backend, text: str) -> None:
    """Numbers, nothing, lists: conversion between Lua and Redis is Redis's, both ways."""
    memory = Memory(lambda: int(time.time() * 1_000_000))
    with backend.client(decode_responses=True) as client:
        client.flushdb()
        assert ENGINE.run(memory, Script("", text, ""), ["k"], [41, "x"]) == client.eval(text, 1, "k", 41, "x")


def test_the_model_knows_every_command_of_the_scripts() -> None:
    """No script uses a command that the model lacks, and the model has none that no script uses."""
    text = "".join(script.text for script in (COMMIT, FIND, PAGE, READ, REFRESH, RELEASE, RENEW))
    used = set(re.findall(r"redis\.call\('([A-Z]+)'", text))
    written = {
        "ZADD",
        "ZREM",
        "SET",
        "DEL",
        "HSET",
        "HDEL",
        "PEXPIREAT",
        "PERSIST",
        "XADD",
    }  # by commit-1.lua, from plans
    known = {name[1:].upper() for name in vars(Memory) if re.fullmatch(r"_[a-z]+", name)} - {"TYPED", "DROP"}
    assert used | written <= known
    assert known <= used | written


WRITES = (
    ["SET", "a", "1"], ["HSET", "b", "f", "1"], ["XADD", "c", "*", "f", "1"], ["ZADD", "d", "1", "m"],
    ["HINCRBY", "b", "n", "1"],
    ["DEL", "a"], ["HDEL", "b", "f"], ["ZREM", "d", "m"], ["PEXPIRE", "a", "1000"], ["PERSIST", "a"],
    ["PEXPIREAT", "a", "99999999999999"], ["XADD", "none", "NOMKSTREAM", "MAXLEN", "1", "*", "f", "1"],
)  # fmt: skip


@pytest.mark.parametrize("command", WRITES, ids=" ".join)
def test_a_full_model_refuses_what_a_full_server_refuses(server: Backend, command: list[str]) -> None:
    """Only the first write of a script is asked whether it needs memory, on the model as on a server."""
    memory = Memory(lambda: int(time.time() * 1_000_000))
    memory.full = True
    plainly = Script("", "return type(redis.call(unpack(ARGV)))", "")
    after_freeing = Script("", f"redis.call('DEL', 'other') {plainly.text}", "")
    with server.client(decode_responses=True) as client:
        client.flushdb()
        client.config_set("maxmemory", 1)
        try:
            for script in (plainly, after_freeing):
                assert outcome(lambda: ENGINE.run(memory, script, [], command)) == outcome(  # noqa: B023 - used at once
                    lambda: client.eval(script.text, 0, *command)  # noqa: B023 - used at once
                )
        finally:
            client.config_set("maxmemory", 0)


def outcome(run: Callable[[], Any]) -> str:
    """Return what a script has answered, or that there was no memory for it."""
    try:
        return str(run())
    except (CommandError, redis.exceptions.ResponseError) as error:
        return "OOM" if "used memory" in str(error) else str(error)


def test_a_script_with_an_error_of_its_own_fails() -> None:
    """An error in Lua is not taken for an answer."""
    with pytest.raises(LuaError):
        ENGINE.run(Memory(lambda: 0), Script("", "return nothing.here", ""), [], [])
