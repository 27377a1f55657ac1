"""Reading of an archive's answer to instances sent by STOW-RS (PS3.18 10.5.3 and annex I.2).

The answer is a data set as DICOM JSON (PS3.18 annex F) or as XML of the Native DICOM Model (PS3.19 A.1). Only
instances named in its Referenced SOP Sequence are stored. Other answers, such as the page of a proxy, and truncated
answers do not count, whatever their HTTP status.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

REFERENCED_SOP_SEQUENCE, FAILED_SOP_SEQUENCE, OTHER_FAILURES_SEQUENCE = "00081199", "00081198", "0008119A"
REFERENCED_SOP_INSTANCE_UID, FAILURE_REASON, WARNING_REASON = "00081155", "00081197", "00081196"
REASON_MEANINGS = {  # PS3.18 tables I.2-2 and I.2-3, PS3.4 table B.2-1
    0x0110: "processing failure",
    0x0111: "duplicate SOP instance",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0xA700: "out of resources",
    0xA900: "data set does not match SOP class",
    0xB000: "elements coerced",
    0xB006: "elements discarded",
    0xB007: "data set does not match SOP class",
    0xC000: "cannot understand",
    0xC122: "transfer syntax not supported",
}

Items = list[dict[str, str]]  # items of a sequence: tag -> first value as text


@dataclass(frozen=True)
class StoreResponse:
    """The instances and reasons named in an answer.

    Args:
        stored: warning by SOP Instance UID; zero if there is none.
        failed: failure reason by SOP Instance UID; zero if there is none.
        other_failures: reasons of failures that name no instance (Other Failures Sequence).
        told: why the answer could not be used; empty if it could.
    """

    stored: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    other_failures: tuple[int, ...] = ()
    told: str = ""


def read_store_response(content: bytes, content_type: str) -> StoreResponse:
    """Read an answer; if it cannot be read, the result names no instance and says why.

    Args:
        content: the body.
        content_type: the header Content-Type; its parameters, such as a charset, are ignored.
    """
    if not content.strip():
        return StoreResponse(told="the answer is empty")
    media_type = content_type.split(";")[0].strip().lower()
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    try:
        if media_type.endswith("json") or (not media_type and start in (b"{", b"[")):
            sequences = _read_json(content)
        elif media_type.endswith("xml") or (not media_type and start == b"<"):
            sequences = _read_xml(content)
        else:
            return StoreResponse(told=f"the answer is {media_type or 'of no known type'}, not DICOM JSON or XML")
    except (ValueError, LookupError, RecursionError, ElementTree.ParseError) as error:
        return StoreResponse(told=f"the answer cannot be read ({str(error).splitlines()[0][:80]})")
    failed = _collect(sequences[FAILED_SOP_SEQUENCE], FAILURE_REASON)
    stored = _collect(sequences[REFERENCED_SOP_SEQUENCE], WARNING_REASON)
    return StoreResponse(
        {uid: warning for uid, warning in stored.items() if uid not in failed},
        failed,
        tuple(_read_reason(item.get(FAILURE_REASON, "")) for item in sequences[OTHER_FAILURES_SEQUENCE]),
        "" if stored or failed else "the answer names no instance",
    )


def describe_reason(reason: int) -> str:
    """Describe a failure or warning reason by its meaning in the standard."""
    meaning = REASON_MEANINGS.get(reason) or REASON_MEANINGS.get(reason & 0xFF00, "")
    return f"0x{reason:04X} {meaning}".strip()


def _collect(items: Items, reason: str) -> dict[str, int]:
    return {uid: _read_reason(item.get(reason, "")) for item in items if (uid := item.get(REFERENCED_SOP_INSTANCE_UID))}


def _read_reason(text: str) -> int:
    """Parse a status of 16 bits; zero if the text is not one."""
    try:
        value = int(text, 0)
    except ValueError:
        return 0
    return value if 0 <= value < 2**16 else 0


def _gather(sequences: Iterable[tuple[str, Items]]) -> dict[str, Items]:
    found: dict[str, Items] = {REFERENCED_SOP_SEQUENCE: [], FAILED_SOP_SEQUENCE: [], OTHER_FAILURES_SEQUENCE: []}
    for tag, items in sequences:
        if tag in found:
            found[tag] += items
    return found


# ----------------------------------------------------------------------------------------------------------------------
# JSON: an object, or a list of objects.


def _read_json(content: bytes) -> dict[str, Items]:
    answer = json.loads(content.decode("utf-8-sig"))
    sets = answer if isinstance(answer, list) else [answer]
    if not all(isinstance(one, dict) for one in sets):
        raise ValueError("not a data set")
    return _gather(
        (tag.upper(), [_read_json_item(item) for item in _list_json_values(element) if isinstance(item, dict)])
        for one in sets
        for tag, element in one.items()
    )


def _read_json_item(item: dict[str, Any]) -> dict[str, str]:
    values = {tag.upper(): _list_json_values(element) for tag, element in item.items()}
    return {tag: _clean(str(found[0])) for tag, found in values.items() if found and found[0] is not None}


def _list_json_values(element: Any) -> list[Any]:
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


# ----------------------------------------------------------------------------------------------------------------------
# XML: DicomAttribute elements, in a namespace or in none.


def _read_xml(content: bytes) -> dict[str, Items]:
    root = ElementTree.fromstring(content)
    if _local_name(root) != "NativeDicomModel":
        raise ValueError(f"its root is {_local_name(root)}, not NativeDicomModel")
    return _gather(
        (_read_tag(attribute), [_read_xml_item(item) for item in attribute if _local_name(item) == "Item"])
        for attribute in root
    )


def _read_xml_item(item: ElementTree.Element) -> dict[str, str]:
    found = {}
    for attribute in item:
        values = [child.text or "" for child in attribute if _local_name(child) == "Value"]
        if values:
            found[_read_tag(attribute)] = _clean(values[0])
    return found


def _read_tag(element: ElementTree.Element) -> str:
    return (element.get("tag") or "").upper()


def _local_name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _clean(text: str) -> str:
    """Remove the blanks and null characters that pad a value."""
    return text.strip(" \t\r\n\0")
