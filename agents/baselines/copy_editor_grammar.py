"""Doubled words, articles, and slips of grammar that a pattern can tell with high precision."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from .copy_editor_lexicon import word_set
from .copy_editor_text import Mark, Prose, as_in

__all__ = ("articles", "doubled", "slips")

_MAY_DOUBLE = word_set(
    """
    had that ha bye no very so now there well tut knock long far many boo cha can choo chop
    do duran walla pago bora sirhan dum goody hear hush la ma pa poo pom pooh puff quack
    tick woof yo yeah yes please ta tsk uh um wah yada zip
    """
)
_DOUBLING = re.compile(r"[ \t]+|[ \t]*\n[ \t]*")


def doubled(prose: Prose) -> Iterator[Mark]:
    """Yield words that stand twice, across a line break too."""
    for run in prose.english():
        for a, b in pairwise(run):
            if a.low != b.low or a.low in _MAY_DOUBLE or not _DOUBLING.fullmatch(b.gap):
                continue
            if (a.text != b.text and not a.first) or (len(a.text) == 1 and a.low not in "ai"):
                continue
            if any(c.isalpha() for c in a.text):
                yield Mark(
                    a.start, b.end, "mechanical", "high", f"{a.text!r} stands twice.", a.text
                )


# By sound, not by letter. Each list holds beginnings of words.
_VOWEL_LETTER_CONSONANT_SOUND = re.compile(
    r"""eu|ew|uni(?!n|m[a-z])|u[stk](?:[aeiu]|$)|use|usu|utop|ub[ie]|uf[o]|ur[aeio](?!e)|
    ufo|ut(?:e[nr]|i[l])|one(?:$|[-'s])|once|ouija|u$|u-|uk|us$|usa|usb|uv|uae|un$""",
    re.VERBOSE,
)
_SILENT_H = re.compile(r"hour|honest|honou?r|heir(?!l?oo)|heirloom|hors d")
_EITHER = re.compile(r"h(?:istor|otel|abit|ypoth|yster|erb|allucinat|eroic)|unanim|uni[nm]|x|herb")
_SPELT_AS_VOWEL = frozenset("AEFHILMNORSX")
_NO_ARTICLE_BEFORE = word_set(
    """
    a an and or is was are of in as to for with at by on
    """
)


def articles(prose: Prose) -> Iterator[Mark]:
    """Yield `a` before a vowel sound and `an` before a consonant sound."""
    for run in prose.english():
        for a, b in pairwise(run):
            if (
                a.low not in ("a", "an")
                or b.low in ("a", "an")
                or a.text == "AN"
                or not _adjoin(b.gap)
            ):
                continue
            if (a.text == "A" and not a.first) or b.low in _NO_ARTICLE_BEFORE:
                continue  # a letter: "vitamin A", "a is the base"
            right = _article(b.text)
            if right is not None and right != a.low:
                yield Mark(
                    a.start,
                    a.end,
                    "grammar",
                    "high",
                    f"{b.text!r} wants {right!r}, by its sound.",
                    as_in(a.text, right) if a.text != "A" else right.capitalize(),
                )


def _adjoin(gap: str) -> bool:
    return re.fullmatch(r"[ \t]*\n?[ \t]*[*_\"“‘'(\[$£€]*", gap) is not None and gap != ""


def _article(word: str) -> str | None:
    """Return the article that a word takes by its sound; None when one cannot tell."""
    head = word.split("-")[0]
    if head[0].isdigit():
        return _before_number(head)
    if (head.isupper() and len(head) <= 4) or re.fullmatch(r"[A-Z]+\d+|[A-Z]{2,}s", head):
        return _before_initials(head)
    low = word.casefold()
    if _EITHER.match(low) or not low[0].isascii():
        return None
    if low[0] in "aeiou":
        return "a" if _VOWEL_LETTER_CONSONANT_SOUND.match(low) else "an"
    if _SILENT_H.match(low):
        return "an"
    return None if len(low) == 1 and low not in "bcdgjkpqtvwyz" else "a"


def _before_number(digits: str) -> str | None:
    number = re.match(r"\d+", digits)
    whole = number[0] if number else ""
    if whole.startswith("8") or whole in ("11", "18"):
        return "an"
    return "a"


def _before_initials(initials: str) -> str | None:
    """Judge by the letter's name, unless the initials may be read as a word."""
    if len(initials) == 1 or not re.search(r"[AEIOUY]", initials[1:]):
        return "an" if initials[0] in _SPELT_AS_VOWEL else "a"
    if len(initials) <= 3 and re.match("[FHLMNRX][^AEIOUYLR]", initials):
        return "an"  # no English word begins like that, so it is spelt out: MBA
    if initials[0] in "BCDGJKPQTVWYZ":
        return "a"
    return "an" if initials[0] in "AEIO" else None


_START = r"(?:(?<![^\n])|(?<=[.!?;:] )|(?<=, )|\b(?:and|but|because|when|while|so|although|then) )"
# Pattern, the group at fault, its replacement (a template), why. Case does not matter.
_SLIPS: list[tuple[str, Mapping[str, str] | str | None, str]] = [
    (
        r"\b(?:should|could|would|must|might) (of)\b(?! course)(?=\s+\w)",
        "have",
        "'of' sounds like the 'have' that belongs here.",
    ),
    (
        _START + r"(?:he|she|it) (have|do|are|am|don't|haven't)\b(?! not? to be)",
        {
            "have": "has",
            "do": "does",
            "are": "is",
            "am": "is",
            "don't": "doesn't",
            "haven't": "hasn't",
        },
        "The verb does not agree with its subject.",
    ),
    (
        _START + r"(?:they|we|you) (was|is|has|does|wasn't|isn't|hasn't|doesn't|am)\b",
        {
            "was": "were",
            "is": "are",
            "am": "are",
            "has": "have",
            "does": "do",
            "wasn't": "weren't",
            "isn't": "aren't",
            "hasn't": "haven't",
            "doesn't": "don't",
        },
        "The verb does not agree with its subject.",
    ),
    (
        _START + r"I (is|are|has|does|were(?= (?:going|the|a|so|very|there|here|in)\b))\b",
        {"is": "am", "are": "am", "has": "have", "does": "do", "were": "was"},
        "The verb does not agree with its subject.",
    ),
    (
        _START
        + r"(?:these|those|many|several|both|few|most) (?:of the )?[a-z]+[^\Wsu]s (was|is|has)\b",
        {"was": "were", "is": "are", "has": "have"},
        "The verb does not agree with its subject.",
    ),
    (r"\b(its')(?!\w)", "its", "'its' takes no apostrophe."),
    (r"\b(it's) own\b", "its", "The possessive 'its' has no apostrophe."),
    (
        r"\b(its) (?:been|not|a|an|going|because|too|raining|clear that)\b",
        "it's",
        "'it is' is 'it's'.",
    ),
    (r"\b(your) (?:welcome|going|not|a|an|the)\b", "you're", "'you are' is 'you're'."),
    (
        r"\b(their) (?:is|are|was|were|will be|has been|isn't|wasn't)\b",
        "there",
        "'there' is meant.",
    ),
    (r"\b(there) own\b", "their", "The possessive 'their' is meant."),
    (
        r"\b(they're|there) (?:house|car|names|children|mother|father|lives)\b",
        "their",
        "'their' is meant.",
    ),
    (
        r"\b(?:more|less|better|worse|rather|older|younger|larger|bigger|smaller|higher|lower|"
        r"faster|greater|longer|shorter|cheaper|easier|harder) (then)(?= \w)",
        "than",
        "A comparison takes 'than'.",
    ),
    (
        r"\b(?:have|has|had|haven't|hasn't|hadn't) (?:\w+ly |never |already |just |been )?"
        r"(went|did|saw|ate|wrote|drank|took|gave|knew|spoke|broke|chose|drove|flew|forgot)\b",
        {
            "went": "gone",
            "did": "done",
            "saw": "seen",
            "ate": "eaten",
            "wrote": "written",
            "drank": "drunk",
            "took": "taken",
            "gave": "given",
            "knew": "known",
            "spoke": "spoken",
            "broke": "broken",
            "chose": "chosen",
            "drove": "driven",
            "flew": "flown",
            "forgot": "forgotten",
        },
        "After 'have' stands the participle.",
    ),
    (
        r"\b(?:did not|didn't) "
        r"(went|saw|knew|came|took|gave|found|told|said|had|was|thought)\b",
        {
            "went": "go",
            "saw": "see",
            "knew": "know",
            "came": "come",
            "took": "take",
            "gave": "give",
            "found": "find",
            "told": "tell",
            "said": "say",
            "had": "have",
            "was": "be",
            "thought": "think",
        },
        "After 'did' stands the plain verb.",
    ),
    (r"\bbetween (?:you|him|her|them|us) and (I)\b", "me", "After 'between' stands 'me'."),
    (r"\b(?:is|was|are|were|am) (suppose) to\b", "supposed", "'supposed to' is meant."),
    (
        r"\b(more) (?:better|worse|easier|faster|bigger|older|taller|cheaper)\b",
        None,
        "A double comparative.",
    ),
    (
        r"\b(most) (?:best|worst|easiest|biggest|fastest|oldest|tallest)\b",
        None,
        "A double superlative.",
    ),
    (
        r"(?<![\w'])((?-i:i))(?= (?:am|was|have|had|think|know|will|would|can|could|do|did)\b)",
        "I",
        "'I' is written large.",
    ),
]
_COMPILED = [(re.compile(p.replace(" ", r"\s"), re.I), to, why) for p, to, why in _SLIPS]
_QUOTED = re.compile(r'(?m:^>[^\n]*)|"[^"\n]{0,600}"|“[^”]{0,600}”|‘[^’\n]{0,600}’(?!\w)')


def slips(prose: Prose) -> Iterator[Mark]:
    """Yield slips of grammar outside quotations: what people say keeps its errors."""
    quiet = _QUOTED.sub(lambda found: re.sub(r"[^\n]", "\x00", found[0]), prose.text)
    quiet = re.sub("(?<=[a-z])’(?=[a-z])", "'", quiet)
    for run in prose.english():
        for pattern, to, why in _COMPILED:
            for found in pattern.finditer(quiet, run[0].start, run[-1].end + 1):
                wrong = found[1]
                right = to.get(wrong.casefold()) if isinstance(to, Mapping) else to
                shown = as_in(wrong, right) if right and right != "I" else right
                yield Mark(found.start(1), found.end(1), "grammar", "high", why, shown)
