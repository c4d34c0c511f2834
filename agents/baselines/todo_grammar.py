"""What a message to a task list asks for, by a grammar of patterns; English, and some German.

A message is one command on its first line, or a list of tasks to add. What follows the first line,
or stands in quotes, is text and never a command.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from ...deps.todos import Priority
from .todo_commands import (
    Add,
    Command,
    Complete,
    Delete,
    Details,
    Find,
    Ref,
    Undo,
    Unknown,
    Update,
)
from .todo_dates import REPEATS, WHEN, ambiguous

__all__ = ("MAX_LINE", "understood")

_I = re.IGNORECASE
_QUOTED = "[\"\u201c\u201e\u00ab](?P<q>.+)[\"\u201d\u201c\u00bb]|(?<!\\w)'(?P<s>[^']+)'(?!\\w)"
_POLITE = re.compile(
    r"^(?:(?:hi|hello|hey|ok(?:ay)?|so|please|pls|can you|could you|would you|i(?:'d| would) like "
    r"(?:you )?to|i want (?:you )?to|bitte|kannst du(?: bitte)?)[,!.]?\s+)+",
    _I,
)
_THANKS = re.compile(r"[\s,.!]*(?:please|thanks|thank you|bitte|danke)?[\s.!]*$", _I)
_OTHERS = re.compile(
    r"\b(?!(?:today|tomorrow|week|month|let|that|what|it|here|there|monday|tuesday|wednesday|"
    r"thursday|friday|saturday|sunday|weekend)['\u2019]s)"
    r"[^\W\d]+['\u2019]s (?:task |todo |to-do |shopping )?(?:list|tasks?|todos?)\b"
    r"|\b(?:his|her|their|another user|someone else)(?:'s)? (?:lists?|tasks?|todos?)\b"
    r"|\b(?:list|tasks?|todos?) of (?!mine|today|this|the|all)\w+|\beveryone(?:'s|s)?\b",
    _I,
)
_LIST = r"(?: (?:to|on|onto|in) (?:my |the )?(?:(?:task|todo|to-do|shopping) ?)?list)?"
_KIND = r"(?:(?:a |an |the |this |these |new )*(?:tasks?|todos?|to-dos?|items?|reminders?)(?: to)?)"
_ADD = re.compile(
    rf"^(?:(?:add|create|note|new|put)(?: me)?\b(?: {_KIND}\b)?|make(?: me)? {_KIND}\b"
    r"|(?:new )?(?:tasks?|todos?|to-dos?)(?=:)"
    r"|remind me(?: to)?\b|remember to\b|don['\u2019]?t (?:let me )?forget to\b"
    r"|i (?:need|have) to\b|erinnere? mich(?: daran)?,?(?: an)?|neue aufgabe\b|notiere?\b"
    r"|f\u00fcge)[:,]?\s+(?P<rest>.+)$",
    _I,
)
_SEVERAL = re.compile(
    r"^(?:add|create|new|note) (?:these|the following|two|three|four|five|\d+) (?:new )?"
    r"(?:tasks|todos|to-dos|things|items): (?P<rest>.+)$",
    _I,
)
_UNDO = re.compile(
    r"^(?:undo|revert|take (?:that|it) back|(?:mach(?: das)? )?r\u00fcckg\u00e4ngig)"
    r"(?: (?:that|it|this|again|please|the last (?:change|step|one)|my last change|"
    r"(?:the )?last (?P<n>\d+|two|three|four|five) (?:changes|steps)|(?P<twice>twice)))?$",
    _I,
)
_DELETE = re.compile(
    r"^(?:delete|remove|erase|drop|clear|get rid of|l\u00f6sche?|entferne?)\s+(?P<ref>.+)$",
    _I,
)
_FROM_LIST = re.compile(r" (?:from|off|on|in|von) (?:my |the |meiner )?(?:\w+ )?liste?$", _I)
_DONE = r"(?:as )?(?:done|complete[d]?|finished|erledigt|fertig|ticked off|checked off)"
_COMPLETES = (
    rf"mark (?P<ref>.+?) {_DONE}",
    rf"(?P<ref>it|that)['\u2019]s (?:all |already )?{_DONE}",
    r"(?:complete|finish|tick off|check off|cross off|close|hake|erledige) (?P<ref>.+?)(?: ab)?",
    r"(?:tick|check|cross|hake) (?P<ref>.+) (?:off|ab)",
    r"(?:i(?:'m| am|['\u2019]ve| have)? )?(?:done|finished|completed) (?:with )?(?P<ref>.+)",
    rf"(?P<ref>.+?) (?:is|are|ist|sind) (?:all |already |schon )?{_DONE}",
)
_REOPENS = (
    r"(?:reopen|re-open|uncheck|untick) (?P<ref>.+)",
    r"mark (?P<ref>.+) (?:as )?(?:not done|undone|open|not finished)",
    r"(?P<ref>.+) (?:is|are) not (?:done|finished)(?: yet)?",
)
_RENAMES = (
    r"(?:rename|retitle) (?P<ref>.+?) (?:to|as|into) (?P<title>.+)",
    r"change (?:the )?(?:title|name) of (?P<ref>.+?) to (?P<title>.+)",
)
_UNDATES = (
    r"(?:remove|delete|clear|drop) the (?:due )?date (?:of|from|for) (?P<ref>.+)",
    r"(?P<ref>.+) has no (?:due )?date(?: any ?more)?",
)
_DATES = (
    rf"(?:move|reschedule|postpone|push|shift|change|set|verschiebe?) (?P<ref>.+?) "
    rf"(?:back )?(?:to|until|till|for|auf|due)? ?(?P<when>{WHEN})",
    rf"(?P<ref>.+?) (?:is|are) (?:now )?due (?P<when>{WHEN})",
)
_LEVEL = (
    r"(?P<level>high|urgent|important|top|low|normal|medium|hohe|niedrige)"
    r"(?:[- ]?(?:priority|prio|priorit\u00e4t))?"
)
_PRIORITIES = (
    rf"(?:make|mark|set|flag) (?P<ref>.+?) (?:to |as )?(?:a )?{_LEVEL}",
    rf"set (?:the )?priority of (?P<ref>.+?) to {_LEVEL}",
    rf"(?P<ref>.+?) is (?:now |very )?{_LEVEL}",
)
_TAGS = (
    r"tag (?P<ref>.+?) (?:with|as) #?(?P<tag>[\w-]+)",
    r"add (?:the )?tag #?(?P<tag>[\w-]+) to (?P<ref>.+)",
)
_FIND = re.compile(
    r"^(?:(?:show|list|find|search(?: for)?|look for|look up|see|display|zeige?|suche?)"
    r"(?: me| mir)?\b|what(?:['\u2019]s| is| are| do i have| have i got)?\b|which\b|"
    r"do i have\b|is there\b|are there\b|was steht\b|was ist\b|welche\b|any\b|when is\b)"
    r"\s*(?P<ref>.*)$",
    _I,
)
_SECOND = re.compile(
    r"(?:[;.]|,? (?:and then|and|then|und)) (?:please )?"
    r"(?:add|delete|remove|complete|mark|undo|rename|move|reschedule|finish|show|l\u00f6sche?)\b",
    _I,
)
_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5}
_LEVELS: dict[str, Priority] = {
    "high": "high", "urgent": "high", "important": "high", "top": "high", "hohe": "high",
    "low": "low", "niedrige": "low", "normal": "normal", "medium": "normal",
}  # fmt: skip

MAX_LINE = 600
"""Characters of a command; the patterns take a time that grows faster than their text."""

ONE_THING = "One thing at a time, please: I changed nothing."


def understood(message: str) -> Command:
    """Return what a message asks for."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    if not lines:
        return Unknown("You said nothing. What shall I do?")
    if len(lines[0]) > MAX_LINE:
        return Unknown(f"That is {len(lines[0])} characters, and I read {MAX_LINE} at most.")
    first = _POLITE.sub("", lines[0])
    outside = re.sub(_QUOTED, " ", first)
    if _OTHERS.search(outside):
        return Unknown("I keep your list alone, and know no other.")
    if _SECOND.search(outside):
        return Unknown(ONE_THING)
    added = _add(first, lines[1:])
    return added or _command(_THANKS.sub("", first).rstrip("?").strip())


