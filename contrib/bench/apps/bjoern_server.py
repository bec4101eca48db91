"""bjoern has no command of its own: bjoern_server.py ADDRESS PORT PROCESSES MODULE:CALLABLE (PORT 0: a Unix socket).

It listens and then forks, as its README shows for several processes. SIGTERM ends the first process only: whoever
started it ends the others.
"""

import importlib
import os
import sys

import bjoern


def main():
    address, port, processes, application = sys.argv[1:]
    module, _, name = application.partition(":")
    application = getattr(importlib.import_module(module), name)
    if port == "0":
        bjoern.listen(application, f"unix:{address}")
    else:
        bjoern.listen(application, address, int(port))
    for _ in range(int(processes) - 1):
        if not os.fork():
            break
    bjoern.run()


if __name__ == "__main__":
    main()
