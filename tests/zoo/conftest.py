"""The fixtures of the downloads: a server on 127.0.0.1 and a cache folder of the test's own."""

from downloads.conftest import home, server  # noqa: F401
