"""C-STORE to an archive, all instances over one association (PS3.4 annex B, PS3.7 9.1.1)."""

import logging
import re
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association

from ganatomy.dicom.destination import Outcome, UnreachableError
from ganatomy.errors import Refused

ADDRESS_PATTERN = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:]+)\]|(?P<host>[^:/\[\]]+)):(?P<port>\d{1,5})/(?P<aet>[^/\\]{1,16})"
)
TIMEOUT_SECONDS = 60  # without an answer the archive counts as gone
STATUS_MEANINGS = {  # statuses of a C-STORE response (PS3.4 table B.2-1, PS3.7 annex C)
    0x0110: "processing failure",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0xB000: "elements coerced",
    0xB006: "elements discarded",
    0xB007: "data set does not match SOP class, stored",
}
STATUS_RANGE_MEANINGS = {
    0xA7: "out of resources",
    0xA9: "data set does not match SOP class",
}  # by the first byte of the status


class CStoreArchive:
    """An archive that accepts C-STORE.

    Args:
        address: ``HOST:PORT/AET``, where AET is the archive's Application Entity Title.
        calling_aet: our own title; many archives accept only titles that are registered with them.

    Raises:
        Refused: the address has another form.
    """

    batch_bytes = 0

    def __init__(self, address: str, calling_aet: str = "GANATOMY") -> None:
        match = ADDRESS_PATTERN.fullmatch(address)
        if match is None or not 0 < int(match["port"]) < 2**16:
            raise Refused(f"--pacs {address}: give HOST:PORT/AET, such as 127.0.0.1:4242/ORTHANC.")
        if not 0 < len(calling_aet.strip()) <= 16 or "\\" in calling_aet:
            raise Refused(f"--calling-aet {calling_aet}: an Application Entity Title has 1 to 16 characters.")
        self.name = address
        self.host, self.port, self.aet = match["six"] or match["host"], int(match["port"]), match["aet"]
        self._ae = AE(ae_title=calling_aet)
        self._ae.acse_timeout = self._ae.dimse_timeout = self._ae.network_timeout = TIMEOUT_SECONDS
        self._ae.connection_timeout = TIMEOUT_SECONDS / 4
        self._open: Association | None = None
        self._open_context: tuple[str, str] | None = None
        logging.getLogger("pynetdicom").addHandler(logging.NullHandler())  # messages are reported once, in our words

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None and self._open.is_established:
            self._open.release()

    def send(self, datasets: Sequence[Dataset]) -> list[Outcome]:
        return [self._store(ds) for ds in datasets]

    def _store(self, ds: Dataset) -> Outcome:
        association = self._associate(ds)
        try:
            answer = association.send_c_store(ds)
        except ValueError as error:  # no presentation context was accepted
            raise self._unsupported_class_error(ds) from error
        except RuntimeError as error:  # the association has ended in the meantime
            raise UnreachableError(f"{self.name} has closed the connection") from error
        if "Status" not in answer:
            association.abort()
            raise UnreachableError(f"{self.name} gave no answer, or closed the connection")
        status = int(answer.Status)
        words = (
            STATUS_MEANINGS.get(status)
            or STATUS_RANGE_MEANINGS.get(status >> 8)
            or ("cannot understand" if status >> 12 == 0xC else "")
        )
        comment = str(answer.get("ErrorComment", "") or "").strip()
        told = " ".join(part for part in (f"0x{status:04X}", words, comment) if part)
        return Outcome(str(ds.SOPInstanceUID), status == 0 or status >> 12 == 0xB, told, status >> 8 == 0xA7)

    def _associate(self, ds: Dataset) -> Association:
        """Return the open association, or open a new one for instances of this kind."""
        wanted = str(ds.SOPClassUID), str(ds.file_meta.TransferSyntaxUID)
        if self._open is not None and self._open.is_established and self._open_context == wanted:
            return self._open
        if self._open is not None and self._open.is_established:
            self._open.release()
        contexts = [build_context(*wanted)]
        if not ds.file_meta.TransferSyntaxUID.is_encapsulated:  # the default syntax, for archives that accept no other
            contexts.append(build_context(wanted[0], ImplicitVRLittleEndian))
        opened = self._ae.associate(
            self.host,
            self.port,
            contexts=contexts,
            ae_title=self.aet,
            evt_handlers=[(evt.EVT_CONN_OPEN, _disable_packet_delay)],
        )
        if opened.is_rejected:
            reason = opened.acceptor.primitive
            told = f"{reason.result_str}, {reason.reason_str}" if reason is not None else "no reason given"
            raise Refused(
                f"{self.name} rejects the association ({told}); check the AE title, and whether it knows ours"
                f" ({self._ae.ae_title}, --calling-aet)."
            )
        if not opened.is_established:
            if opened.rejected_contexts:
                raise self._unsupported_class_error(ds)
            raise UnreachableError(f"nobody answers at {self.host}:{self.port}")
        self._open, self._open_context = opened, wanted
        return opened

    def _unsupported_class_error(self, ds: Dataset) -> Refused:
        return Refused(
            f"{self.name} does not take {ds.SOPClassUID.name} in {ds.file_meta.TransferSyntaxUID.name}; try without"
            " --compress, or --secondary-capture."
        )


def _disable_packet_delay(event: evt.Event) -> None:
    """Send small packets without waiting for more: an instance takes 6 to 14 ms instead of 46 ms (docs/diary.md)."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
