"""The console script wsgi-fcgi-top: becomes the program of that name, which lies beside this file and has no Python."""
import os
import sys


def main():
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wsgi-fcgi-top")
    try:
        os.execv(program, ["wsgi-fcgi-top", *sys.argv[1:]])
    except FileNotFoundError:
        # EX_UNAVAILABLE, as sysexits(3) has it.
        sys.stderr.write("wsgi-fcgi-top: error: this wsgi-fcgi was built without it; with ncursesw and jansson "
                         "(Debian: apt-get install libncurses-dev libjansson-dev) install it again\n")
        return 69


if __name__ == "__main__":
    sys.exit(main())
