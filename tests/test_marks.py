"""Every file says what it shows; what it says is read by other readers, and the pixels are those without the mark."""

import base64
import io
import json
import struct
import time
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
import tifffile
from cohorts import RECORD, VIEWS, breast, mammograms, volumes
from drawings import FACTS, draw
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from ganatomy.checkpoint import open_snapshot
from ganatomy.data.prepare import prepare
from ganatomy.data.samples import read_samples
from ganatomy.evaluation.report.page import _read_picture
from ganatomy.exporting.export import export, write_samples
from ganatomy.imaging import marking, nifti, xmp
from ganatomy.imaging.derived import write_derived_image
from ganatomy.imaging.image import Image
from ganatomy.imaging.pictures import convert_to_uint16, save_png
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.modalities.marks import read_picture_mark, says_synthetic
from ganatomy.modalities.table import get_modality
from ganatomy.sampling import sample
from ganatomy.studies.explore import explore_attribute

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
FOREIGN = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"{attribute}>{element}'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
NOISE = np.random.default_rng(0).integers(0, 65536, (40, 30), dtype=np.uint16)


def _read_chunks(path):
    """The chunks of a PNG, by their own lengths (PNG specification, 5.3)."""
    content, at, chunks = path.read_bytes(), 8, []
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += length + 12
    return chunks


