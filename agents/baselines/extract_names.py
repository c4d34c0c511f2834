"""Find names of persons by what people say around them, and of companies by their legal form."""

import re
from dataclasses import dataclass
from typing import Any, cast

from nameparser import HumanName

from .extract_dates import NUMBERS, Found

__all__ = ("Person", "companies", "is_company", "parse_person", "persons")

LEGAL = (
    r"(?:Inc|Incorporated|Ltd|Limited|LLC|LLP|PLC|Corp|Corporation|Co|GmbH|AG|KG|OHG|UG|e\.?[ ]?K|"
    r"mbH|SE|S\.?A\.?R\.?L|S\.?A\.?S|S\.?A|SNC|EURL|S\.?L\.?U?|S\.?r\.?l|S\.?p\.?A|B\.?V|N\.?V|"
    r"Pty[ ]Ltd|Pvt\.?[ ]Ltd|Private[ ]Limited|Oy|AB|A/S|ApS|AS|Sp\.?[ ]z[ ]o\.?o|s\.?r\.?o|"
    r"Lda|Ltda|Foundation|Association|e\.?V)"
)
_FORM = re.compile(
    rf"(?<=[\w.)&])(?:,?[ ](?:{LEGAL}|INC|LTD|CORP)\.?(?![\w&])){{1,2}}(?=[\s,;:)\u2013-]|$)"
    r"(?:[ ]&[ ]Co\.?[ ]KG)?"
)
_ORGANISED = re.compile(
    r"\b(?:company|committee|club|school|schools|university|college|institute|association|assn|"
    r"union|bank|services?|group|center|centre|foundation|church|council|department|dept|society|"
    r"partners|associates|friends of|citizens|trust|fund|district|federation|construction|"
    r"products|systems|management|consulting|enterprises|industries|international|hospital|"
    r"restaurant|cafe|holdings?|hotel|insurance|realty|properties|electric|party|for|of|and|the|"
    r"corp|inc|llc|ltd|co|gmbh|local|pac|labs?|network|media|design|studios?|store|shop|market|"
    r"agency|solutions|technologies|technology|global|american|national|chapter|board|office|"
    r"county|city|state|campaign|team|org|financial|capital|medical|health|supply|works|bros)\b\.?"
    r"|[&@]|\d",
    re.IGNORECASE,
)
_SMALL = frozenset(
    [
        "of",
        "and",
        "the",
        "de",
        "des",
        "du",
        "la",
        "le",
        "les",
        "und",
        "van",
        "von",
        "der",
        "den",
        "&",
        "et",
        "y",
        "di",
        "da",
        "del",
        "el",
        "do",
        "dos",
        "for",
    ]
)


def is_company(name: str) -> bool:
    """Tell whether a name is a company's rather than a person's, by the words in it."""
    if _ORGANISED.search(name) and not re.fullmatch(
        r"(?i).{3,30} (?:and|&) (?:\w+\.? ){1,3}\w+", name
    ):
        return True
    return bool(_FORM.search(f" {name}"))


def companies(text: str) -> list[Found]:
    """Return names that end in a legal form; the letterhead's speaks louder."""
    found: list[Found] = []
    for match in _FORM.finditer(text):
        start = _name_start(text, match.start())
        name = text[start : match.end()].rstrip(",; ")
        if start < match.start():
            first = text[:start].strip() == ""
            found.append(Found(name, start, start + len(name), 0.2 + 0.15 * first))
    return found


def _name_start(text: str, end: int) -> int:
    """Return where the capitalised words that end at `end` begin, on the same line."""
    low = max(0, end - 120)
    line = max(low - 1, *(text.rfind(c, low, end) for c in "\n:;|\t(\u2013"))
    start = end
    for match in reversed(list(re.finditer(r"\S+", text[line + 1 : end]))[-7:]):
        word = match.group()
        if not (word[0].isupper() or word[0].isdigit() or word.lower() in _SMALL):
            break
        if word.endswith((",", ".")) and start != end and len(word) > 4:
            break
        start = line + 1 + match.start()
    while start < end and text[start:end].split(" ", 1)[0].lower() in _SMALL:
        start = text.index(" ", start) + 1
    return start


