"""The recipes of contrib/container/README.md, to the letter: applications with requirements from PyPI."""
import re

import pytest

from conftest import ROOT, Container

README = (ROOT / "contrib/container/README.md").read_text()
APP = """\
import flask

app = flask.Flask(__name__)

@app.get("/")
def index():
    return "hello from Flask"
"""


def recipe(kind):
    """The block that has requirements, on the image of that kind."""
    blocks = [block for block in re.findall(r"```dockerfile\n(.*?)```", README, re.S) if "requirements.txt" in block]
    found, = [block for block in blocks if ("python3-venv" in block) == (kind == "debian")]
    return found


@pytest.fixture
def started(base, tmp_path):
    text = recipe(base.recipe)
    if base.base == "debian_13":
        # As the README says: of the same Debian.
        text, count = re.subn("bookworm", "trixie", text)
        assert count == 1
    (tmp_path / "Containerfile").write_text(text)
    (tmp_path / "requirements.txt").write_text("Flask==3.1.3\n")
    (tmp_path / "app.py").write_text(APP)
    container = Container(base.application(tmp_path / "Containerfile", tmp_path))
    yield container
    container.kill()


def test_an_application_with_requirements(started):
    started.wait_ready()
    assert started.get("/") == (200, b"hello from Flask")
    uid = started.config["User"].split(":")[0]
    with open("/proc/%d/status" % started.pid) as status:
        assert re.search(r"^Uid:\t%s\t" % uid, status.read(), re.M)


def test_no_recipe_is_left_out():
    assert len(re.findall("```dockerfile", README)) == 3
    assert recipe("debian") != recipe("python")
