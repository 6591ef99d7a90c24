// What the areas of ivado_golden share: tensors of the reference values, and the report of passed, failed and skipped
// cases.
// No LibTorch here: tensors.cpp alone reads the .pt files.
#pragma once

#include <cmath>
#include <filesystem>
#include <functional>
#include <ivado/config/json.hpp>
#include <ivado/data/array.hpp>
#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace golden {

/// A stored tensor, whatever its type was, in double precision.
struct Tensor {
  ivado::Array<double> values;  ///< row-major
  std::string dtype;            ///< "float32", "float64", "uint8", "int64", "bool"
};

using Tensors = std::map<std::string, Tensor>;

/// Reads a .pt file of the reference values: a flat dictionary of tensors.
Tensors load_tensors(const std::filesystem::path& path);

/// Counts the cases and prints a line for each that fails.
class Report {
 public:
  explicit Report(std::ostream& out) : out_(out) {}
  void pass() { ++passed_; }
  void fail(const std::string& name, const std::string& difference) {
    ++failed_;
    out_ << "FAILED " << name << ": " << difference << "\n";
  }
  void skip(const std::string& name, const std::string& why) {
    ++skipped_;
    skipped_why_[why].push_back(name);
  }
  /// One case that passes where the difference is at most the tolerance.
  void check(const std::string& name, double difference, double tolerance) {
    if (difference <= tolerance) return pass();
    fail(name, ivado::detail::text("difference ", difference, ", allowed ", tolerance));
  }
  [[nodiscard]] int failed() const { return failed_; }
  void finish() {
    for (const auto& [why, names] : skipped_why_)
      out_ << "skipped " << names.size() << " (" << why << "), such as " << names.front() << "\n";
    out_ << passed_ << " passed, " << failed_ << " failed, " << skipped_ << " skipped\n";
  }

 private:
  std::ostream& out_;
  int passed_ = 0;
  int failed_ = 0;
  int skipped_ = 0;
  std::map<std::string, std::vector<std::string>> skipped_why_;
};

/// Largest absolute difference; infinity where the shapes differ or NaN stand in different places.
template <class T>
double largest_difference(const ivado::Array<T>& found, const ivado::Array<double>& expected) {
  if (found.size() != expected.size()) return INFINITY;
  double largest = 0;
  for (std::int64_t i = 0; i < found.size(); ++i) {
    const auto a = static_cast<double>(found[i]);
    const double b = expected[i];
    if (std::isnan(a) != std::isnan(b)) return INFINITY;
    if (!std::isnan(a) && a != b) largest = std::max(largest, std::abs(a - b));
  }
  return largest;
}

/// A stored tensor as the float array that ivado works on, with the axes given in front (a channel axis, say).
inline ivado::Array<float> to_float(const Tensor& tensor, std::initializer_list<std::int64_t> leading = {}) {
  ivado::Shape shape(leading);
  for (const auto extent : tensor.values.shape()) shape.push_back(extent);
  ivado::Array<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(tensor.values[i]);
  return out;
}

/// An area of the reference values. Each lives in its own file (golden_<area>.cpp) and is listed in main.cpp.
using Area = void (*)(const std::filesystem::path& dir, Report& report);

void transforms(const std::filesystem::path& dir, Report& report);
void config(const std::filesystem::path& dir, Report& report);
void slices(const std::filesystem::path& dir, Report& report);
void splits(const std::filesystem::path& dir, Report& report);
void metrics(const std::filesystem::path& dir, Report& report);
void postprocessing(const std::filesystem::path& dir, Report& report);
void models(const std::filesystem::path& dir, Report& report);
void losses(const std::filesystem::path& dir, Report& report);
void evaluation(const std::filesystem::path& dir, Report& report);
void uncertainty(const std::filesystem::path& dir, Report& report);
void segment_volume(const std::filesystem::path& dir, Report& report);

}  // namespace golden
