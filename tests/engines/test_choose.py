"""Of several engines the fastest that is right; stand-ins are the engines' names."""

import json
import threading
import warnings

import pytest

from posecli.engines.check import Verdict, verdict
from posecli.engines.choose import fastest
from posecli.engines.load import Networks
from posecli.errors import PoseError, PoseWarning

CPU, CUDA = "cpu", "cuda"
ENGINES = ("torch", "torch-half", "openvino", "openvino-int8")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "posecli"


def chosen(figures, device=CPU, backend="auto", names=ENGINES, **broken):
    """What is chosen. figures: (how wrong, milliseconds) of each engine, where torch on the CPU takes 30; None: nothing
    may be examined. broken: an error that making an engine ends in."""

    def maker(name):
        def make():
            if name in broken:
                raise broken[name]
            return name

        return make

    def compare(name) -> Verdict:
        if figures is None:
            pytest.fail("examined again")
        wrong, milliseconds = figures[name]
        if isinstance(wrong, Exception):
            raise wrong
        return Verdict(wrong, 1.0, milliseconds, 30.0)

    return fastest({name: maker(name) for name in names}, compare, backend, device, "this network")


def test_the_fastest_is_taken_and_the_verdict_is_kept(cache) -> None:
    assert chosen({"openvino": (0.2, 14.0), "openvino-int8": (0.5, 10.0)}) == "openvino-int8"
    assert chosen(None) == "openvino-int8"
    (cache / "doctor.json").unlink()
    assert chosen({"openvino": (0.2, 14.0), "openvino-int8": (0.5, 20.0)}) == "openvino"


def test_one_that_is_wrong_is_not_used_and_it_is_told_each_time(cache) -> None:
    names = ("torch", "openvino")
    for figures in ({"openvino": (7.0, 10.0)}, None):
        with pytest.warns(
            PoseWarning, match="openvino gives other results than the CPU here and is not used"
        ):
            assert chosen(figures, names=names) == "torch"
    [kept] = json.loads((cache / "doctor.json").read_text()).values()
    assert kept["wrong"] == 7.0
    assert chosen(None, backend="openvino", names=names) == "openvino"  # who asks gets it


def test_one_that_is_slow_is_not_used_and_it_is_told_once() -> None:
    names = ("torch", "openvino")
    with pytest.warns(PoseWarning, match="slower than torch on the CPU here"):
        assert chosen({"openvino": (0.1, 50.0)}, names=names) == "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(None, names=names) == "torch"


def test_one_that_cannot_be_made_or_fails_at_work_is_not_used() -> None:
    names, error = ("torch", "openvino"), RuntimeError("no such operation\nand more")
    with pytest.warns(PoseWarning, match="openvino does not work with this network and is not used"):
        assert chosen({}, names=names, openvino=error) == "torch"
    with pytest.raises(PoseError, match=r"openvino does not work with this network \(no such operation\)"):
        chosen(None, backend="openvino", names=names, openvino=error)
    with pytest.warns(PoseWarning, match="gives other results"):
        assert chosen({"openvino": (ValueError("shapes"), 1.0)}, names=names) == "torch"


def test_one_that_cannot_be_made_any_more_gives_its_place_to_torch() -> None:
    names = ("torch", "openvino")
    assert chosen({"openvino": (0.1, 10.0)}, names=names) == "openvino"
    with pytest.warns(PoseWarning, match="no longer works with this network; torch is used"):
        assert chosen(None, names=names, openvino=RuntimeError("gone")) == "torch"


def test_a_card_is_used_in_the_faster_precision_that_is_right_or_not_at_all() -> None:
    assert chosen({"torch": (0.2, 5.0), "torch-half": (0.2, 2.0)}, CUDA) == "torch-half"
    assert chosen(None, CUDA, backend="torch") == "torch"


def test_a_card_that_gives_other_joints_is_not_used_and_it_is_said() -> None:
    with pytest.warns(PoseWarning, match=r"cuda \(torch-half\) gives other results than the CPU here"):
        assert chosen({"torch": (7.0, 1.0), "torch-half": (7.0, 1.0)}, CUDA) is None


def test_where_nothing_can_be_kept_it_is_examined_each_time(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    calls = []
    for _ in range(2):
        verdict("key", lambda: calls.append(1) or Verdict(0.0, 1.0, 1.0, 2.0))
    assert len(calls) == 2


def test_networks_that_began_to_load_are_loaded_once_and_their_errors_come_out(monkeypatch) -> None:
    threads: list[int] = []

    def load(networks: Networks) -> tuple[str, str]:
        threads.append(threading.get_ident())
        if networks.model == "bad":
            raise PoseError("no such network")
        return "estimator", "detector"

    monkeypatch.setattr(Networks, "_load", load)
    here = threading.get_ident()
    begun, waiting, bad = Networks(), Networks(), Networks(model="bad")
    begun.begin()
    assert begun.loaded == begun.loaded == waiting.loaded == ("estimator", "detector")
    assert len(threads) == 2
    assert threads[0] != here
    assert threads[1] == here
    bad.begin()
    with pytest.raises(PoseError, match="no such network"):
        assert bad.loaded
