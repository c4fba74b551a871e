"""Generated audiovisual clips: a bouncing shape that plays a note whenever it lands.

The class is (shape, timbre): the picture alone and the sound alone each tell a quarter of it,
together all of it. What the two share has one cause, the impact: its time is when the picture
flashes and the note begins, its place from left to right is the pitch, and its strength is how
high the shape bounced, how bright the flash and how loud the note is.

Shapes: T frames, H rows, W columns. Places are fractions of the picture, x to the right, y up.
"""

import colorsys
import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Callable
from fractions import Fraction
from typing import ClassVar, Protocol

import av
import numpy as np

from avmae_tf.config import SAMPLE_RATE_HZ
from avmae_tf.config.splits import EVAL, TRAIN
from avmae_tf.data.locks import holds
from avmae_tf.data.notes import PARTIALS, QUIET_END_SECONDS, draw_impacts, note, pitch_hz
from avmae_tf.storage import check_folder, exists, names_in, open_text, replaced, write_text

SHAPES = {  # signed distance from (u, v) to an outline of radius 1, negative inside
    'square': lambda u, v: np.maximum(abs(u), abs(v + 0.08)) - 0.92,
    'ring': lambda u, v: abs(np.sqrt(u * u + v * v) - 0.75) - 0.25,
    'triangle': lambda u, v: np.maximum(-v - 1.0, 0.866 * abs(u) + 0.5 * v - 0.5),
    'cross': lambda u, v: np.maximum(
        np.maximum(abs(u), abs(v)) - 1.0, np.minimum(abs(u), abs(v)) - 0.36
    ),
}
CLASSES = tuple(f'{shape}+{timbre}' for shape in SHAPES for timbre in PARTIALS)

DESIGN = 1  # raise it when `draw_clip` changes, so that folders of the old one are refused
FLOOR = 0.16  # height at which shapes land
FLASH_SECONDS = 0.15


