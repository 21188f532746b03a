"""8 bit looks everywhere; whatever a verdict may rest on is float32's own answer."""

import shutil
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest

from qc.dataset import open_dataset
from qc.defects import find_blobs
from qc.errors import InvalidInput
from qc.features import pooled
from segmentation import ready as readying
from segmentation.config import NETWORKS
from segmentation.first_look import CELL_PX, FirstLook, widened
from segmentation.first_look_network import FirstLookNetwork
from segmentation.looking import FILES, SCREENED
from segmentation.networks import build
from segmentation.ready import make_ready, open_ready
from segmentation.runtimes import write
from segmentation.screening import (
    FEWEST,
    HOLDS,
    LEAST_MARGIN,
    MOST_MARGIN,
    NEAR,
    SAFE,
    Errors,
    errors_on,
    highest,
    screened,
)
from segmentation.segmenter import FrameSegmenter, looking_everywhere

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters

RUNTIMES = ("openvino", SCREENED)


@pytest.fixture(scope="module")
def made(model, scratches, tmp_path_factory):
    out = tmp_path_factory.mktemp("screened") / "here"
    data = open_dataset(scratches)
    return out, make_ready(model, out, samples=data.split("val"), learnt=data.split("train"), runtimes=RUNTIMES)


@pytest.fixture(scope="module")
def eyes(model, made) -> FrameSegmenter:
    exact = open_ready(model, made[0], runtime="openvino", threads=1)
    return screened(exact, made[0], margin=LEAST_MARGIN, threads=1)


@pytest.fixture(scope="module")
def surface(drawn_metal) -> np.ndarray:
    """Six hundred by nine hundred pixels of metal with a short and a long scratch."""
    pixels = drawn_metal(600, 900)
    cv2.line(pixels, (130, 130), (150, 150), 235, 3)
    cv2.line(pixels, (500, 450), (840, 470), 235, 3)
    return pixels


def by_name(said, name):
    return next(tried for tried in said["tried"] if tried["runtime"] == name)


def test_it_is_tried_proved_and_told(model, made):
    tried = by_name(made[1], SCREENED)
    proof = tried["parity"]["screen"]
    assert tried["parity"]["verdicts_that_differ"] == tried["parity"]["mask_pixels_that_differ"] == 0
    assert proof["of_these_not_looked_at"] == 0 < proof["cells_a_verdict_may_rest_on"]
    assert tried["accepted"] == (proof["cells_near_a_verdict"] >= FEWEST and proof["margin"] <= MOST_MARGIN)
    assert tried["of_these_in_8_bit"] <= tried["cpu_seconds_per_mpx"]
    if tried["accepted"]:
        assert open_ready(model, made[0], runtime=SCREENED).runtime == SCREENED


def listed(seen, eyes):
    """The regions that are listed, doubtful ones too: a product's rules may name a score of their own."""
    blobs = find_blobs(seen, threshold=eyes.threshold, edge=eyes.edge)
    return [(b.box, b.class_id, b.counts, b.close, int(b.pixels.sum())) for b in blobs]


def test_what_a_verdict_may_rest_on_is_float32s_own(eyes, surface):
    whole, seen = replace(eyes, first_look=None).segment(surface), eyes.segment(surface)
    looked = np.repeat(np.repeat(eyes.first_look.see(surface).wanted, CELL_PX, 0), CELL_PX, 1)[:600, :900]
    assert 0 < looked.mean() < 0.5
    assert listed(seen, eyes) == listed(whole, eyes) != []
    assert np.abs(seen.log_odds.astype(np.float32) - whole.log_odds)[looked].max() < 0.05


def test_the_surest_pixel_of_a_clean_frame_is_known_nearly(eyes, drawn_metal):
    clean = drawn_metal(400, 500, seed=5)
    whole, seen = replace(eyes, first_look=None).segment(clean), eyes.segment(clean)
    assert abs(float(whole.log_odds.max()) - float(seen.log_odds.max())) < LEAST_MARGIN