def _read_xmp(path):
    """The simple properties of the XMP of a PNG, by their local names."""
    (field,) = [data for kind, data in _read_chunks(path) if kind == b"iTXt" and data.startswith(b"XML:com.adobe.xmp")]
    assert field.startswith(b"XML:com.adobe.xmp\0\0\0\0\0")  # not compressed, no language: what readers expect
    root = ElementTree.fromstring(field.split(b"\0\0\0\0\0", 1)[1].decode())
    about = next(root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"))
    return {element.tag.rpartition("}")[2]: "".join(element.itertext()).strip() for element in about}


def _save_foreign(path, **form):
    """A picture with the XMP of another program, written by a library that is not the reader's."""
    packet = FOREIGN.format(**{"attribute": "", "element": ""} | form).encode()
    grey = (NOISE >> 8).astype(np.uint8)
    if path.suffix == ".tif":
        tifffile.imwrite(path, grey, extratags=[(700, "B", len(packet), packet, True)])
    elif path.suffix == ".jpg":
        Pillow.fromarray(grey).save(path, xmp=packet)
    else:
        fields = PngInfo()
        fields.add_itxt("XML:com.adobe.xmp", packet.decode())
        Pillow.fromarray(grey).save(path, pnginfo=fields)
    return path


def test_the_xmp_of_a_sample_names_its_source_and_holds_its_record(tmp_path):
    rows, _ = read_samples(mammograms(tmp_path))
    for row in rows:
        told = _read_xmp(tmp_path / row["file"])
        assert told["DigitalSourceType"] == IPTC + "trainedAlgorithmicMedia"
        assert json.loads(told["Record"]) == row["record"]
        assert (told["AISystemUsed"], told["AISystemVersionUsed"]) == ("test", "a" * 64)
        assert told["CreatorTool"].startswith("ganatomy ")
        assert told["description"] == "SYNTHETIC IMAGE - NOT FOR DIAGNOSTIC USE"


def test_pillow_reads_the_xmp_as_well(tmp_path):
    pytest.importorskip("defusedxml", reason="Pillow needs defusedxml to read XMP")
    mammograms(tmp_path, 1)
    with Pillow.open(next(tmp_path.glob("*.png"))) as picture:
        about = picture.getxmp()["xmpmeta"]["RDF"]["Description"]
    assert about["DigitalSourceType"] == IPTC + "trainedAlgorithmicMedia"


def test_the_pixels_of_a_picture_are_those_of_one_without_a_mark(tmp_path):
    for pixels in (NOISE, (NOISE >> 8).astype(np.uint8), np.stack([NOISE.astype(np.uint8)] * 3, -1)):
        save_png(pixels, tmp_path / "marked.png", marking.mark_synthetic(RECORD))
        Pillow.fromarray(pixels).save(tmp_path / "plain.png")
        with Pillow.open(tmp_path / "marked.png") as picture:
            assert np.array_equal(np.asarray(picture), pixels)
            assert read_picture_mark(picture).pixels_sha256 == marking.hash_pixels(pixels)
        packed = [[data for kind, data in _read_chunks(tmp_path / f"{name}.png") if kind == b"IDAT"]
                  for name in ("marked", "plain")]  # fmt: skip
        assert packed[0] == packed[1]


def test_a_record_comes_back_whatever_its_letters(tmp_path):
    record = RECORD | {"index": 1, "fact": "<é & \"]]>' ʬ \x01 \ud800 ?>"}
    save_png(NOISE, tmp_path / "a.png", marking.mark_synthetic(record))
    with Pillow.open(tmp_path / "a.png") as picture:
        mark = read_picture_mark(picture)
    assert mark.record == record
    assert marking.parse_document(json.loads(json.dumps(mark.make_document()))).record == record


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_picture_of_another_program_is_known_as_synthetic_by_its_xmp(suffix, tmp_path):
    for term, expected in {
        "trainedAlgorithmicMedia": True,
        "algorithmicMedia": True,
        "compositeWithTrainedAlgorithmicMedia": False,
        "compositeSynthetic": False,
        "digitalCapture": False,
    }.items():
        for root in (IPTC, IPTC.replace("http:", "https:")):
            element = f"<e:DigitalSourceType>{root}{term}</e:DigitalSourceType>"
            resource = f'<e:DigitalSourceType rdf:resource="{root}{term}"/>'
            attribute = f' e:DigitalSourceType="{root}{term}"'
            for form in ({"element": element}, {"element": resource}, {"attribute": attribute}):
                assert says_synthetic(_save_foreign(tmp_path / f"a{suffix}", **form)) == expected, (term, form)
    assert not says_synthetic(_save_foreign(tmp_path / f"a{suffix}"))
    other = "<e:DigitalSourceType>http://example.org/trainedAlgorithmicMedia</e:DigitalSourceType>"
    assert not says_synthetic(_save_foreign(tmp_path / f"a{suffix}", element=other))


def test_a_store_counts_pictures_that_say_that_they_are_synthetic(tmp_path):
    element = f"<e:DigitalSourceType>{IPTC}trainedAlgorithmicMedia</e:DigitalSourceType>"
    for number in range(4):
        draw(tmp_path / "raw" / f"{number}.png", number)
    for number, packet in ((0, FOREIGN.format(attribute="", element=element)), (1, "<x/>")):
        with Pillow.open(tmp_path / "raw" / f"{number}.png") as picture:
            fields = PngInfo()
            fields.add_itxt("XML:com.adobe.xmp", packet)
            picture.save(tmp_path / "raw" / f"{number}.png", pnginfo=fields)
    store = prepare(tmp_path / "raw", Mammogram(FACTS, (80, 64)), tmp_path / "store", workers=0)
    assert (store.manifest.cases, store.manifest.synthetic, store.shows_patients) == (4, 1, True)
    assert [case["synthetic"] for case in sorted(store.cases, key=lambda case: case["file"])] == [True, *[False] * 3]


def test_a_packet_that_could_do_harm_is_not_read():
    element = f"<e:DigitalSourceType>{IPTC}trainedAlgorithmicMedia</e:DigitalSourceType>"
    packet = FOREIGN.format(attribute="", element=element)
    assert xmp.read_packet(packet).source == "trainedAlgorithmicMedia"
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10 if i else "lol"}">' for i in range(10))
    assert xmp.read_packet(f"<!DOCTYPE x [{entities}]>" + packet.replace(IPTC, "&a9;" + IPTC)) is None
    nested = "<rdf:Description>" * 100_000 + "</rdf:Description>" * 100_000
    started = time.process_time()
    assert xmp.read_packet(packet.replace("<e:Dig", nested + "<e:Dig")).source == "trainedAlgorithmicMedia"
    assert time.process_time() - started < 10
    for broken in (packet[:-9], b"\xff\xfe" + packet.encode("utf-16-le"), b"", "<" * 10_000, packet + " " * 2**25):
        assert xmp.read_packet(broken) is None


