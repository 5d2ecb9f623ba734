"""Templates, bound attributes and code samples: what a program makes is reported, and changed nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.alt import html, markdown
from showtell.alt.gaps import Gap, fill
from showtell.alt.tags import MADE_ADDRESS, MADE_ATTRIBUTES
from showtell.alt.templates import MaskedText

ADDRESSES = [
    "{{ site.baseurl }}/a.jpg",
    '{{ "/a.jpg" | relative_url }}',
    "{% link a.jpg %}",
    "{{< ref `a.jpg` >}}",
    "{{ url_for('static', filename='a.jpg') }}",
    "{{% asset a.jpg %}}",
    "<%= image_path 'a.jpg' %>",
    "<?php echo $photo; ?>",
    "${photo.url}",
    "%PUBLIC_URL%/a.jpg",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("form", ['<img src="%s">', "<p><img class='x' src='%s' width=3></p>"])
def test_an_address_of_a_template_is_seen_in_html(address: str, form: str) -> None:
    (gap,) = html.find_gaps(form.replace("%s", address))
    assert (gap.source, gap.problem) == (address, MADE_ADDRESS)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("form", ["![](%s)", "text\n![](%s) and ![](plain.jpg)", "> - ![](%s 'a title')"])
def test_an_address_of_a_template_is_seen_in_markdown(address: str, form: str) -> None:
    gaps = markdown.find_gaps(form.replace("%s", address))
    assert [(gap.source, gap.problem) for gap in gaps if gap.problem] == [(address, MADE_ADDRESS)]
    assert [gap.source for gap in gaps if not gap.problem] == ["plain.jpg"] * form.count("plain")


@pytest.mark.parametrize(
    ("tag", "problem"),
    [
        ("<img src={photo.src} />", MADE_ADDRESS),
        ("<img src={require('./a.jpg').default} width={3} />", MADE_ADDRESS),
        ("<img\n  src={wide ? `a>b.jpg` : b}\n  onLoad={() => done(1)}\n/>", MADE_ADDRESS),
        ('<img :src="photo">', MADE_ADDRESS),
        ('<img v-bind:src="photo" />', MADE_ADDRESS),
        ('<img th:src="@{/a.jpg}" src="a.jpg">', MADE_ADDRESS),
        ('<img ng-src="{{ photo.url }}">', MADE_ADDRESS),
        ("<img {...props} src='a.jpg' />", MADE_ATTRIBUTES),
        ("<img {{ attributes }} src='a.jpg'>", MADE_ATTRIBUTES),
        ('<img v-bind="image" src="a.jpg">', MADE_ATTRIBUTES),
        ('<img th:attr="alt=#{x}" src="a.jpg">', MADE_ATTRIBUTES),
    ],
)
def test_attributes_that_a_program_makes(tag: str, problem: str) -> None:
    for find in (html.find_gaps, markdown.find_gaps):
        assert [gap.problem for gap in find(f"{tag}\n")] == [problem]


@pytest.mark.parametrize(
    "alt",
    [
        *("[alt]='x'", "[attr.alt]='x'", 'bind-alt="x"', ':alt="x"', 'v-bind:alt="x"', ':alt.prop="x"'),
        *('x-bind:alt="x"', 'th:alt="#{x}"', 'data-th-alt="x"', 'th:alt-title="x"', 'ng-attr-alt="{{ x }}"'),
        *(
            "alt={x}",
            "alt={`a ${x}`}",
            "{alt}",
            "alt={{ x }}",
            'alt="{{ page.title | escape }}"',
            'alt.bind="x"',
        ),
        *("{% if x %}alt='x'{% endif %}", 'alt="<?= $x ?>"', ':aria-label="x"', "[attr.aria-label]='x'"),
    ],
)
def test_bound_alt_text_is_alt_text(alt: str) -> None:
    assert html.find_gaps(f'<img src="a.jpg" {alt}><img {alt} src="a.jpg" />') == []


def test_other_attributes_of_frameworks_are_no_alt_text() -> None:
    tag = '<img (click)="x()" @load="y" :class="{big: z}" data-alt="x" altitude="3" *ngIf="a" src="a.jpg">'
    assert [(gap.source, gap.problem) for gap in html.find_gaps(tag)] == [("a.jpg", "")]


SAMPLES = [
    "<textarea><img src=no.jpg></textarea>",
    "<title><img src=no.jpg></title>",
    "<xmp>\n<img src=no.jpg>\n</xmp>",
    "{% highlight html %}\n<img src=no.jpg>\n{% endhighlight %}",
    "{%- codeblock lang:html -%}\n\n<img src=no.jpg>\n\n{%- endcodeblock -%}",
    "{% comment %}<img src=no.jpg>{% endcomment %}",
    '{{< highlight html "linenos=table" >}}\n<img src=no.jpg>\n\n![](no.jpg)\n{{< /highlight >}}',
    "{{% code %}}\n<img src=no.jpg>\n{{% /code %}}",
    "{# <img src=no.jpg> #}",
    "{{!-- <img src=no.jpg> --}}",
    "{{/* <img src=no.jpg> */}}",
    "{/* <img src=no.jpg> */}",
    "<%-- <img src=no.jpg> --%>",
    "<?php echo \"<img src='no.jpg'>\"; ?>",
    "<!-- <img src=no.jpg>\n\n![](no.jpg) -->",
]


@pytest.mark.parametrize("sample", SAMPLES)
def test_code_samples_and_comments_have_no_images(sample: str) -> None:
    page = f'<img src="a.jpg">\n\n{sample}\n\n<img src="b.jpg">\n'
    for find in (html.find_gaps, markdown.find_gaps):
        assert [gap.source for gap in find(page)] == ["a.jpg", "b.jpg"]


def test_code_samples_across_paragraphs_of_markdown() -> None:
    page = "<div><textarea>\n\n![](no.jpg)\n\n<img src=no.jpg>\n\n</textarea></div>\n\n![](a.jpg)\n"
    assert [gap.source for gap in markdown.find_gaps(page)] == ["a.jpg"]
    inline = "see <textarea><img src=no.jpg>![](no.jpg)</textarea> and ![](a.jpg)"
    assert [gap.source for gap in markdown.find_gaps(inline)] == ["a.jpg"]


def test_a_tag_that_is_never_closed_hides_nothing() -> None:
    assert [gap.source for gap in html.find_gaps("Use <title> or <textarea> <img src=a.jpg>")] == ["a.jpg"]
    assert [gap.source for gap in markdown.find_gaps("Use <title>:\n\n![](a.jpg)\n")] == ["a.jpg"]


@pytest.mark.parametrize(
    "front",
    [
        '---\ntitle: T\nexcerpt: "<img src=no.jpg>"\n---\n',
        "+++\r\ntitle = 'T'\r\nx = '![](no.jpg)'\r\n+++\r\n",
        "---\n# a comment\nimages:\n- ![](no.jpg)\n\n- <img src=no.jpg>\n---\n",
    ],
)
def test_front_matter_is_left_alone(front: str) -> None:
    for find in (html.find_gaps, markdown.find_gaps):
        assert [gap.source for gap in find(f"{front}\n<img src=a.jpg>\n")] == ["a.jpg"]


def test_lines_that_look_like_front_matter_hide_nothing() -> None:
    assert [gap.source for gap in markdown.find_gaps("---\n\n![](a.jpg)\n\n---\n\n![](b.jpg)\n")] == [
        "a.jpg",
        "b.jpg",
    ]


def test_scripts_of_astro_and_mdx() -> None:
    astro = "---\nconst x = '<img src=no.jpg>';\n---\n<img src='a.jpg'>{x && <img src={x} />}"
    assert [(gap.source, gap.problem) for gap in html.find_gaps(astro, ".astro")] == [
        ("a.jpg", ""),
        ("{x}", MADE_ADDRESS),
    ]
    mdx = "import x from 'x'\nexport const y = '<img src=no.jpg>'\n\n![](a.jpg)\n\n<img src={x} />\n"
    assert [gap.source for gap in markdown.find_gaps(mdx, ".mdx")] == ["a.jpg", "{x}"]


PIECES = st.sampled_from(
    (
        *(
            "{{ x }}",
            "{% if a %}",
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "<?",
            "?>",
            "<%",
            "%>",
            "${y}",
            "{/*",
            "*/}",
        ),
        *("<img src=a.jpg>", "<img src={b} />", '<img :src="c">', "![](d.jpg)", "![]({{ e }})", "<textarea>"),
        *("</textarea>", "---\n", "a: b\n", "\n", "\n\n", "\r", "\r\n", " ", "'", '"', "`", "{", "}", "word"),
        *("\U00100000", "\U0010fffd", "é"),
    )
)


@settings(max_examples=25)
@given(st.lists(PIECES, max_size=25))
def test_any_page_is_read_filled_and_otherwise_the_same(pieces: list[str]) -> None:
    text = "".join(pieces)
    for find in (html.find_gaps, markdown.find_gaps):
        gaps = [gap for gap in find(text) if not gap.problem]
        filled = fill(text, [(gap, "A dog") for gap in gaps])
        assert len(filled) == len(text) + sum(len(gap.insertion("A dog")) for gap in gaps)
        assert without(filled, gaps) == text
        assert [gap for gap in find(filled) if not gap.problem] == []


def without(filled: str, gaps: list[Gap]) -> str:
    for gap in sorted(gaps, key=lambda gap: gap.offset):
        end = gap.offset + len(gap.insertion("A dog"))
        assert filled[gap.offset : end] == gap.insertion("A dog")
        filled = filled[: gap.offset] + filled[end:]
    return filled


@settings(max_examples=25)
@given(st.lists(PIECES, max_size=25))
def test_masks_keep_all_lengths_and_can_be_taken_off(pieces: list[str]) -> None:
    text = "".join(pieces)
    masked = MaskedText(text)
    assert len(masked.text) == len(text)
    assert masked.text.count("\n") == len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")) - 1
