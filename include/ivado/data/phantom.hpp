// The embedded data set: a BIDS folder of spinal-cord-like MRI with known truth, and the command `ivado phantom`.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/hana/for_each.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <iomanip>
#include <iostream>
#include <numbers>
#include <ostream>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../config/params.hpp"
#include "../eigen.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../random.hpp"
#include "../version.hpp"
#include "array.hpp"
#include "atomic_file.hpp"
#include "geometry.hpp"
#include "volume_io.hpp"

namespace ivado {

/// What `write_phantom` writes.
struct PhantomParams {
  std::int64_t subjects = 12;                                  ///< number of subjects
  std::vector<std::string> contrasts{"T1w", "T2w", "T2star"};  ///< one image of each for every subject
  std::uint64_t seed = 0;                                      ///< of all that is random
  double field_mm = 64;   ///< side of the axial field of T2star in mm; 1.25 times as much for T1w and T2w
  double length_mm = 48;  ///< length of the field along the body in mm
  double lesions = 0.25;  ///< share of the subjects that have a lesion in the cord
  double noise = 1;       ///< strength of the noise: 1 as in a usual scan, 0 without

  static constexpr auto fields() {
    return ivado::fields(
        field<"subjects", &PhantomParams::subjects>("number of subjects", within(1, 9999)),
        field<"contrasts", &PhantomParams::contrasts>("contrasts of every subject, of T1w, T2w and T2star"),
        field<"seed", &PhantomParams::seed>("seed: the same gives the same voxels"),
        field<"field_mm", &PhantomParams::field_mm>(
            "side of the axial field of T2star in mm; 1.25 times as much for T1w and T2w", within(32, 160)),
        field<"length_mm", &PhantomParams::length_mm>("length of the field along the body in mm", within(12, 160)),
        field<"lesions", &PhantomParams::lesions>("share of the subjects that have a lesion in the cord", within(0, 1)),
        field<"noise", &PhantomParams::noise>("strength of the noise: 1 as in a usual scan, 0 without", within(0, 10)));
  }
};

/// Told after each image: how many images (with their labels) are written, and of how many.
using PhantomProgress = std::function<void(std::int64_t done, std::int64_t total)>;

namespace detail::phantom {

/// What a point of the body is made of.
enum Tissue : std::uint8_t {
  air,
  skin,
  fat,
  muscle,
  fascia,
  cortical_bone,
  marrow,
  disc,
  nucleus,
  ligament,
  dura,
  epidural,
  csf,
  root,
  white_matter,
  grey_matter,
  lesion,
  artery,
  vein,
  cartilage,
  tissue_count
};

/// What is drawn over the tissue as ground truth.
enum LabelBit : std::uint8_t { in_cord = 1, in_grey_matter = 2, in_lesion = 4 };

/// A point of the body.
struct Point {
  Tissue tissue;
  std::uint8_t labels;
};

/// A pulse sequence: how bright each tissue is (before the scale of the receiver), and the limits of what varies.
struct Sequence {
  std::string_view contrast;
  std::array<float, tissue_count> brightness;
  double field;                       ///< in-plane field, in units of `PhantomParams::field_mm`
  std::array<double, 2> in_plane_mm;  ///< limits of the voxel size, in steps of 0.05 mm
  std::array<double, 2> slice_mm;     ///< limits of the slice distance, in steps of 0.5 mm; {0, 0}: as in plane
  std::array<double, 2> noise;        ///< limits of the standard deviation
  double coil;                        ///< fall of the receiver's sensitivity from back to front, 1/mm
  double void_depth;                  ///< share of the signal that is lost at the air way
  std::array<double, 2> echo_time_s;
  std::array<double, 2> repetition_time_s;
  std::array<double, 2> flip_angle_deg;
  std::string_view sequence;  ///< ScanningSequence of BIDS
};

// The brightness of a tissue is chosen by eye after images of the spine-generic protocol (Cohen-Adad et al. 2021,
// doi:10.1038/s41596-021-00588-0); so are the limits of the times and angles.
inline constexpr std::array<Sequence, 3> sequences{{
    // air skin fat muscle fascia cortical marrow disc nucleus ligament dura epidural csf root white grey lesion artery
    // vein cartilage
    {"T1w",
     {6, 470, 900, 400, 250, 60, 350, 330, 300, 160, 220, 430, 130, 420, 640, 530, 500, 300, 360, 300},
     1.25,
     {0.9, 1.1},
     {0, 0},
     {18, 32},
     0.004,
     0.15,
     {0.0030, 0.0042},
     {2.0, 2.3},
     {8, 10},
     "GR"},
    {"T2w",
     {5, 230, 520, 150, 290, 40, 210, 130, 470, 70, 110, 400, 1000, 420, 330, 400, 620, 50, 260, 120},
     1.25,
     {0.8, 1.0},
     {0, 0},
     {16, 30},
     0.003,
     0,
     {0.110, 0.125},
     {1.5, 1.7},
     {120, 135},
     "SE"},
    {"T2star",
     {8, 330, 600, 520, 330, 30, 120, 300, 380, 190, 380, 600, 930, 640, 540, 680, 740, 960, 800, 190},
     1,
     {0.5, 0.8},
     {3, 5},
     {20, 36},
     0.010,
     0.75,
     {0.0140, 0.0170},
     {0.60, 0.70},
     {28, 32},
     "GR"},
}};

/// Place of a contrast in `sequences`.
[[nodiscard]] IVADO_INLINE std::size_t sequence_of(const std::string& contrast) {
  std::vector<std::string> known;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    if (sequences[i].contrast == contrast) return i;
    known.emplace_back(sequences[i].contrast);
  }
  throw usage_error("choosing the contrasts of the phantom", "there is no contrast \"" + contrast + "\"",
                    "T1w, T2w and T2star exist; did you mean \"" + nearest(contrast, known) + "\"?");
}

/// The random numbers of one subject for one purpose: 0 for the body, 1 + place in `sequences` for an image.
[[nodiscard]] IVADO_INLINE Rng random_of(std::uint64_t seed, std::int64_t subject, std::uint32_t purpose) {
  return Rng({seed, purpose, static_cast<std::uint32_t>(subject), stream_phantom});
}

/// Smooth noise in [-1, 1]: random numbers on a periodic lattice, between its nodes a smooth step.
class Lattice {
 public:
  static constexpr int side = 32;

  IVADO_INLINE explicit Lattice(Rng& random) : nodes_(static_cast<std::size_t>(side) * side * side) {
    for (auto& node : nodes_) node = 2 * random.uniform_float() - 1;
  }
  /// @param x, y, z  in units of the distance of two nodes, above -32768
  [[nodiscard]] IVADO_INLINE float operator()(float x, float y, float z) const noexcept {
    const Cell i(x);
    const Cell j(y);
    const Cell k(z);
    const auto row = [&](unsigned jj, unsigned kk) {
      const float* const nodes = nodes_.data() + (kk * side + jj) * side;
      return nodes[i.low] + i.part * (nodes[i.high] - nodes[i.low]);
    };
    const auto plane = [&](unsigned kk) {
      const float low = row(j.low, kk);
      return low + j.part * (row(j.high, kk) - low);
    };
    const float low = plane(k.low);
    return low + k.part * (plane(k.high) - low);
  }

