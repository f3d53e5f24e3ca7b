"""The vendors' own SDKs as peers of the fake of models: `models.py VENDOR ADDRESS KEY` asks a question, takes a
tool call, gives its result and asks again; prints {"text": [..], "call": [name, arguments], "finish": [..],
"tokens": [prompt, answer]}. A wrong key prints {"refused": status}."""

import json
import sys

SCHEMA = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}


def chat(client, refused):
    tools = [{"type": "function", "function": {"name": "track", "description": "Finds it", "parameters": SCHEMA}}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "where is my order"}]
    texts, finishes, call, tokens = [], [], None, None
    for _ in range(2):
        text, pieces = "", {}
        try:
            stream = client.chat.completions.create(
                model="gpt-4.1-mini", messages=messages, tools=tools, stream=True,
                parallel_tool_calls=False, stream_options={"include_usage": True},
            )
        except refused as error:
            return {"refused": error.status_code, "why": str(error)}
        for chunk in stream:
            if chunk.usage:
                tokens = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens]
            for choice in chunk.choices:
                text += choice.delta.content or ""
                for piece in choice.delta.tool_calls or []:
                    made = pieces.setdefault(piece.index, [piece.id, piece.function.name, ""])
                    made[2] += piece.function.arguments
                if choice.finish_reason:
                    finishes.append(choice.finish_reason)
        texts.append(text)
        for id, name, arguments in pieces.values():
            call = [name, json.loads(arguments)]
            function = {"name": name, "arguments": arguments}
            made = {"id": id, "type": "function", "function": function}
            messages.append({"role": "assistant", "content": text, "tool_calls": [made]})
            messages.append({"role": "tool", "tool_call_id": id, "content": "on a truck"})
            messages.append({"role": "user", "content": "and now"})
    return {"text": texts, "call": call, "finish": finishes, "tokens": tokens}


def openai(address, key):
    from openai import APIStatusError, OpenAI

    return chat(OpenAI(base_url=address + "/v1", api_key=key, max_retries=0), APIStatusError)


def azure(address, key):
    from openai import APIStatusError, AzureOpenAI

    client = AzureOpenAI(azure_endpoint=address, api_key=key, api_version="2024-12-01-preview", max_retries=0)
    return chat(client, APIStatusError)


def anthropic(address, key):
    from anthropic import Anthropic, APIStatusError

    client = Anthropic(base_url=address, api_key=key, max_retries=0)
    tools = [{"name": "track", "description": "Finds it", "input_schema": SCHEMA}]
    messages = [{"role": "user", "content": "where is my order"}]
    texts, finishes, call, tokens = [], [], None, None
    for _ in range(2):
        try:
            with client.messages.stream(
                model="claude-haiku-4-5", max_tokens=100, system="Be brief.", messages=messages, tools=tools,
            ) as stream:
                texts.append("".join(stream.text_stream))
                answer = stream.get_final_message()
        except APIStatusError as error:
            return {"refused": error.status_code, "why": str(error)}
        finishes.append(answer.stop_reason)
        tokens = [answer.usage.input_tokens, answer.usage.output_tokens]
        for block in answer.content:
            if block.type == "tool_use":
                call = [block.name, block.input]
                result = {"type": "tool_result", "tool_use_id": block.id, "content": "on a truck"}
                messages.append({"role": "assistant", "content": answer.content})
                messages.append({"role": "user", "content": [result, {"type": "text", "text": "and now"}]})
    return {"text": texts, "call": call, "finish": finishes, "tokens": tokens}


def google(address, key):
    from google import genai
    from google.genai import errors, types

    client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=address))
    declaration = types.FunctionDeclaration(name="track", description="Finds it", parameters=SCHEMA)
    config = types.GenerateContentConfig(
        system_instruction="Be brief.",
        tools=[types.Tool(function_declarations=[declaration])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    contents = [types.Content(role="user", parts=[types.Part(text="where is my order")])]
    texts, finishes, call, tokens = [], [], None, None
    for _ in range(2):
        text, said = "", []
        try:
            for chunk in client.models.generate_content_stream(
                model="gemini-3-flash-preview", contents=contents, config=config
            ):
                candidate = chunk.candidates[0]
                said += candidate.content.parts
                text += "".join(part.text or "" for part in candidate.content.parts)
                if candidate.finish_reason:
                    finishes.append(candidate.finish_reason.value)
                if chunk.usage_metadata:
                    usage = chunk.usage_metadata
                    tokens = [usage.prompt_token_count, usage.candidates_token_count]
        except errors.APIError as error:
            return {"refused": error.code, "why": str(error)}
        texts.append(text)
        for part in said:
            if part.function_call:
                call = [part.function_call.name, part.function_call.args]
                assert part.thought_signature == b"sealed thought"
                result = types.Part.from_function_response(name="track", response={"result": "on a truck"})
                contents.append(types.Content(role="model", parts=said))
                contents.append(types.Content(role="user", parts=[result, types.Part(text="and now")]))
    return {"text": texts, "call": call, "finish": finishes, "tokens": tokens}


vendor, address, key = sys.argv[1:]
print(json.dumps({"openai": openai, "azure": azure, "anthropic": anthropic, "google": google}[vendor](address, key)))
