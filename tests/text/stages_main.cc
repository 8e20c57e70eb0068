// text_stages_main STAGE.json <TEXTS: what a normalizer or pre-tokenizer makes of texts that each
// end in the byte 0xFF; its pieces end in 0xFE (tests/oracles/tokenizer_points.py).
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "tests/text/stages.h"

#include <fmt/format.h>

#include <iostream>
#include <iterator>

int main(int argc, char** argv) {
  using namespace ashlar::text;
  try {
    ASHLAR_CHECK(argc == 2, "text_stages_main takes one argument, got {}", argc - 1);
    const Stage stage(ashlar::read_file(argv[1]));
    std::string text;
    while (std::getline(std::cin, text, kTextEnd)) std::cout << stage.pieces(text);
    return 0;
  } catch (const ashlar::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
