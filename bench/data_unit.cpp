// Data unit: time of an item, of building the set from gzip files and of the index, with one worker and the chain of
// the profile study, beside ivadomed; and how time a subject and peak memory grow from one subject to ten.
//
//   bench_data_unit [rounds]     7 unless told
//
// Data: the three images of sub-unf01 in `spinalcord/` of IVADO_DATA_DIR (default: ../shared/data). Without them the
// embedded phantom, which cannot be compared with ivadomed's times. Prints tables, and the same as JSON on the last
// line. All files are written to a temporary folder that is removed at the end.
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <ivado/config/json.hpp>
#include <ivado/data/batch_loader.hpp>
#include <ivado/data/bids_index.hpp>
#include <ivado/data/bids_loader.hpp>
#include <ivado/data/dataset_copy.hpp>
#include <ivado/error.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "study.hpp"

namespace {

namespace fs = std::filesystem;
using namespace study;
using SliceLoader = ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>;
using SubvolumeLoader = ivado::BidsLoader<ivado::Subvolumes<128, 128, 16>>;

/// A time of ivadomed 2.9.10 (PyTorch 1.13.1 of Debian 12, Python 3.11), in ms.
struct Original {
  double median = 0;
  double min = 0;
};

// Measured once, 7 repeats on the three images of sub-unf01, 2 cores of an AMD EPYC shared with other light work. Items
// are `__getitem__` in the main process, where ivadomed always loads; sets are its data set constructor. For the index
// there is one number, of a stand-in for pybids, which was not there to be measured.
constexpr Original original_slice_study{2.69, 2.28};
constexpr Original original_slice_elastic{8.18, 7.97};
constexpr Original original_slice_plain{0.201, 0.196};
constexpr Original original_volume_study{33.2, 28.8};
constexpr Original original_volume_elastic{111, 109};
constexpr Original original_volume_plain{0.90, 0.85};
constexpr Original original_slice_set{302.0 / 48, 287.0 / 48};
constexpr Original original_volume_set{187.0 / 3, 184.0 / 3};
constexpr Original original_index{20, 20};

// What the data unit of one subject may cost at ten subjects, by what it costs at one.
constexpr double allowed_growth = 1.1;

double least(const std::vector<double>& values) { return *std::min_element(values.begin(), values.end()); }

double now_ms() {
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now().time_since_epoch();
  return time.count();
}

template <class Loader>
Loader make_loader(const std::string& folder, std::int64_t cache_mib) {
  ivado::LoaderParameters params;
  params.path_data.values = {folder};
  params.target_suffix.raters_by_class = {{"_seg-manual"}};
  params.cache_mib = cache_mib;
  params.workers = 1;
  return Loader(params);
}

std::vector<ivado::Case> find_cases(const auto& loader) {
  ivado::LeftOutList left_out;
  return loader.cases(true, contrasts, left_out);
}

const std::int64_t roomy_mib = ivado::LoaderParameters{}.cache_mib;

// --- Time of each part ---

struct Row {
  std::string name;
  std::vector<double> ms{};
  std::optional<Original> original{};
};

void print(const Row& row) {
  std::printf("%-56s %10.3f %10.3f", row.name.c_str(), median(row.ms), least(row.ms));
  if (row.original)
    std::printf(" %10.3f %10.3f %9.1f %9.1f\n", row.original->median, row.original->min,
                row.original->median / median(row.ms), row.original->min / least(row.ms));
  else
    std::printf(" %10s %10s %9s %9s\n", "-", "-", "-", "-");
}

Json to_json(const Row& row) {
  Json out{{"name", row.name}, {"median_ms", median(row.ms)}, {"min_ms", least(row.ms)}, {"repeats", row.ms.size()}};
  if (row.original) {
    out["original_median_ms"] = row.original->median;
    out["original_min_ms"] = row.original->min;
    out["original_over_ivado_median"] = row.original->median / median(row.ms);
    out["original_over_ivado_min"] = row.original->min / least(row.ms);
  }
  return out;
}

/// Mean time of an item in passes over a set, in each round of as many items as make the share of those that are
/// deformed alike.
template <class Data>
void measure_items(Row& row, const Data& data, int rounds, std::size_t items) {
  const std::size_t passes = (items + data.size() - 1) / data.size();
  std::uint32_t epoch = 0;
  float sink = 0;
  for (int round = -1; round < rounds; ++round) {  // the first is a warm-up
    const std::size_t repeats = round < 0 ? 1 : passes;
    const double begin = now_ms();
    for (std::size_t pass = 0; pass < repeats; ++pass, ++epoch)
      for (std::size_t i = 0; i < data.size(); ++i) sink += data.get(i, epoch).sample.image.voxels[0];
    const double spent = now_ms() - begin;
    if (round >= 0) row.ms.push_back(spent / static_cast<double>(repeats * data.size()));
  }
  if (!std::isfinite(sink)) throw ivado::internal_error("measuring " + row.name, "an item is not finite");
}

/// Items with each augmentation, and building the set.
template <class Loader>
void measure_parts(std::vector<Row>& rows, const std::string& folder, int rounds, const std::string& item,
                   const std::string& of_set, const std::array<std::optional<Original>, 4>& originals) {
  const auto loader = make_loader<Loader>(folder, roomy_mib);
  const auto cases = find_cases(loader);
  const auto build = [&](Augmentation augmentation) {
    return loader.dataset(cases, chain<Loader::dimension>(augmentation), ivado::Stage::training, 6);
  };
  const auto add = [&](const std::string& name, Augmentation augmentation, std::size_t items, std::size_t place) {
    Row row{item + ", " + name, {}, originals[place]};
    measure_items(row, build(augmentation), rounds, items);
    rows.push_back(std::move(row));
  };
  add("affine, elastic p = 0.1", Augmentation::study, 240, 0);
  add("affine, elastic always", Augmentation::elastic_always, 48, 1);
  add("no augmentation", Augmentation::none, 240, 2);
  Row row{"set from gzip files, " + of_set, {}, originals[3]};
  for (int round = 0; round < rounds; ++round) {
    const double begin = now_ms();
    const auto data = build(Augmentation::study);
    row.ms.push_back((now_ms() - begin) / static_cast<double>(data.size()));
  }
  rows.push_back(std::move(row));
}

/// Subjects of empty images, labels and short sidecars.
void write_empty_subjects(const fs::path& root, int subjects) {
  const auto write = [](const fs::path& path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    file.close();
    if (!file) throw ivado::internal_error("writing " + path.string(), "it cannot be written", "check the free space");
  };
  const fs::path labels = root / "derivatives" / "labels";
  fs::create_directories(labels);
  write(root / "dataset_description.json", R"({"Name": "empty", "BIDSVersion": "1.8.0"})");
  write(labels / "dataset_description.json", R"({"Name": "empty", "BIDSVersion": "1.8.0"})");
  std::string table = "participant_id\tage\n";
  for (int n = 1; n <= subjects; ++n) {
    std::string number = std::to_string(n);
    number.insert(0, 4 - std::min<std::size_t>(4, number.size()), '0');
    const std::string subject = "sub-" + number;
    table += subject + "\t40\n";
    fs::create_directories(root / subject / "anat");
    fs::create_directories(labels / subject / "anat");
    for (const auto& contrast : contrasts) {
      const std::string stem = subject + "_" + contrast;
      write(root / subject / "anat" / (stem + ".nii.gz"), "");
      write(root / subject / "anat" / (stem + ".json"), R"({"Modality": "MR"})");
      write(labels / subject / "anat" / (stem + "_seg-manual.nii.gz"), "");
    }
  }
  write(root / "participants.tsv", table);
}

void measure_index(std::vector<Row>& rows, const std::string& name, const std::string& folder, int rounds,
                   const std::optional<Original>& original) {
  Row index{"index, " + name};
  Row cases{"index and cases, " + name, {}, original};
  const auto loader = make_loader<SliceLoader>(folder, roomy_mib);
  for (int round = -1; round < rounds; ++round) {
    const double begin = now_ms();
    const std::size_t files = ivado::BidsIndex({folder}, {.validate = true, .derivatives = true}).files().size();
    const double middle = now_ms();
    const std::size_t found = find_cases(loader).size();
    const double end = now_ms();
    if (files == 0 || found == 0) throw ivado::internal_error("indexing " + folder, "nothing was found");
    if (round < 0) continue;
    index.ms.push_back(middle - begin);
    cases.ms.push_back(end - middle);
  }
  rows.push_back(std::move(index));
  rows.push_back(std::move(cases));
}

// --- Growth with the number of subjects ---

/// What a process measured of one data unit: index, building the set, one epoch of batches.
struct Unit {
  double index_ms = 0;
  double set_ms = 0;
  double epoch_ms = 0;
  double cpu_ms = 0;  ///< of all threads
  double samples = 0;
  double budget_bytes = 0;
  double kept_bytes = 0;    ///< by the caches at the end
  double needed_bytes = 0;  ///< of all prepared slices or volumes
  [[nodiscard]] double all_ms() const { return index_ms + set_ms + epoch_ms; }
};

/// The deformation always works, so that each subject costs alike at any number of them; with the study's 0.1 the draws
/// would decide.
template <class Loader>
Unit run_unit(const std::string& folder, std::int64_t cache_mib) {
  Unit unit;
  const std::clock_t cpu = std::clock();
  const double begin = now_ms();
  const auto loader = make_loader<Loader>(folder, cache_mib);
  auto cases = find_cases(loader);
  const double indexed = now_ms();
  const auto data = loader.dataset(std::move(cases), chain<Loader::dimension>(Augmentation::elastic_always),
                                   ivado::Stage::training, 6);
  const double built = now_ms();
  ivado::BatchLoader batches(
      data, {.batch_size = Loader::dimension == 2 ? 18U : 1U, .shuffle = true, .seed = 6, .workers = 1});
  batches.start(1);
  while (auto loaded = batches.next()) {
    unit.samples += static_cast<double>(loaded->batch.size());
    batches.recycle(std::move(loaded->batch));
  }
  const double end = now_ms();
  unit.index_ms = indexed - begin;
  unit.set_ms = built - indexed;
  unit.epoch_ms = end - built;
  unit.cpu_ms = 1e3 * static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
  unit.budget_bytes = static_cast<double>(loader.slice_options(ivado::Stage::training).cache_bytes);
  unit.kept_bytes = static_cast<double>(data.sample_statistics().bytes + data.volume_statistics().bytes);
  unit.needed_bytes = static_cast<double>(data.estimated_bytes());
  return unit;
}

struct ChildResult {
  Unit unit;
  double peak_bytes = 0;
};

/// Runs a data unit in a process of its own, whose peak of memory is that of nothing else. It first runs the smaller
/// set untimed, so that neither size pays for a cold start.
template <class Loader>
ChildResult run_in_child(const std::string& warm_up, const std::string& folder, std::int64_t cache_mib) {
  const std::string doing = "measuring the data unit of " + folder;
  std::array<int, 2> ends{};
  std::fflush(nullptr);
  if (::pipe(ends.data()) != 0) throw ivado::internal_error(doing, "there is no pipe");
  const pid_t child = ::fork();
  if (child < 0) {
    ::close(ends[0]), ::close(ends[1]);
    throw ivado::internal_error(doing, "no process can be started");
  }
  if (child == 0) {  // leaves by _exit alone: the folders belong to the parent
    int status = 1;
    try {
      (void)run_unit<Loader>(warm_up, cache_mib);
      const Unit unit = run_unit<Loader>(folder, cache_mib);
      if (::write(ends[1], &unit, sizeof unit) == static_cast<ssize_t>(sizeof unit)) status = 0;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    ::_exit(status);
  }
  ::close(ends[1]);
  ChildResult out;
  const ssize_t got = ::read(ends[0], &out.unit, sizeof out.unit);  // a pipe passes so few bytes whole
  ::close(ends[0]);
  int status = 0;
  rusage usage{};
  while (::wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  if (got != static_cast<ssize_t>(sizeof out.unit) || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw ivado::internal_error(doing, "its process failed", "see the message above");
#ifdef __APPLE__
  out.peak_bytes = static_cast<double>(usage.ru_maxrss);
#else
  out.peak_bytes = 1024.0 * static_cast<double>(usage.ru_maxrss);
#endif
  return out;
}

constexpr double mib(double bytes) { return bytes / (1 << 20); }

/// One subject and ten, in turn in each round.
template <class Loader>
Json measure_growth(const std::string& name, const std::string& one, const std::string& ten, std::int64_t cache_mib,
                    int rounds) {
  std::array<std::vector<ChildResult>, 2> results;
  for (int round = 0; round < rounds; ++round) {
    results[0].push_back(run_in_child<Loader>(one, one, cache_mib));
    results[1].push_back(run_in_child<Loader>(one, ten, cache_mib));
  }
  constexpr std::array<double, 2> subjects{1, 10};
  const auto values = [&](std::size_t size, const auto& value) {
    std::vector<double> out;
    for (const auto& result : results[size]) out.push_back(value(result));
    return out;
  };
  const auto per_subject = [&](std::size_t size, double (*value)(const Unit&)) {
    return values(size, [&](const ChildResult& result) { return value(result.unit) / subjects[size]; });
  };
  const auto all = [](const Unit& unit) { return unit.all_ms(); };
  const auto cpu = [](const Unit& unit) { return unit.cpu_ms; };
  const double budget = results[0].front().unit.budget_bytes;
  Json sizes = Json::array();
  std::array<double, 2> peak{};
  std::printf("\n%s, cache budget %.0f MiB: ms a subject, medians of %d rounds (min)\n", name.c_str(), mib(budget),
              rounds);
  std::printf("%9s %9s %9s %9s %20s %20s %10s %10s\n", "subjects", "index", "set", "epoch", "all", "CPU", "peak, MiB",
              "kept, MiB");
  for (std::size_t size = 0; size < 2; ++size) {
    const double index = median(per_subject(size, [](const Unit& unit) { return unit.index_ms; }));
    const double set = median(per_subject(size, [](const Unit& unit) { return unit.set_ms; }));
    const double epoch = median(per_subject(size, [](const Unit& unit) { return unit.epoch_ms; }));
    const auto total = per_subject(size, all);
    const auto work = per_subject(size, cpu);
    peak[size] = median(values(size, [](const ChildResult& result) { return result.peak_bytes; }));
    const double kept = median(values(size, [](const ChildResult& result) { return result.unit.kept_bytes; }));
    std::printf("%9.0f %9.2f %9.2f %9.2f %10.2f (%7.2f) %10.2f (%7.2f) %10.1f %10.1f\n", subjects[size], index, set,
                epoch, median(total), least(total), median(work), least(work), mib(peak[size]), mib(kept));
    sizes.push_back({{"subjects", subjects[size]},
                     {"samples", results[size].front().unit.samples},
                     {"index_ms", index},
                     {"set_ms", set},
                     {"epoch_ms", epoch},
                     {"all_ms", median(total)},
                     {"all_min_ms", least(total)},
                     {"cpu_ms", median(work)},
                     {"cpu_min_ms", least(work)},
                     {"peak_mib", mib(peak[size])},
                     {"kept_mib", mib(kept)}});
  }
  const double growth = median(per_subject(1, all)) / median(per_subject(0, all));
  const double growth_min = least(per_subject(1, all)) / least(per_subject(0, all));
  const double growth_cpu = median(per_subject(1, cpu)) / median(per_subject(0, cpu));
  const double more = peak[1] - peak[0];
  const bool fits = results[1].front().unit.needed_bytes <= budget;
  std::printf("time a subject, 10 : 1 = %.3f (min %.3f, CPU %.3f)", growth, growth_min, growth_cpu);
  if (fits) std::printf("; at most %.1f: %s", allowed_growth, growth <= allowed_growth ? "yes" : "NO");
  std::printf("\npeak, 10 less 1 = %.1f MiB; within the budget of %.0f MiB: %s\n", mib(more), mib(budget),
              more <= budget ? "yes" : "NO");
  Json out{{"samples", name},
           {"budget_mib", mib(budget)},
           {"rounds", rounds},
           {"sizes", sizes},
           {"time_10_over_1", growth},
           {"time_10_over_1_min", growth_min},
           {"time_10_over_1_cpu", growth_cpu},
           {"peak_10_less_1_mib", mib(more)},
           {"peak_within_budget", more <= budget}};
  if (fits) out["time_within_allowed"] = growth <= allowed_growth;
  return out;
}

void run(int rounds) {
#if defined(__OPTIMIZE__)
  const char* build = "optimised";
#else
  const char* build = "NOT optimised: these times say nothing";
#endif
  std::array<double, 3> load{-1, -1, -1};
  (void)::getloadavg(load.data(), 3);
  std::printf("data unit; compiler %s, %s; one worker, %u hardware threads, load average %.2f\n", __VERSION__, build,
              std::thread::hardware_concurrency(), load[0]);
  const Scratch scratch;
  const std::string one = scratch / "one";
  const std::string ten = scratch / "ten";
  const bool is_real = write_one_subject(scratch, one);
  std::printf(is_real ? "data: sub-unf01, T1w, T2w and T2star of 131x141x16, gzip NIfTI\n"
                      : "data: the embedded phantom, because spinalcord/sub-unf01 is not in IVADO_DATA_DIR; no "
                        "comparison with ivadomed, whose times are those of other images\n");
  ivado::ScaleParams scale;
  scale.from = one;
  scale.to = ten;
  scale.factor = 10;
  scale.link = true;
  (void)ivado::write_scaled(scale);

  // The growth first: processes that it starts take over what memory this one has in use.
  Json growth = Json::array();
  const int few = std::max(1, rounds / 3);
  constexpr std::int64_t tight_mib = 24;  // of which a training set gets 18: enough for one subject, not for ten
  growth.push_back(measure_growth<SliceLoader>("slices", one, ten, roomy_mib, rounds));
  growth.push_back(measure_growth<SubvolumeLoader>("sub-volumes of 128x128x16", one, ten, roomy_mib, rounds));
  growth.push_back(measure_growth<SliceLoader>("slices", one, ten, tight_mib, few));
  growth.push_back(measure_growth<SubvolumeLoader>("sub-volumes of 128x128x16", one, ten, tight_mib, few));

  std::vector<Row> rows;
  const auto beside = [&](const Original& original) { return is_real ? std::optional(original) : std::nullopt; };
  measure_parts<SliceLoader>(rows, one, rounds, "2-D item", "a slice",
                             {beside(original_slice_study), beside(original_slice_elastic),
                              beside(original_slice_plain), beside(original_slice_set)});
  measure_parts<SubvolumeLoader>(rows, one, rounds, "3-D item 128x128x16", "a volume",
                                 {beside(original_volume_study), beside(original_volume_elastic),
                                  beside(original_volume_plain), beside(original_volume_set)});
  measure_index(rows, "1 subject x 3 contrasts", one, rounds, beside(original_index));
  write_empty_subjects(scratch / "empty", 1000);
  measure_index(rows, "1000 subjects x 3 contrasts", scratch / "empty", rounds, std::nullopt);

  std::printf("\nms, %d repeats; ivadomed 2.9.10 as stored, measured once on a machine of this kind\n", rounds);
  std::printf("%-56s %10s %10s %10s %10s %9s %9s\n", "", "median", "min", "ivadomed", "min", "times", "by min");
  Json parts = Json::array();
  for (const auto& row : rows) {
    print(row);
    parts.push_back(to_json(row));
  }
  const Json out{{"bench", "data_unit"},
                 {"compiler", __VERSION__},
                 {"build", build},
                 {"workers", 1},
                 {"hardware_threads", std::thread::hardware_concurrency()},
                 {"load_average", load[0]},
                 {"data", is_real ? "sub-unf01" : "phantom"},
                 {"rounds", rounds},
                 {"parts", parts},
                 {"growth", growth}};
  std::printf("\n%s\n", out.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 7;
  if (rounds < 1) return std::fputs("usage: bench_data_unit [rounds]\n", stderr), 2;
  // As a program of ivado has it (runtime.hpp): memory that is freed stays with the process.
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, -1);
  ::mallopt(M_TOP_PAD, 64 << 20);
  try {
    run(rounds);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_data_unit: %s\n", error.what());
    return 1;
  }
  return 0;
}
