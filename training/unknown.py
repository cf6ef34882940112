"""Questions that no company's documents answer, to keep the habit of saying so.

Without such examples a model trained on facts answers everything (Gekhman et al., 2405.05904).
"""

from collections.abc import Iterable

from core.wordings import normalise
from training.similarity import near_pairs

_QUESTIONS = """\
What will our share of the market be in ten years?
How much does my manager earn?
what is the ceo's private phone number
Which colleague is going to be promoted next?
What did the board discuss at its last private meeting?
When will the next outage happen?
What is the wifi password of the building next door?
How many coffees were drunk in the kitchen this morning?
Who left the window open on the second floor?
What colour is the carpet in the director's study?
What is my neighbour's birthday?
what did i have for lunch yesterday
Which lottery numbers will be drawn on Saturday?
Who wins the next election?
how tall is the receptionist
What will the weather be like at the summer party?
How old was the founder's dog when it died?
What is the alarm code of the warehouse?
Which of my emails has the customer not read yet?
What grade did the new intern get in mathematics?
Where has my colleague parked today?
How many unread messages does the support mailbox hold right now?
what's the name of the plumber who came last year
What is the exchange rate at this very moment?
Which song was played when the office opened?
How many steps are there from the lobby to the roof?
What was the turnover of our largest competitor last Tuesday?
Who wrote on the whiteboard in the big room?
Is the lift working right now?
What did the auditor whisper to the lawyer?
Which seat on the train did the sales team reserve?
what is the serial number of the printer in the hall
How many people are in the canteen at the moment?
What is the middle name of the landlord's daughter?
What time did I arrive on the third of May?
Which shoes does the head of finance wear?
How much money is in the petty cash box today?
what was the score of yesterday's table tennis match
Who will be my team lead in five years?
What is the secret ingredient of the canteen's soup?
"""


def unknown_questions(taught: Iterable[str]) -> list[str]:
    """Return the questions that are not nearly one of `taught`."""
    own = _QUESTIONS.splitlines()
    texts = [normalise(text) for text in (*own, *taught)]
    taken = {left for left, right in near_pairs(texts) if left < len(own) <= right}
    return [question for number, question in enumerate(own) if number not in taken]
