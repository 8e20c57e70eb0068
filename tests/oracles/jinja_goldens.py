"""Writes tests/fixtures/chat/goldens.json: what jinja2, set up as transformers sets it up for chat
templates, renders for the templates in tests/fixtures/chat/templates and for many small snippets.

    pip install jinja2==3.1.6
    python3 tests/oracles/jinja_goldens.py

A case has "text" or, where jinja2 raises, "error": "load" (while compiling) or "render".
"""

import datetime
import functools
import itertools
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox
from jinja_snippets import SNIPPETS, VARIABLES

CHAT = pathlib.Path(__file__).parent.parent / "fixtures" / "chat"
NOW = datetime.datetime(2024, 7, 26, 9, 5, 7)


class Generation(jinja2.ext.Extension):
    """{% generation %} notes where its output lies in the text printed so far."""

    tags = {"generation"}

    def __init__(self, environment):
        super().__init__(environment)
        environment.extend(rendered=[], spans=[])

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("note")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def note(self, caller):
        text = caller()
        begin = len("".join(self.environment.rendered).encode())
        self.environment.spans.append([begin, begin + len(text.encode())])
        return text


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def make_environment():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = NOW.strftime
    return environment


ENVIRONMENT = make_environment()


@functools.lru_cache(maxsize=64)
def compiled(source):
    return ENVIRONMENT.from_string(source)


def render(source, variables):
    try:
        template = compiled(source)
    except Exception:
        return {"error": "load"}
    ENVIRONMENT.rendered.clear()
    ENVIRONMENT.spans.clear()
    try:
        for piece in template.generate(**variables):
            ENVIRONMENT.rendered.append(piece)
        result = {"text": "".join(ENVIRONMENT.rendered)}
    except Exception:
        return {"error": "render"}
    if ENVIRONMENT.spans:
        result["spans"] = list(ENVIRONMENT.spans)
    return result


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Today's weather at \"a place\" <&>",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Die Stadt, z.B. Köln "},
                "days": {"type": "integer", "description": "1 to 7", "default": 3},
                "units": {"type": ["string", "null"], "enum": ["c", "f"], "description": "units"},
            },
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "What time it is.",
        "parameters": {"type": "object", "properties": {}},
        "return": {"type": "object", "additionalProperties": {"type": "number"}},
    },
}
SYSTEM = {"role": "system", "content": "You are Ashlar.\n  Be brief. "}
USER = {"role": "user", "content": "Hi there"}
ASSISTANT = {"role": "assistant", "content": "Hello!"}
JOKE = {"role": "user", "content": "  Tell me a joke.\n"}
CALL = {"id": "call00001", "type": "function",
        "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 2}}}
CALL_2 = {"id": "call00002", "type": "function", "function": {"name": "clock", "arguments": {}}}
RESULT = {"role": "tool", "tool_call_id": "call00001", "name": "get_weather",
          "content": "{\"temp\": 21.5, \"sky\": \"klar ☀\"}"}
RESULT_2 = {"role": "tool", "tool_call_id": "call00002", "content": "12:00"}
NONE_CALL = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TWO_CALLS = {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL, CALL_2]}
PARTS = {"role": "user", "content": [{"type": "text", "text": "What is this? "},
                                     {"type": "image", "image": "x.png"}]}
THOUGHT = {"role": "assistant", "content": "<think>\nHmm, 6*7.\n</think>\n\nIt is 42."}
REASONED = {"role": "assistant", "reasoning_content": "\n6*7\n", "content": "42"}
QUOTES = {"role": "user", "content": "She said \"it's <b>{{ x }}</b> & {% y %}\" \\n \t tab"}
UNICODE = {"role": "user", "content": "日本語 ÄÖÜ ß 👩‍👩‍👧 \u2028 é \u0301 \x7f \u200b"}

