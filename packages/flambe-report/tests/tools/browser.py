"""Headless Chromium that reaches nothing but loopback, for tests and pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

CHROMIUM = "/usr/bin/chromium"
_FLAGS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-domain-reliability", "--disable-client-side-phishing-detection", "--metrics-recording-only",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]  # fmt: skip


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Give a browser, which takes a second or two to start."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=_FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def page_of(
    browser: Any, *, dark: bool = False, width: int = 1360, height: int = 900, scale: float = 1
) -> Iterator[Any]:
    """Give a page with two lists: ``page.strays``, requests that left loopback; ``page.complaints``, console errors."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        device_scale_factor=scale,
    )
    page = context.new_page()
    page.strays, page.complaints = [], []
    page.on("request", lambda request: page.strays.append(request.url) if _is_stray(request.url) else None)
    page.on("console", lambda line: page.complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    context.close()


@contextlib.contextmanager
def browser_page(*, dark: bool = False, width: int = 1360, height: int = 900, scale: float = 1) -> Iterator[Any]:
    """Give ``page_of`` a browser of its own."""
    with chromium() as browser, page_of(browser, dark=dark, width=width, height=height, scale=scale) as page:
        yield page


def _is_stray(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob", "about") and parts.hostname != "127.0.0.1"
