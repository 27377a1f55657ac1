"""A command and the function of its name have the same options, with the same names and defaults."""

import inspect
from pathlib import Path

import pytest

import ganatomy
from ganatomy.cli import delivery, images, stores, training, weights

PAIRS = {
    "prepare": stores.prepare,
    "train": training.train,
    "select": training.select,
    "import_weights": weights.import_weights,
    "publish": weights.publish,
    "sample": images.sample,
    "encode": images.encode,
    "evaluate": images.evaluate,
    "export": delivery.export,
    "verify": delivery.verify,
    "write_card": weights.card,
    "write_croissant": delivery.croissant,
}
OF_COMMANDS = {
    "dry_run",
    "quiet",
    "json",
}  # a program needs no dry run and no text; `machine.progress.quiet` ends the words
ELSEWHERE = {
    ("train", "processes"): "torchrun starts the processes of a program",
    ("export", "pacs"): "ganatomy.send",
    ("export", "url"): "ganatomy.send",
    ("export", "calling_aet"): "ganatomy.send",
    ("evaluate", "reader_study"): "ganatomy.studies.reader_study.make_study",
    ("evaluate", "answers"): "ganatomy.studies.reader_study.read_answers",
    ("evaluate", "serve"): "ganatomy.studio.serve.serve_study",
}
OTHER_DEFAULTS = {("sample", "out"): "the function returns the images instead"}
NOTHING = inspect.Parameter.empty


def _plain(default):
    """A default as it can be compared: a path as text, and no facts, settings or shape as None."""
    if isinstance(default, Path):
        return str(default)
    return None if default in ((), {}) else default


def _parameters(verb):
    return {name: one.default for name, one in inspect.signature(verb).parameters.items()}


@pytest.mark.parametrize("name", PAIRS)
def test_a_function_has_the_options_of_its_command(name):
    command, function = _parameters(PAIRS[name]), _parameters(getattr(ganatomy, name))
    expected = {option for option in command if option not in OF_COMMANDS and (name, option) not in ELSEWHERE}
    assert not expected - set(function), "the function lacks options of the command"
    for option in expected:
        given, default = command[option], function[option]
        if (name, option) in OTHER_DEFAULTS:
            assert given != default
        elif default is NOTHING:
            assert given is NOTHING or given is None, f"{option} has a default in the command alone"
        elif given is not NOTHING:
            assert _plain(given) == _plain(default), option


def test_every_exception_is_one():
    for name, option in ELSEWHERE:
        assert option in _parameters(PAIRS[name])
        assert option not in _parameters(getattr(ganatomy, name))


def test_every_public_verb_with_a_command_is_compared():
    own = {"get_example_model", "open", "send"}  # have no command of their own
    verbs = {name for name in ganatomy.__all__ if name.islower()}
    assert verbs - own == set(PAIRS)
