"""What looks at the process it is in: its title, its command line, its main module."""
import json
import multiprocessing
import os
import sys

import click
import dotenv
import setproctitle


def title():
    """Longer than the command line, so that it takes the room of the environment as well."""
    setproctitle.setproctitle("renamed " + "x" * 4000)
    return setproctitle.getproctitle()[:12]


def environment():
    """The file is found from where the caller is, and not from where the server runs."""
    return os.path.dirname(dotenv.find_dotenv())


def child(queue):
    queue.put(sys.argv)


def spawn():
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    told = queue.get()
    process.join()
    return [told, process.exitcode]


def main():
    module = sys.modules["__main__"]
    return [module.__name__, module.__file__, module.__spec__.name]


def echo(errors):
    """Bytes go to the stream behind that for text."""
    click.echo(b"echoed bytes", file=errors)
    click.echo("echoed text", file=errors)


def app(environ, start_response):
    body = environ["wsgi.input"].read()
    echo(environ["wsgi.errors"])
    value = globals()[environ["PATH_INFO"].lstrip("/")]() if not body else len(body)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(value).encode()]
