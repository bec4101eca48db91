"""Locales other than C for servers under test, made anew: the system keeps none of them.

With WSGI_FCGI_LOCALE in the environment of the tests, all servers run under the locale of that name.
"""
import atexit
import os
import shutil
import subprocess
import tempfile

# In Turkish "I" and "i" are different letters; EUC-JP is no superset of latin-1, and has two bytes to a character.
NAMES = ["tr_TR.UTF-8", "ja_JP.EUC-JP"]


def directory(name):
    """Where the locale is, for LOCPATH; it is there until the tests end."""
    if not hasattr(directory, "path"):
        directory.path = tempfile.mkdtemp(prefix="wsgi-fcgi-locales.")
        os.chmod(directory.path, 0o755)
        atexit.register(shutil.rmtree, directory.path, ignore_errors=True)
    target = os.path.join(directory.path, name)
    if not os.path.exists(target):
        language, _, charset = name.partition(".")
        subprocess.run(["localedef", "--no-archive", "-i", language, "-f", charset, target], check=True)
    return directory.path


def environ(name):
    """The variables that make it the locale of a program."""
    return {"LC_ALL": name, "LOCPATH": directory(name)}


def of_all_servers():
    """The variables for servers of tests that do not ask for a locale themselves."""
    name = os.environ.get("WSGI_FCGI_LOCALE")
    return environ(name) if name else {}
