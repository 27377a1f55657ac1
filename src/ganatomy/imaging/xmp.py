"""XMP packets (ISO 16684-1): the mark of a picture, for any tool that reads metadata of photographs."""

import json
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from ganatomy.imaging.marking import Mark, parse_record, parse_source

PNG_KEYWORD = "XML:com.adobe.xmp"  # of the text field that holds XMP (XMP specification part 3, 1.1.5)
RDF, META = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "adobe:ns:meta/"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
DUBLIN_CORE, BASIC = "http://purl.org/dc/elements/1.1/", "http://ns.adobe.com/xap/1.0/"
OWN = "urn:uuid:6f9c1a52-3d0e-5a7b-9a44-0c9b1c2f7e10#"  # names of this project; the UUID is that of its UIDs
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
OPENING = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'  # of every packet (XMP specification part 1, 7.3.2)
)
CLOSING = '\n<?xpacket end="r"?>'
MAX_PACKET_BYTES = 16 * 2**20  # of a foreign file; records of a large grid have a few hundred kilobytes
PREFIXES = {"rdf": RDF, "x": META, "Iptc4xmpExt": IPTC, "dc": DUBLIN_CORE, "xmp": BASIC, "ganatomy": OWN}

for _prefix, _name in PREFIXES.items():
    ElementTree.register_namespace(_prefix, _name)


def make_packet(document: Mapping[str, Any]) -> str:
    """Make the packet of a mark.

    Args:
        document: from `Mark.make_document`.
    """
    root = ElementTree.Element(f"{{{META}}}xmpmeta")
    about = ElementTree.SubElement(
        ElementTree.SubElement(root, f"{{{RDF}}}RDF"), f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""}
    )
    record = document["record"]
    first = next(iter(record), {}) if isinstance(record, (list, tuple)) else record
    values = {
        (IPTC, "DigitalSourceType"): document["digital_source_type"],
        (IPTC, "AISystemUsed"): str(first.get("generator", "")),
        (IPTC, "AISystemVersionUsed"): str(first.get("snapshot_sha256", "")),
        (BASIC, "CreatorTool"): document["software"],
        (OWN, "ShowsPatients"): str(document["shows_patients"]),
        (OWN, "Record"): json.dumps(record),
        (OWN, "PixelsSHA256"): document.get("pixels_sha256", ""),
    }
    for (space, name), value in values.items():
        if value:
            ElementTree.SubElement(about, f"{{{space}}}{name}").text = value
    words = ElementTree.SubElement(ElementTree.SubElement(about, f"{{{DUBLIN_CORE}}}description"), f"{{{RDF}}}Alt")
    ElementTree.SubElement(words, f"{{{RDF}}}li", {LANGUAGE: "x-default"}).text = document["comment"]
    ElementTree.indent(root)
    return OPENING + ElementTree.tostring(root, encoding="unicode") + CLOSING


def read_packet(packet: bytes | str) -> Mark | None:
    """Read the mark of a packet of any origin; None if it says nothing about how the picture came about.

    A packet with a document type is not read, since its entities could be made to fill the memory.
    """
    if len(packet) > MAX_PACKET_BYTES:
        return None
    try:
        text = packet if isinstance(packet, str) else packet.rstrip(b"\0").decode("utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            return None
        root = ElementTree.fromstring(text.strip().removeprefix("\ufeff"))
    except (UnicodeDecodeError, ElementTree.ParseError):
        return None
    values = _collect_values(root)
    source = parse_source(values.get((IPTC, "DigitalSourceType"), ""))
    if not source and (OWN, "Record") not in values:
        return None
    return Mark(
        source,
        values.get((DUBLIN_CORE, "description"), ""),
        values.get((OWN, "ShowsPatients")) != "False",
        parse_record(values.get((OWN, "Record"), "{}")),
        values.get((BASIC, "CreatorTool"), ""),
        values.get((OWN, "PixelsSHA256")),
    )


def _collect_values(root: ElementTree.Element) -> dict[tuple[str, str], str]:
    """The simple values of all descriptions, written as elements or as attributes, by namespace and name.

    Only places where XMP has them are looked at (part 1, 7), so that the time is in proportion to the packet.
    """
    values: dict[tuple[str, str], str] = {}
    frame = root if root.tag == f"{{{RDF}}}RDF" else root.find(f"{{{RDF}}}RDF")
    for about in () if frame is None else frame.findall(f"{{{RDF}}}Description"):
        pairs = list(about.attrib.items())
        for element in about:
            inner = element.find(f"{{{RDF}}}Alt/{{{RDF}}}li")  # the text in one language, the first of them
            resource = element.get(f"{{{RDF}}}resource", "")
            pairs.append((element.tag, (element if inner is None else inner).text or resource))
        for tag, value in pairs:
            space, _, name = tag.removeprefix("{").rpartition("}")
            values.setdefault((space, name), value.strip())
    return values
