"""Cases as columns: the same rows as lines of JSON, read when they are needed."""

import hashlib
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganatomy.data import cases as casing
from ganatomy.data.cases import Cases, compute_fingerprint, encode_rows
from ganatomy.data.columns import Columns, count_rows, join_tables, select_rows, write_table

FILE_NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.just("a\udcff\udc80.png")
FACTS = st.dictionaries(st.sampled_from(["view", "age", "a.value", "code"]), st.text(max_size=3), max_size=3)


def make_row(number, file, facts, patient, spacing):
    return {
        "row": 3 * number,
        "file": file,
        "patient": f"{patient:016x}",
        "split": ("train", "validation", "test")[patient % 3],
        "facts": {name: value.encode("utf-8", "replace").decode() for name, value in facts.items()},
        "synthetic": number % 2 == 0,
        "spacing": spacing,
        "quantiles": [0.25, -1.0, number / 7],
        "geometry": {"shape": [number, 2], "factor": 1.5},
        "pixels": hashlib.md5(bytes([number]), usedforsecurity=False).hexdigest(),
    }


ROWS = st.lists(
    st.tuples(FILE_NAMES, FACTS, st.integers(0, 5), st.sampled_from([None, [0.5, 12.25]])), min_size=1, max_size=9
).map(lambda told: [make_row(i, *one) for i, one in enumerate(told)])


@settings(max_examples=60, deadline=None)
@given(ROWS, ROWS, st.data())
def test_rows_come_back_as_they_were_also_from_joined_tables(rows, more, data):
    assert Cases.from_rows(rows) == rows
    joined = join_tables([encode_rows(rows), encode_rows(more)])
    assert Cases(Columns(joined)) == [*rows, *more]
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=count_rows(joined), max_size=count_rows(joined))))
    chosen = [row for row, is_kept in zip([*rows, *more], kept, strict=True) if is_kept]
    assert Cases(Columns(select_rows(joined, kept))) == chosen
    every = Cases(Columns(joined))
    assert every[kept] == chosen
    assert every[::-2] == [*rows, *more][::-2]
    assert every[kept].list_facts() == [row["facts"] for row in chosen]
    assert every[kept].list_texts("patient") == [row["patient"] for row in chosen]
    assert every[kept].list_hashes() == [row["pixels"] for row in chosen]
    assert every[kept].rows.tolist() == [row["row"] for row in chosen]
    assert every.find_split("test") == [row for row in [*rows, *more] if row["split"] == "test"]
    for name in every.fact_names:
        values = [row["facts"][name] for row in chosen if name in row["facts"]]
        assert every[kept].count_values(name) == {value: values.count(value) for value in set(values)}


@settings(max_examples=30, deadline=None)
@given(ROWS, st.integers(1, 5))
def test_the_fingerprint_is_the_hash_of_one_json_text(rows, chunk):
    numbers = {}
    for keyed in (True, False):
        visible = [
            (
                row["pixels"],
                numbers.setdefault(row["patient"], len(numbers)) if keyed else row["patient"],
                row["split"],
                row["facts"],
            )
            for row in rows
        ]
        text = json.dumps([[20, 16], "mammogram", visible], sort_keys=True)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(casing, "CHUNK", chunk)
            found = compute_fingerprint((20, 16), "mammogram", Cases.from_rows(rows), keyed)
        assert found == hashlib.sha256(text.encode()).hexdigest()


def test_a_file_is_read_only_as_far_as_it_is_needed(tmp_path):
    rows = [make_row(i, f"{i}.png", {"view": "CC"}, i, None) for i in range(9)]
    write_table(tmp_path / "cases.safetensors", encode_rows(rows), "a test")
    columns = Columns(tmp_path / "cases.safetensors")
    cases = Cases(columns)
    assert len(cases.find_split("train")) == 3
    assert cases[-1] == rows[8]
    assert not {"file.text", "patient.value.text", "geometry.value.text"} & columns._kept.keys()
    (tmp_path / "cases.safetensors").unlink()  # as when the store grows
    assert list(cases) == rows
    assert pickle.loads(pickle.dumps(cases[2:4])) == rows[2:4]
    for wrong in (9, -10):
        with pytest.raises(IndexError):
            cases[wrong]


def test_cases_are_compared_with_rows_and_not_hashed():
    rows = [make_row(i, f"{i}.png", {}, 0, None) for i in range(3)]
    cases = Cases.from_rows(rows)
    assert cases == rows
    assert cases != rows[:2]
    assert cases[:0] == []
    assert cases != 3
    assert not cases[[]]
    with pytest.raises(TypeError):
        hash(cases)
