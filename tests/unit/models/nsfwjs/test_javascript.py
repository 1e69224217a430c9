"""A bundled script is read as data: one literal, or an error with its place."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import ModelError
from serve_app.models.nsfwjs.javascript import exported_bytes, exported_json
from tests.unit.models.nsfwjs.made_up import script, weight_script

KEYS = st.text("aZ_$", min_size=1, max_size=4)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"\\'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(-1e9, 1e9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_every_minified_literal_is_read_back(value: dict[str, Any]) -> None:
    assert json.loads(exported_json(script(value), "model.js")) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("{a:.5}", {"a": 0.5}),
        ("{a:-.5e-3}", {"a": -0.0005}),
        ("{a:1e3,b:0,c:-7}", {"a": 1000.0, "b": 0, "c": -7}),
        ("{a:!0,b:!1,c:null}", {"a": True, "b": False, "c": None}),
        ('{"a-b":[[],{}],$_:"x y"}', {"a-b": [[], {}], "$_": "x y"}),
    ],
)
def test_what_minifiers_write(written: str, value: object) -> None:
    assert json.loads(exported_json(f"a.exports={written}}},{{}}]", "model.js")) == value


@pytest.mark.parametrize(
    "written",
    [
        "{a:b}",
        "{a:b()}",
        "{a:1+1}",
        "{a:0x10}",
        "{a:010}",
        "{a:1n}",
        "{a:nullish}",
        "{a:void 0}",
        "{a:/x/}",
        "{a:`x`}",
        "{a:'x'}",
        '{a:"\\x41"}',
        '{a:"x\ny"}',
        "{a:function(){}}",
        "{a /**/:1}",
        "{a:[1,2]",
        "{" * 40,
        "{a:" + "[" * 40,
    ],
)
def test_what_is_no_literal_is_an_error_with_its_place(written: str) -> None:
    with pytest.raises(ModelError, match=r"^model\.js:2:\d+: "):
        exported_json(f"first line\na.exports={written}", "model.js")


@given(st.text('{}[],:!01.e-"anul', max_size=40))
def test_whatever_follows_is_json_or_an_error(text: str) -> None:
    try:
        found = exported_json(f"a.exports={{{text}", "model.js")
    except ModelError:
        return
    with contextlib.suppress(json.JSONDecodeError):
        json.loads(found)


@pytest.mark.parametrize("read", [exported_json, exported_bytes])
@pytest.mark.parametrize("text", ["", "module.exports=e()", 'a.exports="";b.exports=""', "a.exports={};b.exports={}"])
def test_a_script_exports_one_literal(read: Any, text: str) -> None:
    with pytest.raises(ModelError, match=r"^model\.js:1:1: the script exports \d literals"):
        read(text, "model.js")


@given(st.binary(max_size=300))
def test_every_body_is_read_back(body: bytes) -> None:
    assert exported_bytes(weight_script(body), "shard.js") == body


@pytest.mark.parametrize("written", ["{a:1}", '"ab', '"a b="', '"====="', '"abc"'])
def test_what_is_no_base64_is_an_error(written: str) -> None:
    with pytest.raises(ModelError, match=r"^shard\.js:1:11: not a text in base64"):
        exported_bytes(f"a.exports={written}", "shard.js")


@pytest.mark.parametrize("behind", ["", "+1", ".length", "[0]", "()", ",1"])
def test_an_expression_that_begins_with_a_literal_is_none(behind: str) -> None:
    with pytest.raises(ModelError, match="more than a literal is exported"):
        exported_bytes(f'a.exports="YQ=="{behind}', "shard.js")
    with pytest.raises(ModelError, match="more than a literal is exported"):
        exported_json(f"a.exports={{a:1}}{behind}", "model.js")


def test_a_long_body_is_read_in_one_piece() -> None:
    body = bytes(range(256)) * 20_000
    assert exported_bytes(f'a.exports="{base64.b64encode(body).decode()}"}}', "shard.js") == body
