"""The command wsgi-fcgi, in the Python that runs this."""

import os
import sys


def main():
    """Does what the program does with sys.argv, and returns the status to exit with."""
    from wsgi_fcgi import _server
    name = sys.argv[0]
    if os.path.basename(name) == "__main__.py":  # python -m
        name = "wsgi-fcgi"
    return _server.main([name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
