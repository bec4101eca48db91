"""Which numbers descriptors have, and how large their table is."""
import json
import resource

import pytest

from conftest import check_structure

OVER_HTTP = True
APP = "descriptorapp"
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def limit_files(soft, hard):
    """For preexec_fn."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def asks(server, path):
    """What the application answers."""
    response = server.ask(path)
    check_structure(response)
    assert response.status == 200, response
    return json.loads(response.body)


# --- the table

def table_size(server):
    return server.status_kib("FDSize")


@pytest.mark.parametrize("hard", [HARD, 4096, 1024, 300])
def test_table_has_its_size_from_the_start(start, hard):
    """The kernel doubles it when it has to, for which a process with threads waits."""
    server = start(APP, preexec_fn=limit_files(64, hard))
    size = table_size(server)
    with server.connect() as kept:
        asks(kept, "/standard")
        connections = [server.connect() for _ in range(min(hard * 5 // 8, 700))]
        asks(kept, "/standard")
        asks(connections[-1], "/standard")
        assert table_size(server) == size
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("options, connections", [([], HARD // 4 * 3), (["--max-connections", 1000000], 1000000),
                                                  (["--max-connections", 100], 100)])
def test_size_of_the_table(start, options, connections):
    """It is the kernel's memory: no more than connections need, within bounds. The kernel makes it a power of two."""
    wanted = min(connections + 1024, HARD, 65536)
    assert wanted <= table_size(start(APP, *options)) < 2 * wanted
