"""OpenAI's own Python client against the real server with a real (tiny) model."""
import json
import pathlib

import openai
import pytest
from served import served

MODEL = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "models" / "llama"
GOLDEN = json.loads((MODEL / "golden.json").read_text())


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    log = tmp_path_factory.mktemp("serve") / "log"
    with served(MODEL, log, "--api-key", "secret", api_key="secret") as client:
        yield client


def test_lists_the_model(client):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"


def test_completes_text_and_token_ids(client):
    case = GOLDEN["generate"][0]
    options = dict(model="tiny", max_tokens=24, temperature=0, extra_body={"ignore_eos": True})
    from_ids = client.completions.create(prompt=case["prompt_ids"], **options)
    assert from_ids.usage.prompt_tokens == len(case["prompt_ids"])
    assert from_ids.usage.completion_tokens == 24
    assert from_ids.choices[0].finish_reason == "length"
    from_text = client.completions.create(prompt=case["prompt"], **options)
    assert from_text.choices[0].text == from_ids.choices[0].text


def test_stream_gives_the_same_text(client):
    options = dict(model="tiny", prompt="To be", max_tokens=16, temperature=1, seed=3)
    whole = client.completions.create(**options)
    stream = client.completions.create(stream=True, stream_options={"include_usage": True}, **options)
    chunks = list(stream)
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_several_choices_differ_and_repeat(client):
    options = dict(model="tiny", prompt="To be", max_tokens=12, temperature=1, seed=5, n=3)
    first = [choice.text for choice in client.completions.create(**options).choices]
    again = [choice.text for choice in client.completions.create(**options).choices]
    assert first == again
    assert len(set(first)) > 1


def test_stop_ends_before_the_text(client):
    options = dict(model="tiny", prompt="To be", max_tokens=24, temperature=0)
    text = client.completions.create(**options).choices[0].text
    stop = text[len(text) // 2:][:2]
    cut = client.completions.create(stop=[stop], **options).choices[0]
    assert cut.text == text[:text.index(stop)]
    assert cut.finish_reason == "stop"


def test_chats_streamed_and_not(client):
    options = dict(model="tiny", messages=GOLDEN["chat"]["messages"], max_tokens=12, temperature=0)
    whole = client.chat.completions.create(**options)
    assert whole.choices[0].message.role == "assistant"
    chunks = list(client.chat.completions.create(stream=True, **options))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_faults_are_the_clients_own_exceptions(client):
    with pytest.raises(openai.BadRequestError) as bad:
        client.completions.create(model="tiny", prompt="a", temperature=-1)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model="tiny", prompt=[5] * 300)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="gpt-9", prompt="a")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()
