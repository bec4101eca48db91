import os
import tempfile

import pytest

from machine import Machine


def pytest_configure(config):
    if not os.path.isdir(os.environ.get("DEB_MACHINE", "")):
        raise pytest.UsageError("DEB_MACHINE does not name a chroot: run this as `contrib/deb --test`")


@pytest.fixture(scope="session")
def machine():
    chroot = os.environ["DEB_MACHINE"]
    with tempfile.TemporaryDirectory(dir=os.path.dirname(chroot), prefix="machine-") as directory:
        one = Machine(chroot, os.environ["DEB_FETCHED"], os.path.join(directory, "root"))
        yield one
        one.stop()