 private:
  struct Cell {
    unsigned low;
    unsigned high;
    float part;
    IVADO_INLINE explicit Cell(float at) noexcept {
      const float shifted = at + 32768;
      const auto whole = static_cast<unsigned>(shifted);
      low = whole % side;
      high = (whole + 1) % side;
      part = shifted - static_cast<float>(whole);
      part *= part * (3 - 2 * part);  // no kinks at the nodes
    }
  };
  std::vector<float> nodes_;
};

/// The body of one subject, as a function of the place.
///
/// Coordinates are in mm, RAS+, from a point on the axis of the cord half-way along the field. Lengths of the cord and
/// the spine are those of an adult at C3-C6 (cord about 13 by 8 mm, level about 18 mm); the neck around them is
/// slender, so that a small field shows it.
class Body {
 public:
  /// @param length_mm  length of the field along the body
  /// @param margin_mm  how far beyond its two ends a turned grid may reach
  IVADO_INLINE Body(Rng random, double length_mm, double margin_mm, bool has_lesion) : texture_(random) {
    const double reach_mm = 0.5 * length_mm + margin_mm;
    const auto between = [&](double low, double high) { return static_cast<float>(random.uniform(low, high)); };
    const auto sign = [&] { return random.bernoulli(0.5) ? 1.0 : -1.0; };
    // the line of the cord: lordosis, a tilt, and a slow wave to each side
    const double size = random.uniform(0.94, 1.06);
    const double lordosis = random.uniform(0.5, 3.5);
    const double tilt_x = random.uniform(-0.03, 0.03);
    const double tilt_y = random.uniform(-0.08, 0.08);
    const double wave_x = sign() * random.uniform(0.4, 1.4);
    const double wave_y = sign() * random.uniform(0.2, 0.7);
    const double length_x = random.uniform(55, 100);
    const double length_y = random.uniform(35, 60);
    const double phase_x = random.uniform(0, 2 * std::numbers::pi);
    const double phase_y = random.uniform(0, 2 * std::numbers::pi);
    // the cord: half axes, and the cervical enlargement
    const double cord_x = size * random.uniform(5.9, 6.5);
    const double cord_y = size * random.uniform(3.65, 4.05);
    const double swelling = random.uniform(0.06, 0.14);
    const double swelling_z = random.uniform(-16, 16);
    const double bow_mm = std::max(28.0, 0.6 * length_mm);  // a long field must not lose the cord
    const double csf_x = random.uniform(2.6, 3.8);
    const double csf_y = random.uniform(1.7, 2.6);
    const auto steps = static_cast<std::int64_t>(std::ceil(2 * reach_mm / step_mm)) + 1;
    reach_ = static_cast<float>(reach_mm);
    sections_.reserve(static_cast<std::size_t>(steps));
    for (std::int64_t i = 0; i < steps; ++i) {
      const double z = static_cast<double>(i) * step_mm - reach_mm;
      const double bump = std::exp(-std::pow((z - swelling_z) / 14, 2));
      const auto wave = [&](double amplitude, double length, double phase) {
        return amplitude * (std::sin(2 * std::numbers::pi * z / length + phase) - std::sin(phase));
      };
      const double a = cord_x * (1 + swelling * bump);
      const double b = cord_y * (1 + 0.4 * swelling * bump);
      sections_.push_back(
          {static_cast<float>(tilt_x * z + wave(wave_x, length_x, phase_x)),
           static_cast<float>(tilt_y * z - lordosis * std::pow(z / bow_mm, 2) + wave(wave_y, length_y, phase_y)),
           static_cast<float>(a), static_cast<float>(b), static_cast<float>(1 / a), static_cast<float>(1 / b),
           static_cast<float>(1 / (a + csf_x)), static_cast<float>(b + csf_y), static_cast<float>(1 / (b + csf_y))});
    }
    canal_y_ = static_cast<float>(cord_y * (1 + 0.2 * swelling) + csf_y);
    // the spine
    level_ = between(16.8, 19.2);
    level_phase_ = between(0, 19);
    disc_height_ = between(4.0, 5.2);
    body_x_ = between(9.6, 11.0);
    body_y_ = between(5.9, 6.7);
    spinous_ = between(11, 15);
    // the neck
    neck_x_ = between(35.5, 38);
    neck_y_ = between(33.5, 35.5);
    neck_centre_y_ = between(1.5, 3);
    fat_ = between(1.6, 2.8);
    fat_back_ = between(2.0, 4.0);
    airway_x_ = between(4.8, 6.0);
    airway_y_ = between(3.8, 4.8);
    artery_x_ = between(13.2, 14.4);
    carotid_ = {{{between(15.5, 17.5), between(17.5, 19.5), between(2.2, 2.8)},
                 {between(-17.5, -15.5), between(17.5, 19.5), between(2.2, 2.8)}}};
    jugular_ = {{{between(20.5, 22.5), between(14, 16), between(2.4, 3.8)},
                 {between(-22.5, -20.5), between(14, 16), between(2.4, 3.8)}}};
    // muscles: centre (to the side, to the front), direction of their long axis, and slenderness
    constexpr std::array<std::array<float, 4>, muscles> plan{{{4.5F, -12.5F, 1.9F, 1.7F},    // multifidus
                                                              {6.0F, -18.5F, 1.9F, 1.8F},    // semispinalis
                                                              {11.5F, -13.5F, 2.2F, 1.6F},   // longissimus
                                                              {12.5F, -20.5F, 2.45F, 2.2F},  // splenius
                                                              {9.0F, -26.5F, 2.8F, 2.6F},    // trapezius
                                                              {20.5F, -17.5F, 2.25F, 2.2F},  // trapezius, lateral part
                                                              {18.5F, -8.5F, 2.0F, 1.7F},    // levator scapulae
                                                              {25.5F, -6.5F, 1.75F, 2.4F},   // levator, outer part
                                                              {18.0F, 3.5F, 2.2F, 1.5F},     // scalenus medius
                                                              {16.0F, 10.5F, 1.2F, 1.4F},    // scalenus anterior
                                                              {26.5F, 7.0F, 1.4F, 2.6F},     // sternocleidomastoid
                                                              {13.0F, 27.0F, 0.8F, 1.8F}}};  // infrahyoid
    for (std::size_t half = 0; half < 2; ++half)
      for (std::size_t m = 0; m < muscles; ++m) {
        const auto& [x, y, angle, slenderness] = plan[m];
        const float turned = angle + between(-0.12, 0.12);
        const float along = 1 / std::sqrt(slenderness);
        const float across = std::sqrt(slenderness);
        muscle_[half][m] = {x + between(-1, 1),       y + between(-1, 1),         along * std::cos(turned),
                            along * std::sin(turned), -across * std::sin(turned), across * std::cos(turned)};
      }
    // a lesion: an ellipsoid in the white matter, in units of the cord's half axes and in mm along it
    has_lesion_ = has_lesion;
    const float angle = between(0, 2 * std::numbers::pi);
    const float distance = between(0.5, 0.75);
    lesion_x_ = distance * std::cos(angle);
    lesion_y_ = distance * std::sin(angle);
    lesion_z_ = between(-0.3, 0.3) * static_cast<float>(length_mm);
    lesion_side_ = between(0.25, 0.4);
    lesion_length_ = between(4, 9);
  }