@given(st.one_of(st.binary(), st.text()))
@settings(deadline=None)
def test_whatever_stands_where_a_mark_should_be_is_no_error(content):
    assert xmp.read_packet(content) is None
    assert marking.parse_record(content if isinstance(content, str) else content.decode("latin-1")) is not None
    assert marking.parse_document({"record": {}, "digital_source_type": content, "pixels_sha256": content}).source == ""


def test_a_nifti_says_so_in_its_extension_and_has_the_same_voxels(tmp_path):
    folder = volumes(tmp_path / "ct", "chest_ct")
    row = read_samples(folder)[0][0]
    image = nib.load(folder / row["file"])
    (extension,) = image.header.extensions
    document = json.loads(extension.get_content())
    assert extension.get_code() == 6  # comment
    assert document["digital_source_type"] == IPTC + "trainedAlgorithmicMedia"
    assert document["record"] == row["record"]
    assert document["software"].startswith("ganatomy ")
    stored = np.asarray(image.dataobj)
    assert document["pixels_sha256"] == marking.hash_pixels(stored)
    image.header.extensions.clear()
    nib.save(image, tmp_path / "plain.nii.gz")
    assert np.array_equal(np.asarray(nib.load(tmp_path / "plain.nii.gz").dataobj), stored)
    assert says_synthetic(folder / row["file"])


def test_an_npy_has_its_mark_beside_it_and_never_stands_without(tmp_path, monkeypatch):
    mammograms(tmp_path / "png", 3)
    export(tmp_path / "png", tmp_path / "npy", "npy")
    for row in read_samples(tmp_path / "npy")[0]:
        document = json.loads((tmp_path / "npy" / f"{row['file']}.json").read_text())
        assert document["record"] == row["record"]
        assert document["digital_source_type"] == IPTC + "trainedAlgorithmicMedia"
        assert document["pixels_sha256"] == marking.hash_pixels(np.load(tmp_path / "npy" / row["file"]))
    whole = {path.name: path.read_bytes() for path in (tmp_path / "npy").iterdir()}

    def stop(handle, values):
        handle.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            export(tmp_path / "png", tmp_path / "stopped", "npy")
    left = {path.name for path in (tmp_path / "stopped").iterdir()}
    assert not [name for name in left if name.endswith((".npy", ".part"))]
    export(tmp_path / "png", tmp_path / "stopped", "npy")
    assert {path.name: path.read_bytes() for path in (tmp_path / "stopped").iterdir()} == whole


def test_derived_images_say_whether_they_show_a_patient(tmp_path):
    picture, volume = breast(0), Image(np.zeros((4, 4, 4), np.float32), (1.0, 1.0, 1.0))
    for shows_patients in (True, False):
        for image in (picture, volume):
            path = write_derived_image(tmp_path / "a", image, {"row": 3}, shows_patients)
            assert says_synthetic(path) != shows_patients
        assert _read_xmp(tmp_path / "a.png")["DigitalSourceType"] == IPTC + "compositeWithTrainedAlgorithmicMedia"
        assert (b"SYNTHETIC" in nib.load(path).header["descrip"].item()) != shows_patients


