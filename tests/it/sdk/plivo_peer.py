"""Plivo's own SDK as a peer: `client BASE ACCOUNT TOKEN TO FROM URL` uses the fake as Plivo's REST API,
`numbers BASE ACCOUNT TOKEN NUMBER URL` searches for a number there, buys it and gives it back,
`verify TOKEN` reads {"method", "url", "nonce", "params", "signature"} lines and says for each whether the SDK
accepts it, `sign TOKEN` reads {"method", "url", "nonce", "params"} lines and answers with the signature the SDK
makes."""

import json
import sys
import time

import plivo
import plivo.rest.client
from plivo.utils.signature_v3 import (
    construct_get_url,
    construct_post_url,
    get_signature_v3,
    validate_v3_signature,
)


def until(found):
    """What `found` gives once it finds something; it asks the fake, which moves on by itself."""
    for _ in range(500):
        try:
            return found()
        except plivo.exceptions.ResourceNotFoundError:
            time.sleep(0.01)
    raise SystemExit("the fake never had it")


def at(base, account, token):
    for name in ["PLIVO_API", "API_VOICE", "API_VOICE_FALLBACK_1", "API_VOICE_FALLBACK_2"]:
        for suffix in ["", "_BASE_URI"]:
            address = base + "/v1/Account" if suffix else base
            setattr(plivo.rest.client, name + suffix, address)
    return plivo.RestClient(account, token)


def numbers(base, account, token, number, url):
    rest = at(base, account, token)
    number = number.lstrip("+")
    found = rest.numbers.search("US", pattern="415")
    bought = rest.numbers.buy(number)
    application = rest.applications.create("bolo-sdk", answer_url=url)
    rest.numbers.update(number, app_id=application.app_id)
    owned = rest.numbers.get(number)
    listed = [one.number for one in rest.numbers.list().objects]
    rest.numbers.delete(number)
    print(json.dumps({
        "found": ["+" + one["number"] for one in found.objects],
        "bought": bought.status,
        "pointed": application.app_id in owned.application,
        "listed": number in listed,
        "left": ["+" + one.number for one in rest.numbers.list().objects],
    }))


def client(base, account, token, to, sender, url):
    rest = at(base, account, token)
    placed = rest.calls.create(from_=sender, to_=to, answer_url=url, hangup_url=url)
    call = placed.request_uuid
    live = until(lambda: rest.live_calls.get(call))
    listed = call in rest.live_calls.list_ids().calls
    ended = until(lambda: rest.calls.hangup(call))
    record = until(lambda: rest.calls.get(call))
    records = [record.call_uuid for record in rest.calls.list()]
    print(json.dumps({
        "placed": placed.message,
        "call": call,
        "live": live.call_uuid,
        "status": live.call_status,
        "listed": listed,
        "ended": ended is not False,
        "cause": record.hangup_cause_code,
        "recorded": call in records,
    }))


def lines():
    for line in sys.stdin:
        if line.strip():
            yield json.loads(line)


def verify(token):
    for request in lines():
        print(json.dumps(validate_v3_signature(
            request["method"], request["url"], request["nonce"], token, request["signature"], request["params"],
        )))


def sign(token):
    for request in lines():
        make = construct_get_url if request["method"] == "GET" else construct_post_url
        signed = make(request["url"], request["params"]).decode()
        print(json.dumps(get_signature_v3(token, signed, request["nonce"]).decode()))


if __name__ == "__main__":
    {"client": client, "numbers": numbers, "verify": verify, "sign": sign}[sys.argv[1]](*sys.argv[2:])
