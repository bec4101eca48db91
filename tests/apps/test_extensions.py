"""C extensions from PyPI, each used by several threads at a time."""
import concurrent.futures
import os
import struct
import sys

import numpy
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

APP = "extensions:app"
OPTIONS = ["-t", 8]


@pytest.fixture(scope="module")
def environment(postgres):
    return {"POSTGRES": postgres.dir}


def at_a_time(function, count=48):
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(function, range(count)))


def test_where(site):
    got = site.json("/where")
    assert got["prefix"] == sys.prefix
    assert got["executable"] == os.path.join(sys.prefix, "bin", "python")
    assert all(path.startswith(sys.prefix) for path in got["files"]) and got["implementation"] == "binary"


def check_numpy(site, number):
    got = site.json("/numpy/%d" % number)
    matrix = numpy.random.default_rng(number).random((80, 80)) + 80 * numpy.eye(80)
    assert got["error"] < 1e-9 and abs(got["sum"] - matrix.sum()) < 1e-6


def check_numpy_bytes(site, number):
    numbers = range(number, number + 100000)
    response = site.ask("/numpy/bytes", "POST", body=struct.pack("<100000I", *numbers))
    assert response.body == struct.pack("<100000I", *(value + 1 for value in reversed(numbers)))


def check_lxml(site, number):
    body = "<list>%s</list>" % ("<item>%d</item>" % number * 3000)
    response = site.ask("/lxml", "POST", body=body)
    assert response.body.endswith(b'<sum n="3000">%d</sum>' % (3000 * number)), response


def check_cryptography(site, number):
    key = serialization.load_pem_public_key(site.ask("/cryptography/key").body)
    data = b"%d" % number * 20000
    key.verify(site.ask("/cryptography", "POST", body=data).body, data, padding.PKCS1v15(), hashes.SHA256())


def check_psycopg(site, number):
    data = os.urandom(50000 + number)
    assert site.ask("/psycopg", "POST", body=data).body == data


CHECKS = [check_numpy, check_numpy_bytes, check_lxml, check_cryptography, check_psycopg]


@pytest.mark.parametrize("check", CHECKS)
def test_threads(site, check):
    at_a_time(lambda number: check(site, number))


def test_all_together(site):
    at_a_time(lambda number: CHECKS[number % len(CHECKS)](site, number), 100)