def test_what_the_encoder_makes_of_each_place_is_known_everywhere(eyes, surface):
    describing = replace(eyes, keep_cells=True)
    whole, seen = replace(describing, first_look=None).segment(surface), describing.segment(surface)
    assert seen.sample is whole.sample is None
    assert seen.cells.shape == whole.cells.shape
    assert np.isfinite(seen.cells.astype(np.float32)).all()
    one, other = (
        pooled(s.cells, np.zeros(surface.shape, np.uint16), [], cell_px=s.cell_px).image for s in (whole, seen)
    )
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.98


def test_who_must_know_every_place_is_answered_in_float32_for_every_place(eyes, surface):
    whole = replace(eyes, first_look=None).segment(surface)
    assert np.array_equal(looking_everywhere(eyes).segment(surface).log_odds, whole.log_odds)


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (130, 129), (64, 700)])
def test_frames_of_any_size(eyes, size):
    frame = np.random.default_rng(7).integers(0, 256, size, np.uint8)
    whole, seen = replace(eyes, first_look=None).segment(frame), eyes.segment(frame)
    assert seen.log_odds.shape == size
    assert listed(seen, eyes) == listed(whole, eyes)


def test_several_threads_may_look_at_once(eyes, drawn_metal):
    frames = [drawn_metal(160, 200, seed=seed) for seed in range(6)]
    alone = [eyes.segment(frame).log_odds for frame in frames]
    together = [None] * len(frames)

    def look(place):
        together[place] = eyes.segment(frames[place]).log_odds

    threads = [threading.Thread(target=look, args=(place,)) for place in range(len(frames))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def off(eyes, *, by):
    """The same eyes with a screen that is wrong."""
    right = eyes.first_look.look

    def wrong(window):
        odds, *rest = right(window)
        return odds + np.float32(by), *rest

    return replace(eyes, first_look=replace(eyes.first_look, look=wrong))


def test_a_screen_that_would_lose_a_defect_is_refused(eyes, surface):
    found = errors_on(off(eyes, by=-60.0), [surface])
    assert found.lost == found.telling > 0
    assert "would not be looked at" in found.refusal
    assert errors_on(off(eyes, by=60.0), [surface]).lost == 0  # looking too often loses nothing


def test_a_frame_on_which_it_is_off_by_too_much_is_looked_at_whole(eyes, surface):
    """As on a surface that its ranges were not read from."""
    screen, asked = eyes.first_look, []
    before = screen.see(surface)
    whole = replace(eyes, first_look=None).segment(surface).log_odds
    near = np.full_like(whole, screen.resting)
    held = screen.margin / HOLDS
    wrong = replace(before, highest=np.full_like(before.highest, screen.resting + held + 0.1))
    right = replace(before, highest=np.full_like(before.highest, screen.resting + held - 0.1))
    looked = np.zeros_like(before.wanted)
    looked.flat[: FEWEST - 1] = True
    assert screen.borne_out(wrong, near, looked)  # so few tell nothing
    looked.flat[:FEWEST] = True
    assert not screen.borne_out(wrong, near, looked)
    assert screen.borne_out(right, near, looked)

    class Doubting:
        """Finds every frame otherwise than it expected."""

        def see(self, pixels):
            return screen.see(pixels)

        def borne_out(self, before, log_odds, looked):
            asked.append(looked.mean())
            return False

    seen = replace(eyes, first_look=Doubting()).segment(surface)
    assert 0 < asked[0] < 1
    assert np.array_equal(seen.log_odds, whole)


def errors(*, off_by, cells, resting=1.0):
    truth = np.full(cells, resting, np.float32)
    return Errors(truth + off_by, truth + off_by, truth, np.zeros(cells, np.bool_), resting)


def test_how_far_it_is_off_must_be_known_and_sets_the_margin():
    assert "too few" in errors(off_by=0.1, cells=FEWEST - 1).refusal
    assert not errors(off_by=0.1, cells=FEWEST).refusal
    assert errors(off_by=0.1, cells=FEWEST).margin == LEAST_MARGIN
    assert errors(off_by=0.3, cells=FEWEST).margin == pytest.approx(SAFE * 0.3)
    assert "off by 0.45" in errors(off_by=0.45, cells=FEWEST).refusal
    assert errors(off_by=NEAR, cells=FEWEST, resting=0.0).typical == pytest.approx(NEAR)


def test_what_is_looked_at_in_vain_costs_a_window_each(eyes):
    halo = -(-eyes.reach // eyes.stride) * eyes.stride
    nothing, something = np.full(1000, -9.0, np.float32), np.full(1000, -9.0, np.float32)
    something[0] = 1.0
    clean = np.ones(1000, np.bool_)
    assert Errors(nothing, nothing, nothing, clean, 1.0).work(eyes) == 0
    seen = Errors(something, something, nothing, clean, 1.0)
    assert (seen.in_vain, seen.lost) == (1, 0)
    assert seen.work(eyes) == pytest.approx(min(1.0, (3 * CELL_PX + 2 * halo) ** 2 / CELL_PX**2 / 1000))
    with pytest.raises(TypeError, match="no screen"):
        errors_on(replace(eyes, first_look=None), [])


def test_what_is_only_doubtful_is_float32s_own_too(eyes, drawn_metal):
    """Faint scratches, most of them below what comes close to the threshold."""
    frame = drawn_metal(480, 640)
    for k, grey in enumerate(range(150, 230, 10)):
        cv2.line(frame, (40 + 70 * k, 60), (60 + 70 * k, 90), grey, 2)
    whole, seen = replace(eyes, first_look=None).segment(frame), eyes.segment(frame)
    assert any(not counts for _, _, counts, _, _ in listed(whole, eyes))
    assert listed(seen, eyes) == listed(whole, eyes)


def test_a_refused_screen_does_not_serve(model, made, scratches, tmp_path, monkeypatch):
    def written(name, network, stride, folder, windows, **how):
        shutil.copytree(made[0], folder, dirs_exist_ok=True)

    opened = []

    def blind(eyes, folder, **how):
        """Right while its errors are measured, and blind when verdicts are compared."""
        opened.append(how)
        right = screened(eyes, folder, **how)
        return off(right, by=-60.0) if len(opened) > 1 else right

    monkeypatch.setattr(readying, "write", written)
    monkeypatch.setattr(readying, "screened", blind)
    said = make_ready(model, tmp_path / "out", samples=open_dataset(scratches).split("val"), runtimes=(SCREENED,))
    tried = by_name(said, SCREENED)
    assert not tried["accepted"]
    assert "differ" in tried["why"]
    with pytest.raises(InvalidInput, match="may not compute this model here"):
        open_ready(model, tmp_path / "out", runtime=SCREENED)


def test_a_model_with_a_first_look_is_spared_already():
    assert "first look" in readying._not_tried(SCREENED, [np.zeros((8, 8))], FirstLookNetwork())
    assert not readying._not_tried(SCREENED, [np.zeros((8, 8))], None)


def test_a_screen_that_is_damaged_or_gone_says_so(eyes, made, tmp_path):
    with pytest.raises(InvalidInput, match="make it ready again"):
        screened(eyes, tmp_path, margin=LEAST_MARGIN)
    (tmp_path / FILES["openvino-int8"]).write_text("<net")
    with pytest.raises(InvalidInput, match="is damaged"):
        screened(eyes, tmp_path, margin=LEAST_MARGIN)


def test_a_network_without_a_describing_encoder_is_screened_too(tmp_path, drawn_metal):
    network = build(NETWORKS["light"], 1).eval()
    write(SCREENED, network, 16, tmp_path, [cv2.cvtColor(drawn_metal(128, 128), cv2.COLOR_GRAY2RGB)], cells=True)
    light = FrameSegmenter(lambda window: None, {1: "scratch"}, reach=98, stride=16)
    seen = screened(light, tmp_path, margin=LEAST_MARGIN, threads=1).first_look.see(drawn_metal(100, 150))
    assert seen.highest.shape == (4, 5)
    assert list(seen.described) == []


def test_the_highest_of_each_cell():
    log_odds = np.full((33, 40), -5.0, np.float16)
    log_odds[32, 39], log_odds[0, 0] = 3.0, 1.0
    assert highest(log_odds).tolist() == [[1.0, -5.0], [-5.0, 3.0]]
    assert widened(highest(log_odds)).tolist() == [[3.0, 3.0], [3.0, 3.0]]
    assert FirstLook(lambda window: None).everywhere is not None