REQUESTS = {
    "user": {"messages": [USER]},
    "turns": {"messages": [USER, ASSISTANT, JOKE]},
    "system": {"messages": [SYSTEM, USER]},
    "system_turns": {"messages": [SYSTEM, USER, ASSISTANT, JOKE, ASSISTANT]},
    "two_systems": {"messages": [SYSTEM, USER, ASSISTANT, SYSTEM, JOKE]},
    "tools": {"messages": [SYSTEM, USER], "tools": [WEATHER, CLOCK]},
    "tools_no_system": {"messages": [USER, ASSISTANT, JOKE], "tools": [WEATHER]},
    "tool_call": {"messages": [USER, NONE_CALL, RESULT], "tools": [WEATHER, CLOCK]},
    "tool_answer": {"messages": [SYSTEM, USER, NONE_CALL, RESULT, ASSISTANT, JOKE],
                    "tools": [WEATHER]},
    "two_calls": {"messages": [USER, TWO_CALLS, RESULT, RESULT_2], "tools": [WEATHER, CLOCK]},
    "call_without_tools": {"messages": [USER, NONE_CALL, RESULT, ASSISTANT]},
    "empty_content": {"messages": [{"role": "user", "content": ""}, ASSISTANT,
                                   {"role": "user", "content": " "}]},
    "none_content": {"messages": [USER, {"role": "assistant", "content": None}, JOKE]},
    "parts": {"messages": [PARTS]},
    "parts_system": {"messages": [{"role": "system", "content": [{"type": "text", "text": "S"}]},
                                  PARTS, ASSISTANT]},
    "unicode": {"messages": [UNICODE, ASSISTANT, QUOTES]},
    "thought": {"messages": [USER, THOUGHT, JOKE]},
    "reasoned": {"messages": [USER, REASONED, JOKE, REASONED]},
    "no_thinking": {"messages": [USER], "extra": {"enable_thinking": False}},
    "documents": {"messages": [USER], "extra": {"controls": {"citations": True}},
                  "documents": [{"title": "One", "text": "First\nline"},
                                {"title": "two", "text": "Second"}]},
    "tools_and_documents": {"messages": [SYSTEM, USER], "tools": [CLOCK],
                            "documents": [{"title": "T", "text": "x"}]},
    "tools_in_system": {"messages": [SYSTEM, USER], "tools": [WEATHER],
                        "extra": {"tools_in_user_message": False, "date_string": "today",
                                  "builtin_tools": ["code_interpreter", "search"]}},
    "no_role": {"messages": [{"content": "who am I"}]},
    "no_content": {"messages": [{"role": "user"}]},
    "odd_role": {"messages": [{"role": "critic", "content": "Bad."}, USER]},
    "two_users": {"messages": [USER, JOKE]},
    "empty": {"messages": []},
    "extra_keys": {"messages": [{"role": "user", "content": "a", "items": "x", "name": None}]},
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}


def chat_cases():
    names = sorted(path.stem for path in (CHAT / "templates").glob("*.jinja"))
    for name, (request_name, request) in itertools.product(names, REQUESTS.items()):
        source = (CHAT / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
        prompts = (True, False) if request_name in ("user", "tool_answer", "empty") else (True,)
        for prompt in prompts:
            variables = {**TOKENS, **request.get("extra", {}), "messages": request["messages"],
                         "tools": request.get("tools"), "documents": request.get("documents"),
                         "add_generation_prompt": prompt}
            yield {"template": name, "request": request_name, "prompt": prompt,
                   **render(source, variables)}


def dump_list(rows):
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]"


def main():
    snippets = [{"source": source, **render(source, VARIABLES)} for source in SNIPPETS]
    # Addresses of Python objects can't be matched.
    snippets = [row for row in snippets if " at 0x" not in row.get("text", "")]
    cases = list(chat_cases())
    requests = [{"name": name, **request} for name, request in REQUESTS.items()]
    sections = {
        "made_with": json.dumps(f"jinja2 {jinja2.__version__}"),
        "now": json.dumps(NOW.isoformat()),
        "tokens": json.dumps(TOKENS),
        "variables": json.dumps(VARIABLES, ensure_ascii=False),
        "requests": dump_list(requests),
        "chats": dump_list(cases),
        "snippets": dump_list(snippets),
    }
    body = ",\n".join(f'"{key}": {text}' for key, text in sections.items())
    (CHAT / "goldens.json").write_text("{\n" + body + "\n}\n", encoding="utf-8")
    errors = sum("error" in case for case in cases + snippets)
    print(f"{len(cases)} chats, {len(snippets)} snippets, {errors} of them errors")


if __name__ == "__main__":
    main()
