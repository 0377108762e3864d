"""Who may see the pages: whoever has the token. And what a browser may do with them: nothing outside this server."""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import quote, urlencode

from flask import Flask, Response, redirect, render_template, request

from flambe.cli.console import VERBOSE, say

_POLICY = "; ".join(
    [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ]
)  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or an address) can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def guard(app: Flask, token: str, *, cookie: str) -> None:
    """Let requests in by cookie, by ``Authorization: Bearer``, or once by ``?token=``, which sets the cookie.

    token: empty lets everybody in who asks for this server by a loopback name (a page elsewhere that was pointed
    here by a name of its own is refused). cookie: its name; ports of one host share cookies, so it should have one.
    """

    @app.before_request
    def admit() -> Response | tuple[str, int] | None:
        if request.endpoint == "static":
            return None
        if not token:
            host = request.host.rpartition(":")[0] if ":" in request.host.rpartition("]")[2] else request.host
            return None if is_loopback(host) else (_refused("This server answers to loopback names only."), 403)
        if _equal(request.cookies.get(cookie), token):
            return None
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(bearer, token):
            return None
        if _equal(request.args.get("token"), token):
            rest = [(key, value) for key, value in request.args.items(multi=True) if key != "token"]
            # One slash: "//elsewhere" would lead to another host.
            place = "/" + quote(request.path.lstrip("/")) + ("?" + urlencode(rest) if rest else "")
            response = redirect(place, 302)
            response.set_cookie(cookie, token, httponly=True, samesite="Lax", path="/")
            return response  # type: ignore[return-value]
        return _refused("Open the address that flambe-report printed: it carries the token."), 403

    @app.after_request
    def seal(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers.setdefault("Cache-Control", "no-store")
        # The path without its query: that may hold the token.
        say(f"{request.remote_addr} {request.method} {quote(request.path)} {response.status_code}", level=VERBOSE)
        return response


def _equal(given: str | None, token: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(), token.encode())


def _refused(reason: str) -> str:
    return render_template("message.html", title="No access", text=reason)
