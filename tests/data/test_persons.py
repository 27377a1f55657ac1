"""Who is one person: told at `prepare`, never split, and hidden behind a key that the store does not have."""

import hashlib
import json
import shutil
import stat

import pytest
from drawings import FACTS, draw
from pydicom import dcmread

from ganatomy.data.balance import describe_balance, read_balance
from ganatomy.data.cases import encode_rows
from ganatomy.data.columns import encode_values
from ganatomy.data.keys import KEY_BYTES, KEY_VARIABLE, find_key_path, load_key
from ganatomy.data.persons import (
    count_persons,
    describe_person,
    find_bids_subject,
    find_patients,
    settle_person,
    split_patients,
)
from ganatomy.data.prepare import prepare, prepare_shard
from ganatomy.data.split import assign_splits, make_pseudonym, mask_hash
from ganatomy.data.store import open_store
from ganatomy.errors import Refused
from ganatomy.evaluation.images.sets import check_disjoint, select_real_images
from ganatomy.imaging.person import BIDS, FILE, FOLDER, PATIENT_ID, STUDY, TABLE, Person
from ganatomy.machine import progress
from ganatomy.modalities.mammogram import Mammogram

KEY = bytes(range(KEY_BYTES))


def name_patients(persons, key=KEY, pixels=None):
    """Patients, splits and counts of persons with one image each, whose pixels are all different by default."""
    shown = pixels or [f"{number}" for number in range(len(persons))]
    hashes = [hashlib.blake2b(one.encode(), digest_size=16).hexdigest() for one in shown]
    cases = encode_rows(
        [
            {"row": i, "facts": {}, "pixels": one, **describe_person(person, key)}
            for i, (person, one) in enumerate(zip(persons, hashes, strict=True))
        ]
    )
    patients = find_patients(cases, key)
    cases |= encode_values("patient", patients)
    return patients, split_patients(cases, key), count_persons(cases, key)


def names_of(*persons):
    patients, _, told = name_patients(persons)
    return patients, told


# ----------------------------------------------------------------------------------------------------------------------
# Who.


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01"),
        ("derivatives/x/sub-01/anat/brain.nii.gz", "sub-01"),
        ("sub-A7_T1w.nii.gz", "sub-A7"),
        ("sub-01.nii.gz", "sub-01"),
        ("a/sub-/x.nii.gz", None),
        ("my-sub-01/x.nii.gz", None),
        ("subject-01.nii.gz", None),
    ],
)
def test_the_subject_of_a_bids_path(name, subject):
    assert find_bids_subject(name) == subject


def test_a_header_or_table_is_believed_before_a_path_and_a_path_before_a_guess():
    name = "sub-01/ses-2/x.dcm"
    for known in (Person("p", TABLE), Person("7", PATIENT_ID, "here")):
        assert settle_person(known, name) == known
    for guess in (Person("1.2", STUDY), Person("/raw/sub-01", FOLDER), Person(name, FILE)):
        assert settle_person(guess, name) == Person("sub-01", BIDS)
    assert settle_person(Person("/far/raw/a/b", FOLDER), "a/b/x.dcm") == Person("a/b", FOLDER)
    assert settle_person(Person("x.png", FILE), "x.png") == Person("x.png", FILE)


def test_an_issuer_is_optional_and_two_issuers_are_two_persons():
    one, two, plain = Person("7", PATIENT_ID, "A"), Person("7", PATIENT_ID, "B"), Person("7", PATIENT_ID)
    found, told = names_of(one, plain, one)
    assert len(set(found)) == 1
    assert not any("issuer" in words for words in told["warnings"])
    found, told = names_of(one, two, one)
    assert found[0] == found[2] != found[1]
    assert any("from several issuers" in words for words in told["warnings"])
    assert len(set(names_of(one, two, plain)[0])) == 1  # the plain one may be either: no risk of two splits
    assert len(set(names_of(plain, Person("7", TABLE))[0])) == 1


def test_patients_with_one_picture_are_one_person():
    patients, _, told = name_patients([Person(p, PATIENT_ID) for p in "abbcd"], pixels=list("xxyyz"))
    assert len(set(patients[:4])) == 1
    assert patients[4] != patients[0]
    assert [words for words in told["warnings"] if "2 patients have an image with the same pixels" in words]