def _command(text: str) -> Command:
    if found := _UNDO.match(text):
        steps = 2 if found["twice"] else _NUMBERS.get(found["n"] or "", 0)
        return Undo(steps or int(found["n"] or 1))
    for read in (_finds, _changes, _completes, _deletes):
        command = read(text)
        if command is not None:
            return command
    return Unknown(
        "I do not understand that. Say for example: add, show, move, done, delete, undo."
    )


def _add(first: str, rest: Sequence[str]) -> Command | None:
    head = re.match(r"^(?:add|new|note)\b[^:\"]*:$|^(?:tasks|todos?|to-dos?):$", first, _I)
    bullets = [re.match(r"^(?:[-*\u2022]|\d+[.)])\s+(.+)$", line) for line in rest]
    if head and bullets and all(bullets):
        return Add(tuple(_details(found[1]) for found in bullets if found))
    if several := _SEVERAL.match(first):
        each = re.split(r"\s*[,;]\s*(?:and )?|\s+(?:and|und)\s+", several["rest"])
        return Add(tuple(_details(one) for one in each if one))
    found = _ADD.match(first)
    if found is None or re.match(r"add (?:the )?tag ", first, _I):
        return None
    body = re.sub(r"\s+(?:hinzu|auf die liste|dass?)$", "", found["rest"], flags=_I)
    return _added(body)