@dataclasses.dataclass(frozen=True)
class ClipStyle:
    """What a clip looks and sounds like, whatever its class."""

    size_px: int = 64
    frames_per_second: float = 8.0
    seconds: float = 2.0
    picture_noise: float = 0.02  # standard deviation; black is 0 and white is 1
    sound_noise: float = 0.005  # standard deviation; full scale is 1
    num_distractors: int = 2  # each one a drifting speck and a faint tick
    coincide_ratio: float = 1.0  # share of the notes that belong to an impact

    design: ClassVar[int] = DESIGN
    classes: ClassVar[tuple[str, ...]] = CLASSES

    def draw(self, label: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """A clip in this style: `draw_clip`."""
        return draw_clip(label, seed, self)

    def __post_init__(self):
        within = {'size_px': (16, 1024), 'frames_per_second': (6, 60), 'seconds': (1, 600)}
        within['coincide_ratio'] = (0, 1)
        for name, value in dataclasses.asdict(self).items():
            least, most = within.get(name, (0, math.inf))
            if not least <= value <= most:
                raise ValueError(f'{name} must be in [{least}, {most}], got {value}')


def draw_clip(label: int, seed: int, style: ClipStyle = ClipStyle()) -> tuple[np.ndarray, ...]:
    """One clip of class `CLASSES[label]`; the same arguments give the same clip.

    Returns frames, uint8 [T, H, W, 3], and 16 kHz mono samples in [-1, 1], float32 [samples].
    """
    if not 0 <= label < len(CLASSES):
        raise ValueError(f'label must be in [0, {len(CLASSES)}), got {label}')
    rng = np.random.default_rng([seed, label])
    shape, timbre = CLASSES[label].split('+')
    impacts = draw_impacts(rng, style.seconds)
    latest = style.seconds - QUIET_END_SECONDS
    notes = impacts[(impacts[:, 0] >= 0.0) & (impacts[:, 0] <= latest)]
    strays = rng.uniform((0.0, 0.0, 0.35), (latest, 1.0, 1.0), notes.shape)
    is_stray = rng.uniform(size=(len(notes), 1)) >= style.coincide_ratio
    waveform = _draw_sound(timbre, np.where(is_stray, strays, notes), style, rng)
    return _draw_frames(shape, impacts, notes, style, rng), waveform


def _draw_frames(shape, impacts, flashes, style: ClipStyle, rng):
    size, radius = style.size_px, rng.uniform(0.22, 0.27)
    t = np.arange(round(style.seconds * style.frames_per_second)) / style.frames_per_second

    # The path: straight from left to right, a parabola as high as the next impact is strong.
    times, places, strengths = impacts.T
    following = np.searchsorted(times, t, 'right')
    phase = (t - times[following - 1]) / (times[following] - times[following - 1])
    bounce = 4.0 * phase * (1.0 - phase) * strengths[following]
    y = FLOOR + radius + (1.0 - 2.0 * radius - FLOOR) * bounce
    x = 0.5 + (1.0 - 2.3 * radius) * (np.interp(t, times, places) - 0.5)
    age = t[:, None] - flashes[:, 0]
    flash = np.where(age >= 0, flashes[:, 2] * np.exp(-abs(age) / FLASH_SECONDS), 0.0).max(axis=1)

    # Float32 planes, [3, H, W], one frame at a time: small enough to stay in the cache.
    columns = ((np.arange(size, dtype=np.float32) + 0.5) / size)[None, :]
    rows = 1.0 - columns.T
    hue = rng.uniform()
    paint, shine = _colour(hue, 0.6, 0.95), _colour(hue, 0.2, 1.0)
    room = _colour(rng.uniform(), 0.5, 0.22) * np.where(rows < FLOOR, 1.6, 0.7 + 0.6 * rows)
    specks = rng.uniform((0.1, 0.1, -0.1, -0.1), (0.9, 0.9, 0.1, 0.1), (style.num_distractors, 4))
    noise = style.picture_noise * rng.standard_normal((t.size, size, size), dtype=np.float32)
    frames = np.empty((t.size, size, size, 3), np.uint8)
    for i, (t_i, x_i, y_i, flash_i) in enumerate(np.stack([t, x, y, flash], axis=1).tolist()):
        squash = 1.0 - 0.2 * flash_i  # the foot stays on the floor
        across = (columns - x_i) / radius
        u, v = across * squash, ((rows - y_i) / radius + 1.0) / squash - 1.0
        glow = 0.45 * flash_i * np.exp(-0.4 * u**2) * np.exp(-0.4 * v**2)
        for x_0, y_0, dx, dy in specks.tolist():
            offset = (columns - x_0 - dx * t_i) ** 2 + (rows - y_0 - dy * t_i) ** 2
            glow += 0.3 * np.exp(-offset / 0.03**2)
        shadow = 0.6 * np.exp(-(across**2)) * np.exp(-(((rows - FLOOR) / 0.06) ** 2))
        planes = room * (1.0 - shadow) + glow * shine
        body = np.clip(0.5 - radius * size * SHAPES[shape](u, v), 0.0, 1.0)  # smooth edges
        planes += body * (paint + flash_i * (1.0 - paint) - planes) + noise[i]
        frames[i] = (planes.clip(0.0, 1.0) * 255.0 + 0.5).transpose(1, 2, 0)
    return frames


def _colour(hue, saturation, value):
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)[:, None, None]


def _draw_sound(timbre, notes, style: ClipStyle, rng):
    num_samples = round(style.seconds * SAMPLE_RATE_HZ)
    waveform = style.sound_noise * rng.standard_normal(num_samples, dtype=np.float32)
    for seconds, place, strength in notes.tolist():
        rest = waveform[round(seconds * SAMPLE_RATE_HZ) :][:SAMPLE_RATE_HZ]  # at most a second
        rest += 0.4 * strength * note(timbre, pitch_hz(place), rest.size, rng)
    for _ in range(style.num_distractors):
        rest = waveform[rng.integers(num_samples) :][:800]
        rest += rng.standard_normal(rest.size) * np.geomspace(0.03, 0.0003, rest.size)  # a tick
    return np.clip(waveform, -1.0, 1.0)


