"""Reviews of captions: the table, the decisions over HTTP, and that no kill loses one."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from showtell.captioning.captioner import Captioner
from showtell.config import ServingConfig
from showtell.data.annotations import load_annotations
from showtell.errors import AnnotationError, ImageError, UsageError
from showtell.serving import create_app
from showtell.serving.review import Review, review_folder
from tests.conftest import make_snippets

Open = Callable[..., TestClient]
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_snippets(tmp_path / "photos", 3)
    (tmp_path / "photos" / "sub").mkdir()
    (tmp_path / "photos" / "0002.jpg").rename(tmp_path / "photos" / "sub" / "two, é.jpg")
    return tmp_path / "photos"


@pytest.fixture
def opened(captioner: Captioner) -> Open:  # type: ignore[misc]
    with ExitStack() as stack:

        def call(
            review: Review, *, proposes: bool = False, token: str | None = None, **limits: int
        ) -> TestClient:
            app = create_app(
                captioner, "tiny", ServingConfig(**limits), token=token, review=review, hosts=("testserver",)
            )
            client = TestClient(app)
            return stack.enter_context(client) if proposes else client  # entering starts the decoders

        yield call


def put(client: TestClient, number: int, caption: str | None) -> dict[str, object]:
    response = client.put(f"/v1/review/{number}", json={"caption": caption})
    assert response.status_code == 200, response.text
    return response.json()  # type: ignore[no-any-return]


def table(folder: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO((folder / "captions.csv").read_text(encoding="utf-8"))))


def names(review: Review) -> list[str]:
    return [item.name for item in review.items]


# ---- Decisions and their files


def test_decisions_are_saved_at_once_and_read_as_a_dataset(folder: Path) -> None:
    review = review_folder(folder)
    assert names(review) == ["0000.jpg", "0001.jpg", "sub/two, é.jpg"]
    review.decide(0, 'a "red" dog, wet')
    review.skip(1)
    review.decide(2, "ein Hund")
    assert table(folder)[1:] == [["0000.jpg", 'a "red" dog, wet'], ["sub/two, é.jpg", "ein Hund"]]
    images = load_annotations(folder).images
    assert [(image.path.name, image.captions) for image in images] == [
        ("0000.jpg", ('a "red" dog, wet',)),
        ("two, é.jpg", ("ein Hund",)),
    ]
    again = review_folder(folder)
    assert (again.items, again.decided_before) == ([], 3)


@pytest.mark.parametrize("order", [("a", None), (None, "a"), ("a", "b"), ("a", None, "b"), (None, None)])
def test_the_last_decision_counts(folder: Path, order: tuple[str | None, ...]) -> None:
    review = review_folder(folder)
    for caption in order:
        review.skip(0) if caption is None else review.decide(0, caption)
    saved = table(folder)[1:] if (folder / "captions.csv").exists() else []
    assert saved == ([["0000.jpg", order[-1]]] if order[-1] else [])
    assert names(review_folder(folder)) == ["0001.jpg", "sub/two, é.jpg"]
    review.undo(0)
    assert names(review_folder(folder))[0] == "0000.jpg"
    assert review.counts() == (0, 0)


@pytest.mark.parametrize(
    "before",
    [
        "image,caption\n0001.jpg,mine\n",
        "\ufefffile_name;split;text\n0001.jpg;val;mine\n",
        "caption,image,note\nmine,./0001.jpg,x\nalso mine,./0001.jpg,y\n",
    ],
)
def test_rows_that_were_there_stay_as_they_are(folder: Path, before: str) -> None:
    (folder / "captions.csv").write_text(before, encoding="utf-8")
    review = review_folder(folder)
    assert names(review) == ["0000.jpg", "sub/two, é.jpg"]
    review.decide(0, "new; one, two")
    after = (folder / "captions.csv").read_text(encoding="utf-8")
    assert after.splitlines()[:-1] == before.removeprefix("\ufeff").splitlines()
    captions = {image.path.name: image.captions for image in load_annotations(folder).images}
    assert captions["0000.jpg"] == ("new; one, two",)
    assert captions["0001.jpg"][0] == "mine"


def test_what_is_written_meanwhile_is_kept(folder: Path) -> None:
    review = review_folder(folder)
    review.decide(0, "a dog")
    with (folder / "captions.csv").open("a", encoding="utf-8") as file:
        file.write("sub/two, é.jpg,broken\n")
    with pytest.raises(AnnotationError, match=r"captions\.csv: line 3: 3 fields, not 2; correct the row"):
        review.decide(1, "a cat")
    assert (folder / "captions.csv").read_text(encoding="utf-8").endswith("broken\n")


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.none() | st.text("ab\"',;=é ", min_size=1, max_size=9))))
def test_any_order_of_decisions_leaves_what_was_decided(
    tmp_path_factory: pytest.TempPathFactory, decisions: list[tuple[int, str | None]]
) -> None:
    folder = tmp_path_factory.mktemp("photos")
    make_snippets(folder, 3)
    review, expected = review_folder(folder), {}
    for number, caption in decisions:
        if caption is None or not caption.strip():
            review.skip(number)
            expected.pop(names(review)[number], None)
        else:
            review.decide(number, caption)
            expected[names(review)[number]] = caption
    assert dict(table(folder)[1:] if (folder / "captions.csv").exists() else []) == expected
    decided = {names(review)[number] for number, _ in decisions}
    assert set(names(review_folder(folder))) == set(names(review)) - decided


_DECIDE = """
import sys
from pathlib import Path
from showtell.serving.review.session import review_folder
review = review_folder(Path(sys.argv[1]))
for number in range(len(review.items)):
    review.decide(number, f"caption {number}")
    print(number, flush=True)
