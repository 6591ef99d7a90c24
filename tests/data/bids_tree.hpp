// What the tests of the data room share: a data set on disk that is made for one test, and the public data sets.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ivado/error.hpp>
#include <optional>
#include <string>
#include <system_error>

#include "../catch.hpp"

namespace tests {

/// What the error says that a call throws.
template <class Function>
std::string message_of(const Function& function) {
  try {
    function();
  } catch (const ivado::Error& fault) {
    return fault.what();
  }
  return "nothing was thrown";
}

/// A folder for one test, removed at its end.
class Tree {
 public:
  /// @param name  name of the data set's folder, inside of a fresh one
  explicit Tree(const std::string& name = "data", bool described = true) {
    static std::atomic<int> number{0};
    top_ = std::filesystem::temp_directory_path() /
           ("ivado_tree_" + std::to_string(::getpid()) + "_" + std::to_string(number++));
    root_ = top_ / name;
    std::filesystem::create_directories(root_);
    if (described) file("dataset_description.json", R"({"Name": "made for a test", "BIDSVersion": "1.9.0"})");
  }
  ~Tree() {
    std::error_code fault;
    std::filesystem::remove_all(top_, fault);
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  /// Makes a file with its folders.
  Tree& file(const std::string& relative, const std::string& text = "") {
    const auto path = root_ / relative;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return *this;
  }
  /// Makes an empty image.
  Tree& image(const std::string& folder, const std::string& name) { return file(folder + "/" + name); }
  /// The same below derivatives/labels.
  Tree& label(const std::string& folder, const std::string& name) {
    return file("derivatives/labels/" + folder + "/" + name);
  }

  [[nodiscard]] std::string root() const { return root_.string(); }
  [[nodiscard]] std::filesystem::path path(const std::string& relative) const { return root_ / relative; }
  [[nodiscard]] std::filesystem::path top() const { return top_; }

 private:
  std::filesystem::path top_;
  std::filesystem::path root_;
};

/// A public data set, or nothing (said once) where the folder is not there.
inline std::optional<std::string> shared_data(const std::string& name) {
  const char* given = std::getenv("IVADO_DATA_DIR");
#ifdef IVADO_SOURCE_DIR
  const std::filesystem::path folder =
      given != nullptr ? std::filesystem::path(given) : std::filesystem::path(IVADO_SOURCE_DIR) / "../shared/data";
#else
  const std::filesystem::path folder = given != nullptr ? given : "../shared/data";
#endif
  if (std::filesystem::is_directory(folder / name)) return (folder / name).lexically_normal().string();
  WARN("skipped: no data set " << name << " (set IVADO_DATA_DIR)");
  return std::nullopt;
}

}  // namespace tests
