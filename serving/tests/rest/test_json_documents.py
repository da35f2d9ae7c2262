"""JSON of any size is decoded to what the standard library makes of it, and refused where that refuses it."""

from __future__ import annotations

import json
import random
import string

import pytest

from keras_smes_serving.server.rest import json_documents
from keras_smes_serving.server.rest.json_documents import decode_document


def value(draw: random.Random, depth: int = 0):
    kind = draw.choice("nfisbe" if depth > 3 else "nfisbelllooo")
    if kind in "lo":
        values = [value(draw, depth + 1) for _ in range(draw.randrange(0, 12))]
        return values if kind == "l" else {text(draw): item for item in values}
    return {
        "n": None,
        "f": draw.uniform(-1e6, 1e6),
        "i": draw.randrange(-(2**70), 2**70),
        "s": text(draw),
        "b": draw.random() < 0.5,
        "e": draw.choice([float("inf"), -0.0, [], {}, ""]),
    }[kind]


def text(draw: random.Random) -> str:
    return "".join(
        draw.choice(string.printable + 'ä\u2028"\\,[]{}}],",🙂') for _ in range(draw.randrange(20))
    )


def shown(draw: random.Random, document) -> str:
    """The document in one of the many ways to write it."""
    indent, ascii_only = draw.choice([None, None, 0, 3]), draw.random() < 0.5
    return json.dumps(document, indent=indent, ensure_ascii=ascii_only)


def standard(written: str):
    """What the standard library makes of it, or its error."""
    try:
        return json.JSONDecoder().raw_decode(written)[0]
    except json.JSONDecodeError as error:
        return error


@pytest.mark.parametrize("piece", [2, 3, 7, 64, 1000])
def test_pieces_of_any_size_give_the_same_document(monkeypatch, piece):
    monkeypatch.setattr(json_documents, "_PIECE", piece)
    for seed in range(150):
        draw = random.Random(seed)
        document = value(draw)
        assert decode_document(f" \n{shown(draw, document)} what follows") == document


@pytest.mark.parametrize("piece", [2, 16, 200])
def test_a_fault_is_found_where_the_standard_library_finds_it(monkeypatch, piece):
    monkeypatch.setattr(json_documents, "_PIECE", piece)
    for seed in range(400):
        draw = random.Random(seed)
        broken = list(shown(draw, [value(draw), {"a": value(draw)}]))
        for _ in range(draw.randrange(1, 3)):
            broken[draw.randrange(len(broken))] = draw.choice(list('[]{},:"\\ 1x'))
        broken = "".join(broken[: draw.randrange(1, len(broken) + 1)])
        expected = standard(broken)
        if isinstance(expected, json.JSONDecodeError):
            with pytest.raises(json.JSONDecodeError) as caught:
                decode_document(broken)
            assert (
                abs(caught.value.pos - expected.pos) <= 2
            )  # at a comma in some versions, behind it in others
        else:
            assert decode_document(broken) == expected


def test_large_documents():
    rows = [{"id": number, "tags": ["a,b", "]}"], "x": number / 7} for number in range(20_000)]
    assert decode_document(json.dumps({"instances": rows})) == {"instances": rows}
    numbers = list(range(100_000))
    assert decode_document(json.dumps({"inputs": {"x": [numbers, numbers]}})) == {
        "inputs": {"x": [numbers, numbers]}
    }
    with pytest.raises(RecursionError):
        decode_document("[" * 200_000)
