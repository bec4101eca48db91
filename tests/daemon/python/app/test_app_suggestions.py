"""What is said to have been meant when the application is not where the command line says."""
import re

import pytest

from daemon import run
from test_cli import EX_CONFIG, EX_NOINPUT, EX_SOFTWARE, refused, run_app

# Like a web framework: an application, what decorates views, and proxies (werkzeug.local) that cannot be touched while
# there is no request, and say that they are of the class of what they stand for.
FRAMEWORK = """
class Application:
    def __call__(self, environ, start_response):
        pass

    def route(self, function):
        return function

class LocalProxy:
    __slots__ = ()

    def __getattribute__(self, name):
        raise RuntimeError("Working outside of request context: " + name)

    @property
    def __class__(self):
        raise RuntimeError("Working outside of request context")

    def __call__(self, *args, **kwargs):
        raise RuntimeError("Working outside of request context")

    __repr__ = __str__ = __bool__ = __hash__ = __eq__ = __call__

class Command:
    def __call__(self, *args, **kwargs):
        pass

def jsonify(*args):
    pass

def create_app_of_framework():
    pass

current_app, request, session, g, app_proxy = (LocalProxy() for _ in range(5))
"""
IMPORTS = """
import functools, json
from collections import namedtuple
from typing import Any, Callable, List, Optional
from framework import *
from framework import Application, jsonify, request
"""


def suggestion(tmp_path, text, operand="site_module"):
    """What is suggested for a module with this text, as a list."""
    (tmp_path / "framework.py").write_text(FRAMEWORK)
    (tmp_path / "site_module.py").write_text(IMPORTS + text)
    done = run_app(operand, cwd=tmp_path)
    refused(done, EX_CONFIG, "has (no attribute|neither)|is not callable")
    assert done.stderr.count("\n") == 1, done.stderr
    return re.findall(r"site_module:(\w+(?:\([^;]*?\))?)(?=,| or |\?|$)", done.stderr.partition(":")[2].partition(
        "such as" if "such as" in done.stderr else "did you mean" if "did you mean" in done.stderr else "could be")[2])


@pytest.mark.parametrize("text, expected", [
    ("", []),
    ("shop = Application()\n@shop.route\ndef view(one, two): pass\n", ["shop"]),
    ("def view(one, two): pass\ndef index(request): pass\n", ["view"]),
    ("def view(one, two): pass\ndef serve(environ, start_response): pass\n", ["serve"]),
    ("class Error(Exception): pass\nclass Pair(namedtuple('Pair', 'a b')): pass\nclass User:\n"
     "    def __init__(self, name, mail): pass\n", []),
    ("class Site:\n    def __init__(self, environ, start_response): pass\n    def __iter__(self): pass\n", ["Site"]),
    ("class Site:\n    def __init__(self, environ, start_response): pass\n", []),
    ("class Site:\n    def __init__(self, environ, start_response): pass\nshop = Application()\n", ["shop"]),
    ("main = api = wsgi = Application()\n", ["wsgi", "api", "main"]),
    ("shop = handler = server = Application()\ndef make_app(): pass\ndef create_app(): pass\n",
     ["make_app()", "create_app()", "server", "handler", "shop"]),
    ("def build_app(config, *, debug=False): pass\n", ["build_app(config, *, debug=False)"]),
    ("def create_application(config=None): pass\n", ["create_application()"]),
    ("wsgi = functools.partial(jsonify)\nother = functools.partial(jsonify)\n", ["wsgi"]),
    ("init = Command()\nshop = Application()\n", ["shop"]),
    ("".join("a%d = Application()\n" % i for i in range(9)) + "main = a1\n", ["main", "a0", "a1", "a2", "a3", "a4"]),
    ("_private = Application()\n", []),
    ("async def api(scope, receive, send): pass\nasync def create_app(): pass\n", []),
])
def test_candidates(tmp_path, text, expected):
    assert suggestion(tmp_path, text) == expected
    assert suggestion(tmp_path, text, "site_module:zzz") == expected
    assert suggestion(tmp_path, text + "zzz = 1\n", "site_module:zzz") == expected


@pytest.mark.parametrize("wanted, expected", [
    ("aplication", ["shop_application"]),
    ("shop_aplication", ["shop_application"]),
    ("creat_shop()", ["create_shop(name)"]),
    ("create_shops", ["create_shop(name)"]),
    ("reqest", ["shop_application"]),
    ("jsonfy", ["shop_application"]),
])
def test_what_looks_alike(tmp_path, wanted, expected):
    """Of what the module has itself, and can be called."""
    text = "shop_application = Application()\ndef create_shop(name): pass\n"
    assert suggestion(tmp_path, text, "site_module:" + wanted) == expected


