"""Source frames to JPEGs: upright, with square pixels, at one size."""

import struct
from fractions import Fraction

import av
import cv2
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.reformatter import Interpolation, VideoReformatter

from avmae_tf.config import MediaSpec

MAX_ASPECT = 8  # longer shapes (corrupt headers, ticker strips) are squeezed to this one
ROTATIONS = {  # frame.rotation: degrees counterclockwise
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


def _even(pixels: float) -> int:
    return max(2, 2 * round(pixels / 2))


def _quarter_turn(frame: av.VideoFrame) -> int:
    """Degrees counterclockwise that put the picture upright: 0, 90, 180 or 270."""
    return round(frame.rotation / 90) * 90 % 360


def _is_mirrored(frame: av.VideoFrame) -> bool:
    """Whether the picture is to be flipped upside down before it is turned."""
    # Not frame.side_data, which would hold frames; PyAV's stub lacks the constructor.
    matrix = SideDataContainer(frame).get(Type.DISPLAYMATRIX)  # type: ignore[call-arg]
    a, b, _, c, d = struct.unpack_from('5i', matrix) if matrix else (1, 0, 0, 0, 1)
    return a * d < b * c


def stored_size(
    frame: av.VideoFrame, sample_aspect: Fraction | None, shorter_side_px: int
) -> tuple[int, int]:
    """(height, width) of the upright picture with square pixels, shorter side as asked, both even.

    Smaller pictures are enlarged, so that all records are alike.
    """
    aspect = frame.width / frame.height * float(sample_aspect or 1)  # width per height
    if _quarter_turn(frame) in (90, 270):
        aspect = 1 / aspect
    aspect = min(max(aspect, 1 / MAX_ASPECT), MAX_ASPECT)
    shorter, longer = _even(shorter_side_px), _even(shorter_side_px * max(aspect, 1 / aspect))
    return (shorter, longer) if aspect >= 1 else (longer, shorter)


class JpegEncoder:
    """JPEGs of one source frame at a time, each made once however many clips want it."""

    def __init__(self, spec: MediaSpec) -> None:
        self._reformatter = VideoReformatter()
        self._options = [cv2.IMWRITE_JPEG_QUALITY, spec.jpeg_quality]
        self._frame: av.VideoFrame | None = None
        self._jpegs: dict[tuple[int, int], bytes] = {}

    def jpeg(self, frame: av.VideoFrame, size: tuple[int, int]) -> bytes:
        """The frame at that size (height, width), upright."""
        if frame is not self._frame:
            self._frame, self._jpegs = frame, {}
        if size not in self._jpegs:
            self._jpegs[size] = self._encode(frame, size)
        return self._jpegs[size]

    def _encode(self, frame: av.VideoFrame, size: tuple[int, int]) -> bytes:
        turn = _quarter_turn(frame)
        height, width = size[::-1] if turn in (90, 270) else size
        picture = self._reformatter.reformat(
            frame, width, height, 'bgr24', interpolation=Interpolation.BILINEAR, threads=1
        ).to_ndarray()
        if _is_mirrored(frame):
            picture = cv2.flip(picture, 0)
        if turn:
            picture = cv2.rotate(picture, ROTATIONS[turn])
        encoded, jpeg = cv2.imencode('.jpg', picture, self._options)
        if not encoded:
            raise ValueError(f'no JPEG of a {width} x {height} picture')
        return jpeg.tobytes()
