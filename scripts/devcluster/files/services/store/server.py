"""moto's S3 server: host, port, a bucket to begin with and a folder for its files, which it forgets at its end."""

import sys
import tempfile
from pathlib import Path

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import Client

host, port, bucket, folder = sys.argv[1:]
Path(folder).mkdir(exist_ok=True)
tempfile.tempdir = folder
store = DomainDispatcherApplication(create_backend_app)
Client(store).put(f"/{bucket}", base_url="http://s3.amazonaws.com")
make_server(host, int(port), store, threaded=True).serve_forever()
