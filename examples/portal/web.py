"""The web application: ``gunicorn 'portal.web:create_app()'``.

The session cookie holds the id of the user's record in the store, and nothing else of the token. Flask signs it.
"""

from __future__ import annotations

import math
import secrets
import time
from typing import Any
from urllib.parse import urlencode

from flask import Flask, jsonify, redirect, render_template_string, request, session, url_for
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from portal import crm as zoho
from portal import metrics, tasks
from portal.settings import SCOPE
from zoho_token_store import (
    RefreshFailing,
    RefreshRejected,
    RefreshThrottled,
    RefreshTimeout,
    RevocationIncomplete,
    StoreUnavailable,
    TokenDeleted,
    TokenNotFound,
)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Portal</title></head><body>
{% if user %}
<p>You are <b>{{ user.name }}</b> ({{ user.email }}).</p>
<form method="post" action="{{ url_for('order_report') }}"><button>Order a report</button></form>
<form method="post" action="{{ url_for('log_out') }}"><button>Log out</button></form>
{% else %}
<p><a href="{{ url_for('log_in') }}">Log in with Zoho</a></p>
{% endif %}
</body></html>
"""


def create_app(crm: zoho.Crm | None = None) -> Flask:
    """Return the application.

    Args:
        crm: None makes it from the environment. With ``gunicorn --preload`` that is before the workers are forked.
    """
    crm = crm or zoho.from_env()
    app = Flask("portal")
    app.secret_key = crm.settings.secret_key
    app.config.update(
        SESSION_COOKIE_SAMESITE="Lax",  # other sites cannot post the forms
        SESSION_COOKIE_SECURE=crm.settings.redirect_uri.startswith("https:"),
    )
    _add_login(app, crm)
    _add_pages(app, crm)
    _add_errors(app)
    if crm.settings.metrics:
        app.get("/metrics")(metrics.page)  # for Prometheus alone: what stands in front of the portal keeps others out
    return app


def _add_login(app: Flask, crm: zoho.Crm) -> None:
    @app.get("/login")
    def log_in() -> Any:
        """Send the user to Zoho's consent page."""
        session["state"] = secrets.token_urlsafe(16)
        query = {
            "response_type": "code",
            "client_id": crm.settings.client_id,
            "redirect_uri": crm.settings.redirect_uri,
            "scope": SCOPE,
            "access_type": "offline",  # or there is no refresh token
            "prompt": "consent",
            "state": session["state"],
        }
        return redirect(f"{crm.settings.consent_url}/oauth/v2/auth?{urlencode(query)}")

    @app.get("/callback")
    def come_back() -> Any:
        """Take the user who comes back from Zoho, with a code or with a refusal."""
        expected = session.pop("state", None)
        if not expected or not secrets.compare_digest(expected.encode(), request.args.get("state", "").encode()):
            return jsonify(error="this login was not started here"), 400
        if not request.args.get("code"):
            return jsonify(error=request.args.get("error", "Zoho has sent no code")), 403
        record_id = crm.log_in(request.args["code"])
        session.clear()
        session["token_id"] = record_id
        return redirect(url_for("home"))

    @app.post("/logout")
    def log_out() -> Any:
        """Revoke, delete, forget."""
        record_id = session.pop("token_id", None)
        session.clear()
        if record_id:
            crm.log_out(record_id)
        return redirect(url_for("home"))


def _add_pages(app: Flask, crm: zoho.Crm) -> None:
    @app.get("/")
    def home() -> Any:
        record_id = session.get("token_id")
        return render_template_string(PAGE, user=crm.user(record_id) if record_id else None)

    @app.get("/me")
    def me() -> Any:
        """Tell who the user is, as CRM sees it."""
        return jsonify(crm.user(_record_id()))

    @app.post("/reports")
    def order_report() -> Any:
        """Let Celery work on behalf of the user: the task gets the record id only."""
        task = tasks.report.delay(_record_id())
        session["report"] = task.id  # what is not in the user's own session, the user cannot ask for
        return redirect(url_for("show_report"), code=303)

    @app.get("/report")
    def show_report() -> Any:
        if "report" not in session:
            return jsonify(error="no report was ordered"), 404
        task = tasks.report.AsyncResult(session["report"])
        return jsonify(state=task.state, report=task.result if task.successful() else None)

    @app.get("/healthz")
    def healthy() -> Any:
        crm.store.ping()
        return jsonify(status="ok")


def _record_id() -> str:
    if "token_id" not in session:
        raise TokenNotFound(None)
    return str(session["token_id"])


def _add_errors(app: Flask) -> None:
    @app.errorhandler(TokenDeleted)
    @app.errorhandler(TokenNotFound)
    def log_in_again(error: Exception) -> Any:
        """The user has logged out, maybe in another browser or worker."""
        session.clear()
        return jsonify(error="log in again"), 401

    @app.errorhandler(StoreUnavailable)
    @app.errorhandler(RefreshTimeout)
    @app.errorhandler(RefreshFailing)
    @app.errorhandler(RefreshThrottled)
    @app.errorhandler(RevocationIncomplete)
    @app.errorhandler(zoho.LoginNotStored)
    def try_later(error: Exception) -> Any:
        """Nothing is lost; there is no token just now."""
        pause = error.retry_at - time.time() if isinstance(error, (RefreshFailing, RefreshThrottled)) else 2
        return jsonify(error="try again later"), 503, {"Retry-After": str(max(1, math.ceil(pause)))}

    @app.errorhandler(RefreshRejected)
    def rejected(error: RefreshRejected) -> Any:
        """Nobody asks Zoho again with what is stored."""
        return log_in_again(error) if error.reason == "invalid_code" else refused(error)

    @app.errorhandler(SDKException)
    @app.errorhandler(zoho.CrmError)
    def refused(error: Exception) -> Any:
        """Zoho has answered with something else than what was asked for."""
        if isinstance(error, SDKException) and error.error_message == "invalid_code":
            return log_in_again(error)  # a code that was used, or a grant that the user has revoked at Zoho
        app.logger.error("Zoho: %s", error)
        return jsonify(error="Zoho has refused"), 502
