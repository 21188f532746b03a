"""A labeller's morning: what waits and why, a mask mended in Label Studio and home again; a dispute, and its end.

One story, told in order, in a real browser against a real server and the real Label Studio. Lucia reads Spanish.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator

import cv2
import httpx
import numpy as np
import pytest
from playwright.sync_api import expect
from sqlmodel import select

from labeling.records import Annotation
from labeling.studio_process import account
from segmentation.render import CLASSES, render_part
from server.blobs.local import LocalBlobs

pytestmark = [pytest.mark.browser, pytest.mark.studio, pytest.mark.timeout(900)]

SECRET = "long enough, and no secret"
SCRATCH = next(number for number, name in CLASSES.items() if name == "scratch")

SHOWN = """() => {
  const chosen = window.Htx?.annotationStore?.selected;
  const crop = chosen?.names?.get('image');
  const loaded = (one) => one.src === crop.currentImageEntity.currentSrc && one.complete && one.naturalWidth > 0;
  return chosen?.type === 'annotation' && chosen.regions.length > 0 && crop?.stageRef
    && [...document.images].some(loaded);
}"""
"""Whether Label Studio's editor shows the crop with the model's masks."""

OWN = "() => { const chosen = window.Htx.annotationStore.selected; return chosen.names && !chosen.pk; }"
"""Whether a drawing is chosen that Label Studio has not stored yet."""

PLACE = """() => {
  const place = window.Htx.annotationStore.selected.names.get('image').stageRef.container().getBoundingClientRect();
  return [place.x, place.y, place.width, place.height];
}"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory, on_pages, label_studio_data, free_port) -> Iterator[object]:
    """A server with its own Label Studio, where two people label every crop."""
    if why := on_pages.missing():
        pytest.skip(why)
    studio = {"QC_LABEL_STUDIO": "true", "QC_LABEL_STUDIO_PORT": str(free_port()), "QC_LABEL_TWICE": "1"}
    studio |= {"QC_LABEL_STUDIO_ENV": str(on_pages.ROOT / ".venv-label-studio"), "QC_SWEEP_S": "36000"}

    class Plant(on_pages.Plant):  # type: ignore[name-defined,misc]
        def environment(self) -> dict[str, str]:
            return super().environment() | studio

    home = tmp_path_factory.mktemp("morning")
    made = Plant(home, on_pages.linear_line(2, 1))
    made.was_set_up_before()
    label_studio_data(home / "var/label-studio")
    try:
        made.start()
        for role in ("machine", "engineer"):
            made.keys[role] = made.qc("key", "create", "--role", role).splitlines()[-1]
        for name, role in (("lucia", "labeller"), ("eva", "engineer")):
            made.has_an_account(name, role)
        yield made
    finally:
        made.stop()
        shutil.rmtree(home / "var", ignore_errors=True)


def wait_for(page, what: str, true: Callable[[], object], *, seconds: float = 240.0):
    """What `true` gives once it gives something."""
    until = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < until, f"waited in vain until {what}"
        page.wait_for_timeout(200)
    return found


def joins_label_studio(page, plant, studio: str, name: str) -> None:
    """By the invitation that whoever runs it sends: an account of one's own, so that it is known who drew what."""
    token = account(plant.home / "var/label-studio/account.json").token
    invited = httpx.get(f"{studio}/api/invite", headers={"Authorization": f"Token {token}"}, trust_env=False).json()
    page.goto(f"{studio}{invited['invite_url']}")
    page.locator("input[name=email]").fill(f"{name}@example.com")
    page.locator("input[name=password]").fill(SECRET)
    page.get_by_role("button", name="Create Account").click()
    page.wait_for_url(lambda address: "signup" not in address)


def sends_a_scratched_part(plant) -> tuple[dict, np.ndarray]:
    """A part that the model finds not good, and what is really on it (`H x W`, class ids)."""
    for seed in range(12):
        view = render_part(seed, views=("top",), width=640, height=480, defects=("scratch", "pit")).views[0]
        found = plant.inspects_pictures([view.pixels if view.pixels.ndim == 2 else view.pixels[..., ::-1]], ["top"])
        if found["verdict"] == "ng" and (view.mask == SCRATCH).sum() > 60:
            return found, view.mask
    raise AssertionError("the model finds nothing wrong with twelve scratched parts")


