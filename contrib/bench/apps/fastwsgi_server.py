"""fastwsgi's command has no option for several processes: fastwsgi_server.py ADDRESS PORT PROCESSES MODULE:CALLABLE.

They are what its function `run` is for. SIGTERM ends the first process only: whoever started it ends the others.
"""

import importlib
import sys

import fastwsgi


def main():
    address, port, processes, application = sys.argv[1:]
    module, _, name = application.partition(":")
    application = getattr(importlib.import_module(module), name)
    fastwsgi.run(application, host=address, port=int(port), loglevel=fastwsgi.LL_ERROR, workers=int(processes))


if __name__ == "__main__":
    main()
