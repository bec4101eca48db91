"""TCP ports for servers that have to be told which one to take."""
import socket

BLOCK = 100


def claimed():
    """Ports that no other process which runs tests takes. They are below those that the kernel gives to whoever asks for
    any: no client and no other server gets one between the choice and the server's bind()."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        end = int(file.read().split()[0])
    for first in range(10000, end - BLOCK + 1, BLOCK):
        # The name is taken for as long as this process lives, however it ends.
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind("\0wsgi-fcgi-test-ports-%d" % first)
            except OSError:
                continue
            yield from range(first, first + BLOCK)


def is_free(port, family, host):
    with socket.socket(family) as sock:
        try:
            sock.bind((host, port))
        except OSError:
            return False
    return True


def free_port(family=socket.AF_INET, host="127.0.0.1"):
    """A port that nobody has, and that no test gets again, in this process or in one beside it."""
    for port in free_port.ports:
        if is_free(port, family, host):
            return port
    raise AssertionError("no port is left for tests: net.ipv4.ip_local_port_range begins too low, or many of them run")


free_port.ports = claimed()
