// Fourier transforms of image lines, for the artefacts that arise in k-space.
//
// The transforms are those of Eigen's unsupported module (kissfft). It takes time n · p for a line of n voxels whose
// largest prime factor is p; where that is slow, Bluestein's algorithm takes its place.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <unsupported/Eigen/FFT>
#include <vector>

#include "../data/array.hpp"
#include "../eigen.hpp"
#include "../inline.hpp"

namespace ivado::detail {

/// Discrete Fourier transforms of complex lines of one length, in place; not to be shared by threads.
class LineFourier {
 public:
  /// @param n  length of the lines, at least 1
  IVADO_INLINE explicit LineFourier(std::int64_t n) : n_(n), is_direct_(largest_prime(n) <= 31) {
    std::int64_t length = 2 * n - 1;
    while (largest_prime(length) > 5) ++length;
    scratch_.resize(static_cast<std::size_t>(is_direct_ ? n : 2 * length));
    if (is_direct_) return;
    length_ = length;
    chirp_.resize(static_cast<std::size_t>(n));
    std::vector<std::complex<float>> response(static_cast<std::size_t>(length));
    for (std::int64_t k = 0; k < n; ++k) {
      // exp(-iπ k² / n), of period 2n in k²
      const double angle = std::numbers::pi * static_cast<double>(k * k % (2 * n)) / static_cast<double>(n);
      const std::complex<double> value = std::polar(1.0, -angle);
      chirp_[static_cast<std::size_t>(k)] = std::complex<float>(value);
      response[static_cast<std::size_t>(k)] = std::complex<float>(std::conj(value));
      response[static_cast<std::size_t>((length - k) % length)] = std::complex<float>(std::conj(value));
    }
    response_.resize(response.size());
    fft_.fwd(response_.data(), response.data(), length);
  }

  /// X_k = Σ x_j exp(-2πi jk / n)
  IVADO_INLINE void forward(std::complex<float>* line) {
    if (n_ == 1) return;  // which kissfft cannot
    if (!is_direct_) return chirp_transform(line);
    fft_.fwd(scratch_.data(), line, n_);
    std::copy_n(scratch_.data(), n_, line);
  }
  /// x_j = 1/n Σ X_k exp(2πi jk / n)
  IVADO_INLINE void inverse(std::complex<float>* line) {
    if (n_ == 1) return;
    if (is_direct_) {
      fft_.inv(scratch_.data(), line, n_);
      std::copy_n(scratch_.data(), n_, line);
      return;
    }
    const float scale = 1 / static_cast<float>(n_);
    for (std::int64_t k = 0; k < n_; ++k) line[k] = std::conj(line[k]);
    chirp_transform(line);
    for (std::int64_t k = 0; k < n_; ++k) line[k] = std::conj(line[k]) * scale;
  }

 private:
  [[nodiscard]] IVADO_INLINE static std::int64_t largest_prime(std::int64_t n) {
    std::int64_t largest = 1;
    for (std::int64_t p = 2; p * p <= n; ++p)
      for (; n % p == 0; n /= p) largest = p;
    return std::max(largest, n);
  }

  /// The product without the checks for infinity that the language asks of std::complex.
  [[nodiscard]] IVADO_INLINE static std::complex<float> product(std::complex<float> a, std::complex<float> b) noexcept {
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
  }

  /// The forward transform as a convolution with a chirp (Bluestein 1970, doi:10.1109/TAU.1970.1162132).
  IVADO_INLINE void chirp_transform(std::complex<float>* line) {
    std::complex<float>* const first = scratch_.data();
    std::complex<float>* const second = first + length_;
    for (std::int64_t k = 0; k < n_; ++k) first[k] = product(line[k], chirp_[static_cast<std::size_t>(k)]);
    std::fill(first + n_, first + length_, std::complex<float>());
    fft_.fwd(second, first, length_);
    for (std::int64_t k = 0; k < length_; ++k) second[k] = product(second[k], response_[static_cast<std::size_t>(k)]);
    fft_.inv(first, second, length_);
    for (std::int64_t k = 0; k < n_; ++k) line[k] = product(first[k], chirp_[static_cast<std::size_t>(k)]);
  }

