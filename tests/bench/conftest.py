import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../daemon"))
sys.path.insert(0, os.path.join(HERE, "../../contrib/bench"))

import responder as responders  # noqa: E402


def pytest_configure(config):
    if not os.access(os.environ.get("FCGI_LOAD", ""), os.X_OK):
        raise pytest.UsageError("FCGI_LOAD does not name the load generator: run this as `make check-bench`")


@pytest.fixture
def responder(tmp_path_factory):
    """Starts a responder with the answers that the test wants."""
    started = []

    def start(*args, **more):
        started.append(responders.Responder(str(tmp_path_factory.mktemp("r") / "sock"), *args, **more))
        return started[-1]

    yield start
    for one in started:
        one.stop()
