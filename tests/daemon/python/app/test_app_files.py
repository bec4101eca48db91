"""The application named by a file, as mod_wsgi and uWSGI have it."""
import json
import os
import pwd
import tempfile

import pytest

from daemon import APPS, run
from test_cli import EX_CONFIG, EX_NOINPUT, EX_SOFTWARE, EX_USAGE, refused, run_app

EX_NOPERM = 77
NOBODY = pwd.getpwnam("nobody")

# A module that prints what it is, to be loaded with --check. %s: further statements.
TELLS = """
import json, pickle, site, sys
%s

class Kept:
    pass

def tell(environ, start_response):
    pass

def make(name):
    return tell

print(json.dumps({
    "name": __name__, "file": __file__, "package": __package__, "spec": [__spec__.name, __spec__.origin],
    "same": sys.modules[__name__].tell is tell and pickle.loads(pickle.dumps(Kept)) is Kept,
    "site": site.__name__, "path": sys.path, "neighbour": globals().get("neighbour") and neighbour.NAME}))
"""


@pytest.fixture
def site(tmp_path):
    """A directory as people have it, with all that can be named in it."""
    outer, inner = TELLS % "import neighbour" + "application = tell\n", TELLS % "from . import neighbour" + "app = tell\n"
    directory = tmp_path / "srv"
    (directory / "pkg" / "sub").mkdir(parents=True)
    (directory / "neighbour.py").write_text("NAME = 'outer'")
    for name in ("site.wsgi", "app.py", "my-app.py", "my.app.py", "1.wsgi", "ümlaut.wsgi", "script", "site.py"):
        (directory / name).write_text(outer)
    (directory / "pkg" / "neighbour.py").write_text("NAME = 'inner'")
    (directory / "pkg" / "web.py").write_text(inner)
    (directory / "pkg" / "__init__.py").write_text("")
    (directory / "pkg" / "sub" / "__init__.py").write_text((TELLS % "from .. import neighbour") + "app = tell")
    return directory


def told(operand, *args, cwd):
    done = run("--check", operand, *args, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.partition("\n")[0])


@pytest.mark.parametrize("given, module", [
    ("site.wsgi", "site_wsgi"),
    ("site.wsgi:application", "site_wsgi"),
    ("./site.wsgi:tell", "site_wsgi"),
    ("app.py", "app"),
    ("app.py:tell", "app"),
    ("./app.py", "app"),
    (".//./app.py:tell", "app"),
    ("pkg/../app.py", "app"),
    ("./app.py:make('x')", "app"),
    ("app.py:make('/x')", "app"),
    ("./my-app.py", "my-app"),
    ("./my.app.py", "my_app_py"),
    ("./1.wsgi", "1_wsgi"),
    ("./script", "script"),
    ("ümlaut.wsgi", "__mlaut_wsgi"),
    ("./site.py", "site_py"),
])
@pytest.mark.parametrize("how", ["here", "absolute", "chdir", "elsewhere"])
def test_file(site, given, module, how):
    """Its module is in sys.modules under a name of its own, described as every module is; its neighbours are found."""
    directory = {"here": site, "elsewhere": site.parent}.get(how, "/")
    prefix = {"absolute": "%s/" % site, "elsewhere": "srv/"}.get(how, "")
    answer = told(prefix + given, *(["--chdir", site] if how == "chdir" else []), cwd=directory)
    path = str(site / os.path.basename(given.partition(":")[0]))
    assert answer["name"] == module and answer["file"] == path and answer["spec"] == [module, path]
    assert answer["same"] and answer["site"] == "site" and answer["neighbour"] == "outer"
    assert not answer["package"] and answer["path"].count(str(site)) == 1 and answer["path"][0] == str(site)


def test_file_serves(start, site):
    (site / "site.wsgi").write_text("from forms import app as application")
    assert start("site.wsgi", "--pythonpath", APPS, cwd=site).ask("/").body == b"forms:app"


@pytest.mark.parametrize("given, module", [("pkg/web.py", "pkg.web"), ("pkg/sub/__init__.py", "pkg.sub")])
@pytest.mark.parametrize("where", ["", "pkg", "pkg/sub"])
def test_file_of_a_package(site, given, module, where):
    """It is the module that import knows, wherever it is named from."""
    answer = told("./" + os.path.relpath(site / given, site / where), cwd=site / where)
    assert answer["name"] == module and answer["neighbour"] == "inner" and answer["same"]
    assert answer["path"].count(str(site)) == 1 and answer["file"] == str(site / given)


