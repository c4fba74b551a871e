"""Video files of every awkward kind, each with what should come of it."""

import dataclasses
import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Disposition
from clock_movies import audio_frame, clicks, clock_face, write_movie

from beam_jobs.media import Reason


@dataclasses.dataclass(frozen=True)
class Case:
    """A file and what should come of it: `reason`, or a clip with the other properties."""

    name: str
    write: Callable[[Path], object]
    filename: str = 'clip.mp4'
    required: tuple[str, ...] = ('video', 'audio')
    reason: Reason | None = None
    seconds: float = 2.0
    size: tuple[int, int] = (64, 96)  # of the stored frames: height, width
    status: tuple[str, ...] = ()
    num_clicks: int | None = None  # by default as many as fit; -1: the sound is something else
    shift: float = 0.0  # seconds by which the muxer moved picture and sound together
    tolerance: float = 0.041  # of the pictures' time, in seconds: one frame

    def __str__(self):
        return self.name


CASES: list[Case] = []


def case(name, filename='clip.mp4', **expected):
    """Enter a function that writes a file at the path it is given."""

    def enter(write):
        CASES.append(Case(name, write, filename, **expected))
        return write

    return enter


def movie(name, filename='clip.mp4', *, expect=None, damage=None, **settings):
    """Enter a file that is one call of `write_movie`, its bytes changed by `damage`."""

    @case(name, filename, **(expect or {}))
    def _(path):
        write_movie(path, **settings)
        if damage:
            path.write_bytes(damage(path.read_bytes()))


def content(name, data: bytes, reason):
    """Enter a file with these bytes."""
    case(name, reason=reason)(lambda path: path.write_bytes(data))


PCM = {'audio': 'pcm_s16le', 'sample_format': 's16'}
PCM_MKV = {'filename': 'clip.mkv', **PCM}
FFV1 = {'filename': 'clip.mkv', 'video': 'ffv1'}
WEBM = {'filename': 'clip.webm', 'video': 'libvpx', 'audio': 'libopus', 'rate': 48_000}
TS = {
    'filename': 'clip.ts',
    'video': 'mpeg2video',
    'time_base': Fraction(1, 25),
    'audio': 'mp2',
    'rate': 48_000,
    'sample_format': 's16',
}
# Formats without edit lists begin with the window that the audio encoder needs to get going.
AAC_SHIFT, MP2_SHIFT = {'shift': 1024 / 44_100}, {'shift': 481 / 48_000}
VIDEO_ONLY, AUDIO_ONLY = {'required': ('video',)}, {'required': ('audio',)}
PADDED = {'status': ('padded',)}
UNREADABLE, TOO_SHORT = {'reason': Reason.UNREADABLE}, {'reason': Reason.TOO_SHORT}

# Ordinary.
movie('mp4')
movie('quicktime', 'clip.mov', **PCM, rate=48_000)
movie('matroska', **FFV1, audio='flac', sample_format='s16')
movie('webm', **WEBM)
movie('avi', 'clip.avi', **PCM, rate=22_050)
movie('flash_video', 'clip.flv', video='flv', expect=AAC_SHIFT)
movie('transport_stream', **TS, expect=MP2_SHIFT)
movie('motion_jpeg', 'clip.avi', **PCM, video='mjpeg', pix_fmt='yuvj420p')
movie('b_frames', video_options={'bf': '2'})
movie(
    'b_frames_in_avi',  # whose index has decoding times only
    'clip.avi',
    **PCM,
    video_options={'bf': '2'},
    time_base=Fraction(1, 25),
    expect={'tolerance': 0.061},
)
movie('h264', video='libx264', video_options={'x264-params': 'open-gop=1:keyint=20:bframes=3'})

# Names and places.
movie('non_ascii_name', 'Ünïcödé clip 日本語 100%.mp4')
movie('name_like_a_url', 'concat:clip 00:10 %03d.mp4')
movie('wrong_extension', 'clip.avi', container='mp4')
movie('no_extension', 'clip', container='matroska')
case('missing', reason=Reason.MISSING)(lambda path: None)
case('directory', **UNREADABLE)(lambda path: path.mkdir())
case('named_pipe', **UNREADABLE)(os.mkfifo)


# Not media.
def still(extension):
    return cv2.imencode(extension, clock_face(0, 96, 64))[1].tobytes()


content('empty', b'', Reason.UNREADABLE)
content('zeros', bytes(100_000), Reason.UNREADABLE)
content('random_bytes', np.random.default_rng(0).bytes(200_000), Reason.UNREADABLE)
content('html', b'<!DOCTYPE html><html>' + b'<p>404 Not Found</p>\n' * 50, Reason.UNREADABLE)
content('text', b'Video unavailable\n' * 200, Reason.UNREADABLE)
content('playlist', b'#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:2,\nother.ts\n', Reason.UNREADABLE)
content('script', b'ffconcat version 1.0\nfile other.mp4\n', Reason.UNREADABLE)
content('png', still('.png'), Reason.TOO_SHORT)
content('jpeg', still('.jpg'), Reason.TOO_SHORT)

