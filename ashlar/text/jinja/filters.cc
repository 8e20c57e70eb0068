#include "ashlar/text/jinja/filters.h"

namespace ashlar::text::jinja {

Filter find_filter(std::string_view name) {
  for (const FilterTable* table : {&text_filters(), &html_filters(), &sequence_filters(),
                                   &selection_filters(), &scalar_filters()}) {
    const auto found = table->find(name);
    if (found != table->end()) return found->second;
  }
  return nullptr;
}

}  // namespace ashlar::text::jinja
