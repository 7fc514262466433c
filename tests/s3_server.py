"""moto's S3 server on loopback, in a thread of the tests: what was asked of it is listed, and a test may step in before a write.

Each test takes a bucket of its own. A process that is to use the server is given `environment`; each "machine" of a test is a
cache of its own.
"""

import contextlib
import logging
import pathlib
import threading


class Server:
    """One server. writes: (method, path) of every PUT, POST and DELETE. before: called with both, ahead of what it does."""

    def __init__(self):
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.app = DomainDispatcherApplication(create_backend_app)
        self.writes, self.before, self.buckets = [], None, 0
        self.server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.environment = {
            "AWS_ACCESS_KEY_ID": "of-the-tests",
            "AWS_SECRET_ACCESS_KEY": "of-the-tests",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server.server_port}",
        }

    def _answer(self, environ, start):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if method in ("PUT", "POST", "DELETE"):
            self.writes.append((method, path))
            if self.before is not None and self.before(method, path):
                start("403 Forbidden", [("Content-Type", "application/xml")])
                return [b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"]
        return self.app(environ, start)

    def bucket(self):
        """A new bucket's name."""
        self.buckets += 1
        name = f"bucket-{self.buckets}"
        self.client.create_bucket(Bucket=name)
        return name

    @property
    def client(self):
        """boto3's own, which knows nothing of ours."""
        import boto3

        keys = {
            "aws_access_key_id": "of-the-tests",
            "aws_secret_access_key": "of-the-tests",
            "region_name": "us-east-1",
        }
        return boto3.client("s3", endpoint_url=self.environment["AWS_ENDPOINT_URL"], **keys)

    def content(self, url):
        """{key below the URL: bytes} of all objects there, locks' leases left out."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {
            key.removeprefix(f"{prefix}/"): self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
            for key in keys
            if ".lease/" not in key
        }

    @contextlib.contextmanager
    def stepping_in(self, before):
        """Inside, `before(method, path)` is called ahead of each write; where it returns True the write does not happen."""
        self.before = before
        try:
            yield
        finally:
            self.before = None

    def close(self):
        self.server.shutdown()
        self.thread.join()


def files(folder):
    """{path below a folder: bytes} of its files, the locks left out."""
    folder = pathlib.Path(folder)
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


class Machine:
    """A machine: a cache of its own, and the programs that are started there."""

    def __init__(self, launch, s3, cache):
        self.launch, self.cache = launch, cache
        self.environment = {**s3.environment, "TFUNC_CACHE": str(cache)}

    def __call__(self, launcher, *flags, code=0):
        ended = self.launch(launcher, *flags, environment=self.environment)
        assert ended.code == code, (ended.out, ended.err)
        assert str(self.cache) not in ended.out + ended.err  # whoever reads it knows URLs
        return ended

    def start(self, launcher, *flags):
        return self.launch.start(launcher, *flags, environment=self.environment)


def where(top, *names):
    """The flags of folders below a URL or path."""
    return [f"--{name}_dir={top}/{name}" for name in names]


def upload(s3, folder, url):
    """Puts a folder's files below a URL, by boto3."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    for name, content in files(folder).items():
        s3.client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=content)
