// Time of the threshold analysis at several increments, beside a search that binarises at each threshold in turn.
// Prints a table, and the same as JSON on the last line. `bench_threshold_analysis [rounds]`: 5 unless told.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <ivado/error.hpp>
#include <ivado/metric/threshold_analysis.hpp>
#include <ivado/random.hpp>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::array increments{0.1, 0.01, 0.001};

struct Volume {
  ivado::Array<float> prediction;
  ivado::Array<float> truth;
};

/// What the voxels around a structure hold.
enum class Background {
  zeros,    ///< as ivadomed leaves them: values up to 0.01 become 0
  sigmoid,  ///< as a model leaves them: small, but not 0
  noise,    ///< any value in [0, 1), as no model leaves them: the worst case
};

/// Volumes with a ball whose border is blurred and noisy.
std::vector<Volume> volumes(Background background) {
  std::vector<Volume> out;
  const ivado::Shape shape{1, 128, 128, 48};
  for (std::uint32_t n = 0; n < 4; ++n) {
    ivado::Rng rng({1, 0, n, ivado::stream_user});
    Volume volume{ivado::Array<float>(shape), ivado::Array<float>(shape)};
    std::size_t at = 0;
    for (int i = 0; i < 128; ++i)
      for (int j = 0; j < 128; ++j)
        for (int k = 0; k < 48; ++k, ++at) {
          const double radius = std::hypot(i - 60.0 - n, j - 64.0, 2.0 * (k - 24));
          const double p = 1 / (1 + std::exp(0.5 * (radius - 22) + rng.normal(0, 0.5)));
          const bool shown = p > 0.01 || background == Background::sigmoid;
          volume.prediction[static_cast<std::int64_t>(at)] = shown                             ? static_cast<float>(p)
                                                             : background == Background::zeros ? 0.0F
                                                                                               : rng.uniform_float();
          volume.truth[static_cast<std::int64_t>(at)] = radius < 21 ? 1.0F : 0.0F;
        }
    out.push_back(std::move(volume));
  }
  return out;
}

double one_pass(const std::vector<Volume>& data, double increment) {
  ivado::ThresholdAnalysis analysis(increment);
  for (const auto& volume : data) analysis.add(volume.prediction.view(), volume.truth.view());
  return analysis.result().pooled.optimum;
}

/// The search to beat, as fast as it can be made: for each threshold one pass over the voxels in float32, which
/// compilers vectorise, for the mean Dice alone; the truth is counted once.
double exhaustive(const std::vector<Volume>& data, double increment) {
  std::vector<std::int32_t> actual;
  for (const auto& volume : data)
    actual.push_back(static_cast<std::int32_t>(std::count_if(
        volume.truth.data(), volume.truth.data() + volume.truth.size(), [](float g) { return g >= 0.5F; })));
  double best = -1;
  double optimum = 0;
  for (const double threshold : ivado::analysis_thresholds(increment)) {
    const float bound = ivado::detail::least_float_from(threshold);
    double sum = 0;
    for (std::size_t n = 0; n < data.size(); ++n) {
      const float* p = data[n].prediction.data();
      const float* g = data[n].truth.data();
      const auto size = static_cast<std::int32_t>(data[n].truth.size());
      std::int32_t both = 0;
      std::int32_t predicted = 0;
      for (std::int32_t i = 0; i < size; ++i) {
        const std::int32_t said = p[i] >= bound ? 1 : 0;
        both += g[i] >= 0.5F ? said : 0;
        predicted += said;
      }
      ivado::SoftCounts counts;
      counts.true_positive = both;
      counts.false_positive = predicted - both;
      counts.false_negative = actual[n] - both;
      counts.true_negative = size - predicted - actual[n] + both;
      sum += ivado::dice(counts);
    }
    const double dice = sum / static_cast<double>(data.size());
    if (dice >= best) {
      best = dice;
      optimum = threshold;
    }
  }
  return optimum;
}

struct Times {
  std::vector<double> ms;
  double optimum = 0;
  [[nodiscard]] double median() const {
    std::vector<double> sorted = ms;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
  /// Difference of the quartiles.
  [[nodiscard]] double spread() const {
    std::vector<double> sorted = ms;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() * 3 / 4] - sorted[sorted.size() / 4];
  }
};

/// Time that this thread has had a processor: what else the machine does in between is not counted.
double processor_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

