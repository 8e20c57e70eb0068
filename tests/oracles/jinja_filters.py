"""Draws values for the filters that make or read text for people and browsers, and prints what jinja2
renders (Python 3.11's pprint, textwrap and html), for text_templates_main:

    python3 tests/oracles/jinja_filters.py SEED COUNT >filters.json
    build/release/tests/text_templates_main filters.json

A small draw is kept: jinja_filters.py kept 500 >tests/fixtures/chat/filters.json
"""

import html.entities
import json
import random
import re
import sys

from jinja_goldens import dump_list, render

NAMES = sorted(html.entities.html5)
PIECES = {
    "words": ["a", "word", "well-known", "a-b-c", "x-", "-y", "--", "---", "foo--bar", "end.--Then", "e-mail", "1-2", "ab-1", "_-_a-bc",
              "don't", "(see", "below)", "Größe-maß", "日本語", "x" * 30, "y-" * 12, "\u00a0", "\u2003", "\u0301e", "²-ab", "½", "!", "?--a"],
    "space": [" ", " ", " ", "  ", "\t", "\n", "\n\n", "\r\n", "\x0b", "\x0c", "\x1c", "\u2028", "\u00a0", "   "],
    "html": ["<b>", "</b>", "<", ">", "<!-- c -->", "<!--", "-->", "<a href='x>y'>", "<br/>", "&", "&amp;", "&lt;", "&gt;", "&#39;", "&#x27", "&#0;",
             "&#128;", "&#xD800;", "&#1114112;", "&#99999999999;", "&#1;", "&#xfdd0", "&#", "&#x", "&#;", "&notit;", "&notin;", "&amp", "&ampx",
             "&AMPlt;", "&copy2", "&nonsense;", "&x;", "&;", "&" + "a" * 40 + ";", "&é;", "&acE;", "&bne;", "&ltcc;", "&#13;", "&#x80;"],
    "web": ["http://a.de", "https://example.com/a?b=c&d#e", "HTTP://EXAMPLE.COM", "www.example.com", "www.a.b", "www.", "example.com", "a.com",
            "sub.example.org:8080/x", "example.org:123456", "example.xyz", "x_y.info", "münchen.net", "http://münchen.de/ß", "http://xn--mnchen-3ya.de",
            "http://x.xn--a", "http://1.2.3.4", "http://1.2.3.4.5", "http://1.2.3", "http://1234.1.1.1", "https://[::1]/x", "https://[1:2:3:4:5:6:7:8]",
            "http://[1:2]", "http://[12345::]", "http://[::g]", "http://localhost", "http://localhost:80/", "http://a", "https://", "ftp://a.com",
            "me@example.com", "mailto:me@example.com", "mailto:me", "@a@b.c", "a@b", "a@b.c_d", "a@-b.c", "a@b-c.d", "a@b@c.de", "a:b@c.de", "www.a@b.cd",
            "tel:123", "tel:", "git+ssh://x", "ſſ.ınt", "a.İnfo", "hTTpſ://x.com", "http://a.b_c", "http://%41.com", "%41b.com", "http://a..com",
            "http://a.com.", "http://a.com,", "a.com)", "(a.com", "(http://a.com/(b)", "((a.com))", "(http://a.com/(b)).", "<http://a.com>", "<a.com>.,)",
            "http://a.com/\"q\"", "http://a.com/'", "a.com/x>y", "..", "().", "http://a.com/(", "&lt;a.com&gt;", "a.community", "a.com/", "ab.com?", "ab.com!"],
}
# Without an infinite number, of which jinja2 makes code that fails.
VALUES = ["none", "true", "0", "1", "-1", "7", "1.5", "-2.5", "undefined_x", "[]", "()", "{}", "''", "'ab'", "range(3)", "'<i>'|safe", "'<i>'|e", "['ab', 'cd']",
          "[1, 2]", "{'a': 1}", "[('a', 1)]", "[('a', 1, 2)]", "'12'", "' 1_0 '", "'1e400'", "'nan'", "'-inf'", "namespace(a=1)", "(1, 2)", "'x'*3"]


