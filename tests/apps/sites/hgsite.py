import os

from mercurial.hgweb import hgweb

application = hgweb(os.fsencode(os.environ["HGWEB_CONFIG"]))
