#!/usr/bin/env python3
"""Writes the corpus of the default run, models/data/reviews-train.csv and reviews-test.csv
(`label,text`).

A review has a mood, its number of stars (label 0 is one star, 4 is five). Each remark in it draws its
own level near that mood, so that remarks disagree, neighbouring stars overlap and no reader can name
every label. Negation, understatement and contrast change what the words say on their own. Some rows
carry quotes, commas, newlines and accents, which a CSV reader must survive.

Usage: make_reviews.py [--seed N] [--train N] [--test N] [--out DIR]; a seed always gives the same bytes.
"""

import argparse
import csv
import os
import random

# Subjects of a review: what it is about, the aspects one may judge, and what one does with it.
SUBJECTS = {
    "restaurant": {
        "names": [
            "Café Lumière",
            "The Copper Pot",
            "Chez André",
            "Green Olive",
            "Blue Door Diner",
            "Señor Jalapeño",
            "The Old Mill",
            "Noodle House",
            "Harbour Grill",
            "La Piñata",
            "Golden Fork",
            "Pizzeria Napoli",
        ],
        "aspects": [
            "food",
            "service",
            "soup",
            "menu",
            "dessert",
            "waiter",
            "kitchen",
            "wine list",
            "atmosphere",
            "crème brûlée",
            "bread",
            "pasta",
            "salad",
            "steak",
            "coffee",
            "music",
            "terrace",
            "fish",
        ],
        "visits": [
            "We had dinner at {name}",
            "I took {person} to {name} for lunch",
            "We booked a table at {name}",
            "Stopped by {name} for a late breakfast",
            "I ordered the {dish} at {name}",
        ],
    },
    "hotel": {
        "names": [
            "Hotel Miramar",
            "The Station Inn",
            "Grand Pension",
            "Hôtel du Pont",
            "Lakeside Lodge",
            "Park View",
            "The White Swan",
            "Villa Rosa",
            "City Rooms",
            "Mountain Rest",
        ],
        "aspects": [
            "room",
            "bed",
            "breakfast",
            "reception",
            "bathroom",
            "pool",
            "view",
            "staff",
            "shower",
            "garden",
            "pillow",
            "lobby",
            "parking",
            "heating",
            "balcony",
            "wifi",
        ],
        "visits": [
            "We stayed at {name} for {number} nights",
            "I spent a week at {name} with {person}",
            "Checked in to {name} late on {day}",
            "{person_start} booked {name} for our holiday",
        ],
    },
    "book": {
        "names": [
            "The Winter Road",
            "A Quiet Harbour",
            "Nine Letters",
            "The Clockmaker",
            "Salt and Smoke",
            "Émilie's Garden",
            "The Last Tram",
            "Paper Boats",
            "North of Here",
            "The Glass Orchard",
        ],
        "aspects": [
            "plot",
            "ending",
            "prose",
            "hero",
            "dialogue",
            "first chapter",
            "translation",
            "pace",
            "villain",
            "style",
            "humour",
            "cover",
            "story",
            "middle part",
        ],
        "visits": [
            "I read {name} in {number} evenings",
            "{person_start} gave me {name} for my birthday",
            "Finished {name} on the train",
            "Our reading group chose {name} in {month}",
        ],
    },
    "film": {
        "names": [
            "Midnight Ferry",
            "The Long Field",
            "Red Lanterns",
            "Nobody's Orchestra",
            "Déjà Vu in Paris",
            "Two Brothers",
            "The Lighthouse Keeper",
            "Silver Rain",
            "Signal Lost",
            "The Beekeeper's Son",
        ],
        "aspects": [
            "acting",
            "script",
            "soundtrack",
            "camera work",
            "story",
            "ending",
            "cast",
            "pace",
            "dialogue",
            "costume design",
            "opening scene",
            "humour",
            "lead actor",
            "editing",
        ],
        "visits": [
            "I saw {name} with {person} on {day}",
            "We watched {name} at home",
            "Went to see {name} in {month}",
            "{person_start} dragged me into {name}",
        ],
    },
    "gadget": {
        "names": [
            "the K9 headphones",
            "this kettle",
            "the Orbit lamp",
            "this keyboard",
            "the Nimbus phone",
            "this vacuum cleaner",
            "the Pico speaker",
            "this camera",
            "the Volt drill",
            "this coffee machine",
        ],
        "aspects": [
            "battery",
            "sound",
            "screen",
            "design",
            "manual",
            "packaging",
            "price",
            "build quality",
            "weight",
            "cable",
            "software",
            "customer support",
            "delivery",
            "warranty",
            "handle",
        ],
        "visits": [
            "I bought {name} {number} weeks ago",
            "Ordered {name} in {month}",
            "Since {month} I have used {name} every {day}",
            "I have had {name} for {number} months",
            "Got {name} as a gift from {person}",
        ],
    },
    "service": {
        "names": [
            "Salon Zoë",
            "Miller's Garage",
            "the Riverside gym",
            "Doctor Müller",
            "Quick Print",
            "Lopez Movers",
            "the language school",
            "Happy Paws",
            "Bright Cleaners",
            "the night bus",
        ],
        "aspects": [
            "staff",
            "price",
            "waiting room",
            "appointment",
            "result",
            "advice",
            "booking",
            "communication",
            "place",
            "location",
            "manager",
            "quality",
            "website",
            "schedule",
        ],
        "visits": [
            "I went to {name} with {person}",
            "I called {name} on {day}",
            "We have used {name} since {month}",
            "{person_start} recommended {name} to us",
            "Tried {name} for {number} weeks",
        ],
    },
    "museum": {
        "names": [
            "the Maritime Museum",
            "the Castle Tour",
            "the Zoological Garden",
            "the Gallery of Glass",
            "the Planetarium",
            "the Railway Museum",
            "the Botanical Walk",
            "Musée d'Été",
        ],
        "aspects": [
            "exhibition",
            "audio guide",
            "ticket office",
            "cloakroom",
            "souvenir shop",
            "lighting",
            "collection",
            "guide",
            "signposting",
            "playground",
            "queue",
            "opening hours policy",
            "painting",
            "sculpture",
        ],
        "visits": [
            "We visited {name} on {day}",
            "I joined a tour of {name} with {person}",
            "{person_start} insisted on {name}",
            "We walked through {name} for {number} hours",
        ],
    },
    "course": {
        "names": [
            "the pottery class",
            "Swimming for Beginners",
            "the chess academy",
            "Evening Spanish",
            "the yoga retreat",
            "the woodwork course",
            "Piano with Agnès",
            "the photography seminar",
        ],
        "aspects": [
            "teacher",
            "homework",
            "classroom",
            "textbook",
            "equipment",
            "explanation",
            "atmosphere",
            "exam",
            "progress",
            "group size",
            "timetable",
            "exercise",
            "certificate",
            "introduction",
        ],
        "visits": [
            "I signed up for {name} in {month}",
            "{person_start} and I attended {name} every {day}",
            "After {number} lessons of {name} I quit counting",
            "I gave {name} a chance in {month}",
        ],
    },
    "journey": {
        "names": [
            "the overnight ferry",
            "Alpine Railways",
            "the airport shuttle",
            "Northern Airlines",
            "the scenic coach",
            "the rental car",
            "the river cruise",
            "Taxi Göteborg",
        ],
        "aspects": [
            "seat",
            "driver",
            "captain",
            "boarding",
            "luggage handling",
            "cabin",
            "punctuality",
            "conductor",
            "air conditioning",
            "legroom",
            "timetable",
            "connection",
            "snack",
            "announcement",
            "engine",
        ],
        "visits": [
            "We travelled with {name} in {month}",
            "I took {name} on {day} with {person}",
            "{person_start} reserved {name} {number} weeks ahead",
            "We spent {number} hours on {name}",
        ],
    },
    "grocery": {
        "names": [
            "the Saturday market",
            "Organic Corner",
            "Fernández Bakery",
            "the village butcher",
            "Mountain Honey",
            "the vegetable box",
            "Oma's Marmalade",
            "the cheese counter",
        ],
        "aspects": [
            "cheese",
            "fruit",
            "honey",
            "marmalade",
            "sausage",
            "vegetable selection",
            "freshness",
            "cake",
            "packaging",
            "flavour",
            "smell",
            "cashier",
            "opening offer",
            "yoghurt",
            "chocolate",
            "tea",
        ],
        "visits": [
            "I shop at {name} every {day}",
            "We tasted {name} with {person}",
            "{person_start} brought something from {name}",
            "We have been customers of {name} since {month}",
        ],
    },
}

