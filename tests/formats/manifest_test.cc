#include "ashlar/formats/manifest.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/checksum.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::formats {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ManifestTest : public ::testing::Test {
 protected:
  void SetUp() override {
    make_directories(dir_.path("sub"));
    write_file(dir_.path("b"), "content");
    write_file(dir_.path("a"), "");
    write_file(dir_.path("sub/c"), "more");
    Manifest manifest;
    for (const char* name : {"sub/c", "b", "a"}) manifest.add(record_file(dir_.path(), name));
    manifest.write(dir_.path());
  }
  std::string verify(Manifest::Depth depth = Manifest::Depth::kContent) {
    return error_of([&] { Manifest::read(dir_.path()).verify(dir_.path(), depth); });
  }
  std::string manifest_path() { return dir_.path(kManifestName); }

  TempDir dir_{ashlar::testing::quick_folder()};
};

TEST_F(ManifestTest, AWholeFolderPasses) {
  EXPECT_TRUE(Manifest::exists(dir_.path()));
  write_file(dir_.path("further"), "does not matter");
  EXPECT_EQ(verify(), "(no error)");
  const Manifest manifest = Manifest::read(dir_.path());
  ASSERT_EQ(manifest.files().size(), 3u);
  EXPECT_EQ(manifest.files()[0].name, "a");
  EXPECT_EQ(manifest.files()[1], (FileRecord{"b", 7, xxh64("content")}));
}

TEST_F(ManifestTest, EveryFlippedBitIsFound) {
  for (int bit = 0; bit < 7 * 8; ++bit) {
    std::string content = "content";
    content[static_cast<size_t>(bit / 8)] =
        static_cast<char>(content[static_cast<size_t>(bit / 8)] ^ (1 << (bit % 8)));
    FileWriter(dir_.path("b")).write(content);
    ASSERT_THAT(verify(), StartsWith(dir_.path("b") + ": altered: its XXH64 is "));
    ASSERT_EQ(verify(Manifest::Depth::kSizes), "(no error)");
  }
}

TEST_F(ManifestTest, TornAndMissingFiles) {
  truncate_file(dir_.path("sub/c"), 3);
  EXPECT_EQ(verify(Manifest::Depth::kSizes),
            dir_.path("sub/c") + ": torn: 3 bytes, but MANIFEST.json says 4");
  remove_tree(dir_.path("sub"));
  EXPECT_EQ(verify(), dir_.path("sub/c") + ": missing; MANIFEST.json lists it");
}

TEST_F(ManifestTest, TheManifestGuardsItself) {
  const std::string good = read_file(manifest_path());
  std::string altered = good;
  altered.replace(altered.find("\"bytes\": 7"), 10, "\"bytes\": 8");
  write_file(manifest_path(), altered);
  EXPECT_THAT(verify(), HasSubstr("altered: its records do not match its own checksum"));
  for (size_t size = 0; size + 1 < good.size(); size += 5) {
    FileWriter(manifest_path()).write(good.substr(0, size));
    ASSERT_THAT(verify(), HasSubstr("MANIFEST.json")) << size;
  }
}

TEST_F(ManifestTest, RefusesWhatIsNoManifest) {
  const auto error = [&](const std::string& text) {
    write_file(manifest_path(), text);
    return verify();
  };
  EXPECT_THAT(error("[]"), HasSubstr("a field is missing or of a wrong type"));
  EXPECT_THAT(error("{\"version\":2}"), HasSubstr("version 2, only 1 is known"));
  EXPECT_THAT(error(R"({"version":1,"files":[{"name":"b","bytes":7,"xxh64":"0"}]})"),
              HasSubstr("is not a checksum of 16 hex digits"));
  EXPECT_THAT(
      error(R"({"version":1,"files":[{"name":"../b","bytes":1,"xxh64":"0000000000000000"}]})"),
      HasSubstr("'../b' is not a name inside the folder"));
  remove_tree(manifest_path());
  EXPECT_FALSE(Manifest::exists(dir_.path()));
  EXPECT_THAT(verify(), HasSubstr("No such file"));
}

TEST(ManifestNamesTest, StayInside) {
  for (const char* name : {"", "/a", "..", "../a", "a/../b", "a/.."}) {
    EXPECT_THROW(Manifest({{name, 0, 0}}), Error) << name;
  }
  EXPECT_NO_THROW(Manifest({{"..a/b..", 0, 0}}));
}

}  // namespace
}  // namespace ashlar::formats
