"""The real Lua scripts, run by the interpreter that Redis has (5.1) against a :class:`Memory`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lupa.lua51 as lua

from simulation.memory import CommandError, Memory, Status
from zoho_token_store.script import Script


class Engine:
    """Compiles each script once, and runs it against whichever server is asked for."""

    def __init__(self) -> None:
        self._runtime = lua.LuaRuntime(unpack_returned_tuples=False)
        self._functions: dict[str, Any] = {}
        self._memory: Memory | None = None
        self._failure: CommandError | None = None
        install = self._runtime.eval("function(call) redis = {call = call} end")
        install(self._call)

    def run(self, memory: Memory, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run a script to its end; nothing happens in between, as in Redis.

        Raises:
            CommandError: One of its commands was refused.
        """
        function = self._functions.get(script.text) or self._compile(script)
        memory.begin_script()
        self._memory, self._failure = memory, None
        table = self._runtime.table_from
        try:
            return _reply(function(table(keys), table([str(arg) for arg in args])))
        except lua.LuaError:
            if self._failure:
                raise self._failure from None
            raise

    def _compile(self, script: Script) -> Callable[..., Any]:
        function: Any = self._runtime.eval(f"function(KEYS, ARGV) {script.text}\nend")
        self._functions[script.text] = function
        return function  # type: ignore[no-any-return]  # lupa is not typed

    def _call(self, command: str, *args: Any) -> Any:
        assert self._memory is not None
        try:
            return self._value(self._memory.call(command, *args))
        except CommandError as error:
            self._failure = error
            raise

    def _value(self, reply: Any) -> Any:
        if reply is None:
            return False
        if isinstance(reply, list):
            return self._runtime.table_from([self._value(item) for item in reply])
        if isinstance(reply, Status):
            return self._runtime.table_from({"ok": str(reply)})
        return reply


def _reply(value: Any) -> Any:
    """Convert what a script returns as Redis does: a list ends at its first nil, a number loses its fraction."""
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, (int, float)):
        return int(value)
    if isinstance(value, str):
        return value
    if value["ok"] is not None:
        return value["ok"]
    items = []
    for index in range(1, len(value) + 1):
        item = value[index]
        if item is None:
            break
        items.append(_reply(item))
    return items


ENGINE = Engine()
"""One for all: compiling a script takes longer than running it."""
