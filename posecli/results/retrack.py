"""Assigns track IDs again over a whole recording. Tracks are cut where they may have changed from one person to another,
and the pieces are joined by time, place, size, body proportions and colours. No network runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.results.edit import joined
from posecli.results.recording import Recording, Track
from posecli.results.render import matched
from posecli.skeletons import Skeleton
from posecli.sources.open import OpenedSource
from posecli.types import Array, Image

# Where a track may have changed to another person: it jumps further than its size, or is gone for a while.
JUMP = 1.0  # times the joints' spread, their median between neighbouring frames
CUT_SECONDS = 0.5
GROW = 0.45  # logarithm of the joints' spread, between neighbouring frames
NEAR = 0.1  # share of the smaller of two boxes inside the other: the people could be mixed up
CROSSING = 0.7  # the same: after the crossing, the people may be swapped
# The cost of a join rises with the difference of its two pieces; it must be below UNLIKE.
UNLIKE = 2.0
REACH = 1.2  # walking speed, in box heights per second
FADE_SECONDS = 3.0  # after this time, the place does not count
BUILD_WEIGHT, SIZE_WEIGHT, LOOKS_WEIGHT = 2.0, 1.5, 3.0
SURE = 0.4  # lowest confidence of joints used for body proportions
LOOKS = 12  # frames of a piece that are used for its colours
IMPOSSIBLE = 1e6
# Cost of leaving a piece out if the number of people is given: per second, times the detection confidence and times how
# likely the clip is about this person. A large person near the middle is more likely than a small one at the edge.
LOST, LOST_PIECE = 6.0, 0.5
EDGE = 0.5  # weight of a person at the edge; 1 is the middle
TRUST = 0.5  # factor of the cost of a join that the tracker also made


@dataclass(frozen=True)
class Join:
    """Two pieces that belong to one person."""

    number: int  # of the join, for --apart
    earlier: int  # track in the file that the earlier piece was cut from
    later: int
    ended: float  # seconds: the earlier piece's last frame
    began: float  # the later piece's first
    person: int  # the number that both have now
    cost: float


@dataclass(frozen=True)
class Piece:
    """A part of one track that is certainly one person."""

    track: Track
    begins: float
    ends: float
    build: Array  # (B,) logarithms of limb lengths over the trunk's; NaN where unsure
    looks: Array | None  # (C,) colours; None without pictures
    prominence: float = 1.0  # in (0, 1]: box height over the tallest piece's, less towards the edges


def retrack(
    recording: Recording,
    people: int | None = None,
    source: OpenedSource | None = None,
    apart: Sequence[int] = (),
    progress: Callable[[], None] = lambda: None,
) -> tuple[Recording, list[Join], list[tuple[int, float, float]]]:
    """Returns the recording with one track ID per person, the joins, and the pieces left out as (track, from, to).

    people: the number of people; pieces that fit none of them are left out. None: pieces that are similar enough are
    joined, and none is left out. source: the video, for colours. apart: joins not to make, by the numbers that an
    earlier call gave them. Raises PoseError for untracked results.
    """
    if any(t.number is None for t in recording.tracks):
        raise PoseError("This result was made with --no-tracking: run the clip again with tracking.")
    pieces = _pieces(recording, source, progress)
    costs = np.array([[_cost(a, b, recording) for b in pieces] for a in pieces]).reshape(
        len(pieces), len(pieces)
    )
    links, used = _chosen(costs, people, pieces)
    if apart:
        unwanted = [n for n in apart if not 1 <= n <= len(links)]
        if unwanted:
            raise PoseError(f"There is no join {unwanted[0]}; there are {len(links)}.")
        for number in apart:
            costs[links[number - 1]] = IMPOSSIBLE
        links, used = _chosen(costs, people, pieces)
    joins = _named(links, costs, pieces)
    kept = _chains([i for i in range(len(pieces)) if used[i]], links)
    kept.sort(key=lambda chain: -sum(len(pieces[i].track) for i in chain))
    numbers = _numbers(kept, pieces)
    tracks = [
        joined(number, *(pieces[i].track for i in chain)) for number, chain in zip(numbers, kept, strict=True)
    ]
    by_piece = {i: number for number, chain in zip(numbers, kept, strict=True) for i in chain}
    joins = [
        replace(join, person=by_piece[a]) for join, (a, _) in zip(joins, links, strict=True) if a in by_piece
    ]
    gone = [
        (piece.track.number or 0, piece.begins, piece.ends) for i, piece in enumerate(pieces) if not used[i]
    ]
    done = replace(recording, tracks=tuple(sorted(tracks, key=lambda t: t.number or 0)))
    return done, joins, gone


# ---------------------------------------------------------------- pieces


def _pieces(recording: Recording, source: OpenedSource | None, progress: Callable[[], None]) -> list[Piece]:
    cut = [part for track in recording.tracks for part in _safe_parts(recording, track)]
    colours = [None] * len(cut) if source is None else _looks(recording, cut, source, progress)
    tallest = max((_height(part) for part in cut), default=1.0) or 1.0
    pieces = []
    for part, looks in zip(cut, colours, strict=True):
        times = recording.times[part.rows]
        build = _build(part, recording.skeleton)
        share = _height(part) / tallest * _centrality(recording, part)
        pieces.append(Piece(part, float(times[0]), float(times[-1]), build, looks, share))
    return sorted(pieces, key=lambda p: p.begins)


def _height(track: Track) -> float:
    """Of the boxes, the median in pixels: people who lie are as long as wide."""
    return float(np.median(track.boxes[:, 2:].max(axis=1)))


def _centrality(recording: Recording, track: Track) -> float:
    """1 in the middle of the picture, EDGE at its left and right edge."""
    width = recording.header["source"]["width"]
    middle = np.median(track.boxes[:, 0] + track.boxes[:, 2] / 2)
    off = min(1.0, abs(float(middle) / width - 0.5) * 2)
    return 1 - (1 - EDGE) * off


def described(recording: Recording) -> list[str]:
    """A sentence about each person: when they are seen, how large and where. It says why `--people` chose them."""
    told = []
    for track in recording.tracks:
        times = recording.times[track.rows]
        off = _centrality(recording, track)
        where = "near the middle" if off > 0.8 else "at the edge" if off < 0.65 else "beside the middle"
        told.append(
            f"Person {track.number}: in {len(track)} of {len(recording.times)} frames ({times[0]:.1f} to {times[-1]:.1f} s), "
            f"{_height(track):.0f} px tall, {where}."
        )
    return told


def _safe_parts(recording: Recording, track: Track) -> list[Track]:
    """A track cut where it jumps, is gone for long, or comes out of a crossing with another person."""
    # By the joints: boxes jump where a find in between was another.
    points, times = track.keypoints[:, :, :2], recording.times[track.rows]
    with warnings.catch_warnings():  # somebody without any joint moves by NaN, which is no jump
        warnings.simplefilter("ignore", RuntimeWarning)
        spread = np.fmax(np.nanstd(points, axis=1).max(axis=1), 1.0)  # pixels
        moved = np.nanmedian(np.linalg.norm(np.diff(points, axis=0), axis=2), axis=1)
    steps = np.maximum(1, np.diff(track.rows))
    moved /= np.maximum(spread[1:], spread[:-1])
    grown = np.abs(np.diff(np.log(spread)))
    covered = np.zeros(len(track))  # by somebody else's box
    for other in recording.tracks:
        if other.number != track.number:
            _, mine, theirs = np.intersect1d(track.rows, other.rows, return_indices=True)
            covered[mine] = np.maximum(covered[mine], _covered(track.boxes[mine], other.boxes[theirs]))
    # Where nobody else is near, a jump is the network's, and the track stays one.
    near = np.maximum(covered[1:], covered[:-1]) >= NEAR
    crossed = covered >= CROSSING
    cuts = near & ((moved > JUMP * steps) | (grown > GROW * steps)) | (np.diff(times) > CUT_SECONDS)
    # Cut once a crossing is over: what comes after it may be either.
    cuts |= crossed[:-1] & ~crossed[1:]
    ends = [0, *(np.flatnonzero(cuts) + 1), len(track)]
    return [track.take(np.arange(a, b)) for a, b in pairwise(ends)]


def _build(track: Track, skeleton: Skeleton) -> Array:
    """Logarithms of each bone's length over the trunk's, medians of the frames in which its ends are sure."""
    joints = list(skeleton.joints)
    points, sure = track.keypoints[:, :, :2], track.keypoints[:, :, 2]
    needed = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    if not all(j in joints for j in needed):
        return np.zeros(0)
    ls, rs, lh, rh = (joints.index(j) for j in needed)
    trunk = np.linalg.norm((points[:, ls] + points[:, rs] - points[:, lh] - points[:, rh]) / 2, axis=1)
    good = np.minimum.reduce([sure[:, ls], sure[:, rs], sure[:, lh], sure[:, rh]]) >= SURE
    found = []
    for a, b in skeleton.edges:
        seen = good & (sure[:, a] >= SURE) & (sure[:, b] >= SURE) & (trunk > 1)
        length = np.linalg.norm(points[:, a] - points[:, b], axis=1)
        found.append(
            np.log(np.median(np.maximum(length[seen], 0.5) / trunk[seen])) if seen.sum() >= 3 else np.nan
        )
    return np.array(found)


def _looks(
    recording: Recording, parts: list[Track], source: OpenedSource, progress: Callable[[], None]
) -> list[Array | None]:
    """Colours of each part: histograms of the upper and the lower half of its box, averaged over some frames."""
    wanted: dict[int, list[tuple[int, int]]] = {}
    for p, part in enumerate(parts):
        for i in np.unique(np.linspace(0, len(part) - 1, min(LOOKS, len(part))).astype(int)):
            wanted.setdefault(int(part.rows[i]), []).append((p, int(i)))
    sums: list[list[Array]] = [[] for _ in parts]
    for row, poses in enumerate(matched(recording, source)):
        for p, i in wanted.get(row, ()):
            colours = _colours(poses.frame.image, parts[p].boxes[i])
            if colours is not None:
                sums[p].append(colours)
        progress()
    return [np.mean(found, axis=0) if found else None for found in sums]


def _colours(image: Image, box: Array) -> Array | None:
    x, y, width, height = box
    # The middle third of the width: mostly the person.
    left, right = (int(np.clip(v, 0, image.shape[1])) for v in (x + width / 3, x + 2 * width / 3))
    top, bottom = (int(np.clip(v, 0, image.shape[0])) for v in (y, y + height))
    if right - left < 3 or bottom - top < 6:
        return None
    hsv = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_BGR2HSV)
    halves = np.array_split(hsv, 2)
    histograms = [
        cv2.calcHist([half], [0, 1, 2], None, [8, 4, 4], [0, 180, 0, 256, 0, 256]).ravel() for half in halves
    ]
    return np.concatenate([h / max(h.sum(), 1) / 2 for h in histograms])


# ---------------------------------------------------------------- joins


def _cost(a: Piece, b: Piece, recording: Recording) -> float:
    """How unlike b's beginning is to be the same person as a's end."""
    gap = b.begins - a.ends
    if gap <= 0 or a is b:
        return IMPOSSIBLE
    size = float(max(a.track.boxes[-1, 2:].max(), b.track.boxes[0, 2:].max(), 1e-6))
    distance = float(np.linalg.norm(_ahead(a, b.begins, recording) - _middle(b.track.boxes[0]))) / size
    near = float(np.exp(-gap / FADE_SECONDS))  # how much the place still says
    place = near * max(0.0, distance - REACH * gap - 0.15) * 2.0 + near * min(distance, 2.0) * 0.5
    heights = [float(np.median(boxes[:, 3])) for boxes in (a.track.boxes[-15:], b.track.boxes[:15])]
    cost = place + SIZE_WEIGHT * near * abs(np.log(max(heights[0], 1) / max(heights[1], 1)))
    known = np.isfinite(a.build) & np.isfinite(b.build) if len(a.build) == len(b.build) else np.zeros(0, bool)
    if known.sum() >= 4:
        cost += BUILD_WEIGHT * float(np.abs(a.build[known] - b.build[known]).mean())
    else:
        cost += 0.5  # nothing to tell the build by
    if a.looks is not None and b.looks is not None:
        alike = float(np.sqrt(a.looks * b.looks).sum())
        cost += LOOKS_WEIGHT * (1 - alike)
    # Long absences are no crime, but a shorter one is likelier.
    cost = float(cost + 0.1 * np.log1p(gap))
    return TRUST * cost if a.track.number == b.track.number and gap <= CUT_SECONDS else cost


def _ahead(piece: Piece, time: float, recording: Recording) -> Array:
    """Where somebody would be at `time`, going on as in the last third of a second, for half a second at most."""
    times = recording.times[piece.track.rows]
    late = times >= times[-1] - 0.34
    centres = np.array([_middle(box) for box in piece.track.boxes[late]])
    last: Array = centres[-1]
    if late.sum() < 3:
        return last
    velocity = np.polyfit(times[late] - times[-1], centres, 1)[0]
    result: Array = last + velocity * min(time - times[-1], 0.5)
    return result


def _chosen(
    costs: Array, people: int | None, pieces: list[Piece]
) -> tuple[list[tuple[int, int]], npt.NDArray[np.bool_]]:
    """Which piece is followed by which, in the order of time, and which pieces are used at all: the cheapest choice.

    As an assignment: each piece has a successor, or ends a chain. people: there are so many beginnings and ends, and
    a piece that succeeds itself is left out, at the price of the frames that are lost.
    """
    count = len(pieces)
    if count == 0:
        return [], np.zeros(0, bool)
    chains = count if people is None else people
    table = np.full((count + chains, count + chains), IMPOSSIBLE)
    table[:count, :count] = costs
    if people is None:
        # Every piece is used; an end and a beginning together cost as much as two unlike pieces.
        table[:count, count:] = table[count:, :count] = UNLIKE / 2
    else:
        table[:count, count:] = table[count:, :count] = 0.0
        lost = [
            p.prominence * LOST * (p.ends - p.begins) * float(p.track.scores.mean()) + LOST_PIECE
            for p in pieces
        ]
        table[np.arange(count), np.arange(count)] = lost
    table[count:, count:] = 0.0
    from scipy.optimize import linear_sum_assignment  # `run` does not wait for scipy

    rows, columns = linear_sum_assignment(table)
    after = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if r < count}
    used = np.array([after[i] != i for i in range(count)], bool)
    links = [(a, b) for a, b in after.items() if b < count and a != b and costs[a, b] < IMPOSSIBLE]
    return sorted(links, key=lambda link: (pieces[link[1]].begins, link)), used


def _named(links: list[tuple[int, int]], costs: Array, pieces: list[Piece]) -> list[Join]:
    return [
        Join(
            n,
            pieces[a].track.number or 0,
            pieces[b].track.number or 0,
            pieces[a].ends,
            pieces[b].begins,
            0,
            round(float(costs[a, b]), 3),
        )
        for n, (a, b) in enumerate(links, 1)
    ]


def _chains(used: list[int], links: list[tuple[int, int]]) -> list[list[int]]:
    after, followed = dict(links), {b for _, b in links}
    chains = []
    for first in used:
        if first in followed:
            continue
        chain = [first]
        while chain[-1] in after:
            chain.append(after[chain[-1]])
        chains.append(chain)
    return chains


def _numbers(chains: list[list[int]], pieces: list[Piece]) -> list[int]:
    """Each chain the lowest number of its pieces that no longer chain has; else one that nobody had."""
    taken: set[int] = set()
    unused = max((p.track.number or 0 for p in pieces), default=0)
    numbers = []
    for chain in chains:  # the longest first
        free = {pieces[i].track.number or 0 for i in chain} - taken
        if not free:
            unused += 1
        numbers.append(min(free, default=unused))
        taken.add(numbers[-1])
    return numbers


def _middle(box: Array) -> Array:
    middle: Array = box[:2] + box[2:] / 2
    return middle


def _covered(a: Array, b: Array) -> Array:
    """(N,) shares of the smaller of two boxes (N, 4) x, y, width, height that lie in the other."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    smaller = np.minimum(a[:, 2:].prod(axis=1), b[:, 2:].prod(axis=1))
    share: Array = shared / np.maximum(smaller, 1e-6)
    return share
