from __future__ import annotations

import re
from pathlib import Path

import pytest

from keras_smes_serving.server.flags import FlagError, Flags, parse_flags

BASE = "--model_base_path=/models/smes"


def test_defaults_are_those_of_tensorflow_model_server():
    assert parse_flags([BASE]) == Flags(port=8500, model_name="default", model_base_path="/models/smes")


def test_values_follow_an_equals_sign_and_the_last_one_counts():
    flags = parse_flags([BASE, "--port=1", "--port=9000", "--model_name=a=b", "--grpc_max_threads=16"])
    assert (flags.port, flags.model_name, flags.grpc_max_threads) == (9000, "a=b", 16)


@pytest.mark.parametrize(
    ("argument", "value"), [("--help", True), ("--help=true", True), ("--help=false", False)]
)
def test_switches_may_be_bare(argument, value):
    assert parse_flags([BASE, argument]).help is value


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--nope=1", "Unknown argument: --nope=1\nKnown flags"),
        ("--nope", "Unknown argument: --nope\n"),
        ("-port=1", "Unknown argument: -port=1\n"),
        ("port=1", "Unknown argument: port=1\n"),
        ("8500", "Unknown argument: 8500\n"),
        ("--port", "A value must follow, as in --port=VALUE. Received: --port"),
        ("--port=x", "The value must be a whole number, not negative. Received: --port=x"),
        ("--port=-1", "The value must be a whole number, not negative. Received: --port=-1"),
        ("--help=yes", "The value must be true or false. Received: --help=yes"),
    ],
)
def test_what_cannot_be_used_is_named(argument, text):
    with pytest.raises(FlagError) as caught:
        parse_flags([BASE, argument])
    assert str(caught.value).startswith(text)


def test_the_base_path_is_required():
    with pytest.raises(FlagError, match="--model_base_path or --model_config_file must be given"):
        parse_flags(["--port=1"])


def test_numbers_that_may_be_negative():
    flags = parse_flags([BASE, "--file_system_poll_wait_seconds=-1", "--load_retry_interval_micros=-1"])
    assert (flags.file_system_poll_wait_seconds, flags.load_retry_interval_micros) == (-1, -1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--batching_parameters_file=b"], "--batching_parameters_file needs --enable_batching. Received: "),
        (["--port=1", "--rest_api_port=1"], "--rest_api_port must differ from --port. Received: 1 for both"),
        (
            [f"--tensorflow_{kind}_parallelism=2" for kind in ("session", "intra_op", "inter_op")],
            "--tensorflow_session_parallelism excludes ",
        ),
    ],
)
def test_flags_that_do_not_go_together(arguments, text):
    with pytest.raises(FlagError) as caught:
        parse_flags([BASE, *arguments])
    assert str(caught.value).startswith(text)


def test_a_model_config_file_takes_the_place_of_the_base_path():
    assert parse_flags(["--model_config_file=/models/models.config"]).model_base_path == ""


def test_the_handbook_has_every_flag_with_its_default():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    documented = {}
    for names, default in re.findall(r"^\| (`--.+?) \| (.*?)\|", text, re.MULTILINE):
        documented |= dict.fromkeys(re.findall(r"--(\w+)", names), default.strip(" `"))
    flags = vars(Flags())
    for name, default in documented.items():
        expected = str(flags[name]).lower() if isinstance(flags[name], bool) else str(flags[name])
        assert {"4 for each core": "0"}.get(default, default) == expected, name
    elsewhere = {"help", "tensorflow_intra_op_parallelism", "tensorflow_inter_op_parallelism"}
    assert all(f"`--{name}`" in text for name in set(flags) - set(documented) - elsewhere)
