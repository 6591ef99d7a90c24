// bounding_boxes.json: what a detector found in which images, so that each is looked at once.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "atomic_file.hpp"
#include "case.hpp"
#include "digest.hpp"
#include "object_detection.hpp"
#include "volume_io.hpp"

namespace ivado {

/// What a detector found in one image.
struct BoxEntry {
  std::string id;      ///< of the case, for people
  std::string digest;  ///< of its images: see `images_digest`
  Detection detection;

  [[nodiscard]] friend bool operator==(const BoxEntry&, const BoxEntry&) = default;
};

/// The images that one detector has looked at.
///
/// The boxes are those that the detector found, before any safety factor: half-open, along R, A, S of the patient.
/// Images are known by their content and the detector by that of its package, so that boxes of other images or of
/// another detector are never taken. ivadomed knows images by their paths and takes whatever file lies there
/// (known-problems B2.11).
struct BoxList {
  std::string detector;  ///< name of its package
  std::string digest;    ///< of its weights and configuration
  std::vector<BoxEntry> entries;

  /// What was found in the images of a digest; null if nobody looked.
  [[nodiscard]] IVADO_INLINE const BoxEntry* find(std::string_view images) const noexcept {
    const auto found = std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.digest == images; });
    return found == entries.end() ? nullptr : &*found;
  }
  [[nodiscard]] friend bool operator==(const BoxList&, const BoxList&) = default;
};

/// A digest of the content of a case's images, in order, and of which is the reference.
/// @throws Error (data) if one cannot be read
[[nodiscard]] IVADO_INLINE std::string images_digest(const Case& one) {
  std::string all = std::to_string(one.reference);
  for (const auto& path : one.images) {
    all += "/";
    if (path.empty()) continue;
    if (!one.files) {
      const std::string digest = detail::file_digest(path);
      if (digest.empty()) throw data_error("reading the image " + path, "it cannot be opened", "check the path");
      all += digest;
      continue;
    }
    ReadReport report;
    const Volume volume = one.files->read(path, report);
    detail::Digest digest;
    digest.add({reinterpret_cast<const char*>(volume.voxels.data()), volume.voxels.bytes()});
    digest.add({reinterpret_cast<const char*>(volume.geometry.affine.data()), sizeof(double) * 16});
    all += digest.text();
  }
  return detail::digest_of(all);
}

/// Writes the list as a whole, see `write_file_atomically`.
/// @throws Error (internal) if it cannot be written
IVADO_INLINE void write_boxes(const std::string& path, const BoxList& list) {
  Json boxes = Json::array();
  for (const auto& [id, digest, detection] : list.entries) {
    const ObjectBox& box = detection.box;
    boxes.push_back({{"image", id},
                     {"digest", digest},
                     {"grid", std::vector<std::int64_t>(box.grid.begin(), box.grid.end())},
                     {"begin", box.begin},
                     {"end", box.end},
                     {"found", detection.found}});
  }
  const Json file{{"detector", {{"name", list.detector}, {"digest", list.digest}}}, {"axes", "RAS"}, {"boxes", boxes}};
  write_file_atomically(path, file.dump(2) + "\n");
}

/// Reads what `write_boxes` wrote.
/// @throws Error (data) if it cannot be read, is of another program (ivadomed's files do not say whose boxes they
///         hold), or a box cannot be
[[nodiscard]] IVADO_INLINE BoxList read_boxes(const std::string& path) {
  const std::string doing = "reading the boxes " + path;
  const Json file = read_json(path);
  if (!file.is_object() || !file.contains("detector") || !file.contains("boxes"))
    throw data_error(doing, "ivado did not write it: it does not say which detector found the boxes, in which images",
                     "move it away, and the boxes are found anew");
  try {
    BoxList list{
        file.at("detector").at("name").get<std::string>(), file.at("detector").at("digest").get<std::string>(), {}};
    for (const auto& one : file.at("boxes")) {
      BoxEntry entry{one.at("image").get<std::string>(), one.at("digest").get<std::string>(), {}};
      for (const auto extent : one.at("grid").get<std::vector<std::int64_t>>()) {
        if (entry.detection.box.grid.rank() == 3) throw data_error(doing, entry.id + " has a grid of more than 3 axes");
        entry.detection.box.grid.push_back(extent);
      }
      entry.detection.box.begin = one.at("begin").get<std::array<std::int64_t, 3>>();
      entry.detection.box.end = one.at("end").get<std::array<std::int64_t, 3>>();
      entry.detection.found = one.at("found").get<bool>();
      check_box(entry.detection.box, doing + ", " + entry.id);
      list.entries.push_back(std::move(entry));
    }
    return list;
  } catch (const Json::exception& fault) {
    throw data_error(doing, fault.what(), "delete it, and the boxes are found anew");
  }
}

/// The boxes that `path` holds of a detector; none where there is no file, or it is another detector's.
/// @param detector, digest  as in `BoxList`
[[nodiscard]] IVADO_INLINE BoxList boxes_of_detector(const std::string& path, const std::string& detector,
                                                     const std::string& digest) {
  if (std::filesystem::exists(path))
    if (BoxList list = read_boxes(path); list.digest == digest) return list;
  return {detector, digest, {}};
}

}  // namespace ivado