  /// A place relative to the cord, and how the soft tissue around is displaced there.
  struct Place {
    float u;  ///< to the right of the cord's axis
    float v;  ///< in front of it
    float z;
    float warp_u;  ///< irregularity of everything outside of the canal
    float warp_v;
    float sheet;    ///< added to half the thickness of the sheets between muscles
    float texture;  ///< relative brightness of its tissue, about 0
  };

  /// The centre of a voxel.
  [[nodiscard]] IVADO_INLINE Place place(float x, float y, float z) const noexcept {
    const Section& s = section(z);
    Place p{x - s.x, y - s.y, z, 0, 0, 0, 0};
    const float away = std::clamp((canal_square(s, p.u, p.v) - 1) * 0.4F, 0.0F, 1.0F);
    const float grain = texture_(x / 1.6F, y / 1.6F, z / 5);
    if (away > 0) {
      const float ripple = texture_(x / 4.5F + 3.1F, y / 4.5F, z / 11);
      p.warp_u = away * (1.2F * texture_(x / 11, y / 11, z / 17) + 0.45F * ripple);
      p.warp_v = away * (1.2F * texture_(x / 11 + 16.5F, y / 11, z / 17 + 9.5F) +
                         0.45F * texture_(x / 4.5F, y / 4.5F + 21.7F, z / 11));
      p.sheet = 0.5F * texture_(x / 5, y / 5 + 11.9F, z / 13);
    }
    p.texture = (0.04F + 0.10F * away) * (grain + 0.8F * texture_(x / 6, y / 6 + 7.3F, z / 8));
    return p;
  }
  /// True near the canal, where voxels are sampled more finely.
  [[nodiscard]] IVADO_INLINE bool near_canal(const Place& p) const noexcept {
    const Section& s = section(p.z);
    return std::abs(p.u) < 1 / s.canal_x_inverse + 1.5F && std::abs(p.v) < s.canal_y + 2;
  }
  /// Distance in mm from the middle of the air way, across the body.
  [[nodiscard]] float from_airway(const Place& p) const noexcept { return std::hypot(p.u, p.v - airway_centre()); }

  /// What is at a point near the place `p`, (x, y, z) in mm.
  [[nodiscard]] IVADO_INLINE Point at(float x, float y, float z, const Place& p) const noexcept {
    const Section& s = section(z);
    const float u = x - s.x;
    const float v = y - s.y;
    const float canal = canal_square(s, u, v);
    if (canal < 1) return in_canal(s, u, v, z);
    return {around(u + p.warp_u, v + p.warp_v, z, canal, p.sheet), 0};
  }

 private:
  static constexpr double step_mm = 0.05;
  static constexpr std::size_t muscles = 12;

  struct Section {
    float x, y;                                       ///< axis of the cord
    float a, b, a_inverse, b_inverse;                 ///< half axes of the cord
    float canal_x_inverse, canal_y, canal_y_inverse;  ///< half axes of the canal
  };
  struct Circle {
    float u, v, radius;
    [[nodiscard]] IVADO_INLINE bool holds(float x, float y) const noexcept {
      return (x - u) * (x - u) + (y - v) * (y - v) < radius * radius;
    }
  };
  struct Muscle {
    float u, v;                                  ///< centre
    float along_u, along_v, across_u, across_v;  ///< rows of the map to the metric of its ellipse
  };

  [[nodiscard]] IVADO_INLINE const Section& section(float z) const noexcept {
    const auto i = static_cast<std::int64_t>((z + reach_) * static_cast<float>(1 / step_mm) + 0.5F);
    return sections_[static_cast<std::size_t>(
        std::clamp<std::int64_t>(i, 0, static_cast<std::int64_t>(sections_.size()) - 1))];
  }
  /// Below 1 within the canal, which is wider in front and lies a little behind the cord's axis.
  [[nodiscard]] IVADO_INLINE static float canal_square(const Section& s, float u, float v) noexcept {
    const float q = (v + 0.3F) * s.canal_y_inverse;
    const float p = u * s.canal_x_inverse * (1 - 0.10F * q);
    return p * p + q * q;
  }
  [[nodiscard]] float body_front() const noexcept { return canal_y_ + 0.6F + 2 * body_y_; }
  [[nodiscard]] float airway_centre() const noexcept { return body_front() + 5.5F + airway_y_; }

  /// Square of the distance from a capsule's axis from (x0, y0) to (x1, y1), and the place along it in [0, 1].
  [[nodiscard]] IVADO_INLINE static std::pair<float, float> to_segment(float x, float y, float x0, float y0, float x1,
                                                                       float y1) noexcept {
    const float dx = x1 - x0;
    const float dy = y1 - y0;
    const float along = std::clamp(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0.0F, 1.0F);
    const float ex = x - x0 - along * dx;
    const float ey = y - y0 - along * dy;
    return {ex * ex + ey * ey, along};
  }

  [[nodiscard]] IVADO_INLINE Point in_canal(const Section& s, float u, float v, float z) const noexcept {
    const float p = u * s.a_inverse;
    const float q = v * s.b_inverse;
    const float side = std::abs(p);
    const float cord = p * p + q * q;
    if (cord >= 1) {
      // rootlets from the cord to both sides, two an each
      const float r = std::abs(u);
      const float rear = to_segment(r, v, s.a * 0.72F, -s.b * 0.70F, s.a + 3.4F, -s.b * 0.45F).first;
      const float front = to_segment(r, v, s.a * 0.55F, s.b * 0.80F, s.a + 3.4F, s.b * 0.25F).first;
      return {std::min(rear, front) < 0.12F ? root : csf, 0};
    }
    std::uint8_t labels = in_cord;
    // the butterfly, in units of the half axes: commissure, a wide horn in front, a slender one behind
    const auto [rear, along] = to_segment(side, q, 0.15F, -0.02F, 0.46F, -0.70F);
    const float width = 0.125F - 0.055F * along;
    const float hx = (side - 0.33F) * 0.94F + (q - 0.25F) * 0.34F;
    const float hy = (q - 0.25F) * 0.94F - (side - 0.33F) * 0.34F;
    const float horn = hx * hx * (1 / (0.18F * 0.18F)) + hy * hy * (1 / (0.31F * 0.31F));
    const bool bridge = side < 0.32F && std::abs(q - 0.04F) < 0.10F;
    if (rear < width * width || horn < 1 || bridge) labels |= in_grey_matter;
    if (has_lesion_) {
      const float dz = (z - lesion_z_) / lesion_length_;
      const float dp = (p - lesion_x_) / lesion_side_;
      const float dq = (q - lesion_y_) / (1.2F * lesion_side_);
      if (dp * dp + dq * dq + dz * dz < 1) return {lesion, static_cast<std::uint8_t>(labels | in_lesion)};
    }
    if ((labels & in_grey_matter) != 0) return {grey_matter, labels};
    // the fissure in front and the shallower groove behind hold liquor
    const float u_mm = std::abs(u);
    if ((q > 0.42F && u_mm < 0.28F) || (q < -0.86F && u_mm < 0.25F)) return {csf, labels};
    return {white_matter, labels};
  }

