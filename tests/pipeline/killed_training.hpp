// Trainings that are killed and go on, for the test and for the program that counts many of them: each training is a
// process of its own, killed at a moment that is drawn, or just when its checkpoint is written.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ivado/config/json.hpp>
#include <ivado/random.hpp>
#include <ivado/report/read_events.hpp>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace killed {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("there is no " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A process of its own, whose output goes into a file. It is killed with its object.
class Child {
 public:
  /// @param extra  one variable more for its environment, "NAME=value"
  Child(std::vector<std::string> command, std::string extra, const std::string& log) {
    std::vector<char*> arguments;
    for (auto& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::vector<char*> variables;
    for (char** one = environ; *one != nullptr; ++one) variables.push_back(*one);
    variables.push_back(extra.data());
    variables.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    const int fault = posix_spawn(&id_, command[0].c_str(), &actions, nullptr, arguments.data(), variables.data());
    posix_spawn_file_actions_destroy(&actions);
    if (fault != 0) throw std::runtime_error("starting " + command[0] + ": " + std::strerror(fault));
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (!status_) kill();
  }

  [[nodiscard]] pid_t id() const noexcept { return id_; }
  [[nodiscard]] bool runs() { return !wait(WNOHANG); }
  /// @return whether it was SIGKILL that ended it
  bool kill() {
    ::kill(id_, SIGKILL);
    const int status = *wait(0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  /// @return whether it ended with exit status 0
  bool finish() {
    const int status = *wait(0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  std::optional<int> wait(int options) {
    int status = 0;
    if (!status_ && ::waitpid(id_, &status, options) == id_) status_ = status;
    return status_;
  }

  pid_t id_ = -1;
  std::optional<int> status_;
};

/// Sees checkpoints come in a folder.
class CheckpointWatch {
 public:
  enum class Moment { begun, done };

  explicit CheckpointWatch(const std::string& folder) : queue_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    if (queue_ < 0 || ::inotify_add_watch(queue_, folder.c_str(), IN_CREATE | IN_MOVED_TO) < 0)
      throw std::runtime_error("watching " + folder + ": " + std::strerror(errno));
  }
  CheckpointWatch(const CheckpointWatch&) = delete;
  CheckpointWatch& operator=(const CheckpointWatch&) = delete;
  ~CheckpointWatch() { ::close(queue_); }

  /// Waits until the n-th checkpoint (from 1) is begun or done. @return false if the process ends before
  bool wait_for(Child& child, Moment moment, int n) {
    const int& count = moment == Moment::begun ? begun_ : done_;
    while (count < n) {
      pollfd waiting{queue_, POLLIN, 0};
      if (::poll(&waiting, 1, 20) > 0)
        read_events();
      else if (!child.runs())
        return false;
    }
    return true;
  }

 private:
  void read_events() {
    alignas(inotify_event) std::array<char, 4096> buffer{};
    const ssize_t got = ::read(queue_, buffer.data(), buffer.size());
    for (ssize_t at = 0; at < got;) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const std::string_view name(buffer.data() + at + sizeof event);
      if ((event.mask & IN_CREATE) != 0 && name.starts_with(".ivado-") && name.ends_with("-checkpoint.safetensors"))
        ++begun_;
      if ((event.mask & IN_MOVED_TO) != 0 && name == "checkpoint.safetensors") ++done_;
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
  }

  int queue_;
  int begun_ = 0;
  int done_ = 0;
};

/// What to do.
struct Plan {
  int kills = 50;
  int while_writing = 17;  ///< of them, how many fall into the writing of a checkpoint
  int epochs = 10;         ///< of each training
  std::uint64_t seed = 1;  ///< of the moments
};

/// What came of it.
struct Tally {
  int killed = 0;         ///< trainings that SIGKILL ended after their first checkpoint
  int while_writing = 0;  ///< of them, how many left a checkpoint that was being written
  int half_written = 0;   ///< of these, how many were shorter than a whole one
  int resumed = 0;        ///< resumed trainings that ended with exit status 0
  int equal = 0;          ///< of them, those whose weights and logs are those of the uninterrupted training
  int tidy = 0;           ///< of them, those that left no temporary file behind
  std::vector<std::string> faults;
};

namespace detail {

/// The temporary files below a folder.
inline std::vector<std::filesystem::path> temporary_files(const std::string& folder) {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.path().filename().string().starts_with(".ivado-")) out.push_back(entry.path());
  return out;
}

/// The bytes of a checkpoint that was being written; nothing if there is none.
inline std::optional<std::uintmax_t> half_written_checkpoint(const std::string& folder) {
  for (const auto& left : temporary_files(folder))
    if (left.filename().string().ends_with("-checkpoint.safetensors")) return std::filesystem::file_size(left);
  return std::nullopt;
}

/// The lines of training_log.jsonl without the times.
inline std::vector<ivado::Json> log_lines(const std::string& folder) {
  std::vector<ivado::Json> out;
  std::ifstream file(folder + "/training_log.jsonl");
  for (std::string line; std::getline(file, line);) {
    out.push_back(ivado::Json::parse(line));
    for (const char* key : {"seconds", "waiting_for_data_s", "waiting_share"}) out.back().erase(key);
  }
  return out;
}

/// The curve of the training loss in the event files: step to value. @throws if a step has two values
inline std::map<std::int64_t, double> curve(const std::string& folder) {
  std::map<std::int64_t, double> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/losses_train_loss"))
    for (const auto& point : ivado::read_event_scalars(entry.path().string()).scalars)
      if (out.try_emplace(point.step, point.value).first->second != point.value)
        throw std::runtime_error("the event files have two values for step " + std::to_string(point.step));
  return out;
}

/// What differs between two folders of results; empty: nothing.
inline std::string difference(const std::string& folder, const std::string& expected) {
  for (const char* file : {"/final_model.safetensors", "/best_model.safetensors", "/my_model/my_model.safetensors",
                           "/split_datasets.json"})
    if (bytes_of(folder + file) != bytes_of(expected + file)) return std::string(file) + " differs";
  if (log_lines(folder) != log_lines(expected)) return "training_log.jsonl differs";
  const std::string table = bytes_of(folder + "/training_log.csv");
  const std::string other = bytes_of(expected + "/training_log.csv");
  if (std::count(table.begin(), table.end(), '\n') != std::count(other.begin(), other.end(), '\n'))
    return "training_log.csv has another number of lines";
  if (curve(folder) != curve(expected)) return "the event files differ";
  return {};
}

}  // namespace detail

/// Trains once without interruption; then `plan.kills` times killed after the first checkpoint and resumed.
/// @param folder   empty; gets the results of all trainings
/// @param start    begins a training of `plan.epochs` epochs, or goes on with it, with its results in a folder
/// @param told     called after each training
template <class Start, class Told>
Tally kill_trainings(const std::string& folder, const Plan& plan, const Start& start, const Told& told) {
  using Moment = CheckpointWatch::Moment;
  const std::string whole = folder + "/whole";
  std::filesystem::create_directories(whole);
  Tally tally;
  double to_the_end = 0;
  double to_write = 0;
  {
    CheckpointWatch watch(whole);
    const std::unique_ptr<Child> child = start(whole, false);
    bool seen = watch.wait_for(*child, Moment::done, 1);
    const auto first = Clock::now();
    seen = seen && watch.wait_for(*child, Moment::begun, 2);
    const auto second = Clock::now();
    seen = seen && watch.wait_for(*child, Moment::done, 2);
    to_write = seconds_since(second);
    if (!child->finish() || !seen) throw std::runtime_error("the uninterrupted training failed");
    to_the_end = seconds_since(first);
  }
  const auto size = std::filesystem::file_size(whole + "/checkpoint.safetensors");
  for (int number = 0; number < plan.kills; ++number) {
    const std::string results = folder + "/" + std::to_string(number);
    const bool aimed = (number + 1) * plan.while_writing / plan.kills > number * plan.while_writing / plan.kills;
    bool done = false;
    for (std::uint32_t attempt = 0; !done && attempt < 20; ++attempt) {
      ivado::Rng rng({plan.seed, attempt, static_cast<std::uint32_t>(number), ivado::stream_user});
      std::filesystem::remove_all(results);
      std::filesystem::create_directories(results);
      CheckpointWatch watch(results);
      const std::unique_ptr<Child> child = start(results, false);
      const auto last = static_cast<std::uint32_t>(plan.epochs - 1);
      const bool seen = aimed ? watch.wait_for(*child, Moment::begun, 2 + static_cast<int>(rng.below(last)))
                              : watch.wait_for(*child, Moment::done, 1);
      if (!seen) throw std::runtime_error("a training ended without a checkpoint: see its log in " + folder);
      const double until = aimed ? to_write / (1 + attempt) : to_the_end;
      std::this_thread::sleep_for(std::chrono::duration<double>(rng.uniform() * until));
      if (!child->runs()) continue;  // too late: another moment is drawn
      done = child->kill() && (!aimed || detail::half_written_checkpoint(results));
    }
    if (!done) {
      tally.faults.push_back(results + ": no moment was found before its end");
      continue;
    }
    ++tally.killed;
    if (const auto left = detail::half_written_checkpoint(results)) {
      ++tally.while_writing;
      if (*left < size) ++tally.half_written;
    }
    if (start(results, true)->finish()) {
      ++tally.resumed;
      const std::string found = detail::difference(results, whole);
      if (found.empty())
        ++tally.equal;
      else
        tally.faults.push_back(results + ": " + found);
      if (detail::temporary_files(results).empty())
        ++tally.tidy;
      else
        tally.faults.push_back(results + ": a temporary file is left");
    } else {
      tally.faults.push_back(results + ": the training could not be resumed");
    }
    told(tally);
    if (tally.faults.empty()) std::filesystem::remove_all(results);
  }
  return tally;
}

/// The configuration of these trainings: small images, and a net whose checkpoint takes a while to write.
[[nodiscard]] inline std::string configuration(int epochs) {
  ivado::Json tree = ivado::Json::parse(R"({
    "loader_parameters": {
      "target_suffix": ["_seg-manual"], "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]},
      "workers": 1
    },
    "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
    "training_parameters": {"batch_size": 8, "training_time": {}, "scheduler": {"initial_lr": 0.01}},
    "default_model": {"n_filters": 32, "depth": 2},
    "transformation": {
      "Resample": {"hspace": 3, "wspace": 3},
      "CenterCrop": {"size": [16, 16]},
      "RandomAffine": {"degrees": 10, "dataset_type": ["training"]},
      "NormalizeInstance": {}
    }
  })");
  tree["training_parameters"]["training_time"]["num_epochs"] = epochs;
  tree["threads"] = 1;
  return tree.dump();
}

}  // namespace killed
