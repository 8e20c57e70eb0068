// text_templates_main FILE...: prints where rendered templates differ from jinja2, for sweeps too
// large to keep (tests/oracles/jinja_sweep.py and jinja_models.py).
#include "ashlar/base/file.h"
#include "ashlar/text/jinja/json_input.h"
#include "tests/text/jinja_sweep.h"

#include <fmt/format.h>

int main(int argc, char** argv) {
  ashlar::text::TemplateSweep result;
  for (int i = 1; i < argc; ++i) {
    const auto document = ashlar::text::jinja::parse_json(ashlar::read_file(argv[i]), argv[i]);
    const auto& variables = document.dict().find("variables")->dict();
    for (const auto& golden : document.dict().find("snippets")->items()) {
      ashlar::text::compare_with_jinja2(golden.dict(), variables, result);
    }
  }
  for (const std::string& difference : result.differences) fmt::print("{}\n", difference);
  fmt::print("{} compared, {} that jinja2 refuses, {} differences\n", result.checked,
             result.refused, result.differences.size());
  return result.differences.empty() ? 0 : 1;
}
