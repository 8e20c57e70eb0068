// Hostile templates and requests end in an Error, quickly, whatever they try.
#include "ashlar/base/error.h"
#include "ashlar/text/jinja/json_input.h"
#include "ashlar/text/jinja/template.h"

#include <gtest/gtest.h>

#include <string>

namespace ashlar::text::jinja {
namespace {

std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

// A hundredth of the defaults: the same paths, sooner.
constexpr Limits kSmall = {.max_steps = 200'000, .max_bytes = 32 << 20, .max_output = 1 << 20};

// The message of the Error that loading or rendering the template gives; "" when it succeeds.
std::string failure(const std::string& source, const Limits& limits = kSmall) {
  try {
    const Template parsed(source, "hostile", limits);
    Dict variables;
    variables.set("x", Value("some text"));
    parsed.render(variables, {.limits = limits, .now = {}});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

testing::AssertionResult fails_with(const std::string& source, const std::string& part,
                                    const Limits& limits = kSmall) {
  const std::string message = failure(source, limits);
  if (message.find(part) != std::string::npos && message.starts_with("hostile:")) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "message is: " << message;
}

TEST(JinjaLimits, DeepNestingFailsAtLoad) {
  constexpr int kDeep = 10'000;
  for (const auto& [open, close] : {std::pair{"(", ")"}, {"[", "]"}, {"{1:", "}"}, {"f(", ")"}}) {
    EXPECT_TRUE(fails_with("{{ " + repeated(open, kDeep) + "1" + repeated(close, kDeep) + " }}",
                           "max_parse_nesting"));
  }
  EXPECT_TRUE(fails_with("{{ " + repeated("not ", kDeep) + "1 }}", "max_parse_nesting"));
  EXPECT_TRUE(fails_with("{{ " + repeated("-", kDeep) + "1 }}", "max_parse_nesting"));
  EXPECT_TRUE(fails_with("{{ " + repeated("1 if 1 else ", kDeep) + "1 }}", "max_parse_nesting"));
  EXPECT_TRUE(fails_with("{{ x" + repeated("[0", kDeep) + repeated("]", kDeep) + " }}",
                         "max_parse_nesting"));
  EXPECT_TRUE(fails_with("{{ 1" + repeated(" is eq(1", kDeep) + repeated(")", kDeep) + " }}",
                         "max_parse_nesting"));
  EXPECT_TRUE(fails_with("{% set " + repeated("(", kDeep) + "a" + repeated(")", kDeep) + " = 1 %}",
                         "max_parse_nesting"));
  EXPECT_TRUE(fails_with(repeated("{% if 1 %}", kDeep) + repeated("{% endif %}", kDeep),
                         "max_parse_nesting"));
  EXPECT_TRUE(fails_with(repeated("{% for a in x %}", kDeep) + repeated("{% endfor %}", kDeep),
                         "max_parse_nesting"));
}

TEST(JinjaLimits, LongChainsFailAtLoad) {
  constexpr int kLong = 10'000;
  for (const char* link :
       {" + 1", " * 1", " ** 1", " or 1", " and 1", ".a", "[0]", "()", "|upper", " if 1"}) {
    EXPECT_TRUE(fails_with("{{ 1" + repeated(link, kLong) + " }}", "max_parse_nesting")) << link;
  }
}

TEST(JinjaLimits, FlatSizeIsNotNesting) {
  EXPECT_EQ(failure("{{ 1" + repeated(" ~ 1", 10'000) + " }}"), "");
  EXPECT_EQ(failure("{{ [" + repeated("1, ", 10'000) + "1]|length }}"), "");
  EXPECT_EQ(failure("{% if 0 %}" + repeated("{% elif 0 %}", 10'000) + "{% endif %}"), "");
  EXPECT_EQ(failure(repeated("{% if 1 %}{{ x }}{% endif %}", 10'000)), "");
  EXPECT_EQ(failure("{{ 1 < 2" + repeated(" < 3", 10'000) + " }}"), "");
}

TEST(JinjaLimits, EndlessRecursionAndLoops) {
  EXPECT_TRUE(fails_with("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "max_nesting"));
  EXPECT_TRUE(
      fails_with("{% macro m() %}{{ caller }}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
                 "max_nesting"));
  EXPECT_TRUE(fails_with("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", "max_nesting"));
  EXPECT_TRUE(fails_with(
      "{% for i in range(9) recursive %}{{ loop(range(9)) if loop.depth < 20 }}{% endfor %}",
      "max_"));
  const std::string loop = "{% for i in range(10000) %}";
  EXPECT_TRUE(fails_with(loop + loop + "{% endfor %}{% endfor %}", "max_"));
  EXPECT_TRUE(fails_with("{% set r = range(9999)|list %}" + loop + "{{ -1 in r }}{% endfor %}",
                         "max_steps"));
  EXPECT_TRUE(fails_with("{% for i in range(10**12) %}{% endfor %}", "range()"));
  const std::string spaces = "{% set s = ' ' * 1000000 ~ 'x' %}";
  EXPECT_TRUE(fails_with(spaces + loop + "{{ s.count('y') }}{% endfor %}", "max_steps"));
  EXPECT_TRUE(fails_with(spaces + loop + "{{ s.rfind(s ~ 'y') }}{% endfor %}", "max_steps"));
}

TEST(JinjaLimits, MemoryBombs) {
  EXPECT_TRUE(fails_with("{{ 'a' * 10**9 * 10 }}", "max_bytes"));
  EXPECT_TRUE(fails_with("{{ 'a' * 10**18 }}", "max_bytes"));
  EXPECT_TRUE(fails_with("{{ ([1] * 10**9)|length }}", "max_bytes"));
  EXPECT_TRUE(fails_with("{{ x.center(10**12) }}", "too large"));
  EXPECT_TRUE(fails_with("{{ '\\t\\t'.expandtabs(10**12) }}", "max_bytes"));
  EXPECT_TRUE(fails_with("{{ x.ljust(10**10) }}", "too large"));
  EXPECT_TRUE(fails_with("{{ '%2000000000d' % 1 }}", "max_bytes"));
  EXPECT_TRUE(fails_with("{{ '{:>99999999999}'.format(1) }}", "max_bytes"));
  EXPECT_TRUE(fails_with("{{ '%.999999999f' % 1.5 }}", "precision"));
  EXPECT_TRUE(fails_with("{{ x|indent(10**12) }}", "too large"));
  EXPECT_TRUE(fails_with("{{ [1]|batch(10**12, 0)|list }}", "max_"));
  EXPECT_TRUE(fails_with("{{ [1]|slice(10**12)|list }}", "max_"));
  EXPECT_TRUE(fails_with("{{ [1]|tojson(indent=10**9) }}", "indent"));
  EXPECT_TRUE(fails_with("{{ x.replace('', 'b' * 100000000) }}", "max_bytes"));
  EXPECT_TRUE(fails_with(
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}"
      "{% endfor %}",
      "max_bytes"));
  EXPECT_TRUE(fails_with("{% for i in range(9999) %}{{ 'abc' * 1000 }}{% endfor %}", "max_output"));
  EXPECT_TRUE(fails_with("{{ 10**100 }}", "64 bits"));
  EXPECT_TRUE(fails_with("{{ ('a '*10000)|wordwrap(1, wrapstring='x'*10000) }}", "max_bytes"));
  EXPECT_TRUE(fails_with("{{ ('a.com '*10000)|urlize(rel='x'*10000) }}", "max_bytes"));
  EXPECT_TRUE(fails_with("{{ strftime_now('%c' * 10000000) }}", "max_"));
  EXPECT_TRUE(fails_with("{{ ('&'*1000000)|escape|urlize }}", "max_bytes"));
}

// In time proportional to the text.
TEST(JinjaLimits, LongWordsInFilters) {
  for (const char* filter :
       {"('-' * 300000)|wordwrap(100000)", "('a-' * 150000)|wordwrap(1)",
        "('&' * 300000)|striptags", "('<!--' * 100000)|striptags", "('a.' * 150000)|urlize",
        "('a@' * 150000)|urlize", "('http://[' ~ '1:' * 150000)|urlize", "('a '*100000)|pprint",
        "('(' * 100000 ~ 'a.com' ~ ')' * 100000)|urlize"}) {
    EXPECT_EQ(failure(std::string("{{ (") + filter + ")|length }}"), "") << filter;
  }
}

// The same request gives the same text, however often it is rendered.
TEST(JinjaLimits, RandomDrawsCanBeRepeated) {
  const Template parsed("{% for i in range(100) %}{{ range(10)|random }}{% endfor %}", "t", kSmall);
  const std::string first = parsed.render(Dict(), {.limits = kSmall, .now = {}}).text;
  EXPECT_EQ(first.size(), 100u);
  for (const char digit : std::string("0123456789")) {
    EXPECT_NE(first.find(digit), std::string::npos) << digit;
  }
  EXPECT_EQ(parsed.render(Dict(), {.limits = kSmall, .now = {}}).text, first);
  EXPECT_EQ(failure("{{ ('' | random) is undefined and ['a'] | random == 'a' }}"), "");
  EXPECT_TRUE(fails_with("{{ 5 | random }}", "no len()"));
  EXPECT_TRUE(fails_with("{{ {'a': 1} | random }}", "wanted a sequence"));
}

// x = [x, x] sixty times over is small in memory and immense to walk.
TEST(JinjaLimits, SharedValuesAreNotWalkedForFree) {
  const std::string build =
      "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}"
      "{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}";
  EXPECT_TRUE(fails_with(build + "{{ ns.a }}", "max_"));
  EXPECT_TRUE(fails_with(build + "{{ ns.a|tojson }}", "max_"));
  EXPECT_TRUE(fails_with(build + "{{ ns.a == ns.b }}", "max_steps"));
  EXPECT_TRUE(fails_with(build + "{{ ns.a < ns.b }}", "max_steps"));
  EXPECT_TRUE(fails_with(build + "{{ ns.a in [ns.b] }}", "max_steps"));
  EXPECT_TRUE(fails_with(build + "{{ [ns.a, ns.b]|sort }}", "max_steps"));
  const std::string tuples =
      "{% set ns = namespace(a=(1,)) %}{% for i in range(60) %}"
      "{% set ns.a = (ns.a, ns.a) %}{% endfor %}";
  EXPECT_TRUE(fails_with(tuples + "{{ {ns.a: 1} }}", "max_steps"));
  EXPECT_TRUE(fails_with(tuples + "{{ {}[ns.a] }}", "max_steps"));
  EXPECT_TRUE(fails_with(tuples + "{{ ns.a in {} }}", "max_steps"));
  EXPECT_TRUE(fails_with(tuples + "{{ [ns.a]|unique|list }}", "max_steps"));
}

TEST(JinjaLimits, DeepValues) {
  const auto nest = [](const std::string& wrapped) {
    return "{% set ns = namespace(a=1) %}{% for i in range(20000) %}{% set ns.a = " + wrapped +
           " %}{% endfor %}{{ ns.a }}";
  };
  for (const char* wrapped :
       {"[ns.a]", "(ns.a,)", "{'a': ns.a}", "[ns.a].index", "[ns.a]|batch(1)",
        "{'a': ns.a}.items()", "cycler(ns.a)", "joiner(ns.a)", "[ns.a]|reverse"}) {
    const std::string message = failure(nest(wrapped));
    EXPECT_NE(message, "") << wrapped;
  }
  // Namespaces may hold each other, and themselves; nothing may leak or overflow.
  EXPECT_TRUE(fails_with("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", "max_nesting"));
  EXPECT_EQ(failure(nest("namespace(a=ns.a).a")), "");
  EXPECT_EQ(failure("{% for i in [1] %}{{ loop.changed(loop) }}{% endfor %}"), "");
  EXPECT_EQ(failure("{% set ns = namespace() %}{% macro m() %}{{ ns }}{% endmacro %}"
                    "{% set ns.m = m %}"),
            "");
}

TEST(JinjaLimits, AreConfigurable) {
  Limits limits;
  limits.max_steps = 50;
  EXPECT_TRUE(fails_with("{% for i in range(100) %}{% endfor %}", "more than 50 steps", limits));
  limits = {};
  limits.max_output = 10;
  EXPECT_TRUE(fails_with("01234567890", "more than 10 bytes", limits));
  EXPECT_EQ(failure("0123456789", limits), "");
  limits = {};
  limits.max_bytes = 1000;
  EXPECT_TRUE(fails_with("{% set a = 'a' * 1001 %}", "more than 1000 bytes", limits));
  limits = {};
  limits.max_parse_nesting = 60;
  EXPECT_EQ(failure("{{ ((1)) }}", limits), "");
  EXPECT_TRUE(fails_with("{{ ((((((((((1)))))))))) }}", "deeper than 60", limits));
}

TEST(JinjaLimits, ErrorsNameTheirPlace) {
  EXPECT_EQ(failure("ab\n  {{ x.y.z }}"), "hostile:2:9: 'str object' has no attribute 'y'");
  EXPECT_EQ(failure("é{{ 1 + }}"), "hostile:1:9: unexpected '}}'");
  EXPECT_EQ(failure("{% if x %}\n{% for y in x %}\n"),
            "hostile:2:4: the tag 'for' is not closed: 'endfor' is missing");
  EXPECT_EQ(failure("{{ raise_exception('No tools, please') }}"), "hostile:1:19: No tools, please");
  EXPECT_EQ(failure("a\n{{ x|nofilter }}"), "hostile:2:6: No filter named 'nofilter'.");
  EXPECT_EQ(failure("a\xFFz"), "hostile:1:2: not valid UTF-8");
}

TEST(JsonInput, RefusesWhatItCannotHold) {
  EXPECT_THROW(parse_json(repeated("[", 100'000), "body"), Error);
  EXPECT_THROW(parse_json(repeated("{\"a\":", 100'000), "body"), Error);
  EXPECT_THROW(parse_json("[1, 2", "body"), Error);
  EXPECT_THROW(parse_json("{\"a\": 1} x", "body"), Error);
  EXPECT_THROW(parse_json("\"\xFF\"", "body"), Error);
  EXPECT_THROW(parse_json("18446744073709551615", "body"), Error);
  EXPECT_THROW(parse_json("123456789012345678901234567890", "body"), Error);
  EXPECT_EQ(parse_json("-9223372036854775808", "body").integer(), INT64_MIN);
}

TEST(JsonInput, KeepsOrderAndTheLastOfEqualKeys) {
  const Value value = parse_json(R"({"b": 1, "a": [true, null, 1.5, "x"], "b": 2})", "body");
  ASSERT_EQ(value.dict().size(), 2u);
  EXPECT_EQ(value.dict().entries()[0].first.string(), "b");
  EXPECT_EQ(value.dict().entries()[0].second.integer(), 2);
  EXPECT_EQ(value.dict().entries()[1].second.items().size(), 4u);
}

}  // namespace
}  // namespace ashlar::text::jinja
