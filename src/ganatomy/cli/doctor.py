"""The command that examines the installation: doctor."""

from ganatomy.cli.app import answer, command
from ganatomy.cli.options import DryRun, Json, Quiet
from ganatomy.errors import Ended
from ganatomy.machine import progress


class FaultyInstallationError(Ended):
    """A check of the installation has failed."""


@command(heard=True)
def doctor(json: Json = False, dry_run: DryRun = False, quiet: Quiet = False) -> None:
    """Examine the installation: versions, devices, known faults of libraries, and a self-test of a few seconds."""
    if dry_run:
        return progress.say("Versions and devices would be listed and a self-test made in a temporary folder.")
    from ganatomy.library.doctor import examine

    found = examine()
    for one in found:
        progress.say(f"{one.outcome:8s} {one.check:24s} {one.detail}")
    if json:
        answer([one.model_dump() for one in found])
    if failed := [one.check for one in found if one.outcome == "failed"]:
        raise FaultyInstallationError(f"{len(failed)} of {len(found)} checks have failed: {', '.join(failed)}.")
