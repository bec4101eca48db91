"""Says how its interpreter was started, as the text of a dictionary."""
import os
import sys
import warnings


def application(environ, start_response):
    body = repr({
        "pid": os.getpid(), "orig_argv": sys.orig_argv, "argv": sys.argv, "executable": sys.executable,
        "prefix": sys.prefix, "package": sys.modules["wsgi_fcgi"].__file__, "path": sys.path, "xoptions": sys._xoptions,
        "warnoptions": sys.warnoptions, "isolated": sys.flags.isolated, "dev_mode": sys.flags.dev_mode,
        "optimize": sys.flags.optimize, "filters": len(warnings.filters), "cwd": os.getcwd(),
    }).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
