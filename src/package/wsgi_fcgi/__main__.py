"""The command wsgi-fcgi, in the Python that runs this."""

import os
import sys

EX_SOFTWARE = 70


def load():
    """Makes this file's folder the package wsgi_fcgi, whatever sys.path has: a worker runs the file by its path."""
    from importlib.util import module_from_spec, spec_from_file_location
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__init__.py")
    spec = spec_from_file_location("wsgi_fcgi", path)
    package = sys.modules[spec.name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(package)
        from wsgi_fcgi import _command  # noqa: F401
    except (ImportError, OSError) as error:
        print("wsgi-fcgi: error: %s: is the installation complete, and of this Python?" % error, file=sys.stderr)
        sys.exit(EX_SOFTWARE)


def main():
    """Does what the program does with sys.argv, and returns the status to exit with."""
    from wsgi_fcgi import _server
    from wsgi_fcgi._command import command
    name = sys.argv[0]
    if os.path.basename(name) == "__main__.py":  # python -m, or this file
        name = "wsgi-fcgi"
    return _server.main([name, *sys.argv[1:]], command())


if __name__ == "__main__":
    if not __package__:
        load()
    sys.exit(main())
