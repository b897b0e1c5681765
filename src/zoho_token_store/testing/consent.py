"""The consent page: choose who you are, allow or deny, go back to the application with a code."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from .model import User
from .wire import Answer, Request, html_answer, redirect_answer

CARRIED = ("response_type", "client_id", "scope", "redirect_uri", "access_type", "prompt", "state")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Zoho stand-in: consent</title></head>
<body>
<h1>Allow access?</h1>
<p>The application <b>{client}</b> asks for <code>{scope}</code>.</p>
<form method="get" action="/oauth/v2/auth">
{hidden}
<label>Log in as <input name="user" list="users" value="{first}" required></label>
<datalist id="users">{options}</datalist>
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form>
</body></html>
"""


def consent_page(request: Request, users: Iterable[User]) -> Answer:
    """Make the page; its form leads back to the same address with ``user`` and ``decision``."""
    emails = [escape(user.email) for user in users]
    hidden = "\n".join(
        f'<input type="hidden" name="{name}" value="{escape(request.params[name])}">'
        for name in CARRIED
        if name in request.params
    )
    page = PAGE.format(
        client=escape(request.params["client_id"]),
        scope=escape(request.params.get("scope", "")),
        hidden=hidden,
        first=emails[0] if emails else "",
        options="".join(f'<option value="{email}">' for email in emails),
    )
    return html_answer(200, page)


def refusal_page(reason: str) -> Answer:
    """Make the page for a request that must not be redirected, since its client or URI is not to be trusted."""
    return html_answer(400, f"<!doctype html><title>Zoho stand-in</title><p>{escape(reason)}</p>")


def back_to_application(redirect_uri: str, state: str | None, answer: dict[str, str]) -> Answer:
    """Redirect to the application with ``answer`` and the ``state`` that it sent, keeping the URI's own query."""
    if state is not None:
        answer = {**answer, "state": state}
    parts = urlsplit(redirect_uri)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *answer.items()])
    return redirect_answer(urlunsplit(parts._replace(query=query)))