class Draw:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.choice = self.random.choice

    def maybe(self, *arguments):
        return ", ".join(argument for argument in arguments if self.random.random() < 0.4)

    def text(self, *kinds, most=14):
        pieces = [self.choice(PIECES[self.choice(kinds)]) for _ in range(self.random.randrange(most))]
        if "html" in kinds:
            pieces += ["&" + self.choice(NAMES)[: self.choice([3, 5, 99])] for _ in range(3)]
            self.random.shuffle(pieces)
        return "".join(pieces)

    def spaced(self, kind, most=10):
        return "".join(self.choice(PIECES[kind]) + self.choice(PIECES["space"][: self.choice([3, 99])]) for _ in range(self.random.randrange(most)))

    def literal(self, text):
        return ascii(text) + self.choice(["", "", "", "", "|safe", "|e"])

    def number(self):
        size = self.choice([1, 2, 999, 999.5, 1000, 1023, 1024, 1025, 999949, 999950, 10**6, 2**20, 1e12, 1e24, 1e27, 1e30, 1.5, 0.5, -3, -5000.7, 0, 1e308])
        scale = self.choice([1, 1, 1, self.random.random() * 10 ** self.random.randrange(27)])
        value = size * scale
        return repr(int(value) if self.random.random() < 0.3 and abs(value) < 2**62 else value if value < 1e308 else 1e300)

    def nested(self, depth):
        if depth == 0 or self.random.random() < 0.25:
            return self.choice([lambda: ascii(self.spaced("words", 24)), lambda: ascii(self.choice(PIECES["words"])), self.number, lambda: self.choice(VALUES),
                                lambda: ascii("word " * self.random.randrange(40))])()
        items = [self.nested(depth - 1) for _ in range(self.random.randrange(7))]
        kind = self.choice(["list", "tuple", "dict"])
        if kind == "dict":
            keys = self.random.sample(["'b'", "'a'", "'name'", "1", "2.5", "none", "'" + "k" * 40 + "'", "(1, 2)", "(2, 0)", "'Z'", "10", "'it''s'", "-1"], len(items))
            return "{" + ", ".join(f"{key}: {item}" for key, item in zip(keys, items)) + "}"
        return f"[{', '.join(items)}]" if kind == "list" else f"({', '.join(items)}{',' if items else ''})"

    def expression(self):
        numbers = [str(n) for n in (1, 2, 5, 10, 20, 40, 79)]
        kind = self.choice(["filesizeformat", "pprint", "striptags", "urlencode", "urlize", "urlize", "wordwrap", "wordwrap", "xmlattr", "any"])
        if kind == "filesizeformat":
            return f"{self.number()}|filesizeformat({self.maybe('true')})"
        if kind == "pprint":
            return f"{self.nested(self.choice([1, 2, 3]))}|pprint"
        if kind == "striptags":
            return f"{self.literal(self.text('html', 'html', 'words', 'space'))}|striptags"
        if kind == "urlencode":
            pair = lambda: f"({self.literal(self.text('web', 'words', 'space', most=3))}, {self.choice(VALUES)})"
            value = self.choice([self.literal(self.text("web", "words", "space", "html")), "[" + ", ".join(pair() for _ in range(3)) + "]",
                                 "{'a b': " + self.literal(self.text("web", "html")) + ", 1: 2, 'ü/': none}"])
            return f"({value})|urlencode"
        if kind == "urlize":
            options = self.maybe("trim_url_limit=" + self.choice([*numbers, "0", "-3"]), "nofollow=true", "target=" + self.choice(["'_blank'", "'<\"'", "none", "''"]),
                                 "rel=" + self.choice(["'a b nofollow'", "'noopener'", "none", "'<'"]),
                                 "extra_schemes=" + self.choice(["['tel:']", "('tel:', 'git+ssh://')", "[]", "['x']", "['ftp://', 'ftp:']", "'tel:'", "['a:b:']"]))
            text = self.choice([lambda: self.spaced("web"), lambda: self.text("web", "space"), lambda: self.text("web", "html", "space", most=8)])()
            return f"{self.literal(text)}|urlize({options})"
        if kind == "wordwrap":
            options = self.maybe("width=" + self.choice([*numbers, "0", "-1", "100"]), "break_long_words=false", "break_on_hyphens=false",
                                 "wrapstring=" + self.choice(["'|'", "''", "'<br>'|safe", "none"]))
            text = self.choice([lambda: self.spaced("words", 30), lambda: self.text("words", "words", "space", most=30)])()
            return f"{self.literal(text)}|wordwrap({options})"
        if kind == "xmlattr":
            items = [f"{self.literal(self.choice(['class', 'id', 'data-x', 'a b', 'a/b', 'x>', 'a=b', 'ü', 'a&b', '']))}: {self.choice(VALUES)}"
                     for _ in range(self.random.randrange(4))]
            return "{" + ", ".join(items) + f"}}|xmlattr({self.maybe('false')})"
        return f"({self.choice(VALUES)})|" + self.choice(["filesizeformat", "filesizeformat(true)", "pprint", "striptags", "urlencode", "urlize", "wordwrap",
                                                         "wordwrap(3)", "xmlattr", "random|length"])


def main():
    seed, count = sys.argv[1], int(sys.argv[2])
    rows, seen = [], set()
    for i in range(count):
        source = "{{ " + Draw(f"{seed}.{i}").expression() + " }}"
        if source in seen:
            continue
        seen.add(source)
        row = {"source": source, **render(source, {})}
        # Addresses of Python objects can't be matched, surrogates not be written.
        text = row.get("text", "")
        if not re.search(" object at |[\ud800-\udfff]", text, re.IGNORECASE):
            rows.append(row)
    sys.stdout.write('{"variables": {},\n"snippets": ' + dump_list(rows) + "}\n")


if __name__ == "__main__":
    main()
