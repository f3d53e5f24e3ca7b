"""Deepgram's SDK: `nova BASE KEY AUDIO` and `flux BASE KEY AUDIO` let the fake hear mu-law, given in base64, and
print the messages that came, each checked against the SDK's type for it."""

import base64
import json
import sys

from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment

AUDIO = {"encoding": "mulaw", "sample_rate": 8000}


def client(base, key):
    http = "http" + base.removeprefix("ws")
    there = DeepgramClientEnvironment(base=http, production=base, agent=base, agent_rest=http)
    return DeepgramClient(api_key=key, environment=there)


def talk(socket, audio, before_the_end):
    audio = base64.b64decode(audio)
    for at in range(0, len(audio), 640):
        socket.send_media(audio[at:at + 640])
    before_the_end(socket)
    socket.send_close_stream()
    messages = []
    for message in socket:
        # The SDK builds what it receives without a look at its fields.
        fields = message.model_dump(mode="json", by_alias=True)
        kind = type(message)
        kind.model_validate(fields)
        messages.append({**fields, "python": kind.__name__})
    print(json.dumps(messages))


def nova(base, key, audio):
    wishes = {"interim_results": True, "endpointing": 250, "utterance_end_ms": 1000, "vad_events": True}
    with client(base, key).listen.v1.connect(model="nova-3", **AUDIO, **wishes) as socket:
        def end(socket):
            socket.send_keep_alive()
            socket.send_finalize()

        talk(socket, audio, end)


def flux(base, key, audio):
    thresholds = {"eot_threshold": 0.7, "eager_eot_threshold": 0.4, "eot_timeout_ms": 500}
    with client(base, key).listen.v2.connect(model="flux-general-en", keyterm=["Bolo"], **AUDIO, **thresholds) as socket:
        def end(socket):
            socket.send_force_end_turn()
            socket.send_configure({"type": "Configure", "thresholds": {"eot_threshold": 0.8}})

        talk(socket, audio, end)


if __name__ == "__main__":
    {"nova": nova, "flux": flux}[sys.argv[1]](*sys.argv[2:])
