"""One rule says whether an answer is right: what stands in it, as numbers, words and negations."""

import pytest

from eval import metrics
from eval.grading import contains_phrase, grade
from eval.questions import HeldOutQuestion, Kind
from eval.scoring import score
from tests.timing import cpu_seconds

RIGHT = [
    ("You get 240 hours.", "240 hours"),
    ("You get 240 HOURS", "240 hours"),
    ("about  240\nhours", "240 hours"),
    ("the office’s rule", "the office's rule"),
    ("C++ is used", "C++"),
    ("$5.00 a day", "$5.00"),
    ("$5.00 a day", "$5"),
    ("$5", "5"),
    ("The limit is 1,500 francs.", "1500"),
    ("The limit is 1500 francs.", "1,500"),
    ("The limit is 1'500 francs.", "1500"),
    ("The limit is 1’500 francs.", "1,500"),
    ("The limit is 1.500 Franken.", "1500"),
    ("The limit is 1 500 francs.", "1500"),
    ("It is 1\u202f500 long", "1500"),
    ("It is 1\u00a0500 long", "1,500"),
    ("CHF 1,500", "1500 francs"),
    ("Es kostet 1.500,00 €", "EUR 1500"),
    ("It costs 12,5 euros", "€12.5"),
    ("$1.5 million", "1,500,000 dollars"),
    ("$2m", "USD 2,000,000"),
    ("The bonus is 50 percent.", "50%"),
    ("The bonus is 50 per cent.", "50 %"),
    ("Der Bonus beträgt 50 Prozent.", "50%"),
    ("50% of pay", "50 percent"),
    ("It is 50 %.", "50%"),
    ("It is -5 degrees.", "-5"),
    ("It is −5 degrees.", "-5"),
    ("You have five days.", "5 days"),
    ("You have 5 days.", "five days"),
    ("You have five (5) days.", "5 days"),
    ("You have 5 (five) days.", "five days"),
    ("two hundred and forty hours", "240 hours"),
    ("a 240-hour limit", "240 hours"),
    ("within 24 hrs", "24 hours"),
    ("thirty-one people", "31"),
    ("zwölf Tage", "12 Tage"),
    ("only one", "1"),
    ("It is 3.50 long", "3.5"),
    ("version 2.3.1 runs", "2.3.1"),
    ("It takes 5-10 days.", "5 to 10 days"),
    ("It takes 5–10 days.", "5-10 days"),
    ("between 5 and 10 days", "5-10 days"),
    ("5% to 10%", "5-10%"),
    ("raised from 5 to 10 days", "10 days"),
    ("on the 3rd floor", "third floor"),
    ("the first step", "1st"),
    ("at 9:30", "9.30 am"),
    ("at 9.30 am", "9:30"),
    ("9 a.m.", "9:00 am"),
    ("at 21:30", "9:30 pm"),
    ("um 9 Uhr", "9:00"),
    ("à 10h30", "10:30"),
    ("10時30分に", "10:30"),
    ("opens at 9 am", "9"),
    ("from 9:00 to 17:00", "9:00-17:00"),
    ("open 9:00-17:00", "17:00"),
    ("on 5 May 2024", "May 5, 2024"),
    ("on May 5th", "5 May"),
    ("by 2024-05-05", "5 May 2024"),
    ("am 5. Januar", "January 5"),
    ("since 5 May 2024", "2024"),
    ("mid-2024", "2024"),
    ("You get **90** days.", "90 days"),
    ("You get *90* days.", "90 days"),
    ("`90` days", "90 days"),
    ("[90](x.html) days", "90 days"),
    ("It costs \\$5", "$5"),
    ("<b>90</b> days", "90 days"),
    ("本社は東京にあります。", "東京"),
    ("본사는 서울에 있습니다.", "서울"),
    ("总部在北京市。", "北京"),
    ("สำนักงานอยู่ที่กรุงเทพมหานคร", "กรุงเทพ"),
    ("一年有28天假期", "28天"),
    ("Dogs are allowed.", "allowed"),
    ("No, dogs are not banned; cats are allowed", "allowed"),
    ("no more than 5 days", "5 days"),
    ("You cannot take more than 5 days", "5 days"),
    ("It is not due until Friday.", "Friday"),
    ("not only HR", "HR"),
    ("Not HR. Finance is.", "Finance"),
    ("No. 5 is yours", "5"),
    ("It isn't allowed", "not allowed"),
    ("There is no limit", "no limit"),
    ("It can't be shared", "cannot be shared"),
    ("No, dogs are allowed", "dogs are allowed"),
    ("Yes, there is no limit.", "Yes"),
    ("No.", "No"),
    ("**No**, never.", "no"),
    ("There is no limit.", "No"),
    ("The answer is yes.", "yes"),
    ("Ja, das geht.", "ja"),
    ("True. It is.", "true"),
    ("Non, merci", "non"),
    ("A", "A"),
    ("a.", "A"),
    ("(A)", "A"),
    ("Answer: A", "A"),
    ("The answer is A.", "A"),
    ("A) because of this", "A"),
    ("A is right", "A"),
    ("Category A employees", "A"),
    ("Option B is", "B"),
    ("It is the manager", "the manager"),
    ("your manager", "the manager"),
    ("the U.S. office", "US"),
    ("in francs", "francs"),
    ("500 francs", "francs"),
    ("paid in CHF", "francs"),
    ("the manager's desk", "manager"),
    ("Ask the OGC.", "OGC"),
    ("Dr. Smith knows", "Dr Smith"),
    ("on Monday–Friday", "Monday"),
]
WRONG = [
    ("You get 2,240 hours", "24"),
    ("It is 240.", "24"),
    ("anything", ""),
    ("anything", "..."),
    ("The fee is 5.5 percent.", "5"),
    ("The limit is 1,500 francs.", "500"),
    ("opens at 10:30", "10"),
    ("The limit is 1 500 francs.", "500"),
    ("It is 1\u202f500 long", "500"),
    ("It is 1'500 long", "500"),
    ("It costs 1.500,00 €", "500"),
    ("It costs 5,5 euros", "5"),
    ("It is 3.5", "35"),
    ("It is 35", "3.5"),
    ("It is -5 degrees.", "5"),
    ("It is 5 degrees.", "-5"),
    ("It is −5 degrees.", "5"),
    ("It is 15.0", "1.5"),
    ("5 hours", "5 days"),
    ("50 days", "50%"),
    ("50", "50%"),
    ("5 euros", "$5"),
    ("$1.5 million", "$1.5"),
    ("It takes 5-10 days.", "5 days"),
    ("It takes 5-10 days.", "10 days"),
    ("It takes 5–10 days.", "5"),
    ("It takes 5 to 10 days.", "10"),
    ("between 5 and 10 days", "5"),
    ("5-10 days", "5-15 days"),
    ("on the 1st floor", "1"),
    ("on 5 May", "5"),
    ("on May 10th, 2024", "10"),
    ("2024-10-05", "10"),
    ("10:30 am", "30"),
    ("at 9:30 pm", "9:30 am"),
    ("at 21:30", "9:30 am"),
    ("version 2.3.1", "2.3"),
    ("version 2.3.1", "3"),
    ("version 2.3", "2"),
    ("Call 555-0100.", "555"),
    ("Covid-19 rules", "19"),
    ("the A4 form", "4"),
    ("10^2", "10"),
    ("10² m", "102"),
    ("one of the managers", "1"),
    ("2FA", "2"),
    ("twenty-five days", "5 days"),
    ("twenty-five days", "20"),
    ("two hundred", "2"),
    ("5 million", "5"),
    ("Dogs are not allowed in the gym.", "allowed"),
    ("Dogs aren't allowed.", "allowed"),
    ("Dogs are no longer allowed.", "allowed"),
    ("Dogs are never allowed.", "allowed"),
    ("Dogs cannot be allowed.", "allowed"),
    ("Dogs are not currently allowed.", "allowed"),
    ("Go without approval.", "approval"),
    ("No dogs are allowed.", "allowed"),
    ("It's non-refundable", "refundable"),
    ("Hunde sind nicht erlaubt.", "erlaubt"),
    ("Les chiens ne sont pas autorisés.", "autorisés"),
    ("No está permitido.", "permitido"),
    ("Ask HR instead of Finance.", "Finance"),
    ("不允许带狗", "允许"),
    ("It is not HR but Finance", "HR"),
    ("You do not need approval", "approval"),
    ("is not 5 but 6", "5"),
    ("Yes, there is no limit.", "No"),
    ("Yes there is no limit", "no"),
    ("No, never; yes in May", "Yes"),
    ("Ask HR. No.", "No"),
    ("You need a badge; no visitor enters", "no"),
    ("There is a limit", "No"),
    ("No information is given about that.", "No"),
    ("I have no information about that.", "no"),
    ("A dog is an animal.", "A"),
    ("It is a dog.", "A"),
    ("B, not A", "A"),
    ("The rating is A+", "A"),
    ("A+", "A"),
    ("A-", "A"),
    ("I think so", "I"),
    ("C++", "C"),
    ("C#", "C"),
    ("C#", "C++"),
    ("A+", "A-"),
    ("~~90~~ 30 days", "90"),
    ("Ask Anna. Bell is out", "Anna Bell"),
    ("本社は大阪にあります。", "東京"),
]