  /// Outside of the canal.
  [[nodiscard]] IVADO_INLINE Tissue around(float u, float v, float z, float canal, float sheet) const noexcept {
    const float s = (v - neck_centre_y_) / neck_y_;
    const float wide = u / (neck_x_ * (1 - 0.2F * std::max(s, 0.0F) * std::max(s, 0.0F)));
    const float neck = wide * wide + s * s;
    if (neck >= 1) return air;
    if (canal < 1.16F) return dura;
    const float r = std::abs(u);

    // skin and the fat below it
    const float depth = (1 - std::sqrt(neck)) * neck_y_;
    if (depth < 0.9F) return skin;
    const float fat_depth = 0.9F + fat_ + fat_back_ * std::max(-s, 0.0F);
    if (depth < fat_depth) return fat;
    if (depth < fat_depth + 0.45F + sheet) return fascia;

    // heights within a level of the spine; discs rise to the front
    const float body_v = v - (canal_y_ + 0.6F + body_y_);
    const float height = in_level(z - 0.16F * body_v);
    const bool at_disc = height < disc_height_;

    // vertebral bodies and discs
    const float bu = u / body_x_;
    const float bv = body_v / body_y_;
    const float bu2 = bu * bu;
    const float bv2 = bv * bv;
    const float body = 0.5F * (bu2 + bv2 + bu2 * bu2 + bv2 * bv2);
    if (body < 1.06F && !at_disc && body < 1) {
      const float to_plate = std::min(height - disc_height_, level_ - height);
      return body > 0.78F || to_plate < 0.7F ? cortical_bone : marrow;
    }
    if (body < 1.06F && at_disc) {
      const float middle = std::abs(height - 0.5F * disc_height_) / (0.5F * disc_height_);
      if (body > 0.97F) return ligament;
      return body < 0.42F && middle < 0.75F ? nucleus : disc;
    }
    if (body < 1.3F && std::abs(u) < 0.8F * body_x_ && body_v > 0) return ligament;

    // vertebral arteries
    if ((r - artery_x_) * (r - artery_x_) + (v - 6.5F) * (v - 6.5F) < 3.4F) return artery;

    // arch: pedicles and laminae; ligament between them; the space around the dura
    const float arch_height = in_level(z + 0.25F * v);
    const bool at_arch = arch_height > 0.42F * level_;
    const float ru = r / (canal_y_ + 9.0F);
    const float rv = (v - 0.5F) / (canal_y_ + 4.4F);
    const float arch = ru * ru + rv * rv;
    const float lateral = (r - 14.0F) * (r - 14.0F) * (1 / 22.0F) + (v + 1.5F) * (v + 1.5F) * (1 / 15.0F);
    if (canal < 1.75F && (v < 1 || lateral > 1)) {
      if (v > -1) return canal < 1.5F ? epidural : fat;
      return canal < 1.40F ? epidural : (at_arch ? cortical_bone : ligament);
    }
    if (lateral < 1) {
      const float joint = std::abs(in_level(z + 0.8F * (v + 1.5F) + 0.5F * level_) - 0.5F * level_);
      if (joint < 0.6F) return cartilage;
      return lateral > 0.55F || joint < 1.4F ? cortical_bone : marrow;
    }
    if (arch < 1 && v < 0.5F) {
      if (at_arch) return arch > 0.86F || canal < 1.95F ? cortical_bone : marrow;
      return ligament;
    }
    if (r > body_x_ - 1 && r < artery_x_ + 3.5F && v > 2.5F && v < 9.5F && at_arch && height > disc_height_ + 2) {
      const float ring = (r - artery_x_) * (r - artery_x_) + (v - 6.5F) * (v - 6.5F);
      if (ring < 11) return cortical_bone;
    }
    if (!at_arch && r > canal_y_ + 2 && r < artery_x_ + 2 && std::abs(v - 3.2F) < 2.0F)
      return std::abs(v - 3.2F) < 1.5F ? root : fat;  // the nerve leaves by its foramen

    // spinous process, sloping down to the back, forked at its end; the nuchal ligament behind and between
    const float behind = -v - canal_y_ - 2.5F;
    if (behind > 0) {
      const float spine_height = in_level(z + 0.45F * v);
      const float share = behind / spinous_;
      if (share < 1 && spine_height > 0.50F * level_) {
        const float half_width = 1.7F + 1.9F * std::max(share - 0.6F, 0.0F);
        const float fork = 2.4F * std::max(share - 0.72F, 0.0F) * 3;
        if (r < half_width && r > fork - 1.0F)
          return r > half_width - 0.7F || share > 0.93F || r < fork ? cortical_bone : marrow;
      }
      if (r < 0.5F) return fascia;
      if (r < 0.9F + sheet) return fat;
    }

    // throat
    const float front = body_front();
    const float airway_u = u / airway_x_;
    const float airway_v = (v - airway_centre()) / airway_y_;
    const float airway = airway_u * airway_u + airway_v * airway_v;
    if (airway < 1) return air;
    if (airway < 1.5F) return cartilage;
    if (airway < 1.75F) return fat;
    const float gullet = (u - 1.0F) * (u - 1.0F) * (1 / 26.0F) + (v - front - 4.2F) * (v - front - 4.2F) * (1 / 3.4F);
    if (gullet < 0.12F) return air;
    if (gullet < 1) return muscle;
    const float longus = (r - 6.2F) * (r - 6.2F) * (1 / 21.0F) + (v - front - 0.4F) * (v - front - 0.4F) * (1 / 4.6F);
    if (longus < 1) return muscle;
    if (longus < 1.35F) return fascia;

    // vessels
    for (const auto& c : carotid_)
      if (c.holds(u, v)) return artery;
    for (const auto& c : jugular_)
      if (c.holds(u, v)) return vein;

    // muscles between their sheets, with fat where the sheets are thick
    const auto& half = muscle_[u < 0];
    float first = 1e9F;
    float second = 1e9F;
    for (const Muscle& m : half) {
      const float du = r - m.u;
      const float dv = v - m.v;
      const float along = m.along_u * du + m.along_v * dv;
      const float across = m.across_u * du + m.across_v * dv;
      const float square = along * along + across * across;
      second = std::min(second, std::max(first, square));
      first = std::min(first, square);
    }
    const float gap = std::sqrt(second) - std::sqrt(first);
    if (sheet > 0.16F && gap < 2 * sheet) return fat;
    return gap < 0.6F + sheet ? fascia : muscle;
  }

  /// z within its level of the spine, from the lower end of a disc: in [0, level_).
  [[nodiscard]] IVADO_INLINE float in_level(float z) const noexcept {
    const float levels = (z + level_phase_) / level_;
    return (levels - std::floor(levels)) * level_;
  }

