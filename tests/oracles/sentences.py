"""Sentences of many lengths and scripts, the same ones at every call."""
import random

WORDS = ("the a of and to in is it you that he was for on are with as his they be at one have this from "
         "or had by hot word but what some we can out other were all there when up use your how said an "
         "each she which do their time if will way about many then them write would like so these her "
         "long make thing see him two has look more day could go come did number sound no most people "
         "my over know water than call first who may down side been now find").split()
ODD = ["na\u00efve caf\u00e9s", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "3.14159 \u2248 \u03c0", "https://example.org/a?b=c",
       "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "C++20's std::span<float>", "\U0001f600 \U0001f44d\U0001f3fd", "antidisestablishmentarianism"]


def sentences(count, seed=5):
    draw = random.Random(seed)
    made = []
    for i in range(count):
        length = 400 if i % 50 == 49 else draw.choice([1, 3, 8, 12, 16, 20, 24, 40, 90])
        words = [draw.choice(WORDS) for _ in range(length)]
        if i % 4 == 0:
            words.insert(draw.randrange(len(words) + 1), draw.choice(ODD))
        made.append(" ".join(words).capitalize() + draw.choice([".", "?", "!", ""]))
    return made