# One modality, or not enough of it.
movie('video_only', audio=None, expect={'reason': Reason.NO_AUDIO})
movie('video_is_enough', audio=None, expect={**VIDEO_ONLY, 'status': ('no_audio',)})
movie('audio_only', video=None, expect={'reason': Reason.NO_VIDEO})
movie(
    'audio_is_enough',
    'clip.wav',
    video=None,
    **PCM,
    expect={**AUDIO_ONLY, 'status': ('no_video',), 'size': (0, 0)},
)
movie('nothing_required', audio=None, expect={'required': (), 'status': ('no_audio',)})
movie('one_frame', frame_times=[0.0], audio=None, expect={**VIDEO_ONLY, **TOO_SHORT})
movie('fifth_of_a_second', seconds=0.2, expect=TOO_SHORT)
movie('half_a_second', seconds=0.52, expect={'seconds': 0.53})
movie('audio_shorter', spans=[(0, 1.2)], expect={**PADDED, 'num_clicks': 3})
movie('audio_longer', frame_times=[i / 25 for i in range(30)], expect={**PADDED, 'tolerance': 0.76})
movie('audio_later', **PCM_MKV, spans=[(0.7, 2)], expect={**PADDED, 'num_clicks': 3})
movie('audio_later_in_mp4', spans=[(0.7, 2)], expect={**PADDED, 'num_clicks': 3})
movie('audio_later_in_ts', **TS, spans=[(0.7, 2)], expect={**PADDED, 'num_clicks': 3})
movie(
    'video_later',
    **PCM_MKV,
    frame_times=[0.5 + i / 25 for i in range(38)],
    expect={**PADDED, 'tolerance': 0.501},
)
movie('hole_in_sound', **PCM_MKV, spans=[(0, 0.5), (1.1, 2)], expect={**PADDED, 'num_clicks': 3})
movie('small_hole_in_sound', **PCM_MKV, spans=[(0, 0.5), (0.59, 2)])
movie('tiny_hole_in_sound', **PCM_MKV, spans=[(0, 0.5), (0.512, 2)])
movie(
    'hole_in_picture',
    frame_times=[i / 25 for i in (*range(20), *range(35, 50))],
    expect={'tolerance': 0.62},
)

# Timing.
movie('variable_rate', frame_times=[round(1.96 * (i / 60) ** 2, 3) for i in range(8, 61)])
movie(
    'one_frame_per_second',
    fps=1,
    seconds=4,
    time_base=Fraction(1),
    expect={'seconds': 4, 'tolerance': 1.0},
)
movie('no_duration_in_header', **WEBM, options={'live': '1'})
movie('fragmented', options={'movflags': 'frag_keyframe+empty_moov'}, expect=AAC_SHIFT)
movie('one_key_frame', video_options={'g': '600'})

# Pictures.
movie('odd_size_444', **FFV1, size=(97, 61), pix_fmt='yuv444p', expect={'size': (64, 102)})
movie('ten_bit', **FFV1, pix_fmt='yuv420p10le')
movie(
    'ten_bit_hevc',
    video='libx265',
    pix_fmt='yuv420p10le',
    video_options={'x265-params': 'log-level=none:pools=none:frame-threads=1'},
)
movie('gray', **FFV1, pix_fmt='gray')
movie('rgb', **FFV1, pix_fmt='bgr0')
movie('sixteen_pixels', size=(16, 16), expect={'size': (64, 64)})
movie('portrait', size=(64, 96), expect={'size': (96, 64)})
movie('large', size=(480, 320))
movie('interlaced', **TS, video_options={'flags': '+ildct+ilme'}, expect=MP2_SHIFT)


def wide_pixels(video, audio):
    video.codec_context.sample_aspect_ratio = Fraction(2, 1)


def transpose(picture):
    return picture.swapaxes(0, 1)


movie('wide_pixels', set_up=wide_pixels, expect={'size': (64, 192)})
for name, matrix, stored, size in (  # of the MP4 format; the picture it turns into a clock
    ('turned_clockwise', (0, 1, -1, 0), np.rot90, (96, 64)),
    ('turned_counterclockwise', (0, -1, 1, 0), lambda clock: np.rot90(clock, -1), (96, 64)),
    ('upside_down', (-1, 0, 0, -1), lambda clock: np.rot90(clock, 2), (64, 96)),
    ('mirrored', (-1, 0, 0, 1), np.fliplr, (64, 96)),
    ('flipped', (1, 0, 0, -1), np.flipud, (64, 96)),
    ('transposed', (0, 1, 1, 0), transpose, (96, 64)),
    ('transposed_and_upside_down', (0, -1, -1, 0), lambda c: np.rot90(transpose(c), 2), (96, 64)),
):
    a, b, c, d = (value << 16 for value in matrix)
    movie(
        name,
        set_up=lambda video, audio, matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30): (
            video.set_display_matrix(matrix)
        ),
        draw=lambda seconds, *_, stored=stored, size=size: np.ascontiguousarray(
            stored(clock_face(seconds, *size[::-1]))
        ),
        expect={'size': size},
    )


