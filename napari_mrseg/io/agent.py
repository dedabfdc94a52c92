"""Whether a scan was taken after a contrast agent: what each source says of it, and what follows from all of them.

The one home of this question, for DICOM tags and descriptions, file names and JSON sidecars. A text is read by
:func:`hear`, a tag by :func:`tag_vote`; each gives a :class:`Vote`, and :func:`weigh` judges the votes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Side = Literal["", "post", "pre", "both"]
"""After an agent, before or without one, both at once (which says nothing), or not a word of it."""

IN_WORDS: dict[Side, str] = {"post": "that an agent was given", "pre": "that none was given", "both": "both"}


@dataclass(frozen=True)
class Vote:
    """What one source says. ``weight`` 2: in words; 1: by its silence; 0: in words that may be the patient's name."""

    source: str
    side: Side
    reason: str
    weight: Literal[0, 1, 2] = 2


@dataclass(frozen=True)
class Weighed:
    """What all votes come to. ``side`` is empty where they contradict each other. ``sure``: two sources agree."""

    side: Side
    sure: bool
    reason: str


def weigh(votes: Iterable[Vote]) -> Weighed:
    """The side that the votes are on. Silence makes nothing sure, and words against words leave it open."""
    every = list(votes)
    loud = [v for v in every if v.weight == 2] or [v for v in every if v.weight == 0] or every
    sides = {v.side for v in loud}
    if len(sides) != 1 or "both" in sides:
        return Weighed("", False, ", but ".join(dict.fromkeys(v.reason for v in loud)))
    (side,) = sides
    agreeing = [v for v in every if v.side == side]
    sure = len({v.source for v in agreeing if v.weight == 2}) > 1
    return Weighed(side, sure, " and ".join(dict.fromkeys(v.reason for v in agreeing)))


# -- words ------------------------------------------------------------------------------------------------

LONGEST = 40  # letters of a word that may be several
POST, PRE, BOTH = "\ue000", "\ue001", "\ue002"  # stand for a phrase that was understood
SIDES: dict[str, Side] = {POST: "post", PRE: "pre", BOTH: "both"}


class Word(str):
    """A word in lower case, or one of the three signs above; ``written``: how it stood there."""

    written: str

    def __new__(cls, text: str, written: str | None = None) -> Word:
        word = super().__new__(cls, text)
        word.written = text if written is None else written
        return word


Words = tuple[Word, ...]


def fold(text: str) -> str:
    """Lower case, without accents; wide and narrow forms, and the many kinds of dashes, alike."""
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c)).casefold()
    return re.sub("[\u2010-\u2015\u2212]", "-", text).replace("ı", "i")


@lru_cache(maxsize=64)
def folded(words: tuple[str, ...]) -> frozenset[str]:
    """``words`` as :func:`hear` gives them."""
    return frozenset(map(fold, words))


def _set(text: str) -> frozenset[str]:
    return frozenset(fold(text).split())


