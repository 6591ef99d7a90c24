#include <filesystem>
#include <fstream>
#include <ivado/config/json.hpp>
#include <sstream>
#include <string>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// A folder that is gone with the test.
struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / "ivado_json_test";
  Folder() {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  [[nodiscard]] std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
};

Fault fault_of(const std::string& path) {
  try {
    (void)read_json(path);
  } catch (const Error& error) {
    return error.fault();
  }
  FAIL("no error");
  return Fault::internal;
}

}  // namespace

TEST_CASE("JSON keeps its keys in the order of the file") {
  const Folder folder;
  const Json json = read_json(folder.write("a.json", R"({"zebra": 1, "ape": {"y": 1, "x": 2}, "m": [3, 1, 2]})"));
  CHECK(json.dump() == R"({"zebra":1,"ape":{"y":1,"x":2},"m":[3,1,2]})");
}

TEST_CASE("A file that cannot be read as JSON is an error of usage that names it") {
  const Folder folder;
  const std::string absent = (folder.path / "absent.json").string();
  CHECK_THROWS_WITH(read_json(absent), Contains("absent.json") && Contains("cannot be opened"));
  CHECK(fault_of(absent) == Fault::usage);
  CHECK_THROWS_WITH(read_json(folder.path.string()), Contains("cannot be opened"));

  const std::string broken = folder.write("broken.json", "{\"a\": 1,\n \"b\": }\n");
  CHECK_THROWS_WITH(read_json(broken), Contains("broken.json") && Contains("line 2"));
  CHECK(fault_of(broken) == Fault::usage);
  CHECK_THROWS_AS(read_json(folder.write("empty.json", "")), Error);
  CHECK_THROWS_AS(read_json(folder.write("tail.json", "{} {}")), Error);
  CHECK_THROWS_AS(read_json(folder.write("nan.json", "{\"a\": NaN}")), Error);
}

TEST_CASE("A key that stands twice in one object is an error, in two objects it is not") {
  const std::string twice = R"({"a": {"thr": 1, "size": 2, "thr": 3}})";
  CHECK_THROWS_WITH(parse_json(twice, "reading x.json"), Contains("x.json") && Contains("\"thr\" stands twice"));
  CHECK_THROWS_AS(parse_json(std::string(R"({"a": 1, "b": [{"c": 1}], "a": 2})"), "reading"), Error);
  const std::string apart = R"({"a": {"thr": 1}, "b": [{"thr": 2}, {"thr": 3}], "thr": {"a": 4}})";
  CHECK(parse_json(apart, "reading").dump() == Json::parse(apart).dump());
  std::istringstream stream(apart);
  CHECK(parse_json(stream, "reading") == Json::parse(apart));
}

TEST_CASE("Edit distance counts insertions, deletions and replacements") {
  using detail::edit_distance;
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);  // k→s, e→i, +g
  CHECK(edit_distance("flaw", "lawn") == 2);       // -f, +n
  CHECK(edit_distance("batch_siz", "batch_size") == 1);
  CHECK(edit_distance("Unet", "uNET") == 0);  // case does not count
  CHECK(edit_distance("ab", "ba") == 2);
}

TEST_CASE("The nearest word is the first of least distance") {
  CHECK(detail::nearest("dept", {"name", "depth", "debut"}) == "depth");
  CHECK(detail::nearest("ac", {"ab", "ad"}) == "ab");
  CHECK(detail::nearest("anything", {}).empty());
}
