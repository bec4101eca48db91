"""epoll_ctl(2) that fails, for want of memory or by fs.epoll.max_user_watches: the connection ends, with a line."""
import errno

import pytest

from tamper import Tamper
from test_fcgi import good

OVER_HTTP = True
HELLO = b"Hello, world\n"
LINE = "does not let it be watched"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.ENOMEM])
def test_connection_that_cannot_be_watched(start, tmp_path, error):
    tamper = Tamper(tmp_path)
    server = start("wsgiapp", env=tamper.env)
    tamper.fail_epoll(error)
    with server.connect() as connection:
        assert connection.at_eof()
        server.wait_log(LINE)
        assert tamper.failed()
    tamper.fail_epoll(0)
    good(server.ask("/hello"), HELLO)
    server.stop()  # comes to an end
