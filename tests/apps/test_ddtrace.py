"""ddtrace handles SIGTERM and SIGINT: it chains by setting the signal back to its default and raising it again."""
import importlib.util
import os
import signal

import pytest

import served
from fcgi import params, request


@pytest.mark.parametrize("unload", ["auto", "0"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop(gate, number, unload):
    """What ddtrace-run does is to put this directory on Python's path. Where gevent is installed, as here, it keeps copies
    of its own of the modules of the standard library, `signal` among them, unless told otherwise."""
    bootstrap = os.path.join(os.path.dirname(importlib.util.find_spec("ddtrace").origin), "bootstrap")
    server = served.serve("signalapp", PYTHONPATH=bootstrap, GATE=gate.path, DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
                          DD_TRACE_AGENT_URL="http://127.0.0.1:9", DD_UNLOAD_MODULES_FROM_SITECUSTOMIZE=unload,
                          DD_REMOTE_CONFIGURATION_ENABLED="false")
    try:
        connection = server.connect()
        connection.send(request(params("/gate", query="gate=" + gate.path)))
        visitor = gate.arrived()
        server.signal(number)
        server.wait_log("stopping")
        visitor.release()
        assert connection.read_response(1).body == b"passed\n"
        assert gate.arrived().text == "atexit"
        assert server.wait_exit() == 0, server.log()
    finally:
        server.stop()