# Sound.
def opposite(seconds, rate):
    return np.stack([clicks(seconds, rate), -clicks(seconds, rate)])


def silence(seconds, rate):
    return np.zeros(round(seconds * rate))


def wild(seconds, rate):
    wave = clicks(seconds, rate)
    wave[rate // 2 : rate // 2 + 200] = 4000
    wave[rate : rate + 50] = np.nan
    return wave


def film_order(data: bytes) -> bytes:
    """A QuickTime file of six channels says that they are L C R Ls Rs LFE."""
    tag = data.index(b'chan') + 8
    return data[:tag] + struct.pack('>I', 123 << 16 | 6) + data[tag + 4 :]


SILENT = {'status': ('silent',), 'num_clicks': 0}
movie('surround', layout='5.1', rate=48_000)
movie('eight_channels', layout='7.1', rate=48_000)
movie('eight_channels_in_quicktime', 'clip.mov', **PCM, layout='7.1')
movie('seven_channels_in_quicktime', 'clip.mov', **PCM, layout='6.1')
movie('eight_channels_of_floats', 'clip.mov', audio='pcm_f32le', layout='7.1')
movie('film_order', 'clip.mov', **PCM, layout='5.1', damage=film_order)
movie('sixteen_channels', **PCM_MKV, layout='hexadecagonal')
movie('eight_bit', 'clip.mkv', audio='pcm_u8', sample_format='u8', rate=8_000)
movie('native_rate', **PCM_MKV, rate=16_000)
movie('opposite_channels', **PCM_MKV, layout='stereo', sound=opposite, expect=SILENT)
movie('silence', sound=silence, expect=SILENT)
movie(
    'wild_samples',
    'clip.mkv',
    audio='pcm_f32le',
    sound=wild,
    expect={'status': ('clipped_audio',), 'num_clicks': -1},
)


# Several streams.
def write_streams(path, *kinds):
    """One stream for each of `kinds`: codec, disposition, whether it has clock or clicks."""
    with av.open(str(path), 'w') as movie:
        streams = []
        for codec, disposition, _ in kinds:
            stream = movie.add_stream(codec, rate=16_000 if codec == 'aac' else 25)
            if stream.type == 'video':
                stream.width, stream.height = 96, 64
                stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
            else:
                stream.codec_context.layout = 'mono'
            stream.disposition = disposition
            streams.append(stream)
        for stream, (codec, _, telling) in zip(streams, kinds, strict=True):
            if stream.type == 'video':
                for i in range(1 if codec == 'mjpeg' else 50):
                    picture = clock_face(i / 25, 96, 64) * telling
                    frame = av.VideoFrame.from_ndarray(picture, 'rgb24')
                    frame.pts, frame.time_base = i, Fraction(1, 25)
                    movie.mux(stream.encode(frame))
            else:
                wave = clicks(2, 16_000)[np.newaxis] * telling
                frame = audio_frame(wave, 's16', 'mono', 16_000)
                frame.pts, frame.time_base = 0, Fraction(1, 16_000)
                movie.mux(stream.encode(frame))
            movie.mux(stream.encode(None))


DEFAULT, OTHER, COVER = Disposition.default, Disposition(0), Disposition.attached_pic
COVER_ART, CLOCK, CLICKS = ('mjpeg', COVER, False), ('mpeg4', DEFAULT, True), ('aac', DEFAULT, True)
BLACK, HUSH = ('mpeg4', OTHER, False), ('aac', OTHER, False)


@case('second_streams_are_default', 'clip.mkv')
def _(path):
    write_streams(path, BLACK, CLOCK, HUSH, CLICKS)


@case('both_streams_are_default')
def _(path):
    write_streams(path, CLOCK, ('mpeg4', DEFAULT, False), CLICKS, ('aac', DEFAULT, False))


@case('song_with_cover', reason=Reason.NO_VIDEO)
def _(path):
    write_streams(path, COVER_ART, CLICKS)


@case('video_with_cover')
def _(path):
    write_streams(path, COVER_ART, CLOCK, CLICKS)


# Damage.
def cut(share):
    return lambda data: data[: int(len(data) * share)]


FAST_START = {'options': {'movflags': 'faststart'}}
PARTIAL = {'status': ('partial',)}
movie('cut_without_index', damage=cut(0.6), expect=UNREADABLE)
movie('cut_to_the_header', **FAST_START, damage=cut(0.05), expect=UNREADABLE)
movie(
    'cut_with_index',
    **FAST_START,
    damage=cut(0.6),
    expect={'seconds': 0.7, 'status': ('partial', 'damaged')},
)
movie(
    'cut_matroska', 'clip.mkv', damage=cut(0.6), expect={**PARTIAL, 'seconds': 1.0, 'num_clicks': 3}
)
movie('cut_ts', **TS, damage=cut(0.6), expect={**MP2_SHIFT, 'seconds': 1.25})
movie(
    'unknown_codec',
    video='libx264',
    damage=lambda data: data.replace(b'avc1', b'zzzz'),
    expect={'reason': Reason.NO_VIDEO},
)
