// GifFilm: animated GIFs of slices of the validation set, a frame an epoch. Needs giflib (component ivado::report).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "../data/array.hpp"
#include "../data/geometry.hpp"
#include "../error.hpp"
#include "../train/film.hpp"
#include "gif.hpp"

namespace ivado {

/// Writes an animation for each scene to a folder, see `gif_names` and `prediction_frame`.
///
/// The files are whole after each epoch. A training that goes on keeps the frames of the epochs that are done.
class GifFilm {
 public:
  static constexpr bool is_available = true;

  /// @param folder       is made if it is not there
  /// @param epochs_done  so many frames of the animations that are there are kept
  /// @throws Error (internal) if the folder cannot be made; (data) if frames are to be kept of a file that has none
  void begin(const std::string& folder, std::span<const FilmScene> scenes, std::int64_t epochs_done) {
    std::error_code fault;
    std::filesystem::create_directories(folder, fault);
    if (!std::filesystem::is_directory(folder))
      throw internal_error("making the folder " + folder + " of the animations", fault.message(),
                           "check the permissions of the folder above");
    std::vector<GifSlice> slices;
    for (const auto& scene : scenes) slices.push_back({scene.image, scene.slice});
    writers_.clear();
    for (const auto& name : gif_names(slices))
      writers_.emplace_back((std::filesystem::path(folder) / name).string(), GifOptions{}, epochs_done);
  }
  /// Adds a frame with the number of the epoch in its corner.
  /// @throws Error (internal) if its size is another one than that of the frames before
  void add(std::int64_t scene, std::int64_t epoch, ArrayView<const float> image, ArrayView<const float> prediction,
           Axis axis) {
    const Array<std::uint8_t> frame = prediction_frame(image, prediction, axis);
    writers_.at(static_cast<std::size_t>(scene)).add(frame.view(), std::to_string(epoch));
  }
  /// Writes the animations anew.
  /// @throws Error (internal) if that fails
  void write() const {
    for (const auto& writer : writers_) writer.write();
  }

 private:
  std::vector<GifWriter> writers_;
};

static_assert(Film<GifFilm>);

}  // namespace ivado
