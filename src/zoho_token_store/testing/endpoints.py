"""What each endpoint answers, decided from rules and switches alone; the HTTP is elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .consent import back_to_application, consent_page, refusal_page
from .faults import Faults, FaultSettings
from .ledger import CounterName
from .model import IssuedTokens, Refused, Throttled, fingerprint
from .rules import Accounts
from .wire import (
    LEAD_FIELDS,
    Answer,
    Request,
    crm_error,
    json_answer,
    lead_json,
    org_json,
    throttled_answer,
    tokens_answer,
    user_json,
)

CRM_PATH = re.compile(r"/crm/v\d+(?:\.\d+)?/(users|org|settings/fields|Leads)")
AUTH_SCHEME = "Zoho-oauthtoken "


@dataclass(frozen=True, slots=True)
class Outcome:
    """Describe how a request ends: its answer, the counter that it raises, and a word for the history."""

    answer: Answer
    counter: CounterName | None
    word: str


class Endpoints:
    """Answer requests by the rules.

    Args:
        accounts: the rules.
        faults: the switches that change answers.
        api_domain: what token answers name as ``api_domain``; None is the URL by which the caller came.
    """

    def __init__(self, accounts: Accounts, faults: Faults, api_domain: str | None) -> None:
        self._accounts = accounts
        self._faults = faults
        self._api_domain = api_domain

    def subject(self, request: Request) -> str:
        """Name the grant or code that a token request is about, for the ledger."""
        if refresh_token := request.params.get("refresh_token"):
            return self._accounts.family(refresh_token)
        code = request.params.get("code")
        return fingerprint(code) if code else ""

    def token(self, request: Request) -> Outcome:
        """Answer ``POST /oauth/v2/token`` (Zoho CRM API documentation, "Generate" and "Refresh access tokens")."""
        settings = self._faults.settings
        try:
            issued, counter, word = self._issue(request, settings)
        except Throttled:
            answer = throttled_answer(settings.throttle_status, settings.throttle_language)
            return Outcome(answer, "throttled", "throttled")
        except Refused as refusal:
            return self._rejected(refusal.code)
        domain = None if settings.omit_api_domain else self._api_domain or request.base_url
        return Outcome(tokens_answer(issued, domain, settings.legacy_expiry), counter, word)

    def revoke(self, request: Request) -> Outcome:
        """Answer ``POST /oauth/v2/token/revoke`` (Zoho CRM API documentation, "Revoke refresh tokens")."""
        if self._accounts.revoke(request.params.get("token", "")):
            return Outcome(json_answer(200, {"status": "success"}), "revokes", "revoked")
        return self._rejected("invalid_token")

    def consent(self, request: Request) -> Outcome:
        """Answer ``GET /oauth/v2/auth`` (Zoho CRM API documentation, "Authorization request").

        With ``user`` in the query the page is skipped and consent given; ``decision=deny`` refuses it.
        """
        params = request.params
        client = self._accounts.client(params.get("client_id", ""))
        uri = params.get("redirect_uri", "")
        if client is None:
            return Outcome(refusal_page("Invalid client: there is no client of that id."), "rejected", "invalid_client")
        if not uri or (client.redirect_uris and uri not in client.redirect_uris):
            page = refusal_page("Invalid redirect URI: it is not one of the client's.")
            return Outcome(page, "rejected", "invalid_redirect_uri")
        if params.get("response_type", "code") != "code":
            return Outcome(refusal_page("Invalid response type: only code is known."), "rejected", "invalid_type")
        if params.get("decision", "allow") == "deny":
            answer = back_to_application(uri, params.get("state"), {"error": "access_denied"})
            return Outcome(answer, None, "denied")
        if not params.get("user"):
            return Outcome(consent_page(request, self._accounts.users()), None, "asked")
        return self._consented(request, client.client_id, uri)

    def crm(self, request: Request) -> Outcome:
        """Answer a CRM request for the user of its access token, or refuse it as CRM does."""
        header = request.authorization
        if not header.startswith(AUTH_SCHEME):
            answer = crm_error(401, "AUTHENTICATION_FAILURE", "Authentication failed")
            return Outcome(answer, "crm_rejected", "AUTHENTICATION_FAILURE")
        access = self._accounts.authenticate(header[len(AUTH_SCHEME) :])
        if access is None:
            return Outcome(crm_error(401, "INVALID_TOKEN", "invalid oauth token"), "crm_rejected", "INVALID_TOKEN")
        found = CRM_PATH.fullmatch(request.path)
        if found is None:
            return Outcome(crm_error(404, "INVALID_URL_PATTERN", "not in the stand-in"), None, "INVALID_URL_PATTERN")
        info = {"count": 1, "page": 1, "per_page": 200, "more_records": False}
        user = access.user
        body = {
            "users": {"users": [user_json(user)], "info": info},
            "org": {"org": [org_json(user)]},
            "settings/fields": {"fields": LEAD_FIELDS},
            "Leads": {"data": [lead_json(user)], "info": info},
        }[found[1]]
        return Outcome(json_answer(200, body), "crm_calls", "answered")

    def _issue(self, request: Request, settings: FaultSettings) -> tuple[IssuedTokens, CounterName, str]:
        params = request.params
        client_id, secret = params.get("client_id", ""), params.get("client_secret", "")
        kind = params.get("grant_type")
        if kind == "authorization_code":
            uri = params.get("redirect_uri") or None
            issued = self._accounts.exchange(client_id, secret, params.get("code", ""), uri)
            return issued, "exchanges", "exchanged"
        if kind == "refresh_token":
            refresh_token = params.get("refresh_token", "")
            rotation = {"rotate": settings.rotate_refresh_tokens, "overlaps": settings.rotation_overlaps}
            return self._accounts.refresh(client_id, secret, refresh_token, **rotation), "refreshes", "refreshed"
        raise Refused("unsupported_grant_type")

    def _rejected(self, code: str) -> Outcome:
        return Outcome(json_answer(self._faults.settings.refused_status, {"error": code}), "rejected", code)

    def _consented(self, request: Request, client_id: str, uri: str) -> Outcome:
        params = request.params
        # Zoho's default is online: without access_type=offline the exchange gives no refresh token.
        offline = params.get("access_type") == "offline"
        code = self._accounts.issue_grant_code(client_id, params["user"], params.get("scope", ""), uri, offline)
        answer = {"code": code, "location": "us", "accounts-server": request.base_url}
        return Outcome(back_to_application(uri, params.get("state"), answer), "consents", "consented")
