"""A proxy with a server behind it."""
import os

import daemon
import proxies
from relay import Relay

HERE = os.path.dirname(os.path.abspath(__file__))


class Bench:
    """A proxy and the server behind it; with `relayed` a relay between them, which sees their connections; with `tcp` they
    speak over TCP."""

    def __init__(self, variant, *options, relayed=False, socket_path=None, tcp=False, **more):
        self.servers = []
        self.relay = None
        self.options, self.socket_path = options + ("-s", "127.0.0.1:0") * tcp, socket_path
        self.server = self.start_server()
        try:
            if tcp:
                more["tcp"] = int(self.server.wait_log(r"listening on 127\.0\.0\.1:(\d+)").group(1))
            if relayed:
                self.relay = Relay(self.server.path)
            self.proxy = proxies.Proxy(variant, (self.relay or self.server).path if not socket_path else socket_path,
                                       **more)
        except BaseException:
            self.close()
            raise
        self.servers.append(self.proxy)
        self.variant, self.kind, self.mount = variant, self.proxy.kind, more.get("mount")
        self.open, self.ask = self.proxy.open, self.proxy.ask

    def start_server(self):
        server = daemon.Daemon("proxyapp", "--pythonpath", daemon.APPS, "--socket-mode", "666", *self.options,
                                socket=self.socket_path, cwd=os.path.join(HERE, "apps"))
        self.servers.append(server)
        return server

    def close(self):
        """The proxies end first; the servers must end as healthy ones do."""
        failed = []
        if self.relay:
            self.servers.append(self.relay)
        for server in reversed(self.servers):
            try:
                server.stop()
            except AssertionError as error:
                failed.append(str(error))
        assert not failed, "\n".join(failed)
