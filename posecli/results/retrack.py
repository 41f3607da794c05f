"""Assigns track IDs again over a whole recording. No network runs.

Tracks are cut where they may have switched from one person to another. The pieces are then joined by time,
position, size, body proportions and colours.
"""

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

# Limits above which a track may have switched to another person between two frames.
JUMP = 1.0  # median movement of the joints, in multiples of their spread
CUT_SECONDS = 0.5  # time without a detection
GROW = 0.45  # change in the logarithm of the joints' spread
# Share of the smaller of two boxes that lies inside the other.
NEAR = 0.1  # above it, the tracker could mix up the two people
CROSSING = 0.7  # above it, the two people may be swapped afterwards
# A join costs more the more its two pieces differ. Pieces are joined only if the cost is below MAX_COST.
MAX_COST = 2.0
REACH = 1.2  # walking speed, in box heights per second
FADE_SECONDS = 3.0  # time constant with which the weight of the position decays over a gap
BUILD_WEIGHT, SIZE_WEIGHT, LOOKS_WEIGHT = 2.0, 1.5, 3.0
SURE = 0.4  # minimum confidence of joints used for body proportions
COLOUR_FRAMES = 12  # maximum number of frames per piece used for its colours
IMPOSSIBLE = 1e6
# Cost of leaving a piece out if the number of people is given. LOST is per second. It is multiplied by the
# detection confidence and by the prominence: a large person near the middle is more likely to be the
# subject than a small one at the edge. LOST_PIECE is added once per piece.
LOST, LOST_PIECE = 6.0, 0.5
EDGE = 0.5  # weight of a person at the edge of the frame; in the middle it is 1
TRUST = 0.5  # cost factor for a join that the tracker also made


@dataclass(frozen=True)
class Join:
    """Two pieces that belong to one person."""

    number: int  # number of the join, for --apart
    earlier: int  # track ID in the file of the earlier piece
    later: int  # track ID in the file of the later piece
    ended: float  # seconds, last frame of the earlier piece
    began: float  # seconds, first frame of the later piece
    person: int  # new track ID of both pieces
    cost: float


@dataclass(frozen=True)
class Piece:
    """A part of one track that shows only one person."""

    track: Track
    begins: float  # seconds
    ends: float  # seconds
    build: Array  # (B,) log of each limb length divided by the trunk length; NaN if not measured
    looks: Array | None  # (C,) colour histograms; None without the video
    prominence: float = (
        1.0  # in (0, 1]: box size divided by that of the largest piece, lower towards the edges
    )