def _added(body: str) -> Command:
    plain = re.sub(_QUOTED, " ", body)
    if REPEATS.search(plain):
        return Unknown("I cannot repeat tasks. Shall I add it once? Then say so, with a day.")
    if ambiguous(plain):
        return Unknown("That date could be two days. Write it as 2026-12-03, or with the month.")
    details = _details(body)
    if not details.title:
        return Unknown("What shall I add?")
    return Add((details,))


_PRIORITY_END = re.compile(
    r"[\s,(]+(?:(?:with |at |mit )?(?P<a>high|low|normal|hoher|niedriger)[- ]?(?:priority|prio|"
    r"priorit\u00e4t)|(?P<b>urgent|important|asap|dringend|wichtig))\)?$|\s*(?P<c>!+)$",
    _I,
)
_PRIORITY_START = re.compile(r"^(?P<b>urgent|important|dringend)[:,]\s*", _I)
_TAG_END = re.compile(r"[\s,(]+(?:#(?P<t>[\w-]+)|tagged (?:as |with )?#?(?P<u>[\w-]+))\)?$", _I)
_LIST_END = re.compile(
    r"\s+(?:to|on|onto|in|auf|zu) (?:my |the |meine |die )?(?:(?:task|todo|to-do) ?)?liste?$",
    _I,
)
_WHEN_END = re.compile(rf"(?:^|[\s,(]+)(?P<when>{WHEN})\)?$", _I)
_WHEN_START = re.compile(rf"^(?P<when>{WHEN})(?:[:,]\s*|\s+(?:to|daran,?|an)\s+)", _I)


def _details(text: str) -> Details:
    """Take date, priority and tags off the ends of a task; what is left is its title."""
    quoted = re.match(rf"^(?:{_QUOTED})", text.strip())
    if quoted:
        rest = _stripped(Details(title="x " + text.strip()[quoted.end() :]))
        return replace(rest, title=quoted["q"] or quoted["s"])
    details = _stripped(Details(title=text))
    title = re.sub(r"^(?:to|that i|:)\s+", "", details.title, flags=_I).strip(" \t,:;")
    return replace(details, title=title)


def _stripped(details: Details) -> Details:
    while True:
        shorter = _shorter(replace(details, title=details.title.strip().rstrip(".,;")))
        if shorter is None:
            return details
        details = shorter


def _shorter(details: Details) -> Details | None:
    title = details.title
    if found := _TAG_END.search(title):
        tags = (*details.tags, found["t"] or found["u"])
        return replace(details, title=title[: found.start()], tags=tags)
    if found := _LIST_END.search(title):
        return replace(details, title=title[: found.start()])
    if details.priority is None and (found := _PRIORITY_END.search(title)):
        level: Priority = "low" if (found["a"] or "").startswith(("low", "nied")) else "high"
        level = "normal" if (found["a"] or "").startswith("normal") else level
        return replace(details, title=title[: found.start()], priority=level)
    if details.priority is None and (found := _PRIORITY_START.search(title)):
        return replace(details, title=title[found.end() :], priority="high")
    if details.when is None and (found := _WHEN_END.search(title)) and found.start():
        return replace(details, title=title[: found.start()], when=found["when"].strip())
    if details.when is None and (found := _WHEN_START.search(title)):
        return replace(details, title=title[found.end() :], when=found["when"].strip())
    return None


def _changes(text: str) -> Command | None:
    if found := _first(_REOPENS, text):
        return Update(_ref(found["ref"], done=True), reopen=True)
    if found := _first(_RENAMES, text):
        return Update(_ref(found["ref"]), title=found["title"].strip("\"'\u201c\u201d"))
    if found := _first(_UNDATES, text):
        return Update(_ref(found["ref"]), when="none")
    if ambiguous(text) and re.match(r"(?:move|reschedule|postpone|push|set)\b", text, _I):
        return Unknown("That date could be two days. Write it as 2026-12-03, or with the month.")
    if found := _first(_DATES, text):
        return Update(_ref(found["ref"]), when=found["when"].strip())
    if found := _first(_TAGS, text):
        return Update(_ref(found["ref"]), tag=found["tag"])
    if found := _first(_PRIORITIES, text):
        return Update(_ref(found["ref"]), priority=_LEVELS[found["level"].casefold()])
    return None


