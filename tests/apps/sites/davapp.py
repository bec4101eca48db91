import os

from wsgidav.wsgidav_app import WsgiDAVApp

application = WsgiDAVApp({
    "provider_mapping": {"/": os.environ["FILES"]},
    "simple_dc": {"user_mapping": {"*": {"me": {"password": "sesame"}}}},
    "lock_storage": True,
    "property_manager": True,
    "logging": {"enable": True},
    "verbose": 2,
})
