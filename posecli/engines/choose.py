"""Chooses the engine of a network: the requested one, or the fastest one that gives the right joints."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

from posecli.engines.backends import FORM, Backend, pick_backends
from posecli.engines.check import Verdict, verdict
from posecli.engines.devices import kind_of
from posecli.errors import PoseError, PoseWarning

T = TypeVar("T")
Makers = dict[Backend, Callable[[], T]]


def fastest(
    makers: Makers[T], compare: Callable[[T], Verdict], backend: str, device: str, key: str
) -> T | None:
    """What was asked for by name, or the fastest that is right and no slower than torch on the CPU; a warning
    says why one is not used. None where nothing on a device other than the CPU is.

    makers: make what an engine runs. compare: holds it against torch on the CPU. key: names the network and the device,
    for the verdict that is kept. Raises PoseError for what was asked for by name and can't be had.
    """
    names = [n for n in pick_backends(backend, device) if n in makers]
    if not names:
        raise PoseError(
            f"There is no {backend} file next to the weights of this network; leave out --backend."
        )
    if backend != "auto" or names == ["torch"]:
        try:
            return makers[names[0]]()
        except PoseError:
            raise
        except Exception as error:  # whatever a converter stumbles over
            raise PoseError(
                f"{backend} does not work with this network ({str(error).splitlines()[0]})."
            ) from error
    made: dict[str, T] = {}
    trusted: dict[float, Backend] = {}
    for name in names:
        found = _examined(name, device, makers[name], compare, made, key)
        if found is not None and found.trusted:
            trusted[found.milliseconds] = name
    if not trusted and kind_of(device) != "cpu":
        return None
    best: Backend = trusted[min(trusted)] if trusted else "torch"
    try:
        return made[best] if best in made else makers[best]()
    except Exception:  # it was right when it was examined
        warnings.warn(f"{best} no longer works with this network; torch is used.", PoseWarning, stacklevel=3)
        return makers["torch"]()


def _examined(
    name: Backend,
    device: str,
    make: Callable[[], T],
    compare: Callable[[T], Verdict],
    made: dict[str, T],
    key: str,
) -> Verdict | None:
    """The verdict on one engine, this machine's kept one where there is one; None if it does not take the
    network. What was made for it is in `made`."""
    examined = False
    what = name if kind_of(device) == "cpu" else f"{device} ({name})"

    def examine() -> Verdict:
        nonlocal examined
        examined = True
        made[name] = make()
        try:
            return compare(made[name])
        except Exception:  # a conversion that only works for the batch it was made with, say
            return Verdict(1e9, 0.0, 0.0, 0.0)

    try:
        found = verdict(f"{name} {FORM} {key}", examine)
    except Exception:
        warnings.warn(f"{what} does not work with this network and is not used.", PoseWarning, stacklevel=4)
        return None
    if not found.right or (examined and not found.trusted):  # that it is slower is said once
        warnings.warn(found.sentence(what), PoseWarning, stacklevel=4)
    return found
