// From samples to batches: worker threads that load ahead, and give the same batches whatever their number.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../clocks.hpp"
#include "../error.hpp"
#include "../random.hpp"
#include "array.hpp"
#include "balance.hpp"
#include "sample.hpp"
#include "slice_dataset.hpp"

namespace ivado {

/// Samples by number.
///
/// Requirements: `History`, and `Loaded` with members `sample` and `history`; `size()`; `get(index, epoch)` gives the
/// sample as an epoch sees it; `describe(index)` names it in messages; `stage()`. Laws: `get` is a pure function of its
/// arguments, and all members are safe to call from several threads (both in tests/data/batch_loader_test.cpp for
/// `SliceDataset`). Models: CaseDataset, that is SliceDataset and SubvolumeDataset.
template <class T>
concept Dataset = requires(const T& data, std::size_t index, std::uint32_t epoch) {
  typename T::History;
  { data.size() } -> std::same_as<std::size_t>;
  { data.get(index, epoch) } -> std::same_as<typename T::Loaded>;
  { data.get(index, epoch).sample } -> std::convertible_to<Sample>;
  { data.get(index, epoch).history } -> std::convertible_to<typename T::History>;
  { data.describe(index) } -> std::convertible_to<std::string>;
  { data.stage() } -> std::same_as<Stage>;
};

/// How a `BatchLoader` works. `seed`, `shuffle` and `balanced` fix the order; `workers` and `prefetch` change time and
/// memory alone.
struct BatchOptions {
  std::size_t batch_size = 18;                ///< samples a batch; the last one holds what is left
  bool shuffle = false;                       ///< a new random order in each epoch; else the order of the data set
  std::uint64_t seed = 0;                     ///< of the order
  int workers = 0;                            ///< threads that load; 0: the calling thread loads when it needs a batch
  int prefetch = 2;                           ///< batches that the workers prepare ahead, at least 1
  std::optional<BalancedSampler> balanced{};  ///< draws the samples of each epoch, instead of `shuffle`
};

/// Gives the samples of a data set in batches, epoch by epoch.
///
///   loader.start(epoch);
///   while (auto loaded = loader.next()) { …; loader.recycle(std::move(loaded->batch)); }
///
/// Workers share the samples of a batch, so the first batch is there early. Batches arrive in order, bit for bit the
/// same for any number of workers. One thread at a time may call `start`, `next` and `recycle`. A loader can be
/// destroyed at any time.
///
/// @tparam Data  the data set; it must outlive the loader
template <Dataset Data>
class BatchLoader {
 public:
  using History = typename Data::History;

  /// A batch, and what it takes to undo the transforms of each of its samples.
  struct LoadedBatch {
    Batch batch;
    std::vector<History> histories;
    double loading_s = 0;  ///< processor time of loading its samples, in whatever thread
    double waited_s = 0;   ///< that `next` took
  };

  /// @throws Error (usage) if the size of a batch is 0
  BatchLoader(const Data& data, const BatchOptions& options) : data_(data), options_(options) {
    if (options.batch_size == 0) throw usage_error("making batches", "\"batch_size\" is 0", "set it to at least 1");
    options_.prefetch = std::max(options.prefetch, 1);
  }
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;
  ~BatchLoader() { stop(); }

  /// The data set.
  [[nodiscard]] const Data& dataset() const noexcept { return data_; }

  /// Number of batches in an epoch.
  [[nodiscard]] std::size_t batches() const noexcept {
    return (data_.size() + options_.batch_size - 1) / options_.batch_size;
  }

  /// Begins an epoch; workers start to load. An epoch that is under way is given up.
  void start(std::uint32_t epoch) {
    const auto n = static_cast<std::int64_t>(data_.size());
    const RandomKey key{options_.seed, epoch, 0, stream_shuffle};
    if (options_.balanced) return start(epoch, options_.balanced->order(key));
    std::vector<std::int64_t> order;
    if (options_.shuffle) order = Rng(key).permutation(n);
    for (std::int64_t i = 0; i < n && !options_.shuffle; ++i) order.push_back(i);
    start(epoch, std::move(order));
  }
  /// Begins an epoch in an order of the caller's: numbers of samples, some perhaps more than once (balanced sampling).
  void start(std::uint32_t epoch, std::vector<std::int64_t> order) {
    stop();
    epoch_ = epoch;
    order_ = std::move(order);
    total_ = (order_.size() + options_.batch_size - 1) / options_.batch_size;
    next_task_ = 0;
    delivered_ = 0;
    stopping_ = false;
    waited_ = {};
    slots_ = std::vector<Slot>(options_.workers > 0 ? static_cast<std::size_t>(options_.prefetch) : 1);
    for (std::size_t b = 0; b < std::min(slots_.size(), total_); ++b) open(b);
    for (int w = 0; w < options_.workers && total_ > 0; ++w) workers_.emplace_back([this] { work(); });
  }

