"""What `make check-wheel` gives: a folder with a wheel and a source distribution, as contrib/wheels makes them, and the
Python that they are for."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "daemon")]
os.environ["no_proxy"] = "*"

import installed  # noqa: E402
from common import pytest_runtest_makereport  # noqa: E402,F401


def pytest_configure(config):
    for name in ("WHEELS", "WHEEL_PYTHON"):
        if name not in os.environ:
            raise pytest.UsageError("run this suite with `make check-wheel`, which sets %s" % name)


@pytest.fixture(scope="session")
def wheel():
    """The path of the wheel, repaired."""
    return installed.only(os.environ["WHEELS"], "*.whl")


@pytest.fixture(scope="session")
def sdist():
    return installed.only(os.environ["WHEELS"], "*.tar.gz")


@pytest.fixture
def fresh(tmp_path):
    """Makes fresh virtual environments: fresh(), fresh("a name")."""
    return lambda name="venv": installed.Venv(tmp_path / name)


@pytest.fixture(scope="session")
def site(tmp_path_factory, wheel):
    """One with the wheel, and with what is served, from PyPI. The helpers of tests/daemon start its command."""
    venv = installed.Venv(tmp_path_factory.mktemp("site") / "venv")
    venv.pip("install", "--quiet", wheel, "--requirement", os.path.join(HERE, "requirements.txt"))
    os.environ["WSGI_FCGI"] = str(venv.command)
    return venv
