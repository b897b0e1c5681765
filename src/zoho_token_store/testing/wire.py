"""Zoho's words on the wire: the bodies of its accounts and CRM answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .model import IssuedTokens, User

THROTTLED: dict[str, dict[str, str]] = {
    "en": {
        "error": "Access Denied",
        "error_description": "You have made too many requests continuously. Please try again after some time.",
        "status": "failure",
    },
    # As seen by clients whose accounts server speaks Chinese: even "error" is translated.
    "zh": {
        "error": "拒绝访问",
        "error_description": "您已连续提出过多请求，请稍后再试。",  # noqa: RUF001  (Zoho's own comma)
        "status": "failure",
    },
}


@dataclass(frozen=True, slots=True)
class Request:
    """Describe a request: ``params`` holds query and form together, a form field going first."""

    method: str
    path: str
    params: Mapping[str, str] = field(repr=False)
    authorization: str = field(repr=False)
    base_url: str
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """Describe an HTTP answer."""

    status: int
    body: bytes = field(repr=False)
    content_type: str = "application/json;charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def json_answer(status: int, value: Any) -> Answer:
    """Make a JSON answer."""
    return Answer(status, json.dumps(value, ensure_ascii=False).encode())


def html_answer(status: int, page: str) -> Answer:
    """Make an HTML answer."""
    return Answer(status, page.encode(), "text/html;charset=UTF-8")


def redirect_answer(location: str) -> Answer:
    """Make a redirect."""
    return Answer(302, b"", "text/html;charset=UTF-8", {"Location": location})


def throttled_answer(status: int, language: Literal["en", "zh"]) -> Answer:
    """Make the answer to a refresh beyond the window (Zoho Accounts documentation, "Token limits")."""
    return json_answer(status, THROTTLED[language])


def tokens_answer(issued: IssuedTokens, api_domain: str | None, legacy_expiry: bool) -> Answer:
    """Make the answer to a token request (Zoho CRM API documentation, "Generating tokens").

    Args:
        issued: the tokens.
        api_domain: where CRM is; None leaves it out.
        legacy_expiry: the older form, ``expires_in`` in milliseconds beside ``expires_in_sec``; every SDK reads
            ``expires_in`` as milliseconds when, and only when, ``expires_in_sec`` is there.
    """
    body: dict[str, Any] = {"access_token": issued.access_token}
    if issued.refresh_token is not None:
        body["refresh_token"] = issued.refresh_token
    body["scope"] = issued.scope.replace(",", " ")
    if api_domain is not None:
        body["api_domain"] = api_domain
    body["token_type"] = "Bearer"
    body["expires_in"] = issued.expires_in * 1000 if legacy_expiry else issued.expires_in
    if legacy_expiry:
        body["expires_in_sec"] = issued.expires_in
    return json_answer(200, body)


def crm_error(status: int, code: str, message: str) -> Answer:
    """Make a CRM error (Zoho CRM API documentation, "Status codes")."""
    return json_answer(status, {"code": code, "details": {}, "message": message, "status": "error"})


def user_json(user: User) -> dict[str, Any]:
    """Describe a user as CRM's users resource does, as far as the SDK looks."""
    name = user.email.partition("@")[0]
    return {
        "id": user.user_id,
        "zuid": user.user_id[-9:],
        "email": user.email,
        "full_name": name,
        "last_name": name,
        "status": "active",
        "confirm": True,
    }


def org_json(user: User) -> dict[str, Any]:
    """Describe a user's organisation as CRM's org resource does; ``zgid`` is what the SDK puts into its user name."""
    return {
        "id": f"4150868{int(user.org_id) % 10**12:012d}",
        "zgid": user.org_id,
        "company_name": f"Organisation {user.org_id}",
        "primary_email": user.email,
        "time_zone": "UTC",
        "iso_code": "EUR",
    }


def lead_json(user: User) -> dict[str, Any]:
    """Describe the one lead that every user of the stand-in has."""
    return {"id": f"{int(user.user_id) + 10**9}", "Last_Name": "Lovelace", "Company": "Analytical Engines"}


LEAD_FIELDS: list[dict[str, Any]] = [
    {
        "id": f"41508680000000{number:05d}",
        "api_name": name,
        "field_label": name.replace("_", " "),
        "data_type": "text",
        "json_type": "string",
        "length": 100,
        "system_mandatory": name == "Last_Name",
        "visible": True,
        "read_only": False,
        "custom_field": False,
    }
    for number, name in enumerate(("Last_Name", "Company"), start=1)
]
