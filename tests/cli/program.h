// Runs the real program and looks at what it printed.
#pragma once

#include "tests/base/run_program.h"
#include "tests/base/temp_dir.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace ashlar::cli {

using Json = nlohmann::json;

// ashlar with these arguments.
testing::ProgramResult ashlar(std::vector<std::string> arguments,
                              const testing::ProgramOptions& options = {});
// The same with --json: stdout parsed whole. Fails the test unless the exit code is `exit_code`.
Json ashlar_json(std::vector<std::string> arguments, int exit_code = 0);

// The one line a failed command has to say; fails the test unless it exited with `exit_code`, said
// nothing on stdout and ended by itself.
std::string complaint(const testing::ProgramResult& result, int exit_code);

std::string fixture_model(const std::string& name);  // tests/fixtures/models/NAME
Json golden(const std::string& model);               // its golden.json
// A copy of a fixture model that a test may spoil.
std::string copy_model(const std::string& name, const testing::TempDir& folder);
// One with so much room that an answer outlasts any test.
std::string endless_model(const testing::TempDir& folder);

std::string join_ids(const Json& ids);  // "1,2,3"

}  // namespace ashlar::cli