def test_files_of_the_first_release_are_read_as_they_were_meant(tmp_path):
    fields = PngInfo()
    fields.add_itxt("Comment", "SYNTHETIC IMAGE - NOT FOR DIAGNOSTIC USE")
    fields.add_itxt("Provenance", json.dumps(RECORD))
    Pillow.fromarray(NOISE).save(tmp_path / "a.png", pnginfo=fields)
    with Pillow.open(tmp_path / "a.png") as picture:
        assert read_picture_mark(picture).record == RECORD
    assert says_synthetic(tmp_path / "a.png")
    for record, expected in ((RECORD, True), ({"reconstruction_by": "f" * 64, "row": 1}, False)):
        image = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
        image.header["descrip"] = nifti.HEADER_DESCRIPTION.encode()
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", json.dumps(record).encode()))
        nib.save(image, tmp_path / "a.nii.gz")
        assert says_synthetic(tmp_path / "a.nii.gz") == expected


def test_the_pictures_of_a_run_say_what_they_show(run, store):
    fakes = _read_xmp(sorted((run.path / "fakes").iterdir())[-1])
    assert fakes["DigitalSourceType"] == IPTC + "trainedAlgorithmicMedia"
    assert json.loads(fakes["Record"])["generator"] == "pggan-mammogram"
    for file in run.path.rglob("*.png"):
        content = file.read_bytes()
        assert str(store.path.parent).encode() not in content
        assert not [case for case in store.cases if case["file"].encode() in content]
    reals = _read_xmp(run.path / "reals.png")
    assert reals["DigitalSourceType"] == IPTC + "composite"
    assert not store.shows_patients
    assert "None of them is of a patient" in reals["description"]
    assert reals["ShowsPatients"] == "False"


def test_a_hanging_names_each_of_its_images(tmp_path):
    mammograms(tmp_path / "png")
    export(tmp_path / "png", tmp_path / "hung", "hanging")
    (file,) = (tmp_path / "hung").glob("*.png")
    told = json.loads(_read_xmp(file)["Record"])
    assert [(one["view_position"], one["laterality"]) for one in told] == list(VIEWS)
    assert says_synthetic(file)


def test_a_walk_through_the_latent_space_is_marked(hagan, tmp_path):
    snapshot = open_snapshot(hagan.list_snapshots()[-1])
    explore_attribute(snapshot, "body_volume", tmp_path / "out", n=20, walks=1, steps=2)
    told = _read_xmp(tmp_path / "out" / "exploration.png")
    assert told["DigitalSourceType"] == IPTC + "trainedAlgorithmicMedia"
    assert json.loads(told["Record"])["snapshot_sha256"] == snapshot.digest


def test_the_copy_of_a_picture_in_a_report_keeps_what_it_says(tmp_path):
    save_png((NOISE >> 8).astype(np.uint8), tmp_path / "a.png", marking.mark_side_by_side(RECORD, True))
    copied = _read_picture(tmp_path / "a.png", "title", "caption")
    content = base64.b64decode(copied.data)
    with Pillow.open(io.BytesIO(content)) as picture:
        mark = read_picture_mark(picture)
        assert mark.pixels_sha256 == marking.hash_pixels(np.asarray(picture))
    assert (mark.source, mark.shows_patients, mark.record) == ("compositeSynthetic", True, RECORD)
    assert not mark.says_synthetic


def test_the_same_sample_gives_the_same_file(run, tmp_path):
    drawn = list(sample(open_snapshot(run.list_snapshots()[-1]), 1, 3))
    for name in ("a", "b"):
        write_samples(iter(drawn), 1, "mammogram", tmp_path / name, "png", "20260101")
    one, other = (next((tmp_path / name).glob("*.png")).read_bytes() for name in ("a", "b"))
    assert one == other


def test_marks_do_not_change_what_samples_are_read_back_as(tmp_path):
    mammograms(tmp_path, 2)
    kind = get_modality("mammogram")()
    for number, (image, _) in enumerate(read_samples(tmp_path)[1]):
        facts = {"view_position": VIEWS[number][0], "laterality": VIEWS[number][1]}
        shown = kind.denormalise(breast(number).copy_with(facts=facts))
        assert np.array_equal(convert_to_uint16(kind.denormalise(image).pixels), convert_to_uint16(shown.pixels))
