// Clahe: contrast limited adaptive histogram equalisation, of slices and of volumes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "grid.hpp"

namespace ivado {

/// Evens out the histogram of each neighbourhood, so that weak contrast shows in dark and in bright regions alike; the
/// result is in [0, 1].
///
/// Each channel is brought to 16384 grey levels between its least and its largest intensity, 65 of them a bin. The grid
/// is cut into tiles of `kernel_size` voxels, mirrored (without the edge itself) where the last one sticks out. A
/// tile's histogram is cut at `clip_limit` × its number of voxels, what was cut off is spread over the other bins, and
/// its cumulative sum maps bins to grey levels. A voxel takes the multilinear mean of the maps of the tiles around it
/// (Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994; Pizer et al. 1987,
/// doi:10.1016/S0734-189X(87)80186-X). The rules are those of scikit-image 0.19's equalize_adapthist, which ivadomed
/// calls.
///
/// Intensities may have any range. ivadomed refuses what is outside of [-1, 1] (known-problems.md B3.7), takes negative
/// intensities for 0, which darkens half of a normalised image, and cuts the result to whole grey levels:
/// `as_ivadomed`. A limit of 1 or more, such as ivadomed's default of 3, clips nothing, which amplifies noise in flat
/// regions; 0.01 is a usual one. An image without contrast gives zeros. NaN and infinity, which readers replace, count
/// as the lowest and the nearest intensity.
///
/// Labels and regions of interest are left alone, and no voxel is moved; so, other than in ivadomed, it also works
/// where predictions are taken back (B3.3).
/// @complexity one map lookup for each of the 4 (2-D) or 8 (3-D) tiles around a voxel, and 256 steps a tile
class Clahe {
 public:
  static constexpr std::string_view name = "Clahe";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = false;
  static constexpr bool moves_voxels = false;

  struct Params {
    double clip_limit = 3;                        ///< as a fraction of a tile's voxels; 0: no limit
    std::vector<std::int64_t> kernel_size{8, 8};  ///< extents of a tile along H, W (and D), voxels
    bool as_ivadomed = false;  ///< intensities in [-1, 1], the negative ones as 0, in 16 bits; whole grey levels

    static constexpr auto fields() {
      return ivado::fields(
          field<"clip_limit", &Params::clip_limit>(
              "largest share of a tile's voxels in one of its 256 bins; 0, or 1 and "
              "more: no limit",
              at_least(0)),
          field<"kernel_size", &Params::kernel_size>("extents of a tile in voxels: two for slices, three for volumes",
                                                     at_least(1)),
          field<"as_ivadomed", &Params::as_ivadomed>("true: refuse intensities outside of [-1, 1], take negative ones "
                                                     "for 0, and cut the result to whole grey levels"));
    }
  };
  struct Draw {};

  /// @throws Error (usage) if there are not two or three extents of at least 1, or the limit is negative
  IVADO_INLINE explicit Clahe(const Params& params) : params_(params) {
    const auto& kernel = params.kernel_size;
    if ((kernel.size() != 2 && kernel.size() != 3) || *std::min_element(kernel.begin(), kernel.end()) < 1)
      throw usage_error("setting up Clahe", "kernel_size is " + ivado::to_json(kernel).dump(),
                        "give two whole numbers >= 1 for slices, three for volumes");
    if (!(params.clip_limit >= 0))
      throw usage_error("setting up Clahe", detail::text("clip_limit is ", params.clip_limit), "give a number >= 0");
  }

  /// @throws Error (usage) if the tiles do not have as many axes as the sample
  [[nodiscard]] IVADO_INLINE Draw draw(Rng& /*rng*/, const Sample& sample) const {
    check_axes(detail::grid_of(sample, "preparing Clahe"));
    return {};
  }

  /// Equalises an image in place.
  /// @throws Error (usage) if the tiles do not have as many axes as the image; with `as_ivadomed` also where an
  /// intensity is outside of [-1, 1]
  IVADO_INLINE void apply(Image& image, const Draw& /*draw*/) const {
    if (image.kind != Kind::image || image.empty()) return;
    check_axes(image);
    const std::int64_t channels = image.voxels.extent(0);
    const std::int64_t size = image.voxels.size() / channels;
    Work work(image.spatial(), params_.kernel_size);
    for (std::int64_t channel = 0; channel < channels; ++channel)
      equalize(image.voxels.data() + channel * size, size, work);
  }

 private:
  static constexpr int bin_count = 256;
  static constexpr int grey_levels = 16384;
  static constexpr int grey_levels_a_bin = 1 + grey_levels / bin_count;

  /// One index of an axis: the tiles before and behind it, and the share of the latter.
  struct Neighbours {
    std::int64_t low;
    std::int64_t high;
    double part;
  };

  /// One axis of the grid.
  struct Axis {
    std::int64_t extent;
    std::int64_t kernel;
    std::int64_t tiles;
    std::vector<Neighbours> neighbours;  // for each index