  Lattice texture_;
  std::vector<Section> sections_;
  float reach_ = 0;
  float canal_y_ = 0;
  float level_ = 0, level_phase_ = 0, disc_height_ = 0, body_x_ = 0, body_y_ = 0, spinous_ = 0;
  float neck_x_ = 0, neck_y_ = 0, neck_centre_y_ = 0, fat_ = 0, fat_back_ = 0, airway_x_ = 0, airway_y_ = 0,
        artery_x_ = 0;
  std::array<Circle, 2> carotid_{};
  std::array<Circle, 2> jugular_{};
  std::array<std::array<Muscle, muscles>, 2> muscle_{};
  bool has_lesion_ = false;
  float lesion_x_ = 0, lesion_y_ = 0, lesion_z_ = 0, lesion_side_ = 0, lesion_length_ = 0;
};

/// How one image is taken.
struct Scan {
  Geometry geometry;
  Eigen::Vector3d centre_mm;  ///< world place of the body's origin
  std::array<double, 9>
      bias;          ///< receiver: coefficients of x, y, z, xx, yy, zz, xy, xz, yz over 40 mm, of the logarithm
  double noise = 0;  ///< standard deviation before `scale`
  double scale = 1;
  double slice_mm = 0;
  double echo_time_s = 0;
  double repetition_time_s = 0;
  double flip_angle_deg = 0;
};

/// Rounded to a multiple of `step`.
[[nodiscard]] inline double rounded(double value, double step) { return std::round(value / step) * step; }

/// Orientations in turn, as axis codes.
inline constexpr std::array<std::string_view, 3> orientations{"RAS", "LPI", "PSR"};

/// What is random of an image of a subject, and its grid.
[[nodiscard]] IVADO_INLINE Scan make_scan(Rng random, const PhantomParams& params, std::int64_t subject,
                                          std::size_t contrast, const Eigen::Vector3d& centre_mm) {
  const Sequence& sequence = sequences[contrast];
  const auto drawn = [&](const std::array<double, 2>& limits) { return random.uniform(limits[0], limits[1]); };
  Scan scan;
  scan.centre_mm = centre_mm;
  const double in_plane = rounded(drawn(sequence.in_plane_mm), 0.05);
  const double slice = rounded(drawn(sequence.slice_mm), 0.5);
  scan.slice_mm = slice > 0 ? slice : in_plane;
  const std::array<double, 3> spacing{in_plane, in_plane, scan.slice_mm};
  const double side = params.field_mm * sequence.field;
  const std::array<double, 3> field{side, side, params.length_mm};

  constexpr double degree = std::numbers::pi / 180;
  const double pitch = random.uniform(-9, 9) * degree;
  const double yaw = random.uniform(-4, 4) * degree;
  const double roll = random.uniform(-4, 4) * degree;
  const Eigen::Matrix3d turn =
      (Eigen::AngleAxisd(pitch, Eigen::Vector3d::UnitX()) * Eigen::AngleAxisd(roll, Eigen::Vector3d::UnitY()) *
       Eigen::AngleAxisd(yaw, Eigen::Vector3d::UnitZ()))
          .toRotationMatrix();
  const Eigen::Vector3d shift(random.uniform(-2, 2), random.uniform(0, 3), 0);
  const std::string_view codes = orientations[(static_cast<std::size_t>(subject) + contrast) % orientations.size()];
  Eigen::Vector3d corner = centre_mm + turn * shift;
  for (int axis = 0; axis < 3; ++axis) {
    const std::size_t letter = std::string_view("RASLPI").find(codes[static_cast<std::size_t>(axis)]);
    const std::size_t world = letter % 3;
    const auto voxels = std::max<std::int64_t>(1, std::llround(field[world] / spacing[world]));
    const Eigen::Vector3d step =
        turn.col(static_cast<Eigen::Index>(world)) * (letter < 3 ? spacing[world] : -spacing[world]);
    scan.geometry.shape.push_back(voxels);
    scan.geometry.affine.col(axis).head<3>() = step;
    corner -= step * (static_cast<double>(voxels - 1) / 2);
  }
  scan.geometry.affine.col(3).head<3>() = corner;

  for (std::size_t i = 0; i < 9; ++i) scan.bias[i] = random.uniform(-1, 1) * (i < 3 ? 0.18 : 0.12);
  scan.noise = params.noise * drawn(sequence.noise);
  scan.scale = std::exp(random.uniform(std::log(0.5), std::log(2.0)));
  scan.echo_time_s = rounded(drawn(sequence.echo_time_s), 0.00001);
  scan.repetition_time_s = rounded(drawn(sequence.repetition_time_s), 0.01);
  scan.flip_angle_deg = rounded(drawn(sequence.flip_angle_deg), 1);
  return scan;
}

/// An image with its truth, indexed (i, j, k).
struct Picture {
  Array<float> image;
  Array<float> cord;
  Array<float> grey_matter;
  Array<float> lesion;
};

/// Takes an image of a body.
///
/// A voxel is the mean over its extent: 2x2x2 points, near the canal 4x4x4. A label is set where at least half of the
/// points are inside. Noise is Rician (Gudbjartsson and Patz 1995, doi:10.1002/mrm.1910340618).
[[nodiscard]] IVADO_INLINE Picture take(const Body& body, const Scan& scan, const Sequence& sequence, Rng random) {
  const Shape& shape = scan.geometry.shape;
  Picture out{Array<float>(shape), Array<float>(shape), Array<float>(shape), Array<float>(shape)};
  const Eigen::Matrix3f step = scan.geometry.affine.topLeftCorner<3, 3>().cast<float>();
  const Eigen::Vector3f corner = (scan.geometry.affine.col(3).head<3>() - scan.centre_mm).cast<float>();
  // points within a voxel, relative to its centre
  const auto points_of = [&](int side) {
    std::vector<Eigen::Vector3f> points;
    const auto at = [side](int i) { return (static_cast<float>(i) + 0.5F) / static_cast<float>(side) - 0.5F; };
    for (int i = 0; i < side; ++i)
      for (int j = 0; j < side; ++j)
        for (int k = 0; k < side; ++k) points.emplace_back(step * Eigen::Vector3f(at(i), at(j), at(k)));
    return points;
  };
  const std::vector<Eigen::Vector3f> coarse = points_of(2);
  const std::vector<Eigen::Vector3f> fine = points_of(4);
  std::array<float, 9> bias{};
  for (std::size_t i = 0; i < 9; ++i) bias[i] = static_cast<float>(scan.bias[i]);
  const auto coil = static_cast<float>(sequence.coil * 40);
  const auto void_depth = static_cast<float>(sequence.void_depth);
  std::int64_t voxel = 0;
  for (std::int64_t i = 0; i < shape[0]; ++i)
    for (std::int64_t j = 0; j < shape[1]; ++j)
      for (std::int64_t k = 0; k < shape[2]; ++k, ++voxel) {
        const Eigen::Vector3f centre =
            corner + step * Eigen::Vector3f(static_cast<float>(i), static_cast<float>(j), static_cast<float>(k));
        const Body::Place place = body.place(centre[0], centre[1], centre[2]);
        const auto& points = body.near_canal(place) ? fine : coarse;
        float sum = 0;
        int cord = 0;
        int grey = 0;
        int sick = 0;
        for (const auto& offset : points) {
          const Point point = body.at(centre[0] + offset[0], centre[1] + offset[1], centre[2] + offset[2], place);
          sum += sequence.brightness[point.tissue];
          cord += point.labels & in_cord;
          grey += (point.labels & in_grey_matter) / in_grey_matter;
          sick += (point.labels & in_lesion) / in_lesion;
        }
        const int all = static_cast<int>(points.size());
        out.cord[voxel] = 2 * cord >= all ? 1.0F : 0.0F;
        out.grey_matter[voxel] = 2 * grey >= all ? 1.0F : 0.0F;
        out.lesion[voxel] = 2 * sick >= all ? 1.0F : 0.0F;

        const float x = centre[0] / 40;
        const float y = centre[1] / 40;
        const float z = centre[2] / 40;
        const float field = bias[0] * x + bias[1] * y + bias[2] * z + bias[3] * x * x + bias[4] * y * y +
                            bias[5] * z * z + bias[6] * x * y + bias[7] * x * z + bias[8] * y * z - coil * y;
        float signal = sum / static_cast<float>(all) * (1 + place.texture) * std::exp(field);
        if (void_depth > 0) {
          const float away = body.from_airway(place) / 11;
          signal *= 1 - void_depth * std::exp(-away * away);
        }
        // both parts of the complex noise from one draw (Box and Muller)
        const double radius = scan.noise * std::sqrt(-2 * std::log((random.bits() + 1.0) * 0x1p-32));
        const double angle = 2 * std::numbers::pi * random.uniform();
        const double real = signal + radius * std::cos(angle);
        const double imaginary = radius * std::sin(angle);
        // whole numbers, as scanners store them
        out.image[voxel] = static_cast<float>(std::round(scan.scale * std::sqrt(real * real + imaginary * imaginary)));
      }
  return out;
}

/// The person behind a subject: what participants.tsv says.
struct Person {
  std::string id;
  std::int64_t age = 0;
  std::string sex;
  std::size_t site = 0;
  double field_strength_tesla = 3;
  bool has_lesion = false;
  Eigen::Vector3d centre_mm;  ///< where the scanner's world has the body's origin
  Rng body;                   ///< goes on for the body
};

struct Site {
  std::string_view id;
  std::string_view manufacturer;
};
inline constexpr std::array<Site, 3> sites{{{"siteA", "Siemens"}, {"siteB", "Philips"}, {"siteC", "GE"}}};

[[nodiscard]] IVADO_INLINE Person make_person(const PhantomParams& params, std::int64_t subject) {
  std::ostringstream id;
  id << "sub-"
     << std::setw(params.subjects > 999  ? 4
                  : params.subjects > 99 ? 3
                                         : 2)
     << std::setfill('0') << subject + 1;
  Person person{id.str(), 0, {}, 0, 3, false, {}, random_of(params.seed, subject, 0)};
  Rng& random = person.body;
  person.age = 20 + random.below(51);
  person.sex = random.bernoulli(0.5) ? "F" : "M";
  person.site = random.below(static_cast<std::uint32_t>(sites.size()));
  person.field_strength_tesla = random.bernoulli(0.8) ? 3 : 1.5;
  person.has_lesion = random.bernoulli(params.lesions);
  person.centre_mm = Eigen::Vector3d(random.uniform(-8, 8), random.uniform(-30, 10), random.uniform(-60, 40));
  return person;
}

IVADO_INLINE void write_text(const std::filesystem::path& path, const std::string& text) {
  write_file_atomically(path.string(), text);
}
inline void write_json(const std::filesystem::path& path, const Json& json) { write_text(path, json.dump(2) + "\n"); }

inline constexpr std::string_view generator = "ivado phantom";
inline constexpr std::string_view staging = ".ivado-phantom";

[[nodiscard]] IVADO_INLINE Json description(std::string_view name, std::string_view type) {
  Json out{{"Name", name}, {"BIDSVersion", "1.8.0"}, {"DatasetType", type}, {"License", "CC0"}};
  out["GeneratedBy"] =
      Json::array({Json{{"Name", generator},
                        {"Version", version},
                        {"Description", "Analytic shapes with partial volume, a receiver field and Rician noise"}}});
  return out;
}

[[nodiscard]] inline Json level(std::string_view text) { return text; }

[[nodiscard]] IVADO_INLINE std::string readme(const PhantomParams& params) {
  std::string contrasts;
  for (const auto& contrast : params.contrasts) contrasts += (contrasts.empty() ? "" : " ") + contrast;
  std::ostringstream out;
  out << "A phantom of the cervical spinal cord\n"
         "=====================================\n\n"
         "Computed images with known truth, written by `ivado phantom`, to try a pipeline on and to test it.\n"
         "Nobody was scanned: anatomy, ages, sites and pathologies are drawn at random. It is in the public domain "
         "(CC0).\n\n"
         "Each subject has an image of each contrast on a grid of its own (spacing, orientation and a small rotation\n"
         "vary), all in one world space. Voxels are means over their extent, times a smooth receiver field and a scale "
         "of\n"
         "the image, with Rician noise. Echo time, repetition time and flip angle vary from image to image and do not\n"
         "change the contrast.\n\n"
         "Truth is in derivatives/labels, on the grid of its image, 1 where at least half of a voxel is inside:\n"
         "  _seg-manual     spinal cord, with its grey matter\n"
         "  _gmseg-manual   grey matter\n"
         "  _lesion-manual  lesion; only for subjects of the pathology MS\n\n"
         "Made by: ivado phantom OUT --subjects "
      << params.subjects << " --contrasts " << contrasts << " --seed " << params.seed << " --field-mm "
      << params.field_mm << " --length-mm " << params.length_mm << " --lesions " << params.lesions << " --noise "
      << params.noise << "\n"
      << "Version of ivado: " << version << "\n";
  return out.str();
}

/// True for the name of a file that `write_phantom` writes, relative to its folder.
[[nodiscard]] IVADO_INLINE bool is_ours(const std::filesystem::path& relative) {
  static const std::set<std::string> fixed{"dataset_description.json", "participants.tsv", "participants.json",
                                           "README", "derivatives/labels/dataset_description.json"};
  if (fixed.contains(relative.generic_string())) return true;
  std::vector<std::string> parts;
  for (const auto& part : relative) parts.push_back(part.string());
  if (!parts.empty() && parts.front() == staging) return true;
  const bool is_label = parts.size() == 5 && parts[0] == "derivatives" && parts[1] == "labels";
  if (is_label) parts.erase(parts.begin(), parts.begin() + 2);
  if (parts.size() != 3 || parts[1] != "anat" || !parts[0].starts_with("sub-")) return false;
  for (const auto& sequence : sequences) {
    const std::string stem = parts[0] + "_" + std::string(sequence.contrast);
    for (const char* end : {".nii.gz", ".json"})
      if (!is_label && parts[2] == stem + end) return true;
    for (const char* end : {"_seg-manual.nii.gz", "_gmseg-manual.nii.gz", "_lesion-manual.nii.gz"})
      if (is_label && parts[2] == stem + end) return true;
  }
  return false;
}

/// Sees to it that the folder may be written into: it is missing, empty, or holds a phantom and nothing else.
IVADO_INLINE void check_folder(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  const std::string doing = "writing a phantom into " + folder.string();
  if (!fs::exists(folder)) return;
  if (!fs::is_directory(folder)) throw usage_error(doing, "it is a file", "name another folder");
  bool empty = true;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename() != staging) empty = false;
  if (empty) return;
  bool phantom = false;
  try {
    const Json found = read_json((folder / "dataset_description.json").string());
    phantom = found.at("GeneratedBy").at(0).at("Name") == generator;
  } catch (const std::exception&) {
    phantom = false;  // whatever is wrong with it, it is not ours
  }
  if (!phantom) throw usage_error(doing, "the folder is not empty, and it holds no phantom", "name another folder");
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (!entry.is_directory() && !is_ours(fs::relative(entry.path(), folder)))
      throw usage_error(doing, "the folder holds a phantom and also " + fs::relative(entry.path(), folder).string(),
                        "name another folder, or take that file away");
}