def retrack(
    recording: Recording,
    people: int | None = None,
    source: OpenedSource | None = None,
    apart: Sequence[int] = (),
    progress: Callable[[], None] = lambda: None,
) -> tuple[Recording, list[Join], list[tuple[int, float, float]]]:
    """Assign track IDs again. Returns (recording, joins, omitted pieces as (track ID, start, end) in seconds).

    people: the number of people. Pieces that fit none of them are left out. With None, pieces that are
    similar enough are joined and none is left out.
    source: the video, to compare colours.
    apart: joins to undo, by the numbers that an earlier call gave them.
    Raises PoseError for untracked results, and for a join in `apart` that does not exist.
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
    """Median of the longer box side in pixels. For a person lying down, that is the width."""
    return float(np.median(track.boxes[:, 2:].max(axis=1)))


def _centrality(recording: Recording, track: Track) -> float:
    """1 in the middle of the frame, EDGE at its left and right edge."""
    width = recording.header["source"]["width"]
    middle = np.median(track.boxes[:, 0] + track.boxes[:, 2] / 2)
    off = min(1.0, abs(float(middle) / width - 0.5) * 2)
    return 1 - (1 - EDGE) * off


def described(recording: Recording) -> list[str]:
    """One sentence per person: when, how large and where. It helps to see why `--people` chose them."""
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
    """Cut a track where it jumps, after a long absence, and after each crossing with another person."""
    # Measure movement with the joints, not the boxes. Boxes also jump between detections.
    points, times = track.keypoints[:, :, :2], recording.times[track.rows]
    with warnings.catch_warnings():  # a person without joints moves by NaN, which is not a jump
        warnings.simplefilter("ignore", RuntimeWarning)
        spread = np.fmax(np.nanstd(points, axis=1).max(axis=1), 1.0)  # pixels
        moved = np.nanmedian(np.linalg.norm(np.diff(points, axis=0), axis=2), axis=1)
    steps = np.maximum(1, np.diff(track.rows))
    moved /= np.maximum(spread[1:], spread[:-1])
    grown = np.abs(np.diff(np.log(spread)))
    covered = np.zeros(len(track))  # overlap with other people's boxes
    for other in recording.tracks:
        if other.number != track.number:
            _, mine, theirs = np.intersect1d(track.rows, other.rows, return_indices=True)
            covered[mine] = np.maximum(covered[mine], _covered(track.boxes[mine], other.boxes[theirs]))
    # If nobody else is near, the network made the jump. The track still shows the same person.
    near = np.maximum(covered[1:], covered[:-1]) >= NEAR
    crossed = covered >= CROSSING
    cuts = near & ((moved > JUMP * steps) | (grown > GROW * steps)) | (np.diff(times) > CUT_SECONDS)
    # Cut after each crossing: from then on the track may show either person.
    cuts |= crossed[:-1] & ~crossed[1:]
    ends = [0, *(np.flatnonzero(cuts) + 1), len(track)]
    return [track.take(np.arange(a, b)) for a, b in pairwise(ends)]


def _build(track: Track, skeleton: Skeleton) -> Array:
    """Log of the median of each bone's length divided by the trunk length (B,).

    Only frames with confident joints count. NaN: fewer than three such frames.
    """
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
    """Colour histograms of the upper and lower half of the box, averaged over up to COLOUR_FRAMES frames per part."""
    wanted: dict[int, list[tuple[int, int]]] = {}
    for p, part in enumerate(parts):
        for i in np.unique(np.linspace(0, len(part) - 1, min(COLOUR_FRAMES, len(part))).astype(int)):
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
    # Use only the middle third of the width, which shows mostly the person.
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
    """Cost of joining the start of b to the end of a. A low cost means that they are likely the same person."""
    gap = b.begins - a.ends
    if gap <= 0 or a is b:
        return IMPOSSIBLE
    size = float(max(a.track.boxes[-1, 2:].max(), b.track.boxes[0, 2:].max(), 1e-6))
    distance = float(np.linalg.norm(_ahead(a, b.begins, recording) - _middle(b.track.boxes[0]))) / size
    near = float(np.exp(-gap / FADE_SECONDS))  # weight of the position
    place = near * max(0.0, distance - REACH * gap - 0.15) * 2.0 + near * min(distance, 2.0) * 0.5
    heights = [float(np.median(boxes[:, 3])) for boxes in (a.track.boxes[-15:], b.track.boxes[:15])]
    cost = place + SIZE_WEIGHT * near * abs(np.log(max(heights[0], 1) / max(heights[1], 1)))
    known = np.isfinite(a.build) & np.isfinite(b.build) if len(a.build) == len(b.build) else np.zeros(0, bool)
    if known.sum() >= 4:
        cost += BUILD_WEIGHT * float(np.abs(a.build[known] - b.build[known]).mean())
    else:
        cost += 0.5  # body proportions are unknown
    if a.looks is not None and b.looks is not None:
        alike = float(np.sqrt(a.looks * b.looks).sum())
        cost += LOOKS_WEIGHT * (1 - alike)
    # A long absence is possible, but a shorter one is more likely.
    cost = float(cost + 0.1 * np.log1p(gap))
    return TRUST * cost if a.track.number == b.track.number and gap <= CUT_SECONDS else cost


def _ahead(piece: Piece, time: float, recording: Recording) -> Array:
    """Predicted box centre (2,) at `time`, in pixels.

    Continues with the velocity of the last third of a second, for at most half a second.
    """
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
    """The cheapest set of joins. Returns ((earlier, later) pairs in time order, which pieces are used).

    It is solved as an assignment problem: each piece either gets a successor or ends a chain. If `people` is
    given, exactly that many chains start and end. A piece assigned to itself is left out, which costs more
    the more frames are lost.
    """
    count = len(pieces)
    if count == 0:
        return [], np.zeros(0, bool)
    chains = count if people is None else people
    table = np.full((count + chains, count + chains), IMPOSSIBLE)
    table[:count, :count] = costs
    if people is None:
        # Every piece is used. Ending one chain and starting another costs MAX_COST in total.
        table[:count, count:] = table[count:, :count] = MAX_COST / 2
    else:
        table[:count, count:] = table[count:, :count] = 0.0
        lost = [
            p.prominence * LOST * (p.ends - p.begins) * float(p.track.scores.mean()) + LOST_PIECE
            for p in pieces
        ]
        table[np.arange(count), np.arange(count)] = lost
    table[count:, count:] = 0.0
    from scipy.optimize import linear_sum_assignment  # imported late: scipy slows down the start of `run`

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
    """A track ID for each chain: the lowest ID of its pieces that no longer chain took, otherwise a new one."""
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
    """Share (N,) of the smaller of two boxes that lies inside the other. Boxes (N, 4): x, y, width, height."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    smaller = np.minimum(a[:, 2:].prod(axis=1), b[:, 2:].prod(axis=1))
    share: Array = shared / np.maximum(smaller, 1e-6)
    return share