  std::int64_t n_;
  bool is_direct_;
  std::int64_t length_ = 0;  // of the convolution
  std::vector<std::complex<float>> chirp_;
  std::vector<std::complex<float>> response_;
  std::vector<std::complex<float>> scratch_;
  Eigen::FFT<float> fft_;
};

/// How an array is cut into lines along one axis: [outer, n, inner].
struct LineLayout {
  std::int64_t outer = 1;
  std::int64_t n = 1;
  std::int64_t inner = 1;

  IVADO_INLINE LineLayout(const Shape& shape, int axis) : n(shape[axis]) {
    for (int a = 0; a < axis; ++a) outer *= shape[a];
    for (int a = axis + 1; a < shape.rank(); ++a) inner *= shape[a];
  }
  [[nodiscard]] std::int64_t count() const noexcept { return outer * inner; }
  /// Place of the first element of a line; the others follow at the distance `inner`.
  [[nodiscard]] std::int64_t start(std::int64_t line) const noexcept { return line / inner * n * inner + line % inner; }
};

/// A weight for each frequency, in the order of the transform, from one for each plane of k-space with its centre in
/// the middle: plane s holds the frequency s - n/2. Real images have Hermitian spectra, and the real part of what
/// becomes of them depends on the mean of the weights of a frequency and its negative alone; that is what is returned.
/// @param of_plane  (std::int64_t plane) -> float
template <class OfPlane>
[[nodiscard]] std::vector<float> even_weights(std::int64_t n, const OfPlane& of_plane) {
  std::vector<float> weights(static_cast<std::size_t>(n));
  const std::int64_t centre = n / 2;
  for (std::int64_t plane = 0; plane < n; ++plane) {
    const std::int64_t opposite = (2 * centre - plane + n) % n;
    weights[static_cast<std::size_t>((plane - centre + n) % n)] = 0.5F * (of_plane(plane) + of_plane(opposite));
  }
  return weights;
}

/// out = Σ inverse transform of (weights × transform of image), line by line along one axis. Real lines go in pairs, as
/// real and imaginary part of one complex line, which even weights keep apart.
/// @param images   arrays of the layout; one of them may be `out`
/// @param weights  for each image what `even_weights` returns
IVADO_INLINE void filter_spectra(const std::vector<const float*>& images,
                                 const std::vector<std::vector<float>>& weights, const LineLayout& layout, float* out) {
  constexpr std::int64_t lanes = 8;  // complex lines side by side, to make use of whole cache lines
  const std::int64_t n = layout.n;
  const std::int64_t stride = n + 8;  // between the lines, so that those of 512 voxels do not share one cache set
  LineFourier fourier(n);
  std::vector<std::complex<float>> spectrum(static_cast<std::size_t>(lanes * stride));
  std::vector<std::complex<float>> sum(spectrum.size());
  std::int64_t start[2 * lanes];
  for (std::int64_t first = 0; first < layout.count(); first += 2 * lanes) {
    const std::int64_t width = std::min(2 * lanes, layout.count() - first);
    const std::int64_t pairs = (width + 1) / 2;
    for (std::int64_t k = 0; k < width; ++k) start[k] = layout.start(first + k);
    std::fill_n(sum.data(), pairs * stride, std::complex<float>());
    for (std::size_t s = 0; s < images.size(); ++s) {
      const float* const image = images[s];
      const float* const weight = weights[s].data();
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t k = 0; k < pairs; ++k)
          spectrum[static_cast<std::size_t>(k * stride + i)] = {
              image[start[2 * k] + i * layout.inner],
              2 * k + 1 < width ? image[start[2 * k + 1] + i * layout.inner] : 0.0F};
      for (std::int64_t k = 0; k < pairs; ++k) {
        std::complex<float>* const line = spectrum.data() + k * stride;
        std::complex<float>* const total = sum.data() + k * stride;
        fourier.forward(line);
        for (std::int64_t i = 0; i < n; ++i) total[i] += weight[i] * line[i];
      }
    }
    for (std::int64_t k = 0; k < pairs; ++k) fourier.inverse(sum.data() + k * stride);
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t k = 0; k < pairs; ++k) {
        const std::complex<float> value = sum[static_cast<std::size_t>(k * stride + i)];
        out[start[2 * k] + i * layout.inner] = value.real();
        if (2 * k + 1 < width) out[start[2 * k + 1] + i * layout.inner] = value.imag();
      }
  }
}

