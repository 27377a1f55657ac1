"""A studio that is served on loopback in this process, and a browser that looks at it without a screen."""

import shutil
import threading
from contextlib import contextmanager

import pytest
import uvicorn

from ganatomy.studio.serve import open_studio
from ganatomy.studio.subject import open_subject

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def served(paths, out):
    """Serve paths; yields the address."""
    opened = open_studio(open_subject(paths, out))
    server = uvicorn.Server(uvicorn.Config(opened.guard, log_level="error", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened.listener]}, daemon=True)
    thread.start()
    try:
        yield opened.address
    finally:
        server.should_exit = True
        thread.join(10)
        opened.listener.close()


@contextmanager
def looked_at(size=(1280, 800)):
    """A page of a headless browser, and what went wrong on it: messages of the console, and requests elsewhere."""
    if BROWSER is None:
        pytest.skip("no browser: Debian's chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as kit:
        browser = kit.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        wrong = []
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        hosts = set()
        page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
        try:
            yield page, wrong
            assert hosts <= {"127.0.0.1"}
            assert not wrong
        finally:
            browser.close()
