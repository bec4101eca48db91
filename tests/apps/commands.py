"""Runs the programs that are clients of an application."""
import shutil
import subprocess

from daemon import clean_environ
from fcgi import PATIENCE


class Command:
    """command(ARGUMENT...) runs it in a directory, with an environment in which nobody's configuration counts."""

    def __init__(self, program, cwd, **env):
        assert shutil.which(program), "%s is not installed" % program
        self.program, self.cwd = program, cwd
        self.env = clean_environ(HOME=cwd, LC_ALL="C.UTF-8", **env)

    def run(self, *args, cwd=None):
        return subprocess.run([self.program, *map(str, args)], cwd=cwd or self.cwd, env=self.env, text=True,
                              errors="backslashreplace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=6 * PATIENCE)

    def __call__(self, *args, **more):
        """Returns what it says; it must end well."""
        done = self.run(*args, **more)
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()
