"""What attacks say, as patterns over folded text (lower case, no accents): no understanding.

English and German are covered best; of French, Spanish, Italian, Portuguese, Dutch, Polish,
Russian, Croatian, Chinese and Japanese only the usual ways to set instructions aside and to ask for
a prompt.
Quotation is not seen: a report that quotes an attack is flagged with it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ("RULES", "Rule", "matches")

Kind = Literal["instruction", "leak"]

NEAR = r"[^.!?]{0,60}?"
"""What may stand between two words of one thought."""

_IGNORE = (
    r"\b(?:ignor\w*|disregard\w*|forget|override|overrule|bypass|neglect|set aside|abandon|"
    r"do(?:n['’]?t| not) (?:follow|obey|answer|use)|"
    r"vergiss|vergesst|vergessen|missachte\w*|uberschreibe?|"
    r"oublie[zr]?|olvid\w+|dimentica\w*|esque[cz]\w+|desconsider\w+|negeer|vergeet|"
    r"zaboravi\w*|zanemari\w*|zapomnij|zignoruj|pomin|забуд\w+|игнориру\w+)\b"
)
_TOLD = (
    r"\b(?:(?:system[- ]?)?prompts?|instru[ck]tions?|instruktion\w*|guidelines|directives|"
    r"(?:all|all of|alle|any|every|your|the) (?:the |your |my |of )*(?:previous |prior |"
    r"above |preceding |"
    r"earlier |vorherigen |bisherigen |obigen )*(?:rules|orders|commands|tasks?|assignments|"
    r"thoughts|"
    r"regeln|befehle|aufgaben|vorgaben|informationen)|"
    r"(?:previous|prior|above|preceding|earlier) (?:rules|commands|context|text|messages?|tasks?)|"
    r"(?:everything|all|anything)(?: \w+){0,4} (?:above|before|so far|previously)|"
    r"alles (?:davor|bisher\w*|vorher\w*|oben)|(?:obigen?|vorherigen?|bisherigen?) \w+|"
    r"anweisung\w*|vorgaben|consignes|instrucciones|indicaciones|istruzioni|instrucoes|instructies|"
    r"instrukcij?e?\w*|polecenia|инструкци\w*|указани\w*)\b"
)
_TELL = (
    r"\b(?:reveal|show|print|repeat|output|display|tell|give|list|leak|disclose|recite|share|copy|"
    r"translate|summari[sz]e|what (?:is|are|was|were)|what's|zeige?n?|nenne?n?|wiederhole?n?|"
    r"verrate?n?|gib|"
    r"wie lauten|was (?:ist|sind|steht)|affiche[zr]?|montre[zr]?|revele[zr]?|muestra\w*|revela\w*|"
    r"mostra\w*|toon|pokaz|покажи\w*|выведи\w*)\b"
)
_PROMPT = (
    r"(?:\bsystem[- ]?(?:prompt|message|instructions?|anweisung\w*)|\bprompt[- ]?text\w*|"
    r"\byour (?:\w+ ){0,2}(?:instructions|prompts?|guidelines|system message)|"
    r"\b(?:deine|ihre) (?:\w+ ){0,2}(?:anweisungen|instruktionen|prompts?|vorgaben)|"
    r"\b(?:tes|vos) (?:\w+ )?(?:instructions|consignes)|\btus instrucciones|"
    r"\b(?:above|initial|hidden|original) prompt|(?:beginning|start) of (?:this|the|your) prompt|"
    r"\binstructions (?:you (?:were|got)|above|given to you)|системн\w+ (?:промпт|инструкц)\w*)"
)
_SEND = (
    r"\b(?:send|e-?mail|post|forward|upload|transmit|exfiltrate|submit|report|leak|sende?n?|"
    r"schicke?n?|"
    r"leite?|envoie[zr]?|envia\w*|reveal|show|print|display|tell|give|list|dump|include|"
    r"append|read|"
    r"zeige?n?|nenne?n?|verrate?n?|gib|output|share|disclose)\b"
)
_SECRETS = (
    r"\b(?:api[ _-]?keys?|pass(?:word|code|phrase)s?|passwort\w*|credentials?|zugangsdaten|"
    r"secrets?|"
    r"access tokens?|private keys?|ssh keys?|secret keys?|environment variables?|env vars?|\.env\b|"
    r"connection strings?|(?:credit )?card numbers?|kreditkartennummern?|cvv|pins?|"
    r"social security numbers?|mot de passe|contrasenas?|пароли?)(?!\w)"
)
_DATA = (
    r"\b(?:conversation|chat (?:history|log)|e-?mails|inbox|mailbox|contacts|address book|files|"
    r"documents|customer (?:data|list|records)|personal data|history|transcript|kundendaten|"
    r"gesprachsverlauf|everything you know)\b"
)
_HARMLESS = r"(?!(?:(?![.!?]).){0,60}\b(?:reset|change|forgot\w*|zurucksetzen|andern)\b)"
_ASSISTANT = (
    r"(?:an? )?(?:ai|a\.i\.|ki|llms?|language models?|assistants?|chat ?bots?|chatgpt|gpt|agents?|"
    r"model|ki-\w+)"
)


@dataclass(frozen=True)
class Rule:
    """A pattern, what it speaks for, and whether a user may well write it of a harmless thing."""

    name: str
    category: Kind
    pattern: re.Pattern[str]
    document_only: bool = False


def _rule(name: str, category: Kind, *patterns: str, document_only: bool = False) -> Rule:
    whole = re.compile("|".join(f"(?:{p})" for p in patterns), re.MULTILINE)
    return Rule(name, category, whole, document_only)


RULES = (
    _rule(
        "asks for the prompt",
        "leak",
        f"{_TELL}{NEAR}{_PROMPT}",
        r"(?:written|stands?|geschrieben|steht) (?:at the (?:beginning|start|top)|above|oben)",
        "(?:显示|告诉|输出|重复|泄露).{0,20}(?:系统提示|提示词|指令)",
        "システムプロンプト",
    ),
    _rule(
        "asks for secrets",
        "leak",
        f"{_SEND}{_HARMLESS}{NEAR}{_SECRETS}",
        f"{_SECRETS}{NEAR}\\b(?:senden|schicken|verraten|nennen|preisgeben)\\b",
    ),
    _rule(
        "sends data away",
        "leak",
        f"{_SEND}{NEAR}{_DATA}{NEAR}\\b(?:to|an|a|at|unter)\\b{NEAR}(?:https?://|\\S+@\\S+)",
        r"!\[[^\]]*\]\(https?://[^)\s]*[?&=][^)\s]*(?:\{|\$|<|data|secret|conversation|chat)",
    ),
    _rule(
        "sets instructions aside",
        "instruction",
        f"{_IGNORE}{NEAR}{_TOLD}",
        f"{_TOLD}{NEAR}\\b(?:ignorieren|vergessen|missachten|ignore[dn]?|irrelevant|void|"
        "no longer (?:apply|valid))\\b",
        "(?:忽略|无视|忽視|忘记|忘掉).{0,15}(?:指令|指示|提示|规则|内容)",
        "(?:指示|命令|プロンプト).{0,10}(?:無視|忘れ)",
        r"\bnew (?:instructions?|system prompt)\b|\bneue (?:anweisung|instruktion)en\b",
    ),
    _rule(
        "gives a role",
        "instruction",
        r"\b(?:you are now|from now on,? you (?:are|will|act|must|only|answer|respond|speak)|"
        r"pretend (?:to be|you|that you)|you will (?:now )?act as|now act as)\b",
        r"\bact as (?:an? |if you|the |my )",
        r"\b(?:stay|remain) in character\b",
        r"\b(?:du bist|sie sind) (?:jetzt|nun|ab jetzt)\b|\b(?:jetzt|nun) bist du\b|"
        r"\bab (?:jetzt|sofort) (?:bist|antwortest)\b",
        r"\btu es (?:maintenant|desormais)\b|\bahora eres\b|\bactua como\b|\bagora (?:voce e|"
        r"es)\b|теперь ты",
        r"\bdan mode\b|\bdeveloper mode\b|\bdo anything now\b|\bjailbreak\w*|\bgod mode\b",
        r"\bno (?:longer )?(?:bound|restricted) by\b|\bwithout (?:any )?(?:restrictions|"
        r"filters|limits)\b",
        "你现在是|扮演",
    ),
    _rule(
        "forges a frame",
        "instruction",
        r"<\|?/?(?:im_start|im_end|system|endoftext)\|?>|\[/?inst\]|<</?sys>>",
        r"^[#\s*\[]*(?:system|developer|assistant)(?: (?:message|prompt|override|note|"
        r"update))?\]?\s*:\s",
        r"</?(?:system|instructions?|tool[_-]?results?|tool[_-]?output|document|user_query|"
        r"context)(?:-\w+)?>",
        r"\b(?:end|begin(?:ning)?|start) of (?:the )?(?:new |system |user |"
        r"untrusted )?(?:document|context|input|data|instructions?)\b",
        r"-{3,}\s*(?:end|begin)\b",
    ),
    _rule(
        "speaks to the agent",
        "instruction",
        r"\b(?:attention|note|message|instructions?|notice|important|hinweis|achtung|"
        rf"nachricht)\W{{1,3}}(?:to|for|an|fur)?\s*(?:the |any |all |die |den |"
        rf"alle )?{_ASSISTANT}\b",
        rf"\b(?:dear|hey|hello|hi|liebe|hallo) {_ASSISTANT}\b",
        r"\bif you(?:'re| are) an? (?:ai|llm|language model|assistant)\b",
        r"\b(?:wenn|falls) (?:du|sie) eine? (?:ki|sprachmodell|assistent)\b",
        rf"\b{_ASSISTANT}\W{{1,3}}(?:(?:you |reading |processing |summari[sz]ing )\w*|must|"
        r"should|please|bitte|muss|soll)\b",
        document_only=True,
    ),
    _rule(
        "hides it from people",
        "instruction",
        r"\b(?:do not|don['’]t|never|without) (?:mention\w*|tell\w*|inform\w*|alert\w*|"
        r"notify\w*|reveal\w*|ask\w*)\b[^.!?]{0,30}\b(?:the user|users?|anyone|anybody|human|"
        r"operator|this)\b",
        r"\b(?:sag\w*|erwahne?\w*|informier\w*)\b[^.!?]{0,30}\b(?:nutzer|benutzer|niemand\w*|"
        r"anwender)\w*\b[^.!?]{0,20}\b(?:nicht|nichts)\b",
        document_only=True,
    ),
    _rule(
        "calls tools",
        "instruction",
        r"\b(?:call|use|invoke|execute|run|trigger) (?:the |your |this |"
        r"following )*`?[\w.]+`? (?:tool|function|command|api)\b",
        r"\b(?:call|invoke|execute|run)\s+`?\w+_\w+`?|\b(?:execute|run) the following\b",
        r'"(?:tool|tool_name|function|tool_call|action)"\s*:\s*["{]',
        r"<(?:tool_call|function_call|invoke)\b",
        r"\b(?:rufe?|nutze|verwende)\b[^.!?]{0,30}\b(?:werkzeug|funktion|tool)\b",
        document_only=True,
    ),
    _rule(
        "orders an answer",
        "instruction",
        r"\byour (?:\w+ )?(?:answer|response|reply|output|summary) (?:must|should|has to|with|"
        r"so that|to)\b",
        r"\b(?:repeat after me|say exactly|reply only with|respond (?:only )?with|"
        r"answer only with|antworte nur)\b",
        r"\b(?:in|to|of|into) your (?:\w+ )?(?:answer|response|reply|output|summary)\b",
        r"\b(?:in|an|mit) (?:deiner|deine|ihrer|ihre) (?:antwort|zusammenfassung)\b",
        document_only=True,
    ),
)


def matches(text: str, document: bool) -> Iterator[tuple[Rule, int, int]]:
    """Yield each rule that a folded text meets, and every place where it does."""
    for rule in RULES:
        if document or not rule.document_only:
            for found in rule.pattern.finditer(text):
                if found.end() > found.start():
                    yield rule, found.start(), found.end()
