// A cache with a byte budget, shared by threads: what is asked for twice is loaded once.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <future>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace ivado {

/// What a cache does when a new value finds no room.
enum class WhenFull {
  evict_oldest,  ///< drops what was used least recently (LRU): right where neighbours are asked for in a row
  keep,  ///< keeps what it has and does not store the new value: right where each pass asks for everything once;
         ///< but see `Cache::set_turns`
};

/// A value that knows how much memory it holds. If it also has a `settle()`, that is called before it is kept, to move
/// it where it leaves no holes in the heap; `bytes()` is then asked afterwards as well.
template <class T>
concept Measured = requires(const T& value) {
  { value.bytes() } -> std::convertible_to<std::size_t>;
};

/// Counts of a cache since it was made.
struct CacheStatistics {
  std::uint64_t hits = 0;        ///< requests answered from memory, or by a loading that was under way
  std::uint64_t misses = 0;      ///< requests that loaded
  std::uint64_t evictions = 0;   ///< values dropped to make room
  std::size_t bytes = 0;         ///< held now
  std::size_t peak_bytes = 0;    ///< the most ever held; never above the budget
  std::size_t budget_bytes = 0;  ///< the limit
};

/// Keeps values under integer keys as long as they fit into a byte budget.
///
/// All members may be called by several threads at once. A value that a caller holds stays alive when the cache drops
/// it; the budget counts what the cache itself keeps. A value larger than the budget is handed out and not kept.
///
/// With `WhenFull::evict_oldest` a pass in the same order over more than the budget finds nothing of the pass before,
/// and a shuffled pass over twice the budget finds 15 %; `WhenFull::keep` finds 50 % in both.
template <Measured T>
class Cache {
 public:
  using Value = std::shared_ptr<const T>;

  explicit Cache(std::size_t budget_bytes, WhenFull when_full = WhenFull::evict_oldest) : when_full_(when_full) {
    statistics_.budget_bytes = budget_bytes;
  }
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  /// The value of a key; `load()` makes it where it is not there.
  ///
  /// Threads that ask for one key while it is loaded wait for it. What `load` throws reaches all of them; the next
  /// request loads again. `load` runs without a lock held and must not ask this cache for the same key.
  template <std::invocable Load>
  [[nodiscard]] Value get(std::int64_t key, const Load& load) {
    std::promise<Value> promise;
    {
      std::unique_lock lock(mutex_);
      if (const auto found = entries_.find(key); found != entries_.end()) {
        ++statistics_.hits;
        Keys& keys = found->second.takes_turns ? guests_ : order_;
        keys.splice(keys.begin(), keys, found->second.place);
        return found->second.value;
      }
      if (const auto under_way = loading_.find(key); under_way != loading_.end()) {
        ++statistics_.hits;
        const std::shared_future<Value> result = under_way->second;
        lock.unlock();
        return result.get();
      }
      ++statistics_.misses;
      loading_.emplace(key, promise.get_future().share());
    }
    try {
      Value value = std::make_shared<const T>(settled(load()));
      {
        const std::lock_guard lock(mutex_);
        store(key, value);
        loading_.erase(key);
      }
      promise.set_value(value);
      return value;
    } catch (...) {
      {
        const std::lock_guard lock(mutex_);
        loading_.erase(key);
      }
      promise.set_exception(std::current_exception());
      throw;
    }
  }

  /// Stores a value that somebody made already, if there is room without dropping another.
  /// @return true if it is kept
  bool offer(std::int64_t key, T value) {
    auto shared = std::make_shared<const T>(std::move(value));
    const std::lock_guard lock(mutex_);
    if (entries_.contains(key) || shared->bytes() > statistics_.budget_bytes - statistics_.bytes) return false;
    insert(key, std::move(shared));
    return true;
  }