/// The half of a real image's spectrum that determines the other: frequencies 0 … n/2 along the last axis.
[[nodiscard]] IVADO_INLINE std::vector<std::complex<float>> half_spectrum(const float* x, const Shape& spatial) {
  const int last = spatial.rank() - 1;
  const std::int64_t n = spatial[last];
  const std::int64_t rows = spatial.size() / n;
  Shape half = spatial;
  half[last] = n / 2 + 1;
  std::vector<std::complex<float>> out(static_cast<std::size_t>(half.size()));
  {
    LineFourier fourier(n);
    std::vector<std::complex<float>> line(static_cast<std::size_t>(n));
    for (std::int64_t row = 0; row < rows; row += 2) {  // two real lines as one complex one
      const bool is_pair = row + 1 < rows;
      const float* const a = x + row * n;
      for (std::int64_t i = 0; i < n; ++i) line[static_cast<std::size_t>(i)] = {a[i], is_pair ? a[n + i] : 0.0F};
      fourier.forward(line.data());
      for (std::int64_t k = 0; k < half[last]; ++k) {
        const std::complex<float> here = line[static_cast<std::size_t>(k)];
        const std::complex<float> opposite = std::conj(line[static_cast<std::size_t>((n - k) % n)]);
        const std::complex<float> difference = here - opposite;
        out[static_cast<std::size_t>(row * half[last] + k)] = 0.5F * (here + opposite);
        if (is_pair)
          out[static_cast<std::size_t>((row + 1) * half[last] + k)] = {0.5F * difference.imag(),
                                                                       -0.5F * difference.real()};
      }
    }
  }
  constexpr std::int64_t lanes = 8;
  for (int axis = 0; axis < last; ++axis) {
    if (half[axis] == 1) continue;
    const LineLayout layout(half, axis);
    LineFourier fourier(layout.n);
    const std::int64_t stride = layout.n + 8;
    std::vector<std::complex<float>> lines(static_cast<std::size_t>(lanes * stride));
    for (std::int64_t first = 0; first < layout.count(); first += lanes) {
      const std::int64_t width = std::min(lanes, layout.count() - first);
      std::complex<float>* start[lanes];
      for (std::int64_t k = 0; k < width; ++k) start[k] = out.data() + layout.start(first + k);
      for (std::int64_t i = 0; i < layout.n; ++i)
        for (std::int64_t k = 0; k < width; ++k)
          lines[static_cast<std::size_t>(k * stride + i)] = start[k][i * layout.inner];
      for (std::int64_t k = 0; k < width; ++k) fourier.forward(lines.data() + k * stride);
      for (std::int64_t i = 0; i < layout.n; ++i)
        for (std::int64_t k = 0; k < width; ++k)
          start[k][i * layout.inner] = lines[static_cast<std::size_t>(k * stride + i)];
    }
  }
  return out;
}

/// The largest modulus in the spectrum of a real image. Where all intensities have one sign it is that of their sum,
/// and no transform is needed.
[[nodiscard]] IVADO_INLINE double spectrum_peak(const float* x, const Shape& spatial) {
  const std::int64_t n = spatial.size();
  double sum = 0;
  float least = 0;
  float largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    sum += static_cast<double>(x[i]);
    least = std::min(least, x[i]);
    largest = std::max(largest, x[i]);
  }
  if (least == 0 || largest == 0) return std::abs(sum);
  float peak = 0;
  for (const std::complex<float> value : half_spectrum(x, spatial)) peak = std::max(peak, std::norm(value));
  return std::sqrt(static_cast<double>(peak));
}

}  // namespace ivado::detail
