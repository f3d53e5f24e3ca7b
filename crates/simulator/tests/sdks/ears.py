"""The vendors' own SDKs as peers of the fakes: `ears.py VENDOR BASE KEY AUDIO` has base64 audio of a phone line
heard, and prints what came: {"events": [..], "text": last final text}. A wrong key prints {"refused": ..}."""

import asyncio
import base64
import json
import sys

FRAME = 480


def pieces(audio, size):
    return [audio[at : at + size] for at in range(0, len(audio), size)]


def encoded(audio):
    return base64.b64encode(audio).decode()


async def elevenlabs(base, key, audio):
    from elevenlabs import ElevenLabs
    from elevenlabs.realtime import AudioFormat, CommitStrategy, RealtimeEvents
    from websockets.exceptions import ConnectionClosed

    realtime = ElevenLabs(api_key=key, base_url=base).speech_to_text.realtime
    realtime.base_url = base
    connection = await realtime.connect(
        {
            "model_id": "scribe_v2_realtime",
            "audio_format": AudioFormat.ULAW_8000,
            "sample_rate": 8000,
            "commit_strategy": CommitStrategy.VAD,
            "vad_silence_threshold_secs": 0.5,
            "language_code": "en",
        }
    )
    events, over = [], asyncio.Event()

    def note(name, ends):
        def told(data):
            events.append([name, data.get("text") or data.get("error")])
            if ends:
                over.set()

        return told

    for event, ends in [
        (RealtimeEvents.SESSION_STARTED, False),
        (RealtimeEvents.PARTIAL_TRANSCRIPT, False),
        (RealtimeEvents.COMMITTED_TRANSCRIPT, True),
        (RealtimeEvents.ERROR, True),
    ]:
        connection.on(event, note(event.value, ends))
    try:
        for piece in pieces(audio, FRAME):
            await connection.send({"audio_base_64": encoded(piece)})
    except ConnectionClosed:
        pass  # what was said before tells why
    await asyncio.wait_for(over.wait(), 20)
    # The goodbye is no event of the vendor's.
    names = [name for name, _ in events]
    await connection.close()
    if "error" in names:
        return {"refused": list(dict.fromkeys(names))}
    return {"events": list(dict.fromkeys(names)), "text": events[len(names) - 1][1]}


async def sarvam(base, key, samples):
    import struct

    from sarvamai import AsyncSarvamAI
    from sarvamai.core.api_error import ApiError
    from sarvamai.environment import SarvamAIEnvironment

    def wav(samples):
        head = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVEfmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", len(samples))
        return head + samples

    there = SarvamAIEnvironment(base=base, creative=base, production=base.replace("http", "ws", 1))
    client = AsyncSarvamAI(environment=there, api_subscription_key=key)
    events = []
    try:
        async with client.speech_to_text_streaming.connect(
            language_code="en-IN",
            model="saaras:v3",
            mode="transcribe",
            sample_rate="8000",
            vad_signals="true",
            flush_signal="true",
        ) as connection:
            # Without the silence that would end it.
            for piece in pieces(samples, 1600):
                await connection.transcribe(encoded(wav(piece)), sample_rate=8000)
            await connection.flush()
            while True:
                message = await asyncio.wait_for(connection.recv(), 20)
                if message.type == "events":
                    events.append(message.data.signal_type)
                    continue
                events.append(message.type)
                return {"events": events, "text": message.data.transcript}
    except ApiError as refused:
        return {"refused": refused.status_code}


async def openai(base, key, audio):
    from openai import AsyncOpenAI
    from websockets.exceptions import InvalidStatus

    client = AsyncOpenAI(api_key=key, base_url=base + "/v1", max_retries=0)
    events = []
    try:
        async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            await connection.session.update(
                session={
                    "type": "transcription",
                    "audio": {
                        "input": {
                            "format": {"type": "audio/pcmu"},
                            "transcription": {"model": "gpt-4o-mini-transcribe", "language": "en"},
                            "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
                        }
                    },
                }
            )
            for piece in pieces(audio, FRAME):
                await connection.input_audio_buffer.append(audio=encoded(piece))
            async for event in connection:
                events.append(event.type)
                if event.type == "conversation.item.input_audio_transcription.completed":
                    return {"events": list(dict.fromkeys(events)), "text": event.transcript}
    except InvalidStatus as refused:
        return {"refused": refused.response.status_code}


if __name__ == "__main__":
    vendor, base, key, audio = sys.argv[1:]
    print(json.dumps(asyncio.run(globals()[vendor](base, key, base64.b64decode(audio)))))