def encode_mp4(
    path: str, frames: np.ndarray, waveform: np.ndarray, *, frames_per_second: float
) -> None:
    """Writes MPEG-4 video and AAC sound; `path` appears whole or not at all."""
    with replaced(os.fspath(path)) as name, av.open(name, 'w', format='mp4') as container:
        rate = Fraction(frames_per_second).limit_denominator(1000)
        options = {'flags': '+bitexact', 'threads': '1'}
        picture = container.add_stream('mpeg4', rate, {**options, 'qmin': '2', 'qmax': '4'})
        picture.height, picture.width, picture.pix_fmt = *frames.shape[1:3], 'yuv420p'
        fast = {**options, 'aac_coder': 'fast'}  # a third of the default's time
        sound = container.add_stream('aac', SAMPLE_RATE_HZ, fast, layout='mono')
        for pixels in frames:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format='rgb24')))
        container.mux(picture.encode())
        samples = av.AudioFrame.from_ndarray(waveform[None], format='fltp', layout='mono')
        samples.pts, samples.sample_rate = 0, SAMPLE_RATE_HZ
        samples.time_base = Fraction(1, SAMPLE_RATE_HZ)
        container.mux(sound.encode(samples))
        container.mux(sound.encode())


class Style(Protocol):
    """A dataclass that draws clips: this one's, and that of `textures`."""

    design: ClassVar[int | str]  # another one when the same arguments draw another clip
    classes: ClassVar[tuple[str, ...]]

    @property
    def frames_per_second(self) -> float: ...

    def draw(self, label: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames, uint8 [T, H, W, 3], and samples of one clip of a class."""


@holds('out')
def write_clips(
    out: str | os.PathLike,
    *,
    num_train: int,
    num_eval: int,
    num_labelled: int | None = None,
    seed: int = 0,
    style: Style = ClipStyle(),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Writes clips of balanced classes and `annotations.csv` (path, label, split); returns that.

    `clips.json` comes first and says what the folder is to hold, so that an interrupted call is
    taken up where it stopped; the CSV comes last and says that everything is there. Of the clips to
    train on the first `num_labelled` have their label in it, or all.
    """
    counts = {TRAIN: num_train, EVAL: num_eval}
    if min(counts.values()) < 0 or not any(counts.values()):
        raise ValueError(f'the numbers of clips must be at least 0 and not both 0, got {counts}')
    if seed < 0:
        raise ValueError(f'seed must be at least 0, got {seed}')
    out = os.fspath(out)
    settings = {'design': style.design, 'seed': seed, 'style': dataclasses.asdict(style)}
    settings |= {f'num_{split}': count for split, count in counts.items()}
    settings['num_labelled'] = num_labelled
    _claim(out, settings)
    lines = ['path,label,split']
    for split_index, split in enumerate(counts):
        for index in range(counts[split]):
            label = index % len(style.classes)
            text = style.classes[label]
            name = f'{split}/{index:05d}-{text.replace("+", "-")}.mp4'
            if not exists(os.path.join(out, name)):
                clip_seed = (2 * seed + split_index) * 1_000_000 + index
                clip = style.draw(label, clip_seed)
                path = os.path.join(out, name)
                encode_mp4(path, *clip, frames_per_second=style.frames_per_second)
            told = split == EVAL or num_labelled is None or index < num_labelled
            lines.append(f'{name},{text if told else ""},{split}')
            progress(len(lines) - 1, sum(counts.values()))
    write_text(annotations := os.path.join(out, 'annotations.csv'), '\n'.join([*lines, '']))
    return annotations


def _claim(folder: str, settings: dict):
    """Marks `folder` as the place of these clips, or refuses one that holds anything else."""
    check_folder(folder)
    marker = os.path.join(folder, 'clips.json')
    held = _held(marker) if exists(marker) else {}
    other = [name for name in settings if held.get(name) != settings[name]]
    if not other:
        return
    if any(not name.startswith('.') for name in names_in(folder)):
        raise ValueError(
            f'{folder} is not empty and not of these clips (clips.json has not the same '
            f'{", ".join(other)}): choose another folder or delete this one'
        )
    write_text(marker, json.dumps(settings, indent=2) + '\n')


def _held(marker: str) -> dict:
    """The settings of the clips of a folder; none where the file that says so is damaged."""
    with open_text(marker) as f, contextlib.suppress(ValueError):
        held = json.load(f)
        return held if isinstance(held, dict) else {}
    return {}
