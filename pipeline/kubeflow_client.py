"""The client of Kubeflow Pipelines: who asks, for how long, and its errors in one line."""

import contextlib
import io
import json
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

from avmae_tf.console import Failed
from avmae_tf.storage import open_text
from pipeline.engines import TIMEOUT_SECONDS, Unreachable

HOST = 'targets.kubeflow.host'
TOKEN_VARIABLE = 'KF_PIPELINES_SA_TOKEN_PATH'  # kfp's own: a file with a token, read each time
TIMEOUTS = (10.0, TIMEOUT_SECONDS)  # of connecting, of an answer
_OBJECT = re.compile(r'\(?<[^>]*>[:,]\s*')
LOGIN = f'put a token into a file, and the name of the file into {TOKEN_VARIABLE}'


def connect(host: str, namespace: str | None) -> Any:
    """A kfp.Client that gives up in time, and tells a page of a login from an answer."""
    import kfp
    from kfp.client import set_volume_credentials

    logging.getLogger('urllib3').setLevel(logging.ERROR)  # it tells of each attempt

    class Client(kfp.Client):
        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            """Asked once; kfp asks for half a minute, and logs why."""
            return self._healthz_api.get_healthz(_request_timeout=TIMEOUTS)

    credentials = None
    if path := os.environ.get(TOKEN_VARIABLE):
        open_text(path).close()  # says its name where it is not there
        credentials = set_volume_credentials.ServiceAccountTokenVolumeCredentials()
    client = Client(
        host=host,
        namespace=namespace or 'kubeflow',  # its word for none
        credentials=credentials,
        ssl_ca_cert=os.environ.get('SSL_CERT_FILE'),
    )
    rest = client._run_api.api_client.rest_client  # of all its parts
    ask = rest.request

    def ask_in_time(*args: Any, **kwargs: Any) -> Any:
        answer = ask(*args, **{**kwargs, '_request_timeout': TIMEOUTS})
        if 'json' not in str(answer.getheader('Content-Type')):  # to kfp, one without fields
            raise Failed(f'{host} answers with a page and not as the API does; {LOGIN}')
        return answer

    rest.request = ask_in_time  # kfp itself waits for ever
    return client


@contextlib.contextmanager
def asking(host: str, unknown: str | None = None) -> Iterator[None]:
    """Questions to the client; its errors in one line. `unknown` is what a 404 means."""
    import kfp_server_api
    import urllib3

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints addresses
            yield
    except kfp_server_api.ApiException as error:
        said = _said(error)
        if error.status == 404 and unknown:
            raise ValueError(unknown) from None
        if error.status in (401, 403):
            raise Failed(f'{host} does not let you in ({error.status}: {said}); {LOGIN}') from error
        if error.status == 400:
            raise ValueError(f'targets.kubeflow: it is refused: {said}') from error
        kind = Failed if error.status in (404, 409, 501) else Unreachable
        raise kind(f'{HOST}: {host} answers {error.status or "badly"}: {said}') from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        reason = getattr(error, 'reason', None) or error
        text = _OBJECT.sub('', ' '.join(str(reason).split()))
        raise Unreachable(f'{HOST}: {host} cannot be reached ({text})') from error


def _said(error: Any) -> str:
    """What a server says of an error, in one line."""
    body = error.body.decode(errors='replace') if isinstance(error.body, bytes) else error.body
    try:
        body = json.loads(body)['message']
    except (TypeError, ValueError, KeyError):  # a proxy in between, and its page
        body = error.reason
    return ' '.join(str(body).split())
