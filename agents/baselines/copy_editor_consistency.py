"""One thing in two ways: names, hyphens, British and American, quotation marks, house style."""

import re
from collections import Counter
from collections.abc import Iterator

from ...tools.prose import bare
from .copy_editor_lexicon import Lexicon, word_set
from .copy_editor_text import Mark, Prose, as_in

__all__ = ("dialects", "hyphens", "names", "preferred", "quotation_marks")


def names(prose: Prose) -> Iterator[Mark]:
    """Yield rare names that look like a slip of a frequent one."""
    meant = _lookalikes(prose)
    for word in prose.words:
        name = bare(word.text)
        if name in meant:
            usual = meant[name]
            yield Mark(
                word.start,
                word.start + len(name),
                "consistency",
                "high",
                f"{name!r} is {usual!r} elsewhere ({prose.survey.names[usual]} times).",
                usual,
            )


def _lookalikes(prose: Prose) -> dict[str, str]:
    """Return rare names with the frequent names that they resemble."""
    counts = prose.survey.names
    others = {bare(w.text): 1 for w in prose.words if w.text[0].isupper() and w.text.isalpha()}
    rares = {**{w: n for w, n in others.items() if not prose.lexicon.knows(w)}, **counts}
    frequent = [name for name, n in counts.items() if n >= 2 and len(name) >= 4]
    found: dict[str, str] = {}
    for rare, n in rares.items():
        near = [
            usual
            for usual in frequent
            if counts[usual] >= 2 * n and _slip(rare, usual, prose.lexicon)
        ]
        if near:
            found[rare] = max(near, key=lambda name: counts[name])
    return found


def _slip(rare: str, usual: str, lexicon: Lexicon) -> bool:
    a, b = rare.casefold(), usual.casefold()
    if a[0] != b[0] or min(len(a), len(b)) < 5 or abs(len(a) - len(b)) > 2 or _inflected(a, b):
        return False
    if not rare.isascii() or not usual.isascii():  # one name in two languages
        return False
    if lexicon.knows(a) and lexicon.knows(b):  # two real names; sounding alike, they may be one
        return len(a) > 4 and _sound(a) == _sound(b) and _one_edit(a, b)
    if lexicon.knows(a):
        return False
    return _one_edit(a, b) or (len(a) > 6 and _sound(a) == _sound(b))


def _inflected(a: str, b: str) -> bool:
    """Tell whether one is the other with an ending: Norman, Normans, Normandy."""
    short, long = sorted((a, b), key=len)
    return long.startswith(short[: max(4, len(short) - 1)]) and len(long) > len(short)


def _sound(name: str) -> str:
    """Return the consonants of a name as they sound, doubled ones once."""
    for spelt, said in (("ph", "f"), ("ck", "k"), ("c", "k"), ("z", "s"), ("th", "t")):
        name = name.replace(spelt, said)
    return re.sub(r"(.)\1", r"\1", name[:1] + re.sub(r"[aeiouyh]", "", name[1:]))


def _one_edit(a: str, b: str) -> bool:
    """Tell whether one insertion, deletion, change or swap of neighbours parts two words."""
    if len(a) > len(b):
        a, b = b, a
    i = next((i for i in range(len(a)) if a[i] != b[i]), len(a))
    if len(a) < len(b):
        return a[i:] == b[i + 1 :]
    return a[i + 1 :] == b[i + 1 :] or (
        a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :]
    )


def hyphens(prose: Prose) -> Iterator[Mark]:
    """Yield the rarer of a word's forms with and without a hyphen."""
    counts = prose.survey.words
    wrong: dict[str, str] = {}
    for word, n in counts.items():
        joined = word.replace("-", "")
        if word.count("-") == 1 and counts.get(joined):
            rare, usual = (word, joined) if n <= counts[joined] else (joined, word)
            wrong[rare] = usual
    yield from _variants(prose, wrong, "written with and without a hyphen")


