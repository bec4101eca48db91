"""The status page, for a client on this machine and for one that claims to be."""
import json

import pytest

import proxies
from conftest import running
from deviations import expected

PATH = ["--status-path", "/status"]


@pytest.fixture(scope="module", params=proxies.VARIANTS)
def shown(request):
    yield from running(request.param, *PATH)


@pytest.fixture(scope="module", params=proxies.VARIANTS)
def trusting(request):
    """Believes what the proxy says of those who ask it here."""
    yield from running(request.param, *PATH, "--forwarded-allow", "unix", "--forwarded-allow", "127.0.0.1")


def is_page(response):
    assert json.loads(response.body)["version"] == 1
    assert response.header("cache-control") == "no-store" and response.header("content-type") == "application/json"


def test_from_this_machine(shown):
    response = shown.ask("/status?format=json")
    assert response.status == expected("status page", shown, 200), response
    if response.status == 200:
        is_page(response)


def test_from_this_machine_by_its_word(trusting):
    response = trusting.ask("/status?format=json")
    assert response.status == 200, response
    is_page(response)


@pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded", "Via"])
def test_forged(shown, field):
    """Who claims that a proxy has passed it on is nobody who is known."""
    response = shown.ask("/status", headers={field: "127.0.0.1"})
    assert response.status == 403, response


def test_methods(trusting):
    assert trusting.ask("/status", "HEAD").status == 200
    assert trusting.ask("/status", "POST", b"x").status == 405
