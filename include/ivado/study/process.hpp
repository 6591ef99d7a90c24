// Programs run beside this one: several at a time, each with its output in a log, its time and its memory. No LibTorch.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <filesystem>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "../error.hpp"

namespace ivado {

/// A program to be run.
struct Process {
  std::vector<std::string> arguments;  ///< the program first: a path, or a name that is looked for in PATH
  std::string log;                     ///< the file that takes its standard output and error
  bool appends = false;                ///< goes on with the log instead of beginning it anew
};

/// How a program ended, and what it took.
struct ProcessResult {
  int exit_status = -1;  ///< -1: a signal ended it, or it was never begun
  int signal = 0;        ///< that ended it; 0: none
  std::string fault;     ///< why it could not be begun; empty: it was
  double seconds = 0;    ///< of wall time
  double user_s = 0;     ///< of processor time, its own
  double system_s = 0;   ///< of processor time, the kernel's
  /// Its largest resident memory. Linux counts what this process has when it begins the other one as well, so that is the
  /// least it can be.
  std::int64_t peak_bytes = 0;

  [[nodiscard]] bool succeeded() const noexcept { return fault.empty() && exit_status == 0; }
  /// "exit status 3", "ended by signal 9 (Killed)", "cannot be started: No such file or directory".
  [[nodiscard]] std::string text() const {
    if (!fault.empty()) return "cannot be started: " + fault;
    if (signal != 0) return detail::text("ended by signal ", signal, " (", ::strsignal(signal), ")");
    return detail::text("exit status ", exit_status);
  }
};

namespace detail {

/// A file descriptor that is closed at the end.
class Descriptor {
 public:
  explicit Descriptor(int number) noexcept : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  [[nodiscard]] int get() const noexcept { return number_; }
  void close() noexcept {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }

 private:
  int number_;
};

/// What the new process does: takes its files, and becomes the program. Only calls that are safe after `fork`.
[[noreturn]] inline void become(char* const* arguments, int input, int log, int report, pid_t parent) noexcept {
#ifdef __linux__
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // it does not outlive the one that waits for it
  if (::getppid() != parent) ::_exit(127);
#else
  (void)parent;
#endif
  if (::dup2(input, 0) >= 0 && ::dup2(log, 1) >= 0 && ::dup2(log, 2) >= 0) ::execvp(arguments[0], arguments);
  const int fault = errno;
  [[maybe_unused]] const auto written = ::write(report, &fault, sizeof fault);
  ::_exit(127);
}

}  // namespace detail

/// Runs a program to its end, without input.
/// @throws Error (internal) if the log cannot be opened or there can be no further process; a program that is not there is
///         in the result
[[nodiscard]] inline ProcessResult run_process(const Process& process) {
  if (process.arguments.empty()) throw internal_error("starting a program", "none is named");
  const std::string doing = "starting " + process.arguments.front();
  const detail::Descriptor log(
      ::open(process.log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (process.appends ? O_APPEND : O_TRUNC), 0666));
  if (log.get() < 0)
    throw internal_error("opening the log " + process.log, std::strerror(errno), "check the permissions of its folder");
  const detail::Descriptor input(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  int ends[2];
  if (input.get() < 0 || ::pipe2(ends, O_CLOEXEC) != 0) throw internal_error(doing, std::strerror(errno));
  const detail::Descriptor report(ends[0]);
  detail::Descriptor told(ends[1]);

  std::vector<std::string> words = process.arguments;
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const auto begin = std::chrono::steady_clock::now();
  const pid_t self = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) throw internal_error(doing, std::strerror(errno), "run fewer at a time");
  if (child == 0) detail::become(arguments.data(), input.get(), log.get(), told.get(), self);
  told.close();

  ProcessResult result;
  int fault = 0;
  ssize_t read = 0;
  do read = ::read(report.get(), &fault, sizeof fault);
  while (read < 0 && errno == EINTR);
  int status = 0;
  rusage usage{};
  pid_t ended = 0;
  do ended = ::wait4(child, &status, 0, &usage);
  while (ended < 0 && errno == EINTR);
  if (ended < 0) throw internal_error("waiting for " + process.arguments.front(), std::strerror(errno));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (read == static_cast<ssize_t>(sizeof fault)) {
    result.fault = std::strerror(fault);
    return result;
  }
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  result.user_s = seconds(usage.ru_utime);
  result.system_s = seconds(usage.ru_stime);
#ifdef __APPLE__
  result.peak_bytes = usage.ru_maxrss;
#else
  result.peak_bytes = std::int64_t{usage.ru_maxrss} * 1024;
#endif
  if (WIFEXITED(status)) result.exit_status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

/// Runs several programs, some at a time, in the order of their numbers.
/// @param count    of programs
/// @param at_once  so many run at a time, at least 1
/// @param start    `Process start(number, place)` says what to run; no two places below `at_once` are the same at a time (a
///                 GPU each, for example)
/// @param done     `done(number, const ProcessResult&)`. Neither is called by two threads at a time
/// @throws what `start`, `done` or the start of a process threw first; no more are begun then, and those that run are
///         waited for
template <class Start, class Done>
void run_processes(std::size_t count, int at_once, const Start& start, const Done& done) {
  std::mutex mutex;
  std::size_t next = 0;
  std::exception_ptr failure;
  const auto work = [&](int place) {
    std::unique_lock lock(mutex);
    try {
      while (next < count && !failure) {
        const std::size_t number = next++;
        const Process process = start(number, place);
        lock.unlock();
        const ProcessResult result = [&] {
          try {
            return run_process(process);
          } catch (...) {
            lock.lock();
            throw;
          }
        }();
        lock.lock();
        done(number, result);
      }
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> places;
    const auto all = static_cast<std::size_t>(std::max(at_once, 1));
    for (std::size_t place = 0; place < std::min(all, count); ++place)
      places.emplace_back(work, static_cast<int>(place));
  }
  if (failure) std::rethrow_exception(failure);
}

/// The file of the program that runs: to start it once more.
/// @param name  as it was called (argv[0]), for systems that do not tell
[[nodiscard]] inline std::string own_program(const std::string& name) {
  std::error_code fault;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", fault);
  return fault ? name : path.string();
}

}  // namespace ivado
