"""--umask: what files of the application may be done with, in every kind of process that runs it."""
import json
import os
import stat

import pytest

APP = "userapp"
KINDS = {"single": [], "workers": ["--workers", 1], "preload": ["--workers", 1, "--preload"]}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("mask", ["027", "0", "777"])
def test_umask_is_that_of_the_application(start, kind, mask, tmp_path):
    server = start(APP, "--umask", mask, *kind)
    path = tmp_path / "made"
    assert server.ask("/write", query=str(path)).status == 200
    assert mode(path) == 0o666 & ~int(mask, 8) and mode(str(path) + ".d") == 0o777 & ~int(mask, 8)


def test_without_it_that_of_the_start_stays(start, kind):
    server = start(APP, *kind, preexec_fn=lambda: os.umask(0o035))
    assert json.loads(server.ask("/").body)["umask"] == 0o035


def test_socket_and_log_have_modes_of_their_own(start, kind, tmp_path):
    server = start(APP, "--umask", "777", "--log-file", tmp_path / "log", *kind, preexec_fn=lambda: os.umask(0o022))
    assert server.ask("/").status == 200
    assert mode(server.path) == 0o660 and mode(tmp_path / "log") == 0o640
