"""Event loops and parsers in extensions that bring along their own libev and llhttp."""
import os

if os.environ.get("PATCH"):
    import gevent.monkey
    gevent.monkey.patch_all()

import asyncio  # noqa: E402
import json  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

import aiohttp.web  # noqa: E402
import gevent  # noqa: E402
import gevent.libev.corecext  # noqa: E402
import gevent.pool  # noqa: E402
import httptools  # noqa: E402

if os.environ.get("AT_IMPORT"):
    gevent.sleep(0.01)

REQUEST = b"POST /path?q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"


def greenlets():
    def sleeper(number):
        gevent.sleep(0.01)
        return number
    assert type(gevent.get_hub().loop) is gevent.libev.corecext.loop
    return gevent.pool.Pool(4).map(sleeper, range(8))


def plain():
    """Waits by the standard library, which patch_all() makes a wait of the hub."""
    time.sleep(0.005)
    done = []
    thread = threading.Thread(target=done.append, args=(1,))
    thread.start()
    thread.join()
    return done


def parsed():
    class Protocol:
        def __init__(self):
            self.seen = []

        def on_header(self, name, value):
            self.seen.append((name + b": " + value).decode())

        def on_body(self, body):
            self.seen.append(body.decode())
    protocol = Protocol()
    parser = httptools.HttpRequestParser(protocol)
    parser.feed_data(REQUEST)
    return [parser.get_method().decode(), *protocol.seen]


def exchanged():
    """An exchange between aiohttp's server and its client, of which each parses what the other sends."""
    async def answer(request):
        return aiohttp.web.json_response(await request.json())

    async def program():
        server = aiohttp.web.AppRunner(application := aiohttp.web.Application())
        application.router.add_post("/", answer)
        await server.setup()
        site = aiohttp.web.TCPSite(server, "127.0.0.1", 0)
        await site.start()
        async with aiohttp.ClientSession() as session:
            async with session.post("http://127.0.0.1:%d/" % server.addresses[0][1], json=list(range(1000))) as response:
                got = await response.json()
        await server.cleanup()
        return got
    return asyncio.run(program())


def app(environ, start_response):
    body = json.dumps(globals()[environ["PATH_INFO"][1:]]()).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
