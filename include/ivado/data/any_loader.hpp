// AnyLoader: BIDS folders or packed files, whichever the configuration names. Needs libhdf5 (component hdf5), no
// LibTorch.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "../error.hpp"
#include "bids_cases.hpp"
#include "bids_index.hpp"
#include "bids_loader.hpp"
#include "case.hpp"
#include "hdf5_loader.hpp"
#include "slicing.hpp"

namespace ivado {

namespace detail {

/// True if a path is an HDF5 file by its content (HDF5 File Format Specification III.A), or by its name if it is no
/// folder.
[[nodiscard]] inline bool is_hdf5(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return false;
  const std::string extension = lower(path.extension().string());
  if (extension == ".h5" || extension == ".hdf5") return true;
  std::array<char, 8> start{};
  std::ifstream(path, std::ios::binary).read(start.data(), start.size());
  return start == std::array<char, 8>{'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};
}

}  // namespace detail

/// A `BidsLoader` where "path_data" names folders, a `Hdf5Loader` where it names HDF5 files (of `ivado pack`, or of
/// ivadomed 2.8 and before): chosen at run time, for one program that takes both. Its data sets are the same type.
/// @tparam Slicing, Options  as for `BidsLoader`
template <class Slicing, class... Options>
class AnyLoader : public Hdf5Loader<Slicing, Options...> {
  using Folders = BidsLoader<Slicing, Options...>;
  using Files = Hdf5Loader<Slicing, Options...>;

 public:
  using Files::Files;

  /// True if a path of the data is an HDF5 file.
  [[nodiscard]] static bool reads_file(const std::string& path) { return detail::is_hdf5(path); }

  /// The cases of the folders, or of the files.
  /// @throws Error as `BidsLoader` or `Hdf5Loader`; (usage) if there are both
  [[nodiscard]] std::vector<Case> cases(bool labels_required, const std::vector<std::string>& contrasts,
                                        LeftOutList& left_out) const {
    const auto& paths = this->params().path_data.values;
    const auto file = std::find_if(paths.begin(), paths.end(), reads_file);
    if (file == paths.end()) return Folders::cases(labels_required, contrasts, left_out);
    const auto folder = std::find_if_not(paths.begin(), paths.end(), reads_file);
    if (folder != paths.end())
      throw usage_error("taking cases from " + *file, "loader_parameters.path_data names " + *folder + " beside it",
                        "name HDF5 files alone, or folders alone");
    return Files::cases(labels_required, contrasts, left_out);
  }
};

static_assert(Loader<AnyLoader<Slices<Axis::axial>>>);
static_assert(Loader<AnyLoader<AnySubvolumes, Classes<dynamic>, Channels<dynamic>, MissingContrasts, Metadata>>);

}  // namespace ivado
