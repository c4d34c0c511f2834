"""How urgent a message is, by words: stated rules, not understanding.

The first rule that matches wins. The lists are English: in another language a message counts as
not urgent unless a loan word gives it away. Negation is not seen, except in the first rule.
"""

import re

__all__ = ("RULES", "urgency")


def _begins(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})", re.IGNORECASE)


RULES: tuple[tuple[int, re.Pattern[str]], ...] = (
    (1, _begins("no rush", "no hurry", "not urgent", "whenever you", "when you have time")),
    (
        5,  # people or property in danger, or a loss that grows by the minute
        _begins(
            *("emergency", "danger", "injur", "bleed", "unconscious", "ambulance", "smoke"),
            *("gas leak", "on fire", "ransom", "hacked", "breach", "fraud", "stolen", "right now"),
            *("someone (?:is|has been) using", "(?:production|everything) (?:is|has been) down"),
            "being (?:stolen|drained|charged)",
        ),
    ),
    (
        4,  # stuck, or within the hour
        _begins(
            *("urgent", "asap", r"a\.s\.a\.p", "immediately", "at once", "within (?:the|an) hour"),
            *("(?:is|are|been|went) (?:completely )?down\\b", "outage", "phish", "suspicious"),
            *("(?:can ?not|can'?t|can|unable to) (?:log|sign) in", "stranded", "vulnerab", "leak"),
            *("data loss", r"in (?:an hour|\d+ min)", r"error 5\d\d", "time out", "timing out"),
            *("unreachable", "unavailable", "stands still", "standstill", "lock (?:it|my account)"),
        ),
    ),
    (
        3,  # today, or a deadline or a loss in sight
        _begins(
            *("today", "tonight", "this (?:morning|afternoon|evening)", "by noon", "tomorrow"),
            *("end of (?:the )?day", "eod", "deadline", "overdue", "(?:final|last) (?:not|remind)"),
            *("as soon as", "quickly", "lawyer", "legal action", "twice", "wrong amount"),
            *("unacceptable", "still (?:not|waiting|no)", "broken", "crash", "error", "fails"),
        ),
    ),
    (
        2,  # somebody waits for something
        _begins(
            *("please", "could you", "can you", "would you", "need", "want", "cancel", "refund"),
            *("book", "invoice", "change", "when", "complain", "disappoint", "problem", "terribl"),
        ),
    ),
)
"""Urgency, and the beginnings of words that mean it, in the order in which they are tried."""


def urgency(message: str) -> int:
    """Return 1 (whenever) to 5 (harm goes on), on the scale of `Triage.urgency`."""
    return next((level for level, words in RULES if words.search(message)), 1)
