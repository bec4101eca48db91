"""Applications in all the places where MODULE:CALLABLE can point, and things that are none."""
import sys


def named(name):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [name.encode()]
    return app


def create_named(name, *, suffix=""):
    return named(str(name) + str(suffix))


def create_mistaken(name):
    return named(name + 1)


class Holder:
    inner = staticmethod(named("forms:holder.inner"))
    create = staticmethod(create_named)


holder = Holder()
application = named("forms:application")
app = named("forms:app")
not_callable = 42


def create_app():
    return named("forms:create_app()")


def create_nothing():
    return None


def create_broken():
    raise LookupError("the factory broke")


async def asgi(scope, receive, send):
    pass


class Klass:
    """A class is an application too: its instances are the iterables."""

    def __init__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])

    def __iter__(self):
        yield b"forms:Klass"


class Items:
    """This one is an iterable by its items."""

    def __init__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])

    def __getitem__(self, i):
        return [b"forms:Items"][i]


class New:
    """Has no instances."""

    def __new__(cls, environ, start_response):
        return named("forms:New")(environ, start_response)


class Makes(type):
    def __call__(cls, environ, start_response):
        return named("forms:Meta")(environ, start_response)


class Meta(metaclass=Makes):
    pass


class Framework:
    """Its instances are applications."""

    def __init__(self, import_name, folder="static"):
        pass

    def __call__(self, environ, start_response):
        pass


def create_class():
    return Framework


def paths(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\n".join([sys.executable, sys.prefix, *sys.path]).encode()]