# An agent, or that there is contrast. One line for English and what all languages share, then one a language.
_AGENT = _set("""
    contrast kontrast gd gad gado ce cm km mdc pdc gdpc enh enhanced enhancing-agent inj injected injection dtpa
    dota gbca
    gadovist gadavist dotarem prohance magnevist multihance omniscan clariscan vueway elucirem artirem optimark
    eovist primovist ablavar vasovist pixxoscan dotagraf magnograf cyclolux magnegita omnigad
    kontrastmittel kontrastmittelgabe kontrastverstarkt kontrastverstaerkt injektion
    contraste produit injecte injectee iniezione contrasto inyeccion injecao realce
    kontrastu kontrastem kontrascie kontrastowy wzmocnienie srodek kontrastni latka kontrastom
    контраст контрастом контраста контраста контрастирования контрастирование контрастное контрастным ку гадолиний
    contrastmiddel contrastvloeistof kontrastmiddel kontrastmedel
    kontrastli kontrastaine tehosteaine tehostettu tehoste tehosteen tehostetta
    kontraszt kontrasztos kontrasztanyag σκιαγραφικο σκιαγραφικου kontras صبغة
""")
_AGENT_STEMS = tuple(
    _set("contrast kontrast contrst gado контраст kontraszt σκιαγραφ tehoste injec injek iniez inyec")
)
_WITH = _set("with w avec con mit com z ze s с со met med kanssa με cu dengan ile")
_WITHOUT = _set("""
    without no non not none wo w/o sans ohne kein keine keinen ohen senza sin sem bez без zonder geen uten ingen
    utan uden
    ilman χωρις fara nelkul tanpa yok nie brak нет nao nessun nessuno aucun aucune ningun nil never zero
""")
_BEFORE = _set(
    "pre before avant vor prima antes przed pred до перед пре voor vooraf før fore foer ennen πριν προ inainte oncesi "
    "sebelum"
)
_AFTER = _set("""
    post after apres nach dopo despues depois apos tras pos po после na etter efter jalkeen μετα dupa setelah
    sonrasi пост
""")
# Words that alone say there was none; or one.
_NATIVE = _set("""
    plain native nativ натив nativo nativa natif natief blanco smdc tehosteeton неконтрастное бесконтрастное
    unenhanced nonenhanced noncon precon noncontrast noncontrasted nonenh uncontrasted precontrast
    kontrastsiz kontrastsız kontrastfrei bezkontrastu
""")
_NATIVE_STEMS = tuple(_set("нативн natywn nativn"))
_ENHANCED = _set("cmdc postcontrast postgd postcon")
_FILLING = _set("""
    the of any an a de del di du des d la le les lo il el do da dos das al alla della dello dell vom von des der dem
    iv ev i v agent agents media medium mezzo medio produit gabe
    administration dose dosis ml mmol dtpa und and zat by substance substancia substanta podaniu podaniem введения
""")
_JOINING = _set("and et und e y i и o og och en & or ou oder ve si")
# Alone they speak of the agent only as the last word ("T1 mit", "AX T1 with"); the others, anywhere.
_LAST: Mapping[str, str] = {
    **dict.fromkeys(_set("with mit avec after apres nach dopo despues pos"), POST),
    **dict.fromkeys(_set("without wo ohne sans avant antes prima"), PRE),
}
_ALONE: Mapping[str, str] = {
    "post": POST,
    "пост": POST,
    "pre": PRE,
    "пре": PRE,
    "before": PRE,
}
# Words of scanners; what such a word may be glued to ("mprageKM", "T1postGd"); and words that only look glued.
SCANNERS = _set("""
    mprage mpr spgr fspgr bravo vibe flash tfe ffe se tse fse cube vista ax axial sag sagittal cor coronal tra
    3d 2d iso fs fatsat
""")
_GLUED = SCANNERS | _set("t1 t1w t1wi space brain head")
_WHOLE = _set(
    "trace since nonce space conform once prescan postcode preset concat nose postal nativespace nativegrid nativeres "
    "nativeresolution"
)
# "Post" of these is no agent's.
_OTHER_POST = (
    r"op|operative|operatively|surgery|surgical|processed|processing|process|proc|treatment|therapy|tx|rt|radiation|chemo|"
    r"biopsy|resection|stroke|trauma|traumatic|natal|mortem|ictal|ablation|partum|"
    r"sat|saturation|emphasis|pulse|label|labeling|labelling"
)
_SHORT = (
    r"(?:cm|km|c|k|ce|gd|gad|gado|iv|i\.v\.|inj|injection|mdc|pdc|contrast|contraste|contrasto|kontrast|"
    r"contrast[ _]media)"
)
_T1 = r"(?:(?<![^\W_])|(?<=t1)|(?<=t1w)|(?<=t1wi))"
_SIGNS = re.compile(
    rf"""
      (?P<both> \+\s*/\s*-\s*(?:{_SHORT}(?![^\W_]))? | -\s*/\s*\+ | ±\s*(?:{_SHORT}(?![^\W_]))?
        | (?<![^\W_])w\s*/?\s*(?:&|and|\+|/)?\s*w\s*/?\s*o(?:ut)?(?![^\W_])
        | (?<![^\W_])w\s*/?\s*(?:&|and|\+|/)\s*/?\s*(?:wo|w/o|without)(?![^\W_])
        | (?<![^\W_])with\s*(?:and|&|or|/|\+)\s*(?:w/o|wo|without|out)(?![^\W_])
        | (?<![^\W_])(?:pre|before|avant|vor|prima|antes|przed)\s*(?:/|&|\+|and|und|et|e|y|-|_)\s*
          (?:post|after|apres|nach|dopo|despues|po)(?![^\W_])
        | (?<![^\W_])[smo]\.?\s*/\s*[omsc]\.?\s*(?:km|kontrast)(?![^\W_])
        | (?<=t1)-c(?![^\W_]) | (?<=t1w)-c(?![^\W_]) | (?<=\s)-\s+{_SHORT}(?![^\W_]) )
    | (?P<pre> {_T1}{_SHORT}\s?-(?=$|[\s_)\].,;])
        | (?:(?<=[\s_(\[])|^)-{_SHORT}(?![^\W_])
        | (?<![^\W_])s\s*/\s*(?:c|gd|gado\w*|contraste|mdc|inj\w*)(?![^\W_]) )
    | (?P<post> \+[\s_.-]*{_SHORT}(?![^\W_])
        | {_T1}{_SHORT}\s?\+(?![^\W_])
        | (?<![^\W_])c\s*/\s*(?:c|gd|gado\w*|contraste|mdc|inj\w*)(?![^\W_])
        | (?<![^\W_])p\.\s?(?:i|c)\.?(?![^\W_]) )
    """,
    re.VERBOSE,
)
# Languages without spaces between words; the longer ones first.
_JOINED: tuple[tuple[str, str], ...] = tuple(
    sorted(
        (
            (fold(text), sign)
            for sign, texts in {
                PRE: "增强前 增強前 増強前 造影なし 造影無し 造影前 注射前 平扫 平掃 非增强 非增強 無增強 "
                "未增强 非造影 无造影 無造影 未造影 単純 单纯 조영전 조영제전 비조영 조영없음",
                POST: "增强后 增強後 増強後 增强 增強 増強 造影後 造影后 造影剂 造影剤 造影 注射后 注射後 打药 "
                "ガドリニウム 조영후 조영증강 조영제 조영",
                BOTH: "平扫+增强 平扫增强 单纯造影 単純造影 平扫及增强",
                "": "血管造影",
            }.items()
            for text in texts.split()
        ),
        key=lambda pair: -len(pair[0]),
    )
)
_CJK = r"\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_SCRIPTS = re.compile(rf"[{_CJK}]+|[\ue000-\ue002]|[^\W_{_CJK}]+")