/// The folder in which a data set is made before it is moved to its place; taken away at the end, whatever the end is.
class Staging {
 public:
  IVADO_INLINE explicit Staging(const std::filesystem::path& folder)
      : folder_(folder), made_(!std::filesystem::exists(folder)) {
    std::filesystem::remove_all(path());
    std::filesystem::create_directories(path());
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging() {
    std::error_code ignored;
    std::filesystem::remove_all(path(), ignored);
    if (made_ && !done_) std::filesystem::remove(folder_, ignored);
  }
  [[nodiscard]] std::filesystem::path path() const { return folder_ / staging; }

  /// Takes an older phantom away and moves the new one to its place. The description, by which a data set is known,
  /// is the first that goes and the last that comes.
  IVADO_INLINE void publish() {
    namespace fs = std::filesystem;
    constexpr const char* head = "dataset_description.json";
    fs::remove(folder_ / head);
    std::vector<fs::path> old;
    for (const auto& entry : fs::directory_iterator(folder_))
      if (entry.path().filename() != staging) old.push_back(entry.path());
    for (const auto& path : old) fs::remove_all(path);
    for (const auto& entry : fs::directory_iterator(path()))
      if (entry.path().filename() != head) fs::rename(entry.path(), folder_ / entry.path().filename());
    fs::rename(path() / head, folder_ / head);
    done_ = true;
  }

 private:
  std::filesystem::path folder_;
  bool made_;
  bool done_ = false;
};

}  // namespace detail::phantom

