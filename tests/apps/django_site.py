"""Sets up what mysite needs, as one does before a deployment."""
import json
import os
import subprocess
import sys

import daemon
from served import SITES

ADMIN = ("admin", "correct horse \u20ac")


def prepare(static, **database):
    """Makes the tables, an administrator, and the static files; returns the environment for the server."""
    env = {"DATABASE": json.dumps(database), "STATIC": static, "DJANGO_SETTINGS_MODULE": "mysite.settings",
           "DJANGO_SUPERUSER_PASSWORD": ADMIN[1]}
    for command in (["migrate"], ["createsuperuser", "--noinput", "--username", ADMIN[0], "--email", "a@example.org"],
                    ["collectstatic", "--noinput"]):
        done = subprocess.run([sys.executable, "-m", "django", *command], cwd=SITES, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              env=daemon.clean_environ(PYTHONPATH=SITES + os.pathsep + daemon.APPS, **env))
        assert done.returncode == 0, done.stdout
    return {"DATABASE": env["DATABASE"]}
