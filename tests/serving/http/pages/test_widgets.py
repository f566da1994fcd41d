"""The playground's widgets in headless Chromium: something done, and what it shows."""

import re
import threading
from pathlib import Path

from playwright.sync_api import Route, expect

from tests.support.visits import Visit, choose, headline


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


def test_a_conversation_is_led_and_an_answer_repeated(visit: Visit) -> None:
    page = visit.open("chatbot")
    expect(page.locator("#system")).to_have_value("xyz")
    expect(page.locator(".empty")).to_contain_text("the conversation appears here")
    page.get_by_text("Sampling").click()
    page.locator("#set-temperature").fill("0")
    page.locator("#set-max_tokens").fill("3")
    page.fill("#line", "abc")
    page.locator("#line").press("Enter")
    turns = page.locator(".chat li")
    expect(turns).to_have_text(["abc", "def"])
    page.fill("#line", "g")
    page.get_by_role("button", name="Send").click()
    expect(turns).to_have_text(["abc", "def", "g", "hij"])
    expect(page.locator(".more pre")).to_contain_text('"role":"system","content":"xyz"')
    page.get_by_role("button", name="Answer again").click()
    expect(turns).to_have_text(["abc", "def", "g", "hij"])
    page.get_by_role("button", name="New conversation").click()
    expect(turns).to_have_count(0)
    page.fill("#line", "<b>")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".alert")).to_contain_text("found '<'")


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


def test_words_are_looked_up_on_the_map(visit: Visit) -> None:
    page = visit.open("word2vec")
    expect(headline(page)).to_have_text("king")  # the example is asked first: what is near to man
    expect(page.locator(".words-map text.found")).to_have_text(["king", "woman"])  # queen has no place there
    expect(page.locator(".words-map text.asked")).to_have_text("man")
    page.locator(".near button", has_text="king").click()
    expect(page.get_by_label("Word", exact=True)).to_have_value("king")
    expect(headline(page)).to_have_text("queen")
    page.get_by_role("radio", name="Analogy").check()
    for label, word in (("As this word", "man"), ("is to this one,", "king"), ("so this one is to …", "woman")):
        page.get_by_label(label).fill(word)
    expect(headline(page)).to_have_text("queen")
    page.get_by_role("radio", name="Similarity").check()
    page.get_by_label("Other word").fill("qeen")
    expect(page.locator(".alert")).to_contain_text("did you mean queen?")
    page.get_by_label("Other word").fill("woman")
    expect(headline(page)).to_have_text("0")


def test_a_policy_holds_the_pole_up_and_a_person_lets_it_fall(visit: Visit) -> None:
    page = visit.open("control")
    expect(page.locator(".bars li")).to_have_count(2)  # the first state is asked about at once
    page.get_by_role("button", name="Start").click()
    count = page.locator(".bench.play .stack > .figure")
    expect(count).to_have_text(re.compile(r"^([5-9]\d|[1-5]\d\d) steps"), timeout=30_000)
    page.get_by_role("button", name="Take over").click()
    expect(page.get_by_role("button", name="Give back")).to_have_attribute("aria-pressed", "true")
    page.keyboard.down("ArrowLeft")
    expect(count).to_have_text(re.compile(r"^It fell after \d+ steps"), timeout=30_000)
    expect(page.locator(".answer h3").first).to_have_text("The policy would choose")
