import html
import warnings
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import pytest

from wcord.report import canvas


def drawn(key):
    figure, (ax,) = canvas.new_figure(canvas.HALF, 2.0)
    ax.plot([0, 1], [0, 1])
    canvas.label(ax, x="x & y < z", y="y", title="t")
    return canvas.svg(figure, key)


def test_an_svg_is_well_formed_and_alone():
    text = drawn("one")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "<?xml" not in text
    assert "<!DOCTYPE" not in text


def test_identifiers_of_two_figures_never_meet():
    ids = [set(), set()]
    for found, key in zip(ids, ("one", "two"), strict=True):
        root = ElementTree.fromstring(drawn(key))
        found |= {element.get("id") for element in root.iter() if element.get("id")}
        used = {element.get("{http://www.w3.org/1999/xlink}href", "")[1:] for element in root.iter()} - {""}
        assert used <= found
    assert not ids[0] & ids[1]


def test_a_figure_is_the_same_twice_and_leaves_no_settings():
    before = dict(mpl.rcParams)
    assert drawn("one") == drawn("one")
    assert dict(mpl.rcParams) == before


def test_text_is_at_least_nine_points():
    figure, (ax,) = canvas.new_figure(canvas.HALF, 2.0)
    canvas.label(ax, x="x", y="y", title="t")
    sizes = [t.get_fontsize() for t in (*ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label, ax.yaxis.label)]
    assert min(sizes) * 358 / (96 * figure.get_figwidth()) >= 9  # a phone 390 pixels wide with margins of 16


def test_runs_are_told_apart_beyond_the_palette():
    looks = {(canvas.color(i), canvas.dashes(i)) for i in range(18)}
    assert len(looks) == 18


def test_a_data_uri_holds_the_bytes():
    assert canvas.data_uri(b"abc") == "data:image/png;base64,YWJj"


NAMES = ["$\\x{$", "5$ to 10$", "_hidden", "[bold]a[/]", "<b>&\"'", ":smile:", "a\x1b[2Jb", "caf\udce9"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_drawn_as_it_is_wherever_it_stands(name):
    figure, (ax,) = canvas.new_figure(canvas.HALF, 2.0)
    ax.plot([0, 1], [0, 1], label=canvas.legend_name(name))
    ax.text(0, 0.5, canvas.class_ticks([name])[0])
    ax.set_yticks([0, 1], canvas.class_ticks([name, name]))
    ax.legend()
    canvas.label(ax, x=name, y=name, title=name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        drawn_name = canvas.svg(figure, "a")
    ElementTree.fromstring(drawn_name)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [canvas.legend_name(name)]
    # Above each text that is drawn as paths stands the text itself; a formula would have been set, and say otherwise.
    shown = html.escape(canvas.class_ticks([name], 99)[0], quote=False)
    assert drawn_name.count(f"{shown} -->") == 7
