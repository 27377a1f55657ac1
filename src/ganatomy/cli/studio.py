"""The command that opens the studio in a browser of this machine."""

from pathlib import Path
from types import ModuleType
from typing import Annotated

from tyro.conf import Positional, arg

from ganatomy.cli.app import Given, command
from ganatomy.cli.options import DryRun, Quiet
from ganatomy.errors import Refused
from ganatomy.machine import progress

EXTRA_PACKAGES = ("starlette", "uvicorn", "anyio")
Flag = Annotated[bool, arg(help_behavior_hint="")]


def import_studio() -> ModuleType:
    """Import the module that serves the studio.

    Raises:
        Refused: the packages that it needs are not installed.
    """
    try:
        from ganatomy.studio import serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA_PACKAGES:
            raise
        raise Refused(f"The studio needs {error.name}; install it with: pip install 'ganatomy[studio]'") from error
    return serve


def _find_no_place(given: Given) -> None:
    """Return None: what the studio writes, each command of its own checks."""


@command(place=_find_no_place)
def studio(
    paths: Positional[tuple[Path, ...]] = (),
    out: Path = Path("studio"),
    port: int = 0,
    host: str = "127.0.0.1",
    no_browser: Flag = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """See, steer and judge in the browser: runs, samples, stores, bundles and reports, on this machine only.

    Args:
        paths: runs, folders of runs, snapshots, bundles, stores, folders of samples, reports and reader studies, one or
            several; by default the example model, trained on phantoms only
        out: folder below which the studio writes what is asked for
        port: port to listen on; by default any that is free
        host: address to listen on; any but that of this machine shows the studio to others
        no_browser: print the address and open no browser
    """
    from ganatomy.library.example import get_example_model

    given = paths or (get_example_model(),)
    serving = import_studio()
    if dry_run:
        pages = serving.open_subject(given, out)
        return progress.say(f"{', '.join(pages.names)} would be shown at a free port of {host}.")
    import webbrowser

    serving.serve_studio(given, out, host, port, None if no_browser else webbrowser.open)