@dataclass(frozen=True)
class Person:
    """A person's name in parts; "" where there is none."""

    first: str = ""
    middle: str = ""
    last: str = ""
    title: str = ""
    suffix: str = ""
    nickname: str = ""


def parse_person(name: str) -> Person:
    """Take a name apart with nameparser."""
    parsed = cast(Any, HumanName)(" ".join(name.split()))
    return Person(
        first=str(parsed.first),
        middle=str(parsed.middle),
        last=str(parsed.last),
        title=str(parsed.title),
        suffix=str(parsed.suffix),
        nickname=str(parsed.nickname),
    )


_TITLE = (
    r"(?:Mrs?|Ms|Miss|Dr|Prof|Sir|Herrn?|Frau|Monsieur|Madame|Mme|Señora?|Sra?|Signora?|"
    r"Mevrouw|Dhr)\b\.?"
)
_WORD = r"[^\W\d_][^\W\d_'\u2019.-]{0,30}(?:['\u2019-][^\W\d_]{1,30}){0,2}"
_REST = r"[^\W\d_'\u2019.-]{0,30}(?:['\u2019-][^\W\d_]{1,30}){0,2}"
_WORDS = rf"(?P<name>(?:{_TITLE}[ ]+)?{_WORD}(?:[ ]+{_WORD}|[ ]+[A-Z]\.(?=[ ])){{0,3}})"
_QUOTED = r"\s{0,3}[:,]?\s{0,3}[\"“'«]?[ ]{0,2}"
_STRONG = (
    r"(?:my|the|whose|customer'?s?)?[ ]?(?:full[ ])?names?(?:[ ](?:is|was|should[ ]be|"
    r"would[ ]be|of|will[ ]be|for[ ]it[ ]is)|'s|[ ]on[ ]it[ ]is)?",
    r"names?[ ]*[:=]",
    r"under(?:[ ](?:the|my|a)[ ])?(?:[ ]?names?(?:[ ]of)?)?",
    r"(?:i[ ]am|i'm|im|this[ ]is|it'?s|it[ ]is|am)(?:[ ]called)?",
    r"(?:call(?:s|ed)?[ ]me|i[ ]am[ ]called|now[ ]called|known[ ]as|it[ ]should[ ]be|"
    r"it[ ]would[ ]be|should[ ]be|make[ ]it)",
    r"(?:booked|reserved|made|reservation|booking|table|lunch|dinner|listed|cancel|it's|"
    r"is)[ ](?:for|by|under|as|in|on)",
    r"(?:mein[ ]name[ ]ist|ich[ ](?:bin|heiße|heisse)|auf[ ]den[ ]namen\b|je[ ]m'appelle|"
    r"je[ ]suis|au[ ]nom[ ]de|me[ ]llamo|mi[ ]nombre[ ]es|soy|a[ ]nombre[ ]de|"
    r"mi[ ]chiamo|a[ ]nome(?:[ ]di)?|mijn[ ]naam[ ]is|ik[ ]ben|op[ ]naam[ ]van|auf)",
    r"(?:regards|sincerely|cheers|thanks|thank[ ]you|gruß|grüßen|grüße|cordialement|"
    r"saludos|saluti|groeten?|best|yours|wishes)[ ,.!\n\r-]{1,6}",
    r"for",
)
_CUES = tuple(
    re.compile(rf"(?<![\w']){cue}(?:(?<!\w)|(?!\w)){_QUOTED}{_WORDS}", re.IGNORECASE)
    for cue in _STRONG
)
_AFTER = re.compile(rf"{_WORDS}[ ,]+(?:is|was)[ ](?:my|the)[ ](?:full[ ])?name", re.IGNORECASE)
_TITLED = re.compile(rf"(?<!\w)(?P<name>{_TITLE}[ ]+[A-Z]{_REST}(?:[ ]+[A-Z]{_REST}){{0,2}})")
_NO_NAME = """\
a ab able about account actually address adults afraid after afternoon all allergic already also
am an and any anyone apr april are as at aug august available back be been before believe birthday
bitte book booked booking breakfast but by bye calling can can't cancel change cheers coming
company con correct could customer das date day days dear dec december der did die dinner do does
don't down early eight ein eine el else email et evening everyone everything feb february fine
first five for four fri friday from gluten going good great guests had happy has have he hello her
here hey hi him his hoping hour hours how i i'd i'll i'm i've if ill in inside interested is isn't
ist it it's its jan january jul july jun june just kids la las last late le les let's like looking
los lunch madam mail mar march may maybe me mein meine midday minutes miss mon monday more morning
mr mrs ms my myself name names need new next nicht night nine no nobody noon not nothing nov
november now number oct october of ok okay old on one only or other our out outside para party
people person persons phone please pm por probably really reservation right running sat saturday
sep sept september seven she sick sir six so some somebody someone something sorry still stuck sun
sunday sunday's support sure surname table team ten thank thanks thanx that that's the their them
then there there's they think this three thu thursday till time to today tomorrow tonight too
trying tue tuesday two um un unable und under une until up us vegan vegetarian very vom von want
was we we're wed wednesday week were what when where which who why will with won't wondering would
writing wrong yes you your
"""
# Words that no name begins with, though a cue may stand before them: "I am late".
_NOT_NAMES = frozenset(_NO_NAME.split()) | frozenset(NUMBERS)