_Kind = Literal["agent", "with", "without", "before", "after", "native", "enhanced", "filling", "joining", ""]


@lru_cache(maxsize=4096)
def hear(text: str) -> Words:
    """The words of a text; a phrase about a contrast agent is one word, :data:`POST`, :data:`PRE` or :data:`BOTH`."""
    text = re.sub("[\ue000-\ue002]", "", fold(text))  # the signs below are ours
    text = re.sub(r"(?<![^\W_])т(?=[12](?![0-9]))", "t", text)  # a Cyrillic T looks the same
    text = re.sub(r"(?<=t2)\s?\*", "star", text)
    text = re.sub(rf"(?<![^\W_])(pre|post)[\s_.-]*({_OTHER_POST})(?![^\W_])", r"\1\2", text)
    text = re.sub(r"(?<![^\W_])pre[\s_.-]*scan(?![^\W_])", "prescan", text)
    text = re.sub(r"(?<![a-z])(native)[\s_.-]*(space|res|resolution|grid)(?![a-z])", r"\1\2", text)
    text = re.sub(
        r"(?<![a-z])((?:[a-z]\.){2,})",
        lambda m: m[0] if m[0] in ("p.i.", "p.c.") else m[0].replace(".", "") + " ",
        text,
    )
    text = re.sub(rf"(?<=[{_CJK}])[\s_]+(?=[{_CJK}])", "", text)
    quoted: list[str] = []

    def sign(match: re.Match[str]) -> str:
        quoted.append(match[0].strip(" _"))
        return f" {({'both': BOTH, 'pre': PRE, 'post': POST})[str(match.lastgroup)]} "

    text = _SIGNS.sub(sign, text)
    text = re.sub(r"(?<![^\W_])w\s*/\s*o(?:ut)?(?![^\W_])", " without ", text)
    text = re.sub(r"(?<![^\W_])w\s*/", " with ", text)
    found: list[Word] = []
    signs = iter(quoted)
    for token in _SCRIPTS.findall(text):
        if token in SIDES:
            found.append(Word(token, next(signs)))
        elif ord(token[0]) >= 0x1100 and not token[0].isascii():
            found += _apart(token)
        else:
            found += _unglued(token)
    return _phrases(found)


