"""A notice to people that something ended badly."""

import json
import logging
import urllib.request

SECONDS = 10.0


def send_notice(url: str | None, text: str) -> None:
    """Posts {"text": text} to `url`, as chat services take it; where it fails, that is logged."""
    if not url:
        return
    request = urllib.request.Request(
        url,
        data=json.dumps({'text': text}).encode(),
        headers={'Content-Type': 'application/json'},
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            pass
    except OSError as error:
        logging.warning('no notice could be sent to %s: %s', url, error)
