"""Dependence between the images of a batch within a network, which decides whether a batch can be divided."""

from dataclasses import dataclass

from ganatomy.nn.norm import find_group_size


@dataclass(frozen=True)
class Coupling:
    """How a network couples the images of a batch, as stated by its configuration.

    Args:
        group: largest number of images that the network compares with one another; the actual number is the largest
            divisor of the batch size up to it. 1 = images are independent, None = statistics of the whole batch.
        reason: what couples the images, as the end of a sentence; ``{role}`` stands for the network's role and
            ``{batch}`` for the batch size.
    """

    group: int | None
    reason: str = ""

    def find_split_problem(self, role: str, batch_size: int, pieces: int) -> str | None:
        """Say why a batch cannot be computed in pieces, one after another, with the same result; None if it can.

        Piece p of n has the images p, p + n, p + 2 n, ... (`training.distributed.split_batch`). Image i belongs to
        group i modulo the number of groups (`nn.norm.append_minibatch_deviation`), so a group stays in one piece if
        the number of groups is a multiple of the number of pieces.

        Args:
            role: role of the network, for the message.
            batch_size: number of images of the whole batch.
            pieces: number of pieces into which the batch would be divided.
        """
        if self.group == 1 or pieces == 1:
            return None
        if self.group is not None and batch_size // find_group_size(batch_size, self.group) % pieces == 0:
            return None
        return self.reason.format(role=role, batch=batch_size)


NO_COUPLING = Coupling(1)
BATCH_NORM_COUPLING = Coupling(None, "its batch normalisation takes the mean of all images of a batch")


def couple_groups(group: int) -> Coupling:
    """Make the coupling by a minibatch standard deviation over groups of at most `group` images."""
    return Coupling(
        group,
        "its {role} compares images of a batch of {batch} in groups; give fewer, larger batches, or"
        " --set networks.{role}.group=1",
    )