    IVADO_INLINE Axis(std::int64_t n, std::int64_t k) : extent(n), kernel(k), tiles((n + k - 1) / k) {
      neighbours.reserve(static_cast<std::size_t>(n));
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t place = i + k / 2;
        neighbours.push_back({std::max<std::int64_t>(place / k - 1, 0), std::min(place / k, tiles - 1),
                              static_cast<double>(place % k) / static_cast<double>(k)});
      }
    }
    /// The index that a place in a tile shows; mirrored beyond the end, without the edge itself.
    [[nodiscard]] IVADO_INLINE std::int64_t index(std::int64_t place) const noexcept {
      if (place < extent) return place;
      if (extent == 1) return 0;
      const std::int64_t period = 2 * (extent - 1);
      return place % period < extent ? place % period : period - place % period;
    }
  };

  /// What all channels share: a slice is a volume whose first axis has a single voxel.
  struct Work {
    std::array<Axis, 3> axes;
    std::vector<std::uint8_t> bins;   // of each voxel
    std::vector<std::uint16_t> maps;  // of each tile: grey level of each bin

    IVADO_INLINE Work(const Shape& spatial, const std::vector<std::int64_t>& kernel)
        : axes{spatial.rank() == 2 ? Axis(1, 1) : Axis(spatial[0], kernel[0]),
               Axis(spatial[spatial.rank() - 2], kernel[kernel.size() - 2]),
               Axis(spatial[spatial.rank() - 1], kernel[kernel.size() - 1])},
          bins(static_cast<std::size_t>(spatial.size())),
          maps(static_cast<std::size_t>(axes[0].tiles * axes[1].tiles * axes[2].tiles) * bin_count) {}
  };

  IVADO_INLINE void check_axes(const Image& image) const {
    if (std::cmp_equal(image.dimension(), params_.kernel_size.size())) return;
    throw usage_error("applying Clahe",
                      detail::text("kernel_size is ", ivado::to_json(params_.kernel_size).dump(), ", the ",
                                   detail::kind_text(image.kind), " has ", image.dimension(), " axes"),
                      "give kernel_size two numbers for slices, three for volumes");
  }

  IVADO_INLINE void equalize(float* x, std::int64_t n, Work& work) const {
    if (params_.as_ivadomed) to_sixteen_bits(x, n);
    float least = INFINITY;
    float largest = -INFINITY;
    for (std::int64_t i = 0; i < n; ++i) {
      if (!std::isfinite(x[i])) continue;
      least = std::min(least, x[i]);
      largest = std::max(largest, x[i]);
    }
    if (!(least < largest)) {
      std::fill_n(x, n, 0.0F);
      return;
    }
    sort_into_bins(x, n, least, largest, work.bins.data());
    map_tiles(work);
    interpolate(x, work);
    if (params_.as_ivadomed)
      for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(static_cast<std::int32_t>(x[i]));
    stretch(x, n);
  }

  /// The nearest whole number of one ≥ 0, halves to the even one.
  [[nodiscard]] IVADO_INLINE static std::int32_t rounded(double value) noexcept {
    const auto nearest = static_cast<std::int32_t>(value + 0.5);
    return nearest - (static_cast<double>(nearest) - value == 0.5 ? nearest & 1 : 0);
  }

