#include "ashlar/cli/verbs.h"

namespace ashlar::cli {

void add_verbs(CLI::App& app, Action& action) {
  for (const auto add : {add_tokenize, add_doctor, add_version}) {
    add(app, action);
  }
}

}  // namespace ashlar::cli
