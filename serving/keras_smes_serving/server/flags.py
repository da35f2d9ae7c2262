"""The command line of a server, with the flags of tensorflow_model_server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final


class FlagError(ValueError):
    """An invalid command line."""


@dataclass(frozen=True)
class Flags:
    """The flags of tensorflow_model_server, with its defaults.

    The last group is accepted for compatibility and has no effect: the embedded server has no profiler and no
    file-system cache to flush, and keeps its graphs unchanged. See `serving/README.md` for each flag.
    """

    port: int = 8500
    grpc_socket_path: str = ""
    grpc_max_threads: int = 0
    grpc_channel_arguments: str = ""
    ssl_config_file: str = ""
    enable_grpc_healthcheck_service: bool = False
    rest_api_port: int = 0
    rest_api_num_threads: int = 0
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    monitoring_config_file: str = ""
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: float = 0
    file_system_poll_wait_seconds: float = 1
    num_load_threads: int = 0
    num_unload_threads: int = 0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    allow_version_labels_for_unavailable_models: bool = False
    enable_batching: bool = False
    batching_parameters_file: str = ""
    enable_per_model_batching_parameters: bool = False
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 0
    saved_model_tags: str = "serve"
    enable_signature_method_name_check: bool = False
    enable_serialization_as_tensor_content: bool = False
    tensorflow_session_config_file: str = ""
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    xla_cpu_compilation_enabled: bool = False
    xla_gpu_compilation_enabled: bool = False
    help: bool = False
    # No effect.
    enable_profiler: bool = True
    flush_filesystem_caches: bool = True
    remove_unused_fields_from_bundle_metagraph: bool = True


_MAY_BE_NEGATIVE: Final = ("load_retry_interval_micros", "file_system_poll_wait_seconds")


def parse_flags(argv: Sequence[str]) -> Flags:
    """Parses a command line of `--flag=value` and, for switches, bare `--flag`.

    Raises:
        FlagError: A flag is unknown, lacks a value, has an invalid one, or conflicts with others.
    """
    defaults = {field.name: field.default for field in fields(Flags)}
    values: dict[str, Any] = {}
    for argument in argv:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in defaults:
            raise FlagError(f"Unknown argument: {argument}\n{usage()}")
        values[name] = _value(argument, name, text, bool(equals), type(defaults[name]))
    flags = Flags(**values)
    if not flags.help:
        _check_together(flags)
    return flags


def usage() -> str:
    """Lists the flags with their defaults, one per line."""
    lines = [f"  --{field.name}={_shown(field.default)}" for field in fields(Flags)]
    return "\n".join(["Known flags, with their defaults:", *lines])


def _check_together(flags: Flags) -> None:
    if not flags.model_base_path and not flags.model_config_file:
        raise FlagError(f"--model_base_path or --model_config_file must be given.\n{usage()}")
    if flags.batching_parameters_file and not flags.enable_batching:
        raise FlagError(
            "--batching_parameters_file needs --enable_batching. "
            f"Received: --batching_parameters_file={flags.batching_parameters_file}"
        )
    single = (flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism)
    if flags.tensorflow_session_parallelism and all(single):
        raise FlagError(
            "--tensorflow_session_parallelism excludes --tensorflow_intra_op_parallelism and "
            f"--tensorflow_inter_op_parallelism. Received: all three, {single} among them"
        )
    if flags.rest_api_port and flags.rest_api_port == flags.port:
        raise FlagError(f"--rest_api_port must differ from --port. Received: {flags.port} for both")


def _value(argument: str, name: str, text: str, given: bool, kind: type) -> int | str | bool:
    if kind is bool and not given:
        return True
    if not given:
        raise FlagError(f"A value must follow, as in {argument}=VALUE. Received: {argument}")
    try:
        if kind is int:
            return _number(text, name in _MAY_BE_NEGATIVE)
        return _switch(text) if kind is bool else text
    except ValueError as error:
        raise FlagError(f"{error}. Received: {argument}") from None


def _number(text: str, may_be_negative: bool) -> int:
    if not re.fullmatch("-?[0-9]+", text) or (text.startswith("-") and not may_be_negative):
        raise ValueError(f"The value must be a whole number{'' if may_be_negative else ', not negative'}")
    return int(text)


def _switch(text: str) -> bool:
    if text not in ("true", "false", "1", "0"):
        raise ValueError("The value must be true or false")
    return text in ("true", "1")


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)