def test_warnings_about_persons():
    same = [Person("ANONYMOUS", PATIENT_ID)] * 5
    (words,) = names_of(*same)[1]["warnings"]
    assert words.startswith("Warning: all 5 images count as one patient, identified by Patient ID")
    words = names_of(*(Person(f"{i}.png", FILE) for i in range(5)))[1]["warnings"]
    assert [w for w in words if "so each file counts as one" in w]
    words = names_of(*same, *(Person(str(i), PATIENT_ID) for i in range(3)))[1]["warnings"]
    assert [w for w in words if "one patient has 5 of 8 images" in w]
    assert not names_of(*(Person(str(i), PATIENT_ID) for i in range(5)))[1]["warnings"]


def test_sessions_of_one_subject_stay_together(tmp_path):
    raw = tmp_path / "raw"
    for subject in range(8):
        for session in (1, 2):
            draw(raw / f"sub-{subject:02d}" / f"ses-{session}" / "x.png", 2 * subject + session)
    store = prepare(raw, Mammogram(facts=FACTS, shape=(80, 64)), tmp_path / "store", workers=0)
    assert store.manifest.patients == 8
    assert len({(one["file"][:6], one["split"]) for one in store.cases}) == 8
    lines = list(describe_balance(read_balance(store.path)))
    assert "8 patients, identified by BIDS subject (16 images); 2 to 2 images each, median 2" in lines