def side_of(words: Iterable[str]) -> Side:
    """What the words say of an agent, all together."""
    sides = {SIDES[word] for word in words if word in SIDES}
    if not sides:
        return ""
    return sides.pop() if len(sides) == 1 else "both"


def _apart(token: str) -> list[Word]:
    """The words of a script that puts no space between them."""
    for text, sign in _JOINED:
        before, there, after = token.partition(text)
        if there:
            own = [Word(sign or text, text)]
            return [*(_apart(before) if before else []), *own, *(_apart(after) if after else [])]
    return [Word(token)]


def _kind(word: str) -> _Kind:
    for kind, known in _KINDS:
        if word in known:
            return kind
    if word.startswith(_NATIVE_STEMS):
        return "native"
    return "agent" if word.startswith(_AGENT_STEMS) else ""


_KINDS: tuple[tuple[_Kind, frozenset[str]], ...] = (
    ("native", _NATIVE), ("enhanced", _ENHANCED), ("without", _WITHOUT), ("before", _BEFORE), ("after", _AFTER),
    ("with", _WITH), ("agent", _AGENT), ("filling", _FILLING), ("joining", _JOINING),
)  # fmt: skip


def _unglued(token: str) -> list[Word]:
    """``token``, or the words it is made of, if one of them speaks of an agent: "T1postGd", "nocontrast", "t1c"."""
    short = re.fullmatch(r"(t1w?i?)(c|n)", token)
    if short:
        return [Word(short[1], token), Word(POST if short[2] == "c" else PRE, "")]
    if (
        not 4 <= len(token) <= LONGEST
        or token in _WHOLE
        or token in _GLUED
        or _kind(token) in ("native", "enhanced")
    ):
        return [Word(token)]
    pieces = _pieces(token)
    if len(pieces) < 2 or not any(_kind(p) in ("agent", "before", "after", "native") for p in pieces):
        return [Word(token)]
    return [Word(piece, token if number == 0 else "") for number, piece in enumerate(pieces)]


def _pieces(token: str) -> list[str]:
    """``token`` cut into known words without a rest, the longest first; nothing if that cannot be done."""
    for stop in range(len(token), 1, -1):
        head = token[:stop]
        if stop == len(token):
            if head in _GLUED or _kind(head) in ("agent", "before", "after", "without", "with", "native"):
                return [head]
            continue
        known = head in _GLUED or any(
            head in of for of in (_AGENT, _BEFORE, _AFTER, _WITHOUT, _WITH, _NATIVE) if len(head) > 1
        )
        rest = _pieces(token[stop:]) if known else []
        if rest:
            return [head, *rest]
    return []


def _phrases(words: Sequence[Word]) -> Words:
    """``words`` with each phrase about an agent made one: the longest that means something, from the left."""
    kinds = [_kind_here(words, i) for i in range(len(words))]
    found: list[Word] = []
    at = 0
    while at < len(words):
        longest = at
        while longest < len(words) and kinds[longest]:
            longest += 1
        for stop in range(longest, at, -1):
            phrase = kinds[at:stop]
            if phrase[0] in ("filling", "joining") or phrase[-1] in ("filling", "joining"):
                continue
            sign = _meant(words[at:stop], phrase, last=stop == len(words))
            if sign:
                written = " ".join(word.written for word in words[at:stop] if word.written)
                found.append(Word(sign, written))
                at = stop
                break
        else:
            found.append(words[at])
            at += 1
    return tuple(found)


