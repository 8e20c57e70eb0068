// The filters of templates: {{ value | name(arguments) }}. All of jinja2's; `random` draws the same
// items in each rendering.
#pragma once

#include "ashlar/text/jinja/arguments.h"
#include "ashlar/text/jinja/value.h"

#include <map>
#include <string_view>

namespace ashlar::text::jinja {

class Runtime;

using Filter = Value (*)(Runtime& runtime, const Value& value, const Arguments& arguments);
using FilterTable = std::map<std::string_view, Filter>;

Filter find_filter(std::string_view name);  // nullptr when there is none

const FilterTable& text_filters();
const FilterTable& html_filters();
const FilterTable& sequence_filters();
const FilterTable& selection_filters();  // map, select, sort and others that look into items
const FilterTable& scalar_filters();

}  // namespace ashlar::text::jinja
