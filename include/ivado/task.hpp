// What a model predicts: the task that model, loss and evaluation must have in common.
#pragma once

namespace ivado {

/// What a model predicts for a sample.
enum class Task : unsigned {
  segmentation = 1,    ///< a map a class, in [0, 1], of the sample's size
  classification = 2,  ///< one probability a class
  keypoints = 4        ///< a heat map a class whose peaks are the points
};

/// A set of tasks: those that a model can be, or that a loss is good for.
class TaskSet {
 public:
  constexpr TaskSet() noexcept = default;
  constexpr TaskSet(Task task) noexcept : bits_(static_cast<unsigned>(task)) {}  // NOLINT: a task is a set of one
  [[nodiscard]] friend constexpr TaskSet operator|(TaskSet a, TaskSet b) noexcept {
    a.bits_ |= b.bits_;
    return a;
  }
  /// True if the sets have a task in common.
  [[nodiscard]] constexpr bool meets(TaskSet other) const noexcept { return (bits_ & other.bits_) != 0; }

 private:
  unsigned bits_ = 0;
};

/// The union of two tasks.
[[nodiscard]] constexpr TaskSet operator|(Task a, Task b) noexcept { return TaskSet(a) | TaskSet(b); }

/// Every task.
inline constexpr TaskSet all_tasks = Task::segmentation | Task::classification | Task::keypoints;

/// The tasks that a policy is good for: its `tasks`, or all where it does not say.
template <class Policy>
[[nodiscard]] consteval TaskSet tasks_of() {
  if constexpr (requires { Policy::tasks; })
    return Policy::tasks;
  else
    return all_tasks;
}

}  // namespace ivado
