"""The menu of angles on the page: it has every angle that --draw-angles draws."""

import json
import re

from posecli.draw.angles import triples
from posecli.metrics.angles import JOINT_ANGLES
from posecli.serve import site
from posecli.skeletons import BODY19, BODY23


def test_every_angle_that_can_be_drawn_is_in_the_menu() -> None:
    page = site.page().body.decode()
    [menu] = re.findall(r'<select id="draw_angles">(.*?)</select>', page)
    values = [value for value in re.findall(r'value="([^"]*)"', menu) if value]
    assert {name for value in values for name in value.split(",")} == set(JOINT_ANGLES)
    texts = json.loads(site.texts().body)
    assert all(key in texts for key in re.findall(r'data-text="(\w+)"', menu))


def test_the_server_says_which_joints_each_angle_takes() -> None:
    told = site.models()["angles"]
    assert tuple(told) == tuple(JOINT_ANGLES)
    for skeleton in (BODY19, BODY23):
        given = [n for n, joints in told.items() if all(f"left_{j}" in skeleton.joints for j in joints)]
        assert ("ankle" in given) == (skeleton is BODY23)
        assert len(triples(tuple(given), skeleton)) == 2 * len(given)