def persons(text: str) -> list[Found]:
    """Return names that come with a cue: "my name is", "Mr", a signature."""
    found: dict[int, Found] = {}
    for i, pattern in enumerate((*_CUES, _AFTER, _TITLED)):
        for match in pattern.finditer(text):
            last = i == len(_CUES) - 1
            strict = last or 3 <= i <= 5
            start, end = _kept(text, *match.span("name"), strict=strict)
            if last and " " not in text[start:end]:
                continue  # "for Thai" is no guest
            if end > start and not any(f.start < end and start < f.end for f in found.values()):
                weight = 0.35 if i < 3 or i > 5 else 0.25
                found[start] = Found(text[start:end], start, end, 0.2 if last else weight)
    return sorted(found.values(), key=lambda f: f.start) or _answer(text)


def _answer(text: str) -> list[Found]:
    """Return the name that a whole text is: the answer to "what name?"."""
    name = text.strip(" .!\n")
    words = name.split()
    named = all(w[0].isupper() and w.lower() not in _NOT_NAMES for w in words)
    if 2 <= len(words) <= 3 and named and re.fullmatch(_WORDS, name):
        start = text.index(name)
        return [Found(name, start, start + len(name), 0.3)]
    return []


def _kept(text: str, start: int, end: int, *, strict: bool) -> tuple[int, int]:
    """Keep the words up to the first that is none of a name's; `strict` wants capitals."""
    kept = start
    lower = strict
    for i, match in enumerate(re.finditer(r"\S+", text[start:end])):
        word = match.group().strip("'\u2019.")
        titled = re.fullmatch(_TITLE, match.group(), re.IGNORECASE) is not None
        if not titled and (word.lower() in _NOT_NAMES or (lower and not word[:1].isupper())):
            break
        if i == 0 and not titled and not word[:1].isupper():
            lower = False  # "under craig caro": all of it is lower case
        elif not titled and word[:1].isupper():
            lower = True  # "Craig Caro and", "Jona for"
        kept = start + match.end()
    return start, start + len(text[start:kept].rstrip(" '\u2019-"))
