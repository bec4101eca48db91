"""The package of the build, installed by hand where a test wants it."""
import os
import shutil
import subprocess

import daemon

BUILD = os.path.dirname(daemon.binary())
PACKAGE = os.path.join(BUILD, "wsgi_fcgi")


def interpreter():
    """The Python that the build is for: the first line of its command names it."""
    with open(daemon.binary()) as command:
        return command.readline().rstrip("\n").removeprefix("#!")


class Place:
    """A folder with a package folder `lib` and a command, which finds that as one in site-packages is found.

    The path of an interpreter in the first line of a script can have no blank (execve(2)): the shell executes it then, as
    the scripts that pip installs have it."""

    def __init__(self, directory):
        self.lib = os.path.join(directory, "lib")
        self.package = os.path.join(self.lib, "wsgi_fcgi")
        self.command = os.path.join(directory, "bin", "wsgi-fcgi")
        os.makedirs(self.lib)
        os.makedirs(os.path.dirname(self.command))
        self.install()
        with open(self.command, "w") as file:
            file.write("#!%s\nimport sys\nsys.path.insert(1, %r)\nif __name__ == '__main__':\n"
                       "    from wsgi_fcgi.__main__ import main\n    sys.exit(main())\n" % (interpreter(), self.lib))
        os.chmod(self.command, 0o755)

    def install(self):
        """As pip does: all files are new, and the folder is there at once or not at all."""
        shutil.copytree(PACKAGE, self.package + ".new")
        os.rename(self.package + ".new", self.package)

    def remove(self):
        shutil.rmtree(self.package)


class Environment(Place):
    """A virtual environment."""

    def __init__(self, directory):
        subprocess.run([interpreter(), "-m", "venv", "--without-pip", directory], check=True)
        self.python = os.path.join(directory, "bin", "python")
        found = subprocess.run([self.python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"], check=True,
                               stdout=subprocess.PIPE, text=True)
        self.lib = found.stdout.rstrip("\n")
        self.package = os.path.join(self.lib, "wsgi_fcgi")
        self.install()


def told(server):
    """What extensionapp says of the worker that answers."""
    response = server.ask()
    assert response.status == 200, server.log()
    return eval(response.body.decode(), {})