def test_file_of_a_name_that_is_taken(site):
    """The module that import would find stays what it is."""
    (site / "app").mkdir()
    (site / "app" / "__init__.py").write_text("")
    (site / "neighbour.py").write_text("NAME = 'outer'\nimport app")
    answer = told("./app.py", cwd=site)
    assert answer["name"] == "app_py" and answer["same"]
    (site / "other").mkdir()
    (site / "other" / "my-app.py").write_text("")
    answer = told("./my-app.py", "--pythonpath", site / "other", cwd=site)
    assert answer["name"] == "my_app_py" and answer["file"] == str(site / "my-app.py")


def test_module_comes_before_a_file(site):
    """mysite.wsgi means what it always meant where there is a package mysite with a module wsgi; a path is a file."""
    (site / "mysite").mkdir()
    for name in ("mysite.wsgi", "mysite/wsgi.py"):
        (site / name).write_text(TELLS % "" + "application = tell")
    assert told("mysite.wsgi", cwd=site)["name"] == "mysite.wsgi"
    assert told("mysite.wsgi:application", cwd=site)["name"] == "mysite.wsgi"
    assert told("./mysite.wsgi", cwd=site)["name"] == "mysite_wsgi"
    (site / "mysite" / "wsgi.py").unlink()
    assert told("mysite.wsgi", cwd=site)["name"] == "mysite_wsgi"


