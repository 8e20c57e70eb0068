"""Small templates that probe one thing each, and the variables they see. See jinja_goldens.py."""

VARIABLES = {
    "name": "Ashlar",
    "text": "  Hello, World!\n",
    "words": ["pear", "Apple", "fig", "apple"],
    "numbers": [3, 1, 2, 10, -4],
    "floats": [1.5, 0.1, 1e16, 1e-5, -0.0, 100.0, 2.0e22, 123456789.123],
    "nested": {"a": {"b": [10, {"c": "deep"}]}, "items": "key named items", "none": None},
    "users": [{"name": "bob", "age": 31, "admin": True, "tags": ["x", "y"]},
              {"name": "Ann", "age": 25, "admin": False, "tags": []},
              {"name": "cid", "age": 31, "admin": True}],
    "mixed": [1, "1", None, True, 2.5, [1, "a'b"], {"k": "v\"w", "n": None}],
    "empty": {"list": [], "dict": {}, "text": ""},
    "html": "<a href=\"x\">'&'</a>",
    "unicode": "Größe ǅungla ΟΔΟΣ straße ﬁ İ 日本 👍",
    "multi": "one\ntwo\r\n\n  three",
    "big": 9007199254740993,
    "flag": True,
    "nothing": None,
}

_PRINTED = """
1 + 2 * 3 - 4 / 2 | 7 // 2 | -7 // 2 | 7 % 3 | -7 % 3 | 7 % -3 | 7.5 // 2 | -7.5 % 2 | 2 ** 10
2 ** -1 | -2 ** 2 | 2 ** 3 ** 2 | 10 / 4 | 10 / 5 | 1 / 3 | 0.1 + 0.2 | 1e3 | 1_000 | 0x1F | 0b101
0o17 | 1.0 | 1e16 | 1e15 | 123456789012345680.0 | 1e-4 | 1e-5 | 1.5e300 * 1e10 | 5 / 0 | 5 % 0 | 5 // 0
true + 1 | true + true | -true | +3 | not true | not none | not '' | true and 'x' | '' or 'y'
none or false | 1 and 0 | 1 == 1.0 | true == 1 | '1' == 1 | none == false | [1, 2] == [1, 2]
(1, 2) == [1, 2] | {'a': 1} == {'a': 1.0} | 1 < 2 < 3 | 1 < 3 < 2 | 3 > 2 >= 2 | 1 != 2 | 'a' < 'b'
'a' < 1 | none < 1 | [1, 2] < [1, 3] | [1] < [1, 0] | 'a' in 'abc' | 'd' not in 'abc' | 1 in [1, 2]
1 in 'a' | 'a' in {'a': 1} | 'b' in nested | 2 in (1, 2) | undefined_x in [1] | 'a' in undefined_x
'a' ~ 1 ~ none ~ true ~ 1.5 | 'a' + 'b' | 'a' + 1 | 1 + 'a' | 'ab' * 3 | 3 * 'ab' | 'ab' * -1
[1] * 2 | [1] + [2] | (1,) + (2, 3) | [1] + (2,) | 'a' 'b' "c" | 'x' if true | 'x' if false
'x' if false else 'y' | ('x' if false) is defined | 1 if 0 else 2 if 0 else 3 | [] | () | {} | (1,) | (1, 2)
{'a': [1, 2.0, none, true], 'b': 'it''s'} | {1: 'a', none: 'b', true: 'c', 2.5: 'd'} | {'a': 1, 'a': 2}
"it's" | ["it's"] | ['say "hi"'] | ['both \\'"'] | ['tab\\t nl\\n bs\\\\ \\x01 \\x7f \\xa0 é 👍 \\u200b'] | ['\\u2028']
'\\x41\\u00e9\\101\\q' | '\\U0001F44D' | 'a\\
b' | none | true | false | True | None | undefined_x | undefined_x.y | undefined_x['y'] | undefined_x()
undefined_x + 1 | 1 + undefined_x | undefined_x ~ 'a' | [undefined_x] | undefined_x == undefined_y | undefined_x == none
-undefined_x | undefined_x[1:] | undefined_x < 1 | nested.a.b[0] | nested.a.b[1].c | nested['a']['b'][-1]
nested.a.b[9] | nested.a.b['x'] | nested.missing | nested.missing.more | nested.items | nested['items']
nested.items() | nested.none | nested.none.x | none.x | name.x | name.upper | users[0].tags.0 | users.0.name
name[0] | name[-1] | name[99] | name[1:3] | name[::-1] | name[::2] | name[-3:] | name[:-3] | name[10:] | name[5:2:-1]
name[none:2] | name['a':] | name[::0] | numbers[1:3] | numbers[::-1] | numbers[-2:] | (1, 2, 3)[1:] | nothing[1:] | nested[1:]
unicode[0:5] | unicode[-1] | unicode[::-1] | name[1, 2] | floats | floats | join(' ') | mixed | mixed | string | users[0]
big + 1 | range(3) | range(1, 4) | list | range(5, 0, -2) | list | range(3)[1] | range(3)[-1] | range(3) | length | range(0) | list | range(9)[2:7:2] | range(9)[::-1] | range(0, 9, 3)[-2:] | ('a b'|truncate(1, leeway=9)) | [1]|truncate(3) | 'a' % [] | 'a' % nothing
range(100001) | range(0, 10, 0) | dict(a=1) | dict(nested.a, z=2) | dict([['a', 1]]) | namespace(a=1).a | namespace() | namespace(a=1).b
nested.a.keys() | nested.a.keys() | list | users[0].values() | list | users[1].items() | list | users[0].get('name') | users[0].get('q')
users[0].get('q', 7) | users[0].pop('name') | numbers.append(1) | numbers.append | numbers.append is defined | numbers.index(2) | numbers.index(77)
numbers.count(1) | users[0].update({}) | users[0].copy() | users[0].__class__ | name.__class__ | name.__len__() | name['__class__']
"""
_METHODS = """
text.strip() | text.lstrip() | text.rstrip() | text.strip(' H') | 'xxaxx'.strip('x') | 'xxaxx'.lstrip('x') | 'xxaxx'.rstrip('x')
text.upper() | text.lower() | name.title() | 'hello wORLD'.capitalize() | 'it is bob\\'s 2nd'.title() | 'Abc'.swapcase() | unicode.upper() | unicode.lower()
unicode.title() | unicode.capitalize() | 'ΑΣ ΑΣ. ΣΑ'.lower() | 'a,b,,c'.split(',') | 'a,b,,c'.split(',', 1) | ' a  b c '.split() | ' a  b c '.split(none, 1)
''.split() | ''.split(',') | 'a'.split('') | 'a,b,c'.rsplit(',', 1) | ' a b c '.rsplit(none, 1) | 'abc'.rsplit('x') | multi.splitlines() | multi.splitlines(true)
'a=b=c'.partition('=') | 'a=b=c'.rpartition('=') | 'abc'.partition('x') | 'abc'.rpartition('x') | 'abc'.startswith('ab') | 'abc'.startswith(('x', 'a'))
'abc'.endswith('bc') | 'abc'.startswith('b', 1) | 'abc'.endswith('b', 0, 2) | 'abc'.startswith(1) | 'abcabc'.find('c') | 'abcabc'.find('c', 3) | 'abc'.find('z')
'abcabc'.rfind('a') | 'ünïx'.find('x') | 'abc'.index('z') | 'abc'.index('b') | 'aaaa'.count('aa') | 'abc'.count('') | 'ababab'.count('ab', 1) | 'aXbX'.replace('X', '-')
'aXbX'.replace('X', '-', 1) | 'abc'.replace('', '.') | 'aa'.replace('a', 'aa') | ','.join(words) | ','.join([1]) | ''.join('abc') | '-'.join({'a': 1, 'b': 2})
'abc'.center(9, '*') | 'abc'.center(8) | 'abcd'.center(7, '.') | 'abc'.ljust(6, '.') | 'abc'.rjust(6) | '-42'.zfill(6) | '42'.zfill(5) | 'abc'.zfill(2)
'abc'.isalpha() | 'ab1'.isalnum() | '12'.isdigit() | '²'.isdigit() | '²'.isdecimal() | '½'.isnumeric() | ' '.isspace() | ''.isalpha() | 'ABC'.isupper() | 'abc1'.islower()
'ABC d'.isupper() | 'é'.isascii() | 'prefix-x'.removeprefix('prefix-') | 'x-suffix'.removesuffix('-suffix') | '{} {}'.format(1, 'a') | '{1} {0}'.format(1, 'a')
'{a} {b!r}'.format(a=1, b='x') | '{0[k]} {0.k}'.format({'k': 'v'}) | '{:>6}|{:<6}|{:^6}|{:*^7}'.format(1, 2, 3, 'a') | '{:05d} {:+} {:,} {:x} {:#b}'.format(42, 5, 1234567, 255, 5)
'{:.2f} {:e} {:g} {:%} {:10.3f}|'.format(3.14159, 12345.678, 0.0001, 0.25, 2.5) | '{{}} {}'.format(1) | '{'.format() | '{}'.format() | '{x}'.format(y=1) | '{:{}}'.format('a', 4)
'{:d}'.format('a') | '{!s:>5}'.format(true) | '{:.1f}'.format(0.25) | '{}'.format(none) | '{:s}'.format(1) | '%s and %d' % ('a', 3) | '%s' % 'x' | '%s' % none | '%r' % 'x'
'%5.1f|%-6s|%06d|%x|%%|%+d' % (3.14159, 'ab', 42, 255, 7) | '%(a)s-%(b)s' % {'a': 1, 'b': 2} | '%s %s' % ('a',) | '%d' % 'a' | '%s' % (1, 2) | '%s' % [1] | '%c' % 65 | '%e' % 12345.6
'%.3s' % 'abcdef' | '%d' % 3.9 | '%i' % true | '%z' % 1 | '%' % 1 | '%s' % undefined_x | 'abc'.nope() | 'abc'.nope | name.format | 'a'.join | name.encode
"""
_FILTERS = """
text|trim | text|trim(' !\\n') | 5|trim | none|trim | undefined_x|trim | name|upper | none|upper | true|lower | 'hELLO wORLD-foo (bar) [x'|title | 'ǆ ß'|title | 'hELLO'|capitalize
'a-b'|replace('-', '+') | 'aaa'|replace('a', 'b', 2) | 12|replace(1, 9) | 'aaa'|replace('a') | words|join | words|join(', ') | users|join(', ', attribute='name') | mixed|join('/') | 'abc'|join('.') | none|join | undefined_x|join | 5|join
name|length | numbers|count | nested|length | none|length | 5|length | undefined_x|length | unicode|length | undefined_x|default('d') | none|default('d') | none|default('d', true) | ''|d('e', true) | undefined_x|default | false|default('x', boolean=true)
numbers|first | numbers|last | []|first | []|last | 'abc'|first | 'abc'|last | nested|first | nested|last | undefined_x|first | 5|first | none|last | words|map('upper')|last | words|map('upper')|first
'abc'|list | nested|list | none|list | undefined_x|list | users[1]|items|list | undefined_x|items|list | none|items|list | words|items|list | users[1]|dictsort | {'b': 1, 'A': 2, 'c': 0}|dictsort | {'b': 1, 'A': 2}|dictsort(true) | {'b': 1, 'a': 2}|dictsort(false, 'value')
{'b': 1, 'a': 2}|dictsort(reverse=true) | {'b': 1}|dictsort(by='x') | none|dictsort | {1: 2, 'a': 3}|dictsort | users|map(attribute='name')|list | users|map(attribute='tags.0', default='-')|list | users|map(attribute='tags.0')|list | words|map('length')|list
words|map('replace', 'p', 'P')|list | words|map|list | words|map('nofilter')|list | undefined_x|map('upper')|list | none|map('upper')|list | users|selectattr('admin')|map(attribute='name')|list | users|rejectattr('admin')|list|length | users|selectattr('age', 'gt', 30)|list|length
users|selectattr('name', 'equalto', 'Ann')|list | users|selectattr('tags', 'defined')|list|length | users|selectattr('tags')|map(attribute='name')|list | users|selectattr|list | users|selectattr('x', 'nope')|list | numbers|select('odd')|list | numbers|reject('odd')|list | numbers|select|list
numbers|select('divisibleby', 2)|list | numbers|select('in', [1, 2])|list | users|selectattr('nope.deeper')|list | words|sort | words|sort(true) | words|sort(case_sensitive=true) | numbers|sort | users|sort(attribute='name')|map(attribute='name')|list | users|sort(attribute='age,name')|map(attribute='name')|join(',')
users|sort(attribute='age', reverse=true)|map(attribute='name')|join(',') | mixed|sort | [1]|sort | [none]|sort | words|unique|list | words|unique(true)|list | [1, 1.0, true, '1']|unique|list | [[1], [1]]|unique|list | users|unique(attribute='age')|map(attribute='name')|list | numbers|reverse|list | 'abc'|reverse
nested|reverse|list | none|reverse | 5|reverse | numbers|select('odd')|reverse | 42.55|round | 42.55|round(1) | 42.55|round(1, 'floor') | 42.51|round(0, 'ceil') | 2.5|round | 3.5|round | -2.5|round | 42|round | 1234|round(-2) | 1250|round(-2) | 1350|round(-2) | 2.675|round(2) | 1234.5|round(-2) | 'a'|round | 7|round(0, 'floor') | 42.5|round(method='x')
'42'|int | '42.7'|int | 'x'|int | 'x'|int(7) | ' 12 '|int | '0x1f'|int(base=16) | '1_000'|int | none|int | none|int(5) | [1]|int | 3.99|int | -3.99|int | true|int | '1e3'|int | 'inf'|int(3) | 'nan'|int | undefined_x|int | '12'|float | 'x'|float | 'x'|float(1.5) | '1e3'|float | 'inf'|float | none|float | 3|float | '1_0.5'|float | true|float
12|string | none|string | 'a'|string | [1]|string | undefined_x|string | html|escape | html|e | html|safe | html|safe|escape | html|e|e | html|e|upper | html|forceescape | html|e|forceescape | ('<' ~ html|safe)|e | ('<' + html|safe) | (html|safe + '<') | 5|e | none|e | ('<%s>'|safe) % '<' | ('<%s>'|safe)|format('<') | [html|safe] | html|safe|length | (html|safe)[0:3] + '<' | ('a<'|e) * 2 | 'x'|safe is escaped | 'x' is escaped | ('<'|safe).join(['<', 'a']) | ('<'|safe).join([1, none, '<']) | ('<1>'|safe).replace('1', 2.5) | ('<1>'|safe).replace('1', ['<']) | '1'.replace('1', 2.5) | ','.join([1])
multi|indent | multi|indent(2) | multi|indent(2, true) | multi|indent(2, blank=true) | multi|indent('> ') | multi|indent(width=1, first=true, blank=true) | ''|indent | 5|indent | mixed|tojson | mixed|tojson(indent=2) | nested|tojson | nested|tojson(indent=4) | empty|tojson | empty|tojson(indent=2) | unicode|tojson | unicode|tojson(ensure_ascii=true) | floats|tojson
{'b': 1, 'a': {'d': 2, 'c': 3}}|tojson(sort_keys=true) | {'a': [1, 2]}|tojson(separators=(',', ':')) | {'a': [1, 2]}|tojson(indent=1, separators=(',', '=')) | [1]|tojson(indent=0) | [1]|tojson(indent='--') | {1: 2, none: 3, true: 4, 1.5: 5}|tojson | undefined_x|tojson | range(3)|tojson | words|map('upper')|tojson | (1, 2)|tojson | html|tojson | '\\x7f\\x00\\u2028/\\\\'|tojson | {(1, 2): 3}|tojson | {1: 1, 'a': 2}|tojson(sort_keys=true) | 'inf'|float|tojson | nested.items()|tojson | big|tojson | html|e|tojson | tojson is defined | [[]]|tojson(indent=2) | 'é'|tojson(true)
-5|abs | -5.5|abs | true|abs | 'a'|abs | numbers|sum | floats|sum | []|sum | [1]|sum(start=5) | users|sum(attribute='age') | words|sum | words|sum(start='') | [[1], [2]]|sum(start=[]) | numbers|min | numbers|max | words|min | words|max | words|max(case_sensitive=true) | []|min | users|max(attribute='age') | mixed|max | numbers|batch(2)|list | numbers|batch(2, 'x')|list | numbers|batch(0)|list | numbers|slice(2)|list | numbers|slice(2, 'x')|list | numbers|slice(0)|list | []|slice(2)|list
'foo bar_baz, q-u 日本'|wordcount | ''|wordcount | '%s-%s'|format(1, 'b') | '%(a)s'|format(a=2) | '%s'|format(1, a=2) | 'a'|format(1) | name|center(20) | name|center | ('word ' * 60)|truncate(20) | ('word ' * 60)|truncate(20, true) | 'short'|truncate(3) | 'foo bar baz qux'|truncate(9) | 'foo bar baz qux'|truncate(11, false, '...', 0) | nested|attr('items') is callable | nested|attr('a') | name|attr('upper') is callable | namespace(x=1)|attr('x') | undefined_x|attr('x')
users|groupby('age') | users|groupby('age')|map(attribute='grouper')|list | users|groupby('admin')|map('last')|map('length')|list | users|groupby('tags.0', default='-')|map(attribute='list')|map('length')|list | users|groupby('nope')
words|groupby(0)|list | [{'k': 'a'}, {'k': 'b'}, {'k': 'A'}]|groupby('k') | [{'k': 'a'}, {'k': 'b'}, {'k': 'A'}]|groupby('k', case_sensitive=true)|length | (users|groupby('age'))[1][0] | (users|groupby('age'))[0].list[0].name | users|groupby | none|groupby('a') | mixed|groupby(0) | []|groupby('a')
name|nofilter | name|upper|lower|title | name | upper | -5|abs|string ~ 'x' | 1 + 2|string|length | (1, 2)|last | name|default('x')|length > 3 | words|join(d='+') | name|upper() | name|replace(old='A', new='B') | name|join(', ', 'a', 'b')
"""
_TESTS = """
undefined_x is defined | name is defined | none is defined | nested.q is defined | undefined_x is undefined | none is none | undefined_x is none | 1 is none | name is string | 1 is string | nested is mapping | [] is mapping | [] is iterable | 'a' is iterable
1 is iterable | undefined_x is iterable | none is iterable | nested is iterable | [] is sequence | (1,) is sequence | 'a' is sequence | nested is sequence | 1 is sequence | none is sequence | undefined_x is sequence | range(3) is sequence | range(3) is iterable
words|map('upper') is iterable | words|map('upper') is sequence | nested.items() is sequence | 1 is number | 1.5 is number | true is number | '1' is number | 1 is integer | true is integer | 1.0 is integer | 1.0 is float | 1 is float | true is boolean | 1 is boolean
true is true | 1 is true | false is false | 0 is false | none is false | 3 is odd | 4 is odd | 4 is even | 3 is even | 'a' is even | 9 is divisibleby 3 | 9 is divisibleby(4) | 9 is divisibleby 0 | 1 is eq 1 | 1 is equalto(2) | 1 is ne 2 | 2 is gt 1 | 2 is lessthan 1
2 is ge 2 | 2 is le 1 | 'a' is lt 'b' | 1 is in [1, 2] | 'x' is in 'axb' | 5 is not in [1] | 'abc' is lower | 'ABC' is upper | 'Abc' is lower | '1' is upper | name is callable | range is callable | undefined_x is callable | none is sameas none | 1 is sameas 1 | true is sameas 1
'upper' is filter | 'nope' is filter | 'odd' is test | 'nope' is test | 1 is nope | not 1 is odd | 1 is not odd | 1 is odd and 2 is even | 1 is odd or 2 is odd | undefined_x is not defined | 3 is odd is true | (3 is odd) is true | 'a' is string and 'b' is string | 1 is number == true
nested.a is mapping and nested.a.b is not string | name is not none and name | 1 is defined if true else 2 | [1] is eq [1] | {'a': 1} is eq {'a': 1} | 1 is eq(1) | name is eq name | 3 is divisibleby 1 + 2 | 'a' is in ['a'] + ['b'] | none is not none | words is iterable and words is not string and words is not mapping
"""


