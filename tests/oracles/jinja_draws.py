"""Templates drawn at random: mostly well typed, so that most of them print something, with some of
everything that jinja2's syntax has. See jinja_sweep.py."""

import random

STRINGS = ["'a'", "''", "\"it's\"", "'say \"hi\"'", "' pad '", "'a,b,,c'", "'Größe ΟΔΟΣ ß'", "'x\\ny\\n'", "'tab\\t'",
           "'<b>&</b>'", "'abcabc'", "'12'", "'3.5'", "'-7'", "'日本👍'", "'Hello World'", "'one two  three'", "'a=b=c'"]
SEPARATORS = ["','", "' '", "''", "'-'", "'b'", "'\\n'", "', '"]
INTEGERS = ["0", "1", "2", "3", "7", "-1", "-3", "10", "1_000", "0x1F", "0b11"]
FLOATS = ["0.5", "1.0", "2.25", "1e3", "1.5e-7", "100.0", "2.5", "0.1"]
ANY_NAMES = ["mixed", "nested", "users", "nothing", "flag", "undefined_x", "empty", "floats", "numbers", "name"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable",
         "callable", "true", "false", "lower", "upper", "escaped", "odd", "even"]
RELATIONS = ["eq", "equalto", "==", "ne", "lt", "lessthan", "le", "gt", "greaterthan", "ge", "in", "sameas", "divisibleby"]


