"""A studio that is served on loopback in this process, and a browser that looks at it without a screen."""

import json
import shutil
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import uvicorn

from ganatomy.studio.serve import open_studio
from ganatomy.studio.subject import open_subject

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


def decode(content):
    """The header and the values of an image as the browser decodes them."""
    length = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + length])
    count = int(np.prod(header["shape"]))
    values = np.frombuffer(content, np.dtype(header["type"]).newbyteorder("<"), count, 4 + length)
    labels = np.frombuffer(content, np.uint8, count, 4 + length + 2 * count) if header["classes"] else None
    return header, values.reshape(header["shape"]), labels


@contextmanager
def served(paths, out):
    """Serve paths; yields the address."""
    with served_subject(open_subject(paths, out)) as (address, _):
        yield address


@contextmanager
def served_subject(subject):
    """Serve a subject; yields its address, and that of the readers of its study."""
    opened = open_studio(subject)
    server = uvicorn.Server(uvicorn.Config(opened.guard, log_level="error", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened.listener]}, daemon=True)
    thread.start()
    try:
        yield opened.address, opened.readers
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
            assert wrong == []
        finally:
            browser.close()