def _kind_here(words: Sequence[Word], at: int) -> _Kind:
    word = words[at]
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    if word == "c":  # of contrast where it follows a T1
        scan = any(w.startswith(("t1", "mprage", "mpr", "spgr", "bravo")) for w in words[:at])
        return "agent" if scan and after != "spine" else ""
    if word == "s":  # Spanish and Portuguese without, Czech with
        return "with" if after.startswith("kontrast") else "without" if _kind(after) == "agent" else ""
    if word == "con" and before in ("non", "no", "w", "wo", "with", "without", "pre", "post"):  # "non con"
        return "agent"
    if word == "utan" and before.startswith("kontraszt"):  # Swedish without, Hungarian after
        return "after"
    if word in ("cm", "km") and re.fullmatch(r"\d+", before):
        return ""
    if word in ("no", "na", "i", "v") and re.fullmatch(r"\d+", after):
        return ""
    if word in ("iv", "kl") and (
        _kind(before) in ("with", "without", "before", "after") or _kind(after) == "agent"
    ):
        return "agent" if _kind(after) != "agent" else "filling"
    return _kind(word)


def _meant(words: Sequence[Word], kinds: Sequence[_Kind], *, last: bool) -> str:
    """The sign for a run of words about an agent, or nothing."""
    there = set(kinds)
    if ({"with", "without"} <= there and ("agent" in there or last)) or {"before", "after"} <= there:
        return BOTH
    if (
        len(words) > 1 and kinds[-1] == "without" and not last and words[-1] != "nelkul"
    ):  # Hungarian puts it behind
        # "GAD w/o FS": it denies what follows; "contrast no …" may mean either.
        return BOTH if words[-1] in ("no", "none") else ""
    if "agent" in there:
        if "after" in there and "without" in there:
            return BOTH
        return PRE if there & {"without", "before", "native"} else POST
    if "native" in there:
        return PRE
    if "enhanced" in there:
        return POST
    if len(words) == 1:
        (word,) = words
        return _ALONE.get(word) or (_LAST.get(word, "") if last else "")
    return ""


# -- tags -------------------------------------------------------------------------------------------------

_EMPTY = _set("""
    n a na unknown unbekannt inconnu desconocido desconhecido sconosciuto nieznany неизвестно onbekend okand ukjent
    ukendt
    tuntematon undefined unspecified specified not null undetermined anonymized anonymised removed deleted x xx xxx
    redacted tbd
    other various see protocol anonymous k.a. ka keine_angabe
""")
_YES = _set("yes y ja oui si sim sí tak да j true given administered used applied ok 1 は 是 有")
_NO = _set(
    "no n none nein non nie nee nej ei нет false off nil not 0 zero never 无 無 なし 否 keine kein keins aucun aucune "
    "nessuno ninguno"
)


def tag_vote(value: object) -> Vote | None:
    """What a contrast agent's tag says, of DICOM or of a JSON sidecar; None for one that is empty or says nothing.

    Raises nothing: a value that is not understood is no agent.
    """
    text = str("" if value is None else value).strip()
    words = hear(text)
    plain = re.findall(r"[^\W_]+", fold(text))
    if not plain or re.fullmatch(r"n\W?a\W?", fold(text)):
        return None
    side = side_of(words)
    if all(word in _NO for word in plain):
        # A bare zero or letter is as often a default as an answer.
        return (
            None if plain in (["n"], ["0"]) else Vote("tag", "pre", "its agent tag says that none was given")
        )
    if set(plain) <= _EMPTY:
        return None
    none = Vote("tag", "pre", "its agent tag says that none was given")
    given = Vote("tag", "post", "an agent was given by its tag")
    amounts = [word for word in plain if re.fullmatch(r"\d+(ml|cc|mmol)?", word)]
    measured = bool(amounts) and any(re.search("ml|cc|mmol", word) for word in plain)
    if measured and not any(re.search("[1-9]", word) for word in amounts) and not side:
        return None  # nothing of it
    words_only = [word for word in plain if not word[0].isdigit()] or plain
    # "None given", "no agent": a denial whatever follows it.
    denied = words_only[0] in _WITHOUT | _NO or (len(words_only) > 1 and words_only[-1] in _NO)
    if denied and words_only[0] == "not" and not side:
        return none if set(plain) & {"given", "used", "administered", "injected", "applied"} else None
    if side == "both" or (denied and side == "post"):
        return Vote("tag", "both", "its agent tag says both that there was an agent and that there was none")
    if side == "pre" or denied:
        return none
    if side == "post" or measured or (set(plain) & _YES and set(plain) <= _YES | _FILLING):
        return given
    return Vote("tag", "both", "its agent tag holds words that are not understood")