def test_what_looks_alike_in_an_object(tmp_path):
    (tmp_path / "site_module.py").write_text("class holder:\n    shop = print\n")
    refused(run_app("site_module:holder.shp", cwd=tmp_path), EX_CONFIG, "did you mean site_module:holder.shop?")
    refused(run_app("site_module:hodler.shop", cwd=tmp_path), EX_CONFIG, "did you mean site_module:holder?")


def test_a_file_is_suggested_as_it_was_written(tmp_path):
    (tmp_path / "site.wsgi").write_text("def create_app(name): pass\nclass Own:\n    def __init__(self, environ, "
                                        "start_response): pass\n    def __iter__(self): pass\n")
    refused(run_app("./site.wsgi", cwd=tmp_path), EX_CONFIG,
            r"such as \./site\.wsgi:create_app\(name\), \./site\.wsgi:Own$")


@pytest.mark.parametrize("module, file", [
    ("mysite.wsgi", "mysite/mysite/wsgi.py"),
    ("mysite.wsgi:application", "mysite/mysite/wsgi.py"),
    ("mysite.web.wsgi", "mysite/mysite/web/wsgi.py"),
    ("mysite.web", "mysite/mysite/web/__init__.py"),
])
def test_a_project_is_run_from_the_directory_it_is_in(tmp_path, module, file):
    """As Django lays it out, with a package that has the name of the directory around it."""
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("def application(environ, start_response): pass\n")
    missing = 'there is no module "%s" in "mysite' % module.partition(":")[0]
    refused(run_app(module, cwd=tmp_path), EX_NOINPUT, missing + ".*, but there is %s: did you mean --chdir mysite\\?\n$" % file)
    assert run("--check", "--chdir", "mysite", module, cwd=tmp_path).returncode == 0
    # What the option says counts from where the server was started.
    refused(run_app("--chdir", tmp_path, module, cwd="/"), EX_NOINPUT,
            missing + ".*, but there is %s/%s: did you mean --chdir %s/mysite\\?\n$" % (tmp_path, file, tmp_path))


def test_a_project_that_has_no_such_module_either(tmp_path):
    (tmp_path / "mysite" / "mysite").mkdir(parents=True)
    (tmp_path / "mysite" / "mysite" / "wsgi.py").touch()
    refused(run_app("mysite.wgsi", cwd=tmp_path), EX_NOINPUT, 'no module "mysite.wgsi" in "mysite": is it misspelt\\?')


SPOILT = 'the application "%s" '


@pytest.mark.parametrize("operand, text, status, plain", [
    ("spoilt:shp", "", EX_CONFIG, SPOILT % "spoilt:shp" + "names an attribute that is not there\n"),
    ("spoilt", "", EX_CONFIG, SPOILT % "spoilt" + 'has neither "application" nor "app"\n'),
    ("spoilt:number", "number = 5", EX_CONFIG, SPOILT % "spoilt:number" + "is not callable\n"),
    ("spoilt:make()", "def make(name): pass", EX_CONFIG,
     SPOILT % r"spoilt:make\(\)" + "is not made: its factory does not take these arguments\n"),
    ("spoilt.nothing", "", EX_NOINPUT, "importing \"spoilt.nothing\" failed\n(.*\n)*ModuleNotFoundError: No module"),
    ("spoilt", "import no_such_module", EX_SOFTWARE, "importing \"spoilt\" failed\n(.*\n)*ModuleNotFoundError: No"),
    ("spoilt", "raise ValueError('why')", EX_SOFTWARE, "importing \"spoilt\" failed\n(.*\n)*ValueError: why"),
])
def test_python_that_is_spoilt(tmp_path, operand, text, status, plain):
    """Where it cannot be said any more what is wrong, the error is plain, and the status the same."""
    (tmp_path / "spoilt").mkdir()
    (tmp_path / "spoilt" / "__init__.py").write_text("import sys\nsys.modules['os'] = None\n" + text)
    refused(run_app(operand, cwd=tmp_path), status, plain)


def test_application_that_cannot_be_judged(tmp_path):
    """It may be one."""
    (tmp_path / "spoilt.py").write_text("import functools, sys\nsys.modules['os'] = None\ndef serve(*args): pass\n"
                                        "app = functools.partial(serve)\n")
    assert run("--check", "spoilt", cwd=tmp_path).returncode == 0


def test_odd_objects_beside_it(tmp_path):
    """What other objects of the module raise when they are looked at says nothing about the one that is named."""
    (tmp_path / "odd_module.py").write_text("""
class Meta(type):
    @property
    def __mro__(cls):
        raise ValueError("odd")

class Odd(metaclass=Meta):
    pass

class Inst:
    def __init__(self, *arguments):
        pass
""")
    refused(run_app("odd_module:Inst", cwd=tmp_path), EX_CONFIG, "is a class and its instances are not iterable")
    refused(run_app("odd_module:inst", cwd=tmp_path), EX_CONFIG, "has no attribute .*Inst")
