"""Keeping secrets out of logs: for the Zoho SDK's logger, which prints some, and for any other.

A secret is known by its form, as Zoho's tokens are, or by what stands before it: a name in a form body, a URL, a dict's
repr, JSON or a header. One that stands alone and has no form of its own, such as a client secret, cannot be told from
any other word.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import NamedTuple

REDACTED = "<redacted>"
SDK_LOGGER = "SDKLogger"

# A name that ends in one of these is that of a secret, also with something before it: ZOHO_CLIENT_SECRET, refreshToken.
_NAME = (
    r"(?:token|secret|passw(?:or)?d|api[_-]?key|(?:encryption|pointer|store)[_-]?keys?"
    r"|(?:grant|authorization|auth)[_-]?code)"
)
_QUOTE = r"""\\*["']"""
# As Python and JSON write it, or escaped once more or oftener: JSON within JSON.
_QUOTED = (
    r"""b?"(?:[^"\\]|\\.)*"?|b?'(?:[^'\\]|\\.)*'?"""
    r"""|(?P<e>\\+)(?P<q>["'])(?:(?!(?<!\\)(?P=e)(?P=q)).)*(?:(?P=e)(?P=q))?"""
)
_BARE = r"""[^\s&;,"'()\[\]{}]+"""
_NOTHING = r"""(?!(?:None|null|true|false)\b|""|'')"""
_EQUALS = r"(?:\s*=(?!=)\s*|%3D)"


class _Rule(NamedTuple):
    """A pattern and what stays of what it fits; it is tried only on texts that have its sign, in small letters."""

    sign: str
    pattern: re.Pattern[str]
    stays: str


def _rules(*rules: tuple[str, str]) -> list[_Rule]:
    return [_Rule(sign, re.compile(pattern, re.IGNORECASE), rf"\g<1>{REDACTED}") for sign, pattern in rules]


_NAMED = re.compile(r"(?:token|secret|wo?r?d|keys?|code)(?:\\*[\"']\s*[:=,]|\s*[:=]|%3d)")
_ANY_NAME = ""  # the sign of a name with something behind it, which takes more than a look

_IN_CODE = _rules(
    # Zoho's access, refresh and grant tokens.
    ("1000.", r"\b()1000\.[0-9a-z]{8,}\.[0-9a-z]{8,}"),
    ("@", r"(://)[^\s/?#'\"]+(?=@)"),
    ("oauthtoken", r"(Zoho-oauthtoken\s+)[^\s'\",;\\]+"),
    ("bearer", r"(\bBearer\s+)[^\s'\",;\\]{16,}"),
    ("authorization", rf"(authorization{_QUOTE}\s*[:=,]\s*)(?:{_QUOTED})"),
    ("authorization", rf"(authorization\s*[:=]\s*)(?!{REDACTED})[^\s,;'\"\\]+(?:[^\S\n]+[^\s,;'\"\\]+)?"),
    # 'name': 'value', "name": value, name="value", and the pairs of a list: ('name', 'value')
    (_ANY_NAME, rf"({_NAME}{_QUOTE}\s*[:=]\s*){_NOTHING}(?:{_QUOTED}|{_BARE})"),
    (_ANY_NAME, rf"({_NAME}\s*[:=]\s*){_NOTHING}(?:{_QUOTED})"),
    (_ANY_NAME, rf"([(\[]b?{_QUOTE}[\w.-]*{_NAME}{_QUOTE}\s*,\s*)(?:{_QUOTED})(?=\s*[)\]])"),
    # A grant code. CRM's and the SDK's own codes are words, and those of HTTP are short.
    ("code=", rf"([?&]code=){_BARE}"),
    ("code", rf"(\bcode{_EQUALS})(?=\S{{8}})(?=\S{{0,200}}\d){_BARE}"),
    ("code", rf"(\bcode{_QUOTE}\s*:\s*)b?{_QUOTE}(?=[^\"']*\d)[^\"'\s]{{16,}}{_QUOTE}"),
)
_EVERYWHERE = _IN_CODE + _rules(
    # Of source code this would leave nothing: token=token
    (_ANY_NAME, rf"({_NAME}{_EQUALS}){_NOTHING}{_BARE}"),
    # "refresh_token: belongs to another" is a message, and no secret.
    (_ANY_NAME, rf"({_NAME}:\s*)(?:(?=\S{{0,200}}\d)\S{{8,}}|\S{{16,}})"),
)
_SIGNS = ("token", "secret", "passw", "code", "key", "authorization", "bearer", "1000.", "@")
"""At least one of these stands in every text that one of the patterns fits, in small letters."""

_SECRET_NAME = re.compile(rf"[\w.-]*{_NAME}", re.IGNORECASE)

_format_traceback = logging.Formatter().formatException
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """Return a text without the secrets in it; one without any sign of such is only looked through."""
    return _apply(_EVERYWHERE, text)


def redact_traceback(text: str) -> str:
    """Return a formatted traceback without the secrets in it; its lines of source code stay readable."""
    lines = (line if line.startswith("    ") else redact(line) for line in _apply(_IN_CODE, text).split("\n"))
    return "\n".join(lines)


def _apply(rules: Sequence[_Rule], text: str) -> str:
    lowered = text.lower()
    if not any(sign in lowered for sign in _SIGNS):
        return text
    has_name = _NAMED.search(lowered) is not None
    for rule in rules:
        if rule.sign in lowered and (has_name or rule.sign != _ANY_NAME):
            text = rule.pattern.sub(rule.stays, text)
    return text


class RedactingFilter(logging.Filter):
    """Removes secrets from log records: from message, arguments, traceback, stack and extra attributes.

    It lets every record through, and leaves one without a secret as it is. A record whose arguments do not fit its
    message, as the SDK logs errors, gets them appended: else the handler would print them to stderr, with the stack.

    Put it on a logger, for whatever that one logs, or on a handler, for whatever that one writes.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove secrets from a record; return True."""
        try:
            _redact_message(record)
            _redact_errors(record)
            _redact_extra(record)
        except Exception as error:  # nobody must fail over a log line; what cannot be searched is not shown
            record.msg, record.args = f"{REDACTED}: the record could not be searched ({type(error).__name__})", None
            record.exc_info = record.exc_text = record.stack_info = None
            for name in record.__dict__.keys() - _OWN:
                setattr(record, name, REDACTED)
        return True


def install_redaction(*names: str) -> None:
    """Remove secrets from what the SDK logs, whichever handler writes it, also one that is added later.

    A store does that by itself, unless it is made with ``redact_sdk_log=False``.

    Args:
        names: Other loggers than the SDK's. What their children log is not seen by them.
    """
    for name in names or (SDK_LOGGER,):
        logger = logging.getLogger(name)
        if not any(isinstance(each, RedactingFilter) for each in logger.filters):
            logger.addFilter(RedactingFilter())


def _redact_message(record: logging.LogRecord) -> None:
    try:
        message, fits = record.getMessage(), True
    except Exception:
        args = record.args if isinstance(record.args, tuple) else (record.args,)
        message, fits = f"{record.msg}: {', '.join(map(str, args))}", False
    shown = redact(message)
    if not fits or shown != message or (record.args and _tells(record.args)):
        record.msg, record.args = shown, None


def _tells(args: object) -> bool:
    """Return whether arguments hold a secret that the message does not show: a handler may write them, too."""
    try:
        text = repr(args)
    except Exception:
        return True
    return redact(text) != text


def _redact_errors(record: logging.LogRecord) -> None:
    """Redact the traceback and the stack; the error itself is left only if it says nothing secret."""
    if record.exc_info and record.exc_info[0] is not None:
        formatted = record.exc_text or _format_traceback(record.exc_info)
        shown = redact_traceback(formatted)
        if shown != formatted:
            record.exc_text, record.exc_info = shown, None
    elif record.exc_text:
        record.exc_text = redact_traceback(record.exc_text)
    if record.stack_info:
        record.stack_info = redact_traceback(record.stack_info)


def _redact_extra(record: logging.LogRecord) -> None:
    """Redact what was given as ``extra``, for handlers that write it."""
    for name in record.__dict__.keys() - _OWN:
        value = getattr(record, name)
        text = value if isinstance(value, str) else repr(value)
        shown = REDACTED if value and _SECRET_NAME.fullmatch(name) else redact(text)
        if shown != text:
            setattr(record, name, shown)
