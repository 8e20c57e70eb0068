// text_templates_main FILE...: prints where rendered templates differ from jinja2, for sweeps too
// large to keep (tests/oracles/jinja_sweep.py and jinja_models.py).
#include "ashlar/base/file.h"
#include "ashlar/text/jinja/json_input.h"
#include "tests/text/jinja_sweep.h"

int main(int argc, char** argv) {
  ashlar::SweepResult result;
  for (int i = 1; i < argc; ++i) {
    const auto document = ashlar::text::jinja::parse_json(ashlar::read_file(argv[i]), argv[i]);
    const auto& variables = document.dict().find("variables")->dict();
    for (const auto& golden : document.dict().find("snippets")->items()) {
      ashlar::text::compare_with_jinja2(golden.dict(), variables, result);
    }
  }
  return print(result);
}