  /// The next batch; nothing once the epoch is over (or none was started).
  /// @throws Error what loading a sample threw, with the sample and the stage in front and its fault kept; or (data) if
  /// the
  ///         samples of the batch differ in shape or in the length of their condition. The same one for any number of
  ///         workers; the epoch is over then.
  [[nodiscard]] std::optional<LoadedBatch> next() {
    if (delivered_ == total_) return std::nullopt;
    const auto begin = std::chrono::steady_clock::now();
    Slot& slot = slots_[delivered_ % slots_.size()];
    if (options_.workers > 0) {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [&] { return slot.left == 0; });
    } else {
      for (std::size_t s = 0; s < slot.indices.size(); ++s) {
        load(slot, s);
        if (slot.failures[s]) break;
      }
    }
    const auto waited = std::chrono::steady_clock::now() - begin;
    waited_ += waited;
    try {
      check(slot);
    } catch (...) {
      stop();
      delivered_ = total_;
      throw;
    }
    LoadedBatch out{std::move(slot.batch), std::move(slot.histories), 0, std::chrono::duration<double>(waited).count()};
    for (const double seconds : slot.loading_s) out.loading_s += seconds;
    {
      const std::lock_guard lock(mutex_);
      ++delivered_;
      if (delivered_ + slots_.size() <= total_) open(delivered_ + slots_.size() - 1);
    }
    work_.notify_all();
    return out;
  }

  /// Takes the memory of a batch back for the ones to come: fresh memory costs a page fault every 4 KiB.
  void recycle(Batch&& batch) {
    const std::lock_guard lock(mutex_);
    for (Array<float>* array : {&batch.image, &batch.label})
      if (!array->empty() && pool_.size() < 2 * (slots_.size() + 1)) pool_.push_back(std::move(*array));
  }

  /// Seconds that `next` has spent on getting data since `start`: waiting for workers, or loading where there are none.
  [[nodiscard]] double waited_s() const noexcept { return std::chrono::duration<double>(waited_).count(); }

 private:
  /// A batch under way. Workers write to different elements of its vectors and to different parts of its arrays.
  struct Slot {
    std::vector<std::size_t> indices;
    Batch batch;
    std::vector<History> histories;
    std::vector<std::array<Shape, 3>> shapes;  // image, label and condition of each sample
    std::vector<std::exception_ptr> failures;
    std::vector<double> loading_s;  // of each sample
    bool allocated = false;         // memory of `batch`; guarded by the mutex
    std::size_t left = 0;           // samples to load; guarded by the mutex
  };

