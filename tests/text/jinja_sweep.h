// Compares rendered templates with what jinja2 made of the same sources and variables
// (tests/oracles/jinja_goldens.py, jinja_sweep.py, jinja_models.py).
#pragma once

#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/template.h"
#include "tests/base/sweep_result.h"

#include <string>
#include <vector>

namespace ashlar::text {

// 2024-07-26 09:05:07, the time that the oracles have.
std::tm golden_time();

// Spans as text, so that a mismatch prints well.
std::string spans_text(const std::vector<jinja::GeneratedSpan>& spans);
std::string spans_text(const jinja::Dict& golden);

// `golden` has "source" and, of jinja2, "text" (with "spans" where it generates) or "error": "load"
// or "render". Variables of its own ("variables") replace those given.
void compare_with_jinja2(const jinja::Dict& golden, const jinja::Dict& variables,
                         SweepResult& result);

}  // namespace ashlar::text
