"""Sources: what a name stands for, the order of frames, and what is said of unusable ones."""

from __future__ import annotations

import random
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detkit.data.streams import natural_order
from detkit.errors import MediaError
from detkit.inference.sources import open_sources


def only(path):
    (source,) = open_sources([path])
    return source


def failure(path) -> str:
    with pytest.raises(MediaError) as caught:
        for source in open_sources([path]):
            list(source.frames())
    return str(caught.value)


@given(st.lists(st.integers(0, 10**6), unique=True), st.randoms())
def test_natural_order_sorts_numbers_by_value(numbers, shuffler: random.Random):
    names = [f"out{n}.jpg" for n in sorted(numbers)]
    shuffled = names[:]
    shuffler.shuffle(shuffled)
    assert sorted(shuffled, key=natural_order) == names


@given(st.lists(st.text()))
def test_natural_order_compares_any_names(names):
    assert sorted(names, key=natural_order) == sorted(reversed(names), key=natural_order)


def test_folder_is_one_source_in_natural_order(make_images):
    folder = make_images("frames", ["out10.png", "out2.png", "out1.PNG"])
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_bytes(b"left over")
    source = only(folder)
    assert [frame.path.name for frame in source.frames()] == ["out1.PNG", "out2.png", "out10.png"]
    assert source.announced == 3 and source.rate is None


def test_glob_is_one_source_a_match(make_images):
    folder = make_images("photos", ["b10.png", "b9.png", "a.png"])
    sources = open_sources([str(folder / "b*.png")])
    assert [source.path.name for source in sources] == ["b9.png", "b10.png"]


def test_a_name_with_brackets_that_exists_is_no_pattern(make_images):
    folder = make_images("photos [1]", ["a.png"])
    assert [frame.path.name for frame in only(folder).frames()] == ["a.png"]


def test_images_have_neither_index_nor_time(make_images):
    (frame,) = only(make_images("photos", ["a.png"]) / "a.png").frames()
    assert frame.index is None and frame.time is None
    assert frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8


def test_broken_image_in_a_folder_is_skipped_and_named(make_images):
    folder = make_images("photos", ["a.png", "b.png"])
    (folder / "a.png").write_bytes(b"")
    source = only(folder)
    assert [frame.path.name for frame in source.frames()] == ["b.png"]
    assert source.skipped == [folder / "a.png"] and "a.png" in source.warnings[0]


def test_folder_of_nothing_but_broken_images(make_images):
    folder = make_images("photos", ["a.png", "b.png"])
    for file in folder.iterdir():
        file.write_text("text")
    message = failure(folder)
    assert "No image of the folder can be decoded." in message and "2 images, 0 decoded" in message


def test_video_frames_have_index_exact_time_and_pixels(make_video):
    source = only(make_video("walk.mp4", rate=Fraction(30000, 1001)))
    frames = list(source.frames())
    assert source.rate == Fraction(30000, 1001) and source.announced == len(frames) == 12
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == [i * Fraction(1001, 30000) for i in range(12)]
    assert all(abs(frame.image.astype(int) - (10 + 5 * i)).max() <= 3 for i, frame in enumerate(frames))
    assert source.warnings == []


@pytest.mark.parametrize("name", ["a.mkv", "a.mov", "a.avi", "A.MP4"])
def test_containers(make_video, name):
    source = only(make_video(name, rate=Fraction(25, 2)))
    assert len(list(source.frames())) == 12
    assert source.rate == Fraction(25, 2) and source.announced == 12 and not source.warnings


def test_rotation_metadata_is_applied(make_video, tmp_path):
    path = make_video("phone.mp4", frames=1)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    one = 1 << 16
    quarter_clockwise = [0, one, 0, -one, 0, 0, 0, 0, 1 << 30]
    upright = next(only(path).frames()).image
    data[matrix : matrix + 36] = np.array(quarter_clockwise, ">i4").tobytes()
    path.write_bytes(bytes(data))
    turned = next(only(path).frames()).image
    assert turned.shape == (64, 48, 3)
    assert (turned == np.rot90(upright, -1)).all()


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_truncated_video_gives_what_can_be_decoded_and_says_so(make_video, name):
    path = make_video(name, frames=52, noise=True)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    source = only(path)
    count = len(list(source.frames()))
    assert 20 < count < 40
    (warning,) = source.warnings
    assert f"{name} is damaged or ends early: 52 frames announced" in warning
    assert warning.endswith(f", {count} decoded.")


def test_damage_in_the_middle_loses_single_frames(make_video):
    path = make_video("scratched.mp4", frames=52, noise=True)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(bytes(data))
    source = only(path)
    assert 40 < len(list(source.frames())) < 52
    assert "damaged" in source.warnings[0]


def test_missing_file_names_the_nearest(make_images):
    folder = make_images("photos", ["duck.png"])
    message = failure(folder / "dukc.png")
    assert "There is no such file or folder." in message
    assert f"fix: Did you mean {folder / 'duck.png'}?" in message


def test_glob_without_a_match(tmp_path):
    message = failure(f"{tmp_path}/*.jpg")
    assert "The pattern matches no file." in message and "*.jpg" in message


def test_folder_without_images(tmp_path):
    (tmp_path / "walk.mp4").write_bytes(b"")
    message = failure(tmp_path)
    assert "The folder holds no images." in message and "1 files, 1 of them videos" in message
    assert f"'{tmp_path}/*.mp4'" in message


def test_no_source_at_all():
    with pytest.raises(MediaError, match="No source was given."):
        open_sources([])


def test_file_of_another_kind(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    message = failure(tmp_path / "notes.txt")
    assert "neither an image nor a video" in message and "got: .txt" in message


@pytest.mark.parametrize("content", ["", "hello, I am text\n" * 20, "#EXTM3U\n#EXTINF:1\nother.mp4\n"])
@pytest.mark.parametrize("name", ["fake.mp4", "fake.gif", "fake.avi"])
def test_something_else_named_as_a_video(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    message = failure(tmp_path / name)
    assert "The file is not a video that can be read." in message
    assert f"got: {len(content)} bytes" in message and "fix:" in message


def test_sound_alone(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        sound.rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    message = failure(path)
    assert "The file has no video stream." in message and "got: streams: audio" in message


def test_no_frame_that_decodes(make_video):
    path = make_video("empty.mkv", frames=30, noise=True)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1fC\xb6u") + 40])
    message = failure(path)
    assert "No frame of the video can be decoded." in message
    assert "30 frames announced" in message and "0 decoded" in message


def test_real_video_that_ends_in_mid_frame(shared):
    source = only(shared / "data/video/asl_gestures/milk.mkv")
    assert len(list(source.frames())) == 51
    assert "52 frames announced (1.733 s at 30 per second), 51 decoded." in source.warnings[0]


def test_real_gif(shared):
    source = only(shared / "data/video/preview/people-detection.gif")
    assert len(list(source.frames())) == source.announced == 23
    assert source.rate == Fraction(25, 2) and not source.warnings


def test_real_video_rate_is_a_fraction(shared):
    source = only(shared / "data/video/bottle-detection.mp4")
    assert source.rate == Fraction(179, 6) and source.announced == 1189
    assert next(source.frames()).image.shape == (360, 640, 3)