  /// Sets up the slot of batch `b`. Called with the mutex held, or before there are workers.
  void open(std::size_t b) {
    Slot& slot = slots_[b % slots_.size()];
    const std::size_t begin = b * options_.batch_size;
    const std::size_t n = std::min(options_.batch_size, order_.size() - begin);
    slot.indices.clear();
    for (std::size_t s = 0; s < n; ++s) slot.indices.push_back(static_cast<std::size_t>(order_[begin + s]));
    slot.batch = {};
    slot.batch.origins.resize(n);
    slot.histories = std::vector<History>(n);
    slot.shapes.assign(n, {});
    slot.failures.assign(n, nullptr);
    slot.loading_s.assign(n, 0);
    slot.allocated = false;
    slot.left = n;
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      const auto batch = [&] { return next_task_ / options_.batch_size; };
      work_.wait(lock,
                 [&] { return stopping_ || next_task_ == order_.size() || batch() < delivered_ + slots_.size(); });
      if (stopping_ || next_task_ == order_.size()) return;
      Slot& slot = slots_[batch() % slots_.size()];
      const std::size_t s = next_task_++ % options_.batch_size;
      lock.unlock();
      load(slot, s);
      lock.lock();
      if (--slot.left == 0) ready_.notify_one();
    }
  }

  /// Loads sample `s` of a slot into its place; what goes wrong is noted there.
  void load(Slot& slot, std::size_t s) noexcept {
    const auto note = [&](Fault fault, const char* what) {
      slot.failures[s] = std::make_exception_ptr(Error(fault,
                                                       "loading " + data_.describe(slot.indices[s]) + " for the " +
                                                           std::string(detail::set_name(data_.stage())) + " set",
                                                       what));
    };
    const double begin = thread_processor_s();
    try {
      try {
        typename Data::Loaded loaded = data_.get(slot.indices[s], epoch_);
        const Array<float>& image = loaded.sample.image.voxels;
        const Array<float>& label = loaded.sample.label.voxels;
        const std::vector<float>& condition = loaded.sample.condition;
        slot.shapes[s] = {image.shape(), label.shape(), Shape{static_cast<std::int64_t>(condition.size())}};
        allocate(slot, slot.shapes[s]);
        place(image.data(), image.shape(), slot.batch.image, s);
        place(label.data(), label.shape(), slot.batch.label, s);
        place(condition.data(), slot.shapes[s][2], slot.batch.condition, s);
        slot.batch.origins[s] = loaded.sample.origin;
        slot.histories[s] = std::move(loaded.history);
      } catch (const Error& error) {
        note(error.fault(), error.what());
      } catch (const std::exception& error) {
        note(Fault::internal, error.what());
      }
    } catch (...) {
      slot.failures[s] = std::current_exception();
    }
    slot.loading_s[s] = thread_processor_s() - begin;
  }

  /// The first sample that is ready gives the shape; one of another shape is found by `check`.
  void allocate(Slot& slot, const std::array<Shape, 3>& shapes) {
    const std::lock_guard lock(mutex_);
    if (slot.allocated) return;
    const auto n = static_cast<std::int64_t>(slot.indices.size());
    slot.batch.image = memory(shapes[0].prepended(n));
    if (shapes[1].rank() > 0) slot.batch.label = memory(shapes[1].prepended(n));
    if (shapes[2].size() > 0) slot.batch.condition = Array<float>(shapes[2].prepended(n));
    slot.allocated = true;
  }
  /// Memory with unspecified content, taken from the pool if it has some of that shape.
  [[nodiscard]] Array<float> memory(const Shape& shape) {
    const auto found =
        std::find_if(pool_.begin(), pool_.end(), [&](const auto& array) { return array.shape() == shape; });
    if (found == pool_.end()) return Array<float>(shape);
    Array<float> out = std::move(*found);
    pool_.erase(found);
    return out;
  }
  static void place(const float* from, const Shape& shape, Array<float>& to, std::size_t s) {
    if (shape.size() == 0 || !(to.shape().from(1) == shape)) return;
    std::copy_n(from, shape.size(), to.data() + static_cast<std::int64_t>(s) * shape.size());
  }

  /// @throws what the first sample in order that failed threw, or Error (data) if the samples differ in shape or
  ///         condition
  void check(const Slot& slot) const {
    for (const auto& failure : slot.failures)
      if (failure) std::rethrow_exception(failure);
    for (std::size_t s = 1; s < slot.indices.size(); ++s) {
      const auto differ = [&](std::size_t part, const char* what, const char* remedy) {
        const Shape& found = slot.shapes[s][part];
        const Shape& expected = slot.shapes[0][part];
        if (found == expected) return;
        throw data_error("making a batch of the " + std::string(detail::set_name(data_.stage())) + " set",
                         "the " + std::string(what) + " of " + data_.describe(slot.indices[s]) + " is " + found.text() +
                             ", that of " + data_.describe(slot.indices[0]) + " is " + expected.text(),
                         remedy);
      };
      const char* const crop =
          "add a \"CenterCrop\" to \"transformation\" that gives all samples one size, or set \"batch_size\" to 1";
      differ(0, "image", crop);
      differ(1, "label", crop);
      differ(2, "length of the condition", "give all cases a condition of the same length");
    }
  }

  /// Ends the work on an epoch; waits for the samples that are being loaded.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    workers_.clear();
  }

  const Data& data_;
  BatchOptions options_;
  std::uint32_t epoch_ = 0;
  std::vector<std::int64_t> order_;
  std::size_t total_ = 0;
  std::chrono::steady_clock::duration waited_{};
  std::mutex mutex_;
  std::condition_variable work_;   // workers wait for a batch to fill
  std::condition_variable ready_;  // `next` waits for its batch
  std::vector<Slot> slots_;        // batch b is in slot b mod size
  std::size_t next_task_ = 0;      // place in `order_`
  std::size_t delivered_ = 0;      // batches given out
  bool stopping_ = false;
  std::vector<Array<float>> pool_;
  std::vector<std::jthread> workers_;
};

}  // namespace ivado