@pytest.mark.parametrize(("text", "short"), RIGHT)
def test_it_stands_there(text: str, short: str) -> None:
    assert grade(text, [short]).right, grade(text, [short]).reason


@pytest.mark.parametrize(("text", "short"), WRONG)
def test_it_does_not_stand_there(text: str, short: str) -> None:
    assert not grade(text, [short]).right, grade(text, [short]).reason


def test_the_reason_is_told() -> None:
    assert "denied" in grade("Dogs are not allowed.", ["allowed"]).reason
    assert grade("It is 240 hours", ["x", "240"]).short_answer == "240"
    assert "open" in grade("Yes, there is no limit", ["No"]).reason


def test_a_negative_question_may_be_answered_with_what_is_denied() -> None:
    assert grade("Dogs are not allowed.", ["allowed"], "What is never allowed?").right is True
    assert grade("Dogs are not allowed.", ["allowed"], "Are dogs allowed?").right is False


def test_a_phrase_may_stand_there_and_be_denied() -> None:
    assert contains_phrase("Dogs are not allowed.", "allowed")
    assert not contains_phrase("The fee is 5.5", "5")


@pytest.mark.parametrize(
    ("one", "other"),
    [("3.5", "35"), ("-5", "5"), ("C++", "C#"), ("10:30", "1030"), ("A+", "A")],
)
def test_exact_match_and_f1_keep_what_carries_meaning(one: str, other: str) -> None:
    assert metrics.exact_match(one, [other]) == 0.0
    assert metrics.token_overlap(one, [other]).f1 == 0.0


