#include "ashlar/cli/verbs.h"

namespace ashlar::cli {

void add_verbs(CLI::App& app, Action& action) {
  for (const auto add : {add_tokenize, add_train, add_plan, add_simulate, add_eval, add_report,
                         add_run, add_chat, add_serve, add_embed, add_convert, add_inspect,
                         add_logits, add_verify, add_bench, add_doctor, add_version}) {
    add(app, action);
  }
}

}  // namespace ashlar::cli
