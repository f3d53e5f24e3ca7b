"""The vendors' own SDKs as peers of the fakes: `voices.py VENDOR BASE KEY TEXT...` has the texts spoken, each
flushed where the vendor knows flushes, and prints what came: {"audio": base64, "events": [..], "words": [..]}.
A wrong key prints {"refused": status}."""

import base64
import json
import sys

from websockets.exceptions import InvalidStatus


def socket_of(base):
    return base.replace("http", "ws", 1)


def deepgram(base, key, texts):
    from deepgram import DeepgramClient
    from deepgram.environment import DeepgramClientEnvironment
    from deepgram.speak.v1.types.speak_v1text import SpeakV1Text

    socket = socket_of(base)
    there = DeepgramClientEnvironment(base=base, production=socket, agent=socket, agent_rest=base)
    client = DeepgramClient(api_key=key, environment=there)
    audio, events = b"", []
    with client.speak.v1.connect(model="aura-2-thalia-en", encoding="mulaw", sample_rate=8000) as connection:
        for text in texts:
            connection.send_text(SpeakV1Text(text=text))
            connection.send_flush()
            while True:
                message = connection.recv()
                if isinstance(message, bytes):
                    audio += message
                    continue
                events.append(message.type)
                if message.type == "Flushed":
                    break
        connection.send_text(SpeakV1Text(text="Never heard. "))
        connection.send_clear()
        while True:
            message = connection.recv()
            if not isinstance(message, bytes):
                events.append(message.type)
                break
        connection.send_close()
    return {"audio": audio, "events": events, "words": []}


def cartesia(base, key, texts):
    from cartesia import Cartesia

    client = Cartesia(api_key=key, base_url=base, websocket_base_url=socket_of(base))
    audio, events, words = b"", [], []
    with client.tts.websocket_connect() as connection:
        context = connection.context(
            model_id="sonic-3",
            voice={"mode": "id", "id": "6ccbfb76-1fc6-48f7-b71d-91ac6298247b"},
            output_format={"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000},
            language="en",
            add_timestamps=True,
            timeout=20,
        )
        for text in texts:
            context.push(text + " ")
            context.push("", flush=True)
        context.no_more_inputs()
        for event in context.receive():
            if event.type == "chunk":
                audio += event.audio
            elif event.type == "timestamps":
                words += event.word_timestamps.words
            else:
                events.append(event.type)
    return {"audio": audio, "events": events, "words": words}


def sarvam(base, key, texts):
    from sarvamai import SarvamAI
    from sarvamai.environment import SarvamAIEnvironment

    there = SarvamAIEnvironment(base=base, creative=base, production=socket_of(base))
    client = SarvamAI(environment=there, api_subscription_key=key)
    audio, events = b"", []
    with client.text_to_speech_streaming.connect(model="bulbul:v2", send_completion_event="true") as connection:
        connection.configure(
            target_language_code="hi-IN",
            speaker="anushka",
            speech_sample_rate=8000,
            output_audio_codec="mulaw",
        )
        for text in texts:
            connection.convert(text)
            connection.flush()
            while True:
                message = connection.recv()
                if message.type == "audio":
                    audio += base64.b64decode(message.data.audio)
                    continue
                events.append(message.data.event_type)
                break
    return {"audio": audio, "events": events, "words": []}


def openai(base, key, texts):
    from openai import APIStatusError, OpenAI

    client = OpenAI(api_key=key, base_url=base + "/v1", max_retries=0)
    audio = b""
    try:
        for text in texts:
            with client.audio.speech.with_streaming_response.create(
                model="gpt-4o-mini-tts", voice="alloy", input=text, response_format="pcm"
            ) as response:
                for chunk in response.iter_bytes():
                    audio += chunk
    except APIStatusError as refused:
        return {"refused": refused.status_code}
    return {"audio": audio, "events": [], "words": []}


def elevenlabs(base, key, texts):
    from elevenlabs import VoiceSettings
    from elevenlabs.client import ElevenLabs

    client = ElevenLabs(api_key=key, base_url=base)
    # The SDK would insist on TLS.
    client.text_to_speech._ws_base_url = socket_of(base)
    audio = b"".join(
        client.text_to_speech.convert_realtime(
            "V9",
            text=iter(texts),
            model_id="eleven_turbo_v2_5",
            output_format="ulaw_8000",
            voice_settings=VoiceSettings(stability=0.5, similarity_boost=0.75),
        )
    )
    return {"audio": audio, "events": [], "words": []}


if __name__ == "__main__":
    vendor, base, key, *texts = sys.argv[1:]
    try:
        came = globals()[vendor](base, key, texts)
    except InvalidStatus as refused:
        came = {"refused": refused.response.status_code}
    if "audio" in came:
        came["audio"] = base64.b64encode(came["audio"]).decode()
    print(json.dumps(came))