  /// [0, 1] to 0 … 65535, as whole numbers.
  IVADO_INLINE static void to_sixteen_bits(float* x, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
      if (x[i] < -1 || x[i] > 1)
        throw usage_error("applying Clahe as ivadomed does", detail::text("an intensity is ", x[i]),
                          "scale the intensities to [-1, 1], or leave as_ivadomed out");
      x[i] = x[i] > 0 ? static_cast<float>(rounded(static_cast<double>(x[i] * 65535.0F))) : 0.0F;
    }
  }

  /// The bin of each voxel: 65 grey levels each.
  IVADO_INLINE static void sort_into_bins(const float* x, std::int64_t n, float least, float largest,
                                          std::uint8_t* bins) {
    constexpr double highest = grey_levels - 1;
    const auto low = static_cast<double>(least);
    const double range = static_cast<double>(largest) - low;
    for (std::int64_t i = 0; i < n; ++i) {
      const double grey = (static_cast<double>(x[i]) - low) / range * highest;
      // NaN and -infinity go to the lowest bin, infinity to the highest.
      bins[i] = static_cast<std::uint8_t>(rounded(grey > 0 ? std::min(grey, highest) : 0.0) / grey_levels_a_bin);
    }
  }

  /// The map of each tile.
  IVADO_INLINE void map_tiles(Work& work) const {
    const auto& [planes, rows, columns] = work.axes;
    const std::int64_t voxels = planes.kernel * rows.kernel * columns.kernel;
    const double share = std::min(params_.clip_limit, 1.0) * static_cast<double>(voxels);
    const std::int64_t limit = share > 0 ? std::max<std::int64_t>(static_cast<std::int64_t>(share), 1) : voxels;
    const double scale = static_cast<double>(grey_levels - 1) / static_cast<double>(voxels);
    std::uint16_t* map = work.maps.data();
    std::int64_t histogram[bin_count];
    for (std::int64_t a = 0; a < planes.tiles; ++a)
      for (std::int64_t b = 0; b < rows.tiles; ++b)
        for (std::int64_t c = 0; c < columns.tiles; ++c, map += bin_count) {
          count(work, a, b, c, histogram);
          if (limit < voxels) clip(histogram, limit);
          std::int64_t sum = 0;
          for (int bin = 0; bin < bin_count; ++bin) {
            sum += histogram[bin];
            map[bin] = static_cast<std::uint16_t>(
                std::min(static_cast<double>(sum) * scale, static_cast<double>(grey_levels - 1)));
          }
        }
  }

  /// The histogram of a tile.
  IVADO_INLINE static void count(const Work& work, std::int64_t a, std::int64_t b, std::int64_t c,
                                 std::int64_t* histogram) {
    const auto& [planes, rows, columns] = work.axes;
    std::fill_n(histogram, bin_count, 0);
    const std::int64_t begin = c * columns.kernel;
    const std::int64_t end = begin + columns.kernel;
    for (std::int64_t i = a * planes.kernel; i < (a + 1) * planes.kernel; ++i)
      for (std::int64_t j = b * rows.kernel; j < (b + 1) * rows.kernel; ++j) {
        const std::uint8_t* const row =
            work.bins.data() + (planes.index(i) * rows.extent + rows.index(j)) * columns.extent;
        const std::int64_t inside = std::min(end, columns.extent);
        for (std::int64_t k = begin; k < inside; ++k) ++histogram[row[k]];
        for (std::int64_t k = inside; k < end; ++k) ++histogram[row[columns.index(k)]];
      }
  }

  /// Cuts the bins at the limit, and spreads what was cut off: first evenly, where a bin that comes within its share of
  /// the limit is filled up; then one by one over bins that lie evenly spaced, from ever later starts, until nothing is
  /// left or all bins are full.
  IVADO_INLINE static void clip(std::int64_t* histogram, std::int64_t limit) {
    std::int64_t excess = 0;
    for (int bin = 0; bin < bin_count; ++bin) excess += std::max<std::int64_t>(histogram[bin] - limit, 0);
    if (excess == 0) return;
    const std::int64_t share = excess / bin_count;
    std::int64_t open = 0;  // bins below the limit
    for (int bin = 0; bin < bin_count; ++bin) {
      const std::int64_t before = std::min(histogram[bin], limit);
      const std::int64_t after = before + share;
      histogram[bin] = after < limit - share ? after : limit;
      excess -= histogram[bin] - before;
      open += histogram[bin] < limit ? 1 : 0;
    }
    while (excess > 0 && open > 0) {
      for (std::int64_t start = 0; start < bin_count && excess > 0; ++start) {
        const std::int64_t step = std::max<std::int64_t>(open / excess, 1);
        for (std::int64_t bin = start; bin < bin_count; bin += step) {
          if (histogram[bin] >= limit) continue;
          ++histogram[bin];
          --excess;
          open -= histogram[bin] == limit ? 1 : 0;
        }
      }
    }
  }

  /// The multilinear mean of the maps around each voxel, row by row.
  IVADO_INLINE static void interpolate(float* x, const Work& work) {
    const auto& [planes, rows, columns] = work.axes;
    const Neighbours* const along = columns.neighbours.data();
    for (std::int64_t i = 0; i < planes.extent; ++i)
      for (std::int64_t j = 0; j < rows.extent; ++j) {
        const std::int64_t first = (i * rows.extent + j) * columns.extent;
        const std::uint8_t* const bins = work.bins.data() + first;
        float* const sums = x + first;
        std::fill_n(sums, columns.extent, 0.0F);
        const Neighbours& plane = planes.neighbours[static_cast<std::size_t>(i)];
        const Neighbours& row = rows.neighbours[static_cast<std::size_t>(j)];
        for (const bool behind_plane : {false, true})
          for (const bool behind_row : {false, true}) {
            const double plane_share = behind_plane ? plane.part : 1 - plane.part;
            const double row_share = behind_row ? row.part : 1 - row.part;
            if (plane_share == 0 || row_share == 0) continue;
            const std::int64_t tile =
                ((behind_plane ? plane.high : plane.low) * rows.tiles + (behind_row ? row.high : row.low)) *
                columns.tiles;
            const std::uint16_t* const maps = work.maps.data() + tile * bin_count;
            for (std::int64_t k = 0; k < columns.extent; ++k) {
              const Neighbours& column = along[k];
              const double low = maps[column.low * bin_count + bins[k]];
              const double high = maps[column.high * bin_count + bins[k]];
              sums[k] += static_cast<float>(low * ((1 - column.part) * row_share * plane_share));
              sums[k] += static_cast<float>(high * (column.part * row_share * plane_share));
            }
          }
      }
  }

  /// To [0, 1].
  IVADO_INLINE static void stretch(float* x, std::int64_t n) {
    const auto [least, largest] = std::minmax_element(x, x + n);
    const float low = *least;
    const float range = *largest - low;
    for (std::int64_t i = 0; i < n; ++i) x[i] = range > 0 ? (x[i] - low) / range : 0.0F;
  }

  Params params_;
};

static_assert(Transform<Clahe>);

}  // namespace ivado
