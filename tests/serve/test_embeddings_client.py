"""OpenAI's own Python client asks the real server for embeddings of a (tiny) encoder."""
import base64
import json
import pathlib
import struct

import openai
import pytest
from served import served

MODEL = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "models" / "bert"
FORWARD = json.loads((MODEL / "golden.json").read_text())["forward"]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embed")
    model = folder / "model"
    (model / "1_Pooling").mkdir(parents=True)
    for file in MODEL.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    (model / "modules.json").write_text(json.dumps(
        [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
         for i, (path, kind) in enumerate(kinds)]))
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    with served(model, folder / "log") as client:
        yield client


def close(found, wanted):
    return len(found) == len(wanted) and all(abs(a - b) < 1e-5 for a, b in zip(found, wanted))


def test_a_string_a_list_and_token_ids_give_the_goldens(client):
    # The client asks for base64 by itself and decodes it.
    one = client.embeddings.create(model="tiny", input=FORWARD[0]["text"])
    assert close(one.data[0].embedding, FORWARD[0]["mean_pooled_normalized"])
    assert one.usage.prompt_tokens == one.usage.total_tokens == len(FORWARD[0]["ids"])
    many = client.embeddings.create(model="tiny", input=[f["text"] for f in FORWARD])
    assert [d.index for d in many.data] == list(range(len(FORWARD)))
    for datum, wanted in zip(many.data, FORWARD):
        assert close(datum.embedding, wanted["mean_pooled_normalized"])
    assert many.data[0].embedding == one.data[0].embedding  # bit for bit
    ids = client.embeddings.create(model="tiny", input=[f["ids"] for f in FORWARD])
    assert [d.embedding for d in ids.data] == [d.embedding for d in many.data]


def test_formats_and_dimensions(client):
    text = FORWARD[1]["text"]
    plain = client.embeddings.create(model="tiny", input=text, encoding_format="float")
    raw = client.embeddings.with_raw_response.create(model="tiny", input=text, encoding_format="base64")
    packed = base64.b64decode(json.loads(raw.text)["data"][0]["embedding"])
    assert close(list(struct.unpack("<64f", packed)), plain.data[0].embedding)
    short = client.embeddings.create(model="tiny", input=text, dimensions=8).data[0].embedding
    length = sum(x * x for x in plain.data[0].embedding[:8]) ** 0.5
    assert close(short, [x / length for x in plain.data[0].embedding[:8]])


def test_many_texts_come_back_in_order(client):
    texts = [" ".join(["word"] * n) for n in range(1, 60)] * 4
    found = client.embeddings.create(model="tiny", input=texts).data
    assert len(found) == len(texts)
    for i in range(59):
        assert found[i].embedding == found[i + 177].embedding
    assert found[3].embedding != found[4].embedding


@pytest.mark.parametrize("body, param", [
    (dict(input=[]), "input"),
    (dict(input=""), None),  # an encoder has its own tokens around nothing
    (dict(input=["x", ""], dimensions=65), "dimensions"),
    (dict(input=[[1, 600]]), "input[0][1]"),
    (dict(input="word " * 400), "input"),
    (dict(input=["x", "word " * 400]), "input[1]"),
])
def test_what_does_not_fit_is_refused_by_name(client, body, param):
    if param is None:
        assert client.embeddings.create(model="tiny", **body).usage.prompt_tokens == 2
        return
    with pytest.raises(openai.BadRequestError) as error:
        client.embeddings.create(model="tiny", **body)
    assert error.value.param == param


def test_it_generates_nothing(client):
    with pytest.raises(openai.APIStatusError) as error:
        client.completions.create(model="tiny", prompt="x", max_tokens=1)
    assert "/v1/embeddings" in str(error.value)