def drawn_by(plant, person: str) -> np.ndarray | None:
    """The mask that came home from Label Studio."""
    database = plant.database()
    with database.read() as session:
        row = session.exec(select(Annotation).where(Annotation.by == f"{person}@example.com")).first()
        key, deleted = (row.mask_key, row.deleted) if row else (None, False)
    database.close()
    if key is None or deleted:
        return None
    stored = LocalBlobs(plant.home / "var/blobs").get(key)
    return cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_morning(plant, browser, picture, no_barrier):
    part, truth = sends_a_scratched_part(plant)
    plant.call("POST", f"/inspections/{part['id']}/decision", json={"verdict": "ok", "reason": "dirt, wipes off"})

    # Lucia sees what waits, and why, in her language
    desk = browser.new_context(viewport={"width": 1280, "height": 800}, locale="es-ES")
    page = desk.new_page()
    page.set_default_timeout(120_000)
    page.goto(plant.address)
    page.get_by_label("Nombre").fill("lucia")
    page.locator("input[type=password]").fill(SECRET)
    page.keyboard.press("Enter")
    page.locator("nav").get_by_role("link", name="Etiquetas").click()
    row = page.get_by_role("row").filter(has_text=part["part"])
    row.get_by_text("Un operador discrepó").wait_for()
    way = row.get_by_role("link", name="Abrir en Label Studio")
    way.wait_for(timeout=240_000)
    page.wait_for_load_state("networkidle")
    picture(page, "labels-queue")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        no_barrier(page)
    address = way.get_attribute("href")
    studio = address.split("/projects/")[0]

    # she opens it in Label Studio, draws what the model left out of the scratch, and submits
    joins_label_studio(page, plant, studio, "lucia")
    page.goto(f"{plant.address}/labels")
    with desk.expect_page() as opened:
        page.get_by_role("link", name="Abrir en Label Studio").click()
    editor = opened.value
    editor.set_default_timeout(240_000)
    editor.wait_for_function(SHOWN)
    task = plant.call("GET", "/label-tasks")["items"][0]
    left, top, width, height = task["crop"]
    crop = truth[top : top + height, left : left + width]
    rows, columns = np.nonzero(crop == SCRATCH)
    along = np.argsort(rows if np.ptp(rows) > np.ptp(columns) else columns)[:: max(1, len(rows) // 24)]
    editor.keyboard.press("1")  # the first class: scratch
    x, y, wide, high = editor.evaluate(PLACE)
    points = [(x + (columns[k] + 0.5) * wide / width, y + (rows[k] + 0.5) * high / height) for k in along]
    before = editor.evaluate("window.Htx.annotationStore.selected.regions.length")
    editor.mouse.move(*points[0])
    editor.mouse.down()
    for point in points[1:]:
        editor.mouse.move(*point)
    editor.mouse.up()
    editor.wait_for_function("n => window.Htx.annotationStore.selected.regions.length > n", arg=before)
    picture(editor, "label-studio-task")
    editor.get_by_role("button", name="Submit").first.click()

    # it comes home: what she drew, beside what the model had drawn
    wait_for(page, "her drawing came home", lambda: drawn_by(plant, "lucia") is not None)
    mine = drawn_by(plant, "lucia")
    assert mine.shape == crop.shape
    assert (mine[crop == SCRATCH] == SCRATCH).mean() > 0.8, "the scratch is drawn where it is"
    assert len(np.unique(mine)) > 2, "the model's other masks are kept"
    editor.close()
    page.get_by_text("etiquetada", exact=True).click()
    page.get_by_role("row").filter(has_text=part["part"]).get_by_text("Un operador discrepó").wait_for()

    # Ben, who is asked as well, sees no defect in it, and says so in a drawing of his own
    other = browser.new_context(viewport={"width": 1280, "height": 800})
    second = other.new_page()
    second.set_default_timeout(240_000)
    joins_label_studio(second, plant, studio, "ben")
    second.goto(address)
    second.wait_for_function(SHOWN)
    second.get_by_role("button", name="Create an annotation").first.click()  # beside hers, which the link shows
    second.wait_for_function(OWN)
    second.get_by_text("Nothing here is a defect").first.click()
    second.get_by_role("button", name="Submit").first.click()
    wait_for(second, "his drawing came home", lambda: drawn_by(plant, "ben") is not None)
    assert not drawn_by(plant, "ben").any()
    other.close()

    # the disagreement is shown to her, and settled by the engineer
    page.get_by_text("Disputas", exact=True).click()
    page.get_by_role("heading", name=f"¿Qué dibujo de {part['part']} es el correcto?").wait_for()
    page.get_by_role("region", name=part["part"]).get_by_role("img").first.wait_for()
    expect(page.get_by_role("button", name=re.compile("tiene razón")), "that is not hers to say").to_have_count(0)
    office = browser.new_context(viewport={"width": 1280, "height": 800})
    engineer = office.new_page()
    engineer.set_default_timeout(120_000)
    plant.logs_in(engineer, "eva", SECRET)
    engineer.goto(f"{plant.address}/labels/disputes")
    dispute = engineer.get_by_role("region", name=part["part"])
    dispute.get_by_role("heading", name=f"Which drawing of {part['part']} is right?").wait_for()
    expect(dispute.get_by_role("listitem").filter(has_text="lucia@example.com")).to_contain_text("scratch")
    expect(dispute.get_by_role("listitem").filter(has_text="ben@example.com")).to_contain_text("nothing drawn")
    engineer.wait_for_load_state("networkidle")
    picture(engineer, "labels-dispute")
    no_barrier(engineer)
    dispute.get_by_label("Why").fill("A scratch is a scratch, also under dirt")
    dispute.get_by_role("button", name="lucia@example.com is right").click()
    engineer.get_by_text("Nobody disagrees").wait_for()
    page.get_by_text("Resueltas").wait_for()  # on her page, too
    page.get_by_text("A scratch is a scratch, also under dirt").wait_for()

    # how far labels can be trusted
    engineer.get_by_text("Quality", exact=True).click()
    engineer.get_by_text("From 1 pair of drawings of the same crop by two people").wait_for()
    told = plant.call("GET", "/labels/quality")["classes"]["scratch"]["defect_f1"]
    scratch = engineer.get_by_role("region", name="scratch")
    scratch.get_by_role("row", name=re.compile(re.escape(f"Same defects (F1) {told['value']:.2f}"))).wait_for()
    picture(engineer, "labels-quality")
    with engineer.expect_download() as download:
        engineer.get_by_role("link", name="CSV").click()
    assert "scratch,defect_f1" in download.value.path().read_text(encoding="utf-8")
    for each in (desk, office):
        each.close()