class Draw(random.Random):
    def __init__(self, seed):
        super().__init__(seed)
        self.scopes = [{"str": ["name", "text", "html", "unicode", "multi"], "int": [], "list": ["words", "numbers", "floats"],
                        "dict": ["nested", "users[0]", "empty.dict"], "any": list(ANY_NAMES)}]
        self.loops = 0
        self.breakable = 0
        self.macros = []
        self.spaces = []
        self.fresh = 0

    def maybe(self, share=0.5):
        return self.random() < share

    def named(self, kind):
        return [name for scope in self.scopes for name in scope.get(kind, [])]

    def new_name(self, kind):
        self.fresh += 1
        name = self.choice(["x", "y", "item", "acc", "value"]) + str(self.fresh) if self.maybe(0.8) else self.choice(["name", "words", "x", "a"])
        self.scopes[-1].setdefault(kind, []).append(name)
        return name

    # Expressions.
    def expression(self, kind, depth):
        """An expression that is most likely of that kind: str, int, float, bool, list, dict, any."""
        if self.maybe(0.04):
            kind = "any"
        if depth <= 0:
            return self.leaf(kind)
        if self.maybe(0.07):
            text = (f"{self.expression(kind, depth - 1)} if {self.expression('bool', depth - 1)}"
                    + (f" else {self.expression(kind, depth - 1)}" if self.maybe(0.85) else ""))
            return f"({text})" if self.maybe(0.9) else text
        if self.maybe(0.03):
            return f"{self.expression(kind, depth - 1)}|{self.choice(['d', 'default'])}({self.arguments([self.expression(kind, depth - 1)], ['default_value'], [('boolean', self.choice(['true', 'false', '1']))])})"
        text = getattr(self, kind + "_expression")(depth - 1)
        return f"({text})" if self.maybe(0.35) else text

    def leaf(self, kind):
        if kind == "any":
            kind = self.choice(["str", "int", "float", "bool", "list", "dict", "name", "name"])
        names = self.named("any" if kind == "name" else kind)
        if names and (kind == "name" or self.maybe(0.45)):
            return self.choice(names)
        if kind == "str":
            return self.choice(STRINGS)
        if kind == "int":
            if self.loops and self.maybe(0.4):
                return "loop." + self.choice(["index", "index0", "revindex", "revindex0", "length", "depth", "depth0"])
            return self.choice(INTEGERS)
        if kind == "float":
            return self.choice(FLOATS)
        if kind == "bool":
            if self.loops and self.maybe(0.4):
                return "loop." + self.choice(["first", "last", "changed(name)", "nextitem is defined", "previtem is defined"])
            return self.choice(["true", "false", "True", "False", "none", "flag", "undefined_x", "not flag"])
        if kind == "list":
            return self.choice(["[]", "[1, 2, 3]", "('a', 'b')", "['b', 'A', 'a', 'c']", "[3, 1, 2]", "range(4)", "[1, 'a', none]", "[[1, 2], [0, 3]]", "users"])
        return self.choice(["{}", "{'a': 1, 'b': 'x'}", "{'B': 2, 'a': [1]}", "{1: 'one', 'k': none}"])

    def arguments(self, first, names=(), optional=()):
        """Positional arguments, of which the last may be named, and some of the optional ones."""
        written = list(first)
        if written and len(names) == len(written) and self.maybe(0.2):
            written[-1] = f"{names[-1]}={written[-1]}"
            by_name = True
        else:
            by_name = False
        for name, value in optional:
            if self.maybe(0.4):
                by_name = by_name or self.maybe(0.5)
                written.append(f"{name}={value}" if by_name else value)
            else:
                by_name = True
        return ", ".join(written)

    def slice(self, depth):
        bounds = [self.expression("int", depth - 1) if self.maybe() else "" for _ in range(self.choice([2, 2, 3]))]
        return "[" + ":".join(bounds) + "]"

    def str_expression(self, depth):
        e = self.expression
        s = lambda: e("str", depth)
        choice = self.randrange(17)
        if choice == 0:
            return f"{s()} ~ {e('any', depth)}" + (f" ~ {e('any', depth)}" if self.maybe(0.3) else "")
        if choice == 1:
            return f"{s()} + {s()}"
        if choice == 2:
            return f"{s()} * {self.choice(['0', '2', '3', '-1', 'true'])}"
        if choice == 3:
            return f"{self.operand(s())}{self.slice(depth)}"
        if choice == 4:
            return f"{self.operand(s())}[{e('int', depth)}]"
        if choice in (5, 6, 7):
            return self.operand(s()) + "." + self.str_method(depth)
        if choice in (8, 9, 10):
            return f"{s()}|{self.str_filter(depth)}"
        if choice == 11:
            return f"{e('list', depth)}|join({self.arguments([self.choice(SEPARATORS)], ['d'])})"
        if choice == 12:
            return f"{e('any', depth)}|tojson" + self.choice(["", "", "(indent=2)", "(ensure_ascii=true)", "(sort_keys=true)", "(indent=4, sort_keys=true)", "(separators=(',', ':'))", "(none, 1)" if self.maybe(0.1) else ""])
        if choice == 13:
            return f"{e('any', depth)}|{self.choice(['string', 'string', 'e', 'escape', 'safe', 'forceescape'])}"
        if choice == 14:
            return self.choice([f"'%s-%s'|format({e('any', depth)}, {e('any', depth)})", f"'%d|%5.1f|%x'|format({e('int', depth)}, {e('float', depth)}, {e('int', depth)})",
                                f"'{{}}:{{:>5}}'.format({e('any', depth)}, {s()})", f"'%05d|%-6s|' % ({e('int', depth)}, {s()})", f"'{{a}}{{b!r}}'.format(a={e('any', depth)}, b={e('any', depth)})"])
        if choice == 15 and self.macros:
            return self.macro_call(depth)
        return f"{e('list', depth)}|{self.choice(['first', 'last'])}"

    def operand(self, text):
        """So that a method can follow."""
        return text if text.isidentifier() or text in STRINGS else f"({text})"

    def str_method(self, depth):
        e, s = self.expression, lambda: self.expression("str", depth)
        separator = lambda: self.choice(SEPARATORS)
        return self.choice([
            lambda: self.choice(["strip", "lstrip", "rstrip"]) + f"({self.choice(['', s(), separator(), 'none'])})",
            lambda: self.choice(["upper", "lower", "title", "capitalize", "swapcase", "casefold"]) + "()",
            lambda: f"replace({separator()}, {s()}" + self.choice(["", ", 1", ", -1"]) + ")",
            lambda: self.choice(["center", "ljust", "rjust"]) + f"({self.choice(['5', '12', '1', e('int', depth)])}" + self.choice(["", ", '*'"]) + ")",
            lambda: f"zfill({self.choice(['1', '6'])})",
            lambda: f"join({e('list', depth)}|map('string'))",
            lambda: self.choice(["removeprefix", "removesuffix"]) + f"({separator()})",
            lambda: f"expandtabs({self.choice(['', '4'])})",
        ])()

    def str_filter(self, depth):
        e, s = self.expression, lambda: self.expression("str", depth)
        return self.choice([
            lambda: self.choice(["upper", "lower", "title", "capitalize", "trim", "string", "reverse", "first", "last"]),
            lambda: f"trim({self.arguments([s()], ['chars'])})",
            lambda: f"replace({self.arguments([self.choice(SEPARATORS), s()], ['old', 'new'], [('count', self.choice(['0', '1', 'none']))])})",
            lambda: f"center({self.arguments([self.choice(['4', '20'])], ['width'])})",
            lambda: f"indent({self.arguments([self.choice(['2', '4', '0'])], ['width'], [('first', 'true'), ('blank', 'true')])})",
            lambda: f"indent('> ', {self.choice(['true', 'false'])})",
            lambda: f"truncate({self.arguments([self.choice(['5', '8', '3', '20'])], ['length'], [('killwords', 'true'), ('end', self.choice(SEPARATORS)), ('leeway', self.choice(['0', '2']))])})",
        ])()

    def int_expression(self, depth):
        e = self.expression
        i = lambda: e("int", depth)
        return self.choice([
            lambda: f"{i()} {self.choice(['+', '-', '*', '//', '%'])} {i()}",
            lambda: f"{self.choice(['-', '+'])}{i()}",
            lambda: f"{e(self.choice(['str', 'list', 'dict']), depth)}|{self.choice(['length', 'count'])}",
            lambda: f"{e(self.choice(['str', 'float', 'any']), depth)}|int" + self.choice(["", "", f"({i()})", "(default=5)", "(0, 16)", "(0, base=2)"]),
            lambda: f"{i()}|abs",
            lambda: f"{e('list', depth)}|sum",
            lambda: self.operand(e("str", depth)) + f".{self.choice(['find', 'rfind', 'count'])}({self.choice(SEPARATORS)}" + self.choice(["", ", 1", ", 0, 3"]) + ")",
            lambda: f"{e('str', depth)}|wordcount",
            lambda: f"{i()} ** {self.choice(['0', '1', '2'])}",
            lambda: f"{self.operand(e('list', depth))}[{i()}]",
            lambda: self.choice(self.spaces) + ".n" if self.spaces else "1",
        ])()

    def float_expression(self, depth):
        f = lambda: self.expression(self.choice(["float", "int"]), depth)
        return self.choice([
            lambda: f"{f()} {self.choice(['+', '-', '*', '/', '//', '%'])} {f()}",
            lambda: f"{f()}|float" + self.choice(["", "(1.5)"]),
            lambda: f"{f()}|round" + self.choice(["", "(1)", "(2, 'floor')", "(method='ceil')", "(1, method='ceil')", "(-1)"]),
            lambda: f"{self.expression('str', depth)}|float" + self.choice(["", "(default=2.5)"]),
            lambda: f"-{f()}",
        ])()

    def bool_expression(self, depth):
        e = self.expression
        any_ = lambda: e("any", depth)
        return self.choice([
            lambda: (lambda k: f"{e(k, depth)} {self.choice(['==', '!=', '<', '<=', '>', '>='])} {e(k, depth)}")(self.choice(["str", "int", "float", "list"])),
            lambda: f"{any_()} {self.choice(['==', '!='])} {any_()}",
            lambda: f"{e('int', depth)} < {e('int', depth)} {self.choice(['<', '<=', '!=', '>'])} {e('int', depth)}",
            lambda: f"{any_()} {self.choice(['in', 'not in'])} {e(self.choice(['list', 'dict', 'str']), depth)}",
            lambda: f"{e('str', depth)} {self.choice(['in', 'not in'])} {e('str', depth)}",
            lambda: f"not {e('bool', depth)}",
            lambda: f"{e('bool', depth)} {self.choice(['and', 'or'])} {e('bool', depth)}",
            lambda: f"{any_()} is {self.choice(['', 'not '])}{self.choice(TESTS)}",
            lambda: f"{any_()} is {self.choice(['', 'not '])}{self.choice(RELATIONS[:2] + RELATIONS[3:4] + RELATIONS[10:12])}({any_()})",
            lambda: f"{e('int', depth)} is {self.choice(['', 'not '])}{self.choice(RELATIONS[:2] + RELATIONS[3:10] + RELATIONS[12:])}{self.choice([' 2', '(3)', ' ' + self.choice(INTEGERS[:4])])}",
            lambda: self.operand(e("str", depth)) + "." + self.choice(["isalpha", "isdigit", "isalnum", "isspace", "isupper", "islower", "istitle", "isnumeric", "isprintable", "isascii"]) + "()",
            lambda: self.operand(e("str", depth)) + "." + self.choice(["startswith", "endswith"]) + f"({self.choice([self.choice(SEPARATORS), e('str', depth), '(' + self.choice(SEPARATORS) + ', ' + chr(39) + 'a' + chr(39) + ')'])})",
            lambda: f"'{self.choice(['upper', 'nofilter', 'tojson'])}' is {self.choice(['filter', 'test'])}",
        ])()

    def list_expression(self, depth):
        e = self.expression
        l = lambda: e("list", depth)
        s = lambda: e("str", depth)
        attribute = lambda: self.choice(["'name'", "'age'", "'tags.0'", "'missing'"])
        return self.choice([
            lambda: "[" + ", ".join(e("any", depth) for _ in range(self.randrange(4))) + "]",
            lambda: "(" + ", ".join(e("any", depth) for _ in range(self.randrange(3))) + ",)" if self.maybe() else f"({e('any', depth)}, {e('any', depth)})",
            lambda: f"{l()} + {l()}",
            lambda: f"{self.operand(l())}{self.slice(depth)}",
            lambda: f"{l()}|{self.choice(['list', 'reverse|list', 'sort', 'unique|list'])}",
            lambda: f"{l()}|sort({self.arguments([], [], [('reverse', 'true'), ('case_sensitive', 'true')])})",
            lambda: f"users|sort(attribute={attribute()})",
            lambda: f"users|{self.choice(['map', 'map', 'unique'])}(attribute={attribute()}{self.choice(['', ', default=9'])})|list",
            lambda: f"{l()}|map('{self.choice(['string', 'upper', 'int', 'length', 'tojson', 'abs', 'first'])}')|list",
            lambda: f"{l()}|{self.choice(['select', 'reject'])}({self.choice(['', repr(self.choice(TESTS)), repr(self.choice(RELATIONS)) + ', ' + e('any', depth)])})|list",
            lambda: f"users|{self.choice(['selectattr', 'rejectattr'])}({attribute()}{self.choice(['', ', ' + repr(self.choice(TESTS)), ', ' + repr(self.choice(RELATIONS)) + ', ' + e('any', depth)])})|list",
            lambda: self.operand(s()) + f".{self.choice(['split', 'rsplit'])}({self.choice(['', self.choice(SEPARATORS), self.choice(SEPARATORS) + ', 1', 'none, 1', 'maxsplit=1'])})",
            lambda: self.operand(s()) + f".{self.choice(['splitlines()', 'splitlines(true)', 'partition(' + chr(39) + '=' + chr(39) + ')', 'rpartition(' + chr(39) + ' ' + chr(39) + ')'])}",
            lambda: f"{self.operand(e('dict', depth))}.{self.choice(['items', 'keys', 'values'])}()|list",
            lambda: f"{e('dict', depth)}|{self.choice(['items|list', 'list', 'dictsort', 'dictsort(true)', 'dictsort(false, ' + repr('value') + ')', 'dictsort(reverse=true)'])}",
            lambda: f"{l()}|batch({self.choice(['2', '3', '2, none', '3, fill_with=0'])})|list",
            lambda: f"{l()}|slice({self.choice(['2', '3', '2, 0'])})|list",
            lambda: f"range({self.choice(['5', '1, 4', '10, 0, -3', e('int', depth)])})|list",
            lambda: f"users|groupby({attribute()}{self.choice(['', ', default=0'])})|list",
            lambda: f"{s()}|list",
            lambda: f"[{l()}|{self.choice(['min', 'max', 'first', 'last', 'sum'])}]",
            lambda: f"{l()} * 2",
        ])()

    def dict_expression(self, depth):
        e = self.expression
        return self.choice([
            lambda: "{" + ", ".join(f"{self.choice([repr('k' + str(i)), e('str', 0), '1', 'true'])}: {e('any', depth)}" for i in range(self.randrange(4))) + "}",
            lambda: f"dict(a={e('any', depth)}" + self.choice(["", ", b=1", ", **{'c': 2}"]) + ")",
            lambda: f"dict({e('dict', depth)}, z=1)",
            lambda: f"{self.operand(e('dict', depth))}.get({self.choice(STRINGS[:1] + [repr('k0')])}, {{}})",
            lambda: self.operand(e("dict", depth)) + ".copy()",
        ])()

    def any_expression(self, depth):
        e = self.expression
        key = self.choice(["'a'", "'k0'", "'items'", "0", "-1", "1", "'missing'"])
        return self.choice([
            lambda: e(self.choice(["str", "int", "float", "bool", "list", "dict"]), depth),
            lambda: f"{self.operand(e('dict', depth))}.{self.choice(['a', 'k0', 'items', 'missing', 'name'])}",
            lambda: f"{self.operand(e(self.choice(['dict', 'list', 'any']), depth))}[{key}]",
            lambda: f"{self.operand(e('dict', depth))}.get({key}{self.choice(['', ', 5'])})",
            lambda: f"{e('any', depth)}|attr({key})",
            lambda: f"users[{self.choice(['0', '-1', '1'])}].{self.choice(['name', 'age', 'admin', 'tags', 'missing'])}",
            lambda: f"{self.operand(e('any', depth))}.{self.choice(['x', '0', 'a.b', 'upper'])}",
            lambda: self.choice(["varargs", "kwargs", "caller", "loop"]) if self.maybe(0.2) else e("str", depth),
        ])()

    def macro_call(self, depth):
        name, parameters = self.choice(self.macros)
        count = len(parameters) if self.maybe(0.8) else self.randrange(4)
        arguments = []
        for i in range(count):
            value = self.expression("any", depth)
            named = i < len(parameters) and (self.maybe(0.25) or bool(arguments and "=" in arguments[-1][:8]))
            arguments.append(f"{parameters[i]}={value}" if named else value)
        if self.maybe(0.05):
            arguments.append("extra=1")
        if self.maybe(0.05):
            arguments.append("**{'q': 2}")
        return f"{name}({', '.join(arguments)})"

    # Statements.
    def tag(self, inside):
        return f"{{%{self.choice(['', '', '', '-', '-', '+'])} {inside} {self.choice(['', '', '', '-', '-', '+'])}%}}"

    def data(self):
        return self.choice(["", "", "text", "\n", "  \n  ", " x ", "\n\n", "\t", "a\nb", "é", "<|im|>\n", "   ", "}", "%", "\r\n", "#"])

    def block(self, depth, count=None):
        self.scopes.append({})
        text = self.data()
        for _ in range(self.randint(1, 3) if count is None else count):
            text += self.statement(depth) + self.data()
        self.scopes.pop()
        return text

    def statement(self, depth):
        kinds = ["show"] * 7 + ["assign"] * 2 + ["comment", "raw"]
        if self.breakable and self.maybe(0.5):
            kinds += ["leave"]
        if depth > 0:
            kinds += ["condition"] * 3 + ["loop"] * 4 + ["set_block", "macro", "macro", "call", "filtered", "scoped", "generated", "space", "recursion"]
        return getattr(self, self.choice(kinds))(depth)

    def show(self, depth):
        kind = self.choice(["str", "str", "int", "float", "bool", "list", "dict", "any"])
        return f"{{{{{self.choice(['', '', '', '-'])} {self.expression(kind, self.randint(0, 3))} {self.choice(['', '', '', '-'])}}}}}"

    def comment(self, depth):
        return self.choice(["{# note #}", "{#- note -#}", "  {# note #}\n", "{# {{ x }} #}"])

    def raw(self, depth):
        return self.choice(["{% raw %}{{ x }}{% endraw %}", "{%- raw -%} {% if %} {%- endraw -%}", "{% raw %}\n a{% endraw %}\n"])

    def leave(self, depth):
        return self.tag(f"if {self.expression('bool', 1)}") + self.tag(self.choice(["break", "continue"])) + self.tag("endif")

    def assign(self, depth):
        if self.spaces and self.maybe(0.35):
            space = self.choice(self.spaces)
            return self.tag(f"set {space}.{self.choice(['n', 'n', 'm'])} = {self.expression(self.choice(['int', 'str']), 1)}")
        kind = self.choice(["str", "int", "list", "dict", "any"])
        value = self.expression(kind, self.randint(0, 2))
        if self.maybe(0.1):
            first, second = self.new_name("any"), self.new_name("any")
            return self.tag(f"set {first}, {second} = {value}, {self.expression('any', 1)}")
        return self.tag(f"set {self.new_name(kind)} = {value}")

    def space(self, depth):
        self.fresh += 1
        name = f"ns{self.fresh}"
        self.scopes[-1].setdefault("any", []).append(name + ".n")
        self.spaces.append(name)
        text = self.tag(f"set {name} = namespace(n={self.choice(['0', repr('s')])}{self.choice(['', ', m=[]'])})") + self.block(depth - 1)
        self.spaces.remove(name)
        return text

    def set_block(self, depth):
        name = self.new_name("str")
        filters = self.choice(["", "", " | upper", "|trim|replace('a', 'b')"])
        return self.tag(f"set {name}{filters}") + self.block(depth - 1, 1) + self.tag("endset")

    def condition(self, depth):
        text = self.tag(f"if {self.expression('bool', self.randint(0, 2))}") + self.block(depth - 1)
        if self.maybe(0.25):
            text += self.tag(f"elif {self.expression('bool', 1)}") + self.block(depth - 1)
        if self.maybe(0.4):
            text += self.tag("else") + self.block(depth - 1)
        return text + self.tag("endif")

    def loop(self, depth):
        kind = self.choice(["list", "list", "list", "dict", "str", "pairs"])
        self.scopes.append({})
        if kind == "pairs":
            iterable = self.operand(self.expression("dict", 1)) + ".items()"
            target = f"{self.new_name('any')}, {self.new_name('any')}"
        else:
            iterable = self.expression(kind, self.randint(0, 2))
            target = self.new_name("any")
        head = f"for {target} in {iterable}"
        if self.maybe(0.25):
            head += f" if {self.expression('bool', 1)}"
        self.loops += 1
        self.breakable += 1
        text = self.tag(head) + self.block(depth - 1)
        self.loops -= 1
        self.breakable -= 1
        self.scopes.pop()
        if self.maybe(0.2):
            text += self.tag("else") + self.block(depth - 1, 1)
        return text + self.tag("endfor")

    def recursion(self, depth):
        tree = self.choice(["[[1, [2, []]], [], [3]]", "[{'v': 1, 'c': [{'v': 2, 'c': []}]}, {'v': 3, 'c': []}]", "nested.a.b", "[[], [[]]]"])
        children = "node.c" if "'c'" in tree else "node"
        self.scopes.append({"any": ["node", "node.v"]})
        self.loops += 1
        body = self.block(depth - 1, 1) + self.choice(["{{ loop.depth }}:", "{{ loop.index }}/{{ loop.length }}", "{{ loop.last }}", ""])
        body += self.choice([f"({{{{ loop({children}) }}}})", f"{{%- if {children} is iterable and {children} is not string %}}[{{{{ loop({children}) }}}}]{{% endif %}}",
                             f"{{{{ loop({children})|upper|trim }}}}", f"{{{{ loop(iterable={children}) }}}}"])
        self.loops -= 1
        self.scopes.pop()
        test = self.choice(["", "", " if node", " if node is not number"])
        otherwise = self.tag("else") + self.block(depth - 1, 1) if self.maybe(0.3) else ""
        return self.tag(f"for node in {tree}{test} recursive") + body + otherwise + self.tag("endfor")

    def macro(self, depth):
        self.fresh += 1
        name = f"m{self.fresh}"
        parameters = ["p", "q", "r"][:self.randrange(4)]
        defaults = self.randint(0, len(parameters))
        written = [p if i < len(parameters) - defaults else f"{p}={self.choice(['p', '1', repr('d'), 'name', '[]', self.expression('any', 1)])}" for i, p in enumerate(parameters)]
        self.scopes.append({"any": parameters})
        saved = self.loops, self.breakable
        self.loops = self.breakable = 0
        extra = self.choice(["", "", "", "{{ varargs }}", "{{ kwargs }}", "{{ caller() }}", "{{ caller(1) if caller }}", "{{ caller('a', b=2) if caller is defined else 'none' }}"])
        body = self.block(depth - 1, 1) + extra
        self.loops, self.breakable = saved
        self.scopes.pop()
        self.macros.append((name, parameters))
        use = f"{{{{ {self.macro_call(1)} }}}}" if self.maybe(0.7) else ""
        return self.tag(f"macro {name}({', '.join(written)})") + body + self.tag("endmacro") + use

    def call(self, depth):
        if not self.macros:
            return self.macro(depth)
        parameters = self.choice(["", "", "(a)", "(a, b=3)", "()"])
        self.scopes.append({"any": [p for p in "ab" if p in parameters]})
        saved = self.breakable
        self.breakable = 0
        body = self.block(depth - 1, 1)
        self.breakable = saved
        self.scopes.pop()
        return self.tag(f"call{parameters} {self.macro_call(1)}") + body + self.tag("endcall")

    def filtered(self, depth):
        filters = self.choice(["upper", "trim", "indent(2)", "replace('a', 'b')|upper", "indent(width=3, first=true)", "trim|tojson", "e"])
        return self.tag(f"filter {filters}") + self.block(depth - 1) + self.tag("endfilter")

    def scoped(self, depth):
        self.scopes.append({})
        value = self.expression("any", 1)
        name = self.new_name("any")
        text = self.tag(f"with {name} = {value}" + (f", w = {self.expression('any', 1)}" if self.maybe(0.3) else "")) + self.block(depth - 1) + self.tag("endwith")
        self.scopes.pop()
        return text

    def generated(self, depth):
        saved = self.breakable
        self.breakable = 0
        text = self.tag("generation") + self.block(depth - 1) + self.tag("endgeneration")
        self.breakable = saved
        return text

    def template(self):
        return self.block(self.randint(1, 3), self.randint(1, 5))
