"""Twilio's own SDK as a peer: `client BASE ACCOUNT TOKEN TO FROM URL` uses the fake as Twilio's REST API,
`numbers BASE ACCOUNT TOKEN NUMBER URL` searches for a number there, buys it and gives it back,
`verify TOKEN` reads {"url", "params", "signature"} lines and says for each whether the SDK accepts it,
`sign TOKEN` reads {"url", "params"} lines and answers with the signature the SDK makes."""

import json
import sys
from urllib.parse import urlsplit, urlunsplit

from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client


class At(TwilioHttpClient):
    """Twilio's HTTP client, sent to another host."""

    def __init__(self, base):
        super().__init__()
        self.base = urlsplit(base)

    def request(self, method, url, *args, **kwargs):
        there = urlsplit(url)
        moved = urlunsplit((self.base.scheme, self.base.netloc, there.path, there.query, ""))
        return super().request(method, moved, *args, **kwargs)


def client(base, account, token, to, sender, url):
    twilio = Client(account, token, http_client=At(base))
    placed = twilio.calls.create(to=to, from_=sender, url=url, status_callback=url)
    fetched = twilio.calls(placed.sid).fetch()
    listed = [call.sid for call in twilio.calls.list(to=to, limit=20)]
    ended = twilio.calls(placed.sid).update(status="completed")
    print(json.dumps({
        "sid": placed.sid,
        "placed": placed.status,
        "fetched": fetched.sid,
        "listed": placed.sid in listed,
        "ended": ended.status,
    }))


def numbers(base, account, token, number, url):
    twilio = Client(account, token, http_client=At(base))
    found = twilio.available_phone_numbers("US").local.list(area_code=415, limit=20)
    bought = twilio.incoming_phone_numbers.create(phone_number=number)
    pointed = twilio.incoming_phone_numbers(bought.sid).update(voice_url=url)
    listed = [owned.phone_number for owned in twilio.incoming_phone_numbers.list(limit=20)]
    released = twilio.incoming_phone_numbers(bought.sid).delete()
    print(json.dumps({
        "found": [available.phone_number for available in found],
        "bought": bought.phone_number,
        "pointed": pointed.voice_url,
        "listed": number in listed,
        "released": released,
        "left": [owned.phone_number for owned in twilio.incoming_phone_numbers.list(limit=20)],
    }))


def lines():
    for line in sys.stdin:
        if line.strip():
            yield json.loads(line)


def verify(token):
    validator = RequestValidator(token)
    for request in lines():
        print(json.dumps(validator.validate(request["url"], request["params"], request["signature"])))


def sign(token):
    validator = RequestValidator(token)
    for request in lines():
        print(json.dumps(validator.compute_signature(request["url"], request["params"])))


if __name__ == "__main__":
    {"client": client, "numbers": numbers, "verify": verify, "sign": sign}[sys.argv[1]](*sys.argv[2:])
