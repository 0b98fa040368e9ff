"""HTML to plain text."""

import html as entities

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.crawlers.html import fragment_text, page_text

TAGS = ["p", "b", "a", "span", "div", "em", "ul", "li", "h1", "script", "style", "img", "br"]
WORDS = st.text("天气很好去旅行做饭abc 123,。!#@", min_size=1, max_size=12)
PLAIN = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="<&"),
    max_size=60,
)


def squeezed(text):
    return "".join(text.split())


@given(PLAIN)
def test_plain_text_stays_as_it_is(text):
    assert fragment_text(text) == text.strip()


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TAGS[:9]), WORDS), min_size=1, max_size=6))
def test_no_tag_survives_and_no_word_is_lost(parts):
    fragment = "".join(f'<{tag} class="x">{word}</{tag}>' for tag, word in parts)
    text = fragment_text(fragment)
    assert "<" not in text
    assert 'class="x"' not in text
    assert squeezed(text) == squeezed("".join(word for _, word in parts))


@settings(deadline=None)
@given(st.text("<>/&;!-= \"'abp天气", max_size=40))
def test_no_fragment_however_broken_raises(fragment):
    assert isinstance(fragment_text(fragment), str)


@settings(deadline=None)
@given(WORDS.filter(str.strip), st.sampled_from(["<", ">", "&", '"']))
def test_escaped_signs_come_back(word, sign):
    text = f"{word}{sign}{word}"
    assert squeezed(fragment_text(f"<p>{entities.escape(text)}</p>")) == squeezed(text)


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        ("<p>一</p><p>二</p>", "一\n二"),
        ("一<br>二<br/>三<BR />四", "一\n二\n三\n四"),
        ("<p>一<br>\n二</p>\n", "一\n二"),
        ("<script>let a</script>天气<style>p {}</style>", "天气"),
        ("<!-- 注 -->天气", "天气"),
        ("<p></p>", ""),
        ("1 &lt; 2 &amp; 3", "1 < 2 & 3"),
        ("&lt;b&gt;粗&lt;/b&gt;", "<b>粗</b>"),
        ("天气</div></body></html>很<b>好</b>", "天气很好"),
        ("天\ud800气<b>好</b>", "天气好"),
        ("<a href='https://example.org'>#旅行#</a>好", "#旅行#好"),
    ],
)
def test_fragments_become_their_text_with_line_breaks(fragment, text):
    assert fragment_text(fragment) == text


@pytest.mark.parametrize("page", ["", "<", "<html></html>", "\x00", "x" * 100, "<p>" * 1000])
def test_a_page_without_text_is_none_or_text(page):
    assert page_text(page, "https://example.org/") in (None, page)
