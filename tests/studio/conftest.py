"""Clients of studios that are not served."""

import pytest
from starlette.testclient import TestClient

from ganatomy.studio.serve import open_studio
from ganatomy.studio.subject import open_subject


@pytest.fixture
def studio(tmp_path):
    """Opens paths; returns a client whose paths begin at the studio's token, and the opened studio."""
    listeners = []

    def open_(*paths):
        opened = open_studio(open_subject(paths, tmp_path / "out"))
        listeners.append(opened.listener)
        return TestClient(opened.guard, base_url=opened.address, follow_redirects=False), opened

    yield open_
    for listener in listeners:
        listener.close()