def test_blanks_around_an_id_and_two_names_for_one_picture(cohort, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    files = sorted(cohort.rglob("*.dcm"))
    for i, name in enumerate(("0012", "0012 ", " 0012", "other")):
        dataset = dcmread(files[i])
        dataset.PatientID = name
        del dataset.IssuerOfPatientID
        dataset.save_as(raw / f"{i}.dcm")
    shutil.copy(raw / "0.dcm", raw / "0 copy.dcm")
    dataset = dcmread(raw / "1.dcm")
    dataset.PatientID, dataset.SOPInstanceUID = "third", dataset.SOPInstanceUID + ".1"
    dataset.save_as(raw / "second name.dcm")
    store = prepare(raw, Mammogram(shape=(80, 64)), tmp_path / "store", workers=0)
    assert store.manifest.cases == 5
    assert store.manifest.quarantined == {"copy": 1}
    assert store.manifest.patients == 2


# ----------------------------------------------------------------------------------------------------------------------
# Pseudonyms and their key.


def test_a_pseudonym_is_not_found_by_trying_ids(cohort, tmp_path):
    (tmp_path / "raw").mkdir()
    dataset = dcmread(next(cohort.rglob("*.dcm")))
    dataset.PatientID = "003920"
    del dataset.IssuerOfPatientID
    dataset.save_as(tmp_path / "raw" / "a.dcm")
    store = prepare(tmp_path / "raw", Mammogram(shape=(80, 64)), tmp_path / "store", workers=0)
    text = "".join(path.read_bytes().decode("latin-1") for path in store.path.rglob("*") if path.is_file())
    tried = [form for i in range(5000) for form in (f"{i:06d}", f"/{i:06d}")]
    guesses = {make_pseudonym(one) for one in tried}
    assert not [guess for guess in guesses if guess in text]
    secret = load_key().secret
    assert make_pseudonym("003920", secret) == store.cases[0]["patient"]
    assert secret.hex() not in text


def test_a_table_leaves_no_patient_and_no_other_column_in_the_store(tmp_path):
    raw, kind = tmp_path / "raw", Mammogram(facts=FACTS, shape=(80, 64))
    rows = ["file,patient,surname"]
    for i in range(20):
        draw(raw / f"{i}.png", i)
        rows.append(f"{i}.png,ID-{i % 5}-7,Nobody")
    (raw / "facts.csv").write_text("\n".join(rows))
    out = tmp_path / "store"
    assert prepare_shard(raw, kind, out, (1, 2), workers=0) is None
    for _ in range(2):  # begun, and complete
        files = (path for path in out.iterdir() if path.is_file())
        text = "".join(path.read_bytes().decode("latin-1") for path in (*files, *(out / "parts").iterdir()))
        assert not [word for word in ("ID-", "Nobody") if word in text]
        assert make_pseudonym("ID-3-7") not in text
        store = prepare_shard(raw, kind, out, (2, 2), workers=0)
    assert store.manifest.patients == 5
    other = tmp_path / "other"
    assert prepare_shard(raw, kind, other, (1, 2), workers=0) is None
    (raw / "facts.csv").write_text("\n".join(rows).replace("ID-4-7", "ID-5-7"))
    with pytest.raises(Refused, match="The facts have changed since"):
        prepare_shard(raw, kind, other, (2, 2), workers=0)
    with pytest.raises(Refused, match="has changed since"):
        prepare(raw, kind, out, workers=0)


def test_the_split_depends_on_who_it_is_and_not_on_the_key():
    persons = [Person(str(i), PATIENT_ID, "A") for i in range(30)]
    splits = [name_patients(persons, key)[1] for key in (KEY, bytes(KEY_BYTES))]
    assert splits[0] == splits[1]
    expected = assign_splits([make_pseudonym(f"A/{i}") for i in range(30)])
    assert splits[0] == [expected[make_pseudonym(f"A/{i}")] for i in range(30)]
    assert mask_hash(mask_hash("00ff" * 4, "p", KEY), "p", KEY) == "00ff" * 4 != mask_hash("00ff" * 4, "p", KEY)


def test_the_key_is_made_once_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "deep" / "k"))
    assert find_key_path() == tmp_path / "deep" / "k"
    key = load_key()
    assert len(key.secret) == KEY_BYTES
    assert load_key() == key
    assert stat.S_IMODE((tmp_path / "deep" / "k").stat().st_mode) == 0o600
    assert not list((tmp_path / "deep").glob(".*"))
    assert load_key(tmp_path / "other").name != key.name
    monkeypatch.delenv(KEY_VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert find_key_path() == tmp_path / "ganatomy" / "pseudonyms.key"


@pytest.mark.parametrize(("text", "words"), [("hello", "holds no key"), ("abcd", "holds 2 bytes"), ("", "0 bytes")])
def test_a_key_that_is_none_is_refused(tmp_path, text, words):
    (tmp_path / "k").write_text(text)
    with pytest.raises(Refused, match=f"{words}.*--key FILE"):
        load_key(tmp_path / "k")


def test_where_no_home_is_known_a_key_is_asked_for(monkeypatch):
    for name in (KEY_VARIABLE, "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", nobody)
    with pytest.raises(Refused, match=r"Could not determine home directory.*give --key FILE"):
        load_key()


def test_a_key_in_the_store_or_where_none_can_be_made_is_refused(cohort, tmp_path):
    with pytest.raises(Refused, match="would lie in the store"):
        prepare(cohort, Mammogram(shape=(80, 64)), tmp_path / "s", key=tmp_path / "s" / "k")
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot be read or made"):
        load_key(tmp_path / "file" / "k")


def test_an_interrupted_store_goes_on_with_its_key_only(cohort, store, tmp_path):
    kind, out = Mammogram(shape=(80, 64)), tmp_path / "store"
    assert prepare_shard(cohort, kind, out, (1, 2), workers=0) is None
    for call in (prepare, lambda *given, key: prepare_shard(*given, (2, 2), key=key)):
        with pytest.raises(Refused, match="another key of pseudonyms; give the same --key"):
            call(cohort, kind, out, key=tmp_path / "other")
    assert prepare(cohort, kind, out, workers=0).cases == store.cases
    assert prepare(cohort, kind, out, workers=0, key=tmp_path / "other").cases == store.cases  # nothing is left to do
    plan = json.loads((out / "plan.json").read_text())
    del plan["key"]
    (out / "plan.json").write_text(json.dumps(plan))
    assert prepare(cohort, kind, out, workers=0).cases == store.cases  # complete, made by an older version
    (out / "manifest.json").unlink()
    with pytest.raises(Refused, match="begun by an earlier version"):
        prepare(cohort, kind, out, workers=0)


def test_a_store_of_an_older_version_stays_readable(store, tmp_path, capsys):
    shutil.copytree(store.path, tmp_path / "old")
    for name in ("balance.json", "skipped.jsonl", "unmatched.jsonl", "passed_over.json"):
        (tmp_path / "old" / name).unlink()
    plan = json.loads((tmp_path / "old" / "plan.json").read_text())
    del plan["key"]
    (tmp_path / "old" / "plan.json").write_text(json.dumps(plan))
    old = open_store(tmp_path / "old")
    assert old.cases == store.cases
    assert old.read_key_name() is None
    assert read_balance(old.path) is None
    progress.quiet = False
    held_out, seen = (select_real_images(one, split, (80, 64)) for one, split in ((old, "test"), (store, "train")))
    check_disjoint(held_out, seen)
    assert "were made with different keys, so shared patients" in capsys.readouterr().out
    check_disjoint(select_real_images(store, "test", (80, 64)), seen)
    assert not capsys.readouterr().out
