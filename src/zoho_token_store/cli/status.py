"""What the exit status of a command says."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
LEFT: Final = 1
UNUSABLE: Final = 2
DANGER: Final = 3
AWAY: Final = 4
INTERRUPTED: Final = 130

STATUSES = {
    DONE: "done; for `watch`, `top` and `refresher` also: ended by a signal",
    LEFT: "there is no such token, a question was answered with no, or not all has succeeded: stderr says what",
    UNUSABLE: "an option, an argument, a key or the configuration cannot be used as it was given; nothing was done",
    DANGER: "`doctor` has found a danger",
    AWAY: "the store cannot be used: Redis does not answer, or refuses; a file cannot be read",
    INTERRUPTED: "`demo` was interrupted",
}
"""Every exit status, for ``docs/cli.md``."""
