"""What people write in YAML comes out as plain values, or as an error that says where it is wrong."""

from __future__ import annotations

import datetime

import pytest
import yaml

from qc.errors import InvalidInput
from qc.plain_yaml import parsed
from qc.verdict import read_policy
from server.policies import read_rules


def test_plain_values_are_what_yaml_has():
    text = "a: 1\nb: [x, 2.5, null]\nc: {a: 2026-02-28}\nd: &d {e: on}\nf: {<<: *d, g: 1}\n"
    assert parsed(text) == {
        "a": 1,
        "b": ["x", 2.5, None],
        "c": {"a": datetime.date(2026, 2, 28)},
        "d": {"e": True},
        "f": {"e": True, "g": 1},
    }
    assert parsed("") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: {c: 1, c: 2}\n", "c stands there twice"),
        ("a: 2026-13-45\n", "month"),
        ("a: 1" + "0" * 5000, "digits"),
        ("[" * 5000, "recursion"),
        ("a: [1\n", "expected"),
        ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
    ],
)
def test_what_is_amiss_is_a_yaml_error(text, told):
    with pytest.raises(yaml.YAMLError, match=told):
        parsed(text)


@pytest.mark.parametrize("read", [read_policy, read_rules])
def test_a_products_file_that_says_a_thing_twice_is_refused_with_its_place(tmp_path, read):
    file = tmp_path / "bar.yaml"
    file.write_text("product: bar\ndefault: {ng: {length_mm: 1}}\nclasses: {}\ndefault: {ng: never}\n")
    with pytest.raises(InvalidInput, match=r"(?s)bar\.yaml.*default stands there twice.*line 4"):
        read(file)