def test_exact_match_reads_one_number_in_two_forms() -> None:
    assert metrics.exact_match("1,500 francs", ["1500 francs"]) == 1.0


def test_overlap_measures_see_other_scripts() -> None:
    text, other = "本社は東京にあります。", "本社は大阪にあります。"
    assert metrics.rouge_l(text, text) == 1.0
    assert 0.0 < metrics.rouge_l(text, other) < 1.0
    assert metrics.rouge_l("Größe ändern", "Größe ändern") == 1.0
    assert metrics.rouge_l("Größe", "Große Straße") < 1.0
    assert metrics.token_overlap(text, [text]).f1 == 1.0
    assert 0.0 < metrics.token_overlap(text, [other]).f1 < 1.0
    assert metrics.groundedness(text, [other]) not in (None, 0.0, 1.0)


def test_numbers_of_an_answer_are_looked_for_as_numbers() -> None:
    assert metrics.unsupported("It is 1500 or 5.", ["It is 1,500 or 5.5."]) == ["5"]
    assert metrics.unsupported("5 to 10 days", ["between 5 and 10 days"]) == []


def scored(text: str, short: str, passages: int = 0) -> dict[str, object]:
    question = HeldOutQuestion("q", "q", "What?", short, (short,), Kind.UNSEEN)
    passage = {"title": "", "location": "", "text": "", "document": "a.md"}
    answer = {
        "text": text, "passages": [passage] * passages, "cited": [], "cut_off": False,
        "timing": {"prompt_tokens": 1, "answer_tokens": 1},
    }  # fmt: skip
    return score(question, answer, retrieval=bool(passages), similarity=None)


def test_an_interval_in_the_answer_is_no_citation() -> None:
    assert scored("The scale is [1, 5].", "[1, 5]", passages=5)["accuracy"] == 1.0
    assert scored("You get **90** days. [1]", "90 days", passages=1)["crag"] == 1.0


@pytest.mark.parametrize(
    "piece",
    ["1,", "5-", "a ", "東", "[", "{{", "<a", "not ", "**", "1 500 ", "5 to ", "\n", "(", "~~"],
)
def test_grading_costs_no_more_than_the_length_of_the_answer(piece: str) -> None:
    assert cpu_seconds(lambda: grade(piece * 4_000, ["5 days"]), enough=2) < 2
