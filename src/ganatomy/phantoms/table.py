"""Table of the phantoms by the name of their modality."""

from ganatomy.dicom.volume_class import CT, MR
from ganatomy.errors import refuse_name
from ganatomy.phantoms.head import make_brain
from ganatomy.phantoms.phantom import MammogramPhantom, Phantom, VolumePhantom
from ganatomy.phantoms.thorax import make_thorax

PHANTOMS: dict[str, Phantom] = {
    "mammogram": MammogramPhantom(),
    "chest_ct": VolumePhantom("chest_ct", make_thorax, CT),
    "brain_mri": VolumePhantom("brain_mri", make_brain, MR),
}


def get_phantom(name: str) -> Phantom:
    """Find the phantom of a modality.

    Raises:
        Refused: there is none; the message lists the available ones.
    """
    if name not in PHANTOMS:
        raise refuse_name(f"There is no phantom {name!r}", name, PHANTOMS)
    return PHANTOMS[name]
