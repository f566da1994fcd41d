"""The page at `/` in headless Chromium: every widget, both languages, a phone, a key, and no external resources."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.browser import ARGUMENTS, CHROMIUM

ROOT = Path(__file__).parents[4]
PHONE: Any = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hand-made bundles of the projects, and one that cannot be served."""
    folder = bundles.make_all(tmp_path_factory.mktemp("artifacts"), bundles.ALL)
    bundles.titanic(folder / "broken" / "bundle")
    return folder


def served(settings: Settings) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        thread.join(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address(artifacts: Path) -> Iterator[str]:
    yield from served(Settings(bundles=str(artifacts)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """A user's browser. Closing it checks for unnoticed errors."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.faults: list[str] = []
        self.context: BrowserContext = browser.new_context(**{"locale": "en-US", **options})
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("console", lambda message: self._said(message.type, message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            self.faults.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.faults.append(f"asked {url}")

    def open(self, project: str) -> Page:
        self.page.goto(f"{self.address}#{project}")
        expect(self.page.locator("h2 code")).to_have_text(project)
        return self.page

    def close(self) -> None:
        self.context.close()
        assert not self.faults


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    one = Visit(browser, address)
    yield one
    one.close()


def headline(page: Page) -> Any:
    return page.locator(".answer .headline")


def choose(page: Page, field: str, level: str) -> None:
    page.get_by_role("group", name=field).get_by_role("radio", name=level, exact=True).check()


def test_the_status_page_is_linked(visit: Visit) -> None:
    page = visit.open("titanic")
    page.get_by_role("link", name="Status").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Status")
    expect(page.locator("tbody tr")).to_have_count(len(bundles.ALL) + 1)
    expect(page.get_by_role("row", name="broken").locator(".bad")).to_have_text("refused")
    page.get_by_role("link", name="mnist").click()
    expect(page.locator("h2 code")).to_have_text("mnist")


# ---------------------------------------------------------------- every widget: something done, and what it shows


def test_a_drawn_digit_is_recognised(visit: Visit) -> None:
    page = visit.open("mnist")
    expect(page.locator(".empty")).to_contain_text("Draw a digit")
    pad = page.locator("canvas.pad").bounding_box()
    assert pad
    page.mouse.move(pad["x"] + 140, pad["y"] + 60)
    page.mouse.down()
    page.mouse.move(pad["x"] + 140, pad["y"] + 220, steps=6)
    page.mouse.up()
    expect(headline(page)).to_have_text("1")
    expect(page.locator(".bars li")).to_have_count(10)
    expect(page.locator(".bars .best .name")).to_have_text("1")
    expect(page.locator(".signature")).to_contain_text("font8x8")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".empty")).to_be_visible()


def test_a_digit_is_drawn_with_the_keyboard(visit: Visit) -> None:
    page = visit.open("mnist")
    page.locator("canvas.pad").focus()
    page.keyboard.press("Space")
    for _ in range(12):
        page.keyboard.press("ArrowDown")
    expect(headline(page)).to_have_text("1")


def test_an_uploaded_picture_is_recognised(visit: Visit, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (300, 200), (10, 200, 30)).save(tmp_path / "meadow.png")
    page = visit.open("cifar10")
    expect(headline(page)).to_have_text("Red")  # the example is asked first
    page.locator("#file").set_input_files(tmp_path / "meadow.png")
    expect(headline(page)).to_have_text("Green")
    expect(page.locator(".bars li").first).to_contain_text("Green")
    shown = "canvas => [...canvas.getContext('2d').getImageData(4, 4, 1, 1).data]"
    assert page.locator("canvas.large").evaluate(shown) == [10, 200, 30, 255]
    (tmp_path / "words.png").write_text("not a picture")
    page.locator("#file").set_input_files(tmp_path / "words.png")
    expect(page.locator(".alert")).to_contain_text("open words.png as an image")


def test_influential_words_are_coloured(visit: Visit) -> None:
    page = visit.open("imdb")
    page.fill("#text", "\N{CLAPPER BOARD} A silly plot, but the cast is wonderful and good")
    expect(headline(page)).to_have_text("Positive")
    expect(page.locator("mark", has_text="wonderful")).to_have_class("second")
    expect(page.locator("mark", has_text="silly")).to_have_class("first")
    share = "mark => mark.style.getPropertyValue('--share')"
    assert float(page.locator("mark", has_text="wonderful").evaluate(share)) == 1
    assert float(page.locator("mark", has_text="cast").evaluate(share)) == 0
    expect(page.locator(".sides")).to_contain_text("wonderful+2")
    expect(page.locator(".sides")).to_contain_text("silly−1.5")
    expect(page.locator(".explained")).to_have_text(
        "\N{CLAPPER BOARD} A silly plot, but the cast is wonderful and good"
    )


def test_a_passenger_can_be_entered(visit: Visit) -> None:
    page = visit.open("titanic")
    choose(page, "Class", "3rd")
    choose(page, "Sex", "Male")
    expect(headline(page)).to_have_text("Died")
    choose(page, "Class", "1st")
    choose(page, "Sex", "Female")
    expect(headline(page)).to_have_text("Survived")
    expect(page.locator(".bars .best")).to_contain_text(re.compile(r"Survived9\d\.\d%"))
    choose(page, "Age", "unknown")
    expect(page.locator(".more pre")).not_to_contain_text('"age"')


def test_moving_a_slider_changes_the_price(visit: Visit) -> None:
    page = visit.open("house_prices")
    expect(headline(page)).to_be_visible()
    price = lambda: float(headline(page).inner_text().replace(",", ""))  # noqa: E731
    page.locator("#field-area_m2").fill("30")
    expect(page.locator(".curve figcaption")).to_have_text("Prediction by Area m2, all else equal")
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    small = price()
    slider = page.locator("[data-field=area_m2] input[type=range]")
    slider.focus()
    slider.press("PageUp")
    for _ in range(8):
        slider.press("PageUp")
    expect(page.locator("[data-field=area_m2] .told input")).not_to_have_value("30")
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    assert price() > small
    expect(page.locator(".curve circle")).to_have_count(1)


def test_an_invalid_field_shows_its_error(visit: Visit) -> None:
    page = visit.open("house_prices")
    page.locator("#field-rooms").fill("many")
    expect(page.locator("[data-field=rooms] .fault")).to_contain_text("should be a valid number")
    expect(page.locator("#field-rooms")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".alert")).to_contain_text("Invalid input")
    page.locator("#field-rooms").fill("3")
    expect(headline(page)).to_be_visible()
    expect(page.locator("[data-field=rooms] .fault")).to_be_hidden()


def test_the_forecast_fan_widens_with_volatility(visit: Visit) -> None:
    page = visit.open("stocks")
    expect(page.locator(".fan .band")).to_have_count(2)
    expect(page.locator("tbody tr")).to_have_count(3)

    def width() -> float:
        low, high = re.findall(r"[\d.]+", page.locator("tbody tr").last.locator("td").nth(2).inner_text())
        return float(high) - float(low)

    calm = width()
    page.locator("#stir").fill("3")
    expect(page.locator("output")).to_have_text("× 3")
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    assert width() > calm
    page.get_by_text("Your own prices").click()
    page.locator("#own").fill("1, 2, x")
    expect(page.get_by_text("Some values are not numbers.")).to_be_visible()
    page.locator("#own").fill("\n".join(["50"] * 253))
    expect(headline(page)).to_contain_text("between 5")


def test_generation_starts_and_stops(visit: Visit) -> None:
    page = visit.open("mini_gpt")
    page.fill("#prompt", "abc")
    page.locator("#set-temperature").fill("0")
    page.locator("#set-max_tokens").fill("5")
    page.get_by_role("button", name="Write").click()
    expect(page.locator(".paper")).to_have_text("abcdefgh")
    expect(page.locator(".answer")).to_contain_text("5 tokens")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".paper")).to_have_text("abcdefghijklm")

    cut = threading.Event()

    def slow(route: Route) -> None:  # a model that never ends
        cut.set()

    page.route("**/stream", slow)
    page.get_by_role("button", name="Write").click()
    expect(page.locator(".caret")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".caret")).to_be_hidden()
    expect(page.locator(".answer")).to_contain_text("Stopped")
    assert cut.is_set()
    page.unroute("**/stream")
    page.fill("#prompt", "ABC")
    page.get_by_role("button", name="Write").click()
    expect(page.locator(".alert")).to_contain_text("found 'A'")


# ---------------------------------------------------------------- the page around them


def test_a_text_is_translated_and_its_alignment_drawn(visit: Visit) -> None:
    page = visit.open("translation")
    expect(headline(page)).to_have_text("three dogs run")  # the example is asked first
    page.locator("#text").fill("Hunde laufen schnell")
    expect(headline(page)).to_have_text("dogs run fast")
    expect(page.locator(".alignment")).to_have_count(0)
    page.get_by_label("Show which words it looked at").check()
    expect(page.locator(".alignment th[scope=row]")).to_have_text(["dogs", "run", "fast"])
    looked = page.locator(".alignment tr").nth(2).locator("td")
    expect(looked.nth(1)).to_have_attribute("title", "run → laufen: 1")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".empty")).to_contain_text("the translation appears here")


@pytest.mark.parametrize("project", sorted(bundles.ALL))
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_every_project_fits_a_phone_in_both_languages(
    browser: Browser, address: str, project: str, locale: str
) -> None:
    visit = Visit(browser, address, locale=locale, color_scheme="dark", **PHONE)
    page = visit.open(project)
    if project in ("mnist", "mini_gpt"):
        page.locator(".examples button").first.click()
    expect(page.locator(".signature")).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    chinese = re.compile("[\u4e00-\u9fff]")
    output = (
        page.locator("h1").inner_text()
        + page.locator(".head").inner_text()
        + page.locator("summary").first.inner_text()
    )
    assert bool(chinese.search(output)) == (locale == "zh-CN")
    for button in page.locator("main button:visible, main input:visible, main textarea:visible").all():
        named = "e => e.labels?.length || e.ariaLabel || e.textContent.trim()"
        assert button.evaluate(named), button.evaluate("e => e.outerHTML")
    visit.close()


def test_switching_the_language_keeps_the_inputs(visit: Visit) -> None:
    page = visit.open("imdb")
    page.fill("#text", "bad")
    expect(headline(page)).to_have_text("Negative")
    page.get_by_role("button", name="中文").click()
    expect(headline(page)).to_have_text("负面")
    expect(page.locator("#text")).to_have_value("bad")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.reload()
    expect(page.locator("h1")).to_have_text("路线图模型")  # remembered


def test_both_languages_have_the_same_keys() -> None:
    en, zh = (
        set(
            re.findall(
                r'^  "?([\w.]+)"?:',
                (ROOT / "serving" / "playground" / "language" / f"{one}.js").read_text().split("NAMES")[0],
                re.M,
            )
        )
        for one in ("en", "zh")
    )
    assert len(en) > 50
    assert en == zh


def test_a_refused_model_shows_the_reason(visit: Visit) -> None:
    page = visit.open("broken")
    expect(page.locator(".alert")).to_contain_text("found a bundle of titanic")


def test_a_project_without_a_widget_gets_a_generic_form(browser: Browser, address: str) -> None:
    """The page knows no names: here the OpenAPI document has a new project."""
    visit = Visit(browser, address)
    fields = {
        "flavour": {"type": "string", "enum": ["sweet", "sour"]},
        "grams": {"type": "integer", "minimum": 1, "maximum": 500},
        "notes": {"type": "string"},
        "parts": {"type": "array", "items": {"type": "number"}},
    }
    example = {"flavour": "sweet", "grams": 100, "notes": "", "parts": [1, 2]}
    batch = {"type": "object", "properties": {"inputs": {"items": {"type": "object", "properties": fields}}}}
    answer = {"properties": {"outputs": {"items": {"properties": {"stars": {"type": "number"}}}}}}
    content = {"schema": batch, "examples": {"example": {"value": {"inputs": [example]}}}}
    operation = {
        "requestBody": {"content": {"application/json": content}},
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }
    label = {"name": "cakes", "version": "1", "profile": "sample", "source": "the oven"}
    seen: list[Any] = []

    def predict(route: Route) -> None:
        requested: Any = route.request.post_data_json
        seen.append(requested["inputs"][0])
        route.fulfill(json={"outputs": [{"stars": 4.5}] * len(requested["inputs"]), "model": label})

    page = visit.page
    page.route("**/models", lambda route: route.fulfill(json={"models": [{**label, "status": "ready"}]}))
    page.route(
        "**/openapi.json", lambda route: route.fulfill(json={"paths": {"/models/cakes/predict": {"post": operation}}})
    )
    page.route("**/models/cakes/predict", predict)
    visit.open("cakes")
    expect(headline(page)).to_have_text("4.5")
    choose(page, "Flavour", "Sour")
    page.locator("#field-parts").fill("[3]")
    page.locator("#field-notes").fill("<b>warm</b>")
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    assert {"flavour": "sour", "grams": 100, "notes": "<b>warm</b>", "parts": [3]} in seen
    visit.close()


def test_a_key_is_requested_and_kept_in_session_storage(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)

    def guarded(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer open-sesame":
            return route.continue_()
        problem = {"title": "Unauthorized", "status": 401, "detail": "send a key"}
        return route.fulfill(status=401, content_type="application/problem+json", json=problem)

    page = visit.page
    for path in ("**/models", "**/openapi.json", "**/predict"):
        page.route(path, guarded)
    page.goto(address)
    expect(page.locator(".alert")).to_contain_text("send a key")
    page.get_by_label("API key").fill("open-sesame")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("h2")).to_be_visible()
    expect(page.get_by_label("API key")).to_be_hidden()
    page.goto(f"{address}#titanic")
    expect(headline(page)).to_be_visible()
    assert "open-sesame" not in page.locator(".more pre").inner_text()
    assert page.evaluate("[localStorage.getItem('key'), sessionStorage.getItem('key')]") == [None, "open-sesame"]
    visit.close()


def test_an_idle_model_is_loaded_when_opened(browser: Browser, artifacts: Path) -> None:
    servers = served(Settings(bundles=str(artifacts), load="lazy"))
    visit = Visit(browser, next(servers))
    page = visit.open("titanic")
    expect(headline(page)).to_be_visible()
    visit.close()
    next(servers, None)


def test_an_unreachable_server_is_reported(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    page = visit.open("titanic")
    expect(headline(page)).to_be_visible()
    page.route("**/predict", lambda route: route.abort())
    choose(page, "Class", "2nd")
    expect(page.locator(".alert")).to_contain_text("The server does not respond")
    visit.close()


def test_files_have_a_strict_policy_and_are_revalidated(artifacts: Path) -> None:
    with TestClient(create_app(Settings(bundles=str(artifacts)))) as client:
        first = client.get("/")
        policy = first.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert client.get("/", headers={"if-none-match": first.headers["etag"]}).status_code == 304
        script = client.get("/playground/app.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert client.get("/playground/app.js", headers={"if-none-match": script.headers["etag"]}).status_code == 304
        for outside in ("/playground/../page.py", "/playground/%2e%2e/page.py", "/playground/none.js"):
            assert client.get(outside).headers["content-type"] == "application/problem+json"
    for path in filter(Path.is_file, (ROOT / "serving" / "playground").rglob("*")):
        assert "://" not in path.read_text().replace("http://www.w3.org/2000/svg", ""), path