/// Writes the embedded data set: a BIDS folder with spinal-cord-like MRI whose truth is known.
///
/// Each subject has a cord with grey matter in its canal, a spine, and a neck around them; each contrast its own
/// brightness, grid (RAS, LPI and PSR in turn, with small rotations), receiver field, scale and noise, in the one world
/// space of the subject. Beside the images: sidecars, participants, and the labels `_seg-manual`, `_gmseg-manual` and,
/// for subjects of the pathology MS, `_lesion-manual` in `derivatives/labels`. README in the folder says the rest.
///
/// A subject's images depend on the seed, its number and the contrast alone: more subjects or fewer contrasts give the
/// same files. The data set is made in `<folder>/.ivado-phantom` and moved to its place when it is complete.
/// @param folder    is made if it is missing; an older phantom in it is replaced, anything else refused
/// @param progress  may be empty
/// @throws Error (usage) if the folder holds other things or a contrast does not exist; (internal) if writing fails
/// @note  One thread, about an eighth of a second an image. Randomness: `stream_phantom` of the seed.
IVADO_INLINE void write_phantom(const std::string& folder, const PhantomParams& params,
                                const PhantomProgress& progress = {}) try {
  namespace fs = std::filesystem;
  using namespace detail::phantom;
  if (folder.empty()) throw usage_error("writing a phantom", "no folder is named", "name the folder to write into");
  (void)from_json<PhantomParams>(to_json(params), "phantom");  // checks the limits
  if (params.contrasts.empty())
    throw usage_error("writing a phantom", "no contrast is named", "name one of T1w, T2w and T2star");
  std::vector<std::size_t> contrasts;
  for (const auto& name : params.contrasts) {
    contrasts.push_back(sequence_of(name));
    if (std::count(params.contrasts.begin(), params.contrasts.end(), name) > 1)
      throw usage_error("choosing the contrasts of the phantom", "\"" + name + "\" is named twice", "name it once");
  }
  check_folder(folder);
  Staging stage(folder);
  const fs::path root = stage.path();
  const fs::path labels = root / "derivatives" / "labels";
  fs::create_directories(labels);

  std::string table = "participant_id\tage\tsex\tinstitution_id\tpathology\n";
  const auto total = params.subjects * static_cast<std::int64_t>(contrasts.size());
  std::int64_t done = 0;
  for (std::int64_t subject = 0; subject < params.subjects; ++subject) {
    const Person person = make_person(params, subject);
    const Site& site = sites[person.site];
    table += person.id + "\t" + std::to_string(person.age) + "\t" + person.sex + "\t" + std::string(site.id) + "\t" +
             (person.has_lesion ? "MS" : "HC") + "\n";
    // the margin: corners of the widest field, turned by up to 9 degrees
    const Body body(person.body, params.length_mm, 0.2 * params.field_mm + 5, person.has_lesion);
    const fs::path images = root / person.id / "anat";
    const fs::path truths = labels / person.id / "anat";
    fs::create_directories(images);
    fs::create_directories(truths);
    for (const std::size_t contrast : contrasts) {
      const Sequence& sequence = sequences[contrast];
      const auto purpose = static_cast<std::uint32_t>(1 + 2 * contrast);
      const Scan scan =
          make_scan(random_of(params.seed, subject, purpose), params, subject, contrast, person.centre_mm);
      const Picture picture = take(body, scan, sequence, random_of(params.seed, subject, purpose + 1));
      const std::string stem = person.id + "_" + std::string(sequence.contrast);
      const auto write = [&](const fs::path& path, const Array<float>& voxels, StoredType type) {
        write_volume(path.string(), voxels.view(), scan.geometry, type);
      };
      write(images / (stem + ".nii.gz"), picture.image, StoredType::float32);
      write(truths / (stem + "_seg-manual.nii.gz"), picture.cord, StoredType::uint8);
      write(truths / (stem + "_gmseg-manual.nii.gz"), picture.grey_matter, StoredType::uint8);
      if (person.has_lesion) write(truths / (stem + "_lesion-manual.nii.gz"), picture.lesion, StoredType::uint8);
      write_json(images / (stem + ".json"), Json{{"Modality", "MR"},
                                                 {"BodyPart", "CSPINE"},
                                                 {"Manufacturer", site.manufacturer},
                                                 {"InstitutionName", site.id},
                                                 {"MagneticFieldStrength", person.field_strength_tesla},
                                                 {"ScanningSequence", sequence.sequence},
                                                 {"MRAcquisitionType", sequence.slice_mm[1] > 0 ? "2D" : "3D"},
                                                 {"SliceThickness", scan.slice_mm},
                                                 {"EchoTime", scan.echo_time_s},
                                                 {"RepetitionTime", scan.repetition_time_s},
                                                 {"FlipAngle", scan.flip_angle_deg}});
      if (progress) progress(++done, total);
    }
  }
  write_text(root / "participants.tsv", table);
  write_json(
      root / "participants.json",
      Json{{"participant_id", {{"Description", "Unique identifier of the subject"}}},
           {"age", {{"Description", "Age of the subject, drawn at random"}, {"Units", "year"}}},
           {"sex",
            {{"Description", "Sex of the subject, drawn at random"}, {"Levels", {{"F", "female"}, {"M", "male"}}}}},
           {"institution_id",
            {{"Description", "Site of the imagined scan"},
             {"Levels",
              {{"siteA", "scanner by Siemens"}, {"siteB", "scanner by Philips"}, {"siteC", "scanner by GE"}}}}},
           {"pathology",
            {{"Description", "Pathology of the imagined subject"},
             {"Levels", {{"HC", "healthy control"}, {"MS", "multiple sclerosis: one lesion in the cord"}}}}}});
  write_text(root / "README", readme(params));
  Json about = description("Phantom of the cervical spinal cord", "raw");
  about["Authors"] = Json::array({"ivado phantom", "The ivado developers"});
  write_json(root / "dataset_description.json", about);
  write_json(labels / "dataset_description.json",
             description("Truth of the phantom of the cervical spinal cord", "derivative"));
  stage.publish();
} catch (const std::filesystem::filesystem_error& fault) {
  throw internal_error("writing a phantom into " + folder, fault.what(),
                       "check that the folder can be written and has space");
}