  /// Changes the limit and drops what is over it, the least recently used first.
  void set_budget(std::size_t budget_bytes) {
    const std::lock_guard lock(mutex_);
    statistics_.budget_bytes = budget_bytes;
    while (statistics_.bytes > budget_bytes) evict();
  }

  /// With `WhenFull::keep`: sets aside a part of the budget, at most half, in which the values that find no room among
  /// those kept take turns (LRU): right where each pass asks for everything several times in a row. What stands in that
  /// part is dropped, the least recently used first.
  void set_turns(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    turns_ = std::min(bytes, statistics_.budget_bytes / 2);
    while (kept_bytes_ > statistics_.budget_bytes - turns_) drop(std::prev(order_.end()));
  }

  /// Counts so far.
  [[nodiscard]] CacheStatistics statistics() const {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

 private:
  using Keys = std::list<std::int64_t>;
  struct Entry {
    Value value;
    std::size_t bytes = 0;
    typename Keys::iterator place;
    bool takes_turns = false;  ///< in `guests_`, else in `order_`
  };

  void insert(std::int64_t key, Value value, bool takes_turns = false) {
    const std::size_t bytes = value->bytes();
    Keys& keys = takes_turns ? guests_ : order_;
    keys.push_front(key);
    entries_.emplace(key, Entry{std::move(value), bytes, keys.begin(), takes_turns});
    statistics_.bytes += bytes;
    if (!takes_turns) kept_bytes_ += bytes;
    if (statistics_.bytes > statistics_.peak_bytes) statistics_.peak_bytes = statistics_.bytes;
  }
  /// True if a value of that size would stand among the guests.
  [[nodiscard]] bool takes_turns(std::size_t bytes) const {
    return when_full_ == WhenFull::keep && turns_ != 0 && kept_bytes_ + bytes > statistics_.budget_bytes - turns_;
  }
  /// True if a value of that size is kept, once others have made room where they have to.
  [[nodiscard]] bool has_place(std::size_t bytes) const {
    const std::size_t budget = statistics_.budget_bytes;
    if (bytes > budget || when_full_ == WhenFull::evict_oldest) return bytes <= budget;
    return takes_turns(bytes) ? kept_bytes_ + bytes <= budget : bytes <= budget - statistics_.bytes;
  }
  void store(std::int64_t key, const Value& value) {
    const std::size_t bytes = value->bytes();
    if (!has_place(bytes) || entries_.contains(key)) return;
    const bool is_guest = takes_turns(bytes);
    while (bytes > statistics_.budget_bytes - statistics_.bytes) evict();
    insert(key, value, is_guest);
  }
  /// The value, settled if it will be kept as things stand.
  [[nodiscard]] T settled(T value) const {
    if constexpr (requires { value.settle(); }) {
      const std::size_t bytes = value.bytes();
      std::unique_lock lock(mutex_);
      const bool is_kept = has_place(bytes);
      lock.unlock();
      if (is_kept) value.settle();
    }
    return value;
  }
  /// Drops a guest if there is one, else the value of `order_` that was used least recently.
  void evict() { drop(guests_.empty() ? std::prev(order_.end()) : std::prev(guests_.end())); }
  void drop(typename Keys::iterator key) {
    const auto entry = entries_.find(*key);
    statistics_.bytes -= entry->second.bytes;
    ++statistics_.evictions;
    if (!entry->second.takes_turns) kept_bytes_ -= entry->second.bytes;
    (entry->second.takes_turns ? guests_ : order_).erase(key);
    entries_.erase(entry);
  }

  WhenFull when_full_;
  mutable std::mutex mutex_;
  std::unordered_map<std::int64_t, Entry> entries_;
  Keys order_;   // keys, the last used one in front
  Keys guests_;  // keys of those that take turns, likewise
  std::size_t kept_bytes_ = 0;
  std::size_t turns_ = 0;
  std::unordered_map<std::int64_t, std::shared_future<Value>> loading_;
  CacheStatistics statistics_;
};

}  // namespace ivado
