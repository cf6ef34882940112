"""Whether an answer is none: the many ways to say that the answer is not known.

The prompt asks for one fixed sentence, and models say it in their own words. A refusal opens the
answer and is about knowing: the writer does not know, or the material that was given does not
say. What denies a fact is an answer ("The policy does not cover dental care", "There is no
information security officer", "It is not provided"), and so is what goes on to give one ("I do not
know of any office that closes early, except Lisbon").
"""

import re
import unicodedata

_FOLDED = str.maketrans({"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"'})
_MARKUP = re.compile(r"[*_#>]+|\[\d+\]")
_SPACES = re.compile(r"\s+")

_SOFTENED = (
    r"(?:(?:sorry|unfortunately|i am sorry|we are sorry|i apologi[sz]e|apologies|"
    r"regrettably|i am afraid|hmm|well|leider|désolé|lo siento)"
    r"(?: about that| for the inconvenience)?(?:,? but|,? that|[,.!:])?\s*|"
    r"(?:based on|according to|from|in|given) (?:the |these |this )?(?:\w+ ){0,2}"
    r"(?:passages?|documents?|sources?|context|texts?|information|excerpts?)"
    r"(?: (?:provided|given|above|available|i have|you (?:gave|provided)))?,?\s*|"
    r"as an? \w+(?: \w+){0,2},\s*|it (?:seems|appears)(?: that)?\s*|(?:answer|antwort)\s*:\s*)"
)
_MATERIAL = (
    r"(?:(?:the|these|those|this|your|our|my|any of the|all of the|both) )?"
    r"(?:(?:provided|given|available|supplied|retrieved|numbered|above|cited|attached|company|"
    r"relevant|current|listed|search) )*"
    r"(?:passages?|documents?|documentation|sources?|contexts?|texts?|excerpts?|materials?|"
    r"records?|results?|snippets?|information|files?|data)"
    r"(?: (?:provided|given|available|here|above|supplied|you provided|you gave me|you gave|"
    r"i have(?: access to)?|at hand|i was given|in the prompt|from the documents?))*"
)
_RULES = (
    r"(?:the|this|our|your) (?:\w+ )?(?:policy|policies|handbook|manual|guide|guidelines?|contract)"
)
_HOW = r"(?: (?:actually|really|explicitly|directly|specifically|clearly|seem to|appear to|even))*"
_NOT = r"(?:do not|don't|does not|doesn't|did not|didn't|fails? to)"
_TELL = (
    r"(?:say|mention|state|specify|tell|answer|indicate|explain|clarify|address|discuss|disclose|"
    r"reveal|elaborate|cover this|cover that|cover it|cover the question|cover the topic)"
)
_HOLD = r"(?:contain|include|provide|give|have|hold|offer|show|list|describe|cover|supply)"
_ANYTHING = (
    r"(?:any |enough |sufficient |the |an? |such |this |that |more |further |specific |relevant |"
    r"direct |clear |detailed |requested |necessary |needed )*"
    r"(?:information|info|details?|answers?|mention|reference|indication|explanation|anything|"
    r"evidence|context|data (?:on|about)|question|it|this|that)\b"
)
_KNOWN = r"(?:information|info|details?|mention|indications?|reference)"
_STATED = (
    r"(?:given|provided|available|found|mentioned|stated|included|present|contained|listed|"
    r"specified|offered|shown|at hand|there)"
)
_WITHIN = rf"(?:in|by|from|within|on the basis of|based on|with|using) (?:any of )?{_MATERIAL}"
_OPEN_QUESTION = r"(?:who|whom|whose|what|when|where|which|why|how|whether|if|this|that|it)\b"
_REFUSES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:i|we) (?:really |honestly |simply |just )?(?:do not|don't|did not|didn't) know\b",
        rf"(?:i|we) (?:do not|don't|did not) (?:currently )?(?:have|find|see) "
        rf"(?:(?:any|the|that|enough|sufficient|access to|such|specific|more) )*{_KNOWN}\b",
        rf"(?:i|we) (?:have|had|found|find|see|can find) no (?:\w+ )?{_KNOWN}\b",
        r"(?:i|we) (?:do not|don't|did not|didn't) have (?:an|the|any|that|enough|sufficient) "
        r"(?:answer|knowledge|idea|context|data (?:on|about|to)|evidence)\b",
        r"(?:i|we) have no (?:idea|answer|knowledge|clue|way of knowing|data (?:on|about))\b",
        r"(?:i|we) (?:cannot|can't|can not|could not|couldn't|(?:am|are|was|were) "
        r"(?:unable|not able) to)(?: \w+ly)? (?:find|answer|determine|tell|say|locate|"
        r"confirm|identify|see|provide (?:an|any|that|the|this|more)|give (?:an|you an|any) answer|"
        r"respond|help)\b",
        r"i am (?:not sure|unsure|not certain|uncertain|not aware)\b",
        r"(?:i|we) (?:did not|didn't|do not|don't|could not|couldn't) (?:find|see) "
        r"(?:any|anything|that|the answer|an answer|this|it)\b",
        rf"{_MATERIAL} {_NOT}{_HOW} {_TELL}\b",
        rf"{_MATERIAL} (?:do|does) not{_HOW} {_HOLD} {_ANYTHING}",
        rf"{_MATERIAL} (?:don't|doesn't|fails? to){_HOW} {_HOLD} {_ANYTHING}",
        rf"{_MATERIAL} (?:contains?|provides?|has|have|gives?|includes?|says?|mentions?) "
        rf"(?:nothing|no {_KNOWN})\b",
        rf"{_RULES} {_NOT}{_HOW} {_TELL}(?: {_OPEN_QUESTION}[^:;,]*)?[.!]?$",
        rf"(?:none of {_MATERIAL}|no (?:passages?|documents?|sources?)) "
        r"(?:says?|mentions?|states?|answers?|tells?|specif(?:y|ies)|contains? (?:the|an|any) "
        r"(?:answer|information)|address(?:es)?|discuss(?:es)?|explains?)\b",
        rf"nothing (?:about \S+(?: \S+)* )?(?:is (?:said|mentioned|stated|known)|{_WITHIN} "
        r"(?:says?|mentions?|answers?|states?))\b",
        r"(?:(?:this|that|it|which|the answer) (?:is |was |isn't |wasn't )|)(?:not )?"
        rf"(?<=n[o']t )(?:explicitly |specifically |directly |clearly )?(?:mentioned|stated|"
        rf"specified|indicated|addressed|discussed|answered|known)(?: {_WITHIN}| anywhere)?[.!]?$",
        r"(?:this|that|it|the answer|the (?:requested )?information|"
        r"that information|(?:the )?\w+(?: \w+)?)"
        rf" (?:is|are|was|were)(?: not|n't) (?:explicitly |specifically |directly |clearly )?"
        rf"(?:mentioned|stated|specified|given|provided|covered|described|addressed|included|"
        rf"available|found|indicated|discussed|contained|answered|listed)? ?{_WITHIN}",
        rf"not (?:explicitly )?(?:given|provided|covered|described|included|available|found|"
        rf"contained|listed) {_WITHIN}",
        r"(?:the answer|(?:this|that|the requested) information) (?:is|was)(?: not|n't) "
        r"(?:known|given|available|there)[.!]?$",
        r"(?:the answer|the question|this question|this|that|it) (?:can not|cannot|can't|"
        r"could not) be (?:determined|answered|found|established|inferred|derived)\b",
        rf"\w+(?: \w+){{0,6}} (?:can not|cannot|can't|could not) be (?:determined|answered|found|"
        rf"established|inferred|derived) {_WITHIN}",
        r"(?:it(?:'s| is) )?(?:unclear|unknown|not clear|not known|"
        r"impossible to (?:say|tell|know))\b"
        r"(?: (?:from|who|what|when|where|which|why|how|whether|if)\b.*)?[.!]?$",
        r"(?:(?:there is|there's|there was) )?(?:not enough|insufficient|no sufficient) "
        r"(?:information|context|details?|evidence|data)\b",
        r"(?:(?:there is|there's|there was|there are|i see|i found|i find) )?"
        rf"no (?:\w+ )?(?:mention|indication)s? (?:of|that|about|{_WITHIN})",
        rf"(?:(?:there is|there's|there was|there are) )?no (?:(?:specific|relevant|further|such|"
        rf"direct|clear) )?{_KNOWN} (?:(?:is|are|was|were|has been|have been) )?"
        rf"{_STATED}\b(?! to\b)",
        rf"(?:there is|there's|there was|there are) no "
        r"(?:(?:specific|relevant|further|such|direct) )?"
        rf"{_KNOWN}(?: (?:about|on|regarding|concerning|for|{_WITHIN})\b.*)?[.!]?$",
        rf"no (?:(?:specific|relevant|further|such|direct) )?{_KNOWN}"
        r"(?: (?:about|on|regarding|concerning|for) (?:(?!\b(?:is|are|was|were|may|must|shall|can|"
        r"should|will|has|have|leaves?|goes)\b)[^,;:])*)?[.!]?$",
        rf"no {_KNOWN} (?:about|on|regarding|concerning|for) [^,;:]{{1,80}} (?:is|are|was|were) "
        rf"{_STATED}\b(?! to\b)",
        r"no answer (?:(?:is|was|can be|could be) )?(?:given|found|provided|available|possible)\b",
        r"(?:unknown|no idea|no information|not known)[.!]?$",
        # German, French, Spanish, Italian, Portuguese, Chinese, Japanese, Korean.
        r"(?:das |dazu )?(?:ich )?weiss (?:ich )?(?:es |das )?(?:leider )?nicht\b",
        r"(?:dazu|darüber|hierzu) .{0,40}\b(?:keine (?:informationen|angaben)|nichts)\b",
        r"(?:ich habe |es gibt |leider )*keine (?:informationen|angaben?)\b",
        r"(?:die|in den) (?:dokumente|passagen|quellen|texte|unterlagen|abschnitte)n? "
        r"(?:sagen|nennen|erwähnen|enthalten|geben|steht|beantworten|machen)\b.{0,80}\b"
        r"(?:nicht|nichts|keine (?:angabe|information|antwort)\w*)\b",
        r"je ne (?:le )?sais pas\b",
        r"(?:je n'ai |il n'y a )?(?:pas d'|aucune )information\b",
        r"les (?:documents|passages|sources|textes) ne .{0,40}\b(?:pas|rien|aucune)\b",
        r"no (?:lo )?sé\b",
        r"(?:no (?:tengo|hay|se da|se encontró) )(?:ninguna )?información\b",
        r"los (?:documentos|pasajes|textos) no (?:dicen|mencionan|contienen|especifican|indican)\b",
        r"no se (?:menciona|especifica|indica)\b",
        r"non lo so\b",
        r"não sei\b",
        r"(?:抱歉,?\s*)?(?:我)?不知道",
        r"(?:文档|文件|资料|段落)(?:中|里)?(?:没有|未)",
        r"(?:申し訳.{0,12}[、,。])?(?:わかりません|分かりません|知りません)",
        r"(?:죄송.{0,8}[,.]\s*)?(?:모르겠습니다|모릅니다|알 수 없습니다)",
    )
)
_LEADING = re.compile(rf"[\W_]*(?:{_SOFTENED})*")
_SENTENCE = re.compile(r"[.!?。！？](?=\s|$|[^\W\da-z])")
_STILL = re.compile(
    r"\b(?:except|other than|apart from|aside from|besides|unless|save for|beyond|außer|sauf|"
    r"salvo)\b"
)
_TURNS = re.compile(
    r"[,;:]?\s(?:but|however|although|though|aber|mais|pero)\b[,]?\s*(.*)", re.DOTALL
)
_POINTS_ON = re.compile(
    r"(?:i |we )?(?:can |could |would |will )?(?:please|ask|contact|check|consult|see|"
    r"you (?:can|could|may|"
    r"might|should)|your|try|the (?:hr|it)\b|hr\b|it (?:may|might|could)|i (?:can|could|would)|"
    r"recommend|suggest|find out|someone|they (?:do )?not|(?:they|it) (?:do|does)n't|let me)"
)
_UNSURE = re.compile(r"i am (?:not sure|unsure|not certain|uncertain)")


def is_refusal(text: str) -> bool:
    """Tell whether an answer opens by saying that it does not know."""
    folded = unicodedata.normalize("NFKC", text[:1200]).translate(_FOLDED).casefold()
    folded = _SPACES.sub(" ", _MARKUP.sub(" ", folded)).strip().replace("i'm ", "i am ")
    opening = folded[_LEADING.match(folded).end() :]  # type: ignore[union-attr]
    end = _SENTENCE.search(opening)
    sentence = opening[: end.start()] if end else opening
    rest = opening[len(sentence) + 1 :].strip() if end else ""
    if not any(pattern.match(sentence) for pattern in _REFUSES):
        return False
    return not _goes_on(sentence, rest)


def _goes_on(sentence: str, rest: str) -> bool:
    """Whether an answer follows the words of a refusal."""
    if _STILL.search(sentence):
        return True
    turn = _TURNS.search(sentence)
    if turn is not None:
        return not _POINTS_ON.match(turn[1])
    # Who is not sure may still say what they believe.
    return bool(_UNSURE.match(sentence) and rest and not _POINTS_ON.match(rest))
