"""Cloud Storage on this machine, for processes whose TensorFlow believes it is the real one.

TensorFlow's Cloud Storage address is compiled in, but its HTTP client honours `https_proxy` and
`CURL_CA_BUNDLE`. So one server plays both parts: it answers `CONNECT` for Google's host names with
a certificate of its own, and the requests that come through that tunnel with an emulator.
"""

import datetime
import functools
import io
import json
import ssl
import threading
import urllib.parse
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from gcp_storage_emulator import server
from gcp_storage_emulator.storage import Storage

HOSTS = ('storage.googleapis.com', 'www.googleapis.com')
TOKENS = '/token'
TIMEOUT_SECONDS = 60


def write_certificate(path: Path):
    """A key and a certificate for HOSTS that is its own authority, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'bucket emulator')])
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, HOSTS)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


def write_account(path: Path, address: str):
    """A service account, whose tokens are to be had at this address."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {'type': 'service_account', 'client_email': 'anyone@bucket', 'token_uri': address}
    path.write_text(json.dumps({**account, 'private_key': private.decode()}))


_read_data = server._read_data
server._read_data = lambda *arguments: _read_data(*arguments) or b''  # an empty body, not None


class _Handler(server.RequestHandler):
    """The emulator's, which reads neither chunked nor empty bodies to their end."""

    protocol_version = 'HTTP/1.1'
    timeout = TIMEOUT_SECONDS

    def do_any(self):
        with self.server.lock:
            server.Router(self).handle(self.command)

    def do_POST(self):
        if self.path != TOKENS:
            return self.do_any()
        token = {'access_token': 'anyone', 'expires_in': 3600, 'token_type': 'Bearer'}
        body = json.dumps(token).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_any

    def do_CONNECT(self):
        self.send_response_only(200)
        self.end_headers()
        self.request = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.setup()

    def parse_request(self):
        if not super().parse_request():
            return False
        if self.command != 'CONNECT':
            self.close_connection = True
            body = self._body()
            self.headers['Content-Length'] = str(len(body))
            self.rfile = io.BytesIO(body)
        return True

    def _body(self) -> bytes:
        if self.headers.get('Transfer-Encoding') != 'chunked':
            return self.rfile.read(int(self.headers.get('Content-Length', 0)))
        del self.headers['Transfer-Encoding']
        body = b''
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def send_header(self, keyword, value):
        if keyword == 'Location' and isinstance(self.request, ssl.SSLSocket):
            # where an upload goes on: through the tunnel again
            value = value.replace('http://', 'https://', 1)
        super().send_header(keyword, value)

    def finish(self):
        super().finish()
        self.request.close()


class CloudStorage:
    """One bucket in memory, as long as the `with` block lasts; its objects by name."""

    def __init__(self, folder: Path, bucket: str):
        self.bucket = bucket
        self.certificate = folder / 'certificate.pem'
        write_certificate(self.certificate)
        self.storage = Storage(use_memory_fs=True)
        self.storage._write_config_to_file = lambda: None  # of every object, at every request
        self.storage.create_bucket(bucket, {'name': bucket})
        handler = functools.partial(_Handler, self.storage)
        self.server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
        self.server.lock = threading.Lock()
        self.server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.tls.load_cert_chain(self.certificate)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.account = folder / 'account.json'
        write_account(self.account, self.address + TOKENS)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def address(self) -> str:
        return f'http://127.0.0.1:{self.server.server_port}'

    @property
    def environment(self) -> dict[str, str]:
        """What a process must have from its start on for `gs://` to lead here."""
        return {
            'https_proxy': self.address,
            'no_proxy': 'localhost,127.0.0.1',  # gRPC within a process honours proxies too
            'CURL_CA_BUNDLE': str(self.certificate),
            'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'anyone',  # TensorFlow's; else it asks the network
            # Of Beam's own client, which else takes half a minute to find out who it is.
            'STORAGE_EMULATOR_HOST': self.address,
            'GOOGLE_APPLICATION_CREDENTIALS': str(self.account),
            'NO_GCE_CHECK': 'true',
        }

    def path(self, name: str) -> str:
        return f'gs://{self.bucket}/{name}'

    def _ask(self, path: str, query: dict | None = None, body: bytes | None = None) -> bytes:
        url = f'{self.address}{path}?{urllib.parse.urlencode(query or {})}'
        with urllib.request.urlopen(url, body, TIMEOUT_SECONDS) as response:
            return response.read()

    def write(self, name: str, content: bytes):
        query = {'uploadType': 'media', 'name': name}
        self._ask(f'/upload/storage/v1/b/{self.bucket}/o', query, content)

    def _list(self, prefix: str, field: str) -> dict[str, int]:
        listed = json.loads(self._ask(f'/storage/v1/b/{self.bucket}/o', {'prefix': prefix}))
        return {item['name']: int(item[field]) for item in listed['items']}

    def objects(self, prefix: str = '') -> dict[str, int]:
        """Bytes of every object whose name begins with `prefix`."""
        return self._list(prefix, 'size')

    def generations(self, prefix: str = '') -> dict[str, int]:
        """The same with a number that changes whenever an object is written."""
        return self._list(prefix, 'generation')

    def read(self, name: str) -> bytes:
        return self._ask(f'/{self.bucket}/{urllib.parse.quote(name)}')