def _completes(text: str) -> Command | None:
    found = _first(_COMPLETES, text)
    if found is None:
        return None
    return Complete(_ref(found["ref"]))


def _deletes(text: str) -> Command | None:
    found = _DELETE.match(text)
    if found is None:
        return None
    ref = _ref(_FROM_LIST.sub("", found["ref"]), done=None)
    if re.match(r"^(?:my |the )?(?:whole |entire )?(?:task |todo )?list$", found["ref"], _I):
        ref = Ref(every=True, done=None)
    return Delete(ref)


def _finds(text: str) -> Command | None:
    found = _FIND.match(text)
    if found is None:
        return None
    return Find(replace(_filters(_ASKED.sub("", found["ref"])), every=True))


_ASKED = re.compile(
    r"^(?:(?:my|the|all|of|me|any|anything|is|are|do i have|i have|to do|due|on|there|still|open|"
    r"tasks?|todos?|to-dos?|list|about|with|for|have i|meine|auf|meiner|liste)\b\s*)+",
    _I,
)


def _first(patterns: Sequence[str], text: str) -> re.Match[str] | None:
    tried = (re.fullmatch(pattern, text, _I) for pattern in patterns)
    return next((found for found in tried if found), None)


def _ref(text: str, *, done: bool | None = False) -> Ref:
    """Return which tasks some words mean."""
    text = text.strip().strip(",")
    if found := re.fullmatch(_QUOTED, text):
        return Ref(words=found["q"] or found["s"], exact=True, done=done)
    if re.fullmatch(r"(?:it|that|this|that one|this one|that task|this task|das|es|die)", text, _I):
        return Ref(spoken="one", done=None)
    if re.fullmatch(r"(?:them|these|those|both|them all|all of them|these tasks)", text, _I):
        return Ref(spoken="all", done=None)
    if found := re.fullmatch(
        r"(?:tasks?|numbers?|nr\.?|no\.?|#)? ?#?(\d+(?:(?:, | and |,)\d+)*)", text, _I
    ):
        return Ref(ids=tuple(int(each) for each in re.findall(r"\d+", found[1])), done=None)
    every = re.match(
        r"^(?:all|every|everything|alle[sn]?)\b(?: of)?(?: (?:my|the|meine))*", text, _I
    )
    if every:
        return replace(_filters(text[every.end() :], done), every=True)
    plural = re.fullmatch(
        r"(?:my |the )?(?:(?:done|completed|finished|overdue) (?:tasks|ones|todos))", text, _I
    )
    return (
        replace(_filters(text, done), every=True) if plural else Ref(words=_bare(text), done=done)
    )


def _filters(text: str, done: bool | None = False) -> Ref:
    """Read tags, dates, and whether tasks are done; what is left are words of titles."""
    ref = Ref(done=done)
    if found := re.search(
        r"(?:tagged |with (?:the )?tag )(?:with |as )?#?([\w-]+)|#([\w-]+)", text, _I
    ):
        ref, text = replace(ref, tag=found[1] or found[2]), text.replace(found[0], " ")
    if found := re.search(r"\b(?:overdue|late|\u00fcberf\u00e4llig)\b", text, _I):
        ref, text = replace(ref, overdue=True), text.replace(found[0], " ")
    if found := re.search(r"\b(?:done|completed|finished|erledigte?n?)\b", text, _I):
        ref, text = replace(ref, done=True), text.replace(found[0], " ")
    if found := re.search(rf"\b{_LEVEL}\b", text, _I):
        level = _LEVELS[found["level"].casefold()]
        ref, text = replace(ref, priority=level), text.replace(found[0], " ")
    if found := re.search(rf"(?<!\w){WHEN}", text, _I):
        ref, text = replace(ref, when=found[0].strip()), text.replace(found[0], " ")
    return replace(ref, words=_bare(text))


_EMPTY = re.compile(
    r"\b(?:the|my|a|an|task|tasks|todo|todos|to-do|thing|things|list|one|ones|due|that|are|is|have|"
    r"i|do|to|of|on|there|open|and|about|for|with|anything|reminder|item|items|called|named|from|"
    r"me|der|die|das|meine|meinen|aufgabe|aufgaben)\b",
    _I,
)


def _bare(text: str) -> str:
    """Return the words of a description that a title may hold."""
    return " ".join(_EMPTY.sub(" ", text).split())
