"""Rejects features that are unknown when a row is ranked, unless leaks are allowed."""

from collections.abc import Mapping

OUTCOME = "it is an outcome of the very row"


def reject_leaks(argument: str, leaks: Mapping[str, str], allow_leaks: bool) -> None:
    """Stops if features leak what is to be predicted.

    Args:
        argument: What names the features, for the message.
        leaks: Names of the leaking features, each with the reason why it leaks.
        allow_leaks: Whether the caller takes them nonetheless, as for showing what a leak does.

    Raises:
        ValueError: If there are leaks and they are not allowed; names each, and why.
    """
    if leaks and not allow_leaks:
        reasons = "; ".join(f"{name!r}, since {reason}" for name, reason in leaks.items())
        raise ValueError(
            f"`{argument}` must be known when a row is ranked; `allow_leaks=True` takes others nonetheless. "
            f"Received: {reasons}"
        )
