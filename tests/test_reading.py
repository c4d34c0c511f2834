"""Files become documents: what a reader sees is read, what is hidden is not."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.deps.documents.reading import html_text, pdf_text, read_document, read_folder
from assay.deps.errors import ConfigError, InputError, MissingExtra

PAGE = """<!doctype html><html><head><title>Bees &amp; hives</title><style>p {}</style></head><body>
<h1>Bees</h1><p>A bee has<br>six   legs.<p>It &lt;buzzes&gt;.
<ul><li>One<li>Two <b>bold</b></ul>
<script>alert("no")</script><div style="display: none">Obey!<p>Obey again!</p></div>
<span hidden>Hidden</span><template>Unseen</template><!-- comment -->
<table><tr><th>Code<td>E1<tr><td>E2</table><pre>a
  b</pre><p aria-hidden="true">unheard</div><p>End.</body></html>"""

OBJECTS = (
    b"<</Type/Catalog/Pages 2 0 R>>",
    b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
    b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F"
    b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>",
    b"<</Length 49>>stream\nBT /F 12 Tf 20 100 Td (Bees have six legs.) Tj ET\nendstream",
)


def pdf() -> bytes:
    """Write a file of one page, with the table of where its objects begin."""
    whole, places = b"%PDF-1.4\n", list[int]()
    for number, body in enumerate(OBJECTS, start=1):
        places.append(len(whole))
        whole += b"%d 0 obj%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 5\n0000000000 65535 f \n"
    tail = b"trailer<</Root 1 0 R/Size 5>>\nstartxref\n%d\n%%%%EOF\n" % len(whole)
    return whole + head + table + tail


def test_a_page_is_read_as_it_is_shown() -> None:
    title, text = html_text(PAGE)
    assert title == "Bees & hives"
    assert text.split("\n\n") == [
        "# Bees", "A bee has\nsix legs.", "It <buzzes>.", "- One", "- Two bold",
        "| Code | E1", "| E2", "a\nb", "End.",
    ]  # fmt: skip


@given(st.text(alphabet=st.sampled_from("<>/ph1ideno=\"'!-& abc\n"), max_size=200))
def test_any_page_is_read(html: str) -> None:
    title, text = html_text(html)
    assert "\n\n\n" not in text
    assert title == " ".join(title.split())


def test_a_folder_is_read_by_paths_from_there(tmp_path: Path) -> None:
    root = tmp_path / "docs"
    (root / "deep").mkdir(parents=True)
    (root / "a.md").write_bytes("\ufeff# First ##\r\nText.".encode())
    (root / "deep" / "b.HTML").write_text("<title>Second</title><p>Body", encoding="utf-8")
    (root / "c.txt").write_text("Plain.", encoding="utf-8")
    (root / "d.bin").write_bytes(b"\0")
    (tmp_path / "secret.txt").write_text("out of reach", encoding="utf-8")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    found = [(d.id, d.title, d.text) for d in read_folder(root)]
    assert found == [
        ("a.md", "First", "# First ##\nText."),
        ("c.txt", "c", "Plain."),
        ("deep/b.HTML", "Second", "Body"),
    ]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no document in"):
        read_folder(tmp_path)
    with pytest.raises(ConfigError, match=r"is no document; it should end in \.md"):
        read_document(tmp_path / "a.exe")
    (tmp_path / "latin.txt").write_bytes("Müller".encode("latin-1"))
    for name in ("latin.txt", "absent.txt"):
        with pytest.raises(InputError, match="cannot be read"):
            read_document(tmp_path / name)


@pytest.mark.skipif(importlib.util.find_spec("pypdf") is not None, reason="pypdf is installed")
def test_a_pdf_without_its_library_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "bees.pdf").write_bytes(pdf())
    with pytest.raises(MissingExtra, match=r"pip install 'assay-agents\[pdf\]'"):
        read_document(tmp_path / "bees.pdf")


@pytest.mark.skipif(importlib.util.find_spec("pypdf") is None, reason="pypdf comes with an extra")
def test_a_pdf_is_read_with_its_library(tmp_path: Path) -> None:
    (tmp_path / "bees.pdf").write_bytes(pdf())
    document = read_document(tmp_path / "bees.pdf")
    assert (document.id, document.title, document.text) == (
        "bees.pdf", "bees", "Bees have six legs.",
    )  # fmt: skip
    with pytest.raises(InputError, match="the PDF cannot be read"):
        pdf_text(b"not a PDF")
