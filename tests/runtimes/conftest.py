import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder; "auto" means what it means for users."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KERAS_DEEPLAB_HOME", str(folder))
    monkeypatch.delenv("KERAS_DEEPLAB_RUNTIME")
    monkeypatch.delenv("KERAS_DEEPLAB_PRECISION")
    return folder
