"""What the package tells type checkers is what it has."""
import installed

GOOD = """\
import wsgi_fcgi

@wsgi_fcgi.on_worker_start
def start() -> None: ...

start()
number: int | None = wsgi_fcgi.worker()
wsgi_fcgi.set_timeout(1.5)
wsgi_fcgi.set_timeout(None)
try:
    left: float | None = wsgi_fcgi.time_left()
except wsgi_fcgi.RequestTimeout:
    raise
"""

BAD = """\
import wsgi_fcgi

wsgi_fcgi.set_timeout("1")
wsgi_fcgi.on_worker_stop(1)
wsgi_fcgi.time_left() + 1
wsgi_fcgi.workers()
"""


def mypy(site, tmp_path, text, **more):
    module = tmp_path / "application.py"
    module.write_text(text)
    return installed.run(site.python, "-m", "mypy", "--strict", module, cwd=tmp_path, **more)


def test_the_stub_has_what_the_module_has(site, tmp_path):
    # Not for applications: the names that begin with an underscore, and __main__.
    said = installed.run(site.python, "-m", "mypy.stubtest", "wsgi_fcgi", "--ignore-missing-stub", cwd=tmp_path)
    assert "Success: no issues found" in said, said


def test_an_application_that_is_right_has_no_errors(site, tmp_path):
    mypy(site, tmp_path, GOOD)


def test_every_mistake_is_found(site, tmp_path):
    said = mypy(site, tmp_path, BAD, status=1)
    for line in range(3, 7):
        assert "application.py:%d: error" % line in said, said