namespace detail::phantom {

/// "field_mm" as an option: "--field-mm".
[[nodiscard]] IVADO_INLINE std::string option_of(std::string_view key) {
  std::string out = "--" + std::string(key);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

IVADO_INLINE void print_usage(std::ostream& out) {
  out << "usage: ivado phantom OUT [options]\n\n"
         "Writes a small BIDS data set with known truth into the folder OUT: computed MRI of the cervical spinal "
         "cord.\n"
         "An older phantom in OUT is replaced; a folder with anything else is refused.\n\noptions:\n";
  for_each_leaf<PhantomParams>([&](const std::string& key, const auto& field, const auto& value) {
    using Member = std::remove_cvref_t<decltype(value)>;
    const std::string limits = limits_text(field.rule);
    const std::string what = type_name<Member>() + (limits.empty() ? "" : ", " + limits);
    std::string standard;
    if constexpr (is_vector<Member>) {
      for (const auto& one : value) standard += (standard.empty() ? "" : " ") + one;
    } else {
      standard = to_json(value).dump();
    }
    out << "  " << option_of(key) << "  (" << what << "; default " << standard << ")\n      " << field.doc << "\n";
  });
  out << "  --help\n      this text\n";
}

struct Command {
  std::string folder;
  PhantomParams params;
  bool help = false;
};

[[nodiscard]] IVADO_INLINE Command parse(std::span<const std::string> arguments) {
  const std::string doing = "reading the command line of ivado phantom";
  const std::string see = "see ivado phantom --help";
  Command command;
  Json given = Json::object();
  bool has_folder = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string option = arguments[i];
    if (option == "--help" || option == "-h") {
      command.help = true;
      return command;
    }
    if (!option.starts_with("-")) {
      if (has_folder)
        throw usage_error(doing, "\"" + option + "\" is one name too many after the folder \"" + command.folder + "\"",
                          see);
      has_folder = true;
      command.folder = option;
      continue;
    }
    std::vector<std::string> values;
    if (const auto equals = option.find('='); equals != std::string::npos) {
      values.push_back(option.substr(equals + 1));
      option.resize(equals);
    }
    bool known = false;
    std::vector<std::string> options{"--help"};
    hana::for_each(PhantomParams::fields(), [&](const auto& field) {
      options.push_back(option_of(field.key));
      if (options.back() != option) return;
      known = true;
      using Member = std::remove_cvref_t<decltype(field.of(command.params))>;
      constexpr bool is_list = is_vector<Member>;
      if (given.contains(field.key)) throw usage_error(doing, option + " is given twice", "give it once");
      if (values.empty())
        while (i + 1 < arguments.size() && !arguments[i + 1].starts_with("--") && (is_list || values.empty()))
          values.push_back(arguments[++i]);
      if (values.empty()) throw usage_error(doing, option + " has no value", see);
      if constexpr (is_list) {
        given[std::string(field.key)] = values;
      } else {
        const Json number = Json::parse(values.front(), nullptr, false);
        if (!number.is_number())
          throw usage_error(doing, option + " has the value \"" + values.front() + "\", which is no number", see);
        given[std::string(field.key)] = number;
      }
    });
    if (!known)
      throw usage_error(doing, "there is no option " + option, "did you mean " + nearest(option, options) + "? " + see);
  }
  if (!has_folder) throw usage_error(doing, "no folder is named", "give it first: ivado phantom OUT --subjects 12");
  command.params = from_json<PhantomParams>(given, "phantom");
  return command;
}

}  // namespace detail::phantom

/// The command `ivado phantom OUT [--subjects N] [--contrasts T1w T2w …] [--seed N] …`.
///
/// One option for each field of `PhantomParams`; `--help` prints them. While it works it shows a bar on `err`, if
/// that is a terminal.
/// @param args  what follows the word `phantom`
/// @return      the exit status: 0 done, 2 wrong usage, 4 anything else; what was wrong is said on `err`
IVADO_INLINE int run_phantom(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
  const bool shows_bar = &err == &std::cerr && ::isatty(STDERR_FILENO) != 0;
  try {
    const auto command = detail::phantom::parse(args);
    if (command.help) {
      detail::phantom::print_usage(out);
      return 0;
    }
    const PhantomProgress bar = [&err](std::int64_t done, std::int64_t total) {
      constexpr std::int64_t width = 40;
      const std::int64_t filled = done * width / total;
      err << "\rphantom [" << std::string(static_cast<std::size_t>(filled), '=')
          << std::string(static_cast<std::size_t>(width - filled), ' ') << "] " << done << "/" << total
          << (done == total ? "\n" : "") << std::flush;
    };
    write_phantom(command.folder, command.params, shows_bar ? bar : PhantomProgress{});
    out << "wrote " << command.folder << ": subjects " << command.params.subjects << ", contrasts";
    for (const auto& contrast : command.params.contrasts) out << " " << contrast;
    out << ", seed " << command.params.seed << "\n";
    return 0;
  } catch (const Error& fault) {
    err << "ivado phantom: " << fault.what() << "\n";
    return fault.exit_status();
  } catch (const std::exception& fault) {
    err << "ivado phantom: " << fault.what() << "\n";
    return static_cast<int>(Fault::internal);
  }
}

}  // namespace ivado
