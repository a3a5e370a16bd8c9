import os

import pytest
from servers import Server, running

from keras_deeplab.downloads import transfer


@pytest.fixture
def server():
    with running(Server()) as server:
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("KERAS_DEEPLAB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KERAS_DEEPLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(transfer, "DELAYS", (0.01, 0.01, 0.01, 0.01))
    return tmp_path / "home"
