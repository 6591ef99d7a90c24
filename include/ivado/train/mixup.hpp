// Mixup: each training sample blended with another one of its batch, labels alike.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"
#include "../random.hpp"
#include "tensor.hpp"

namespace ivado {

/// How the samples of one batch are blended.
struct Mixup {
  double lambda = 1;                  ///< share that a sample keeps of itself, in [0.5, 1]
  std::vector<std::int64_t> partner;  ///< for each sample the number of the one that gives the rest
};

namespace detail {

/// The stream of mixup's draws: transforms count from 0 and do not come so far, `RandomStream` begins behind it.
inline constexpr std::uint32_t stream_mixup = 0x7FFFFFFF;

/// The logarithm of a draw from the Gamma distribution of a shape and scale 1 (Marsaglia and Tsang 2000,
/// doi:10.1145/358407.358414; a shape below 1 as they advise). As a logarithm, since for small shapes most draws
/// are too small for a double.
[[nodiscard]] IVADO_INLINE double log_gamma_draw(double shape, Rng& rng) {
  const auto log_uniform = [&] { return std::log((rng.bits() + 1.0) * 0x1p-32); };
  if (shape < 1) {
    const double more = log_gamma_draw(shape + 1, rng);
    return more + log_uniform() / shape;
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double normal = rng.normal();
    const double root = 1 + c * normal;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (log_uniform() < 0.5 * normal * normal + d * (1 - v + std::log(v))) return std::log(d) + std::log(v);
  }
}

}  // namespace detail

/// Draws how a batch is blended: one lambda ~ Beta(alpha, alpha) and one random order of its samples (Zhang et al.
/// 2018, arXiv:1710.09412). lambda is the greater of lambda and 1 - lambda, as in ivadomed, so that a sample keeps at
/// least half of itself.
/// @param alpha    above 0; 0 leaves each sample alone
/// @param samples  of the batch
/// @param key      seed, epoch and number of the batch; the stream is mixup's own
/// @throws Error (usage) if alpha is negative or not finite
[[nodiscard]] IVADO_INLINE Mixup draw_mixup(double alpha, std::int64_t samples, const RandomKey& key) {
  if (!(alpha >= 0) || std::isinf(alpha))
    throw usage_error("mixing training samples", "mixup_alpha is " + std::to_string(alpha),
                      "give a number that is not negative; 0 mixes nothing");
  Mixup out;
  if (alpha == 0) {
    out.partner.resize(static_cast<std::size_t>(samples));
    std::iota(out.partner.begin(), out.partner.end(), std::int64_t{0});
    return out;
  }
  Rng rng(key.with_stream(detail::stream_mixup));
  // A Beta draw is a / (a + b) of two Gamma draws; the greater of it and the rest depends on |log a - log b| alone.
  const double a = detail::log_gamma_draw(alpha, rng);
  const double b = detail::log_gamma_draw(alpha, rng);
  out.lambda = 1 / (1 + std::exp(-std::abs(a - b)));
  out.partner = rng.permutation(samples);
  return out;
}

/// Blends images and labels of a batch: x becomes lambda x + (1 - lambda) x[partner]. Labels become soft.
///
/// Conditions stay those of the sample itself, which has the greater share. Tensors that are views of the loaded batch
/// are replaced, not written to.
IVADO_INLINE void mix(DeviceBatch& batch, const Mixup& mixup) {
  if (mixup.lambda == 1) return;
  const at::Tensor partner = at::tensor(mixup.partner, at::kLong).to(batch.image.device());
  const auto blend = [&](const at::Tensor& tensor) {
    return tensor * mixup.lambda + tensor.index_select(0, partner) * (1 - mixup.lambda);
  };
  batch.image = blend(batch.image);
  batch.label = blend(batch.label);
}

}  // namespace ivado
