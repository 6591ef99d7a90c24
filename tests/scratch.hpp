// A folder for the files of one test, and the whole of a file.
#pragma once

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "catch.hpp"

/// A new, empty folder that is gone at the end of the test.
struct Scratch {
  std::filesystem::path path = std::filesystem::temp_directory_path() / unique_name();

  Scratch() {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path / name).string(); }

 private:
  static std::string unique_name() {
    static std::atomic<int> number{0};
    return "ivado-test-" + std::to_string(::getpid()) + "-" + std::to_string(number++);
  }
};

/// The whole of a file.
[[nodiscard]] inline std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}
