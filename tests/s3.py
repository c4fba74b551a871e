"""S3 on this machine: a server of PyPI's that keeps its buckets in the memory of this process."""

import threading

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

REGION = 'us-east-1'


class S3:
    """One bucket, as long as the `with` block lasts; its objects by name."""

    def __init__(self, bucket: str):
        self.bucket = bucket
        self.server = ThreadedMotoServer('127.0.0.1', 0, verbose=False)

    def __enter__(self):
        self.server.start()
        # One request after the other: objects are listed, hashed and read without a lock.
        app, lock = self.server._server.app, threading.Lock()

        def one_by_one(*request):
            with lock:
                return [*app(*request)]

        self.server._server.app = one_by_one
        s3_backends[DEFAULT_ACCOUNT_ID]['aws'].create_bucket(self.bucket, REGION)
        return self

    def __exit__(self, *error):
        self.server.stop()
        s3_backends[DEFAULT_ACCOUNT_ID]['aws'].reset()

    @property
    def environment(self) -> dict[str, str]:
        """What a process must have from its start on for `s3://` to lead here."""
        host, port = self.server.get_host_and_port()
        return {
            'S3_ENDPOINT': f'http://{host}:{port}',
            'AWS_REGION': REGION,
            'AWS_ACCESS_KEY_ID': 'anyone',
            'AWS_SECRET_ACCESS_KEY': 'anything',
            'AWS_EC2_METADATA_DISABLED': 'true',  # else it asks the network who it is
        }

    def path(self, name: str) -> str:
        return f's3://{self.bucket}/{name}'

    @property
    def _keys(self):
        return s3_backends[DEFAULT_ACCOUNT_ID]['aws'].buckets[self.bucket].keys

    def _list(self, prefix: str, field: str) -> dict:
        names = [name for name in dict.keys(self._keys) if name.startswith(prefix)]  # at once
        found = {name: self._keys.get(name) for name in sorted(names)}
        return {name: getattr(key, field) for name, key in found.items() if key}

    def write(self, name: str, content: bytes):
        s3_backends[DEFAULT_ACCOUNT_ID]['aws'].put_object(self.bucket, name, content)

    def objects(self, prefix: str = '') -> dict[str, int]:
        """Bytes of every object whose name begins with `prefix`."""
        return self._list(prefix, 'size')

    def generations(self, prefix: str = '') -> dict[str, object]:
        """The same with when they were written."""
        return self._list(prefix, 'last_modified')

    def read(self, name: str) -> bytes:
        return self._keys[name].value