template <class Function>
void measure(Times& times, const Function& function) {
  const double begin = processor_ms();
  times.optimum = function();
  times.ms.push_back(processor_ms() - begin);
}

/// Measures one set of volumes, all variants in each round. @return the JSON; `same` is false if optima differ
std::string run(const std::string& name, Background background, int rounds, bool& same) {
  const std::vector<Volume> data = volumes(background);
  const double voxels = static_cast<double>(data.size()) * static_cast<double>(data[0].truth.size());
  std::array<Times, increments.size()> fast;
  std::array<Times, increments.size()> slow;
  for (const double increment : increments) (void)one_pass(data, increment);  // warm up
  for (int round = 0; round < rounds; ++round) {
    for (int repeat = 0; repeat < 20; ++repeat) {  // in turn, so that what else the machine does hits all alike
      for (std::size_t i = 0; i < increments.size(); ++i)
        measure(fast[i], [&] { return one_pass(data, increments[i]); });
      measure(slow[0], [&] { return exhaustive(data, increments[0]); });
    }
    for (std::size_t i = 1; i < increments.size(); ++i)
      measure(slow[i], [&] { return exhaustive(data, increments[i]); });
  }
  std::string json =
      "{\"data\": \"" + name + "\", \"voxels\": " + std::to_string(static_cast<long>(voxels)) + ", \"increments\": [";
  std::printf("\n%s: 4 volumes of 128x128x48, one class, medians of %d rounds (quartile distance)\n", name.c_str(),
              rounds);
  std::printf("%10s %22s %12s %24s %10s %9s %9s\n", "increment", "one pass, ms", "ns a voxel", "exhaustive, ms",
              "times", "optimum", "the same");
  for (std::size_t i = 0; i < increments.size(); ++i) {
    const bool agrees = fast[i].optimum == slow[i].optimum;
    same = same && agrees;
    std::printf("%10g %13.3f (%6.3f) %12.3f %15.2f (%6.2f) %10.1f %9g %9s\n", increments[i], fast[i].median(),
                fast[i].spread(), fast[i].median() / voxels * 1e6, slow[i].median(), slow[i].spread(),
                slow[i].median() / fast[i].median(), fast[i].optimum, agrees ? "yes" : "NO");
    json +=
        ivado::detail::text(i == 0 ? "" : ", ", "{\"increment\": ", increments[i],
                            ", \"one_pass_ms\": ", fast[i].median(), ", \"one_pass_spread_ms\": ", fast[i].spread(),
                            ", \"exhaustive_ms\": ", slow[i].median(), ", \"exhaustive_spread_ms\": ", slow[i].spread(),
                            ", \"exhaustive_over_one_pass\": ", slow[i].median() / fast[i].median(),
                            ", \"optimum\": ", fast[i].optimum, ", \"same_optimum\": ", agrees ? "true" : "false", "}");
  }
  const double ratio = fast[1].median() / fast[0].median();
  std::printf("one pass, 0.01 : 0.1 = %.3f; exhaustive, 0.01 : 0.1 = %.3f\n", ratio,
              slow[1].median() / slow[0].median());
  return json + ivado::detail::text("], \"one_pass_001_over_01\": ", ratio,
                                    ", \"exhaustive_001_over_01\": ", slow[1].median() / slow[0].median(), "}");
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
#if defined(__OPTIMIZE__)
  const char* build = "optimised";
#else
  const char* build = "NOT optimised: these times say nothing";
#endif
  std::printf("threshold analysis; compiler %s, %s; one thread of %u\n", __VERSION__, build,
              std::thread::hardware_concurrency());
  bool same = true;
  const std::string zeros = run("background of zeros", Background::zeros, rounds, same);
  const std::string sigmoid = run("background of small values", Background::sigmoid, rounds, same);
  const std::string noise = run("background of noise, the worst case", Background::noise, rounds, same);
  std::printf(
      "\n{\"bench\": \"threshold_analysis\", \"compiler\": \"%s\", \"build\": \"%s\", \"threads\": 1, \"rounds\": %d, "
      "\"same_optimum\": %s, \"runs\": [%s, %s, %s]}\n",
      __VERSION__, build, rounds, same ? "true" : "false", zeros.c_str(), sigmoid.c_str(), noise.c_str());
  return same ? 0 : 1;
}