def test_where_a_relative_path_is_looked_for(site, tmp_path):
    """In the directory of --chdir, as a module is, and then where the server was started."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "site.wsgi").write_text(TELLS % "" + "application = tell")
    assert told("site.wsgi", "--chdir", other, cwd=site)["file"] == str(other / "site.wsgi")
    assert told("./app.py", "--chdir", other, cwd=site)["file"] == str(site / "app.py")
    refused(run_app("no.wsgi", "--chdir", other, cwd=site), EX_NOINPUT, 'no module "no", and no file no.wsgi')
    refused(run_app("./no.wsgi", "--chdir", other, cwd=site), EX_NOINPUT,
            r"there is no file \./no\.wsgi in %s, nor in %s \(did you mean \./site\.wsgi\?\)" % (other, site))


def test_symbolic_links(site, tmp_path):
    """A link to the directory is followed, one that is the file is not."""
    (tmp_path / "current").symlink_to(site)
    assert told("current/app.py", cwd=tmp_path)["file"] == str(site / "app.py")
    (site / "app.py").rename(tmp_path / "elsewhere.py")
    (site / "app.py").symlink_to(tmp_path / "elsewhere.py")
    answer = told("./app.py", cwd=site)
    assert answer["file"] == str(site / "app.py") and answer["name"] == "app"


@pytest.mark.parametrize("name", ["site.wsgi", "app.py"])
@pytest.mark.parametrize("text", [b"\xef\xbb\xbfNAME = '\xc3\xa9'", b"# coding: latin-1\nNAME = '\xe9'", b"NAME = '\xc3\xa9'"])
def test_encodings(site, name, text):
    """Those that Python reads, and the line ends of others."""
    (site / name).write_bytes(text.replace(b"\n", b"\r\n") + b"\r\nassert NAME == '\\xe9'\r\n"
                              b"def app(environ, start_response):\r\n    pass\r\n")
    done = run("--check", "./" + name, cwd=site)
    assert done.returncode == 0, done.stderr


def test_file_leaves_no_bytecode(site):
    """That of site.wsgi would have the name of that of site.py."""
    (site / "site.wsgi").write_text("application = lambda environ, start_response: []")
    assert run("--check", "site.wsgi", cwd=site, env={"PYTHONDONTWRITEBYTECODE": ""}).returncode == 0
    assert not (site / "__pycache__").exists()


def test_check_names_the_file(site):
    done = run("--check", "site.wsgi", cwd=site)
    assert done.returncode == 0 and "function site_wsgi.tell (%s/site.wsgi:" % site in done.stdout


# --- what goes wrong

@pytest.mark.parametrize("given, status, patterns", [
    ("./nothing.fcgi", EX_NOINPUT, [r"no file \./nothing\.fcgi in SITE:"]),
    ("nothing.py", EX_NOINPUT, [r"no file nothing\.py in SITE"]),
    ("missing/site.wsgi:app", EX_NOINPUT, [r"no file missing/site\.wsgi in SITE:"]),
    ("site.wsgi/x.py", EX_NOINPUT, [r"no file site\.wsgi/x\.py in SITE:"]),
    ("/missing/site.wsgi", EX_NOINPUT, [r"no file /missing/site\.wsgi:"]),
    ("./sit.wsgi", EX_NOINPUT, [r"did you mean \./site\.wsgi"]),
    ("ap.py", EX_NOINPUT, [r"did you mean app\.py"]),
    ("no such.py", EX_NOINPUT, [r"no file no such\.py in SITE:"]),
    ("..py", EX_NOINPUT, [r"no file \.\.py in SITE "]),
    ("pkg/", EX_NOINPUT, ["SITE/pkg/ is a directory"]),
    ("./pkg", EX_NOINPUT, ["SITE/./pkg is a directory"]),
    ("/dev/null", EX_NOINPUT, ["/dev/null is no regular file"]),
    ("pipe.py", EX_NOINPUT, ["SITE/pipe.py is no regular file"]),
    ("dir.wsgi", EX_NOINPUT, ["SITE/dir.wsgi is a directory"]),
    ("loop.py", EX_NOINPUT, ["cannot read SITE/loop.py: Too many levels"]),
    ("./app.pyc", EX_NOINPUT, ["app.pyc is no Python source"]),
    ("./latin.wsgi", EX_SOFTWARE, ["loading SITE/latin.wsgi failed", "SyntaxError", "xe9"]),
    ("./broken.wsgi", EX_SOFTWARE, ["loading SITE/broken.wsgi failed", 'File "SITE/broken.wsgi", line 2', "SyntaxError"]),
    ("./raises.wsgi", EX_SOFTWARE, ["Traceback", 'File "SITE/raises.wsgi", line 2, in <module>', "LookupError: no"]),
    ("./raises.py", EX_SOFTWARE, ["Traceback", 'File "SITE/raises.py", line 2, in <module>', "LookupError: no"]),
    ("./lacks.wsgi", EX_SOFTWARE, ["loading SITE/lacks.wsgi needs the module \"no_such_module\""]),
    ("./exits.wsgi", EX_SOFTWARE, ["loading SITE/exits.wsgi ended in SystemExit"]),
    ("./neighbour.py", EX_CONFIG, ['neither "application" nor "app"']),
    ("./app.py:no", EX_CONFIG, [r'\./app\.py \(SITE/app\.py\) has no attribute "no"']),
    ("./app.py:", EX_USAGE, ["nothing behind the colon"]),
    ("./a\npp.py", EX_USAGE, [r'cannot read the application "\./a\\x0app\.py"']),
    ("./app.py:a b", EX_USAGE, ["cannot read the application"]),
])
def test_files_that_go_wrong(site, given, status, patterns):
    (site / "app.pyc").write_bytes(b"\xa7\r\r\n\0\0\0\0")
    os.mkfifo(site / "pipe.py")
    (site / "dir.wsgi").mkdir()
    (site / "loop.py").symlink_to("loop.py")
    (site / "latin.wsgi").write_bytes(b"name = '\xe9'\n")
    for name, text in {
        "broken.wsgi": "\ndef app(environ start_response):\n",
        "raises.wsgi": "\nraise LookupError('no')\n",
        "raises.py": "\nraise LookupError('no')\n",
        "lacks.wsgi": "import no_such_module",
        "exits.wsgi": "raise SystemExit",
    }.items():
        (site / name).write_text(text)
    done = run_app(given, cwd=site)
    refused(done, status, *(pattern.replace("SITE", str(site)) for pattern in patterns))
    assert "importlib" not in done.stderr, "no frames of the machinery"


def test_file_that_may_not_be_read():
    somebody = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        os.mkdir(directory + "/closed", 0)
        os.close(os.open(directory + "/site.wsgi", os.O_CREAT, 0))
        for name in ("site.wsgi", "closed/site.wsgi"):
            refused(run_app("./" + name, cwd=directory, **somebody), EX_NOPERM,
                    "cannot read %s/.*%s: Permission denied" % (directory, name))