_OUR = word_set(
    """
    behavi col fav flav harb hon hum lab neighb od rum sav splend vap vig endeav arm parl
    """
)
_SUFFIXES = ("", "s", "ed", "ing", "ful", "less", "able", "ite", "hood", "er", "ers")
_TO_AMERICAN = {
    "centre": "center",
    "centres": "centers",
    "theatre": "theater",
    "theatres": "theaters",
    "metre": "meter",
    "metres": "meters",
    "kilometre": "kilometer",
    "kilometres": "kilometers",
    "litre": "liter",
    "litres": "liters",
    "fibre": "fiber",
    "defence": "defense",
    "offence": "offense",
    "travelled": "traveled",
    "travelling": "traveling",
    "traveller": "traveler",
    "cancelled": "canceled",
    "modelling": "modeling",
    "labelled": "labeled",
    "grey": "gray",
    "aluminium": "aluminum",
    "plough": "plow",
    "catalogue": "catalog",
    "jewellery": "jewelry",
    "analyse": "analyze",
    "analysed": "analyzed",
    "sceptical": "skeptical",
    "programme": "program",
    **{f"{stem}our{end}": f"{stem}or{end}" for stem in _OUR for end in _SUFFIXES},
}
_TO_BRITISH = {american: british for british, american in _TO_AMERICAN.items()}
_CLEARLY = 3  # words of the one kind for one of the other


def dialects(prose: Prose) -> Iterator[Mark]:
    """Yield words of the rarer kind of English in a document that mixes British and American."""
    counts = prose.survey.words
    both = {b: a for b, a in _TO_AMERICAN.items() if counts.get(b) and counts.get(a)}
    british = {w: counts[w] for w in _TO_AMERICAN if counts.get(w)}
    american = {w: counts[w] for w in _TO_BRITISH if counts.get(w)}
    more_british = sum(british.values()) >= sum(american.values())
    wrong = {a if more_british else b: b if more_british else a for b, a in both.items()}
    most, least = (british, american) if more_british else (american, british)
    if sum(most.values()) >= _CLEARLY * max(1, sum(least.values())):
        other = _TO_BRITISH if more_british else _TO_AMERICAN
        wrong.update({word: other[word] for word in least})
    yield from _variants(prose, wrong, "British and American spellings are mixed")


def _variants(prose: Prose, wrong: dict[str, str], why: str) -> Iterator[Mark]:
    for word in prose.words:
        usual = wrong.get(word.text.casefold())
        if usual and not word.foreign and (word.first or word.text[0].islower()):
            yield Mark(
                word.start,
                word.end,
                "consistency",
                "medium",
                f"{usual!r} elsewhere: {why}.",
                as_in(word.text, usual),
            )


def quotation_marks(prose: Prose) -> Iterator[Mark]:
    """Yield the quotation marks and apostrophes of the rarer kind, curly or straight."""
    for straight, curly, what in (('"', "“”", "quotation marks"), ("'", "’", "apostrophes")):
        pattern = (
            rf"(?<=\w)[{straight}{curly}](?=\w)" if straight == "'" else rf"[{straight}{curly}]"
        )
        found = list(re.finditer(pattern, prose.text))
        counts = Counter(match[0] == straight for match in found)
        if counts[True] and counts[False]:
            rare = counts[True] <= counts[False]
            match = next(match for match in found if (match[0] == straight) is rare)
            why = f"Straight and curly {what} are mixed; this kind is rarer."
            yield Mark(*match.span(), "consistency", "low", why)


def preferred(prose: Prose) -> Iterator[Mark]:
    """Yield terms that the author's style guide bans."""
    for banned, term in prose.preferred.items():
        same = banned.casefold() == term.casefold()
        pattern = re.compile(rf"(?<!\w){re.escape(banned)}(?!\w)", 0 if same else re.I)
        for found in pattern.finditer(prose.text):
            shown = term if same else as_in(found[0], term)
            yield Mark(*found.span(), "style", "medium", f"The style guide wants {term!r}.", shown)
