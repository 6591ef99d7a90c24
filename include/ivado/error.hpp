// The one exception type of ivado, and the exit status that each kind of it stands for.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "inline.hpp"

namespace ivado {

/// Who can mend an error. The value is the exit status of a program that ends with it.
enum class Fault {
  usage = 2,     ///< the command line or the configuration
  data = 3,      ///< a file, an image, a label or a data set
  internal = 4,  ///< anything else: disk full, a fault of a library, a fault of ivado
};

/// What ivado throws: what was being done (and to which file, key or case), what was found, what to do next.
///
/// `what()` reads "<doing>: <found>; <remedy>", on one line.
class Error : public std::runtime_error {
 public:
  /// @param fault   who can mend it
  /// @param doing   what was being done and to what, such as "reading the label of sub-03"
  /// @param found   what is wrong, with the values found and expected
  /// @param remedy  what to do next; may be empty where `found` says it all
  Error(Fault fault, const std::string& doing, const std::string& found, const std::string& remedy = {})
      : std::runtime_error(doing + ": " + found + (remedy.empty() ? "" : "; " + remedy)), fault_(fault) {}

  /// Who can mend it.
  [[nodiscard]] Fault fault() const noexcept { return fault_; }
  /// The exit status of a program that ends with this error: 2, 3 or 4.
  [[nodiscard]] int exit_status() const noexcept { return static_cast<int>(fault_); }

 private:
  Fault fault_;
};

/// An error of the command line or the configuration (exit status 2).
[[nodiscard]] IVADO_INLINE Error usage_error(const std::string& doing, const std::string& found,
                                             const std::string& remedy = {}) {
  return {Fault::usage, doing, found, remedy};
}

/// An error of a file or a data set (exit status 3).
[[nodiscard]] IVADO_INLINE Error data_error(const std::string& doing, const std::string& found,
                                            const std::string& remedy = {}) {
  return {Fault::data, doing, found, remedy};
}

/// Any other error (exit status 4).
[[nodiscard]] IVADO_INLINE Error internal_error(const std::string& doing, const std::string& found,
                                                const std::string& remedy = {}) {
  return {Fault::internal, doing, found, remedy};
}

namespace detail {

/// The arguments printed one after the other with `<<`.
template <class... Parts>
[[nodiscard]] std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace detail
}  // namespace ivado