def _split(block):
    """Lines of ' | ' between expressions; a filter's bar has no blanks around it."""
    expressions = []
    for line in block.strip("\n").replace("\\\nb", "\\\x00b").split("\n"):
        expressions += [part.strip().replace("\x00", "\n") for part in line.split(" | ")]
    return expressions


def _print_all(block):
    return ["{{ " + expression + " }}" for expression in _split(block) if expression]


_STATEMENTS = [
    # White space control: trim_blocks, lstrip_blocks, signs, comments, raw.
    "", "\n", "a\n", "a\n\n", "a\r\nb\r\n", "  {% if true %}  \n x\n  {% endif %}\ny",
    "a {% if true %} b {% endif %} c", "a\n  {%- if true -%}\n  b\n  {%- endif -%}\n  c",
    "a\n  {%+ if true +%}\n  b\n  {%+ endif %}\n  c", "  {{ 1 }}  \n  {{- 2 -}}  \n  3",
    "  {{ 1 }}\n{{ 2 }}\n", "x  {# c #}  y", "  {# c #}\ny", "x\n  {#- c -#}\n  y", "{#+ c +#}\ny", "{# a\nb #}c",
    "{# {{ nope #}x", "{# open", "{#-#}a", "{% raw %}{{ x }}{% endraw %}", "  {% raw %}\n a {% b %}\n  {% endraw %}\nz",
    "a {%- raw -%}  b  {%- endraw -%}  c", "{% raw %}open", "{%+ raw %} a {%+ endraw +%}\nb", "{%raw%}{%endraw%}x",
    "{{ '{%' }}{{ \"}}\" }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a': {}} }}", "{{{}}}", "{ { % } }", "{", "a{", "}} %}",
    "\t{% if 1 %}\t{% endif %}\t\n", "\n\n  {% set x = 1 %}  \n\n{{ x }}", "{%if 1%}a{%endif%}", "{% if 1: %}a{% endif %}",
    "{{- 1 }}{{ 2 -}}  x", " {{- 1 -}} ", "a\n\n{%- if 1 %}\n\nb\n\n{%- endif %}\n\nc", "{% if 1 %}\n{% if 1 %}\n  a\n{% endif %}\n{% endif %}\nb",
    "x{% if 1 %}\n\ny{% endif %}\n\nz", "\u00a0 {% if 1 %}a{% endif %}", " \u2003{%- if 1 %}a{% endif %}",
    # if
    "{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}", "{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}", "{% if none %}a{% endif %}",
    "{% if undefined_x %}a{% else %}b{% endif %}", "{% if undefined_x.y %}a{% endif %}", "{% if words|map('upper') %}lazy is true{% endif %}",
    "{% if [] |map('upper') %}lazy is true{% endif %}", "{% if 1, %}a{% endif %}", "{% if 1 %}{% set q = 5 %}{% endif %}{{ q }}",
    "{% if 0 %}{{ name|nofilter }}{% endif %}ok", "{% if 1 %}{{ name|nofilter }}{% endif %}", "{{ name|nofilter if 0 else 'ok' }}",
    "{% if 0 %}{% for x in [1] %}{{ x|nofilter }}{% endfor %}{% endif %}", "{% for x in [] %}{{ x|nofilter }}{% endfor %}",
    "{% if 0 %}{{ 1 is notest }}{% endif %}ok", "{{ 1 if 1 is notest else 2 }}", "{% if not 1 == 2 %}a{% endif %}", "{% if 1 %}a{% elif %}b{% endif %}",
    # for
    "{% for x in numbers %}{{ x }},{% endfor %}", "{% for x in [] %}a{% else %}none{% endfor %}", "{% for x in numbers if x > 1 %}{{ x }}{{ loop.index }}{{ loop.last }};{% endfor %}",
    "{% for x in numbers if x > 100 %}{{ x }}{% else %}nothing{% endfor %}", "{% for k, v in users[0].items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in nested %}{{ k }};{% endfor %}",
    "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for (a, b) in ['xy'] %}{{ a }}{{ b }}{% endfor %}",
    "{% for c in 'añ👍' %}[{{ c }}]{% endfor %}", "{% for x in none %}{% endfor %}", "{% for x in 5 %}{% endfor %}", "{% for x in undefined_x %}a{% else %}e{% endfor %}", "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}",
    "{% for x in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for x in 'abc' %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}", "{% for x in 'abc' %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for x in 'abc' %}{{ loop.cycle('o', 'e') }}{% endfor %}", "{% for x in 'aabbc' %}{{ loop.changed(x) }}{% endfor %}", "{% for x in 'ab' %}{{ loop.cycle() }}{% endfor %}", "{% for x in 'a' %}{{ loop.nope }}{{ loop }}{% endfor %}",
    "{% for x in 'ab' %}{% for y in 'cd' %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}", "{% for x in 'ab' %}{% set outer = loop %}{% for y in 'cd' %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in numbers %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in numbers %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in [1] %}{% break %}{% else %}e{% endfor %}",
    "{% break %}", "{% for x in 'ab' %}{% for y in 'cd' %}{% break %}{% endfor %}{{ x }}{% endfor %}", "{% for x in 'abc' %}{% set z %}{% if x == 'b' %}{% break %}{% endif %}q{% endset %}{{ x }}{{ z }}{% endfor %}",
    "{% set x = 0 %}{% for i in 'abc' %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}", "{% set ns = namespace(x=0) %}{% for i in 'abc' %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}",
    "{% for i in 'ab' %}{{ q }}{% set q = i %}{{ q }}{% endfor %}{{ q }}", "{% for name in [1] %}{{ name }}{% endfor %}{{ name }}", "{% for x in [1] %}{% endfor %}{{ x }}", "{% for loop in [1] %}{% endfor %}", "{% for x in [1] %}{% set loop = 3 %}{% endfor %}",
    "{{ loop }}", "{{ loop.index }}", "{% for x in [1] %}{% else %}{{ loop }}{% endfor %}", "{% for x in words|map('upper') %}{{ loop.length }}{{ loop.last }}{{ x }} {% endfor %}", "{% set g = words|map('upper') %}{{ g|list }}{{ g|list }}",
    "{% set g = words|map('upper') %}{{ g|first }}{{ g|list }}", "{% set g = words|map('upper') %}{{ 'FIG' in g }}{{ g|list }}", "{% for x in words|map('upper') %}{{ x }}{% break %}{% endfor %}", "{{ words|map('upper')|length }}", "{{ (words|map('upper'))[0] }}",
    "{% for x in range(3) %}{{ x }}{% endfor %}", "{% for x in nested.items() %}{{ x[0] }}{% endfor %}", "{% for x in users|selectattr('admin') %}{{ x.name }}{% if not loop.last %}, {% endif %}{% endfor %}", "{% for true in [1] %}{% endfor %}",
    "{% for x in [1] %}", "{% for x in %}{% endfor %}", "{% for x of y %}{% endfor %}", "{% for x.y in [1] %}{% endfor %}", "{% for x in [3, 1]|sort %}{{ x }}{% endfor %}", "{% for x in [1, 2] if loop.index > 1 %}{{ x }}{% endfor %}",
    "{% for x in [[1, 2], [3]] %}{% for y in x %}{{ y }}{{ loop.last }}{% endfor %}{% endfor %}", "{% for x in {'a': 1}.values() %}{{ x }}{% endfor %}", "{% for a in [1, 2] %}{% for b in [1, 2] if b != a %}{{ a }}{{ b }} {% endfor %}{% endfor %}",
    # set and namespaces
    "{% set x = 1 %}{{ x }}", "{% set x, y = 1, 2 %}{{ x }}{{ y }}", "{% set x = 1, 2 %}{{ x }}", "{% set (a, b) = [1, 2] %}{{ a }}{{ b }}", "{% set x %}a{{ 1 }}b{% endset %}{{ x }}", "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x | replace('a', 'b') | upper %}aa{% endset %}{{ x }}",
    "{% set x %}{% set inner = 1 %}{% endset %}{{ inner }}", "{% set ns = namespace() %}{% set ns.a = 5 %}{{ ns.a }}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns.c }}", "{% set ns.a = 1 %}", "{% set d = {} %}{% set d.a = 1 %}", "{% set ns = namespace() %}{% set ns.a %}x{% endset %}{{ ns.a }}",
    "{% set ns = namespace(a=1) %}{{ ns }}", "{% set ns = namespace(a=1) %}{{ ns['a'] }}", "{% set ns = namespace(a=1) %}{{ ns == ns }}{{ ns is mapping }}{{ ns.items }}", "{% set ns = namespace(l=[]) %}{% for i in [1,2] %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l }}",
    "{% set none = 1 %}", "{% set 1 = 2 %}", "{% set x %}", "{% set x = %}", "{% set a.b.c = 1 %}", "{% set ns = namespace() %}{% set ns.a, b = 1, 2 %}{{ ns.a }}{{ b }}", "{% set x = 1 if false %}{{ x is defined }}", "{% set name = name ~ '!' %}{{ name }}", "{% set x = 'a' %}{% if 1 %}{% set x = 'b' %}{% endif %}{{ x }}",
    "{% set ns = namespace(f=none) %}{% macro m() %}M{% endmacro %}{% set ns.f = m %}{{ ns.f() }}", "{% set _ = [1].append(2) %}", "{% set x = y = 1 %}",
    # recursive loops, and tests that depend on what the body set
    "{% for n in [[1, [2]], 3] recursive %}{{ loop.depth }}{{ loop.depth0 }}{% if n is number %}{{ n }}{% else %}<{{ loop(n) }}>{% endif %}{% endfor %}",
    "{% for n in [{'v': 1, 'c': [{'v': 2}]}] recursive %}{{ n.v }}{% if n.c %}({{ loop(n.c)|upper }}){% endif %}{% else %}none{% endfor %}",
    "{% for n in [] recursive %}{% else %}none{% endfor %}", "{% for n in [[], [[]]] recursive %}[{{ loop(n) }}]{% else %}-{% endfor %}", "{% for n in [1] %}{{ loop([2]) }}{% endfor %}",
    "{% for n in [[1, 2], [3]] if n is not number or n > 1 recursive %}{{ loop.length }}{% if n is iterable %}{{ loop(iterable=n) }}{% endif %}{% endfor %}", "{% for n in [1] recursive %}{{ loop() }}{% endfor %}",
    "{% for n in [1] recursive %}{{ loop(1) }}{% endfor %}", "{% for x in [1, 2] %}{% for n in [] recursive %}{% else %}{% break %}{% endfor %}{% endfor %}", "{% for x in [1, 2] %}{% for n in [3, 4] recursive %}{{ n }}{% break %}{% endfor %}{{ x }}{% endfor %}",
    "{% for n in [[1], 2] recursive %}{% generation %}{{ loop.index }}{% endgeneration %}{% if n is iterable %}{{ loop(n) }}{% endif %}{% endfor %}", "{% for n in [1] recursive %}{{ loop is callable }}{{ loop.x is defined }}{% endfor %}",
    "{% set ns = namespace(last=none) %}{% for x in [1, 1, 2, 2, 1] if x != ns.last %}{% set ns.last = x %}{{ x }}{% endfor %}",
    "{% set ns = namespace(last=none) %}{% for x in [1, 1, 2, 2, 1] if x != ns.last %}{{ loop.last }}{% set ns.last = x %}{{ x }}{{ loop.length }}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% for x in 'abcd' if ns.n < 2 %}{% set ns.n = ns.n + 1 %}{{ x }}{{ loop.nextitem }}{{ loop.revindex }}{% endfor %}",
    "{{ dict(undefined_x, z=1) }}", "{{ dict({}.missing) }}", "{% filter length %}abc{% endfilter %}", "{% macro m() %}{{ kwargs }}{% endmacro %}{% call m() %}{% endcall %}", "{% macro m() %}{{ caller.name }}{{ caller }}{% endmacro %}{% call m() %}{% endcall %}",
    "{{ 'a\tbc\td\n\te'.expandtabs() }}|{{ 'é\tb'.expandtabs(4) }}|{{ '\t'.expandtabs(0) }}|{{ 'a\tb'.expandtabs(tabsize=3) }}", "{{ 'Ab Cd'.istitle() }}{{ 'Ab cd'.istitle() }}{{ ''.istitle() }}{{ 'ABc'.istitle() }}{{ '1A'.istitle() }}{{ 'ǅa ǅ'.istitle() }}", "{{ 'a b'.isprintable() }}{{ 'a\n'.isprintable() }}{{ ''.isprintable() }}",
    # names that a body sets before it reads them, and that no body around it mentions
    "{% for x in [1] %}{{ name }}{% endfor %}{% set name = 2 %}{{ name }}", "{{ name }}{% for x in [1] %}{{ name }}{% endfor %}{% set name = 2 %}",
    "{% if 0 %}{% set name = 2 %}{% endif %}{{ name }}", "{% if 1 %}{% set name = 2 %}{% endif %}{% for x in [1] %}{{ name }}{% endfor %}",
    "{% if name %}{% for x in [1] %}{{ name }}{% endfor %}{% endif %}{% set name = 2 %}", "{% with %}{{ name is defined }}{% endwith %}{% set name = 1 %}",
    "{% macro m() %}{{ name }}{% set name = 1 %}{{ name }}{% endmacro %}{{ m() }}", "{% macro m() %}{% for x in [1] %}[{{ name }}]{% endfor %}{% set name = 1 %}{{ name }}{% endmacro %}{{ m() }}",
    "{{ name }}{% macro m() %}{% for x in [1] %}[{{ name }}]{% endfor %}{% set name = 1 %}{{ name }}{% endmacro %}{{ m() }}",
    "{% macro m(q=name) %}{% for x in [1] %}[{{ name }}]{% endfor %}{% set name = 1 %}{{ name }}{{ q }}{% endmacro %}{{ m() }}",
    "{% for x in [1, 2] %}{% with %}[{{ name }}]{% endwith %}{% set name = x %}{{ name }}{% endfor %}{{ name }}", "{% for name in [1] %}{% with %}{{ name }}{% endwith %}{% set name = 2 %}{% endfor %}",
    "{% set name %}[{{ name }}]{% endset %}{{ name }}", "{% set name | upper %}x{{ name }}{% endset %}{{ name }}", "{% set x | replace('a', y) %}{% set y = 'b' %}a{% endset %}{{ x }}{{ y }}",
    "{% for i in [1] %}{{ name }}{% endfor %}{% macro name() %}x{% endmacro %}", "{% for i in [1] %}{{ words }}{% endfor %}{% set words, z = 1, 2 %}{{ words }}", "{% for i in [1] %}{{ words }}{% else %}{{ name }}{% endfor %}{% set name = 1 %}",
    "{% filter upper %}{% with %}{{ name }}{% endwith %}{% set name = 'b' %}{{ name }}{% endfilter %}{{ name }}", "{% with name = 1 %}{{ name }}{% endwith %}{{ name }}", "{% for i in [1] %}{{ name }}{% endfor %}{% with name = 1 %}{% endwith %}",
    "{% set ns = namespace() %}{% for i in [1] %}{% set ns.name = name %}{% endfor %}{{ ns.name }}", "{% call(x=name) m() %}{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{% with %}[{{ name }}]{% endwith %}{% set name = 1 %}{{ name }}{% endcall %}",
    "{% generation %}{{ varargs }}{{ kwargs }}{{ caller is defined }}{% endgeneration %}", "{% macro m() %}{% generation %}{{ caller() }}{% endgeneration %}{% endmacro %}{% call m() %}x{% endcall %}",
    "{{ (users|groupby('age'))[0][:1] }}{{ (users|groupby('age'))[1][::-1] }}{{ (users|groupby('age'))[0][2:] }}", "{{ users|groupby('name')|max }}", "{{ users|groupby('age')|sort }}", "{{ (users|groupby('name'))[0] == ('Ann', [users[1]]) }}", "{{ users|groupby('age')|unique|list }}", "{{ users|groupby('name')|list == users|groupby('name')|list }}",
    "{{ unicode.casefold() }}{{ 'ŉ ẞ ΣΑΣ ﬁ ᏸ'.casefold() }}{{ 'A'.casefold(1) }}", "{{ 'ŉ ẞ ΣΑΣ ﬁ ᏸ'.casefold() }}",
    # macros, call blocks, filter blocks, with
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=4, a=5) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m() }}|{{ m(1) }}", "{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}",
    "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(1) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m() %}{{ q }}{% endmacro %}{% set q = 1 %}{{ m() }}", "{% macro m() %}{% set q = 1 %}{% endmacro %}{{ m() }}{{ q }}", "{% macro fact(n) %}{{ n * fact(n - 1)|int if n > 1 else 1 }}{% endmacro %}{{ fact(5) }}",
    "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m('a') ~ m('b') }}{{ m('a')|upper }}{{ m('a') is string }}", "{{ m() }}{% macro m() %}x{% endmacro %}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(none) %}{% endmacro %}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m }}", "{% for i in [1,2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}x{{ name }}{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b=5) m() %}{{ a }}{{ b }}{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% call 5 %}{% endcall %}",
    "{% macro m() %}{% if caller %}{{ caller() }}{% else %}no{% endif %}{% endmacro %}{{ m() }}{% call m() %}yes{% endcall %}", "{% macro a(x) %}{{ b(x) }}{% endmacro %}{% macro b(x) %}({{ x }}){% endmacro %}{{ a(1) }}", "{% for x in [1, 2] %}{% macro m(y) %}{{ x + y }}{% endmacro %}{{ m(10) }} {% endfor %}", "{% macro m(*args) %}{% endmacro %}",
    "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(*[5], **{'b': 6}) }}", "{{ dict(**{'a': 1}, b=2) }}", "{{ range(*[1, 3])|list }}", "{{ dict(a=1, a=2) }}", "{{ name.upper(1) }}", "{{ name.replace('A', ) }}", "{{ name.upper( }}",
    "{% filter upper %}abc{{ name }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}aa{% endfilter %}", "{% filter indent(2) %}a\nb{% endfilter %}", "{% filter nofilter %}a{% endfilter %}", "{% filter upper %}{% set q = 1 %}{% endfilter %}{{ q }}", "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{% endwith %}", "{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z }}",
    "{% print 1, 2 %}", "{% macro m(x, y='d') -%}\n  {{ x }}{{ y }}\n{%- endmacro %}\n{{ m(1) }}", "{% macro m(caller=none) %}{{ caller }}{% endmacro %}{{ m() }}", "{% macro outer() %}{% macro inner() %}i{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner }}",
    # generation, globals, errors of all kinds
    "a{% generation %}b{{ name }}{% endgeneration %}c{% generation %}é{% endgeneration %}d", "{% for m in users %}{{ m.name }}:{% generation %}{{ m.age }}\n{% endgeneration %}{% endfor %}", "{% generation %}", "{% generation %}{% set q = 1 %}{% endgeneration %}{{ q }}", "{% for x in 'ab' %}{% generation %}{{ loop.index }}{% break %}{% endgeneration %}{% endfor %}",
    "{{ raise_exception('boom') }}", "{% if 0 %}{{ raise_exception('boom') }}{% endif %}ok", "{{ raise_exception() }}", "{{ strftime_now('%d %b %Y') }}", "{{ strftime_now('%Y-%m-%d %H:%M:%S %j %A %B %p %y %%') }}", "{{ strftime_now('%-d %e') }}", "{{ strftime_now() }}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.reset() }}{{ c.next() }}", "{{ cycler() }}",
    "{% set j = joiner(', ') %}{% for x in 'abc' %}{{ j() }}{{ x }}{% endfor %}", "{{ range }}x" if False else "{{ range is callable }}", "{{ }}", "{{ 1 2 }}", "{{ 1 + }}", "{{ (1 }}", "{{ [1 }}", "{{ {1} }}", "{{ {1: } }}", "{{ 'abc }}", "{{ a.  }}", "{{ a.'b' }}", "{{ a[ }}", "{{ a[] }}", "{{ a|  }}", "{{ a is }}", "{{ @ }}", "{{ a ? b }}", "{{ 1 }", "{{ 1", "{% if %}{% endif %}", "{% if 1 %}", "{% endif %}", "{% else %}", "{% if 1 %}{% endfor %}", "{% unknown %}", "{% 5 %}", "{% %}", "{% if 1 %}{% else %}{% else %}{% endif %}", "{% include 'x' %}", "{% do 1 %}", "{{ 'a\\xq' }}", "{{ '\\u12' }}", "{{ a; b }}", "{{ a = 1 }}", "{{ not }}", "{{ 1 not 2 }}", "{{ a b }}", "{{ ) }}", "{{ (] }}", "{{ lambda x: 1 }}", "{{ 1 if }}", "{{ 1 if 1 else }}", "{{ x[1:2:3:4] }}", "{{ **a }}", "{{ *a }}", "{{ f(a=1, 2) }}", "{{ f(*a, 2) }}", "{{ 01 }}", "{{ 1__0 }}", "{{ 1.5.5 }}", "{{ 5.real }}" if False else "{{ 5.x }}", "{{ 1.e }}", "{{ 'a'.0 }}", "{{ (1, 2).1 }}", "{{ [1, 2,] }}{{ {'a': 1,} }}{{ (1,) }}", "{{ ((1)) }}", "{{ () }}", "{{ [,] }}", "{{ é }}", "{{ “a” }}", "{{ not not 1 }}", "{{ - - 1 }}", "{{ -1|abs }}", "{{ 2 * -3 }}", "{{ 2 ** -1 }}", "{{ -2 ** 2 }}", "{{ 1 in [1] in [true] }}", "{{ 1 < 2 == true }}", "{{ 1 ~ 2 + 3 }}", "{{ 1 + 2 ~ 3 }}", "{{ 2 * 3 ~ 4 }}", "{{ 'a' in 'abc' and 'd' not in 'abc' }}", "{{ 'a' 'b'|upper }}", "{{ name|upper ~ 'x' }}", "{{ 1|string + '2' }}", "{{ (1 if true else 2) + 1 }}", "{{ 1 if true else 2 + 1 }}", "{{ none is none and true }}", "{{ [1, 2][0] + {'a': 1}['a'] }}", "{{ users[0]['name'][0]|upper }}", "{{ users[-1].name }}", "{{ 'x' * 3 ~ 'y' }}", "{{ name.upper().lower().title() }}", "{{ (name|upper).lower() }}", "{{ 'a,b'.split(',')[0] }}", "{{ 'a,b'.split(',')|last }}", "{{ '%d%%' % 5 }}", "{{ 'ab'[0] 'c' }}", "{{ nested.a['b'][1]['c'] }}", "{{ nested.get('a').get('b')[0] }}", "{{ true.x }}", "{{ 'a' < 'B' }}", "{{ 'Z' < 'a' }}", "{{ 9999999999 * 9999 }}", "{{ 10 // 3 * 3 + 10 % 3 }}", "{{ 7 // -2 }}{{ -7 // -2 }}{{ 7 % -2 }}", "{{ 7.0 // -2 }}{{ 7.5 % -2 }}{{ -0.0 }}", "{{ 1e400 }}", "{{ -1e400 }}", "{{ 1e400 - 1e400 }}", "{{ 3.0 * 2 }}{{ 6 / 2 }}{{ 2.0 ** 3 }}{{ 4 ** 0.5 }}", "{{ 0 ** -1 }}", "{{ 1.0 == 1 }}{{ 0.1 + 0.2 == 0.3 }}", "{{ 1.0|string }}{{ 1e100|string }}{{ 1.23e-7 }}", "{{ 5e-324 }}{{ 1.7976931348623157e308 }}", "{{ 12345678.9 * 10 }}{{ 1e22 }}{{ 1e21 + 1 }}", "{% set x = [1, 2, 3] %}{{ x[0] }}{{ x[-1] }}{{ x[5] }}{{ x['0'] }}{{ x[true] }}{{ x[1.0] }}", "{{ {1: 'a'}[1.0] }}{{ {1: 'a'}[true] }}{{ {'1': 'a'}[1] }}", "{{ {[1]: 2} }}", "{{ {}[[1]] }}", "{{ [1] in {} }}", "{{ {(1, 2): 3}[(1, 2)] }}", "{{ [1, [2, [3]]]|string }}", "{{ [none, true, undefined_x] }}", "{{ ('a',) }}{{ ('a', 'b')[0] }}", "{{ [1, 2] is sameas [1, 2] }}", "{{ 'A'.lower() == 'a' }}", "{{ words.0 }}{{ words.9 }}", "{{ multi }}", "{{ multi|replace('\\n', '|') }}", "{{ 'a\nb' }}", "{{ 'a\r\nb' }}|", "{{ \"a\\\"b\" }}{{ 'a\\'b' }}",
]

SNIPPETS = list(dict.fromkeys(
    _print_all(_PRINTED) + _print_all(_METHODS) + _print_all(_FILTERS) + _print_all(_TESTS)
    + _STATEMENTS))
