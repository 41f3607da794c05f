"""Files for Core ML."""

from dataclasses import replace

import pytest

from posecli.engines import exported
from posecli.engines.estimator import Estimator
from posecli.engines.exported import export
from posecli.errors import PoseError
from tests.support.stand_ins import SPEC

pytestmark = pytest.mark.external


def test_a_core_ml_file_says_what_it_takes_and_gives(tiny, tmp_path) -> None:
    """It can't be run here; what it says of itself is all that can be checked."""
    pytest.importorskip("coremltools", reason="an extra of its own: pip install 'posecli[coreml]'")
    assert export(tiny, tmp_path / "tiny.mlpackage") is None
    other = Estimator(tiny.network, replace(SPEC, input_size=(128, 128)))
    with pytest.raises(PoseError, match="does not say of itself what it should"):
        exported._check_coreml(tmp_path / "tiny.mlpackage", other.spec)