"""


def test_a_kill_loses_no_decision(tmp_path: Path) -> None:
    make_snippets(tmp_path, 1)
    image = (tmp_path / "0000.jpg").read_bytes()
    for number in range(60):
        (tmp_path / f"{number:04}.jpg").write_bytes(image)
    answered = -1
    for count in (3, 7, 11):
        command = [sys.executable, "-c", _DECIDE, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(count):
                process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)  # anywhere in the next decision, or the one after
            answered += count + len(process.stdout.read().splitlines())
        rows = dict(table(tmp_path)[1:])
        assert {f"{number:04}.jpg" for number in range(answered + 1)} <= set(rows)
        assert len(load_annotations(tmp_path).images) == len(rows)
        answered = len(rows) - 1  # one more may have been saved than was answered
    review_folder(tmp_path).skip(0)  # the next write deletes what killed ones have left
    others = {path.name for path in tmp_path.iterdir() if path.suffix != ".jpg"}
    assert others == {"captions.csv", "captions.skipped.csv"}


def test_two_reviews_do_not_write_one_file(folder: Path) -> None:
    with (
        review_folder(folder).alone(),
        pytest.raises(UsageError, match="another review"),
        review_folder(folder).alone(),
    ):
        pass
    with review_folder(folder).alone():
        pass


# ---- Only the photos of the folder


def test_links_out_of_the_folder_are_left_alone(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    Image.new("RGB", (8, 8)).save(secret)
    (folder / "link.jpg").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path / "others", target_is_directory=True)
    make_snippets(tmp_path / "others", 1)
    (folder / "inside.jpg").symlink_to(folder / "0000.jpg")
    os.mkfifo(folder / "pipe.jpg")
    assert names(review_folder(folder)) == ["0000.jpg", "0001.jpg", "inside.jpg", "sub/two, é.jpg"]


def test_a_photo_that_becomes_a_link_is_not_read(folder: Path, tmp_path: Path) -> None:
    review = review_folder(folder)
    (tmp_path / "secret").write_text("secret")
    (folder / "0000.jpg").unlink()
    (folder / "0000.jpg").symlink_to(tmp_path / "secret")
    with pytest.raises(ImageError, match="leads out of the folder"):
        review.read(0, 1000)
    (folder / "0001.jpg").unlink()
    with pytest.raises(ImageError, match="No such file"):
        review.read(1, 1000)
    with pytest.raises(ImageError, match="larger than 10 bytes"):
        review.read(2, 10)


@pytest.mark.parametrize(
    ("output", "complaint"),
    [("captions.txt", "name a .csv file"), ("sub", "name a .csv file"), ("captions", "name a .csv file")],
)
def test_the_output_is_a_table(folder: Path, output: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        review_folder(folder, folder / output)


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image files"):
        review_folder(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        review_folder(tmp_path / "none")


@pytest.mark.parametrize("output", [None, "mine.csv", "../labels/holiday.csv"])
def test_it_says_the_command_that_trains(folder: Path, output: str | None) -> None:
    review = review_folder(folder, folder / output if output else None)
    review.decide(2, "a dog")
    words = review.then.split()
    root = Path(words[words.index("--data.root") + 1])
    images = Path(words[words.index("--data.images") + 1]) if "--data.images" in words else None
    assert load_annotations(root, images=images).images[0].path.name == "two, é.jpg"


# ---- Over HTTP


def test_a_photo_is_shown_proposed_and_decided(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder), proposes=True)
    state = client.get("/v1/review").json()
    assert (state["total"], state["saved"], state["next"]) == (3, 0, 0)
    photo = client.get("/v1/review/2").json()
    assert photo["name"] == "sub/two, é.jpg"
    assert photo["error"] is None
    assert len(photo["proposals"]) == 3
    shown = client.get("/v1/review/2/photo")
    assert shown.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(shown.content)).size == (80, 80)
    assert put(client, 0, "  a\ndog ")["next"] == 1
    assert put(client, 1, None)["next"] == 2
    assert table(folder)[1:] == [["0000.jpg", "a dog"]]
    assert client.get("/v1/review/0").json()["caption"] == "a dog"
    assert put(client, 2, "a cat")["next"] is None
    state = client.delete("/v1/review/0").json()
    assert (state["saved"], state["skipped"], state["next"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"caption": ""}', 422),
        (b'{"caption": "..."}', 422),
        (b'{"caption": 3}', 422),
        (b"{}", 422),
        (b'{"caption": "a", "image": "/etc/passwd"}', 422),
        (b"no json", 422),
        (b'{"caption": "\\ud800 a"}', 422),
        (json.dumps({"caption": "a" * 2001}).encode(), 422),
        (json.dumps({"caption": "a" * 100_000}).encode(), 413),
    ],
)
def test_what_is_no_caption_is_refused(opened: Open, folder: Path, body: bytes, status: int) -> None:
    response = opened(review_folder(folder)).put("/v1/review/0", content=body, headers=JSON)
    assert response.status_code == status
    assert isinstance(response.json()["detail"], str)
    assert not (folder / "captions.csv").exists()


@pytest.mark.parametrize("number", ["3", "99999999999999999999", "-1", "..%2f..%2fetc%2fpasswd", "0.5"])
@pytest.mark.parametrize("what", ["", "/photo"])
def test_only_numbers_of_the_review_name_photos(opened: Open, folder: Path, number: str, what: str) -> None:
    client = opened(review_folder(folder))
    assert client.get(f"/v1/review/{number}{what}").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
    ],
)
def test_other_sites_decide_nothing(opened: Open, folder: Path, method: str, headers: dict[str, str]) -> None:
    client = opened(review_folder(folder))
    response = client.request(method, "/v1/review/0", content=b'{"caption": "x"}', headers=JSON | headers)
    assert response.status_code == 403
    assert not (folder / "captions.csv").exists()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:9", 200),
        ("testserver", 200),
        ("evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("[evil", 403),
    ],
)
def test_names_that_others_point_here_see_no_photos(
    opened: Open, folder: Path, host: str, status: int
) -> None:
    client = opened(review_folder(folder))
    assert client.get("/v1/review/0/photo", headers={"Host": host}).status_code == status


def test_a_token_is_asked_for(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder), token="secret")
    for path in ("/v1/review", "/v1/review/0", "/v1/review/0/photo"):
        assert client.get(path).status_code == 401
    assert client.put("/v1/review/0", json={"caption": "a dog"}).status_code == 401
    headers = {"Authorization": "Bearer secret", "Host": "captions.example"}
    assert client.get("/v1/review/0/photo", headers=headers).status_code == 200


def test_a_photo_that_cannot_be_decoded_can_be_skipped_or_captioned(opened: Open, folder: Path) -> None:
    (folder / "0000.jpg").write_bytes(b"no photo")
    client = opened(review_folder(folder), proposes=True)
    photo = client.get("/v1/review/0").json()
    assert photo["proposals"] == []
    assert "not an image of a known format" in photo["error"]
    assert client.get("/v1/review/0/photo").status_code == 422
    put(client, 0, None)


def test_limits_hold_for_photos_of_the_folder(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder), proposes=True, max_pixels=80 * 80 - 1)
    assert "too large" in client.get("/v1/review/0").json()["error"]
    assert client.get("/v1/review/0/photo").status_code == 422


def test_what_cannot_be_saved_is_said(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder))
    (folder / "captions.csv").mkdir()
    response = client.put("/v1/review/0", json={"caption": "a dog"})
    assert response.status_code == 500
    assert response.json()["detail"].startswith("not saved: ")
    assert client.get("/v1/review").json()["saved"] == 0


def test_the_page_is_that_of_the_review(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder))
    page = client.get("/").text
    assert "Review captions" in page
    for name in ("review.js", "review.css", "client.js"):
        assert name in page
        assert client.get(f"/static/{name}").status_code == 200