PEOPLE = [
    "my sister",
    "my wife",
    "my husband",
    "a friend",
    "my parents",
    "my boss",
    "a colleague",
    "our neighbour",
    "my daughter",
    "José",
    "Chloé",
    "my fiancée",
    "Marta",
    "Tom",
    "the children",
    "my uncle",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
DISHES = [
    "lamb curry",
    "tomato soup",
    "grilled salmon",
    "mushroom risotto",
    "crêpes",
    "chicken pie",
    "bean burger",
    "apple tart",
    "jalapeño tacos",
    "onion rings",
    "pancakes",
    "noodles",
    "goat cheese",
    "beef stew",
]
NUMBERS = ["two", "three", "four", "five", "six", "seven", "10", "12", "14", "20"]

# What is said, by level: 0 is one star, 4 is five stars.
ADJECTIVES = [
    [
        "terrible",
        "awful",
        "horrible",
        "dreadful",
        "disgusting",
        "appalling",
        "useless",
        "shameful",
        "pathetic",
        "hopeless",
        "atrocious",
        "unbearable",
    ],
    [
        "bad",
        "poor",
        "disappointing",
        "weak",
        "dull",
        "boring",
        "unpleasant",
        "sloppy",
        "careless",
        "cheap",
        "tired",
        "underwhelming",
    ],
    [
        "average",
        "ordinary",
        "acceptable",
        "fair",
        "passable",
        "okay",
        "so-so",
        "standard",
        "unremarkable",
        "adequate",
        "middling",
        "forgettable",
    ],
    [
        "good",
        "nice",
        "pleasant",
        "solid",
        "enjoyable",
        "pleasing",
        "friendly",
        "reliable",
        "charming",
        "lovely",
        "likeable",
        "satisfying",
    ],
    [
        "excellent",
        "superb",
        "wonderful",
        "fantastic",
        "outstanding",
        "perfect",
        "brilliant",
        "amazing",
        "magnificent",
        "flawless",
        "exquisite",
        "unforgettable",
    ],
]
VERDICTS = [
    [
        "Never again.",
        "I want my money back.",
        "Avoid at all costs.",
        "A complete waste of time and money.",
        "Run, do not walk, the other way.",
        "I cannot believe that people pay for this.",
        "Zero stars if I could.",
        "Worst choice of the year.",
    ],
    [
        "I would not recommend it.",
        "Not worth the price.",
        "There are better options.",
        "I expected much more.",
        "We will probably not come back.",
        "Sadly a letdown.",
        "I regret it a little.",
        "It needs a lot of work.",
    ],
    [
        "It does the job, no more.",
        "Neither here nor there.",
        "Maybe I will try it again, maybe not.",
        "Nothing special, nothing wrong.",
        "It is what it is.",
        "You get what you pay for.",
        "Middle of the road.",
        "I have no strong feelings about it.",
    ],
    [
        "I would recommend it.",
        "We will come back.",
        "Worth a try.",
        "A good choice on the whole.",
        "Happy with it.",
        "I was pleasantly surprised.",
        "Money well spent.",
        "Only small things to complain about.",
    ],
    [
        "I cannot recommend it enough!",
        "An absolute joy from start to end.",
        "The best I have ever known.",
        "Ten out of ten, would do it again tomorrow.",
        "I am in love with it.",
        "Simply the best in town.",
        "We are still talking about it.",
        "Everyone should try this once.",
    ],
]
QUOTES = [
    ['"What a joke," said {person}.', 'I asked for help and heard: "not my problem".'],
    ['{person_start} called it "a bit sad".', 'The label says "premium", which is a stretch.'],
    ['"Fine," said {person}, and that sums it up.', '{person_start} shrugged: "seen worse, seen better".'],
    ['"Not bad at all," said {person}.', '{person_start} smiled and said "we should do this more often".'],
    ['"Wow!" was all that {person} could say.', '{person_start} kept saying "let us go again".'],
]
FILLERS = [
    "It was raining.",
    "The place was easy to find.",
    "I paid {number} euros.",
    "It was a {day}, in {month}.",
    "There were {number} of us.",
    "I write this on the way home.",
    "This is my first review.",
    "We had read about it in the newspaper.",
    "The bus stops near the école, across the street.",
    "We were in a hurry.",
]

# Plain statements about an aspect; those that shift the meaning of the adjective stand in remark().
STATEMENTS = [
    "the {aspect} was {adj}",
    "I found the {aspect} {adj}",
    "the {aspect} felt {adj}",
    "{adj} {aspect}",
    "the {aspect} is {adj}",
    "what {a} {adj} {aspect}",
    "the {aspect} seemed {adj} to me",
]
INTENSIFIERS = ["really", "simply", "truly", "just", "downright", "absolutely"]


def fill(template, rng, name):
    person = rng.choice(PEOPLE)
    return template.format(
        name=name,
        person=person,
        person_start=person[0].upper() + person[1:],
        day=rng.choice(DAYS),
        month=rng.choice(MONTHS),
        dish=rng.choice(DISHES),
        number=rng.choice(NUMBERS),
    )


def word(rng, level):
    return rng.choice(ADJECTIVES[level])


def statement(rng, aspect, adjective):
    article = "an" if adjective[0] in "aeiou" and not adjective.startswith("use") else "a"
    return rng.choice(STATEMENTS).format(aspect=aspect, adj=adjective, a=article)


def remark(rng, level, aspect):
    """A clause about `aspect` that means `level`, not always in words of that level."""
    kind = rng.random()
    if kind < 0.10 and level == 1:  # a negation lowers praise
        return f"the {aspect} was not {rng.choice(['very ', 'that ', ''])}{word(rng, 3)}"
    if kind < 0.10 and level == 3:  # and lifts blame
        return f"the {aspect} was not {word(rng, 1)} at all"
    if kind < 0.10 and level == 2:
        return f"the {aspect} was neither {word(rng, 3)} nor {word(rng, 1)}"
    if kind < 0.15 and level in (0, 4):
        return f"I have never seen a {'more' if level == 0 else 'less'} {word(rng, 0)} {aspect}"
    if kind < 0.20 and level == 2:
        return f"the {aspect} could have been {rng.choice(['worse', 'better', 'worse or better'])}"
    if kind < 0.35 and level in (0, 4):
        return f"the {aspect} was {rng.choice(INTENSIFIERS)} {word(rng, level)}"
    return statement(rng, aspect, word(rng, level))


def sentence(text):
    return text[0].upper() + text[1:]


def near(rng, mood, spread):
    return min(4, max(0, round(rng.gauss(mood, spread))))


def join(rng, first, first_level, second, second_level):
    """Two remarks as one sentence; the connector tells agreement from contrast."""
    if abs(first_level - second_level) >= 2 or (first_level - 2) * (second_level - 2) < 0:
        if rng.random() < 0.3:
            return f"Although {first}, {second}"
        return f"{sentence(first)}, {rng.choice(['but', 'yet', 'however'])} {second}"
    return f"{sentence(first)}{rng.choice([' and', ', and also', '; also,', ' and on top of that'])} {second}"


def review(rng, mood):
    subject = SUBJECTS[rng.choice(sorted(SUBJECTS))]
    name = rng.choice(subject["names"])
    aspects = rng.sample(subject["aspects"], 4)
    levels = [near(rng, mood, 0.6) for _ in aspects]
    remarks = [remark(rng, level, aspect) for level, aspect in zip(levels, aspects)]

    parts = []
    if rng.random() < 0.5:
        parts.append(fill(rng.choice(subject["visits"]), rng, name) + ".")
    if rng.random() < 0.3:
        parts.append(fill(rng.choice(FILLERS), rng, name))
    parts.append(
        join(rng, remarks[0], levels[0], remarks[1], levels[1]) + rng.choice([".", ".", ".", "!", "..."])
    )
    if rng.random() < 0.6:
        parts.append(sentence(remarks[2]) + ".")
    if rng.random() < 0.2:
        parts.append(sentence(remarks[3]) + rng.choice([".", "!"]))
    if rng.random() < 0.15:
        parts.append(fill(rng.choice(QUOTES[near(rng, mood, 0.4)]), rng, name))
    if rng.random() < 0.65:
        parts.append(rng.choice(VERDICTS[near(rng, mood, 0.4)]))
    if rng.random() < 0.08:  # a headline, or paragraphs
        parts.insert(0, sentence(rng.choice(ADJECTIVES[near(rng, mood, 0.4)])) + ":")
    gap = "\n" if rng.random() < 0.06 else " "
    return gap.join(parts)


def write_csv(path, rows):
    with open(path + ".part", "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["label", "text"])
        writer.writerows(rows)
    os.replace(path + ".part", path)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--train", type=int, default=2000, help="rows of the training file (default 2000)")
    parser.add_argument("--test", type=int, default=500, help="rows of the test file (default 500)")
    parser.add_argument(
        "--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data")
    )
    args = parser.parse_args()

    rng = random.Random(args.seed)
    seen, rows = set(), []
    while len(rows) < args.train + args.test:
        mood = rng.randrange(5)
        text = review(rng, mood)
        if text not in seen:
            seen.add(text)
            rows.append((mood, text))
    write_csv(os.path.join(args.out, "reviews-train.csv"), rows[: args.train])
    write_csv(os.path.join(args.out, "reviews-test.csv"), rows[args.train :])


if __name__ == "__main__":
    main()
